"""Impulse responses of cabinets: what is kept of them, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal
from synthetic_pair import write

from training import cabinet
from training.cabinet import Cabinet
from training.errors import InputError

RATE_HZ = 48_000
HEARD_HZ = np.geomspace(50, 15_000, 200)


def speaker(rate_hz: int = RATE_HZ, seconds: float = 0.02) -> np.ndarray:
    """A resonance at 110 Hz, a bump at 2.5 kHz, nothing above 6 kHz, and one reflection. Float64 [frames]."""
    sections = [
        signal.butter(2, 110, "high", fs=rate_hz, output="sos"),
        signal.butter(4, 6000, fs=rate_hz, output="sos"),
    ]
    impulse = np.zeros(round(seconds * rate_hz))
    impulse[0] = 1.0
    impulse += 2.0 * signal.lfilter(*signal.iirpeak(2500, 2, fs=rate_hz), impulse)
    impulse[round(0.001 * rate_hz) :] += 0.4 * impulse[: len(impulse) - round(0.001 * rate_hz)]
    response = signal.sosfilt(np.vstack(sections), impulse)
    return 0.5 * response / np.abs(response).max()


def magnitude_db(taps: np.ndarray, rate_hz: int = RATE_HZ) -> np.ndarray:
    return 20 * np.log10(np.abs(signal.freqz(taps, worN=HEARD_HZ, fs=rate_hz)[1]))


def normalised_db(taps: np.ndarray, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Without the gain over a pink spectrum from 80 Hz to 5 kHz, worked out on a grid of its own."""
    grid = np.geomspace(80, 5000, 4000)
    power = np.square(np.abs(signal.freqz(taps, worN=grid, fs=rate_hz)[1]))
    return magnitude_db(taps, rate_hz) - 10 * np.log10(power.mean())


