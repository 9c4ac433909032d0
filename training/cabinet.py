"""Cabinets: impulse responses of a loudspeaker and its microphone, made ready for the pedal."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training import audio
from training.capture import SAMPLE_RATE_HZ
from training.errors import InputError

MINIMUM_TAPS, MAXIMUM_TAPS = 16, 2048
MAXIMUM_SECONDS = 10.0
SILENCE_DBFS = -60.0
ONSET_DB = -40.0
"""Of the peak: where the sound begins."""
FRAMES_BEFORE_ONSET = 8
FADE_FRAMES = 128
"""At the end of what was cut, a quarter of it at most."""
LOUD_CUT_DB = -20.0
TAIL_DB = -90.0
GUITAR_HZ = (80.0, 5000.0)
MAXIMUM_GAIN_DB = 12.0
MAGNITUDE_FLOOR = 1e-7
"""Of the highest magnitude: a response of minimum phase has no zeros."""
MINIMUM_CEPSTRUM_FRAMES = 1 << 16
"""A speaker's fall towards 0 Hz is 0.2 dB off at 50 Hz with an eighth of it."""
SPECTRUM_FRAMES = 16 * MAXIMUM_TAPS


@dataclass(frozen=True)
class Cabinet:
    """The impulse response of a cabinet. `taps`: float64 [frames] at 48 kHz, 1 to 2048 of them."""

    name: str
    taps: np.ndarray

    def play(self, samples: np.ndarray) -> np.ndarray:
        """`samples` (float [frames] at 48 kHz) through the cabinet, from silence on: float64, as many frames."""
        from scipy import signal  # here, because it takes half a second to load

        return signal.oaconvolve(np.asarray(samples, np.float64), self.taps)[: len(samples)]


def read(path: Path, taps: int = MAXIMUM_TAPS, minimum_phase: bool = False) -> tuple[Cabinet, list[str]]:
    """Read an impulse response from a WAV or FLAC file: at most `taps` of it, and what was found, a line each.

    It is resampled to 48 kHz, begins 8 frames before its sound does, and ends in a fade where it is cut. A guitar is as
    loud after the cabinet as before: over a pink spectrum from 80 Hz to 5 kHz the gain is 1; but none of its
    frequencies gains more than 12 dB. minimum_phase: its magnitudes stay, and all comes as early as it can.

    Raises InputError for taps outside 16 to 2048, and when the file cannot be read as mono audio, is silent or lasts
    longer than 10 s.
    """
    path = Path(path)
    if not MINIMUM_TAPS <= taps <= MAXIMUM_TAPS:
        raise InputError(f"{taps} taps are outside {MINIMUM_TAPS} to {MAXIMUM_TAPS}")
    response, findings = _begun(path)
    if minimum_phase:
        response = at_minimum_phase(response)
        findings.append(f"{path.name}: made minimum phase")
    response, cut = _cut(response, taps, path.name)
    response = response[: _last_at_least(response, TAIL_DB) + 1]
    response, normalised = _normalised(response, path.name)
    return Cabinet(path.stem, response), findings + cut + normalised


