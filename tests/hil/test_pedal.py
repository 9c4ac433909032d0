"""The pedal behind its link, on each pedal that is a program: the emulated chip and the native build."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import skip_if_muted, skip_without
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from export import blob, fixed_point, resampling
from export.daisy import prepare
from export.quantize import MAXIMUM_SUM, PRECISIONS, packed, quantize, requantized
from hardware import protocol
from hardware.firmware_build import build
from hardware.program_link import ProgramLink
from hardware.protocol import Engine, Message, Parameter, Status
from hardware.verify import verify
from training import audio
from training.cabinet import Cabinet
from training.eq_block import EqNetwork
from training.errors import InputError
from training.model_file import Model


@pytest.fixture
def contents(make_model, guitar):
    """Makes a blob of a model."""

    def make(**kind):
        quantized = quantize(make_model(**kind), guitar[:500])
        return blob.to_bytes(quantized, blob.make_self_test(quantized, guitar))

    return make


def play(link, samples, engine=Engine.FIXED, block_frames=48):
    """From a reset pedal, int32 [frames] of 24 bits in and out."""
    skip_without(engine, link)
    link.select(0, engine)
    link.reset()
    return link.process(samples, block_frames)


def samples_of(guitar, frames=3000):
    return fixed_point.to_q31(guitar[:frames]) >> 8


def play_expected(quantized, samples):
    """What the specification makes of `samples`, knobs at their defaults; 24 bits, as a pedal's samples."""
    expected = fixed_point.play(quantized, samples << 8, blob.default_positions_q31(quantized.knobs))
    return np.minimum((expected.astype(np.int64) + 128) >> 8, 2**23 - 1)


@pytest.mark.parametrize(
    ("unit", "hidden_size", "knob_count", "layers"),
    [("lstm", 1, 0, 1), ("lstm", 40, 0, 1), ("lstm", 13, 3, 2), ("gru", 10, 0, 1), ("gru", 5, 4, 3), ("gru", 28, 0, 2)],
)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_pedal_equals_the_specification(
    pedal, make_model, guitar, unit, hidden_size, knob_count, layers, precision
):
    model = make_model(unit, hidden_size, knob_count, layers=layers)
    quantized = requantized(quantize(model, guitar[:500]), model, precision=precision)
    samples = samples_of(guitar, 700)
    for each in (quantized, requantized(quantized, model, weight_bits=8)):
        pedal.load(0, blob.to_bytes(each, blob.make_self_test(each, guitar)))
        played = play(pedal, samples)
        skip_if_muted(pedal)
        assert np.array_equal(played, play_expected(each, samples))


@pytest.mark.parametrize("sample_rate_hz", [22_050, 32_000, 44_100, 64_000, 88_200, 96_000])
def test_models_of_other_rates_are_resampled_around(pedal, make_model, guitar, sample_rate_hz):
    model = replace(make_model("gru", 3, 1), sample_rate_hz=sample_rate_hz)
    quantized = quantize(model, guitar)
    pedal.load(0, blob.to_bytes(quantized, blob.make_self_test(quantized, guitar)))
    samples = samples_of(guitar)
    for block_frames in (1, 48, 256):
        assert np.array_equal(play(pedal, samples, block_frames=block_frames), play_expected(quantized, samples))


@pytest.mark.parametrize("sample_rate_hz", [44_100, 48_000])
@pytest.mark.parametrize("unit", ["lstm", "gru"])
def test_nothing_is_heard_of_a_model_that_was_just_loaded(pedal, make_model, guitar, unit, sample_rate_hz):
    """It comes from the state in which its trainer left it, and is at rest before the first frame."""
    model = replace(make_model(unit, 8), sample_rate_hz=sample_rate_hz)
    start = torch.full((1, 1, 8), 0.7)
    model.start = (start, 2 * start) if unit == "lstm" else start
    quantized = requantized(quantize(model, guitar), model, precision="fine")
    pedal.load(0, blob.to_bytes(quantized, blob.make_self_test(quantized, guitar)))
    silence = play(pedal, np.zeros(2000, np.int32)) * 2.0**-23
    assert np.ptp(silence) < 1e-5 and abs(silence[0]) > 1e-4
    moving = model.network(torch.zeros(1, 500), None, model.start)[0]
    assert (moving.max() - moving.min()) > 0.01


