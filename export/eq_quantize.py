"""A trained EQ network as the integers that the fixed-point engine runs; export/eq_fixed_point.py runs them.

| what | format | why |
|---|---|---|
| audio in and out | Q31 | |
| signal between blocks, and dry | Q30 | it stays within +-1 |
| the same, read by the FIRs | Q15, noise-shaped | two fit a register: one SMLAD is two products |
| FIRs in the blob | int32, one format a block | so that the pedal can mix them |
| FIRs that run | int16, one shift each, noise-shaped | as large as 32-bit sums allow |
| sum + bias, before the soft clipper | Q20 | up to +-1536 |
| gates' logits | Q21 | as the sigmoid's table takes them |
| level | Q28 | up to +-8 |

Of the two precisions, `coarse` is the table above; `fine` models hear 15 bits more, the low halves of the signal, which
go through the FIRs on their own.

A block's bank and mix are one FIR. Of a morph there are three for each pair of amps: of both amps and of their
products, between which the pedal finds that of any place; see `training.eq_morph`.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from training.eq_block import SAMPLE_RATE_HZ, EqNetwork
from training.eq_morph import EqMorph
from training.errors import InputError
from training.knob import Knob
from training.model_file import Model

PRECISIONS = ("coarse", "fine")
PRE_FRAC_BITS, GATE_FRAC_BITS, LEVEL_FRAC_BITS = 20, 21, 28
COEFFICIENT_FRAC_BITS = 29
"""Of what the three FIRs of a pair are multiplied by: up to 2.25 at the ends of the knob."""
MIXED_BITS = 32 - COEFFICIENT_FRAC_BITS
"""So many fewer fractional bits does the mixed FIR have."""
LARGEST_GAIN, LARGEST_BIAS = 1023.0, 511.0
"""Of a block: its FIR's absolute taps, summed up; its bias."""
MAXIMUM_FIR_FRAC_BITS = 36
MAXIMUM_TAPS = 3200
"""Of all blocks together, each filled up to a multiple of four: what the engine's tightly coupled memory holds."""


@dataclass(frozen=True)
class QuantizedEq:
    """The content of a header or blob; the arrays are those of `EqView` in firmware/engine/model_view.h.

    `firs` int32 [2 * amps - 1, blocks, taps]: amp 0, its product with amp 1, amp 1, ... Q(fir_frac_bits) of the block;
    `fir_frac_bits` int32 [blocks]. `biases` int32 [amps, blocks]; `gate_logits` int32 [amps, blocks]; `levels` int32
    [10 * (amps - 1) + 2 * beyond + 1] of a morph, else [1]. `beyond`: tenths of alpha past the first amp and the last.
    `dry_delay`: of a block's dry signal, in frames.
    """

    name: str
    sample_rate_hz: int
    knobs: tuple[Knob, ...]
    amps: int
    beyond: int
    blocks: int
    taps: int
    dry_delay: int
    firs: np.ndarray = field(repr=False)
    fir_frac_bits: np.ndarray = field(repr=False)
    biases: np.ndarray = field(repr=False)
    gate_logits: np.ndarray = field(repr=False)
    levels: np.ndarray = field(repr=False)

    precision: str = PRECISIONS[0]

    architecture = "eq"
    resampling = None
    weight_bits = 16


def padded(taps: int) -> int:
    """What `taps` are filled up to."""
    return (taps + 3) // 4 * 4


def quantize_eq(model: Model) -> QuantizedEq:
    """Quantize an EQ network or a morph of several.

    Raises InputError for networks at another rate than 48 kHz, for more taps than the engine has memory for, and for
    gains, biases and levels that the formats do not hold, anywhere on the knob's way.
    """
    network = model.network
    assert isinstance(network, EqNetwork | EqMorph)
    amps = network.networks if isinstance(network, EqMorph) else [network]
    first = amps[0]
    if model.sample_rate_hz != SAMPLE_RATE_HZ:
        raise InputError(f"{model.name}: EQ networks play at {SAMPLE_RATE_HZ} Hz, not at {model.sample_rate_hz}")
    if first.blocks * padded(first.taps) > MAXIMUM_TAPS:
        raise InputError(
            f"{model.name}: {first.blocks} blocks of {first.taps} taps are too many for the engine's tightly coupled "
            f"memory, which holds {MAXIMUM_TAPS} taps"
        )
    places = network.places if isinstance(network, EqMorph) else [0.0]
    for alpha in places:
        _refuse_too_large(model, network.at(alpha) if isinstance(network, EqMorph) else first, alpha)

    bank = first.bank.double()
    mixes = [amp.mix.detach().double() for amp in amps]
    products = [mixes[index // 2] * mixes[(index + 1) // 2] for index in range(2 * len(amps) - 1)]
    firs = torch.stack([product @ bank for product in products]).numpy()
    largest = np.maximum(np.abs(firs).max((0, 2)), 1e-9)
    fir_frac_bits = np.minimum(np.floor(np.log2((2**31 - 1) / largest)), MAXIMUM_FIR_FRAC_BITS).astype(np.int32)

    def integers(values: torch.Tensor | np.ndarray, frac_bits: np.ndarray | int) -> np.ndarray:
        return np.rint(np.asarray(values, np.float64) * 2.0**frac_bits).astype(np.int32)

    levels = network.levels if isinstance(network, EqMorph) else first.log_level.detach().double().exp()[None]
    return QuantizedEq(
        name=model.name,
        sample_rate_hz=model.sample_rate_hz,
        knobs=model.knobs,
        amps=len(amps),
        beyond=network.beyond if isinstance(network, EqMorph) else 0,
        blocks=first.blocks,
        taps=first.taps,
        dry_delay=first.block_delay,
        firs=integers(firs, fir_frac_bits[:, None]),
        fir_frac_bits=fir_frac_bits,
        biases=integers(torch.stack([amp.bias.detach() for amp in amps]), PRE_FRAC_BITS),
        gate_logits=integers(torch.stack([amp.gate_logit.detach() for amp in amps]).clamp(-16, 16), GATE_FRAC_BITS),
        levels=integers(levels, LEVEL_FRAC_BITS),
    )


def _refuse_too_large(model: Model, network: EqNetwork, alpha: float) -> None:
    where = f" at {alpha:g}" if isinstance(model.network, EqMorph) else ""
    for what, values, limit in (
        ("the gain of a block", network.fir.abs().sum(1), LARGEST_GAIN),
        ("the bias of a block", network.bias.abs(), LARGEST_BIAS),
        ("the level", network.log_level.exp(), 8 - 2**-8),
    ):
        reached = values.max().item()
        if not reached <= limit:  # which NaN is not
            raise InputError(
                f"{model.name}: {what} reaches {reached:.0f}{where}; the fixed-point engine holds {limit:.0f}"
            )
