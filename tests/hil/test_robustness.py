"""Signals at which fixed-point arithmetic breaks: full scale, DC, squares, noise, and the silence after them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DATA

from export import fixed_point
from export.blob import default_positions_q31
from export.daisy import Exported, idle_dbfs, prepare, reference
from hardware.protocol import Engine
from hardware.verify import verify
from training import audio, foreign
from training.model_file import Model
from training.recurrent import RecurrentNetwork

RATE_HZ = 48_000
SILENCE_SECONDS = {"fuzz": 5.0}
"""Until a model's own memory has faded; 1.5 for others."""
CAPTURES = ("gru4", "gru8", "lstm4", "lstm8", "lstm_1d", "lstm.nam", "1x10", "2x24", "3x8", "ts9_gru7")


def stretches() -> list[np.ndarray]:
    """Each at full scale."""
    seconds = np.arange(RATE_HZ // 2) / RATE_HZ
    noise = np.random.default_rng(0).uniform(-1, 1, 10 * RATE_HZ)
    return [np.ones(len(seconds)), np.where(np.sin(2 * np.pi * 110 * seconds) < 0, -1.0, 1.0), noise]


def fuzz() -> Model:
    """An LSTM as fuzzes are: cells that add up what is rectified for a quarter of a second, to |c| = 85."""
    torch.manual_seed(3)
    network = RecurrentNetwork("lstm", 16, residual=False)
    with torch.no_grad():
        weights = network.recurrent
        for array in (weights.weight_hh_l0, weights.weight_ih_l0):
            array *= 0.5
        slow = torch.arange(0, 16, 4)
        inputs, forgets, candidates = slow, 16 + slow, 32 + slow
        weights.bias_ih_l0[forgets] = torch.tensor([8.0, 8.6, 9.2, 9.4])
        weights.bias_hh_l0[forgets] = 0.0
        weights.weight_hh_l0[forgets] *= 0.1
        weights.weight_ih_l0[forgets] *= 0.1
        weights.bias_ih_l0[inputs] = torch.tensor([-4.3, -7.0, -8.5, -10.0])
        weights.weight_ih_l0[inputs, 0] = 7.1
        weights.weight_ih_l0[candidates, 0] = 4.0
        network.head.weight[0, slow] = 0.4
    return Model("fuzz", "lstm", network.config, network.eval())


def captured() -> list[object]:
    """Models that others trained, by their files."""
    files = sorted((DATA / "models").iterdir()) if DATA.is_dir() else []
    found = [path for path in files if any(name in path.name for name in CAPTURES)]
    missing = pytest.param(None, marks=pytest.mark.skip(reason="../shared/data is not here"), id="captured")
    return [pytest.param(path, id=path.stem) for path in found] or [missing]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("lstm", 20, 1), id="lstm-20"),
        pytest.param(("lstm", 9, 2), id="lstm-2x9"),
        pytest.param(("gru", 10, 1), id="gru-10"),
        pytest.param(fuzz, id="fuzz"),
        *captured(),
    ],
)
def exported(request, make_model) -> Exported:
    if isinstance(request.param, Path):
        return prepare(foreign.read(request.param))
    if isinstance(request.param, tuple):
        unit, hidden_size, layers = request.param
        return prepare(make_model(unit, hidden_size, layers=layers))
    return prepare(request.param())


def test_the_emulated_chip_plays_a_real_guitar_as_the_model_does(emulator, exported, real_guitar):
    loud = audio.read(real_guitar).samples[8 * RATE_HZ :][: RATE_HZ // 2]
    report, _ = verify(emulator, exported, loud)
    assert report.passed, report.limits
    resampling = exported.quantized.resampling
    assert report.delay_frames == (resampling.delay_frames if resampling else 0)
    assert resampling is None or report.snr_resampling_db > 60


def test_no_wrap_no_limit_cycle_and_enough_accuracy(native, exported):
    model = exported.model
    assert exported.snr_db >= 55, exported.choices
    if model.name == "fuzz":
        (reach,) = exported.quantized.measured.cell
        assert 85 < reach < 128 and exported.quantized.cell_frac_bits == (24,)

    silence = np.zeros(round(SILENCE_SECONDS.get(model.name, 1.5) * RATE_HZ))
    native.load(0, exported.blob())
    native.select(0, Engine.FIXED)
    for stretch in stretches():
        samples = fixed_point.to_q31(np.concatenate([stretch, silence]))
        output = fixed_point.play(exported.quantized, samples, default_positions_q31(model.knobs))
        native.reset()
        # the specification's integers are wide: what is equal to it has not wrapped
        played = native.process(samples >> 8, 256)
        assert np.array_equal(played, np.minimum((output.astype(np.int64) + 128) >> 8, 2**23 - 1))

        heard = samples[-len(silence) - RATE_HZ :]  # what a second ago was is forgotten
        exact = reference(model, exported.quantized.resampling, heard)[-RATE_HZ // 10 :]
        idle = fixed_point.from_q31(output)[-RATE_HZ // 10 :]
        assert idle_dbfs(idle) <= max(-90.0, idle_dbfs(exact) + 1.0)
        assert abs(idle.mean() - exact.mean()) < 1e-3  # and no offset that a switch would make heard
