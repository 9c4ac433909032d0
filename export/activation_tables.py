"""The activation tables of the fixed-point engine, for the firmware and for its specification.

Coarse: sigmoid over +-16 and tanh over +-8 as 2,048 straight pieces of equal width. A word a piece: 22 bits of value,
10 bits of rise. The low half of z, as a signed number, is the distance from the nearest node, and every other piece
lies behind its node: so one load, the rise's extraction and one multiply-accumulate (SMLABB) give the value in Q31. The
rise is left in the value's low bits, and counted on there.

Fine: tanh(z / 2) over +-16, which is both, since sigmoid(z) = (1 + tanh(z / 2)) / 2. 2,049 straight pieces, each around
its node; two words a piece: the value at the node and the rise over the piece, Q31. The low half of 2 z, as a signed
number, is the distance from the node, so that two loads and one multiply-accumulate (SMLAWB) give the value in Q31.

Soft sign: 1 / m for m from 1 to 2, the mantissa of 1 + |u|, as 257 straight pieces around their nodes; two words each,
the value (Q30) and the rise over a piece. It takes the place of the division in u / (1 + |u|).

`python -m export.activation_tables` writes firmware/engine/activation_tables.h.
"""

from pathlib import Path

import numpy as np

from training.files import written_aside

SIZE = 2048
PIECE = 1 << 15
RISE_MASK = (1 << 10) - 1
SIGMOID_STEP = 1 / 64
TANH_STEP = 1 / 128
FINE_SIZE = 2049
FINE_STEP = 1 / 64
SOFT_SIGN_SIZE = 257
HEADER = Path(__file__).parent.parent / "firmware" / "engine" / "activation_tables.h"


def _words(function: np.ufunc | object, step: float) -> np.ndarray:
    """Table words, int32 [SIZE]."""
    pieces = np.arange(SIZE) - SIZE // 2
    distance = np.linspace(0, PIECE, 33) - np.where(pieces % 2 == 1, PIECE, 0)[:, None]  # from the piece's node
    nodes = (pieces + pieces % 2) * step
    curve = function(nodes[:, None] + distance * (step / PIECE)) * 2.0**31  # type: ignore[operator]
    rise = np.clip(np.rint((curve[:, -1] - curve[:, 0]) / PIECE), 0, RISE_MASK).astype(np.int64)
    left = curve - rise[:, None] * distance
    value = np.rint((left.max(1) + left.min(1)) / 2).astype(np.int64)
    words = ((value - rise + RISE_MASK // 2) & ~RISE_MASK) + rise
    highest = np.where(words + rise * distance[:, -1] > 2**31 - 1, RISE_MASK + 1, 0)
    lowest = np.where(words + rise * distance[:, 0] < -(2**31), RISE_MASK + 1, 0)
    return (words - highest + lowest).astype(np.int32)


def sigmoid_words() -> np.ndarray:
    """int32 [2048]; piece 1024 begins at z = 0. The error is up to 5e-6."""
    return _words(lambda z: 1.0 / (1.0 + np.exp(-z)), SIGMOID_STEP)


def tanh_words() -> np.ndarray:
    """int32 [2048]; piece 1024 begins at z = 0. The error is up to 8e-6."""
    return _words(np.tanh, TANH_STEP)


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


def soft_sign_words() -> np.ndarray:
    """int32 [257, 2]; the first node is m = 1. Relative error up to 2e-6."""
    step = 1 / (SOFT_SIGN_SIZE - 1)
    nodes = 1 + step * np.arange(SOFT_SIGN_SIZE)
    inside = np.linspace(-0.5, 0.5, 33)
    curve = 1 / (nodes[:, None] + step * inside)
    first, last = curve[:, 0], curve[:, -1]
    error = curve - ((first + last)[:, None] / 2 + (last - first)[:, None] * inside)
    value = (first + last) / 2 + (error.max(1) + error.min(1)) / 2
    return np.rint(np.stack([value, last - first], axis=1) * 2**30).astype(np.int32)


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
        f"constexpr int kSoftSignTableSize = {SOFT_SIGN_SIZE};",
    ]
    tables = {"kSigmoidTable": sigmoid_words(), "kTanhTable": tanh_words(), "kFineTable": fine_words()}
    tables["kSoftSignTable"] = soft_sign_words()
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