def at_minimum_phase(response: np.ndarray) -> np.ndarray:
    """The impulse response of the same magnitudes whose energy comes first: float64, as many frames as `response`.

    By the real cepstrum, whose negative times are folded onto the positive ones. Source: A. V. Oppenheim & R. W.
    Schafer, "Discrete-Time Signal Processing" (cepstrum of minimum-phase sequences).
    """
    from scipy import fft

    size = 1 << (max(8 * len(response), MINIMUM_CEPSTRUM_FRAMES) - 1).bit_length()
    magnitude = np.abs(fft.rfft(response, size))
    cepstrum = fft.irfft(np.log(np.maximum(magnitude, MAGNITUDE_FLOOR * magnitude.max())), size)
    cepstrum[1 : size // 2] *= 2
    cepstrum[size // 2 + 1 :] = 0
    return fft.irfft(np.exp(fft.rfft(cepstrum)), size)[: len(response)]


def _begun(path: Path) -> tuple[np.ndarray, list[str]]:
    """The response in `path` at 48 kHz from its onset on, float64 [frames], and what was found."""
    recording = audio.read(path)
    if recording.seconds > MAXIMUM_SECONDS:
        raise InputError(
            f"{path}: lasts {recording.seconds:.1f} s; an impulse response lasts {MAXIMUM_SECONDS:g} s at most"
        )
    peak_dbfs = 20 * math.log10(max(float(np.abs(recording.samples).max()), 1e-10))
    if peak_dbfs < SILENCE_DBFS:
        raise InputError(f"{path}: is silent (peak {peak_dbfs:.0f} dBFS)")
    findings = [f"{path.name}: {recording.seconds:.3f} s at {recording.sample_rate_hz} Hz"]
    if recording.sample_rate_hz != SAMPLE_RATE_HZ:
        findings[0] += f", resampled to {SAMPLE_RATE_HZ} Hz"
    response, before = _at_pedal_rate(recording)
    start = max(int(np.argmax(np.abs(response) >= _threshold(response, ONSET_DB))) - FRAMES_BEFORE_ONSET, 0)
    if start > before:
        removed_ms = 1000 * (start - before) / SAMPLE_RATE_HZ
        findings.append(f"{path.name}: {removed_ms:.2f} ms before its sound removed")
    return response[start:], findings


def _at_pedal_rate(recording: audio.Audio) -> tuple[np.ndarray, int]:
    """The response with its gain kept, float64 [frames], and how many of its frames come before the recording's."""
    samples, from_hz = recording.samples.astype(np.float64), recording.sample_rate_hz
    if from_hz == SAMPLE_RATE_HZ:
        return samples, 0
    seconds = audio.RESAMPLING_HALF_WIDTH / min(from_hz, SAMPLE_RATE_HZ)
    padding = math.ceil(seconds * from_hz)  # the filter rings before an onset, and it may be at the first frame
    resampled = audio.resampled(np.pad(samples, padding), from_hz, SAMPLE_RATE_HZ)
    return resampled * (from_hz / SAMPLE_RATE_HZ), round(padding / from_hz * SAMPLE_RATE_HZ)


def _cut(response: np.ndarray, taps: int, name: str) -> tuple[np.ndarray, list[str]]:
    """The first `taps` of the response, faded out where there are more."""
    if _last_at_least(response, TAIL_DB) < taps:
        return response[:taps], []
    kept = response[:taps].copy()
    fade = min(FADE_FRAMES, taps // 4)
    kept[-fade:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fade + 1) / (fade + 1))
    lost = response.copy()
    lost[:taps] -= kept
    lost_db = 10 * math.log10(max(float(np.square(lost).sum() / np.square(response).sum()), 1e-20))
    finding = f"{name}: cut after {1000 * taps / SAMPLE_RATE_HZ:.1f} ms; {lost_db:.1f} dB of its energy came later"
    return kept, [f"warning: {finding}" if lost_db > LOUD_CUT_DB else finding]


def _normalised(response: np.ndarray, name: str) -> tuple[np.ndarray, list[str]]:
    power = np.square(np.abs(np.fft.rfft(response, SPECTRUM_FRAMES)))
    frequencies_hz = np.fft.rfftfreq(SPECTRUM_FRAMES, 1 / SAMPLE_RATE_HZ)
    guitar = (frequencies_hz >= GUITAR_HZ[0]) & (frequencies_hz <= GUITAR_HZ[1])
    heard = float(np.average(power[guitar], weights=1 / frequencies_hz[guitar]))
    gain_db = -10 * math.log10(max(heard, 1e-20))
    peak_db = 10 * math.log10(float(power.max()))
    findings = []
    if peak_db + gain_db > MAXIMUM_GAIN_DB:
        less_db = peak_db + gain_db - MAXIMUM_GAIN_DB
        loudest_hz = frequencies_hz[np.argmax(power)]
        gain_db -= less_db
        findings.append(
            f"warning: {name}: {less_db:.1f} dB quieter than without a cabinet, for it peaks at {loudest_hz:.0f} Hz"
        )
    findings.append(f"{name}: {len(response)} taps, {gain_db:+.1f} dB to be as loud as without a cabinet")
    return response * 10 ** (gain_db / 20), findings


def _threshold(response: np.ndarray, level_db: float) -> float:
    return float(np.abs(response).max() * 10 ** (level_db / 20))


def _last_at_least(response: np.ndarray, level_db: float) -> int:
    """The last frame that reaches `level_db` of the peak."""
    return int(np.flatnonzero(np.abs(response) >= _threshold(response, level_db))[-1])
