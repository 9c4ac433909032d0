"""The pedal as a USB audio interface: the native firmware behind USB/IP, and a guest in which the drivers of a stock
Linux, PortAudio and `pedal verify` play through it."""

import json
import os
import pickle
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from ctypes.util import find_library
from pathlib import Path

import numpy as np
import pytest
from linux_guest import kernel, need_guest, run_in_guest

from export import daisy
from export.fixed_point import to_q31
from hardware.firmware_build import REPOSITORY, build
from hardware.program_link import ProgramLink
from training import audio, model_file
from training.capture import read_pair
from training.capture_simulation import simulate_capture
from training.guitar import render_take
from training.loop import TrainingConfig, train

RATE_HZ = 48_000
TAKE_S, SHORT_S, VERIFIED_S, SOAK_S, SETTLING_S = 3.0, 0.1, 1.0, 60.0, 1.0
LATENCIES_S = (0.1, 0.05, 0.03, 0.01)
REPLUGS = 10
CONFIG = TrainingConfig(model="lstm-12", steps=1500, streams=8, segment_frames=512, run_in_frames=512)
LAST_BITS = 16
NOISE_S, NOISE_PEAK = 60.0, 3
GONE = "is gone|has stopped|has ended|silent|no sound device"
TIMEOUT_S = 1800
COMPILED = {"NUMBA_CACHE_DIR": "/run/out/numba", "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}


@pytest.fixture(scope="module")
def di():
    """Synthetic guitar, int32 [frames], 24 bits."""
    return to_q31(render_take(7, TAKE_S, RATE_HZ) * 0.9) >> 8


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model that half a minute of training has made of a simulated Tube Screamer."""
    place = tmp_path_factory.mktemp("training")
    capture = read_pair(*simulate_capture(place, "tube_screamer", {"drive": 0.5, "tone": 0.5, "level": 0.7}, 10.0, 3))
    model = train(capture, CONFIG, place / "amp.pt", report=lambda _: None)
    assert model.training["validation_esr"] < 0.2
    return daisy.prepare(model)


@pytest.fixture(scope="module")
def native(exported):
    """What the native engine makes of samples from its reset on."""

    def play(samples):
        with ProgramLink("native", build("native")) as link:
            link.load(0, exported.blob())
            link.reset()
            return link.process(samples)

    return play


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of the guests' results, and what they begin with."""
    return tmp_path_factory.mktemp("guest")


@pytest.fixture(scope="module")
def results(folder, di, exported):
    """What came of each scenario, by its name. Two guests share them, as what the commands load takes one a minute."""
    need_guest("lsusb", "amixer")
    if not find_library("portaudio"):
        pytest.skip("libportaudio2 is missing")
    plain = str(build("native"))
    sanitized = str(build("native_sanitized"))
    verify = ["verify", "/run/out/amp.pt", "--input", "/run/out/di.wav", "--on", "usb", "--out", "/run/out/verify"]
    run = ["run", "/run/out/take.wav", "/run/out/none.wav", "--model", "/run/out/amp.pedal", "--on", "usb"]

    def scenario(name, do, *pedals, **more):
        return {"name": name, "do": do, "pedals": pedals, **more}

    def take(name, *pedals, do="takes", di="di", **more):
        files = {"di": f"/run/out/{di}.npy", "blob": "/run/out/amp.pedal", "into": name}
        return scenario(name, do, *pedals, **files, **more)

    noisy = [plain, "--guitar", "/run/out/noise.raw"]  # as the converter of a pedal is, with nothing plugged in
    frozen = [plain, "--freeze-feedback", "--ppm", "1000"]
    commands = [
        scenario("verify", "command", noisy, arguments=verify),
        scenario("frozen", "command", frozen, arguments=run),
        scenario("unplugged", "unplugged", [plain], arguments=run, after_s=1.0),
        take("sanitized", [sanitized]),
    ]
    links = [
        scenario("look", "look", [plain]),
        take("latencies", noisy, latencies_s=LATENCIES_S),
        take("short", noisy, di="short"),
        take("slow", [*noisy, "--ppm", "-200"]),
        take("fast", [*noisy, "--ppm", "1000"]),
        take("soak", [plain, "--ppm", "200"], di="soak"),
        take("replugged", [plain], do="replug", times=REPLUGS),
        scenario("two", "command", [plain], [plain], arguments=["slots", "--on", "usb"]),
        take("second", [plain], [plain], of="native-3241"),
        scenario(
            "live",
            "live",
            [plain, "--guitar", "/run/out/guitar.raw"],
            blob="/run/out/amp.pedal",
            into="live",
            seconds=SETTLING_S + TAKE_S + 1.0,
        ),
    ]
    kernel()
    for name, content in {"commands": commands, "links": links}.items():
        shared = folder / name
        shared.mkdir()
        (shared / "scenarios").write_text(json.dumps(content))
        (shared / "amp.pedal").write_bytes(exported.blob())
        (shared / "exported").write_bytes(pickle.dumps(exported))
        model_file.save(shared / "amp.pt", exported.model)
        _compile(shared)
        audio.write(shared / "di.wav", di[: round(VERIFIED_S * RATE_HZ)] / 2.0**23, RATE_HZ)
        audio.write(shared / "take.wav", di / 2.0**23, RATE_HZ)
        np.save(shared / "di.npy", di)
        np.save(shared / "short.npy", di[: round(SHORT_S * RATE_HZ)])
        np.save(shared / "soak.npy", np.tile(di, round(SOAK_S / TAKE_S)))
        np.pad(di, (round(SETTLING_S * RATE_HZ), 0)).astype("<i4").tofile(shared / "guitar.raw")
        noise = np.random.default_rng(0).integers(-NOISE_PEAK, NOISE_PEAK, round(NOISE_S * RATE_HZ), endpoint=True)
        noise.astype("<i4").tofile(shared / "noise.raw")
    script = shlex.quote(str(Path(__file__).with_name("usb_in_guest.py")))
    settings = " ".join(f"{name}={value}" for name, value in COMPILED.items())
    command = f"cd {shlex.quote(str(REPOSITORY))} && {settings} PYTHONPATH=$PWD {shlex.quote(sys.executable)} {script}"
    # time there is what the processor has done, so a busy host makes no difference
    clock = ("-icount", "shift=1,sleep=off")
    with ThreadPoolExecutor() as guests:
        list(guests.map(lambda name: run_in_guest(command, folder / name, TIMEOUT_S, *clock), ("commands", "links")))
    lines = [line for name in ("commands", "links") for line in (folder / name / "results").read_text().splitlines()]
    return {result["name"]: result for result in map(json.loads, lines)}


def _compile(shared):
    """What `verify` plays the model with, into the guest's cache: Numba would take the emulated processor minutes."""
    play = "import numpy as np; from training.model_file import load; load('amp.pt').render([0.0], dtype=np.float64)"
    settings = {**os.environ, **COMPILED, "NUMBA_CACHE_DIR": str(shared / "numba"), "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", play], cwd=shared, env=settings, check=True)
    assert list(shared.glob("numba/*/*play*"))


