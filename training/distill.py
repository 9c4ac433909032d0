"""Distillation: any model teaches one that fits the pedal.

The teacher plays dry guitar at several levels and with its knobs in many places; what comes out is a capture like any
other, and `training.loop` trains on it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from training import capture, foreign, loop, losses, model_file
from training.capture import SAMPLE_RATE_HZ, Capture, Pair
from training.capture_simulation import DI_VOLTS_PER_FULL_SCALE
from training.dense_window import DenseWindow
from training.errors import InputError
from training.knob import Knob
from training.loop import TrainingConfig, decibels
from training.model_file import Model, TrainableNetwork

LEVELS_DB = (0.0, 6.0, -6.0, -12.0)
"""At which the teacher hears the guitar, the first being as recorded: players have hotter pickups and a volume knob.
The one above stops at full scale."""
SECONDS_WITHOUT_KNOBS = 300.0
"""Of what the teacher plays; each knob asks for as much again, up to `MAXIMUM_SECONDS`."""
MAXIMUM_SECONDS = 900.0
KNOB_POSITIONS = 5
"""Of a single knob, both ends included."""
SETTINGS_PER_KNOB = 8
"""Of several knobs, besides the defaults and the corners."""
MAXIMUM_CORNERS = 8

SYNTHETIC_SECONDS, SYNTHETIC_SEEDS = 30.0, (1, 2, 3, 4)
"""Of the guitars that play where there is less of a real one than all of them together."""
FRESH_SECONDS, FRESH_SEED = 10.0, 14
"""Of the take that student and teacher are compared on in the end: a guitar that is none of those above."""
FRESH_LEVELS_DB = (0.0, -12.0)


@dataclass(frozen=True)
class DryGuitar:
    """What the teacher is to play, at 48 kHz, float32 [frames] each. The end of each take is kept for validation.

    findings: what there is to say about it, a line each.
    """

    recorded: list[np.ndarray]
    synthetic: list[np.ndarray]
    findings: list[str]

    @property
    def take(self) -> np.ndarray:
        """All of it as one take, whose end has the end of each: what `Pair` keeps from training."""
        takes = self.recorded + self.synthetic
        return np.concatenate([*(self._split(take)[0] for take in takes), *(self._split(take)[1] for take in takes)])

    @property
    def recorded_ends(self) -> np.ndarray:
        return np.concatenate([self._split(take)[1] for take in self.recorded])

    @property
    def peak(self) -> float:
        return max(float(np.abs(take).max()) for take in self.recorded + self.synthetic)

    def _split(self, take: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        frames = sum(map(len, self.recorded + self.synthetic))
        cut = len(take) - round(len(take) * capture.validation_frames(frames) / frames)
        return take[:cut], take[cut:]


@dataclass(frozen=True)
class Heard:
    """How near the student comes to the teacher with all knobs at their defaults, on guitar that it did not learn from.

    guitar: in words. peak_dbfs: of the guitar.
    """

    guitar: str
    peak_dbfs: float
    esr: float


def read_teacher(path: Path) -> Model:
    """Read a model.pt or a capture of others, whatever its name. Raises InputError as their readers do."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            ours = file.read(2) == b"PK"  # a model.pt is a zip file
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    return model_file.load(path) if ours else foreign.read(path)


def distill(
    teacher: Model,
    di_paths: Sequence[Path],
    config: TrainingConfig,
    out: Path,
    *,
    resume: bool = False,
    force: bool = False,
    device: str = "cpu",
    report: Callable[[str], None] = print,
    start: TrainableNetwork | None = None,
) -> Model:
    """Train a student of `teacher` on the dry guitar in `di_paths`, and on a synthetic one where that is short.

    The other arguments, and the files that are written, are those of `loop.train`. Under 'distilled', `training` of
    the student says who its teacher was and how near it comes to it.

    Raises InputError where `loop.train`, `read_guitar` and `teach` do.
    """
    loop.check(config, len(teacher.knobs), out, resume=resume, force=force, device=device)
    guitar = read_guitar(di_paths, teacher)
    for finding in guitar.findings:
        report(finding)
    taught = teach(teacher, guitar.take, config.seed)
    for finding in taught.findings:
        report(finding)
    heard: list[Heard] = []

    def assess(student: Model) -> dict[str, Any]:
        heard.extend(compare(teacher, student, guitar, taught.origin["distilled"]["delay_removed_samples"]))
        return {"distilled": {**taught.origin["distilled"], "heard": [vars(row) for row in heard]}}

    student = loop.train(
        taught, config, out, resume=resume, force=force, device=device, report=report, start=start, assess=assess
    )
    report("Against the teacher, its knobs at their defaults, on guitar that was not in the training:")
    for row in heard:
        report(f"  {row.guitar:<30} peak {row.peak_dbfs:6.1f} dBFS   ESR {row.esr:.5f} ({decibels(row.esr)})")
    return student


