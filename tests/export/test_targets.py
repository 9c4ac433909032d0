"""The files for the players of others: each is read back, and plays the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import DATA, assert_one_line_error

from export import aidax
from export.players import PLAYERS
from training import foreign, model_file
from training.errors import InputError
from training.knob import Knob
from training.model_file import Model
from training.recurrent import RecurrentNetwork
from training.wavenet import WaveNet

AUDIO = (0.3 * np.random.default_rng(0).standard_normal(1200)).astype(np.float32)
MODELS = DATA / "models"


def random_model(
    unit: str = "lstm", size: int = 8, knobs: int = 0, layers: int = 1, residual: float = 1.0, rate_hz: int = 48000
) -> Model:
    torch.manual_seed(0)
    network = RecurrentNetwork(unit, size, knobs, layers, residual).eval()
    names = tuple(Knob(f"knob {number}", 0.0, 10.0, 5.0) for number in range(knobs))
    return Model("amp", unit, network.config, network, rate_hz, names)


def read_back(target: str, model: Model) -> Model:
    return foreign.parse(json.dumps(PLAYERS[target].document(model)).encode(), f"their{PLAYERS[target].suffix}")


def check_equal(again: Model, model: Model) -> None:
    assert again.name == model.name and again.sample_rate_hz == model.sample_rate_hz
    assert again.network.name == model.network.name and len(again.knobs) == len(model.knobs)
    positions = [0.2, 0.7, 0.4, 0.9][: len(model.knobs)]
    figures = [knob.minimum + x * (knob.maximum - knob.minimum) for knob, x in zip(model.knobs, positions, strict=True)]
    np.testing.assert_allclose(again.render(AUDIO, positions), model.render(AUDIO, figures), atol=1e-6)


def refused(target: str, model: Model) -> str:
    with pytest.raises(InputError) as raised:
        PLAYERS[target].document(model)
    assert raised.value.message.isprintable()
    return raised.value.message


@pytest.mark.parametrize("unit", ["lstm", "gru"])
@pytest.mark.parametrize(("residual", "rate_hz"), [(0.0, 44100), (1.0, 48000)])
@pytest.mark.parametrize(
    ("target", "knobs", "layers"),
    [
        *(("rtneural", knobs, layers) for knobs in (0, 1, 4) for layers in (1, 3)),
        *((target, knobs, 1) for target in ("aidax", "proteus") for knobs in (0, 1, 2)),
    ],
)
def test_files_play_the_same(unit: str, residual: float, rate_hz: int, target: str, knobs: int, layers: int) -> None:
    model = random_model(unit, 8, knobs, layers, residual, rate_hz)
    check_equal(read_back(target, model), model)


@pytest.mark.parametrize("residual", [0.001, 0.5, 8.0])
@pytest.mark.parametrize("knobs", [0, 2])
def test_aidax_says_any_share_of_the_dry_signal_by_its_gain(residual: float, knobs: int) -> None:
    model = random_model("gru", 12, knobs, residual=residual)
    again = read_back("aidax", model)
    check_equal(again, model)
    assert again.recurrent.residual == pytest.approx(residual)


@pytest.mark.parametrize("target", ["rtneural", "proteus"])
@pytest.mark.parametrize("residual", [0.5, -1.0])
def test_a_share_of_the_dry_signal_that_a_file_cannot_say_is_refused(target: str, residual: float) -> None:
    assert f"adds {residual:g} times the dry signal" in refused(target, random_model(residual=residual))


@pytest.mark.parametrize("residual", [-1.0, 1e-4])
def test_aidax_refuses_what_its_gain_cannot_say(residual: float) -> None:
    assert "AIDA-X's files can say 0 or 0.001 and more" in refused("aidax", random_model(residual=residual))


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        ("aidax", {"size": 10}, "has no lstm-10 of 0 knobs; it loads an lstm or gru of one layer, 8, 12, 16"),
        ("aidax", {"layers": 2}, "has no lstm-2x8"),
        ("aidax", {"knobs": 3}, "has no lstm-8 of 3 knobs; .* and at most 2 knobs"),
        ("proteus", {"layers": 2}, "no player has a lstm-2x8 of 0 knobs; Proteus and BYOD load an lstm-40"),
        ("proteus", {"knobs": 3}, "no player has a lstm-8 of 3 knobs"),
    ],
)
def test_what_a_player_cannot_load_is_refused(target: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        PLAYERS[target].document(random_model(**options))


@pytest.mark.parametrize("target", PLAYERS)
def test_other_networks_are_refused(target: str) -> None:
    array = {"input_size": 1, "condition_size": 1, "head_size": 1, "channels": 2, "kernel_size": 2, "dilations": [1]}
    network = WaveNet({"layers": [{**array, "activation": "Tanh", "head_bias": True}]})
    assert "is not an LSTM or GRU" in refused(target, Model("amp", "wavenet", network.config, network))


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        ("rtneural", {"rate_hz": 44100}, None),
        ("aidax", {}, None),
        ("aidax", {"rate_hz": 44100}, "set the host to 44100 Hz"),
        ("proteus", {"size": 40, "knobs": 1, "rate_hz": 44100}, None),
        ("proteus", {"size": 40, "knobs": 2}, "this lstm-40 of 2 knobs is for other players"),
        ("proteus", {"size": 40}, "Proteus plays every model at 44100 Hz, this one is for 48000 Hz"),
        ("proteus", {"size": 40, "residual": 0.0}, "add the dry signal whatever the file says"),
        ("proteus", {"size": 20, "knobs": 2}, "NeuralPi plays at its host's rate: set the host to 48000 Hz"),
        ("proteus", {"unit": "gru", "size": 40}, "this gru-40 of 0 knobs is for other players"),
    ],
)
def test_what_players_do_not_play_as_meant_is_warned_of(target: str, options: Any, words: str | None) -> None:
    warning = PLAYERS[target].warning(random_model(**options))
    assert warning is None if words is None else words in str(warning)


@pytest.mark.parametrize("knobs", [0, 2])
@pytest.mark.parametrize("residual", [0.0, 0.5, 1.0])
def test_aidax_tests_itself(knobs: int, residual: float) -> None:
    """By AIDA-X's rules: float32, zero state, knobs at 0, no gains; its player warns from 1e-5 on."""
    model = random_model("lstm", 16, knobs, residual=residual)
    document = PLAYERS["aidax"].document(model)
    assert len(document["input_batch"]) == aidax.SELF_TEST_FRAMES == len(document["output_batch"])
    assert max(map(abs, document["input_batch"])) == 0.5
    again = foreign.parse(json.dumps(document).encode(), "amp.aidax")
    assert again.training["self_test_largest_error"] < 1e-5
    document["output_batch"][700] += 0.01
    with pytest.raises(InputError, match="fails its own self-test: an output is off"):
        foreign.parse(json.dumps(document).encode(), "amp.aidax")


