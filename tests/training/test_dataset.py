import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from pyarrow import parquet
from synthetic_pair import amp, guitar, write
from test_dataset_plan import CLIPPER

from training import audio, circuits
from training.dataset import render, store
from training.dataset.cli import dataset
from training.dataset.index import Row, read_index
from training.dataset.plan import read_plan
from training.dataset.splits import split
from training.errors import InputError
from training.guitar import render_take

ROOT = Path(__file__).parents[2]
PLAN = """
seconds = 1
takes = 3
oversampling = 2
count = 4
levels_db = [-20, 12]
[[device]]
circuit = "clipper.cir"
[[device]]
circuit = "tube_screamer"
sweep = ["drive"]
steps = 2
takes_per_setting = 1
"""
ROWS = 4 * 3 * 2 + 4 * 2 * 2


@pytest.fixture(scope="module")
def plan_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    (folder / "clipper.cir").write_text(CLIPPER)
    (folder / "plan.toml").write_text(PLAN)
    return folder / "plan.toml"


@pytest.fixture(scope="module")
def unbroken(plan_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of the plan, rendered in one go by one process."""
    folder = tmp_path_factory.mktemp("unbroken")
    result = run("render", plan_path, "--out", folder, "--processes", 1)
    assert result.exit_code == 0, result.output
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(dataset, [str(argument) for argument in arguments])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same(folder: Path, other: Path) -> None:
    mine, others = contents(folder), contents(other)
    assert mine.keys() == others.keys()
    assert [name for name in mine if mine[name] != others[name]] == []


def modified(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.glob("*/??/*")}


def command(plan_path: Path, folder: Path, *options: str) -> list[str]:
    program = "from training.dataset.cli import dataset; dataset()"
    return [sys.executable, "-c", program, "render", str(plan_path), "--out", str(folder), *options]


def start(plan_path: Path, folder: Path, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(plan_path, folder, *options),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_files(process: "subprocess.Popen[str]", folder: Path, count: int) -> None:
    """Until `count` files are there, or the process has ended."""
    while process.poll() is None and sum(1 for _ in folder.glob("*/??/*.flac")) < count:
        time.sleep(0.005)


def test_the_index_has_every_field_of_every_row_in_both_files(unbroken: Path, plan_path: Path) -> None:
    rows = read_index(unbroken)
    assert {row.id for row in rows} == read_plan(plan_path).rows.keys() and len(rows) == ROWS
    table = parquet.read_table(unbroken / "index.parquet").to_pylist(maps_as_pydicts="strict")
    lines = [json.loads(line) for line in (unbroken / "metadata.jsonl").read_text().splitlines()]
    assert table == lines
    assert list(table[0]) == [field.name for field in fields(Row)]
    for row in rows:
        circuit = circuits.load_circuit(
            "tube_screamer" if row.device == "tube_screamer" else plan_path.parent / "clipper.cir"
        )
        assert row.netlist_sha256 == circuit.digest() and row.component_types == circuit.component_types
        assert (row.device_title, row.brand, row.channel) == (circuit.device, circuit.brand, circuit.channel)
        assert row.knobs.keys() == circuit.knobs.keys() and row.level_db in (-20.0, 12.0)
        assert (row.source, row.delay_samples, row.engine, row.oversampling) == ("simulated", 0, circuits.ENGINE, 2)
        assert (row.frames, row.sample_rate_hz, row.di_start, row.di_end) == (48000, 48000, 0.0, 1.0)
        assert row.guitar and row.take_seed is not None
        for path, size in ((row.path, row.bytes), (row.di_path, row.di_bytes)):
            info = soundfile.info(unbroken / path)
            assert (info.format, info.subtype, info.frames, info.channels) == ("FLAC", "PCM_24", 48000, 1)
            assert (unbroken / path).stat().st_size == size
    card = (unbroken / "README.md").read_text()
    assert f"{ROWS} rows, 0.7 minutes" in card and "| tube_screamer | drive | 2 | 0 | 1 |" in card


def test_the_files_hold_what_the_simulator_makes_of_the_di_to_24_bits(unbroken: Path, plan_path: Path) -> None:
    for row in [row for row in read_index(unbroken) if row.device == "clipper"][::5]:
        assert row.volts_per_full_scale is not None and row.di_volts_per_full_scale is not None
        di, _ = soundfile.read(unbroken / row.di_path)
        volts = di * row.di_volts_per_full_scale * 10 ** (row.level_db / 20)
        output = circuits.process(circuits.load_circuit(plan_path.parent / "clipper.cir"), volts, 48000, 2, **row.knobs)
        stored, _ = soundfile.read(unbroken / row.path)
        step = row.volts_per_full_scale / 2**23
        assert np.abs(stored * row.volts_per_full_scale - output).max() <= 0.5001 * step
        assert row.peak_volts == pytest.approx(np.abs(output).max(), abs=step)
        assert row.rms_volts == pytest.approx(np.sqrt(np.mean(output**2)), rel=1e-5)
        assert np.abs(di).max() < 1.0


def test_what_is_louder_than_full_scale_gets_a_larger_one_and_nothing_clips(tmp_path: Path) -> None:
    samples = np.array([0.0, 1.0, -3.1, 2.0, 1e-9])
    stored = store.store(tmp_path / "a.flac", samples, 1.0)
    back, _ = soundfile.read(tmp_path / "a.flac")
    assert stored.full_scale == 4.0 and np.abs(back * 4.0 - samples).max() <= 2.0**-22
    assert stored.peak == pytest.approx(3.1) and stored.rms == pytest.approx(np.sqrt(np.mean(samples**2)))
    assert stored.bytes == (tmp_path / "a.flac").stat().st_size
    assert store.store(tmp_path / "b.flac", np.array([1.0 - 2.0**-23]), 1.0).full_scale == 1.0
    assert store.store(tmp_path / "c.flac", np.array([-1.0]), 1.0).full_scale == 2.0
    silent = store.store(tmp_path / "d.flac", np.zeros(200_000), 0.5)
    assert (silent.full_scale, silent.peak, silent.rms) == (0.5, 0.0, 0.0)


def test_rms_is_exact_over_many_frames(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 300_000)
    stored = store.store(tmp_path / "a.flac", samples, 1.0)
    assert stored.rms == pytest.approx(np.sqrt(np.mean(samples**2)), rel=1e-7)


def test_two_processes_killed_five_times_at_random_leave_the_same_bytes(
    plan_path: Path, unbroken: Path, tmp_path: Path
) -> None:
    draw = random.Random(os.environ.get("ODDITY_KILL_SEED", "0"))
    total = sum(1 for _ in unbroken.glob("*/??/*.flac"))
    kills = 0
    for at in sorted(draw.sample(range(total), 5)):
        process = start(plan_path, tmp_path, "--processes", "2")
        wait_for_files(process, tmp_path, at)
        time.sleep(draw.uniform(0, 0.02))
        kills += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        half = [path for path in tmp_path.glob("*/??/*.flac") if not path.with_suffix(".json").exists()]
        assert not (tmp_path / "metadata.jsonl").exists() or not half
    assert kills >= 3  # the others came when it was done
    (tmp_path / "audio" / "00").mkdir(exist_ok=True, parents=True)
    (tmp_path / "audio" / "00" / ".00ff-half.flac").write_bytes(b"fLaC")
    kept = {path: at for path, at in modified(tmp_path).items() if Path(path).with_suffix(".json").exists()}
    process = start(plan_path, tmp_path, "--processes", "2")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    after = modified(tmp_path)
    assert all(after[path] == at for path, at in kept.items() if not Path(path).name.startswith("."))
    (tmp_path / "audio" / "00").rmdir()
    assert_same(tmp_path, unbroken)


def test_a_dask_cluster_leaves_the_same_bytes_and_a_dead_worker_does_not_hang_it(
    plan_path: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    import dask

    once = dask.config.set({"distributed.scheduler.allowed-failures": 0})
    with once, distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        options = ["render", plan_path, "--out", tmp_path, "--scheduler", cluster.scheduler_address]
        result = run(*options)
        assert result.exit_code == 0, result.output
        assert_same(tmp_path, unbroken)
        next(tmp_path.glob("audio/??/*.flac")).unlink()
        monkeypatch.setattr(render, "render_rows", os._exit)
        monkeypatch.setattr(render, "_batches", lambda rows: [3])
        monkeypatch.setattr(render, "_jobs", lambda items, *_: [(item,) for item in items])
        result = run(*options)
        assert result.exit_code == 2
        assert result.output.splitlines()[-1].startswith(
            "Error: a worker died (KilledWorker); the same command goes on"
        )


def test_rendered_takes_are_those_of_the_guitar(unbroken: Path) -> None:
    row = read_index(unbroken)[0]
    assert row.take_seed is not None and row.di_volts_per_full_scale is not None
    stored, _ = soundfile.read(unbroken / row.di_path)
    step = row.di_volts_per_full_scale / 2**23
    assert np.abs(stored * row.di_volts_per_full_scale - render_take(row.take_seed, 1.0)).max() <= 0.5001 * step


def test_an_interrupted_run_says_how_to_go_on(plan_path: Path, unbroken: Path, tmp_path: Path) -> None:
    process = start(plan_path, tmp_path, "--processes", "1")
    wait_for_files(process, tmp_path, 4)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 2
    assert errors == f"Error: stopped; the same command goes on with what is missing in {tmp_path}\n"
    assert run("render", plan_path, "--out", tmp_path, "--processes", 1).exit_code == 0
    assert_same(tmp_path, unbroken)


def test_an_interruption_while_a_file_is_encoded_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """libsndfile calls back to write, and what such a function raises is dropped."""

    class Interrupted(io.BytesIO):
        def write(self, data: Any) -> int:
            signal.raise_signal(signal.SIGINT)
            return super().write(data)

    monkeypatch.setattr(io, "BytesIO", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        audio.encoded(np.zeros(100), 48_000, "FLAC")


def test_a_worker_that_dies_loses_nothing(plan_path: Path, unbroken: Path, tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    process = start(plan_path, tmp_path, "--processes", "2")
    wait_for_files(process, tmp_path, 5)
    workers = [child for child in psutil.Process(process.pid).children() if "LokyProcess" in " ".join(child.cmdline())]
    workers[0].kill()
    _, errors = process.communicate()
    assert process.returncode == 2
    left = f"the same command goes on with what is missing in {tmp_path}"
    assert errors == f"Error: a worker died (TerminatedWorkerError); {left}\n"
    assert run("render", plan_path, "--out", tmp_path, "--processes", 1).exit_code == 0
    assert_same(tmp_path, unbroken)


def test_nothing_is_rendered_twice_and_what_is_not_whole_is(plan_path: Path, unbroken: Path, tmp_path: Path) -> None:
    copy(unbroken, tmp_path)
    first, second, third, *_ = sorted(tmp_path.glob("audio/??/*.flac"))
    first.write_bytes(first.read_bytes()[:-1])
    second.unlink()
    third.with_suffix(".json").write_bytes(third.with_suffix(".json").read_bytes()[:40])
    di = sorted(tmp_path.glob("di/??/*.flac"))[0]
    di.with_suffix(".json").unlink()
    before = modified(tmp_path)
    result = run("render", plan_path, "--out", tmp_path, "--processes", 1)
    assert result.exit_code == 0 and f"{ROWS - 3} are there" in result.output
    assert_same(tmp_path, unbroken)
    after = modified(tmp_path)
    touched = {Path(path).stem for path in after if after[path] != before.get(path)}
    assert touched == {path.stem for path in (first, second, third, di)}


def copy(folder: Path, to: Path) -> None:
    for name, data in contents(folder).items():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes(data)


def test_a_new_title_reaches_the_index_without_rendering(plan_path: Path, unbroken: Path, tmp_path: Path) -> None:
    copy(unbroken, tmp_path / "out")
    audio = {path: at for path, at in modified(tmp_path / "out").items() if path.endswith(".flac")}
    (tmp_path / "clipper.cir").write_text(f".device A new title\n{CLIPPER}")
    (tmp_path / "plan.toml").write_text(PLAN)
    assert run("render", tmp_path / "plan.toml", "--out", tmp_path / "out", "--processes", 1).exit_code == 0
    titles = {row.device_title for row in read_index(tmp_path / "out")}
    assert titles == {"A new title", "TS-808-like overdrive"}
    assert {path: at for path, at in modified(tmp_path / "out").items() if path.endswith(".flac")} == audio


def test_a_worker_that_sees_another_folder_or_may_not_write_stops_in_one_line(
    plan_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = list(read_plan(plan_path).rows.values())[:1]
    outcome = render.render_rows(rows, tmp_path, "word")
    assert "does not see this folder; all must share it" in outcome.stop and not list(tmp_path.iterdir())
    with store.claimed(tmp_path) as word:
        assert "does not see this folder" in render.render_di(rows[0].take.di, tmp_path, "other word").stop
        monkeypatch.setattr(os, "access", lambda *_: False)
        assert "may not write there" in render.render_di(rows[0].take.di, tmp_path, word).stop
        monkeypatch.undo()
        assert "is missing or not whole" in render.render_rows(rows, tmp_path, word).stop
    result = run("render", plan_path, "--out", plan_path / "out")
    assert result.exit_code == 2 and result.output.splitlines()[-1].startswith(f"Error: cannot write {plan_path}/out")


def test_a_second_run_in_the_same_folder_is_refused(plan_path: Path, tmp_path: Path) -> None:
    with store.claimed(tmp_path):
        result = run("render", plan_path, "--out", tmp_path)
    assert result.exit_code == 2 and f"{tmp_path}: another run is writing into it" in result.output
    assert not list(tmp_path.iterdir())


def test_rows_without_a_solution_are_left_out_and_the_others_kept(
    plan_path: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process_many = circuits.process_many
    bad = [row for row in read_index(unbroken) if row.device == "clipper"][7]

    def failing(circuit: circuits.Circuit, volts: np.ndarray, settings: list, *rest: int) -> np.ndarray:
        if bad.knobs in settings:
            raise circuits.SimulationError(f"{circuit.path}: no solution at 0.1 s")
        return process_many(circuit, volts, settings, *rest)

    monkeypatch.setattr(circuits, "process_many", failing)
    result = run("render", plan_path, "--out", tmp_path, "--processes", 1)
    assert result.exit_code == 2
    assert "6 rows could not be simulated and are left out; the first: " in result.output.splitlines()[-1]
    assert f"no solution at 0.1 s (gain {bad.knobs['gain']:g}, tone" in result.output.splitlines()[-1]
    kept = [row for row in read_index(unbroken) if (row.device, row.knobs) != ("clipper", bad.knobs)]
    assert read_index(tmp_path) == kept and len(kept) == ROWS - 6
    monkeypatch.setattr(circuits, "process_many", lambda *arguments: 1e9 * process_many(*arguments))
    result = run("render", plan_path, "--out", tmp_path, "--processes", 1)
    assert result.exit_code == 2 and "the output runs away, beyond 10000 V" in result.output
    monkeypatch.undo()
    assert run("render", plan_path, "--out", tmp_path, "--processes", 1).exit_code == 0
    assert_same(tmp_path, unbroken)


def test_options_that_make_no_sense_are_one_line(
    plan_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "SCHEDULER_SECONDS", 0.5)
    for options, message in (
        (["--processes", "2", "--scheduler", "tcp://a:1"], "give either --processes or --scheduler"),
        (["--scheduler", "nonsense"], "nonsense: give the scheduler's address as tcp://host:8786"),
        (["--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler answers at tcp://127.0.0.1:9"),
    ):
        result = run("render", plan_path, "--out", tmp_path, *options)
        assert result.exit_code == 2 and result.output.splitlines()[-1] == f"Error: {message}"
    assert not list(tmp_path.iterdir())
    for out in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match=r"no dataset: there is no metadata\.jsonl"):
            read_index(out)
    (tmp_path / "metadata.jsonl").write_text('{"id": 3}\n')
    with pytest.raises(InputError, match=r"metadata\.jsonl:1: not a row"):
        read_index(tmp_path)


PAIR = """
device = "real amp"
title = "A real amp of 1965"
brand = "Maker"
channel = "bright"
component_types = ["triode 12AX7", "pentode EL84"]
guitar = "Telecaster"
[knobs]
gain = [0, 10]
[levels]
input_volts_per_full_scale = 1.4
output_volts_per_full_scale = 4.0
[[pair]]
input = "di.wav"
target = "3.wav"
knobs = { gain = 3 }
[[pair]]
input = "di.wav"
target = "9.wav"
knobs = { gain = 9 }
guitar = "Jaguar"
"""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    dry = guitar(3.0)
    write(folder / "di.wav", dry)
    write(folder / "3.wav", np.pad(amp(dry, 3.0), (300, 0)))
    write(folder / "9.wav", amp(dry, 9.0)[500:])
    return folder


@pytest.fixture
def pair_path(recordings: Path, tmp_path: Path) -> Path:
    copy(recordings, tmp_path)
    (tmp_path / "pair.toml").write_text(PAIR)
    return tmp_path / "pair.toml"


def test_recordings_enter_the_same_index_aligned_whenever_they_come(
    plan_path: Path, unbroken: Path, pair_path: Path, tmp_path: Path
) -> None:
    after, before = tmp_path / "after", tmp_path / "before"
    copy(unbroken, after)
    assert run("add", pair_path, "--out", after).exit_code == 0
    assert run("add", pair_path, "--out", before).exit_code == 0
    assert len(read_index(before)) == 2
    assert run("render", plan_path, "--out", before, "--processes", 1).exit_code == 0
    assert_same(before, after)
    touched = modified(after)
    assert run("add", pair_path, "--out", after).exit_code == 0
    assert modified(after) == touched
    assert_same(before, after)

    rows = [row for row in read_index(after) if row.source == "recorded"]
    assert len(rows) == 2 and len(read_index(after)) == ROWS + 2
    late, early = sorted(rows, key=lambda row: row.knobs["gain"])
    assert (late.device, late.device_title, late.brand, late.channel) == (
        "real amp",
        "A real amp of 1965",
        "Maker",
        "bright",
    )
    assert late.component_types == ("pentode EL84", "triode 12AX7")
    assert (dict(late.knobs), dict(early.knobs)) == ({"gain": 0.3}, {"gain": 0.9})
    assert (late.guitar, early.guitar, late.di_id) == ("Telecaster", "Jaguar", early.di_id)
    assert (late.engine, late.oversampling, late.netlist_sha256, late.take_seed) == (None,) * 4
    assert late.volts_per_full_scale == 4.0 and late.di_volts_per_full_scale == 1.4
    # The amp's own filters delay by 2; 4 of all delay stay.
    assert late.delay_samples == 302 - 4 and early.delay_samples == -498 - 4 and early.di_start == 502 / 48000
    for row, gain in ((late, 3.0), (early, 9.0)):
        start = round(row.di_start * row.sample_rate_hz)
        dry, _ = soundfile.read(after / row.di_path, start=start, frames=row.frames)
        wet, _ = soundfile.read(after / row.path)
        assert len(wet) == row.frames == len(dry) and row.di_end == (start + row.frames) / 48000
        assert np.abs(wet[2:] - amp(guitar(3.0), gain)[start:][: row.frames - 2]).max() < 1e-6
        assert np.abs(dry - guitar(3.0)[start:][: row.frames]).max() < 1e-6


def test_levels_may_be_unknown_and_a_new_description_replaces_the_old(pair_path: Path, tmp_path: Path) -> None:
    text = PAIR.replace("input_volts_per_full_scale = 1.4\noutput_volts_per_full_scale = 4.0", "")
    for title in ("first", "second"):
        pair_path.write_text(text.replace("A real amp of 1965", title))
        assert run("add", pair_path, "--out", tmp_path / "out").exit_code == 0
        rows = read_index(tmp_path / "out")
        assert len(rows) == 2 and {row.device_title for row in rows} == {title}
    assert {(row.volts_per_full_scale, row.di_volts_per_full_scale, row.peak_volts) for row in rows} == {(None,) * 3}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('device = "real amp"', "", "pair.toml:1: device is missing"),
        ("brand", "brnad", "pair.toml:4: unknown key 'brnad': there is device, title,"),
        ("gain = [0, 10]", "gain = [10, 0]", "pair.toml:9: knob gain: the range 10 to 0 is empty"),
        ("gain = [0, 10]", "gain = 10", "pair.toml:9: knob gain should be [lowest, highest]"),
        ("gain = 9 }", "gain = 11 }", "pair.toml:20: gain = 11 is outside 0 to 10"),
        ("knobs = { gain = 3 }", "", "pair.toml:13: where did the knob gain stand?"),
        ("gain = 3 }", "gain = 3, bass = 1 }", "pair.toml:16: unknown key 'bass': there is gain"),
        ("= 1.4", "= 0", "pair.toml:11: input_volts_per_full_scale = 0 is outside"),
        ('"3.wav"', '"4.wav"', "4.wav: no such file"),
        ('input = "di.wav"', 'input = "pair.toml"', "pair.toml: not a WAV or FLAC file"),
    ],
)
def test_bad_recordings_are_one_line_that_says_where(
    pair_path: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    pair_path.write_text(PAIR.replace(old, new, 1))
    result = run("add", pair_path, "--out", tmp_path / "out")
    assert result.exit_code == 2
    last = result.output.splitlines()[-1]
    assert last.startswith(f"Error: {pair_path}:") and message in last.replace(f"{tmp_path}/", "")


@pytest.fixture
def rows(unbroken: Path) -> Iterator[list[Row]]:
    """Two devices, six takes of three guitars, every take with every device at five positions of the gain."""
    template = read_index(unbroken)[0]
    yield [
        replace(
            template,
            id=f"{device}-{take}-{gain}",
            device=device,
            di_id=f"take{take}",
            take_seed=take,
            guitar=f"guitar{take % 3}",
            knobs={"gain": gain / 4},
        )
        for device in ("a", "b")
        for take in range(6)
        for gain in range(5)
    ]


def test_splits_hold_out_devices_positions_and_guitars_without_sharing_takes(rows: list[Row]) -> None:
    by_device = split(rows, "device", ["b"], take_share=0.3)
    assert {row.device for row in by_device.train} == {"a"} and {row.device for row in by_device.test} == {"b"}
    assert len({row.di_id for row in by_device.test}) == 2 and len(by_device.test) == 2 * 5
    inner = split(rows, "knob", ["gain=0.5"])
    assert {row.knobs["gain"] for row in inner.test} == {0.5}
    assert {row.knobs["gain"] for row in inner.train} == {0.0, 0.25, 0.75, 1.0}
    outer = split(rows, "knob", ["gain=0.7..1", "gain=0"])
    assert {row.knobs["gain"] for row in outer.test} == {0.0, 0.75, 1.0}
    by_guitar = split(rows, "guitar", ["guitar1"])
    assert {row.guitar for row in by_guitar.test} == {"guitar1"} and not by_guitar.left_out
    for made in (by_device, inner, outer, by_guitar):
        assert sorted(name for part in made.ids().values() for name in part) == sorted(row.id for row in rows)
        assert not {row.di_id for row in made.train} & {row.di_id for row in made.test}
    shared = split(rows, "device", ["b"], shared_takes=True)
    assert len(shared.test) == len(shared.train) == 30 and not shared.left_out
    assert split(rows, "device", ["b"], seed=1).ids() != split(rows, "device", ["b"], seed=2).ids()
    backwards = split(rows[::-1], "device", ["b"]).ids()
    assert {part: ids[::-1] for part, ids in backwards.items()} == split(rows, "device", ["b"]).ids()


def test_a_guitar_that_two_devices_name_differently_keeps_its_take_in_one_part(rows: list[Row]) -> None:
    renamed = [replace(row, guitar="other") if row.device == "b" and row.di_id == "take1" else row for row in rows]
    made = split(renamed, "guitar", ["other"])
    assert not {row.di_id for row in made.train} & {row.di_id for row in made.test}


@pytest.mark.parametrize(
    ("kind", "held_out", "message"),
    [
        ("device", [], "name what to hold out"),
        ("device", ["c"], "no device is named 'c': there is a, b"),
        ("device", ["a", "b"], "no row is left for train"),
        ("guitar", ["kazoo"], "no guitar is named 'kazoo'"),
        ("knob", ["gain"], "gain: write it as drive=0.5 or drive=0.8..1"),
        ("knob", ["bass=1"], "no knob is named 'bass': there is gain"),
        ("knob", ["gain=0.9..0.2"], "positions are from 0 to 1, the lower one first"),
        ("knob", ["gain=0.6"], "no row has its gain there"),
        ("colour", ["red"], "a split is by device, knob, guitar, not by colour"),
    ],
)
def test_splits_of_what_is_not_there_are_refused(rows: list[Row], kind: str, held_out: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        split(rows, kind, held_out)


def test_a_split_of_one_take_asks_for_shared_takes(rows: list[Row]) -> None:
    with pytest.raises(InputError, match="allow shared takes"):
        split([row for row in rows if row.di_id == "take0"], "device", ["a"])


def test_the_command_prints_or_writes_the_ids(unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "split.json"
    options = ["splits", unbroken, "--by", "device", "--hold-out", "clipper"]
    assert run(*options, "--write", out).exit_code == 0
    written = json.loads(out.read_text())
    assert written == split(read_index(unbroken), "device", ["clipper"]).ids() and written["test"]
    result = run(*options)
    assert json.loads(result.stdout) == written and f"test: {len(written['test'])} rows" in result.stderr


def test_help_is_quick_because_the_heavy_imports_wait() -> None:
    heavy = "('numpy', 'torch', 'joblib', 'pyarrow', 'soundfile', 'distributed')"
    program = f"import sys, training.dataset.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_take_that_begins_as_another_is_in_the_same_part(rows: list[Row]) -> None:
    """The same seed at another length, or on another guitar, plays the same notes."""
    longer = [replace(row, id=f"{row.id} longer", di_id=f"{row.di_id} longer") for row in rows]
    made = split([*rows, *longer], "device", ["b"], take_share=0.3)
    assert not {row.take_seed for row in made.train} & {row.take_seed for row in made.test}


def test_what_is_of_another_plan_stays_until_it_is_pruned(unbroken: Path, plan_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(unbroken, folder)
    smaller = plan_path.parent / "smaller.toml"
    smaller.write_text('seconds = 1\ntakes = 1\noversampling = 2\n[[device]]\ncircuit = "clipper.cir"\ncount = 1\n')
    result = run("render", smaller, "--out", folder, "--processes", 1)
    assert f"{ROWS} rows there are of another plan or version: kept" in result.output
    assert len(read_index(folder)) == ROWS + 1
    result = run("render", smaller, "--out", folder, "--processes", 1, "--prune")
    assert result.exit_code == 0 and ": deleted" in result.output
    assert [row.device for row in read_index(folder)] == ["clipper"]
    assert len(list(folder.glob("audio/*/*.flac"))) == len(list(folder.glob("di/*/*.flac"))) == 1


def test_a_folder_with_files_of_ones_own_is_left_alone(plan_path: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    result = run("render", plan_path, "--out", tmp_path)
    assert result.exit_code == 2 and "has a README.md but no dataset" in result.output
    assert (tmp_path / "README.md").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_workers_end_when_their_parent_alone_is_killed(plan_path: Path, tmp_path: Path) -> None:
    process = start(plan_path, tmp_path / "out", "--processes", "2")
    wait_for_files(process, tmp_path / "out", 2)

    def group() -> list[int]:
        members = subprocess.run(["ps", "-o", "pid=", "-g", str(process.pid)], capture_output=True, text=True)
        return [int(pid) for pid in members.stdout.split()]

    assert len(group()) > 1
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30.0
    while group() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert group() == []


@pytest.mark.parametrize(("old", "new"), [('"knobs": {', '"knobs": 3, "x": {'), ('"frames": 48000', '"frames": "a"')])
def test_a_damaged_row_is_one_line(unbroken: Path, tmp_path: Path, old: str, new: str) -> None:
    shutil.copytree(unbroken, tmp_path / "out")
    index = tmp_path / "out" / "metadata.jsonl"
    lines = index.read_text().splitlines()
    lines[2] = lines[2].replace(old, new, 1)
    index.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"metadata.jsonl:3: not a row"):
        read_index(tmp_path / "out")
