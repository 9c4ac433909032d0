import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training import model_file
from training.eq_block import EqNetwork
from training.errors import InputError
from training.knob import Knob
from training.model_file import Model
from training.recurrent import RecurrentNetwork

DRIVE, TONE = Knob("drive", 0, 10, 5), Knob("tone", -1, 1, 0.5)


def model(
    unit: str = "lstm", hidden_size: int = 6, knobs: tuple[Knob, ...] = (), layers: int = 1, residual: float = 1.0
) -> Model:
    torch.manual_seed(0)
    network = RecurrentNetwork(unit, hidden_size, len(knobs), layers, residual)
    return Model(
        name="amp",
        architecture=unit,
        config=network.config,
        network=network,
        knobs=knobs,
        levels={"input_volts_per_full_scale": 1.4},
        training={"validation_esr": 0.01, "versions": {"torch": "2"}, "history": [1, 2.5, "x", None, True]},
    )


def noise(frames: int) -> np.ndarray:
    return (0.3 * np.random.default_rng(0).standard_normal(frames)).astype(np.float32)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "amp.pt"
    model_file.save(path, model(knobs=(DRIVE,)))
    return path


@pytest.mark.parametrize("unit", ["lstm", "gru"])
@pytest.mark.parametrize("knobs", [(), (DRIVE, TONE)])
@pytest.mark.parametrize(("layers", "residual"), [(1, 1.0), (2, 0.0), (1, -0.3)])
def test_round_trip(tmp_path: Path, unit: str, knobs: tuple[Knob, ...], layers: int, residual: float) -> None:
    saved = model(unit, knobs=knobs, layers=layers, residual=residual)
    model_file.save(tmp_path / "amp.pt", saved)
    loaded = model_file.load(tmp_path / "amp.pt")
    for name in ("name", "architecture", "config", "sample_rate_hz", "knobs", "levels", "training"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert np.array_equal(loaded.render(noise(999)), saved.render(noise(999)))


@pytest.mark.parametrize("more", [{}, {"layers": 1, "residual": True}])
def test_files_of_format_1_are_read(good: Path, more: dict[str, Any]) -> None:
    record = without(torch.load(good, weights_only=True), "start")
    torch.save({**record, "format": 1, "config": {"hidden_size": 6, "knob_count": 1, **more}}, good)
    loaded = model_file.load(good)
    assert loaded.config == {"hidden_size": 6, "knob_count": 1, "layers": 1, "residual": 1.0}
    assert np.array_equal(loaded.render(noise(99)), model(knobs=(DRIVE,)).render(noise(99)))


@pytest.mark.parametrize("unit", ["lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_stream_begins_at_rest(tmp_path: Path, unit: str, layers: int) -> None:
    """Silence gives one constant from its first frame on, wherever the state starts from."""
    playing = model(unit, knobs=(DRIVE,), layers=layers)
    shape = (layers, 1, 6)
    parts = [torch.full(shape, 0.4), torch.full(shape, -2.0)]
    playing.start = (parts[0], parts[1]) if unit == "lstm" else parts[0]
    model_file.save(tmp_path / "amp.pt", playing)
    loaded = model_file.load(tmp_path / "amp.pt")
    for part, read in zip(parts, loaded.start if unit == "lstm" else [loaded.start], strict=False):
        assert torch.equal(part, read)
    silent = loaded.render(np.zeros(2000, np.float32))
    assert np.abs(silent - silent[-1]).max() < 1e-6 and silent[-1] != 0
    from_zeros, _ = playing.network(torch.zeros(1, 2000), torch.tensor([[0.5]]))
    assert (from_zeros[0, 0] - from_zeros[0, -1]).abs() > 1e-3


def test_a_network_with_two_resting_places_takes_the_one_that_its_start_leads_to() -> None:
    playing = model("gru")
    with torch.no_grad():
        for weights in playing.network.parameters():
            weights.zero_()
        playing.network.recurrent.weight_hh_l0[12:] = 6 * torch.eye(6)  # r = z = 1/2, n = tanh(3 h)
        playing.network.head.weight[:] = 1.0
    for sign in (-1.0, 1.0):
        playing.start = torch.full((1, 1, 6), 0.1 * sign)
        np.testing.assert_allclose(playing.render(np.zeros(9, np.float32)), sign * 6 * 0.9949, rtol=0.01)


def test_other_rates_are_resampled_around_the_model() -> None:
    """A sine through a network that adds nothing comes back; a resampled one is the same sine at the other rate."""
    playing = model()
    with torch.no_grad():
        playing.network.head.weight.zero_()
        playing.network.head.bias.zero_()
    playing.sample_rate_hz = 44100
    sine = 0.5 * np.sin(2 * np.pi * 5000 * np.arange(9600) / 48000)
    played = playing.render_at(48000, sine, dtype=np.float64)
    assert len(played) == len(sine) and played.dtype == np.float64
    np.testing.assert_allclose(played[500:-500], sine[500:-500], atol=1e-5)
    own = playing.render_at(44100, sine, dtype=np.float64)
    assert np.array_equal(own, playing.render(sine, dtype=np.float64))


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        model_file.save(tmp_path / name, model())
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def eq_model() -> Model:
    torch.manual_seed(0)
    network = EqNetwork(2, 33)
    return Model("amp", "eq", network.config, network)


@pytest.mark.parametrize(("unit", "tolerance"), [("lstm", 2e-7), ("gru", 2e-7), ("eq", 1e-6)])
@settings(max_examples=10, deadline=None)
@given(chunk_frames=st.integers(1, 700))
def test_chunks_do_not_change_the_output(unit: str, tolerance: float, chunk_frames: int) -> None:
    playing = eq_model() if unit == "eq" else model(unit, knobs=(DRIVE,))
    whole = playing.render(noise(600))
    assert whole.dtype == np.float32
    np.testing.assert_allclose(playing.render(noise(600), chunk_frames=chunk_frames), whole, atol=tolerance)


def test_render_matches_the_network_in_both_precisions() -> None:
    playing = model(knobs=(DRIVE, TONE))
    expected, _ = playing.network(torch.from_numpy(noise(500))[None], torch.tensor([[0.3, 0.75]]), playing.rest())
    np.testing.assert_allclose(playing.render(noise(500), [3.0, 0.5]), expected[0].detach(), atol=2e-7)
    double = playing.render(noise(500), [3.0, 0.5], dtype=np.float64)
    assert double.dtype == np.float64 and not np.array_equal(double, double.astype(np.float32))
    np.testing.assert_allclose(double, expected[0].detach(), atol=1e-6)
    assert playing.network.head.weight.dtype == torch.float32


def test_render_without_knobs_given_uses_their_defaults() -> None:
    playing = model(knobs=(DRIVE,))
    assert np.array_equal(playing.render(noise(300)), playing.render(noise(300), [5.0]))
    assert not np.array_equal(playing.render(noise(300)), playing.render(noise(300), [6.0]))


@pytest.mark.parametrize("positions", [[], [1.0, 2.0], [10.5], [-0.1], [float("nan")]])
def test_render_refuses_wrong_knobs(positions: list[float]) -> None:
    with pytest.raises(InputError, match="drive"):
        model(knobs=(DRIVE,)).render(noise(10), positions)


@pytest.mark.parametrize(
    "arguments", [("", 0, 1, 0), ("a\n", 0, 1, 0), ("a", 1, 1, 1), ("a", 0, 1, 2), ("a", 0, 1e9, 1)]
)
def test_knobs_that_cannot_be_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(InputError):
        Knob(*arguments)


class Evil:
    """Unpickled carelessly, leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_a_pickle_with_code_is_refused_and_not_run(good: Path, tmp_path: Path) -> None:
    trace = tmp_path / "was-run"
    record = torch.load(good, weights_only=True)
    buffer = io.BytesIO()
    torch.save({**record, "training": Evil(trace)}, buffer)
    for contents in (buffer.getvalue(), pickle.dumps(Evil(trace)), pickle.dumps({**record, "training": Evil(trace)})):
        good.write_bytes(contents)
        with pytest.raises(InputError, match="not a model of ours") as raised:
            model_file.load(good)
        assert "\n" not in raised.value.message and not trace.exists()
    torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
    assert trace.exists(), "the file would not have done harm anyway"


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.99])
def test_truncated_files_are_refused(good: Path, share: float) -> None:
    contents = good.read_bytes()
    good.write_bytes(contents[: int(share * len(contents))])
    with pytest.raises(InputError, match="not a model of ours"):
        model_file.load(good)


@pytest.mark.parametrize(
    "contents", [b"", b"not a model", b"RIFF\0\0\0\0WAVE", b"\x80\x02.", b"PK\x03\x04" + bytes(100)]
)
def test_other_files_are_refused(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(contents)
    with pytest.raises(InputError, match="not a model of ours"):
        model_file.load(tmp_path / "x.pt")


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(InputError, match="cannot read"):
            model_file.load(path)


def without(record: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != key}


def with_weights(record: dict[str, Any], key: str, weights: object) -> dict[str, Any]:
    return {**record, "weights": {**record["weights"], key: weights}}


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "list": (lambda r: [r], "not a model of ours"),
    "another torch file": (lambda r: r["weights"], "not a model of ours"),
    "format": (lambda r: {**r, "format": 4}, "has format 4; this version reads formats 1 to 3"),
    "format tensor": (lambda r: {**r, "format": torch.ones(2)}, "format should be"),
    "architecture": (lambda r: {**r, "architecture": "rnn"}, "unknown architecture"),
    "hidden size": (lambda r: {**r, "config": {**r["config"], "hidden_size": 10**9}}, "outside 1 to 64"),
    "config type": (lambda r: {**r, "config": {**r["config"], "hidden_size": True}}, "hidden_size should be"),
    "config keys": (lambda r: {**r, "config": {"hidden_size": 6}}, "its config"),
    "layers": (lambda r: {**r, "config": {**r["config"], "layers": 11}}, "11 layers are outside 1 to 4"),
    "layers type": (lambda r: {**r, "config": {**r["config"], "layers": 1.0}}, "layers should be of type int"),
    "layers against weights": (lambda r: {**r, "config": {**r["config"], "layers": 2}}, "not those of its arch"),
    "residual type": (lambda r: {**r, "config": {**r["config"], "residual": 1}}, "residual should be of type float"),
    "residual size": (lambda r: {**r, "config": {**r["config"], "residual": 9.0}}, "residual of 9 is outside"),
    "residual NaN": (lambda r: {**r, "config": {**r["config"], "residual": float("nan")}}, "residual of nan"),
    "config against weights": (
        lambda r: {**r, "config": {**r["config"], "hidden_size": 7}},
        "where its config needs",
    ),
    "start type": (lambda r: {**r, "start": 3}, "its start should hold h and c"),
    "start of a GRU": (lambda r: {**r, "start": [torch.zeros(1, 1, 6)]}, "its start should hold h and c"),
    "start shape": (lambda r: {**r, "start": [torch.zeros(1, 1, 6), torch.zeros(6)]}, "start c are"),
    "start NaN": (lambda r: {**r, "start": [torch.full((1, 1, 6), float("nan"))] * 2}, "start h hold NaN"),
    "no weights": (lambda r: without(r, "weights"), "weights should be"),
    "weights missing": (
        lambda r: {**r, "weights": without(r["weights"], "head.bias")},
        "not those of its architecture",
    ),
    "weights extra": (lambda r: with_weights(r, "other", torch.zeros(1)), "not those of its architecture"),
    "weights NaN": (lambda r: with_weights(r, "head.bias", torch.tensor([float("nan")])), "head.bias hold NaN"),
    "weights infinite": (lambda r: with_weights(r, "head.bias", torch.tensor([float("inf")])), "head.bias hold NaN"),
    "weights shape": (lambda r: with_weights(r, "head.bias", torch.zeros(2)), "head.bias are"),
    "weights type": (lambda r: with_weights(r, "head.bias", torch.zeros(1).double()), "not float32"),
    "weights sparse": (lambda r: with_weights(r, "head.bias", torch.zeros(1).to_sparse()), "not float32"),
    "weights no tensor": (lambda r: with_weights(r, "head.bias", 0.0), "not float32"),
    "rate": (lambda r: {**r, "sample_rate_hz": 0}, "sample rate of 0"),
    "rate type": (lambda r: {**r, "sample_rate_hz": 48000.0}, "sample_rate_hz should be"),
    "knob count": (lambda r: {**r, "knobs": []}, "names 0 knobs where its network has 1"),
    "knob keys": (lambda r: {**r, "knobs": [{"name": "drive"}]}, "a knob should have"),
    "knob type": (lambda r: {**r, "knobs": [{**r["knobs"][0], "minimum": "0"}]}, "range should be numbers"),
    "knob range": (lambda r: {**r, "knobs": [{**r["knobs"][0], "maximum": 0}]}, "is empty"),
    "levels": (lambda r: {**r, "levels": 3}, "levels should be"),
    "training": (lambda r: without(r, "training"), "training should be"),
    "name": (lambda r: {**r, "name": 3}, "name should be"),
}


@pytest.mark.parametrize("case", WRONG)
def test_records_that_are_not_ours_are_refused(good: Path, case: str) -> None:
    change, message = WRONG[case]
    torch.save(change(torch.load(good, weights_only=True)), good)
    with pytest.raises(InputError, match=message) as raised:
        model_file.load(good)
    assert raised.value.message.startswith(f"{good}: ") and "\n" not in raised.value.message


def test_what_could_not_be_read_back_is_not_written(good: Path) -> None:
    before = good.read_bytes()
    wrong = model()
    wrong.training = {"where": Path("a path is no plain type")}
    with pytest.raises(InputError):
        model_file.save(good, wrong)
    broken = model()
    torch.nn.init.constant_(broken.network.head.bias, float("nan"))
    with pytest.raises(InputError, match="NaN"):
        model_file.save(good, broken)
    assert good.read_bytes() == before and list(good.parent.iterdir()) == [good]


def test_a_full_disk_keeps_the_old_file(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = good.read_bytes()

    def full(path: Path, contents: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left on device"):
        model_file.save(good, model())
    assert good.read_bytes() == before and list(good.parent.iterdir()) == [good]