def test_rates_are_numbers_where_the_players_look_for_them() -> None:
    document = PLAYERS["aidax"].document(random_model(rate_hz=44100))
    assert document["samplerate"] == document["metadata"]["samplerate"] == 44100
    assert PLAYERS["rtneural"].document(random_model())["samplerate"] == 48000
    assert PLAYERS["proteus"].document(random_model())["model_data"]["sample_rate"] == 48000


@pytest.mark.parametrize("target", PLAYERS)
def test_an_imported_model_keeps_author_and_licence(target: str) -> None:
    model = random_model()
    model.training = {"metadata": {"modeled_by": "A. Maker", "license": "CC BY 4.0", "gain": 0.3}}
    metadata = read_back(target, model).training["metadata"]
    assert metadata == {"name": "amp", "samplerate": 48000, "author": "A. Maker", "license": "CC BY 4.0"}
    model.training = {"metadata": {"author": 3, "license": None}}
    assert read_back(target, model).training["licence"].startswith("not stated")


@pytest.mark.skipif(not MODELS.is_dir(), reason="../shared/data is not here")
@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("gru4_ts9_pytorch.json", "rtneural, proteus"),
        ("gru8_ts9_pytorch.json", "rtneural, aidax, proteus"),
        ("lstm4_ts9_pytorch.json", "rtneural, proteus"),
        ("lstm8_ts9_pytorch.json", "rtneural, aidax, proteus"),
        ("ts9_gru7_gain10_loss003_TEST.json", "rtneural, proteus"),
        ("lstm_1d.json", "rtneural, aidax, proteus"),
        ("lstm.nam", "rtneural, proteus"),
        ("namrs_lstm_1x10.nam", "rtneural, proteus"),
        ("namrs_lstm_2x24.nam", "rtneural"),
        ("namrs_lstm_3x8.nam", "rtneural"),
    ],
)
def test_models_of_others_play_the_same_in_each_format(name: str, targets: str) -> None:
    model = foreign.read(MODELS / name)
    for target in PLAYERS:
        if target in targets:
            check_equal(read_back(target, model), model)
        else:
            refused(target, model)


@pytest.mark.parametrize(("target", "name"), [("rtneural", "a.rtneural.json"), ("aidax", "a.aidax")])
def test_command_writes_one_file_and_names_it(tmp_path: Path, run_pedal: Callable, target: str, name: str) -> None:
    model_file.save(tmp_path / "amp.pt", random_model(rate_hz=44100))
    result = run_pedal("export", "--target", target, "--out", "new/a", "amp.pt", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]
    lines = result.stdout.splitlines()
    assert lines[-1] == f"{PLAYERS[target].title:<10} new/{name}"
    assert [line.split()[0] for line in lines[:-1]] == (["warning"] if target == "aidax" else [])


def test_command_refuses_in_one_line_and_writes_nothing(tmp_path: Path, run_pedal: Callable) -> None:
    model_file.save(tmp_path / "amp.pt", random_model(size=5))
    assert_one_line_error(run_pedal("export", "--target", "aidax", "amp.pt", cwd=tmp_path), "lstm-5", "one layer")
    assert [path.name for path in tmp_path.iterdir()] == ["amp.pt"]
