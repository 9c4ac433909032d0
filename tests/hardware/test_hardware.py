"""The host's side: protocol, verification arithmetic, reports, and what the commands say when something is missing."""

import json
import resource
import signal
import time

import numpy as np
import pytest
import soundfile
from conftest import assert_one_line_error

from export import daisy
from export.daisy import SAMPLE_RATE_HZ, signal_to_noise_db
from hardware import protocol, report, verify
from hardware.connect import open_link
from hardware.firmware_build import RTNEURAL, build
from hardware.link import on_trial
from hardware.program_link import ProgramLink
from hardware.protocol import Engine
from training import audio, model_file
from training.errors import InputError


def test_the_firmware_has_the_same_protocol_table():
    assert protocol.HEADER.read_text() == protocol.header_text()


def test_frames_carry_the_crc_of_ccitt():
    frame = protocol.encode(0x31, b"")
    crc = 0xFFFF
    for byte in frame[1:-2]:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    assert frame == bytes([protocol.SYNC, 0x31, 0, 0, crc & 0xFF, crc >> 8])


@pytest.mark.parametrize("delay", [0, 1, 37, 6336])
def test_delay_is_found(guitar, delay):
    late = np.concatenate([np.zeros(delay), guitar])[: len(guitar)]
    assert verify.delay_frames(guitar, late) == delay


def test_signal_to_noise_and_error_to_signal_by_hand():
    reference, output = np.array([3.0, 4.0]), np.array([3.0, 3.5])
    assert verify.error_to_signal(reference, output) == pytest.approx(0.01)
    assert signal_to_noise_db(reference, output) == pytest.approx(20.0)


@pytest.fixture
def a_report():
    return verify.Report(
        model="<amp & co>",
        architecture="lstm-8",
        engine="fixed",
        board="emulator",
        firmware_version="0",
        frames=4800,
        delay_frames=0,
        round_trip_frames=960,
        esr_pedal_vs_model=1e-7,
        snr_pedal_vs_model_db=70.0,
        snr_resampling_db=71.5,
        largest_error_dbfs=-80.0,
        largest_error_at_s=0.05,
        esr_model_vs_target=None,
        esr_pedal_vs_target=None,
        instructions_per_sample=1200,
        worst_per_sample=1300,
        counter_unit="instructions",
        budget_per_sample=10_000,
        overruns=0,
        faults=0,
        clipped_frames=0,
        limits={"faults, at most": verify.Limit(0, 0, True)},
    )


def test_report_is_a_page_with_numbers_and_audio(a_report, guitar, tmp_path):
    signals = verify.Signals(di=guitar, model=guitar / 2, pedal=guitar / 2 + 1e-5)
    page = report.write(tmp_path, a_report, signals).read_text()
    numbers = json.loads((tmp_path / "report.json").read_text())
    assert numbers["passed"] is True
    assert numbers["snr_pedal_vs_model_db"] == 70.0
    assert "&lt;amp &amp; co&gt;" in page and "<amp & co>" not in page
    assert page.count("data:image/png;base64,") == 3
    for name in ("di", "model", "pedal"):
        assert f"src='{name}.wav'" in page
        assert soundfile.info(tmp_path / f"{name}.wav").frames == len(guitar)
    assert not (tmp_path / "target.wav").exists()


def test_a_missed_limit_fails_the_report(a_report):
    assert a_report.passed
    a_report.limits["overruns, at most"] = verify.Limit(3, 0, False)
    assert not a_report.passed
    assert "FAIL: overruns, at most 0: 3" in verify.table(a_report)


@pytest.fixture
def workplace(tmp_path, make_model, guitar):
    """A folder with a model and a DI."""
    model_file.save(tmp_path / "amp.pt", make_model("lstm", 8))
    audio.write(tmp_path / "di.wav", guitar, SAMPLE_RATE_HZ)
    return tmp_path


def test_run_plays_the_newest_blob_of_the_folder(workplace, run_pedal, guitar):
    assert run_pedal("export", "amp.pt", cwd=workplace).returncode == 0
    result = run_pedal("run", "di.wav", "out.wav", "--on", "native", cwd=workplace)
    assert result.returncode == 0, result.stderr
    assert "amp.pedal" in result.stdout
    out = audio.read(workplace / "out.wav")
    model = model_file.load(workplace / "amp.pt")
    assert signal_to_noise_db(model.render(audio.read(workplace / "di.wav").samples), out.samples) > 60


def test_run_does_not_replace_the_guitar(workplace, run_pedal):
    before = (workplace / "di.wav").read_bytes()
    result = run_pedal("run", "di.wav", workplace / "di.wav", "--model", "amp.pt", "--on", "native", cwd=workplace)
    assert_one_line_error(result, "is the guitar itself")
    assert (workplace / "di.wav").read_bytes() == before


