"""The C header: a model as named `constexpr` arrays and a `ModelView` that points at them."""

import re
from pathlib import Path

import numpy as np

from export.blob import SelfTest, sections
from export.quantize import QuantizedModel
from training.files import written_aside


def identifier(name: str) -> str:
    """`name` as the C++ namespace of the model: lower case letters, digits and underscores."""
    word = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return word if word and not word[0].isdigit() else f"model_{word}"


def _c_string(text: str) -> str:
    return '"' + text.encode("ascii", "replace").decode().replace("\\", "\\\\").replace('"', '\\"') + '"'


def _c_float(value: float) -> str:
    return f"{float(np.float32(value))!r}f"


def _array(name: str, values: np.ndarray, comment: str) -> list[str]:
    kind = {"int8": "int8_t", "int16": "int16_t", "int32": "int32_t"}[values.dtype.name]
    flat = values.reshape(-1)
    rows = ["    " + " ".join(f"{value}," for value in flat[start : start + 16]) for start in range(0, len(flat), 16)]
    shape = "".join(f"[{extent}]" for extent in values.shape)
    return [f"// {shape} {comment}", f"alignas(8) inline constexpr {kind} {name}[{len(flat)}] = {{", *rows, "};", ""]


def text(model: QuantizedModel, self_test: SelfTest, command: str) -> str:
    """The header's text. `command`: what made it, for the reader of the header."""
    arrays = sections(model, self_test)
    lstm = model.architecture == "lstm"
    columns = "i, f, g, o" if lstm else "r, z, n from the state, n from the input"
    pre_activation = f"Q22 for a tanh ({'g' if lstm else 'n'}), else Q21"
    kernel_order = "by layer [two units][pair of states][unit][row][state]"
    if model.weight_bits == 8:
        recurrent = [
            *_array("kInt8Weights", arrays["RECB"], f"{kernel_order} int8, a step a row"),
            *_array("kInt8Steps", arrays["STEP"], "[units][4] what one step is in int16"),
        ]
    else:
        recurrent = _array("kRecurrentWeights", arrays["RECW"], f"{kernel_order} int16, a scale a row")
    weights = "nullptr, kInt8Weights, kInt8Steps" if model.weight_bits == 8 else "kRecurrentWeights, nullptr, nullptr"
    flags = {
        "kInt8Weights": model.weight_bits == 8,
        "kFine": model.precision != "coarse",
        "kFinest": model.precision == "finest",
    }
    cell_frac_bits = ", ".join(str(bits) for bits in [*model.cell_frac_bits, *[28] * (4 - model.layers)])
    size = model.hidden_size if model.layers == 1 else f"{model.layers}x{model.hidden_size}"
    lines = [
        f"// {model.name}: {model.architecture.upper()}-{size} for Oddity's fixed-point engine.",
        f"// Made by `{command}`. Do not edit.",
        "//",
        f"// Columns of four are {columns}. docs/fixed-point.md explains the formats.",
        "#pragma once",
        "",
        '#include "engine/model_view.h"',
        "",
        f"namespace oddity::models::{identifier(model.name)} {{",
        "",
        *_array("kBias", arrays["BIAS"], f"[units][4] {pre_activation}"),
        *_array("kScale", arrays["SCAL"], "[units][4] pre-activation = bias + (row . states) * scale >> 32"),
        *_array("kInputWeights", arrays["INPW"], "[hidden][4][1 + knobs] one bit finer than the pre-activation"),
        *recurrent,
        *_array("kHeadWeights", arrays["HEAD"], f"[hidden] Q{model.head_frac_bits}"),
        *_array("kRest", arrays["REST"], "[units][2] where a stream begins: kept state, hidden state Q30"),
        *(_array("kResampling", arrays["RSMP"], "right half of a sinc, Q30") if model.resampling else []),
        *_array("kSelfTestInput", arrays["TSTI"], "[frames] Q31"),
        *_array("kSelfTestOutput", arrays["TSTO"], "[frames] Q31, fixed-point engine from rest"),
        "inline constexpr ModelDescription kDescription = {",
        f"    Architecture::k{model.architecture.capitalize()},",
        f"    {model.hidden_size},  // hidden size",
        f"    {model.layers},  // layers",
        f"    {len(model.knobs)},  // knobs",
        f"    {' | '.join(f'oddity::{flag}' for flag, is_set in flags.items() if is_set) or 0},",
        f"    {model.head_frac_bits},  // the head's weights are Q{model.head_frac_bits}",
        f"    {len(self_test.input)},  // frames of the self-test",
        f"    {model.sample_rate_hz},  // Hz",
        f"    {model.head_bias},  // bias of the head, Q{model.head_frac_bits - 2}",
        f"    {model.dry_gain},  // gain of the dry signal, Q{model.head_frac_bits - 1}",
        f"    {{{cell_frac_bits}}},  // Q formats of the cell states, by layer",
        f"    {_c_string(model.name[:31])},",
        "    {",
    ]
    for knob in model.knobs:
        numbers = ", ".join(_c_float(value) for value in (knob.minimum, knob.maximum, knob.default))
        lines.append(f"        {{{_c_string(knob.name[:15])}, {numbers}}},")
    lines += [
        "    },",
        "};",
        "",
        "inline constexpr ModelView kModel = {",
        "    &kDescription, kBias, kScale, kInputWeights,",
        f"    {weights}, kHeadWeights,",
        f"    kRest, {'kResampling' if model.resampling else 'nullptr'}, kSelfTestInput, kSelfTestOutput,",
        "};",
        "",
        f"}}  // namespace oddity::models::{identifier(model.name)}",
        "",
        "#if defined(PEDAL_MODEL_HEADER)  // built into the firmware as its first model",
        "namespace oddity {",
        f"inline constexpr const ModelView& kBuiltInModel = models::{identifier(model.name)}::kModel;",
        "}",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def write(path: Path, model: QuantizedModel, self_test: SelfTest, command: str) -> None:
    """Write the header to `path`."""
    with written_aside(path) as scratch:
        scratch.write_text(text(model, self_test, command))
