"""The pedal behind its link, on each pedal that is a program: the emulated chip and the native build."""

import struct
import time
import zlib
from dataclasses import replace

import numpy as np
import pytest

from export import blob, fixed_point
from export.daisy import prepare
from export.quantize import quantize
from hardware import protocol
from hardware.firmware_build import build
from hardware.program_link import ProgramLink
from hardware.protocol import Engine, Message, Parameter, Status
from hardware.verify import verify
from training import audio
from training.errors import InputError


@pytest.fixture
def contents(make_model, guitar):
    """Makes a blob of a model."""

    def make(**kind):
        quantized = quantize(make_model(**kind), guitar[:500])
        return blob.to_bytes(quantized, blob.make_self_test(quantized, guitar))

    return make


def play(link, samples, engine=Engine.FIXED, block_frames=48):
    """From a reset pedal, int32 [frames] of 24 bits in and out."""
    link.select(0, engine)
    link.reset()
    return link.process(samples, block_frames)


def samples_of(guitar, frames=3000):
    return fixed_point.to_q31(guitar[:frames]) >> 8


@pytest.mark.parametrize(
    ("unit", "hidden_size", "knob_count"),
    [("lstm", 1, 0), ("lstm", 8, 0), ("lstm", 13, 3), ("gru", 10, 0), ("gru", 5, 4)],
)
def test_the_pedal_equals_the_numpy_specification(pedal, make_model, guitar, unit, hidden_size, knob_count):
    quantized = quantize(make_model(unit, hidden_size, knob_count), guitar[:500])
    pedal.load(0, blob.to_bytes(quantized, blob.make_self_test(quantized, guitar)))
    samples = samples_of(guitar, 1500)
    expected = fixed_point.run(quantized, samples << 8, blob.default_positions_q31(quantized.knobs))
    expected_24_bits = np.minimum((expected.astype(np.int64) + 128) >> 8, 2**23 - 1)
    assert np.array_equal(play(pedal, samples), expected_24_bits)


def edge_model(make_model, guitar, unit, hidden_size, cell_frac_bits):
    """A quantized model of random integers over the whole of their formats, with some at the ends."""
    rng = np.random.default_rng(hidden_size)
    model = quantize(make_model(unit, hidden_size), guitar[:200])

    def draw(like, bits):
        values = rng.integers(-(2**bits), 2**bits, like.shape)
        ends = rng.choice([-(2**bits), -1, 0, 1, 2**bits - 1], like.shape)
        return np.where(rng.random(like.shape) < 0.1, ends, values).astype(like.dtype)

    weights = np.zeros_like(model.recurrent_weights)
    rows = weights.transpose(0, 2, 1, 3).reshape(hidden_size, model.gate_count, -1)
    limit = min(32767, 65535 // hidden_size)  # a row's sum fits 32 bits
    rows[:, :, :hidden_size] = rng.integers(-limit, limit + 1, (hidden_size, model.gate_count, hidden_size))
    weights[:] = rows.reshape(hidden_size, model.gate_count, -1, 2).transpose(0, 2, 1, 3)
    return replace(
        model,
        cell_frac_bits=cell_frac_bits,
        head_frac_bits=24,
        head_bias=12345,
        bias=draw(model.bias, 24),
        scale=draw(model.scale, 25),
        input_weights=draw(model.input_weights, 27),
        recurrent_weights=weights,
        head_weights=draw(model.head_weights, 22),
    )


@pytest.mark.parametrize("unit", ["lstm", "gru"])
@pytest.mark.parametrize("hidden_size", [1, 2, 3, 4, 5, 6, 7, 8, 13, 20, 40, 64])
def test_random_integers_give_the_same_bits(pedal, make_model, guitar, unit, hidden_size):
    quantized = edge_model(make_model, guitar, unit, hidden_size, 24 + hidden_size % 5)
    # the pedal compares 512 samples at 32 bits when the model is loaded
    pedal.load(0, blob.to_bytes(quantized, blob.make_self_test(quantized, guitar)))
    samples = np.random.default_rng(1).integers(-(2**23), 2**23, 100).astype(np.int32)
    samples[40:50] = [-(2**23), 2**23 - 1] * 5
    expected = fixed_point.run(quantized, samples << 8)
    expected_24_bits = np.minimum((expected.astype(np.int64) + 128) >> 8, 2**23 - 1)
    assert np.array_equal(play(pedal, samples, block_frames=7), expected_24_bits)


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


def damaged(good: bytes) -> dict[str, tuple[bytes, str]]:
    """Blobs that are wrong in one way each, with a word of the reason that the pedal must give."""

    def sealed(contents: bytes) -> bytes:
        """With the length and the CRC put right again."""
        return contents[:8] + struct.pack("<II", len(contents), zlib.crc32(contents[16:])) + contents[16:]

    hidden_size = 16 + 8 + 1
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
    time.sleep(1.5)
    assert pedal.hello().sample_rate_hz == 48_000


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
    assert (stats.blocks, stats.frames, stats.faults, stats.overruns) == (21, 1000, 0, 0)
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
