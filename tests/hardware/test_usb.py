"""The pedal as a USB audio interface: the native firmware behind USB/IP, and a guest in which the drivers of a stock
Linux, PortAudio and `pedal verify` play through it."""

import json
import pickle
import re
import shlex
import sys
from ctypes.util import find_library
from pathlib import Path

import numpy as np
import pytest
from linux_guest import need_guest, run_in_guest

from export import daisy
from export.fixed_point import to_q31
from hardware.firmware_build import REPOSITORY, build
from hardware.program_link import ProgramLink
from training import audio, model_file
from training.guitar import render_take

RATE_HZ = 48_000
TAKE_S, VERIFIED_S, SOAK_S, SETTLING_S = 3.0, 1.0, 60.0, 1.0
LATENCIES_S = (0.1, 0.05, 0.03, 0.01)
REPLUGS = 10
TIMEOUT_S = 900


@pytest.fixture(scope="module")
def di():
    """Synthetic guitar, int32 [frames], 24 bits."""
    return to_q31(render_take(7, TAKE_S, RATE_HZ) * 0.9) >> 8


@pytest.fixture(scope="module")
def exported(make_model):
    return daisy.prepare(make_model(hidden_size=12))


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
    return tmp_path_factory.mktemp("guest")


@pytest.fixture(scope="module")
def results(folder, di, exported):
    """What came of each scenario, by its name: one guest for all."""
    need_guest("lsusb", "amixer")
    if not find_library("portaudio"):
        pytest.skip("libportaudio2 is missing")
    (folder / "amp.pedal").write_bytes(exported.blob())
    (folder / "exported").write_bytes(pickle.dumps(exported))
    model_file.save(folder / "amp.pt", exported.model)
    audio.write(folder / "di.wav", di[: round(VERIFIED_S * RATE_HZ)] / 2.0**23, RATE_HZ)
    np.save(folder / "di.npy", di)
    np.save(folder / "soak.npy", np.tile(di, round(SOAK_S / TAKE_S)))
    np.pad(di, (round(SETTLING_S * RATE_HZ), 0)).astype("<i4").tofile(folder / "guitar.raw")

    plain = str(build("native"))
    verify = ["verify", "/run/out/amp.pt", "--input", "/run/out/di.wav", "--on", "usb", "--out"]
    run = ["run", "/run/out/take.wav", "/run/out/none.wav", "--model", "/run/out/amp.pedal", "--on", "usb"]
    audio.write(folder / "take.wav", di / 2.0**23, RATE_HZ)

    def take(name, *pedals, latencies_s=(0.1,), di="di", **more):
        files = {"di": f"/run/out/{di}.npy", "blob": "/run/out/amp.pedal", "into": name}
        return {"name": name, "do": "takes", "pedals": pedals, "latencies_s": latencies_s, **files, **more}

    again = take("replugged", [plain], do="replug", times=REPLUGS)
    del again["latencies_s"]
    scenarios = [
        {"name": "look", "do": "look", "pedals": [[plain]]},
        {"name": "verify", "do": "command", "pedals": [[plain]], "arguments": [*verify, "/run/out/verify"]},
        take("latencies", [plain], latencies_s=LATENCIES_S),
        take("slow", [plain, "--ppm", "-200"]),
        take("soak", [plain, "--ppm", "200"], di="soak"),
        {
            "name": "frozen",
            "do": "command",
            "pedals": [[plain, "--freeze-feedback", "--ppm", "1000"]],
            "arguments": run,
        },
        {"name": "unplugged", "do": "unplugged", "pedals": [[plain]], "arguments": run, "after_s": 1.0},
        again,
        take("sanitized", [str(build("native_sanitized"))]),
        {"name": "two", "do": "command", "pedals": [[plain], [plain]], "arguments": ["slots", "--on", "usb"]},
        take("second", [plain], [plain], of="native-3241"),
        {
            "name": "live",
            "do": "live",
            "pedals": [[plain, "--guitar", "/run/out/guitar.raw"]],
            "blob": "/run/out/amp.pedal",
            "into": "live",
            "seconds": SETTLING_S + TAKE_S + 1.0,
        },
    ]
    (folder / "scenarios").write_text(json.dumps(scenarios))
    script = Path(__file__).with_name("usb_in_guest.py")
    guest = shlex.join([sys.executable, str(script), "/run/out/scenarios"])
    # time there is what the processor has done, so a busy host makes no difference
    clock = ("-icount", "shift=1,sleep=off")
    run_in_guest(f"cd {shlex.quote(str(REPOSITORY))} && PYTHONPATH=$PWD {guest}", folder, TIMEOUT_S, *clock)
    done = map(json.loads, (folder / "results").read_text().splitlines())
    return {result["name"]: result for result in done}


