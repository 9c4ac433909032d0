"""How loud audio is, and where."""

import numpy as np
import pytest

from training.levels import brightness_hz, crest_db, level_dbfs, loudest

SINE = 0.5 * np.sin(2 * np.pi * 100 * np.arange(48_000) / 48_000)


def test_levels_of_a_sine_and_a_square_wave() -> None:
    square = np.tile([1.0, -1.0], 100)
    assert level_dbfs(square) == crest_db(square) == 0
    assert level_dbfs(SINE + 0.3) == pytest.approx(-9.03, abs=0.01)
    assert crest_db((SINE + 0.3).astype(np.float32)) == pytest.approx(3.01, abs=0.01)
    assert level_dbfs(np.zeros(10)) == -120 and crest_db(np.zeros(10)) == 0


def test_the_brightness_is_the_mean_frequency() -> None:
    assert brightness_hz(SINE + 0.3, 48_000) == pytest.approx(100)
    higher = 0.5 * np.sin(2 * np.pi * 400 * np.arange(48_000) / 48_000)
    assert brightness_hz((SINE + higher).astype(np.float32), 48_000) == pytest.approx(250, abs=0.1)
    assert brightness_hz(np.zeros(10), 48_000) == 0


def test_the_loudest_stretch() -> None:
    samples = 0.01 * np.ones(1000, np.float32)
    samples[600:700] = 0.5
    assert loudest(samples, 100) == slice(600, 700)
    assert loudest(samples, 1000) == loudest(samples, 5000) == slice(0, 1000)
