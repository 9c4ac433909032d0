"""What training gets from a dataset: the takes in volts, the knobs that moved, and guitars that it never trains on."""

import json
from pathlib import Path

import numpy as np
import pytest

from training import circuits
from training.dataset.index import read_index
from training.dataset.plan import read_plan
from training.dataset.reader import read_dataset
from training.dataset.render import render
from training.errors import InputError

RATE = 48_000
DIVIDER = """.device divider
.input in
.output out 1
.knob volume 0.5
.knob blend 0.5
R1 in 0 1meg
P1 in out 0 10k volume linear
P2 in tap 0 10k blend linear
R2 tap out 1meg
"""
PLAN = """seconds = {seconds}
takes = {takes}
levels_db = [-6, 6]
[[device]]
circuit = "divider.cir"
count = 2
[device.knobs]
blend = 0.25
[[device]]
circuit = "divider.cir"
name = "other"
count = 1
takes = 1
"""


def rendered(folder: Path, takes: int, seconds: int) -> Path:
    (folder / "divider.cir").write_text(DIVIDER)
    (folder / "plan.toml").write_text(PLAN.format(takes=takes, seconds=seconds))
    render(read_plan(folder / "plan.toml"), folder / "set", processes=1)
    return folder / "set"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rendered(tmp_path_factory.mktemp("dataset"), 3, 2)


def test_takes_are_what_the_device_does_to_the_guitar(dataset: Path) -> None:
    capture = read_dataset(dataset, "divider")
    assert [knob.name for knob in capture.knobs] == ["volume"]
    assert "knob blend stood at 0.25 throughout" in capture.findings
    assert capture.origin == {"dataset_device": "divider", "still_knobs": {"blend": 0.25}}
    into, out_of = capture.levels.values()
    assert capture.streamed is not None
    circuit = circuits.load_circuit(dataset.parent / "divider.cir")
    for number, take in enumerate(capture.streamed.takes):
        dry, wet = capture.streamed.read(number, 0, take.frames)
        assert np.abs(dry).max() <= 1.0 and np.abs(wet).max() <= 1.0
        # The divider passes all below 20 kHz, so one sample's ratio is that of all.
        volts = circuits.process(circuit, into * dry, RATE, volume=take.positions[0], blend=0.25)
        np.testing.assert_allclose(out_of * wet, volts, atol=1e-4 * np.abs(volts).max())


def test_a_guitar_that_validates_is_not_trained_on(dataset: Path) -> None:
    capture = read_dataset(dataset, "divider")
    rows = {row.id: row for row in read_index(dataset) if row.device == "divider"}
    assert capture.streamed is not None and len(rows) == 12
    trained = {rows[take.identity].di_id for take in capture.streamed.takes}
    validated = {rows[Path(pair.name).stem].di_id for pair in capture.pairs}
    assert len(trained) == 2 and len(validated) == 1 and not trained & validated
    assert all(pair.use == "validation" and pair.validates for pair in capture.pairs)
    row = rows[Path(capture.pairs[0].name).stem]
    assert capture.pairs[0].positions == (row.knobs["volume"],)


def test_of_one_guitar_the_ends_validate(tmp_path: Path) -> None:
    capture = read_dataset(rendered(tmp_path, 1, 10), "divider")
    assert capture.streamed is not None
    assert [take.frames for take in capture.streamed.takes] == [8 * RATE] * 4
    assert {len(pair.input) for pair in capture.pairs} == {round(2.5 * RATE)}


def test_what_cannot_be_trained_on(dataset: Path, tmp_path: Path) -> None:
    for folder, device, complaint in (
        (tmp_path, None, "no dataset"),
        (dataset, None, "has several devices, so choose one: divider, other"),
        (dataset, "fuzz", "has no device 'fuzz': there is divider, other"),
    ):
        with pytest.raises(InputError, match=complaint):
            read_dataset(folder, device)


def test_only_the_training_part_of_a_split(dataset: Path, tmp_path: Path) -> None:
    ids = [row.id for row in read_index(dataset) if row.device == "divider" and row.level_db < 0]
    (tmp_path / "split.json").write_text(json.dumps({"train": ids, "test": [], "left_out": []}))
    capture = read_dataset(dataset, split=tmp_path / "split.json")
    assert capture.streamed is not None
    assert {take.identity for take in capture.streamed.takes} < set(ids)
    (tmp_path / "split.json").write_text("[]")
    with pytest.raises(InputError, match="not a split"):
        read_dataset(dataset, split=tmp_path / "split.json")


def test_one_device_in_two_versions_is_not_mixed(tmp_path: Path) -> None:
    folder = rendered(tmp_path, 2, 1)
    netlist = tmp_path / "divider.cir"
    netlist.write_text(netlist.read_text().replace("R2 tap out 1meg", "R2 tap out 2meg"))
    render(read_plan(tmp_path / "plan.toml"), folder, processes=1)
    with pytest.raises(InputError, match="divider is there as several circuits"):
        read_dataset(folder, "divider")