def output(folder, name, index=0):
    return np.load(folder / f"{name}-{index}.npy")


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
    report = json.loads((folder / "verify" / "report.json").read_text())
    assert report["passed"] and report["delay_frames"] == 0
    assert 0 < report["round_trip_frames"] < RATE_HZ // 2
    assert f"{report['round_trip_frames']:,} frames" in (folder / "verify" / "report.html").read_text()
    verified = di[: round(VERIFIED_S * RATE_HZ)]
    played = np.rint(audio.read(folder / "verify" / "pedal.wav").samples * 2.0**23).astype(np.int32)
    np.testing.assert_array_equal(played, native(verified))


def test_each_latency_gives_the_same_audio_and_its_round_trip(results, folder, di, native, capsys):
    expected = native(di)
    trips = numbers(results["latencies"])
    for index, trip in enumerate(trips):
        np.testing.assert_array_equal(output(folder, "latencies", index), expected)
        with capsys.disabled():
            print(f"\nlatency {trip['latency_s'] * 1e3:g} ms: round trip {trip['round_trip'] / 48:.1f} ms", end="")
    round_trips = [trip["round_trip"] for trip in trips]
    assert len(trips) == len(LATENCIES_S)
    assert round_trips == sorted(round_trips, reverse=True) and round_trips[-1] < round_trips[0]


@pytest.mark.parametrize("name", ["slow", "sanitized", "second", "replugged"])
def test_the_audio_is_what_the_native_engine_plays(results, folder, di, native, name):
    numbers(results[name])
    np.testing.assert_array_equal(output(folder, name), native(di))


def test_a_minute_with_the_fastest_clock(results, folder, native):
    """The buffer in the pedal neither fills nor empties."""
    (counted,) = numbers(results["soak"])
    played = np.load(folder / "soak.npy")
    np.testing.assert_array_equal(output(folder, "soak"), native(played))
    assert counted["frames_from_host"] > len(played)
    assert counted["feedback"] / 2**16 == pytest.approx(48 * (1 + 200e-6), abs=0.02)


def test_frozen_feedback_fails_with_the_place(results):
    """The negative control: without feedback the pedal cannot keep up with a clock 1,000 ppm off."""
    assert re.search(r"interrupted in 3 takes, in the last one at \d+\.\d{3} s: ", error(results["frozen"]))


def test_unplugging_while_it_plays_is_one_line_within_two_seconds(results):
    assert "the pedal" in error(results["unplugged"])
    assert results["unplugged"]["seconds"] < 2


def test_replugging_in_the_midst_of_takes(results):
    interrupted = results["replugged"]["interrupted"]
    assert len(interrupted) == REPLUGS
    for result in interrupted:
        error(result)


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
    np.testing.assert_array_equal(processed[start : start + len(di)], expected)


def test_the_descriptors_and_the_controls(results):
    look = results["look"]
    assert look["lsusb"].count("Interface Descriptor") == 7  # with the alternate settings
    for sign in ("Oddity Pedal", "bcdADC              2.00", "Clock Source", "Feedback", "CDC ACM"):
        assert sign in look["lsusb"], look["lsusb"]
    for complaint in ("Warning", "junk", "unknown", "INVALID", "BAD"):
        assert complaint not in look["lsusb"] + look["lsusb_errors"], look["lsusb"] + look["lsusb_errors"]
    assert "48000" in look["stream"] and "S24_3LE" in look["stream"] and "ASYNC" in look["stream"]
    assert "pvolume" in look["controls"] and "pswitch" in look["controls"]


def test_nobody_complains(results, folder):
    """Neither the kernel, while the pedal is plugged in, nor the sanitizers."""
    said = "".join(log.read_text() for log in folder.glob("*.log"))
    assert said == ""
    complaints = r"error|fail|invalid|cannot|not supported|BUG|WARN|Oops"
    for name, result in results.items():
        if name not in ("unplugged", "replugged"):
            assert not [line for line in result["log"] if re.search(complaints, line)], (name, result["log"])
