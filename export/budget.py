"""What a model costs on the pedal: processor and tightly coupled memory.

The cycles come from the account that `python benchmarks/cortex_m7.py` makes: the engine's instructions, traced in the
emulated Cortex-M7, and an estimate of the cycles that the chip takes for them from tightly coupled memory
(export/cortex_m7). The benchmark prints the constants below, which never lie under what it found at any of its sizes,
and fails when they are not these. Nobody has measured them on a board yet; against a shipped pedal's stated limits
the estimate is good to about 15 %.
"""

from dataclasses import dataclass

from export.cabinet import PARTITION
from export.eq_quantize import QuantizedEq, padded
from export.fixed_point import Quantized
from export.quantize import MAXIMUM_UNITS, part_count, row_count
from export.resampling import PEDAL_RATE_HZ, Resampling, needed
from training.dense_window import DenseWindow
from training.eq_block import EqNetwork
from training.eq_morph import EqMorph
from training.errors import InputError
from training.model_file import Model
from training.recurrent import RecurrentNetwork

CYCLES_PER_SAMPLE = 10_000
"""STM32H750 at 480 MHz, 48 kHz."""
USABLE_SHARE = 0.9
"""The rest is for the audio interrupt, USB and the controls."""
WEIGHT_CAPACITY_BYTES = 2 * 4 * MAXIMUM_UNITS**2
"""Of the engine, in tightly coupled memory: an LSTM-64's int16 weights. The linker's account of the rest is printed by
`pio run -e daisy`."""
_CYCLES = {
    ("lstm", "coarse"): (1.05, 48.17, 69.55),
    ("lstm", "fine"): (1.05, 61.22, 69.46),
    ("lstm", "finest"): (2.12, 93.57, 153.34),
    ("gru", "coarse"): (1.08, 38.48, 74.96),
    ("gru", "fine"): (1.10, 47.06, 74.99),
    ("gru", "finest"): (2.21, 79.33, 154.44),
}
"""Of a sample, by architecture and precision: for one each of the row_pairs, units and layers of `Work`."""

_RESAMPLING_CYCLES = 5.6, 62.0
"""Of a frame: for one tap, and for the rest."""
_EQ_CYCLES = {
    ("coarse", False): (0.58, 44.4, 22.0),
    ("coarse", True): (2.80, 110.7, 35.0),
    ("fine", False): (1.16, 60.1, 22.4),
    ("fine", True): (3.86, 134.3, 35.5),
}
"""Of a frame, by precision and whether a knob moves: for one tap of a block, for one block, and for the rest."""
_DRY_DELAY_CYCLES = {"coarse": 5.0, "fine": 6.2}
"""So many more, by precision, for a block whose dry signal is delayed, as with linear phase."""
_CABINET_CYCLES = 0.665, 27.0
"""Of a frame: for one tap, and for the rest."""


@dataclass(frozen=True)
class Work:
    """What the kernels go through for a sample, with what fills up their turns: two units, four states.

    row_pairs: dual multiply-accumulates of the dot products, over all rows and units.
    """

    row_pairs: int
    units: int
    layers: int


def work(architecture: str, hidden_size: int, layers: int = 1) -> Work:
    units = (hidden_size + 1) // 2 * 2
    quads = (hidden_size + 3) // 4
    row_pairs = (units * row_count(architecture, layer) * part_count(layer) * quads * 2 for layer in range(layers))
    return Work(sum(row_pairs), layers * units, layers)


@dataclass(frozen=True)
class Budget:
    """`share` of the 10,000 cycles that a sample has; `weight_bytes` of tightly coupled memory, for int16 weights."""

    name: str
    cycles_per_sample: int
    weight_bytes: int

    @property
    def share(self) -> float:
        return self.cycles_per_sample / CYCLES_PER_SAMPLE

    @property
    def fits(self) -> bool:
        return self.share <= USABLE_SHARE