def read_guitar(paths: Sequence[Path], teacher: Model) -> DryGuitar:
    """Read dry guitar, and add synthetic guitars of the same peak level where it lasts for less than two minutes.

    Without any, they are as loud as real ones, by the teacher's input level where that is known.

    Raises InputError where `capture.read_di` does, and for less than 2 s.
    """
    recorded, findings = [], []
    for path in paths:
        take, found = capture.read_di(path)
        if len(take) < capture.MINIMUM_SECONDS * SAMPLE_RATE_HZ:
            raise InputError(f"{path}: lasts {len(take) / SAMPLE_RATE_HZ:.2f} s; at least 2 s are needed")
        recorded.append(take)
        findings += [f"{path.name}: {len(take) / SAMPLE_RATE_HZ:.1f} s", *found]
    count, wanted_s = len(SYNTHETIC_SEEDS), SYNTHETIC_SECONDS * len(SYNTHETIC_SEEDS)
    if sum(map(len, recorded)) >= wanted_s * SAMPLE_RATE_HZ:
        return DryGuitar(recorded, [], findings)
    synthetic = [synthetic_guitar(seed, SYNTHETIC_SECONDS) for seed in SYNTHETIC_SEEDS]
    if recorded:
        gain = max(np.abs(take).max() for take in recorded) / max(np.abs(take).max() for take in synthetic)
        findings.append(f"less than {wanted_s:g} s: {count} synthetic guitars play as well, {wanted_s:g} s in all")
    else:
        volts = teacher.levels.get("input_volts_per_full_scale", DI_VOLTS_PER_FULL_SCALE)
        gain = np.float32(1 / volts)
        findings.append(
            f"no --di: {count} synthetic guitars play, {wanted_s:g} s in all, full scale being {volts:.3g} V"
        )
    return DryGuitar(recorded, [gain * take for take in synthetic], findings)


def synthetic_guitar(seed: int, seconds: float) -> np.ndarray:
    """Volts, float32 [frames] at 48 kHz."""
    from training.guitar import render_take  # here, because numba takes a second to load

    return render_take(seed, seconds, SAMPLE_RATE_HZ).astype(np.float32)


def teach(teacher: Model, take: np.ndarray, seed: int = 0) -> Capture:
    """Let the teacher play `take` (float32 [frames] at 48 kHz): a pair for every level in every setting of its knobs.

    All pairs have all of the take where the seconds allow for it, else stretches of it. The first pair is at the level
    of the take, with the knobs at their defaults.

    Raises InputError when the teacher's output is not finite, or silent in all that is for validation.
    """
    settings, levels_db = knob_settings(teacher.knobs, seed), playing_levels_db(take)
    played = list(product(settings, levels_db))
    seconds = min(MAXIMUM_SECONDS, SECONDS_WITHOUT_KNOBS * (1 + len(teacher.knobs)))
    stretches = dealt(take, len(played), seconds, seed)
    delay_samples = removable_delay(teacher)
    pairs, frames = [], len(stretches[0])
    with tqdm(total=len(played) * frames, unit="frame", unit_scale=True, desc=teacher.name, disable=None) as bar:
        for (setting, level_db), stretch in zip(played, stretches, strict=True):
            dry = (stretch * 10 ** (level_db / 20)).astype(np.float32)
            stands = [f"{knob.name} {value:.3g}" for knob, value in zip(teacher.knobs, setting, strict=True)]
            positions = [knob.normalised(value) for knob, value in zip(teacher.knobs, setting, strict=True)]
            wet = play(teacher, dry, delay_samples, setting)
            pairs.append(Pair(", ".join([teacher.name, f"{level_db:+g} dB", *stands]), dry, wet, tuple(positions)))
            bar.update(frames)
    if not any(pair.validates for pair in pairs):
        raise InputError(f"{teacher.name}: is silent where its student is to be compared with it; nothing to learn")
    taught = {
        "teacher": _described(teacher),
        "levels_db": list(levels_db),
        "settings": len(settings),
        "delay_removed_samples": delay_samples,
    }
    findings = _findings(teacher, pairs, len(settings), levels_db, delay_samples)
    return Capture(tuple(pairs), teacher.knobs, dict(teacher.levels), tuple(findings), {"distilled": taught})


