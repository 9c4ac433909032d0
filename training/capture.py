"""Captures: pairs of recordings, before the amp (`input`) and after it (`target`), checked and brought into line."""

import hashlib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import fft

from training import audio
from training.errors import InputError
from training.knob import Knob
from training.streamed_takes import StreamedTakes

SAMPLE_RATE_HZ = 48000
"""What the pedal runs at, and so what every network is trained at."""

MINIMUM_SECONDS = 2.0
MAXIMUM_LENGTH_DIFFERENCE_S = 1.0
SILENCE_DBFS = -60.0
FULL_SCALE = 0.9999
CLIPPED_WARNING = 0.01
CLIPPED_ERROR = 0.10
VALIDATION_SHARE = 0.1
MAXIMUM_VALIDATION_S = 15.0
VALIDATION_RUN_IN_FRAMES = SAMPLE_RATE_HZ // 2
"""Before what is compared: networks remember."""
USES = ("both", "training", "validation")
LONGEST_SILENCE_S = 1.0
MAXIMUM_DELAY_SAMPLES = SAMPLE_RATE_HZ
AMP_DELAY_SAMPLES = 4
"""What stays of a measured delay. An amp's own low-pass filters delay by 2 to 8 samples; a target from which that was
removed would ask the network to look ahead, while a few samples too many cost it next to nothing."""

CLEAR_PEAK = 4.0
"""How far the correlation must stand out at the delay. Pairs of a few seconds that match reach 5, others 1 to 3."""

LEVELS = ("input_volts_per_full_scale", "output_volts_per_full_scale")


@dataclass(frozen=True)
class Pair:
    """One take, aligned, at 48 kHz.

    name: for messages.
    input, target: float32 [frames], as many of each, full scale +-1.
    positions: where each knob of the capture stood, 0 to 1.
    use: one of USES: whether it is for training, for validation, or for both: then the last tenth, 15 s at most, is
    kept from training to validate with.
    removed_samples: how much later `target` was in its file, which has been taken out; negative where it was earlier.
    """

    name: str
    input: np.ndarray
    target: np.ndarray
    positions: tuple[float, ...] = ()
    use: str = "both"
    removed_samples: int = 0

    @property
    def validation_start(self) -> int:
        """The first frame that is for validation. The end, not a random part, so that no note is in both."""
        if self.use == "both":
            return len(self.input) - validation_frames(len(self.input))
        return len(self.input) if self.use == "training" else VALIDATION_RUN_IN_FRAMES

    @property
    def trains(self) -> bool:
        return self.use != "validation"

    @property
    def validates(self) -> bool:
        """Whether what is for validation is loud enough for its ESR to tell anything."""
        return _peak_dbfs(self.target[self.validation_start :]) >= SILENCE_DBFS


def validation_frames(frames: int) -> int:
    """How many of a take's frames are kept for validation."""
    return int(min(VALIDATION_SHARE * frames, MAXIMUM_VALIDATION_S * SAMPLE_RATE_HZ))


@dataclass(frozen=True)
class Capture:
    """What a model is trained on.

    knobs: the knobs that moved between pairs, in the order of each pair's `positions`.
    levels: volts per full scale where known, for the model file.
    findings: what the checks have to say, a line each.
    origin: where the pairs are from, for `training` of the model file; no part of the digest.
    streamed: where the takes for training are on disk, these; all pairs are for validation then.
    """

    pairs: tuple[Pair, ...]
    knobs: tuple[Knob, ...] = ()
    levels: dict[str, float] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    origin: dict[str, Any] = field(default_factory=dict)
    streamed: StreamedTakes | None = None

    @property
    def seconds(self) -> float:
        on_disk = self.streamed.seconds if self.streamed is not None else 0.0
        return on_disk + sum(len(pair.input) for pair in self.pairs) / SAMPLE_RATE_HZ

    def digest(self) -> str:
        """SHA-256 of all that training sees, in hexadecimal: equal data give an equal digest."""
        uses = [pair.use for pair in self.pairs if pair.use != "both"]
        digest = hashlib.sha256(repr((self.knobs, [pair.positions for pair in self.pairs], *uses)).encode())
        for pair in self.pairs:
            for samples in (pair.input, pair.target):
                digest.update(len(samples).to_bytes(8, "little"))
                digest.update(np.ascontiguousarray(samples, "<f4").tobytes())
        if self.streamed is not None:
            digest.update(self.streamed.digest.encode())
        return digest.hexdigest()