def pink_guitar(seconds: float = 20.0) -> np.ndarray:
    """Noise that is pink from 80 Hz to 5 kHz and nothing else. Float64 [frames]."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(round(seconds * RATE_HZ)))
    hertz = np.fft.rfftfreq(round(seconds * RATE_HZ), 1 / RATE_HZ)
    inside = (hertz >= 80) & (hertz <= 5000)
    return np.fft.irfft(np.where(inside, spectrum / np.sqrt(np.maximum(hertz, 1)), 0))


def test_it_plays_a_convolution_from_silence() -> None:
    taps, samples = speaker(), np.random.default_rng(0).standard_normal(3000)
    played = Cabinet("speaker", taps).play(samples.astype(np.float32))
    assert played.dtype == np.float64
    np.testing.assert_allclose(played, np.convolve(samples.astype(np.float32), taps)[:3000], atol=1e-12)
    assert len(Cabinet("speaker", taps).play(samples[:10])) == 10


def test_what_is_at_48_khz_and_short_is_kept_but_for_its_gain(tmp_path: Path) -> None:
    response = speaker()
    read, findings = cabinet.read(write(tmp_path / "speaker.wav", response))
    assert read.name == "speaker" and read.taps.dtype == np.float64
    gain = read.taps[5] / response[5]
    np.testing.assert_allclose(read.taps, gain * response[: len(read.taps)], atol=1e-6)
    assert np.abs(response[len(read.taps) :]).max(initial=0) < 10 ** (-90 / 20) * 0.5
    assert findings[0] == "speaker.wav: 0.020 s at 48000 Hz" and len(findings) == 2


@pytest.mark.parametrize("rate_hz", [44_100, 88_200, 96_000, 192_000])
@pytest.mark.parametrize("minimum_phase", [False, True])
def test_resampling_keeps_the_magnitude(tmp_path: Path, rate_hz: int, minimum_phase: bool) -> None:
    response = speaker(rate_hz)
    read, findings = cabinet.read(write(tmp_path / "speaker.wav", response, rate_hz), minimum_phase=minimum_phase)
    assert f"{rate_hz} Hz, resampled to 48000 Hz" in findings[0]
    np.testing.assert_allclose(normalised_db(read.taps), normalised_db(response, rate_hz), atol=0.1)


@pytest.mark.parametrize("rate_hz", [44_100, 96_000])
def test_resampling_keeps_the_gain(tmp_path: Path, rate_hz: int) -> None:
    gains = []
    for each_hz in (RATE_HZ, rate_hz):  # a click at each rate is the same flat response
        click = np.zeros(each_hz // 100)
        click[each_hz // 1000] = 0.5
        _, findings = cabinet.read(write(tmp_path / "click.wav", click, each_hz))
        gains.append(float(findings[-1].split(" taps, ")[1].split(" dB")[0]))
    np.testing.assert_allclose(gains, 6.02, atol=0.11)


def test_minimum_phase_keeps_the_magnitude_and_comes_first(tmp_path: Path) -> None:
    path = write(tmp_path / "late.wav", speaker()[::-1])
    late, _ = cabinet.read(path)
    early, findings = cabinet.read(path, minimum_phase=True)
    assert "late.wav: made minimum phase" in findings
    np.testing.assert_allclose(magnitude_db(early.taps), magnitude_db(late.taps), atol=0.1)
    energy = np.cumsum(np.square(early.taps)) / np.square(early.taps).sum()
    assert energy[96] > 0.9  # after 2 ms
    assert np.argmax(np.abs(early.taps)) < 10 < np.argmax(np.abs(late.taps))


def test_minimum_phase_of_what_has_it_already_is_itself() -> None:
    taps = signal.lfilter(*signal.butter(2, 3000, fs=RATE_HZ), np.eye(1, 400)[0])
    np.testing.assert_allclose(cabinet.at_minimum_phase(taps), taps, atol=1e-3 * np.abs(taps).max())


def test_silence_before_the_sound_is_removed(tmp_path: Path) -> None:
    response = speaker()
    hiss = 1e-4 * np.random.default_rng(0).standard_normal(480)
    late, findings = cabinet.read(write(tmp_path / "late.wav", np.concatenate([hiss, response])))
    onset = int(np.argmax(np.abs(response) >= 0.01 * np.abs(response).max()))
    assert findings[1] == f"late.wav: {1000 * (480 + onset - 8) / RATE_HZ:.2f} ms before its sound removed"
    assert np.argmax(np.abs(late.taps)) == np.argmax(np.abs(response)) - onset + 8


def test_a_long_response_is_cut_with_a_fade(tmp_path: Path) -> None:
    room = np.random.default_rng(0).standard_normal(RATE_HZ) * 10 ** (-3 * np.arange(RATE_HZ) / RATE_HZ / 0.3)
    path = write(tmp_path / "room.wav", 0.1 * room)
    kept = 2048
    read, findings = cabinet.read(path)
    ratio = read.taps[: kept - 128] / room[: kept - 128]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)
    assert kept - 9 < len(read.taps) <= kept and abs(read.taps[-1]) < 1e-3 * np.abs(read.taps).max()
    lost_db = float(findings[1].split("; ")[1].split(" dB")[0])
    assert 10 * np.log10(np.square(room[kept:]).sum() / np.square(room).sum()) <= lost_db + 0.05
    assert findings[1].startswith("warning: room.wav: cut after 42.7 ms")
    short, _ = cabinet.read(path, taps=16)
    assert len(short.taps) == 16


def test_a_guitar_is_as_loud_as_without(tmp_path: Path) -> None:
    read, _ = cabinet.read(write(tmp_path / "speaker.wav", 0.07 * speaker()))
    guitar = pink_guitar()
    assert abs(20 * np.log10(np.std(read.play(guitar)) / np.std(guitar))) < 0.2


def test_no_frequency_gains_more_than_12_db(tmp_path: Path) -> None:
    ringing = signal.lfilter(*signal.iirpeak(9000, 30, fs=RATE_HZ), np.eye(1, 2000)[0])
    read, findings = cabinet.read(write(tmp_path / "ringing.wav", ringing / np.abs(ringing).max()))
    peak_db = 20 * np.log10(np.abs(np.fft.rfft(read.taps, 1 << 18)).max())
    assert abs(peak_db - 12) < 0.02
    assert "quieter than without a cabinet, for it peaks at 900" in findings[-2]


@pytest.mark.parametrize(
    ("seconds", "level", "taps", "message"),
    [
        (0.02, 0.5, 15, "15 taps are outside 16 to 2048"),
        (0.02, 0.5, 2049, "2049 taps are outside 16 to 2048"),
        (0.02, 0.0, 512, "ir.wav: is silent"),
        (0.02, 1e-4, 512, r"ir.wav: is silent \(peak -86 dBFS\)"),
        (10.1, 0.5, 512, "ir.wav: lasts 10.1 s; an impulse response lasts 10 s at most"),
    ],
)
def test_what_is_no_impulse_response_is_refused(
    tmp_path: Path, seconds: float, level: float, taps: int, message: str
) -> None:
    write(tmp_path / "ir.wav", level * speaker(seconds=seconds))
    with pytest.raises(InputError, match=message):
        cabinet.read(tmp_path / "ir.wav", taps)


def test_what_is_no_mono_audio_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.wav: no such file"):
        cabinet.read(tmp_path / "none.wav")
    soundfile.write(tmp_path / "stereo.wav", np.stack([speaker(), -speaker()], 1), RATE_HZ)
    with pytest.raises(InputError, match="has 2 channels that differ"):
        cabinet.read(tmp_path / "stereo.wav")
