"""What a model costs on the pedal: processor, flash and RAM.

The cycles come from the account that `python benchmarks/cortex_m7.py` makes: the engine's instructions, traced in the
emulated Cortex-M7, and an estimate of the cycles that the chip takes for them from tightly coupled memory
(export/cortex_m7). The benchmark prints the constants below, which never lie under what it found at any of its sizes,
and fails when they are not these. Nobody has measured them on a board yet; against a shipped pedal's stated limits
the estimate is good to about 15 %.
"""

from dataclasses import dataclass

CYCLES_PER_SAMPLE = 10_000
"""STM32H750 at 480 MHz, 48 kHz."""
USABLE_SHARE = 0.9
"""The rest is for the audio interrupt, USB and the controls."""
MAXIMUM_HIDDEN_SIZE = 64
_CYCLES = {
    "lstm": (4.96, 46.44, 142.30),
    "gru": (3.77, 37.00, 127.09),
}
"""By hidden size * pairs of hidden units, by hidden size, and in any case; of one sample in the fixed-point engine."""
ACTIVATION_TABLE_BYTES = 2 * 2048 * 4
UNIT_BYTES = 72 + 16 + 64
"""`RecurrentLayerQ15::Unit`, and the unit's bias and knob weights in `FixedEngine`."""


@dataclass(frozen=True)
class Budget:
    """`share` of the 10,000 cycles that a sample has."""

    architecture: str
    hidden_size: int
    cycles_per_sample: int
    ram_bytes: int

    @property
    def share(self) -> float:
        return self.cycles_per_sample / CYCLES_PER_SAMPLE

    @property
    def fits(self) -> bool:
        return self.share <= USABLE_SHARE


def budget(architecture: str, hidden_size: int) -> Budget:
    """The cost of an LSTM or GRU of `hidden_size` (1 to 64) on the fixed-point engine."""
    per_pair, per_unit, per_sample = _CYCLES[architecture]
    pairs = (hidden_size + 1) // 2
    gates = {"lstm": 4, "gru": 3}[architecture]
    weights_bytes = hidden_size * pairs * gates * 4
    return Budget(
        architecture,
        hidden_size,
        round(per_pair * hidden_size * pairs + per_unit * hidden_size + per_sample),
        weights_bytes + hidden_size * UNIT_BYTES + 2 * 2 * hidden_size + ACTIVATION_TABLE_BYTES,
    )


def largest_hidden_size(architecture: str) -> int:
    """The largest model of `architecture` that runs in real time."""
    return max(size for size in range(1, MAXIMUM_HIDDEN_SIZE + 1) if budget(architecture, size).fits)