def test_verify_command_writes_the_report_and_returns_zero(workplace, run_pedal):
    arguments = ("verify", "amp.pt", "--input", "di.wav", "--target", "di.wav", "--on", "native")
    audio.write(workplace / "di.wav", np.tile(audio.read(workplace / "di.wav").samples, 12), SAMPLE_RATE_HZ)
    result = run_pedal(*arguments, cwd=workplace)
    assert result.returncode == 0, result.stderr
    numbers = json.loads((workplace / "amp-verify" / "report.json").read_text())
    assert numbers["frames"] > 0 and numbers["esr_model_vs_target"] > 0.01
    assert (workplace / "amp-verify" / "report.html").is_file()


def test_what_is_missing_is_named_in_one_line(workplace, run_pedal):
    assert_one_line_error(run_pedal("verify", "amp.pt", "--input", "no.wav", cwd=workplace), "no.wav", "no such file")
    assert_one_line_error(run_pedal("run", "di.wav", "out.wav", cwd=workplace), "--model", ".pedal")
    run = ("run", "di.wav", "out.wav", "--model", "amp.pt")
    assert_one_line_error(run_pedal(*run, "--on", "usb", cwd=workplace), "no pedal found on USB")
    assert_one_line_error(run_pedal(*run, "--knob", "gain=3", "--on", "native", cwd=workplace), "no knob gain")
    assert_one_line_error(run_pedal("run", "di.wav", "out.mp3", cwd=workplace), ".wav or .flac")
    assert not list(workplace.glob("out.*"))


def test_a_missing_emulator_is_named(monkeypatch, tmp_path):
    image = build("emulator")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="qemu-system-arm is missing: install the package qemu-system-arm"):
        ProgramLink("emulator", image)


@pytest.mark.skipif(RTNEURAL.is_file(), reason="RTNeural is here")
def test_rtneural_by_name_without_the_submodule_says_how_to_get_it(workplace, run_pedal):
    command = ("verify", "amp.pt", "--input", "di.wav", "--on", "native", "--engine", "rtneural")
    assert_one_line_error(run_pedal(*command, cwd=workplace), "git submodule update --init")


@pytest.mark.parametrize("board", ["native", "emulator"])
def test_a_silent_pedal_is_given_up_after_two_seconds(board):
    with ProgramLink(board, build(board)) as link:
        link.hello()
        link._process.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        with pytest.raises(InputError, match="silent for 2 s"):
            link.hello()
        assert 1.9 < time.monotonic() - start < 4
        link._process.send_signal(signal.SIGCONT)


def test_a_pedal_that_goes_away_is_one_line():
    with ProgramLink("native", build("native")) as link:
        link.hello()
        link._process.kill()
        link._process.wait()
        with pytest.raises(InputError, match=r"gone|silent"):
            link.hello()


def test_links_leave_no_process_behind():
    with open_link("emulator") as link:
        process = link._process
        assert process.poll() is None
    assert process.poll() is not None


def test_a_full_disk_is_one_line_and_leaves_what_was_there(workplace, run_pedal, guitar):
    """A limit on file size is the disk that is full: the system refuses the write in its midst."""

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # over what the build writes

    (workplace / "out.wav").write_bytes(b"precious")
    audio.write(workplace / "di.wav", np.tile(guitar, 4), SAMPLE_RATE_HZ)
    command = ("run", "di.wav", "out.wav", "--model", "amp.pt", "--on", "native")
    build("native")
    result = run_pedal(*command, cwd=workplace, preexec_fn=small_files)
    assert_one_line_error(result, "cannot write", "out.wav")
    assert (workplace / "out.wav").read_bytes() == b"precious"
    assert sorted(path.name for path in workplace.iterdir()) == ["amp.pt", "di.wav", "out.wav"]


def test_reamp_needs_audio_on_usb(run_pedal):
    assert_one_line_error(run_pedal("reamp", "on", "--on", "native"), "no audio on USB")
    assert run_pedal("reamp", "loud", "--on", "native").returncode == 2


def test_a_model_on_trial_leaves_the_users_alone(make_model):
    mine, tried = daisy.prepare(make_model(hidden_size=4)).blob(), daisy.prepare(make_model(hidden_size=6)).blob()
    with ProgramLink("native", build("native")) as link:
        link.load(0, mine)
        link.select(0, Engine.FIXED)
        with on_trial(link, tried, Engine.FIXED) as slot:
            assert link.hello().active_slot == slot == 15
        assert link.hello().active_slot == 0
        assert link.blob(0) == mine