def edge_model(make_model, unit, hidden_size, layers, precision, weight_bits, seed, edges, sample_rate_hz=48_000):
    """A quantized model of random integers over the whole of their formats, a share of `edges` of them at the ends."""
    rng = np.random.default_rng(seed)
    float_model = make_model(unit, hidden_size, layers=layers)
    model = quantize(float_model, np.zeros(32, np.float32))
    if weight_bits == 8:
        model = requantized(model, float_model, weight_bits=8)

    def draw(like, bits):
        values = rng.integers(-(2**bits), 2**bits, like.shape)
        ends = rng.choice([-(2**bits), -1, 0, 1, 2**bits - 1], like.shape)
        return np.where(rng.random(like.shape) < edges, ends, values).astype(like.dtype)

    def rows_of(shape):
        """Integer rows whose sums just fit 32 bits: one weight at the end of its range, or all alike."""
        inputs = shape[2] * shape[3]
        limit = min(32767, MAXIMUM_SUM // inputs) if weight_bits == 16 else 127
        rows = rng.integers(-limit, limit + 1, (*shape[:2], inputs))
        alike = rng.choice([-limit, limit], (*shape[:2], inputs))
        alone = np.where(np.arange(inputs) == rng.integers(inputs), 127 if weight_bits == 8 else -32767, 0)
        kind = rng.random((*shape[:2], 1))
        return np.where(kind < edges, np.where(kind < edges / 2, alike, alone), rows).reshape(shape)

    input_weights = draw(model.input_weights, 28)
    if unit == "gru":
        input_weights[:, 2] = 0  # n's share from the state has no audio in it
    stored = model.recurrent_weights if weight_bits == 16 else model.int8_weights
    rows = [rows_of(layer.shape) for layer in model.dense(stored)]
    arrays = {"recurrent_weights": np.concatenate([packed(layer.astype(np.int16)) for layer in rows])}
    if weight_bits == 8:
        steps = np.zeros((layers * hidden_size, 4), np.int16)
        for layer, integers in enumerate(rows):
            units = slice(layer * hidden_size, (layer + 1) * hidden_size)
            sums = np.maximum(np.abs(integers).sum((2, 3)), 1)
            steps[units, : integers.shape[1]] = np.minimum(258, MAXIMUM_SUM // sums)
            rows[layer] = integers * steps[units, : integers.shape[1], None, None]
        arrays |= {"int8_weights": arrays["recurrent_weights"].astype(np.int8), "int8_steps": steps}
        arrays["recurrent_weights"] = np.concatenate([packed(layer.astype(np.int16)) for layer in rows])
    return replace(
        model,
        precision=precision,
        cell_frac_bits=tuple(int(bits) for bits in rng.integers(24, 29, layers)),
        head_frac_bits=int(rng.integers(8, 29)),
        head_bias=int(rng.integers(-(2**24), 2**24)),
        dry_gain=int(rng.choice([0, -(2**30), 2**30, rng.integers(-(2**30), 2**30)])),
        rest=draw(np.zeros((layers * hidden_size, 2), np.int32), 30),
        sample_rate_hz=sample_rate_hz,
        resampling=resampling.needed(sample_rate_hz),
        bias=draw(model.bias, 27),
        scale=np.abs(draw(model.scale, 29)),
        input_weights=input_weights,
        head_weights=draw(model.head_weights, 22),
        **arrays,
    )


EDGES = {
    "unit": st.sampled_from(["lstm", "gru"]),
    "hidden_size": st.integers(1, 64),
    "layers": st.integers(1, 4),
    "precision": st.sampled_from(PRECISIONS),
    "weight_bits": st.sampled_from([16, 8]),
    "seed": st.integers(0, 2**32),
    "edges": st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    "block_frames": st.integers(1, 64),
    "sample_rate_hz": st.sampled_from([22_050, 44_100, 48_000, 64_000, 88_200, 96_000]),
}


def check_edges(link, make_model, block_frames, seed, layers, hidden_size, **kind):
    model = edge_model(make_model, hidden_size=min(hidden_size, 64 // layers), layers=layers, seed=seed, **kind)
    rng = np.random.default_rng(seed)
    ends = rng.choice([-(2**23), -1, 0, 1, 2**23 - 1], 256)
    samples = np.where(rng.random(256) < 0.3, ends, rng.integers(-(2**23), 2**23, 256)).astype(np.int32)
    # the pedal compares 256 samples at 32 bits when the model is loaded
    link.load(0, blob.to_bytes(model, blob.make_self_test(model, samples / 2.0**23)))
    assert np.array_equal(play(link, samples[:100], block_frames=block_frames), play_expected(model, samples[:100]))


SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=150, **SLOW)
@given(**EDGES)
def test_integers_at_the_edges_of_their_ranges_give_the_same_bits_natively(native, make_model, **drawn):
    check_edges(native, make_model, **drawn)


@settings(max_examples=20, **SLOW)
@given(**EDGES)
def test_integers_at_the_edges_of_their_ranges_give_the_same_bits_on_the_chip(emulator, make_model, **drawn):
    check_edges(emulator, make_model, **drawn)


def test_the_compiled_specification_is_the_one_that_is_written(make_model, guitar, monkeypatch):
    """Numba's integers against Python's own, which never overflow."""
    model = edge_model(make_model, "lstm", 3, 2, "finest", 16, seed=1, edges=0.5)
    other = edge_model(make_model, "gru", 3, 2, "coarse", 16, seed=2, edges=0.5)
    samples = fixed_point.to_q31(2 * guitar[:40])
    compiled = [fixed_point.run(each, samples) for each in (model, other)]
    for name in (
        "_run",
        "_add_products",
        "_lstm_unit",
        "_gru_unit",
        "_sigmoid",
        "_coarse",
        "_fine",
        "_clip",
        "_rounded",
    ):
        monkeypatch.setattr(fixed_point, name, getattr(fixed_point, name).py_func)
    for each, expected in zip((model, other), compiled, strict=True):
        with np.errstate(over="raise"):
            assert np.array_equal(fixed_point.run(each, samples), expected)


def test_block_size_does_not_change_the_output(pedal, contents, guitar, engine):
    pedal.load(0, contents())
    samples = samples_of(guitar)
    outputs = [play(pedal, samples, engine, frames) for frames in (1, 7, 48, 256)]
    assert np.abs(outputs[0]).max() > 2**18
    for output in outputs[1:]:
        assert np.array_equal(output, outputs[0])


def test_reset_gives_identical_output(pedal, contents, guitar, engine):
    pedal.load(0, contents())
    samples = samples_of(guitar)
    first = play(pedal, samples, engine)
    assert not np.array_equal(pedal.process(samples), first)  # the state was carried on
    assert np.array_equal(play(pedal, samples, engine), first)


def test_native_and_emulator_give_the_same_bits(native, emulator, contents, guitar):
    for kind in ({"unit": "lstm", "hidden_size": 20}, {"unit": "gru", "hidden_size": 9, "knob_count": 2}):
        outputs = []
        for link in (native, emulator):
            link.load(0, contents(**kind))
            link.select(0, Engine.FIXED)
            link.set(Parameter.KNOB_1, 0.9)
            link.set(Parameter.INPUT_LEVEL, 1.7)
            link.reset()
            outputs.append(link.process(samples_of(guitar)))
            link.set(Parameter.INPUT_LEVEL, 1.0)
        assert np.array_equal(*outputs)


@pytest.mark.parametrize("board", ["native", "emulator"])
def test_header_and_blob_give_identical_output(board, request, run_pedal, make_model, guitar, tmp_path):
    from training import model_file

    model_file.save(tmp_path / "built in.pt", make_model("lstm", 6, 1))
    assert run_pedal("export", "built in.pt", cwd=tmp_path).returncode == 0
    samples = samples_of(guitar)
    with ProgramLink(board, build(board, tmp_path / "built in.h")) as link:
        assert link.hello().active_slot == 0
        assert link.slot(0).name == "lstm-6"
        link.reset()
        from_header = link.process(samples)
    uploaded = request.getfixturevalue(board)
    uploaded.load(0, (tmp_path / "built in.pedal").read_bytes())
    assert np.array_equal(play(uploaded, samples), from_header)


def test_verify_passes_and_notices_another_model(pedal, make_model, guitar, engine):
    skip_without(engine, pedal)
    exported = prepare(make_model("lstm", 8), guitar)
    report, signals = verify(pedal, exported, guitar, engine=engine)
    assert report.passed, report.limits
    assert report.frames == len(guitar) == len(signals.pedal)
    assert report.delay_frames == 0
    other = prepare(make_model("lstm", 8, seed=1), guitar)
    mistaken = replace(exported, quantized=other.quantized, self_test=other.self_test)
    report, _ = verify(pedal, mistaken, guitar, engine=engine)
    assert not report.passed
    assert report.snr_pedal_vs_model_db < 30


def test_verify_with_knobs(pedal, make_model, guitar):
    exported = prepare(make_model("gru", 8, 2), guitar)
    report, _ = verify(pedal, exported, guitar, knobs=[9.0, 1.5])
    assert report.passed
    at_defaults, _ = verify(pedal, exported, guitar)
    assert at_defaults.snr_pedal_vs_model_db != report.snr_pedal_vs_model_db


def test_verify_on_a_real_guitar_gives_the_same_bits_on_both(native, emulator, make_model, real_guitar):
    di = audio.read(real_guitar).samples[48_000 : 48_000 + 24_000]
    exported = prepare(make_model("lstm", 16), di)
    heard = []
    for link in (native, emulator):
        report, signals = verify(link, exported, di)
        assert report.passed
        heard.append(signals.pedal)
    assert np.array_equal(*heard)


def test_bypass_passes_the_guitar_and_levels_scale_it(pedal, contents, guitar):
    pedal.load(0, contents())
    samples = samples_of(guitar)
    normal = play(pedal, samples)
    pedal.set(Parameter.BYPASS, 1)
    assert np.array_equal(play(pedal, samples), samples)
    pedal.set(Parameter.BYPASS, 0)
    pedal.set(Parameter.OUTPUT_LEVEL, 0.5)
    assert np.abs(play(pedal, samples) - normal / 2).max() <= 1
    pedal.set(Parameter.OUTPUT_LEVEL, 1.0)


def test_selecting_a_model_while_playing_does_not_click(pedal, contents):
    pedal.load(0, contents())
    pedal.load(1, contents(unit="gru", hidden_size=4))
    pedal.select(0, Engine.FIXED)
    pedal.reset()
    tone = np.rint(0.3 * 2**23 * np.sin(2 * np.pi * 100 * np.arange(9600) / 48_000)).astype(np.int32)
    before = pedal.process(tone)
    pedal.select(1, Engine.FIXED)
    after = pedal.process(tone)
    steps = np.abs(np.diff(np.concatenate([before[4800:], after])))
    steady = max(np.abs(np.diff(before[4800:])).max(), np.abs(np.diff(after[4800:])).max(), np.abs(np.diff(tone)).max())
    assert steps.max() < 1.5 * steady
    assert pedal.hello().active_slot == 1


@pytest.mark.parametrize("kind", ["gru-2x5", "lstm-6 at 44.1 kHz", "eq-6x33 with a cabinet"])
def test_after_a_change_the_next_model_is_where_it_would_be_alone(pedal, make_model, contents, guitar, kind):
    """It runs in beside the one before, is faded to, and goes over into the first engine's memory, to the bit."""
    pedal.load(0, contents())
    cabinet = None
    if kind.startswith("eq"):
        torch.manual_seed(0)
        network = EqNetwork.from_name("eq-6x33")
        response = np.exp(-np.arange(512) / 40) * np.cos(np.arange(512))
        model = Model("amp", "eq", network.config, network.eval())
        exported = prepare(model, guitar, cabinet=Cabinet("cab", response / np.abs(np.fft.rfft(response)).max()))
        quantized, cabinet = replace(exported.quantized, precision="coarse"), exported.quantized_cabinet
    else:
        layers = 2 if "2x" in kind else 1
        model = make_model(kind[:4].strip("-"), 5 if layers == 2 else 6, layers=layers)
        quantized = quantize(replace(model, sample_rate_hz=44_100 if "44.1" in kind else 48_000), guitar)
    pedal.load(1, blob.to_bytes(quantized, blob.make_self_test(quantized, guitar), cabinet=cabinet))
    samples = samples_of(guitar, len(guitar))
    play(pedal, samples[:480])
    pedal.select(1, Engine.FIXED)
    heard = pedal.process(samples)
    alone = fixed_point.play(quantized, samples << 8, (), cabinet)
    alone = np.minimum((alone.astype(np.int64) + 128) >> 8, 2**23 - 1)
    assert not np.array_equal(heard[:4800], alone[:4800])  # 100 ms in which it runs in, and 20 ms of a fade
    assert np.array_equal(heard[5776:], alone[5776:])


def damaged(good: bytes) -> dict[str, tuple[bytes, str]]:
    """Blobs that are wrong in one way each, with a word of the reason that the pedal must give."""

    def sealed(contents: bytes) -> bytes:
        """With the length and the CRC put right again."""
        return contents[:8] + struct.pack("<II", len(contents), zlib.crc32(contents[16:])) + contents[16:]

    hidden_size = 16 + 8 + 1
    flags = hidden_size + 3
    output = bytearray(good)
    output[-2] ^= 0x40
    return {
        "empty": (b"", "shorter"),
        "truncated": (good[:-8], "length"),
        "overlong": (good + bytes(8), "length"),
        "not a blob": (b"RIFF" + good[4:], "not a model blob"),
        "another version": (good[:4] + b"\x07\x00" + good[6:], "version"),
        "wrong CRC": (good[:100] + bytes([good[100] ^ 1]) + good[101:], "CRC"),
        "hidden size of another model": (sealed(good[:hidden_size] + b"\x09" + good[hidden_size + 1 :]), "shapes"),
        "hidden size out of range": (sealed(good[:hidden_size] + b"\x41" + good[hidden_size + 1 :]), "description"),
        "too many layers": (sealed(good[: hidden_size + 1] + b"\x09" + good[hidden_size + 2 :]), "description"),
        "a flag of yesterday": (sealed(good[:flags] + b"\x01" + good[flags + 1 :]), "description"),
        "a flag of tomorrow": (sealed(good[:flags] + b"\x21" + good[flags + 1 :]), "description"),
        "one section too few": (sealed(good[:6] + b"\x07\x00" + good[8:]), "sections"),
        "self-test of another model": (sealed(bytes(output)), "self-test"),
    }


def test_bad_blobs_are_refused_and_the_pedal_keeps_its_model(pedal, contents, guitar):
    good = contents()
    pedal.load(0, good)
    samples = samples_of(guitar, 1000)
    expected = play(pedal, samples)
    for name, (bad, reason) in damaged(good).items():
        with pytest.raises(InputError, match=reason):
            pedal.load(0, bad)
        assert np.array_equal(play(pedal, samples), expected), name


def test_what_is_out_of_range_is_refused(pedal, contents):
    pedal.load(0, contents())
    refused = {
        "slot is empty": lambda: pedal.select(3, Engine.FIXED),
        "no such slot": lambda: pedal.load(200, contents()),
        "larger than a slot": lambda: pedal.load(0, bytes(200_000)),
        "out of range": lambda: pedal.set(Parameter.INPUT_LEVEL, -1.0),
        "block size": lambda: pedal.process(np.zeros(10, np.int32), 257),
        "is empty": lambda: pedal.slot(2),
    }
    for reason, request in refused.items():
        with pytest.raises(InputError, match=reason):
            request()
    assert pedal.hello().sample_rate_hz == 48_000


def test_noise_on_the_line_does_not_hang_the_pedal(pedal):
    rng = np.random.default_rng(1)
    hello = protocol.encode(Message.HELLO)
    for _ in range(20):
        noise = rng.integers(0, 256, 40, dtype=np.uint8).tobytes().replace(bytes([protocol.SYNC]), b"")
        pedal._port.write(noise + hello[:-1] + bytes([hello[-1] ^ 1]))
        assert pedal.hello().sample_rate_hz == 48_000
    assert pedal._port.in_waiting == 0


def test_a_frame_that_breaks_off_is_given_up(pedal):
    pedal._port.write(bytes([protocol.SYNC, Message.HELLO]) + (4000).to_bytes(2, "little"))
    pedal.rest(1.5)
    assert pedal.hello().sample_rate_hz == 48_000


def test_rtneural_refuses_stacked_layers(pedal, contents, engine):
    skip_without(engine, pedal)
    pedal.load(0, contents(layers=2))
    if engine == Engine.RTNEURAL:
        with pytest.raises(InputError, match="one layer only"):
            pedal.select(0, engine)
        pedal.load(0, contents())
        pedal.select(0, engine)
        pedal.load(0, contents(layers=2))  # into the slot that plays: the fixed-point engine takes over
        assert pedal.hello().active_engine == Engine.FIXED
    else:
        pedal.select(0, engine)


def test_unknown_messages_are_answered(pedal):
    pedal._port.write(protocol.encode(99))
    reply = pedal._port.read(6 + len(b"\x01unknown message"))
    assert reply == protocol.encode(99 | protocol.REPLY, bytes([Status.UNKNOWN_MESSAGE]) + b"unknown message")


def test_stats_count_blocks_and_clear(pedal, contents, guitar):
    pedal.load(0, contents())
    pedal.select(0, Engine.FIXED)
    pedal.reset()
    pedal.clear_stats()
    pedal.process(samples_of(guitar, 1000), 48)
    stats = pedal.stats()
    assert (stats.blocks, stats.faults, stats.overruns) == (21, 0, 0)
    assert stats.frames in (1000, 21 * 48)  # where the board makes the blocks, the last is as long as the others
    assert 0 < stats.mean_per_frame <= stats.worst_per_frame
    pedal.clear_stats()
    assert pedal.stats().frames == 0


def test_the_emulator_counts_instructions_and_overruns(emulator, make_model, guitar):
    sizes = {8: 0, 64: 10}
    for hidden_size, overruns in sizes.items():
        quantized = quantize(make_model("lstm", hidden_size), guitar[:200])
        emulator.load(0, blob.to_bytes(quantized, blob.make_self_test(quantized, guitar)))
        emulator.select(0, Engine.FIXED)
        emulator.reset()
        emulator.clear_stats()
        emulator.process(samples_of(guitar, 480), 48)
        assert emulator.stats().overruns == overruns
