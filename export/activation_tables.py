"""The activation tables of the fixed-point engine, for the firmware and for its specification.

Coarse: sigmoid over +-16 and tanh over +-8 as 2,048 straight pieces of equal width. A 32-bit word a piece: minus the
value at its start (Q15, high half) and the rise over the piece (Q15, low half), so that one load and one dual multiply
with (-1, position in the piece) give the value in Q30.

Fine: tanh(z / 2) over +-16, which is both, since sigmoid(z) = (1 + tanh(z / 2)) / 2. 2,049 straight pieces, each around
its node; two words a piece: the value at the node and the rise over the piece, Q31. The low half of 2 z, as a signed
number, is the distance from the node, so that two loads and one multiply-accumulate (SMLAWB) give the value in Q31.

`python -m export.activation_tables` writes firmware/engine/activation_tables.h.
"""

from pathlib import Path

import numpy as np

from training.files import written_aside

SIZE = 2048
SIGMOID_STEP = 1 / 64
TANH_STEP = 1 / 128
FINE_SIZE = 2049
FINE_STEP = 1 / 64
HEADER = Path(__file__).parent.parent / "firmware" / "engine" / "activation_tables.h"


def _words(function: np.ufunc | object, step: float, highest: int) -> np.ndarray:
    """Table words, int32 [SIZE]; the value at the start of a piece and at its end stays within +-highest / 32768."""
    starts = (np.arange(SIZE) - SIZE // 2) * step
    inside = np.linspace(0.0, 1.0, 33)
    curve = function(starts[:, None] + step * inside)  # type: ignore[operator]
    first, last = curve[:, :1], curve[:, -1:]
    # the line of least largest error lies half the chord's error above the chord
    error = curve - (first + (last - first) * inside)
    offset = (error.max(1) + error.min(1)) / 2
    start_q15 = np.clip(np.rint((first[:, 0] + offset) * 2**15), -highest, highest).astype(np.int64)
    end = (last[:, 0] + offset) * 2**15
    rise_q15 = np.rint(end - start_q15).astype(np.int64)
    rise_q15 = np.clip(rise_q15, -highest - start_q15, highest - start_q15)
    return ((-start_q15 & 0xFFFF) << 16 | (rise_q15 & 0xFFFF)).astype(np.uint32).view(np.int32)


def sigmoid_words() -> np.ndarray:
    """int32 [2048]; piece 1024 starts at z = 0. Sigmoid may reach 1.0, whose negative is a Q15 number."""
    return _words(lambda z: 1.0 / (1.0 + np.exp(-z)), SIGMOID_STEP, highest=32768)


def tanh_words() -> np.ndarray:
    """int32 [2048]; piece 1024 starts at z = 0. Tanh is held below 1.0: o * tanh(c) = 1.0 would wrap to -1.0 in Q15."""
    return _words(np.tanh, TANH_STEP, highest=32767)


def fine_words() -> np.ndarray:
    """int32 [2049, 2]; node 1024 is z = 0. Error up to 3e-6, or 1.6e-5 of what is left to +-1."""
    nodes = (np.arange(FINE_SIZE) - FINE_SIZE // 2) * FINE_STEP
    inside = np.linspace(-0.5, 0.5, 33)
    curve = np.tanh((nodes[:, None] + FINE_STEP * inside) / 2)
    first, last = curve[:, 0], curve[:, -1]
    middle = (first + last) / 2
    error = curve - (middle[:, None] + (last - first)[:, None] * inside)
    value = middle + (error.max(1) + error.min(1)) / 2
    return np.rint(np.stack([value, last - first], axis=1) * 2**31).astype(np.int32)


def header_text() -> str:
    lines = [
        "// Made by `python -m export.activation_tables`, which explains the words. Do not edit.",
        "#pragma once",
        "",
        "// clang-format off",
        "#include <cstdint>",
        "",
        "namespace oddity {",
        "",
        f"constexpr int kActivationTableSize = {SIZE};",
        f"constexpr int kFineTableSize = {FINE_SIZE};",
    ]
    tables = {"kSigmoidTable": sigmoid_words(), "kTanhTable": tanh_words(), "kFineTable": fine_words()}
    for name, table in tables.items():
        shape = "".join(f"[{extent}]" for extent in table.shape)
        words = table.reshape(-1)
        lines += ["", f"// {shape}", f"alignas(8) inline constexpr int32_t {name}[{len(words)}] = {{"]
        lines += ["    " + " ".join(f"{word}," for word in words[row : row + 10]) for row in range(0, len(words), 10)]
        lines += ["};"]
    return "\n".join([*lines, "", "}  // namespace oddity", ""])


if __name__ == "__main__":
    with written_aside(HEADER) as scratch:
        scratch.write_text(header_text())
