"""TensorFlow Lite files of models trained here and of captures by others: the gates, on every runtime that is here."""

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import DATA, assert_one_line_error

from export.cli import export_command
from export.tflite import exporter, network
from export.tflite.exporter import Exported, File, Played
from export.tflite.flavours import FLAVOURS, Candidate
from hardware import cli as hardware_cli
from hardware import comparison
from hardware.firmware_build import REPOSITORY
from training import audio, foreign, model_file
from training.dense_window import DenseWindow
from training.eq_block import EqNetwork
from training.errors import InputError
from training.model_file import Knob, Model, TrainableNetwork
from training.recurrent import RecurrentNetwork

needs_extra = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("tensorflow", "tflite_runtime"))),
    reason="TensorFlow or tflite_runtime is not installed: pip install '.[tflite]'",
)
SECONDS = 0.25
IMPORTED = ["lstm8_ts9_pytorch.json", "gru8_ts9_pytorch.json"]
TRAINED = {
    "lstm": lambda: RecurrentNetwork("lstm", 8, knob_count=1),
    "gru": lambda: RecurrentNetwork("gru", 8),
    "eq": lambda: EqNetwork(2, 33),
    "dense": lambda: DenseWindow(25),
}


def trained(network: TrainableNetwork) -> Model:
    """A distortion, learnt from noise that comes and goes; its knob, if it has one, is the drive."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    noise = 0.5 * torch.randn(16, 400) * torch.linspace(0, 1, 400)
    knobs = torch.rand(16, network.knob_count)
    drive = 2 + 4 * knobs.sum(1, keepdim=True)
    for _ in range(3 if network.architecture == "dense" else 40):
        output, _ = network(noise, knobs, None)
        loss = torch.nn.functional.mse_loss(output, torch.tanh(drive * noise))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    names = tuple(Knob("drive", 0.0, 10.0, 5.0) for _ in range(network.knob_count))
    return Model("trained", network.architecture, network.config, network.eval(), knobs=names)


@pytest.fixture(scope="module")
def export_of() -> Callable[[str], Exported]:
    made: dict[str, Exported] = {}

    def export(name: str) -> Exported:
        if name not in made:
            if name in TRAINED:
                torch.manual_seed(0)
                model = trained(TRAINED[name]())
            elif (DATA / "models" / name).is_file():
                model = foreign.read(DATA / "models" / name, None)
            else:
                pytest.skip("../shared/data is not here")
            made[name] = exporter.prepare(model, seconds=0.02 if name == "dense" else SECONDS)
        return made[name]

    return export


@needs_extra
@pytest.mark.parametrize("name", [*TRAINED, *IMPORTED])
def test_gates_hold_on_every_runtime(name: str, export_of: Callable[[str], Exported]) -> None:
    exported = export_of(name)
    files = {file.flavour.name: file for file in exported.files}
    wanted = {"step_f32": 100, "step_i16x8": 30, "step_i16x8_per_tensor": 20}
    if exported.model.architecture == "lstm":
        wanted["fused_lstm_i8"] = 20
    assert set(wanted) <= set(files), exported.refused
    for flavour, gate_db in wanted.items():
        levels_db = list(files[flavour].snr_db.values())
        assert set(files[flavour].snr_db) == set(exporter.runtimes())
        assert min(levels_db) >= gate_db
        assert flavour == "step_f32" or max(levels_db) - min(levels_db) <= 1
        assert all(played.identical_after_reset for played in files[flavour].played.values())
        for inputs, outputs in [(files[flavour].layout["inputs"], files[flavour].layout["outputs"])]:
            for state in set(inputs) - {"audio", "knobs"}:  # their integers are copied
                assert inputs[state]["scale"] == pytest.approx(outputs[state]["scale"], rel=1e-3)
    assert files["step_i16x8_per_tensor"].layout["most_scales_of_a_tensor"] == 1
    if name != "eq":  # whose filters have one output each
        assert files["step_i16x8"].layout["most_scales_of_a_tensor"] > 1


@needs_extra
def test_the_explicit_step_in_int8_is_refused_with_its_figure(export_of: Callable[[str], Exported]) -> None:
    assert "dB SNR against the float model, under its gate of 60 dB" in export_of(IMPORTED[0]).refused["step_i8"]


@needs_extra
def test_the_lstm_is_fused(export_of: Callable[[str], Exported]) -> None:
    file = next(file for file in export_of("lstm").files if file.flavour.fused)
    assert file.layout["operations"]["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 1
    assert set(file.layout["inputs"]) == {"audio", "knobs"}


PLAYER = """
import json, sys
import numpy as np
from pathlib import Path
from tflite_runtime.interpreter import Interpreter