def output(folder, name, index=0):
    (path,) = folder.glob(f"*/{name}-{index}.npy")
    return np.load(path)


def numbers(result):
    """What `takes` printed, a line a take."""
    assert result["code"] == 0, result["err"]
    return [json.loads(line) for line in result["out"].splitlines()]


def error(result):
    assert result["code"] == 2, result
    (line,) = result["err"].splitlines()
    return line


def test_verify_passes_and_the_pedal_played_what_the_native_engine_plays(results, folder, di, native):
    result = results["verify"]
    assert result["code"] == 0, result["out"] + result["err"]
    report = json.loads((folder / "commands" / "verify" / "report.json").read_text())
    assert report["passed"] and report["delay_frames"] == 0
    assert 0 < report["round_trip_frames"] < RATE_HZ // 2
    assert f"{report['round_trip_frames']:,} frames" in (folder / "commands" / "verify" / "report.html").read_text()
    verified = di[: round(VERIFIED_S * RATE_HZ)]
    played = np.rint(audio.read(folder / "commands" / "verify" / "pedal.wav").samples * 2.0**23).astype(np.int32)
    np.testing.assert_array_equal(played, native(verified))


def test_each_latency_gives_the_same_audio_and_its_round_trip(results, folder, di, native, record_property):
    expected = native(di)
    trips = numbers(results["latencies"])
    for index, trip in enumerate(trips):
        np.testing.assert_array_equal(output(folder, "latencies", index), expected)
        record_property(f"USB latency {trip['latency_s'] * 1e3:g} ms", f"round trip {trip['round_trip'] / 48:.1f} ms")
    round_trips = [trip["round_trip"] for trip in trips]
    assert len(trips) == len(LATENCIES_S)
    assert round_trips == sorted(round_trips, reverse=True) and round_trips[-1] < round_trips[0]


