import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from export import rtneural
from training import foreign, model_file
from training.errors import InputError
from training.knob import Knob
from training.model_file import Model
from training.recurrent import RecurrentNetwork

MODELS = Path(__file__).parents[3] / "shared/data/models"
needs_models = pytest.mark.skipif(not MODELS.exists(), reason="../shared/data is not here")

AUDIO = (0.3 * np.random.default_rng(0).standard_normal(800)).astype(np.float32)


def random_network(unit: str = "lstm", size: int = 5, knobs: int = 0, **options: Any) -> RecurrentNetwork:
    torch.manual_seed(0)
    return RecurrentNetwork(unit, size, knobs, **options).eval()


def state_dict_document(network: RecurrentNetwork) -> dict[str, Any]:
    state = {
        key.replace("recurrent.", "rec.").replace("head.", "lin."): tensor.tolist()
        for key, tensor in network.state_dict().items()
    }
    described = {
        "model": "SimpleRNN",
        "input_size": 1 + network.knob_count,
        "skip": int(network.residual),
        "output_size": 1,
        "unit_type": network.unit.upper(),
        "num_layers": network.layers,
        "hidden_size": network.hidden_size,
        "bias_fl": True,
    }
    return {"model_data": described, "state_dict": state}


def as_model(network: RecurrentNetwork) -> Model:
    knobs = tuple(Knob(f"knob {number}") for number in range(network.knob_count))
    return Model("amp", network.unit, network.config, network, knobs=knobs)


