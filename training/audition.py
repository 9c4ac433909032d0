"""Amps between amps, to be heard side by side: audio files and a page that plays them; `pedal audition`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from tqdm import tqdm

from training import audio, blend
from training.cabinet import Cabinet
from training.eq_block import SAMPLE_RATE_HZ
from training.errors import InputError
from training.files import written_aside
from training.levels import loudest
from training.model_file import Model

FURTHEST_ALPHA = 10.0
FADE_FRAMES = 240
"""At either end of a take, which begins and ends within a note."""
HIGHEST_PEAK = 0.99
PAGE, GUITAR = "index.html", "00-guitar.flac"


@dataclass(frozen=True)
class Take:
    """A guitar through the amp at `alpha` between two. `file`: its name. `samples`: float32 [frames] at 48 kHz."""

    alpha: float
    file: str
    samples: np.ndarray


@dataclass(frozen=True)
class Pair:
    """Two amps, by their names, and what is between them and beyond."""

    first: str
    second: str
    takes: tuple[Take, ...]


@dataclass(frozen=True)
class Audition:
    """All that the page has to tell.

    guitar: float32 [frames] at 48 kHz, what was played.
    cabinet: its name, or None.
    even: whether blends are as loud as the amps in them.
    gain: at most 1; what all takes have been multiplied by so that none clips.
    """

    pairs: tuple[Pair, ...]
    guitar: np.ndarray
    cabinet: str | None
    even: bool
    gain: float


def play(
    models: Sequence[Model],
    guitar: np.ndarray,
    alphas: Sequence[float],
    seconds: float = 10.0,
    cabinet: Cabinet | None = None,
    even: bool = True,
) -> Audition:
    """Play the loudest `seconds` of `guitar` (float32 [frames] at 48 kHz) through every pair of `models`.

    alphas: where between them; 0 is the first of a pair, 1 the second; outside, what differs between them grows.
    cabinet: played after all. even: blends are as loud as the amps in them; else the level is blended like all else.

    Raises InputError for fewer than two models, for two of the same name, for models that are no EQ networks of one
    shape, for alphas that are given twice or outside -10 to 10, and for a blend that plays NaN or infinity.
    """
    _check(models, alphas)
    guitar = _faded(guitar[loudest(guitar, round(seconds * SAMPLE_RATE_HZ))])
    couples = list(combinations(models, 2))
    pairs = []
    with tqdm(total=len(couples) * len(alphas), unit="take", desc="audition", disable=None) as bar:
        for number, (first, second) in enumerate(couples, 1):
            takes = []
            for alpha in alphas:
                file = f"{number:02}-{_plain(first.name)}-{_plain(second.name)}_{alpha:g}.flac"
                takes.append(Take(alpha, file, _played(first, second, alpha, guitar, cabinet, even)))
                bar.update()
            pairs.append(Pair(first.name, second.name, tuple(takes)))
    name = None if cabinet is None else cabinet.name
    return _within_full_scale(Audition(tuple(pairs), guitar, name, even, 1.0))


def require_free(folder: Path, force: bool) -> None:
    """Raise InputError for a folder that holds something, unless forced, and for what is no folder."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is no folder")
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; --force writes into it all the same")


def write(folder: Path, audition: Audition) -> Path:
    """Write a FLAC file a take, the guitar and the page; returns the page's path."""
    from training.audition_page import page

    audio.write(folder / GUITAR, audition.guitar, SAMPLE_RATE_HZ)
    for pair in audition.pairs:
        for take in pair.takes:
            audio.write(folder / take.file, take.samples, SAMPLE_RATE_HZ)
    with written_aside(folder / PAGE) as scratch:
        scratch.write_text(page(audition), encoding="utf-8")
    return folder / PAGE


def _check(models: Sequence[Model], alphas: Sequence[float]) -> None:
    if len(models) < 2:
        raise InputError("an audition needs two models at least")
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two models are called {name}")
    for alpha in alphas:
        if not -FURTHEST_ALPHA <= alpha <= FURTHEST_ALPHA:  # NaN neither
            raise InputError(f"an alpha of {alpha:g} is outside {-FURTHEST_ALPHA:g} to {FURTHEST_ALPHA:g}")
    labels = [f"{alpha + 0.0:g}" for alpha in alphas]  # -0 is 0
    if len(set(labels)) < len(labels) or not labels:
        raise InputError(f"the alphas {', '.join(labels)} should be some, and each another")
    blend.eq_networks(models)


def _played(
    first: Model, second: Model, alpha: float, guitar: np.ndarray, cabinet: Cabinet | None, even: bool
) -> np.ndarray:
    name = f"{first.name} to {second.name} at {alpha:g}"
    amp = blend.weighted([first, second], [1 - alpha, alpha], name, even=even)
    samples = amp.render(guitar)
    if cabinet is not None:
        samples = cabinet.play(samples).astype(np.float32)
    if not np.isfinite(samples).all():
        raise InputError(f"{name}: plays NaN or infinity")
    return _faded(samples)


def _faded(samples: np.ndarray) -> np.ndarray:
    frames = min(FADE_FRAMES, len(samples) // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(frames) / FADE_FRAMES)
    faded = samples.copy()
    faded[:frames] *= ramp
    faded[len(faded) - frames :] *= ramp[::-1]
    return faded


def _within_full_scale(audition: Audition) -> Audition:
    peak = max(float(np.abs(take.samples).max()) for pair in audition.pairs for take in pair.takes)
    if peak <= 1.0:
        return audition
    gain = HIGHEST_PEAK / peak
    pairs = tuple(
        replace(pair, takes=tuple(replace(take, samples=take.samples * np.float32(gain)) for take in pair.takes))
        for pair in audition.pairs
    )
    return replace(audition, pairs=pairs, gain=gain)


def _plain(name: str) -> str:
    """`name` as a part of a file's name and of an address."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name)[:40].strip("-") or "amp"