@pytest.mark.parametrize("name", ["slow", "fast", "sanitized", "second", "replugged"])
def test_the_audio_is_what_the_native_engine_plays(results, folder, di, native, name):
    numbers(results[name])
    np.testing.assert_array_equal(output(folder, name), native(di))


def test_a_short_take_does_not_begin_with_what_was_recorded_before_it(results, folder, di, native):
    numbers(results["short"])
    np.testing.assert_array_equal(output(folder, "short"), native(di[: round(SHORT_S * RATE_HZ)]))


def test_a_minute_with_the_fastest_clock(results, folder, native):
    """The buffer in the pedal neither fills nor empties."""
    (counted,) = numbers(results["soak"])
    played = np.load(folder / "links" / "soak.npy")
    np.testing.assert_array_equal(output(folder, "soak"), native(played))
    assert counted["frames_from_host"] > len(played)
    assert counted["feedback"] / 2**16 == pytest.approx(48 * (1 + 200e-6), abs=0.02)


def test_frozen_feedback_fails_with_the_place(results):
    """The negative control: without feedback the pedal cannot keep up with a clock 1,000 ppm off."""
    assert re.search(r"interrupted in 3 takes, in the last one at \d+\.\d{3} s: ", error(results["frozen"]))


def test_unplugging_while_it_plays_is_one_line_within_two_seconds(results):
    assert re.search(GONE, error(results["unplugged"]))
    assert results["unplugged"]["seconds"] < 2


def test_replugging_in_the_midst_of_takes(results):
    interrupted = results["replugged"]["interrupted"]
    assert len(interrupted) == REPLUGS
    for result in interrupted:
        assert re.search(GONE, error(result))


def test_of_two_pedals_one_is_chosen_by_its_serial_number(results):
    line = error(results["two"])
    assert "2 pedals are on USB" in line and line.count("usb:native-") == 2


def test_live_both_channels_come_to_the_host(results, folder, di, native):
    assert results["live"]["code"] == 0 and "None" in results["live"]["out"], results["live"]
    guitar, processed = output(folder, "live").T
    start = np.flatnonzero(guitar)[0] - np.flatnonzero(di)[0]
    np.testing.assert_array_equal(guitar[start : start + len(di)], di)
    silence = round(SETTLING_S * RATE_HZ)
    expected = native(np.pad(di, (silence, 0)))[silence:]
    # how long it had been silent before, which nobody counts, is heard in the last bits
    np.testing.assert_allclose(processed[start : start + len(di)], expected, atol=LAST_BITS)


def test_the_descriptors_and_the_controls(results):
    look = results["look"]
    assert len(re.findall(r"^    Interface Descriptor:", look["lsusb"], re.M)) == 7  # with the alternate settings
    for sign in ("Oddity Pedal", "CLOCK_SOURCE", "Mute Control (read/write)", "Feedback", "CDC ACM"):
        assert sign in look["lsusb"], look["lsusb"]
    for complaint in ("Warning", "junk", "unknown", "INVALID", "BAD"):
        assert complaint not in look["lsusb"] + look["lsusb_errors"], look["lsusb"] + look["lsusb_errors"]
    assert "48000" in look["stream"] and "S24_3LE" in look["stream"] and "ASYNC" in look["stream"]
    assert "pvolume" in look["controls"] and "pswitch" in look["controls"]


def test_nobody_complains(results, folder):
    """Neither the kernel, while the pedal is plugged in, nor the sanitizers."""
    said = "".join(log.read_text() for log in folder.glob("*/*.log"))
    assert said == ""
    complaints = r"error|fail|invalid|cannot|not supported|BUG|WARN|Oops"
    for name, result in results.items():
        if name not in ("unplugged", "replugged"):
            assert not [line for line in result["log"] if re.search(complaints, line)], (name, result["log"])