manifest = json.loads(Path(sys.argv[1]).read_text())
flavour = manifest["flavours"][sys.argv[2]]
interpreter = Interpreter(str(Path(sys.argv[1]).with_name(flavour["file"])))
step = interpreter.get_signature_runner()
inputs, outputs = flavour["inputs"], flavour["outputs"]

def integers(values, tensor):
    scaled = np.rint(np.asarray(values) / tensor["scale"]) + tensor["zero_point"]
    return np.clip(scaled, -32768, 32767).astype(tensor["type"]).reshape(tensor["shape"])

states = {
    name: np.array(state["rest_integers"], inputs[name]["type"]).reshape(inputs[name]["shape"])
    for name, state in flavour["states"].items()
}
knobs = {"knobs": integers(json.loads(sys.argv[4]), inputs["knobs"])} if "knobs" in inputs else {}
played = []
for block in np.load(sys.argv[3]).reshape(-1, flavour["frames_per_step"]):
    output = step(audio=integers(block, inputs["audio"]), **states, **knobs)
    states = {name: output[name] for name in states}
    tensor = outputs["audio"]
    played.append((output["audio"].astype(float) - tensor["zero_point"]) * tensor["scale"])
np.save(sys.argv[3], np.concatenate(played, axis=None))
"""


@needs_extra
@pytest.mark.parametrize("name", TRAINED)
def test_a_stranger_plays_it_by_the_manifest(name: str, export_of: Callable[[str], Exported], tmp_path: Path) -> None:
    exported = export_of(name)
    paths = exporter.write(exported, tmp_path / "amp")
    manifest = json.loads(paths["manifest"].read_text())
    for flavour in manifest["flavours"].values():
        contents = (tmp_path / flavour["file"]).read_bytes()
        assert flavour["bytes"] == len(contents) and flavour["sha256"] == hashlib.sha256(contents).hexdigest()
        assert flavour["measured"]["tflite-runtime"]["snr_db"] >= flavour["gate_db"]
    model = exported.model
    guitar = exported.take.audio[: 20 * network.BLOCK_FRAMES]
    np.save(tmp_path / "take.npy", guitar)
    positions = json.dumps([knob.normalised(knob.default) for knob in model.knobs])
    arguments = [str(paths["manifest"]), "step_i16x8", str(tmp_path / "take.npy"), positions]
    subprocess.run([sys.executable, "-c", PLAYER, *arguments], check=True, capture_output=True)
    error = np.load(tmp_path / "take.npy") - model.render(guitar, dtype=np.float64)
    assert np.sqrt(np.mean(error**2)) < 10 ** (-30 / 20) * np.sqrt(np.mean(model.render(guitar) ** 2))


def file_with(snr_db: dict[str, float], flavour: int = 1, identical: bool = True) -> File:
    played = {runtime: Played(np.zeros(1), 1.0, identical) for runtime in snr_db}
    return File(Candidate(FLAVOURS[flavour], "guitar"), b"", {}, snr_db, played)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (file_with({"a": 35.0, "b": 35.9}), None),
        (file_with({"a": 35.0, "b": 29.9}), "29.9 dB SNR against the float model, under its gate of 30 dB"),
        (file_with({"a": 35.0, "b": 36.1}), "the runtimes do not agree: 35.0 to 36.1 dB"),
        (file_with({"a": 120.0, "b": 130.0}, flavour=0), None),
        (file_with({"a": 99.0, "b": 130.0}, flavour=0), "99.0 dB SNR"),
        (file_with({"a": 35.0}, identical=False), "plays differently after a reset"),
    ],
)
def test_what_is_not_shipped(file: File, words: str | None) -> None:
    assert file.failure is None if words is None else words in str(file.failure)


def test_a_long_window_is_calibrated_full(guitar: np.ndarray) -> None:
    """A run from rest over so much audio as may be taken would leave it nearly empty."""
    model = Model("amp", "dense", {"window": 2000}, DenseWindow(2000).eval())
    for peak, squares in network.CALIBRATIONS.values():
        history = network.calibration(model, guitar, peak, squares)["history"]
        assert np.mean(np.any(history != 0, axis=0)) == 1.0
        assert np.sqrt(np.mean(np.square(history))) > 0.5 * peak * np.sqrt(np.mean(np.square(guitar / guitar.max())))


def test_what_cannot_be_expressed_is_refused() -> None:
    torch.manual_seed(0)
    eq = EqNetwork(1, 9)
    for model in (Model("both", "morph", {}, eq), Model("big", "wavenet", {}, eq), Model("ir", "linear", {}, eq)):
        with pytest.raises(InputError, match=f"^{model.name}: ") as raised:
            exporter.prepare(model)
        assert raised.value.message.isprintable()


@pytest.mark.parametrize("missing", ["tensorflow", "runtimes"])
@pytest.mark.parametrize("command", ["export", "verify"])
def test_a_missing_extra_is_one_line(
    command: str, missing: str, tmp_path: Path, guitar: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(name: str) -> str | None:
        return None if (name == "tensorflow") == (missing == "tensorflow") else "there"

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    torch.manual_seed(0)
    model_file.save(tmp_path / "amp.pt", trained(EqNetwork(1, 9)))
    audio.write(tmp_path / "di.wav", guitar, 48000)
    if command == "export":
        result = CliRunner().invoke(export_command, ["--target", "tflite", str(tmp_path / "amp.pt")])
    else:
        arguments = [str(tmp_path / "amp.pt"), "--against", "tflite", "--input", str(tmp_path / "di.wav")]
        result = CliRunner().invoke(hardware_cli.verify, arguments)
    assert result.exit_code == 2
    assert "pip install '.[tflite]'" in result.output and len(result.output.splitlines()) == 1
    assert not list(tmp_path.glob("*.tflite*"))


def test_importing_the_project_imports_no_tensorflow() -> None:
    code = (
        "import sys, pedal, export.tflite.exporter, hardware.comparison\n"
        "assert not {'tensorflow', 'tflite_runtime', 'ai_edge_litert', 'tflite_micro'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


def test_options_of_pedals_are_refused(run_pedal: Callable, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model_file.save(tmp_path / "amp.pt", trained(EqNetwork(1, 9)))
    result = run_pedal(
        "verify", tmp_path / "amp.pt", "--against", "tflite", "--input", tmp_path / "di.wav", "--on", "native"
    )
    assert_one_line_error(result, "leave out --on")


@needs_extra
def test_verify_shows_all_in_one_table(
    export_of: Callable[[str], Exported], tmp_path: Path, guitar: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = export_of("lstm")
    monkeypatch.setattr(exporter, "prepare", lambda model, said: exported)
    model_file.save(tmp_path / "amp.pt", exported.model)
    di = np.tile(guitar, 9)
    audio.write(tmp_path / "di.wav", di, 48000)
    audio.write(tmp_path / "amp.wav", exported.model.render(di, [2.0]) * 0.9, 48000)
    monkeypatch.setattr(comparison, "COMPARED_SECONDS", SECONDS)
    pair = ["--input", str(tmp_path / "di.wav"), "--target", str(tmp_path / "amp.wav"), "--knob", "drive=2"]
    result = CliRunner().invoke(
        hardware_cli.verify, [str(tmp_path / "amp.pt"), "--against", "tflite", *pair, "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    numbers = json.loads((tmp_path / "out" / "comparison.json").read_text())
    rows = {(row["name"], row["runtime"]): row for row in numbers["rows"]}
    flavours = {file.flavour.name for file in exported.files}
    assert {name for name, _ in rows} == {"float", "ours, fixed point"} | flavours
    assert rows["ours, fixed point", "specification"]["snr_db"] >= 60
    for row in rows.values():
        assert row["passed"] and row["esr_to_target"] == pytest.approx(0.0123, rel=0.5)  # 0.1 of 0.9, squared
        assert row["bytes"] > 100
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert all(name in page and name in result.output for name, _ in rows)