def nam_document(network: RecurrentNetwork) -> dict[str, Any]:
    weights: list[float] = []
    for layer in range(network.layers):
        w_ih, w_hh, b_ih, b_hh = (
            getattr(network.recurrent, f"{name}_l{layer}").detach()
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        weights += torch.cat([w_ih, w_hh], dim=1).flatten().tolist() + (b_ih + b_hh).tolist()
        weights += [0.125] * (2 * network.hidden_size)
    weights += network.head.weight.flatten().tolist() + network.head.bias.tolist()
    config = {"input_size": 1, "hidden_size": network.hidden_size, "num_layers": network.layers}
    return {"version": "0.5.4", "architecture": "LSTM", "config": config, "weights": weights, "sample_rate": 48000.0}


def written(folder: Path, document: object) -> Path:
    path = folder / "their amp.json"
    path.write_text(json.dumps(document))
    return path


def check_equal(model: Model, network: RecurrentNetwork) -> None:
    assert model.config == network.config and model.architecture == network.unit
    positions = [0.2, 0.4, 0.6, 0.8][: network.knob_count]
    np.testing.assert_allclose(model.render(AUDIO, positions), as_model(network).render(AUDIO, positions), atol=1e-6)


@pytest.mark.parametrize("unit", ["lstm", "gru"])
@pytest.mark.parametrize(("knobs", "layers", "residual"), [(0, 1, True), (4, 1, False), (1, 3, True)])
def test_state_dicts_play_the_same(tmp_path: Path, unit: str, knobs: int, layers: int, residual: bool) -> None:
    network = random_network(unit, 5, knobs, layers=layers, residual=residual)
    model = foreign.read(written(tmp_path, state_dict_document(network)))
    check_equal(model, network)
    assert model.name == "their amp" and model.sample_rate_hz == 44100
    assert [knob.name for knob in model.knobs] == ["knob 1", "knob 2", "knob 3", "knob 4"][:knobs]


def test_a_head_without_bias_has_a_bias_of_zero(tmp_path: Path) -> None:
    network = random_network()
    torch.nn.init.zeros_(network.head.bias)
    document = state_dict_document(network)
    document["model_data"]["bias_fl"] = False
    del document["state_dict"]["lin.bias"]
    check_equal(foreign.read(written(tmp_path, document)), network)


@pytest.mark.parametrize("unit", ["lstm", "gru"])
@pytest.mark.parametrize(("knobs", "residual"), [(0, True), (2, False)])
def test_rtneural_plays_the_same(tmp_path: Path, unit: str, knobs: int, residual: bool) -> None:
    network = random_network(unit, 5, knobs, residual=residual)
    model = foreign.read(written(tmp_path, rtneural.document(as_model(network))))
    check_equal(model, network)
    assert model.name == "amp" and model.sample_rate_hz == 48000


@pytest.mark.parametrize("layers", [1, 3])
def test_nam_plays_the_same(tmp_path: Path, layers: int) -> None:
    network = random_network(layers=layers, residual=False)
    model = foreign.read(written(tmp_path, nam_document(network)))
    check_equal(model, network)
    assert model.sample_rate_hz == 48000


def test_a_foreign_model_can_be_kept_as_one_of_ours(tmp_path: Path) -> None:
    model = foreign.read(written(tmp_path, nam_document(random_network(layers=2, residual=False))))
    model_file.save(tmp_path / "amp.pt", model)
    assert np.array_equal(model_file.load(tmp_path / "amp.pt").render(AUDIO), model.render(AUDIO))


@pytest.mark.parametrize(
    ("said", "rate_hz"),
    [
        ({}, 44100),
        ({"samplerate": "48000"}, 48000),
        ({"samplerate": 96000.0}, 96000),
        ({"metadata": {"samplerate": "48000"}}, 48000),
        ({"metadata": "none"}, 44100),
    ],
)
def test_the_sample_rate_is_what_the_file_says(tmp_path: Path, said: dict[str, Any], rate_hz: int) -> None:
    path = written(tmp_path, {**state_dict_document(random_network()), **said})
    assert foreign.read(path).sample_rate_hz == rate_hz


def test_the_sample_rate_may_be_said_where_byod_looks_for_it(tmp_path: Path) -> None:
    document = state_dict_document(random_network())
    document["model_data"]["sample_rate"] = 96000
    assert foreign.read(written(tmp_path, document)).sample_rate_hz == 96000


@pytest.mark.parametrize("rate", ["fast", "", 0, -48000, [48000], "nan", 1e400])
def test_impossible_sample_rates_are_refused(tmp_path: Path, rate: object) -> None:
    path = written(tmp_path, {**state_dict_document(random_network()), "samplerate": rate})
    with pytest.raises(InputError, match="has a sample rate of"):
        foreign.read(path)


DOCUMENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "state dict": lambda: state_dict_document(random_network()),
    "rtneural": lambda: rtneural.document(as_model(random_network())),
    "rtneural gru": lambda: rtneural.document(as_model(random_network("gru"))),
    "nam": lambda: nam_document(random_network(residual=False)),
}
WRONG: list[tuple[str, list[str | int], object, str]] = [
    ("state dict", ["model_data", "unit_type"], "RNN", "unknown recurrent unit 'rnn'"),
    ("state dict", ["model_data", "hidden_size"], 6, "its config needs"),
    ("state dict", ["model_data", "hidden_size"], 5.0, "hidden_size should be of type int"),
    ("state dict", ["model_data", "num_layers"], 2, "not those of its architecture"),
    ("state dict", ["model_data", "input_size"], 6, "5 knobs are outside"),
    ("state dict", ["model_data", "input_size"], 0, "-1 knobs are outside"),
    ("state dict", ["model_data", "output_size"], 2, "more than one output"),
    ("state dict", ["model_data", "skip"], 2, "skip should be 0 or 1"),
    ("state dict", ["state_dict"], [], "state_dict should be of type dict"),
    ("state dict", ["state_dict", "rec.bias_hh_l0", 3], None, "rec.bias_hh_l0 should be numbers"),
    ("state dict", ["state_dict", "rec.bias_hh_l0", 3], [1.0], "rec.bias_hh_l0 should be numbers"),
    ("state dict", ["state_dict", "rec.bias_hh_l0", 3], float("nan"), "hold NaN"),
    ("state dict", ["state_dict", "lin.bias"], ["0.5"], "lin.bias should be numbers"),
    ("state dict", ["state_dict", "lin.bias"], [1e300], "hold NaN or infinity"),
    ("state dict", ["state_dict", "lin.bias"], [10**400], "lin.bias should be numbers"),
    ("state dict", ["model_data", "unit_type"], "x" * 999, r"unknown recurrent unit 'x{40}'"),
    ("state dict", ["model_data", "hidden_size"], 10**400, "hidden size something of type int is outside"),
    ("state dict", ["state_dict", "a\nb"], 0, r"has weights 'a\\nb', which are not those"),
    ("rtneural", ["layers", 0, "type"], [], "but something of type list, dense"),
    ("rtneural", ["layers", 0, "type"], "a\nb", r"but 'a\\nb', dense"),
    ("rtneural", ["layers", 0, "shape", 2], 4, r"kernel of the lstm layer is \[1, 20\] where .* needs \[1, 16\]"),
    ("rtneural", ["layers", 0, "shape"], [], "shape should end in a whole number"),
    ("rtneural", ["in_shape", 2], 2, "kernel of the lstm layer is"),
    ("rtneural", ["layers", 0, "type"], "conv1d", "but conv1d, dense"),
    ("rtneural", ["layers", 0], 7, "but None, dense"),
    ("rtneural", ["layers"], [], "not lstm or gru layers"),
    ("rtneural", ["layers", 1, "activation"], "tanh", "activations"),
    ("rtneural", ["layers", 1, "shape", 2], 2, "more than one output"),
    ("rtneural", ["layers", 0, "weights"], [[]], "should be 3 arrays, not 1"),
    ("rtneural", ["layers", 1, "weights", 0, 0], [1, 2], "should be numbers in rows"),
    ("rtneural", ["in_skip"], "yes", "in_skip should be 0 or 1"),
    ("rtneural", ["in_gain"], "6", "in_gain should be a number of dB"),
    ("rtneural", ["out_gain"], 1e300, "out_gain should be a number of dB"),
    ("rtneural gru", ["layers", 0, "weights", 2], [0.0] * 15, r"bias of the gru layer is \[15\]"),
    ("nam", ["architecture"], "ConvNet", "not an LSTM, a WaveNet or an impulse response, but 'ConvNet'"),
    ("nam", ["version"], [["0.5"]], "of version something of type list"),
    ("nam", ["version"], "0.8.0", "of version '0.8.0'; those from 0.5 to 0.7 are read"),
    ("nam", ["config", "num_layers"], 2, "has 156 weights where its config needs 386"),
    ("nam", ["config", "hidden_size"], 10**9, "outside 1 to 64"),
    ("nam", ["config", "input_size"], 2, "more inputs than the audio"),
    ("nam", ["weights"], None, "list of weights should be numbers"),
    ("nam", ["weights", 7], float("inf"), "hold NaN or infinity"),
]