def read_pair(input_path: Path, target_path: Path) -> Capture:
    """Read one take of an amp whose knobs stood still.

    Raises InputError when a file cannot be read as mono audio, is silent, is clipped for more than 10 % of its samples
    or is shorter than 2 s, and when the two differ in sample rate or by more than 1 s in length.
    """
    pair, findings = aligned_pair(Path(input_path), Path(target_path))
    return Capture((pair,), findings=tuple(findings))


def read_capture(path: Path) -> Capture:
    """Read the capture that a TOML file lists; its paths are relative to its folder.

        [knobs]                       # up to 4; leave out when no knob moved
        drive = [0, 10]
        [levels]                      # may be left out
        input_volts_per_full_scale = 1.4
        [[pair]]
        input = "di.wav"
        target = "drive-3.wav"
        knobs = { drive = 3 }
        use = "training"              # may be left out: its end is for validation; or "validation": all of it is

    Raises InputError where `read_pair` does, and for a file that is not of this form.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from error
    try:
        return _read_table(table, path.parent)
    except InputError as error:
        raise InputError(f"{path}: {error.message}") from error


def _read_table(table: Mapping[str, Any], folder: Path) -> Capture:
    _refuse_others(table, ("knobs", "levels", "pair"), "the file")
    knobs = tuple(_knob(name, limits) for name, limits in _table(table, "knobs").items())
    levels = _table(table, "levels")
    _refuse_others(levels, LEVELS, "[levels]")
    if not all(_is_number(level) and level > 0 for level in levels.values()):
        raise InputError("[levels] should be volts above 0")
    entries = table.get("pair")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise InputError("there is no [[pair]]")
    pairs, findings = [], []
    for entry in entries:
        _refuse_others(entry, ("input", "target", "knobs", "use"), "[[pair]]")
        if not isinstance(entry.get("input"), str) or not isinstance(entry.get("target"), str):
            raise InputError("every [[pair]] needs the paths input and target")
        positions = _positions(knobs, _table(entry, "knobs"), entry["target"])
        use = entry.get("use", "both")
        if use not in USES:
            raise InputError(f"{entry['target']}: use should be one of {', '.join(USES)}")
        pair, found = aligned_pair(folder / entry["input"], folder / entry["target"], positions, use)
        pairs.append(pair)
        findings += found
    for wanted, there in (("training", any(pair.trains for pair in pairs)), ("validation", any(_kept(pairs)))):
        if not there:
            raise InputError(f"no [[pair]] is for {wanted}")
    return Capture(tuple(pairs), knobs, {name: float(level) for name, level in levels.items()}, tuple(findings))


def _kept(pairs: list[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.use != "training"]


def without_silences(capture: Capture) -> Capture:
    """The same where the input never stays below -60 dBFS for more than a second: the rest is cut out.

    Raises InputError when less than 2 s of a pair are left.
    """
    pairs, findings = [], list(capture.findings)
    for pair in capture.pairs:
        frames = np.arange(len(pair.input))
        loud = np.abs(pair.input) >= 10 ** (SILENCE_DBFS / 20)
        last_loud = np.maximum.accumulate(np.where(loud, frames, 0))
        kept = frames - last_loud <= LONGEST_SILENCE_S * SAMPLE_RATE_HZ
        shorter = replace(pair, input=pair.input[kept], target=pair.target[kept])
        if len(shorter.input) < MINIMUM_SECONDS * SAMPLE_RATE_HZ or not (
            shorter.use == "training" or shorter.validates
        ):
            raise InputError(f"{pair.name}: too little is left of it without its silences")
        if removed_s := (len(pair.input) - len(shorter.input)) / SAMPLE_RATE_HZ:
            findings.append(f"{pair.name}: {removed_s:.1f} s of silence removed")
        pairs.append(shorter)
    return replace(capture, pairs=tuple(pairs), findings=tuple(findings))


def _knob(name: str, limits: object) -> Knob:
    if not isinstance(limits, list) or len(limits) != 2 or not all(_is_number(limit) for limit in limits):
        raise InputError(f"knob {name} should be [lowest, highest], such as [0, 10]")
    return Knob(name, float(limits[0]), float(limits[1]), (limits[0] + limits[1]) / 2)


def _positions(knobs: tuple[Knob, ...], values: Mapping[str, Any], name: str) -> tuple[float, ...]:
    _refuse_others(values, [knob.name for knob in knobs], f"knobs of {name}")
    for knob in knobs:
        if not _is_number(values.get(knob.name)):
            raise InputError(f"{name}: where did the knob {knob.name} stand?")
    return tuple(knob.normalised(values[knob.name]) for knob in knobs)


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise InputError(f"{key} should be a table")
    return value


def _refuse_others(table: Mapping[str, Any], known: tuple[str, ...] | list[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise InputError(f"{where} cannot hold {key!r}; known: {', '.join(known) or 'nothing'}")


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def aligned_pair(
    input_path: Path, target_path: Path, positions: tuple[float, ...] = (), use: str = "both"
) -> tuple[Pair, list[str]]:
    """One take, and what was found, a line each. Raises InputError as `read_pair` does."""
    dry, wet = audio.read(input_path), audio.read(target_path)
    if dry.sample_rate_hz != wet.sample_rate_hz:
        raise InputError(
            f"{input_path} is at {dry.sample_rate_hz} Hz and {target_path} at {wet.sample_rate_hz} Hz; "
            "export both at the same rate"
        )
    if abs(dry.seconds - wet.seconds) > MAXIMUM_LENGTH_DIFFERENCE_S:
        raise InputError(
            f"{input_path} lasts {dry.seconds:.2f} s and {target_path} {wet.seconds:.2f} s; "
            f"they may differ by {MAXIMUM_LENGTH_DIFFERENCE_S:g} s"
        )
    findings = [f"{target_path.name}: {dry.seconds:.1f} s of {input_path.name} at {dry.sample_rate_hz} Hz"]
    findings += _check_levels(input_path, dry.samples) + _check_levels(target_path, wet.samples)
    if dry.sample_rate_hz != SAMPLE_RATE_HZ:
        findings.append(f"{target_path.name}: both files resampled to {SAMPLE_RATE_HZ} Hz, the pedal's rate")
    pair, alignment = align(dry.at_rate(SAMPLE_RATE_HZ).samples, wet.at_rate(SAMPLE_RATE_HZ).samples, target_path.name)
    pair = replace(pair, positions=positions, use=use)
    if use != "training" and not pair.validates:
        raise InputError(
            f"{target_path}: its last {(len(pair.input) - pair.validation_start) / SAMPLE_RATE_HZ:.1f} s are silent, "
            "and those are for validation; cut them off"
        )
    return pair, findings + alignment


def read_di(path: Path) -> tuple[np.ndarray, list[str]]:
    """Read a dry guitar alone: float32 [frames] at 48 kHz, and what the checks have to say, a line each.

    Raises InputError when the file cannot be read as mono audio, is silent or is clipped for more than 10 %.
    """
    dry = audio.read(path)
    return dry.at_rate(SAMPLE_RATE_HZ).samples, _check_levels(Path(path), dry.samples)


def _check_levels(path: Path, samples: np.ndarray) -> list[str]:
    if _peak_dbfs(samples) < SILENCE_DBFS:
        raise InputError(f"{path}: is silent (peak {_peak_dbfs(samples):.0f} dBFS)")
    clipped = np.mean(np.abs(samples) >= FULL_SCALE)
    if clipped > CLIPPED_ERROR:
        raise InputError(f"{path}: {clipped:.0%} of its samples are clipped; record it at a lower level")
    if clipped > CLIPPED_WARNING:
        return [f"warning: {path.name}: {clipped:.1%} of its samples are clipped; a lower recording level is better"]
    return []


def _peak_dbfs(samples: np.ndarray) -> float:
    return 20 * math.log10(max(float(np.abs(samples).max(initial=0.0)), 1e-10))


def align(dry: np.ndarray, wet: np.ndarray, name: str) -> tuple[Pair, list[str]]:
    """Remove the delay of `wet` behind `dry` (both float32 [frames] at 48 kHz) and cut both to the same length.

    Polarity stays: an amp may invert, and then its model should. Returns the pair and what was found, a line each.
    Raises InputError when less than 2 s remain.
    """
    delay = measure_delay(dry, wet)
    remove, findings = 0, []
    milliseconds = 1000 * delay.samples / SAMPLE_RATE_HZ
    if delay.clarity < CLEAR_PEAK:
        findings.append(f"warning: {name}: no clear delay between the files, none removed; do they belong together?")
    elif 0 <= delay.samples <= 2 * AMP_DELAY_SAMPLES:
        findings.append(f"{name}: delayed by {delay.samples} samples, as by an amp's own filters; none removed")
    else:
        remove = delay.samples - AMP_DELAY_SAMPLES
        findings.append(f"{name}: delayed by {delay.samples} samples ({milliseconds:.2f} ms); {remove} removed")
    if delay.clarity >= CLEAR_PEAK and delay.inverted:
        findings.append(f"warning: {name}: polarity is inverted against the input; the model will invert too")
    dry, wet = dry[max(0, -remove) :], wet[max(0, remove) :]
    frames = min(len(dry), len(wet))
    if frames < MINIMUM_SECONDS * SAMPLE_RATE_HZ:
        raise InputError(
            f"{name}: {frames / SAMPLE_RATE_HZ:.2f} s in common with its input; at least {MINIMUM_SECONDS:g} s are "
            "needed, and 3 minutes are better"
        )
    return Pair(name, dry[:frames], wet[:frames], removed_samples=remove), findings


@dataclass(frozen=True)
class Delay:
    """How far a recording lags behind another.

    samples: -48000 to 48000; negative when it leads.
    inverted: whether its polarity is the opposite.
    clarity: the correlation at the delay over the largest one further than 10 ms from it, at least about 1.
    """

    samples: int
    inverted: bool
    clarity: float


def measure_delay(dry: np.ndarray, wet: np.ndarray, block_frames: int = 1 << 17) -> Delay:
    """Measure the delay of `wet` behind `dry`, float [frames] at 48 kHz, by generalised cross-correlation.

    The plain correlation of a guitar peaks at every period of the note, and an amp's filters move its highest peak by
    tens of samples. Weighting all frequencies alike leaves one sharp peak: with X, Y the spectra of a block and of what
    surrounds it in the other file, delay = argmax |IFFT(B S / |S|)|, S = sum over blocks of conj(X) Y, where B keeps 60
    Hz to 5 kHz. Distortion is unlike the input, so the sum over blocks averages it away.
    Source: Knapp and Carter, "The generalized correlation method for estimation of time delay", IEEE Transactions on
    Acoustics, Speech, and Signal Processing 24(4), 1976 (its phase transform).
    """
    reach = MAXIMUM_DELAY_SAMPLES
    size = fft.next_fast_len(block_frames + 2 * reach, real=True)
    surroundings = np.pad(wet.astype(np.float64), (reach, reach + block_frames + len(dry)))
    cross = np.zeros(size // 2 + 1, dtype=np.complex128)
    for start in range(0, len(dry), block_frames):
        block = fft.rfft(dry[start : start + block_frames].astype(np.float64), size)
        cross += np.conj(block) * fft.rfft(surroundings[start : start + block_frames + 2 * reach], size)
    frequencies_hz = np.maximum(fft.rfftfreq(size, 1 / SAMPLE_RATE_HZ), 1e-9)
    band = 1 / (1 + (60 / frequencies_hz) ** 8) / (1 + (frequencies_hz / 5000) ** 8)
    correlation = fft.irfft(band * cross / (np.abs(cross) + 1e-20), size)[: 2 * reach + 1]
    peak = int(np.argmax(np.abs(correlation)))
    elsewhere = np.abs(correlation)
    elsewhere[max(0, peak - SAMPLE_RATE_HZ // 100) : peak + SAMPLE_RATE_HZ // 100] = 0
    clarity = float(np.abs(correlation[peak]) / (elsewhere.max() + 1e-20))
    return Delay(peak - reach, bool(correlation[peak] < 0), clarity)
