"""The C header: a model as named `constexpr` arrays and a `ModelView` that points at them."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.blob import SelfTest, sections
from export.cabinet import QuantizedCabinet
from export.eq_quantize import QuantizedEq
from export.fixed_point import Quantized
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


def text(model: Quantized, self_test: SelfTest, command: str, cabinet: QuantizedCabinet | None = None) -> str:
    """The header's text. `command`: what made it, for the reader of the header."""
    arrays = sections(model, self_test, cabinet=cabinet)
    own = _eq(model, arrays) if isinstance(model, QuantizedEq) else _recurrent(model, arrays)
    around = []
    if cabinet is not None:
        around += _array("kCabinetShifts", arrays["CABS"], "[partitions] from a sum to Q26")
        around += _array("kCabinetTaps", arrays["CABT"], "[partitions][128] the last tap first")
    flags = {
        "kInt8Weights": model.weight_bits == 8,
        "kFine": model.precision != "coarse",
        "kFinest": model.precision == "finest",
    }
    namespace = identifier(model.name)
    lines = [
        f"// {model.name}: {own.title} for Oddity's fixed-point engine.",
        f"// Made by `{command}`. Do not edit.",
        "//",
        f"// {own.note}",
        "#pragma once",
        "",
        '#include "engine/model_view.h"',
        "",
        f"namespace oddity::models::{namespace} {{",
        "",
        *own.arrays,
        *around,
        *_array("kSelfTestInput", arrays["TSTI"], "[frames] Q31"),
        *_array("kSelfTestOutput", arrays["TSTO"], "[frames] Q31, fixed-point engine from rest"),
        "inline constexpr ModelDescription kDescription = {",
        f"    Architecture::k{model.architecture.capitalize()},",
        f"    {own.hidden_size},  // hidden size",
        f"    {own.layers},  // layers",
        f"    {len(model.knobs)},  // knobs",
        f"    {' | '.join(f'oddity::{flag}' for flag, is_set in flags.items() if is_set) or 0},",
        f"    {own.head_frac_bits},  // the head's weights are Q{own.head_frac_bits}",
        f"    {len(self_test.input)},  // frames of the self-test",
        f"    {model.sample_rate_hz},  // Hz",
        f"    {own.head_bias},  // bias of the head, two bits fewer",
        f"    {own.dry_gain},  // gain of the dry signal, one bit fewer",
        f"    {{{', '.join(map(str, own.cell_frac_bits))}}},  // Q formats of the cell states, by layer",
        f"    {_c_string(model.name[:31])},",
        "    {",
    ]
    for knob in model.knobs:
        numbers = ", ".join(_c_float(value) for value in (knob.minimum, knob.maximum, knob.default))
        lines.append(f"        {{{_c_string(knob.name[:15])}, {numbers}}},")
    lines += [
        "    },",
        f"    {0 if cabinet is None else len(cabinet.shifts)},  // partitions of the cabinet",
        "    0,",
        "};",
        "",
        "inline constexpr ModelView kModel = {",
        "    &kDescription,",
        f"    {', '.join(own.members)},",
        f"    {'nullptr, nullptr' if cabinet is None else 'kCabinetTaps, kCabinetShifts'},",
        "    kSelfTestInput, kSelfTestOutput,",
        "};",
        "",
        f"}}  // namespace oddity::models::{namespace}",
        "",
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class _Own:
    """What headers of one architecture have of their own. `arrays`: lines; `members`: of the ModelView, the description
    before and the cabinet and the self-test behind them."""

    title: str
    note: str
    arrays: list[str]
    members: list[str]
    hidden_size: int = 0
    layers: int = 0
    head_frac_bits: int = 0
    head_bias: int = 0
    dry_gain: int = 0
    cell_frac_bits: tuple[int, ...] = (0, 0, 0, 0)


def _recurrent(model: QuantizedModel, arrays: dict[str, np.ndarray]) -> _Own:
    lstm = model.architecture == "lstm"
    columns = "i, f, g, o" if lstm else "r, z, n from the state, n from the input"
    pre_activation = f"Q22 for a tanh ({'g' if lstm else 'n'}), else Q21"
    kernel_order = "by layer [two units][pair of states][unit][row][state]"
    if model.weight_bits == 8:
        recurrent = [
            *_array("kInt8Weights", arrays["RECB"], f"{kernel_order} int8, a step a row"),
            *_array("kInt8Steps", arrays["STEP"], "[units][4] what one step is in int16"),
        ]
        weights = ["nullptr", "kInt8Weights", "kInt8Steps"]
    else:
        recurrent = _array("kRecurrentWeights", arrays["RECW"], f"{kernel_order} int16, a scale a row")
        weights = ["kRecurrentWeights", "nullptr", "nullptr"]
    size = model.hidden_size if model.layers == 1 else f"{model.layers}x{model.hidden_size}"
    resampling = "kResampling" if model.resampling else "nullptr"
    return _Own(
        f"{model.architecture.upper()}-{size}",
        f"Columns of four are {columns}. docs/fixed-point.md explains the formats.",
        [
            *_array("kBias", arrays["BIAS"], f"[units][4] {pre_activation}"),
            *_array("kScale", arrays["SCAL"], "[units][4] pre-activation = bias + (row . states) * scale >> 32"),
            *_array("kInputWeights", arrays["INPW"], "[hidden][4][1 + knobs] one bit finer than the pre-activation"),
            *recurrent,
            *_array("kHeadWeights", arrays["HEAD"], f"[hidden] Q{model.head_frac_bits}"),
            *_array("kRest", arrays["REST"], "[units][2] where a stream begins: kept state, hidden state Q30"),
            *(_array("kResampling", arrays["RSMP"], "right half of a sinc, Q30") if model.resampling else []),
        ],
        ["kBias", "kScale", "kInputWeights", *weights, "kHeadWeights", "kRest", "{}", resampling],
        model.hidden_size,
        model.layers,
        model.head_frac_bits,
        model.head_bias,
        model.dry_gain,
        (*model.cell_frac_bits, *[28] * (4 - model.layers)),
    )


def _eq(model: QuantizedEq, arrays: dict[str, np.ndarray]) -> _Own:
    morph = f", a morph of {model.amps}" if model.amps > 1 else ""
    return _Own(
        f"{model.blocks} EQ blocks of {model.taps} taps{morph},",
        "docs/eq-blocks.md explains the formats.",
        [
            *_array("kFirs", arrays["EQFI"], "[amp 0, its product with amp 1, amp 1, ...][blocks][taps]"),
            *_array("kFirFracBits", arrays["EQFB"], "[blocks] Q formats of the FIRs"),
            *_array("kBiases", arrays["EQBI"], "[amps][blocks] Q20"),
            *_array("kGateLogits", arrays["EQGA"], "[amps][blocks] Q21"),
            *_array("kLevels", arrays["EQLV"], "[places of the knob] Q28"),
            f"inline constexpr EqShape kShape = {{{model.amps}, {model.blocks}, {model.taps}, {model.dry_delay}, "
            f"{model.beyond}}};",
            "",
        ],
        ["nullptr"] * 8 + ["{&kShape, kFirs, kFirFracBits, kBiases, kGateLogits, kLevels}", "nullptr"],
    )


def write(path: Path, contents: str) -> None:
    """Write the header `contents` to `path`."""
    with written_aside(path) as scratch:
        scratch.write_text(contents)
