"""`pedal import`: captures by others as model.pt files."""

import json

import numpy as np
import pytest
from conftest import DATA, assert_one_line_error

from export import rtneural
from training import foreign, model_file


@pytest.fixture
def theirs(make_model, tmp_path):
    """A folder of captures: two amps of one name, a knob, a WaveNet and files that are none."""
    folder = tmp_path / "theirs"
    (folder / "more").mkdir(parents=True)
    lstm = rtneural.document(make_model("lstm", 5))
    (folder / "amp.json").write_text(json.dumps(lstm))
    (folder / "more" / "amp.aidax").write_text(json.dumps(rtneural.document(make_model("gru", 4, 1)) | {"out_gain": 6}))
    array = {"input_size": 1, "condition_size": 1, "channels": 1, "kernel_size": 1, "dilations": [1]}
    array |= {"activation": "ReLU", "gated": False, "head_size": 1, "head_bias": False}
    config = {"layers": [array], "head": None, "head_scale": 1.0}
    wavenet = {"version": "0.5.4", "architecture": "WaveNet", "config": config, "weights": [0.5] * 7 + [1.0]}
    (folder / "big.nam").write_text(json.dumps(wavenet))
    (folder / "notes.txt").write_text("not looked at")
    return folder


def test_a_folder_is_imported_whatever_its_files_are(theirs, tmp_path, run_pedal):
    result = run_pedal("import", theirs, "--out", tmp_path / "mine")
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"amp-json.pt", "amp-aidax.pt", "big.pt"}
    for words in (
        "gru-4",
        "knobs: knob 1",
        "% of the processor",
        "no engine for wavenet-1x1",
        "pedal distill",
        "3 of 3 files",
    ):
        assert words in result.stdout
    imported = model_file.load(tmp_path / "mine" / "amp-aidax.pt")
    assert imported.training["imported_from"] == "amp.aidax" and len(imported.training["sha256"]) == 64
    noise = np.random.default_rng(0).standard_normal(500).astype(np.float32)
    assert np.array_equal(imported.render(noise), foreign.read(theirs / "more" / "amp.aidax").render(noise))


def test_what_is_refused_does_not_hold_up_the_rest(theirs, tmp_path, run_pedal):
    (theirs / "bad.json").write_text('{"layers": [')
    result = run_pedal("import", theirs, "--out", tmp_path / "mine")
    assert result.returncode == 2 and "3 of 4 files" in result.stdout
    assert result.stderr == f"Error: {theirs / 'bad.json'}: not JSON, or damaged\n"
    assert len(list((tmp_path / "mine").iterdir())) == 3


def test_nothing_is_overwritten_without_force(theirs, tmp_path, run_pedal):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "amp.pt").write_text("what was there before")
    command = ("import", theirs / "amp.json", "--out", mine)
    assert_one_line_error(run_pedal(*command), "amp.pt exists; --force overwrites it")
    assert (mine / "amp.pt").read_text() == "what was there before"
    assert run_pedal(*command, "--force", "--rate", 96000).returncode == 0
    assert model_file.load(mine / "amp.pt").sample_rate_hz == 48000  # the file says so


def test_two_files_of_one_name_do_not_replace_each_other(theirs, tmp_path, run_pedal):
    (theirs / "more" / "amp.json").write_bytes((theirs / "more" / "amp.aidax").read_bytes())
    command = ("import", theirs / "amp.json", theirs / "more" / "amp.json", "--out", tmp_path / "mine", "--force")
    result = run_pedal(*command)
    assert result.returncode == 2 and "was made of another file just now" in result.stderr
    assert model_file.load(tmp_path / "mine" / "amp-json.pt").architecture == "lstm"


@pytest.mark.parametrize(("file", "word"), [("none.json", "No such file"), ("empty", "in this folder")])
def test_what_is_not_there_is_refused(file, word, tmp_path, run_pedal):
    (tmp_path / "empty").mkdir()
    assert_one_line_error(run_pedal("import", tmp_path / file, "--out", tmp_path / "mine"), word)
    assert not (tmp_path / "mine").exists()


def test_a_wavenet_is_not_exported_and_the_way_is_named(theirs, tmp_path, run_pedal):
    run_pedal("import", theirs / "big.nam", "--out", tmp_path)
    assert_one_line_error(run_pedal("export", tmp_path / "big.pt"), "no engine for wavenet-1x1", "cycles a sample")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.pt", "theirs"]


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")
def test_every_file_of_others_is_imported_or_refused_in_one_line(tmp_path, run_pedal):
    result = run_pedal("import", DATA / "models", "--out", tmp_path)
    refused = [line.split("/")[-1].split(":")[0] for line in result.stderr.splitlines()]
    assert refused == ["bad_lstm.json", "gru.json", "gru_1d.json", "lstm.json"]  # the last three: dense layers between
    assert "16 of 20 files" in result.stdout and len(list(tmp_path.iterdir())) == 16