def play(teacher: Model, dry: np.ndarray, delay_samples: int = 0, setting: Sequence[float] | None = None) -> np.ndarray:
    """What the teacher makes of `dry` (float32 [frames] at 48 kHz), so much earlier. As many frames.

    Raises InputError when that is not finite.
    """
    wet = teacher.render_at(SAMPLE_RATE_HZ, np.pad(dry, (0, delay_samples)), setting)
    if not np.isfinite(wet).all():
        raise InputError(f"{teacher.name}: its output is not finite")
    return wet[delay_samples:]


def removable_delay(teacher: Model) -> int:
    """For how many samples, at 48 kHz, the teacher does nothing yet: what a student would remember in vain.

    From an impulse to where the answer reaches 5 % of its peak, less what an amp's own filters may take. (The peak
    itself, as `capture.measure_delay` finds it, is too late: what is before it would have to be foreseen.)

    Of a dense network it is what it was trained to look ahead, whatever of an impulse it plays before.
    """
    if isinstance(teacher.network, DenseWindow):
        return round(teacher.latency_frames * SAMPLE_RATE_HZ / teacher.sample_rate_hz)
    impulse = np.zeros(2 * SAMPLE_RATE_HZ, np.float32)
    impulse[SAMPLE_RATE_HZ // 2] = 0.1
    answer = np.abs(play(teacher, impulse) - play(teacher, np.zeros_like(impulse)))
    onset = int(np.argmax(answer >= 0.05 * answer.max())) - SAMPLE_RATE_HZ // 2
    return max(0, onset - capture.AMP_DELAY_SAMPLES)


def knob_settings(knobs: Sequence[Knob], seed: int = 0) -> list[tuple[float, ...]]:
    """Where the teacher's knobs stand, in the amp's own figures, the defaults first.

    One knob: positions from end to end. Several: the corners where they are few, and a Latin hypercube, which has every
    knob once in each of as many equal parts of its range as it has settings (McKay, Beckman and Conover, Technometrics
    21(2), 1979).
    """
    defaults = tuple(knob.default for knob in knobs)
    if len(knobs) <= 1:
        ranges = [np.linspace(knob.minimum, knob.maximum, KNOB_POSITIONS).tolist() for knob in knobs]
        return list(dict.fromkeys([defaults, *product(*ranges)]))
    corners = list(product(*((knob.minimum, knob.maximum) for knob in knobs)))
    rng = np.random.default_rng(seed)
    count = SETTINGS_PER_KNOB * len(knobs)
    columns = []
    for knob in knobs:
        positions = (rng.permutation(count) + rng.random(count)) / count
        columns.append((knob.minimum + positions * (knob.maximum - knob.minimum)).tolist())
    few_corners = corners if len(corners) <= MAXIMUM_CORNERS else []
    return list(dict.fromkeys([defaults, *few_corners, *zip(*columns, strict=True)]))


def playing_levels_db(take: np.ndarray) -> tuple[float, ...]:
    """`LEVELS_DB` against the level of `take`, those above full scale brought down to it."""
    headroom_db = round(max(0.0, -20 * math.log10(np.abs(take).max())), 1)
    return tuple(dict.fromkeys(min(level_db, headroom_db) for level_db in LEVELS_DB))


def dealt(take: np.ndarray, pairs: int, seconds: float, seed: int = 0) -> list[np.ndarray]:
    """Deal `take` (float32 [frames]) out: `pairs` stretches of one length, at least 2 s, of `seconds` together.

    What is kept of `take` for validation is only in what is kept of each stretch. The training parts are spread evenly
    over the rest, in an order that depends on `seed`; the parts for validation are the louder ones of what there is.
    """
    seconds_each = max(capture.MINIMUM_SECONDS, seconds / pairs)
    frames = min(len(take), round(seconds_each * SAMPLE_RATE_HZ))
    kept_frames = capture.validation_frames(frames)
    first_kept = len(take) - capture.validation_frames(len(take))
    learnt, kept = take[:first_kept], take[first_kept:]
    rng = np.random.default_rng(seed)
    starts = rng.permutation(np.linspace(0, len(learnt) - (frames - kept_frames), pairs).astype(int))
    ends = np.linspace(0, len(kept) - kept_frames, 2 * pairs).astype(int)
    energies = [float(np.square(kept[end : end + kept_frames]).sum()) for end in ends]
    ends = rng.permutation(ends[np.argsort(energies, kind="stable")[pairs:]])
    return [
        np.concatenate([learnt[start : start + frames - kept_frames], kept[end : end + kept_frames]])
        for start, end in zip(starts, ends, strict=True)
    ]


def compare(teacher: Model, student: Model, guitar: DryGuitar, delay_samples: int) -> list[Heard]:
    """Compare on the end of what was recorded, and on a guitar that was neither recorded nor in the training."""
    fresh = synthetic_guitar(FRESH_SEED, FRESH_SECONDS)
    takes = {"another guitar": fresh * (guitar.peak / np.abs(fresh).max())}
    if guitar.recorded:
        takes["what was kept of --di"] = guitar.recorded_ends
    return [
        _heard(teacher, student, name, dry * np.float32(10 ** (level_db / 20)), delay_samples)
        for name, dry in takes.items()
        for level_db in FRESH_LEVELS_DB
    ]


def _heard(teacher: Model, student: Model, guitar: str, dry: np.ndarray, delay_samples: int) -> Heard:
    target, output = play(teacher, dry, delay_samples), play(student, dry, student.latency_frames)
    esr = losses.esr(torch.from_numpy(output), torch.from_numpy(target)).item()
    return Heard(guitar, 20 * math.log10(np.abs(dry).max()), esr)


def _findings(
    teacher: Model, pairs: Sequence[Pair], settings: int, levels_db: Sequence[float], delay_samples: int
) -> list[str]:
    each_s = len(pairs[0].input) / SAMPLE_RATE_HZ
    levels = ", ".join(f"{level_db:+g}" if level_db else "0" for level_db in levels_db)
    knobs = f", in {settings} settings of its knobs" if teacher.knobs else ""
    findings = [
        f"{teacher.name} ({teacher.network.name}, {teacher.sample_rate_hz} Hz) plays {each_s * len(pairs) / 60:.1f} "
        f"minutes: {each_s:.1f} s at each of {levels} dB{knobs}"
    ]
    if delay_samples:
        findings.append(f"{teacher.name}: delay removed, in samples: {delay_samples}")
    loudest = max(pairs, key=lambda pair: float(np.abs(pair.target).max()))
    if (peak := float(np.abs(loudest.target).max())) > 1:
        findings.append(f"warning: {loudest.name}: peaks at {peak:.2f} of full scale, where the pedal's output clips")
    silent = sum(not pair.validates for pair in pairs)
    if silent:
        findings.append(f"{teacher.name}: silent at the end of {silent} of {len(pairs)} pairs; those do not validate")
    return findings


def _described(teacher: Model) -> dict[str, Any]:
    """Who the teacher is, with what its file says about where it is from."""
    known = {key: value for key, value in teacher.training.items() if key in ("imported_from", "sha256", "licence")}
    network = teacher.network.name
    return {"name": teacher.name, "network": network, "sample_rate_hz": teacher.sample_rate_hz, **known}
