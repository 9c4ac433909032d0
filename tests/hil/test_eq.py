"""EQ networks, morphs and cabinets on each pedal that is a program: the bits of the specification, and the sound of the
float model while the knob turns."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import skip_if_muted, skip_without
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from export import blob, daisy, eq_fixed_point, fixed_point
from export.cabinet import QuantizedCabinet, quantize_cabinet
from export.daisy import prepare, signal_to_noise_db
from export.eq_quantize import PRECISIONS, QuantizedEq, quantize_eq
from hardware.program_link import ProgramLink
from hardware.protocol import Engine, Parameter
from hardware.verify import verify
from training import blend
from training.cabinet import Cabinet
from training.eq_block import EqNetwork
from training.errors import InputError
from training.model_file import Model

RATE_HZ = 48_000
STEP_FRAMES = eq_fixed_point.CONTROL_FRAMES
KNOB_STEP = (2**31 - 1) // (RATE_HZ // 50 // STEP_FRAMES)
"""By which the effect moves a knob at most, every 16 frames."""
SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def amp(seed: int = 0, name: str = "eq-6x129") -> Model:
    """As wide apart as trained amps are: the second is louder, with more gain and another tone."""
    torch.manual_seed(seed)
    network = EqNetwork.from_name(name)
    with torch.no_grad():
        network.mix *= (0.3 + torch.rand_like(network.mix)) * (1 + 0.3 * seed)
        network.bias += 0.1 * torch.randn(network.blocks)
        network.gate_logit += torch.randn(network.blocks)
        network.log_level.fill_(-0.5 * seed)
    return Model(f"amp{seed}", "eq", network.config, network.eval())


@pytest.fixture(scope="module")
def morph() -> Model:
    return blend.with_knob([amp(0), amp(1)], "ab")


def impulse_response(taps: int) -> np.ndarray:
    """A quick start and a long weak end."""
    rng = np.random.default_rng(taps)
    response = rng.standard_normal(taps) * np.exp(-np.arange(taps) / (taps / 9))
    return response / np.abs(np.fft.rfft(response)).max()


def samples_of(guitar: np.ndarray, frames: int = 1500) -> np.ndarray:
    """int32 [frames] of 24 bits."""
    return fixed_point.to_q31(guitar[:frames]) >> 8


def as_samples(output_q31: np.ndarray) -> np.ndarray:
    """As a pedal sends them."""
    return np.minimum((output_q31.astype(np.int64) + 128) >> 8, 2**23 - 1)


def load(link: ProgramLink, model: QuantizedEq, cabinet: QuantizedCabinet | None = None) -> None:
    rng = np.random.default_rng(0)
    link.load(0, blob.to_bytes(model, blob.make_self_test(model, rng.uniform(-1, 1, 300)), cabinet=cabinet))
    link.select(0, Engine.FIXED)
    link.reset()


@pytest.mark.parametrize("name", ["eq-6x129", "eq-6x33-linear", "eq-2x5", "eq-12x264"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_pedal_equals_the_specification(pedal, guitar, name, precision):
    quantized = replace(quantize_eq(amp(0, name)), precision=precision)
    load(pedal, quantized)
    samples = samples_of(guitar)
    expected = as_samples(fixed_point.run(quantized, samples << 8))
    assert np.abs(expected).max() > 2**17
    for block_frames in (7, 48, 256, 1):
        pedal.reset()
        played = pedal.process(samples, block_frames)
        skip_if_muted(pedal)
        assert np.array_equal(played, expected)


def edge_model(seed: int, amps: int, blocks: int, taps: int, precision: str, linear: bool, edges: float) -> QuantizedEq:
    """Random integers over the whole of their formats, a share of `edges` of them at the ends."""
    rng = np.random.default_rng(seed)
    model = quantize_eq(amp(0, "eq-1x3"))

    def draw(limit: int, *shape: int) -> np.ndarray:
        values, ends = rng.integers(-limit, limit, shape), rng.choice([-limit, -1, 0, 1, limit - 1], shape)
        return np.where(rng.random(shape) < edges, ends, values).astype(np.int32)

    scale = 2.0 ** -rng.uniform(0, 20, (2 * amps - 1, blocks, 1))
    return replace(
        model,
        knobs=(blend.with_knob([amp(0, "eq-1x3"), amp(1, "eq-1x3")], "ab").knobs if amps > 1 else ()),
        amps=amps,
        beyond=(beyond := int(rng.integers(0, 6)) if amps > 1 else 0),
        blocks=blocks,
        taps=taps,
        dry_delay=int(rng.integers(1, taps)) if linear else 0,
        firs=(draw(2**31, 2 * amps - 1, blocks, taps) * scale).astype(np.int32),
        fir_frac_bits=rng.integers(0, 37, blocks).astype(np.int32),
        biases=draw(2**31, amps, blocks),
        gate_logits=draw(2**31, amps, blocks),
        levels=draw(2**31, 10 * (amps - 1) + 2 * beyond + 1),
        precision=precision,
    )


EDGES = {
    "seed": st.integers(0, 2**32),
    "amps": st.integers(1, 8),
    "blocks": st.integers(1, 12),
    "taps": st.integers(2, 64),
    "precision": st.sampled_from(PRECISIONS),
    "linear": st.booleans(),
    "edges": st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    "block_frames": st.integers(1, 64),
}


def check_edges(link: ProgramLink, block_frames: int, seed: int, **shape: object) -> None:
    model = edge_model(seed, **shape)
    rng = np.random.default_rng(seed)
    ends = rng.choice([-(2**23), -1, 0, 1, 2**23 - 1], 256)
    samples = np.where(rng.random(256) < 0.3, ends, rng.integers(-(2**23), 2**23, 256)).astype(np.int32)
    # the pedal compares 256 samples at 32 bits when the model is loaded
    link.load(0, blob.to_bytes(model, blob.make_self_test(model, samples / 2.0**23)))
    link.select(0, Engine.FIXED)
    link.reset()
    if model.knobs:  # from the lowest place to the highest, as fast as it goes
        link.set(Parameter.KNOB_1, 0.0)
        link.reset()
        link.set(Parameter.KNOB_1, 1.0)
    positions = np.minimum(np.arange(1, 17) * KNOB_STEP, 2**31 - 1) if model.knobs else np.zeros(1, np.int64)
    expected = eq_fixed_point.run(model, samples << 8, positions, before_q31=0)
    assert np.array_equal(link.process(samples, block_frames), as_samples(expected))


@settings(max_examples=100, **SLOW)
@given(**EDGES)
def test_integers_at_the_edges_of_their_ranges_give_the_same_bits_natively(native, **drawn):
    check_edges(native, **drawn)


@settings(max_examples=20, **SLOW)
@given(**EDGES)
def test_integers_at_the_edges_of_their_ranges_give_the_same_bits_on_the_chip(emulator, **drawn):
    check_edges(emulator, **drawn)


def test_the_compiled_specification_is_the_one_that_is_written(monkeypatch):
    """Numba's integers against Python's own, which never overflow."""
    from export import fir_q15

    model = edge_model(5, 2, 2, 5, "fine", True, 0.5)
    samples = np.random.default_rng(0).integers(-(2**31), 2**31, 40).astype(np.int32)
    positions = np.array([0, KNOB_STEP, 2**31 - 1])
    compiled = eq_fixed_point.run(model, samples, positions)
    for name in (
        "_run",
        "_mixed",
        "_between",
        "_along",
        "_place",
        "_level",
        "_soft_sign",
        "_sigmoid",
        "_fine",
        "_rounded",
    ):
        monkeypatch.setattr(eq_fixed_point, name, getattr(eq_fixed_point, name).py_func)
    for name in ("fir", "rounded_sample", "shift_for", "shifted"):
        monkeypatch.setattr(eq_fixed_point, name, getattr(fir_q15, name).py_func)
    with np.errstate(over="raise"):
        assert np.array_equal(eq_fixed_point.run(model, samples, positions), compiled)


@pytest.mark.parametrize("alpha", [-0.5, -0.3, 0.0, 0.25, 0.5, 1.0, 1.3, 1.5])
def test_a_place_of_the_knob_sounds_as_the_blend_does(pedal, morph, guitar, alpha):
    """By two ways: the pedal mixes FIRs, `pedal blend` adds up parameters."""
    load(pedal, quantize_eq(morph))
    pedal.set(Parameter.KNOB_1, morph.knobs[0].normalised(alpha))
    pedal.reset()
    samples = samples_of(guitar)
    played = pedal.process(samples) * 2.0**-23
    made = blend.weighted([amp(0), amp(1)], [1 - alpha, alpha], "blend")
    assert signal_to_noise_db(made.render(samples * 2.0**-23, dtype=np.float64), played) >= 60


def turned(link: ProgramLink, morph: Model, samples: np.ndarray, alphas: list[float], block_frames: int) -> np.ndarray:
    """What the pedal plays while its knob, at first at alphas[0], is set to one after the other, once a block."""
    link.set(Parameter.KNOB_1, morph.knobs[0].normalised(alphas[0]))
    link.reset()
    blocks = []
    for index, block in enumerate(np.split(samples, range(block_frames, len(samples), block_frames))):
        link.set(Parameter.KNOB_1, morph.knobs[0].normalised(alphas[min(index + 1, len(alphas) - 1)]))
        blocks.append(link.process(block, min(block_frames, 48)))
    return np.concatenate(blocks)


def test_a_knob_that_turns_gives_the_same_bits(pedal, morph, guitar):
    """With the effect's steps and the straight lines between them."""
    quantized = quantize_eq(morph)
    load(pedal, quantized)
    samples = samples_of(guitar, 2400)
    alphas = [0.0, 1.5, 1.5, -0.5, 0.2]
    played = turned(pedal, morph, samples, alphas, 480)
    start = at = round(morph.knobs[0].normalised(0.0) * 2.0**31)
    positions, steps = [], 1  # the knob has just been set before
    for target in alphas[1:] + alphas[-1:]:
        aim = min(round(morph.knobs[0].normalised(target) * 2.0**31), 2**31 - 1)
        step = min(-(-abs(aim - at) // steps), KNOB_STEP)
        for _ in range(480 // STEP_FRAMES):
            at += min(max(aim - at, -step), step)
            positions.append(at)
        steps = 16
    expected = eq_fixed_point.run(quantized, samples << 8, np.array(positions), before_q31=start)
    assert np.array_equal(played, as_samples(expected))


def morphed_by_samples(morph: Model, samples: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """The float model with another network for every sample: `samples` float64 [frames], `alphas` [frames]."""
    networks = [morph.network.at(float(alpha)).double() for alpha in alphas]
    firs = np.stack([network.fir.detach().numpy() for network in networks])
    bias, gate = (
        np.stack([values.detach().numpy() for values in each])
        for each in zip(*((network.bias, torch.sigmoid(network.gate_logit)) for network in networks), strict=True)
    )
    x = samples
    memory = firs.shape[2]
    for block in range(firs.shape[1]):
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, (memory - 1, 0)), memory)[:, ::-1]
        u = np.einsum("nk,nk->n", windows, firs[:, block]) + bias[:, block]
        x = (1 - gate[:, block]) * x + gate[:, block] * u / (1 + np.abs(u))
    return x * np.exp([network.log_level.item() for network in networks])


@pytest.mark.parametrize("block_frames", [16, 48])
def test_turning_the_knob_from_end_to_end_in_50_ms_does_not_click(emulator, morph, guitar, block_frames):
    """Against the float model morphed sample by sample, along the straight line from -0.5 to 1.5."""
    load(emulator, quantize_eq(morph))
    lead, turn = 960, RATE_HZ // 20
    samples = samples_of(guitar, 2 * lead + turn)
    at = np.clip((np.arange(1, len(samples) + 1) - lead) / turn, 0, 1)
    ends = np.minimum(np.arange(0, len(samples) + block_frames, block_frames), len(samples)) - lead
    knob = [float(2 * np.clip(end / turn, 0, 1) - 0.5) for end in ends]
    played = turned(emulator, morph, samples, knob, block_frames) * 2.0**-23
    exact = morphed_by_samples(morph, samples * 2.0**-23, 2 * at - 0.5)
    while_turning = slice(lead, lead + turn)
    assert np.abs(exact[while_turning]).max() > 0.05
    error_db = -signal_to_noise_db(exact[while_turning], played[while_turning])
    assert error_db < -60  # in steps of 16 frames, without the straight lines between them, it is above -50
    # what a step would do: the same without the way in between
    stepped = np.where(np.arange(len(samples)) < lead + turn // 2, -0.5, 1.5)
    click = morphed_by_samples(morph, samples * 2.0**-23, stepped)
    assert signal_to_noise_db(exact[while_turning], click[while_turning]) < 20


def test_nothing_is_heard_of_a_model_that_was_just_loaded(pedal, morph):
    for model, cabinet in ((amp(1), None), (morph, None), (amp(1), quantize_cabinet(impulse_response(500)))):
        load(pedal, quantize_eq(model), cabinet)
        silence = pedal.process(np.zeros(3000, np.int32)) * 2.0**-23
        assert np.ptp(silence) < 2e-4 and abs(silence[0]) > 1e-3


@pytest.mark.parametrize("taps", [16, 512, 1000, 2048])
def test_a_cabinet_is_a_convolution_without_latency(pedal, guitar, taps):
    response = impulse_response(taps)
    exported = prepare(amp(0, "eq-6x33"), guitar, cabinet=Cabinet("cab", response))
    pedal.load(0, exported.blob())
    pedal.select(0, Engine.FIXED)
    samples = samples_of(guitar, 3000)
    expected = as_samples(fixed_point.play(exported.quantized, samples << 8, (), exported.quantized_cabinet))
    for block_frames in (48, 100, 1):
        pedal.reset()
        played = pedal.process(samples, block_frames)
        skip_if_muted(pedal)
        assert np.array_equal(played, expected)
    exact = daisy.reference(exported.model, None, samples << 8, cabinet=exported.cabinet)
    assert signal_to_noise_db(exact, expected * 2.0**-23) >= 60


def test_a_cabinet_stands_behind_an_lstm_too(pedal, make_model, guitar):
    exported = prepare(make_model("lstm", 8), guitar, cabinet=Cabinet("cab", impulse_response(512)))
    report, _ = verify(pedal, exported, guitar[:3000])
    assert report.passed and report.delay_frames == 0


@pytest.fixture(scope="module")
def exported_morph(morph):
    return prepare(morph)


def test_verify_passes_a_morph_and_the_linear_form(pedal, exported_morph, guitar):
    report, _ = verify(pedal, exported_morph, guitar, knobs=[0.7])
    assert report.passed and report.architecture == "eq-6x129-morph-2"
    target = np.pad(amp(0, "eq-6x33-linear").render(guitar), (0, 96))[96:].astype(np.float32)
    report, _ = verify(pedal, prepare(amp(0, "eq-6x33-linear")), guitar, target)
    assert report.passed and report.esr_model_vs_target < 0.02


def test_the_float_engine_plays_no_eq_network(pedal, engine):
    skip_without(engine, pedal)
    if engine == Engine.RTNEURAL:
        load(pedal, quantize_eq(amp(0, "eq-2x5")))
        with pytest.raises(InputError, match="plays LSTMs and GRUs"):
            pedal.select(0, Engine.RTNEURAL)


DAMAGES: dict[str, Callable[[QuantizedEq], QuantizedEq]] = {
    "amps": lambda model: replace(model, amps=9),
    "a knob without amps": lambda model: replace(model, knobs=blend.with_knob([amp(0), amp(1)], "ab").knobs),
    "blocks": lambda model: replace(model, blocks=13),
    "taps": lambda model: replace(model, taps=1),
    "dry delay": lambda model: replace(model, dry_delay=5),
    "FIR format": lambda model: replace(model, fir_frac_bits=np.full(2, 37, np.int32)),
    "negative FIR format": lambda model: replace(model, fir_frac_bits=np.full(2, -1, np.int32)),
    "beyond": lambda model: replace(model, beyond=1),
    "levels": lambda model: replace(model, levels=np.zeros(2, np.int32)),
    "rate": lambda model: replace(model, sample_rate_hz=44_100),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_blobs_that_lie_are_refused(native, damage):
    good = quantize_eq(amp(0, "eq-2x5"))
    self_test = blob.make_self_test(good, np.zeros(300))
    with pytest.raises(InputError, match=r"description is not valid|shapes do not match"):
        native.load(1, blob.to_bytes(DAMAGES[damage](good), self_test))


def test_cabinets_that_lie_are_refused(native):
    good = quantize_eq(amp(0, "eq-2x5"))
    self_test = blob.make_self_test(good, np.zeros(300))
    cabinet = quantize_cabinet(impulse_response(2048))
    for bad in (
        QuantizedCabinet(np.zeros((17, 128), np.int16), np.zeros(17, np.int32)),
        QuantizedCabinet(cabinet.taps, np.full(16, 32, np.int32)),
        QuantizedCabinet(cabinet.taps[:, 1:], cabinet.shifts),
    ):
        with pytest.raises(InputError, match=r"description is not valid|shapes do not match"):
            native.load(1, blob.to_bytes(good, self_test, cabinet=bad))