def budget(
    architecture: str,
    hidden_size: int,
    layers: int = 1,
    precision: str = "coarse",
    resampling: Resampling | None = None,
) -> Budget:
    """The cost of an LSTM or GRU of `layers` times `hidden_size` units (64 at most) on the fixed-point engine.

    `resampling`: what the pedal does around the model, which then runs as often as its own rate has it.
    """
    done = work(architecture, hidden_size, layers)
    per_row_pair, per_unit, per_layer = _CYCLES[architecture, precision]
    cycles = per_row_pair * done.row_pairs + per_unit * done.units + per_layer * done.layers
    if resampling is not None:
        per_tap, per_frame = _RESAMPLING_CYCLES
        cycles *= resampling.own_hz / PEDAL_RATE_HZ
        cycles += per_tap * resampling.taps_per_frame + per_frame
    size = hidden_size if layers == 1 else f"{layers}x{hidden_size}"
    return Budget(f"{architecture}-{size}", round(cycles), 4 * done.row_pairs)


def eq_budget(
    blocks: int, taps: int, precision: str = "coarse", moving: bool = False, linear_phase: bool = False
) -> Budget:
    """The cost of an EQ network. moving: of a morph whose knob does not stand still: its FIRs are mixed anew every 16
    frames, and the old ones play on until the new ones have taken over."""
    per_tap, per_block, rest = _EQ_CYCLES[precision, moving]
    per_block += _DRY_DELAY_CYCLES[precision] if linear_phase else 0.0
    cycles = (per_tap * padded(taps) + per_block) * blocks + rest
    return Budget(f"eq-{blocks}x{taps}", round(cycles), 2 * blocks * padded(taps))


def cabinet_cycles(taps: int) -> int:
    """A frame's of an impulse response; whole partitions are computed."""
    per_tap, rest = _CABINET_CYCLES
    return round(per_tap * -(-taps // PARTITION) * PARTITION + rest) if taps else 0


def of_quantized(quantized: Quantized) -> Budget:
    """The cost of a quantized model, a morph's while its knob moves."""
    if isinstance(quantized, QuantizedEq):
        moving, linear_phase = quantized.amps > 1, quantized.dry_delay > 0
        return eq_budget(quantized.blocks, quantized.taps, quantized.precision, moving, linear_phase)
    return budget(
        quantized.architecture, quantized.hidden_size, quantized.layers, quantized.precision, quantized.resampling
    )


def of_model(model: Model) -> Budget:
    """The cost of `model` in coarse precision. Raises InputError where the pedal cannot play it, and says why: it has
    no engine for the network, does not convert the rate, or has not the time."""
    network, usable = model.network, CYCLES_PER_SAMPLE * USABLE_SHARE
    if isinstance(network, EqNetwork | EqMorph):
        moving = isinstance(network, EqMorph)
        shape = network.first if isinstance(network, EqMorph) else network
        cost = eq_budget(shape.blocks, shape.taps, moving=moving, linear_phase=shape.block_delay > 0)
        return _within(cost, "fewer taps or blocks can")
    if not isinstance(network, RecurrentNetwork):
        # A lower bound: two 16-bit multiply-accumulates a cycle, and nothing for activations and memory.
        cycles = (network.multiplies_per_sample + 1) // 2
        terms = ""
        if isinstance(network, DenseWindow):
            products = " + ".join(f"{layer.in_features:,} x {layer.out_features:,}" for layer in network.layers)
            terms = f": {products} are {network.multiplies_per_sample:,} multiplications, two a cycle at best"
        raise InputError(
            f"the pedal has no engine for {network.name}, which would take more than "
            f"{cycles:,} of {usable:,.0f} cycles a sample{terms}"
        )
    resampling = needed(model.sample_rate_hz)
    cost = budget(network.unit, network.hidden_size, network.layers, resampling=resampling)
    return _within(cost, f"the largest that can is {largest(network.unit, network.layers, resampling).name}")


def _within(cost: Budget, what_can: str) -> Budget:
    """Raise InputError unless the chip has the time."""
    usable = CYCLES_PER_SAMPLE * USABLE_SHARE
    if not cost.fits:
        raise InputError(
            f"{cost.name} cannot run in real time: {cost.cycles_per_sample:,} cycles a sample are "
            f"{cost.cycles_per_sample / usable - 1:.0%} over the usable {usable:,.0f}; {what_can}"
        )
    return cost


def largest(architecture: str, layers: int = 1, resampling: Resampling | None = None) -> Budget:
    """The largest model of `architecture` and so many layers that runs in real time."""
    sizes = range(MAXIMUM_UNITS // layers, 0, -1)
    costs = (budget(architecture, size, layers, resampling=resampling) for size in sizes)
    return next(cost for cost in costs if cost.fits)