@pytest.mark.parametrize(("document", "place", "value", "message"), WRONG)
def test_contradictions_are_refused(
    tmp_path: Path, document: str, place: list[str | int], value: object, message: str
) -> None:
    changed: Any = DOCUMENTS[document]()
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path = written(tmp_path, changed)
    with pytest.raises(InputError, match=message) as raised:
        foreign.read(path)
    assert raised.value.message.startswith(f"{path}: ") and "\n" not in raised.value.message


@pytest.mark.parametrize("contents", [b"", b"[1]", b"3", b"{}", b"\xff\xfe", b"[" * 100000, b'{"layers": [', b"RIFF"])
def test_other_files_are_refused(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(contents)
    with pytest.raises(InputError, match=r"not JSON, or damaged|not a model in a format"):
        foreign.read(path)


def test_missing_truncated_and_huge_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        foreign.read(tmp_path / "none.nam")
    path = written(tmp_path, nam_document(random_network(residual=False)))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="not JSON, or damaged"):
        foreign.read(path)
    with path.open("r+b") as file:
        file.truncate(foreign.MAXIMUM_FILE_BYTES + 1)
    with pytest.raises(InputError, match="far too large"):
        foreign.read(path)


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 99), st.floats(), st.text(max_size=5))
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner))


@pytest.mark.parametrize("document", DOCUMENTS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_nothing_but_a_model_or_one_line(tmp_path_factory: pytest.TempPathFactory, document: str, data: Any) -> None:
    """Put anything in any one place of a good file."""
    changed: Any = DOCUMENTS[document]()
    inner = changed
    while True:
        keys: list[Any] = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(inner[key], dict | list) or not inner[key] or data.draw(st.booleans()):
            break
        inner = inner[key]
    inner[key] = data.draw(ANYTHING)
    path = written(tmp_path_factory.mktemp("any"), changed)
    try:
        model = foreign.read(path)
    except InputError as error:
        assert "\n" not in error.message
    else:
        assert np.isfinite(model.render(AUDIO[:9])).all()


@needs_models
@pytest.mark.parametrize(
    ("name", "network", "residual"),
    [
        ("gru4_ts9_pytorch.json", "gru-4", True),
        ("gru8_ts9_pytorch.json", "gru-8", True),
        ("lstm4_ts9_pytorch.json", "lstm-4", True),
        ("lstm8_ts9_pytorch.json", "lstm-8", True),
        ("ts9_gru7_gain10_loss003_TEST.json", "gru-7", True),
        ("lstm_1d.json", "lstm-8", False),
        ("lstm.nam", "lstm-3", False),
        ("namrs_lstm_1x10.nam", "lstm-10", False),
        ("namrs_lstm_2x24.nam", "lstm-2x24", False),
        ("namrs_lstm_3x8.nam", "lstm-3x8", False),
    ],
)
def test_models_of_others_are_read(name: str, network: str, residual: bool) -> None:
    model = foreign.read(MODELS / name)
    assert (model.network.name, model.network.residual) == (network, residual)
    assert model.sample_rate_hz == (48000 if name.endswith(".nam") else 44100)
    output = model.render(AUDIO)
    assert np.isfinite(output).all() and output.std() > 0


@needs_models
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bad_lstm.json", r"kernel of the lstm layer is \[1, 80\] where the described network needs \[1, 64\]"),
        ("gru.json", "not lstm or gru layers and a dense one, but time-distributed-dense, gru, dense, dense"),
        ("gru_1d.json", "but gru, dense, dense"),
    ],
)
def test_other_models_of_others_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        foreign.read(MODELS / name)
