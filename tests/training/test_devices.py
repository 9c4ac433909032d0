"""Every bundled device, at random settings and at those where circuits break: it must play, within bounds."""

import functools
import zlib

import numpy as np
import pytest
from scipy import signal

from training.circuits import bundled_circuits, load_circuit
from training.circuits.netlist import Battery, Inductor
from training.circuits.simulate import process_many
from training.guitar import render_take

RATE = 48_000
FRAMES = RATE // 2
SEEDS = 24
DRAWS = 200
DRAWS_A_DEVICE = 8 * -(-DRAWS // (8 * len(bundled_circuits())))
HARSH_DRAWS, HARSH_FRAMES = 32, RATE // 8
LEVELS_DB = -40.0, 20.0  # beside the guitar's own


@functools.cache
def take(seed):
    """The loudest half of a second's take: volts [24000]."""
    volts = render_take(seed, 1.0, RATE)
    energy = np.concatenate([[0.0], np.cumsum(volts**2)])
    start = np.argmax(energy[FRAMES:] - energy[:-FRAMES])
    return volts[start : start + FRAMES]


def rng_of(circuit, part):
    """Other numbers for each device, the same ones whatever other devices there are."""
    return np.random.default_rng([zlib.crc32(circuit.name.encode()), part])


def drawn_knobs(circuit, rng):
    """Each knob at an end stop or anywhere, by even chances."""
    return {knob: float(rng.choice([0.0, 1.0, rng.uniform(), rng.uniform()])) for knob in circuit.knobs}


def allowed_volts(circuit, volts):
    """No stage's output leaves its supply; a coil can lift it to twice that; an input can reach a passive output."""
    elements = circuit.at()
    supply = sum(abs(element.volts) for element in elements if isinstance(element, Battery))
    coils = any(isinstance(element, Inductor) for element in elements)
    return (2.0 if coils else 1.0) * supply + np.abs(volts).max()


@pytest.fixture(params=bundled_circuits())
def device(request):
    return load_circuit(request.param)


def test_random_draws_all_play(device):
    rng = rng_of(device, 0)
    settings, volts = [], []
    for _ in range(DRAWS_A_DEVICE):
        settings.append(drawn_knobs(device, rng))
        volts.append(10.0 ** (rng.uniform(*LEVELS_DB) / 20.0) * take(int(rng.integers(SEEDS))))
    played = process_many(device, np.stack(volts), settings, RATE)  # raises SimulationError for a run that fails
    assert np.isfinite(played).all()
    for output, given, knobs in zip(played, volts, settings, strict=True):
        assert np.abs(output).max() < allowed_volts(device, given), knobs


def test_what_no_guitar_plays(device):
    """Square waves of 1 to 10 V, and takes in noise, with every knob at an end: what another pedal may send."""
    rng = rng_of(device, 2)
    settings, volts = [], []
    for index in range(HARSH_DRAWS):
        settings.append({knob: float(rng.integers(2)) for knob in device.knobs})
        loud = 10.0 ** rng.uniform(0.0, 1.0)
        if index % 2:
            volts.append(loud * signal.square(2.0 * np.pi * rng.uniform(40.0, 5000.0) * np.arange(HARSH_FRAMES) / RATE))
        else:
            begin = int(rng.integers(FRAMES - HARSH_FRAMES))
            clean = take(int(rng.integers(SEEDS)))[begin : begin + HARSH_FRAMES]
            volts.append(loud * (clean + rng.uniform(0.0, 0.3) * rng.normal(size=HARSH_FRAMES)))
    played = process_many(device, np.stack(volts), settings, RATE)
    for output, given, knobs in zip(played, volts, settings, strict=True):
        assert np.abs(output).max() < allowed_volts(device, given), knobs


def test_every_knob_turns_something(device):
    settings = [{knob: end} for knob in device.knobs for end in (0.0, 1.0)]
    if not settings:
        pytest.skip("it has no knobs")
    ends = process_many(device, np.stack([take(0)] * len(settings)), settings, RATE)
    for knob, low, high in zip(device.knobs, ends[::2], ends[1::2], strict=True):
        difference = np.sum((high - low) ** 2) / max(np.sum(high**2), np.sum(low**2))
        assert difference > 1e-3, knob


def test_full_scale_holds_the_loudest_ordinary_guitar(device):
    """1 V is what a hot pickup gives; nothing that people play goes beyond what a file of the output can hold."""
    rng = rng_of(device, 1)
    settings = [{}, dict.fromkeys(device.knobs, 1.0), *(drawn_knobs(device, rng) for _ in range(6))]
    volts = np.stack([take(seed) / np.abs(take(seed)).max() for seed in range(len(settings))])
    peaks = np.abs(process_many(device, volts, settings, RATE)).max(axis=1) / device.volts_per_full_scale
    worst = int(np.argmax(peaks))
    assert 0.1 < peaks[worst] <= 1.0, (peaks[worst], settings[worst])
