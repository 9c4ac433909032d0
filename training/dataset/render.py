"""Rendering a plan: every missing file is a job, for processes of this machine or for a Dask cluster."""

import itertools
import logging
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from joblib import cpu_count
from joblib.externals.loky.process_executor import ProcessPoolExecutor, TerminatedWorkerError
from tqdm import tqdm

from training import circuits
from training.capture_simulation import DI_VOLTS_PER_FULL_SCALE
from training.dataset import store
from training.dataset.index import SAMPLE_RATE_HZ, Row, stored_rows, write_index
from training.dataset.plan import Di, Plan, PlannedRow
from training.errors import InputError

RUNS_IN_JOB = 8
"""They share the lanes of the simulator."""

RUNAWAY = 1e4
"""Times full scale: no device gets so loud, but a solver that has lost its way does."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

SCHEDULER_SECONDS = 10.0
"""So long a Dask scheduler has to answer."""

_FRAMES_IN_JOB = RUNS_IN_JOB * 60 * SAMPLE_RATE_HZ  # of all runs together: some 400 MB


@dataclass(frozen=True)
class Outcome:
    """Of a job. `failures`: a line for each row that the simulator could not solve. `stop`: why to go no further."""

    frames: int
    failures: tuple[str, ...] = ()
    stop: str = ""


@dataclass
class Work:
    """What of a plan is missing in a folder."""

    dis: list[Di] = field(default_factory=list)
    rows: list[PlannedRow] = field(default_factory=list)

    @property
    def row_seconds(self) -> float:
        return sum(row.take.frames for row in self.rows) / SAMPLE_RATE_HZ


def missing(plan: Plan, folder: Path) -> Work:
    """Look through `folder`; what the index says of rows that are there is brought up to date with their netlists."""
    work = Work()
    for row in plan.rows.values():
        known = store.whole(folder, "audio", row.id)
        if known is None:
            work.rows.append(row)
        elif (told := {**known, **row.facts()}) != known:
            store.describe(folder / row.path, told)
    work.dis = [di for di in plan.dis if store.whole(folder, "di", di.id) is None]
    return work


def render(
    plan: Plan,
    folder: Path,
    processes: int = 0,
    scheduler: str | None = None,
    report: Callable[[str], None] = print,
    prune: bool = False,
) -> list[Row]:
    """Render what is missing of `plan` into `folder`, then write the index; return all rows of the folder.

    `prune`: delete what was rendered there that is not of this plan, or of an older version; recordings stay.

    `processes`: on this machine; 0: as many as it has cores. `scheduler`: the address of a Dask cluster instead, whose
    workers see the same folder under the same path. The files are the same, byte for byte, in all cases.

    Raises InputError when it was broken off, when a worker died or cannot write, and, after all else is rendered, when
    the simulator could not solve some rows.
    """
    folder = Path(folder).resolve()
    left = f"the same command goes on with what is missing in {folder}"
    failures: list[str] = []
    try:
        with store.claimed(folder) as word:
            others = [row for row in stored_rows(folder) if row.source == "simulated" and row.id not in plan.rows]
            if prune:
                _delete(others, plan, folder)
            work = missing(plan, folder)
            report(_estimate(plan, work))
            if others:
                kept = "deleted" if prune else "kept in the index; --prune deletes them"
                report(f"{len(others)} rows there are of another plan or version: {kept}")
            if work.dis or work.rows:
                with _workers(processes, scheduler) as workers:
                    failures = _render(work, folder, word, workers)
            rows = write_index(folder)
    except KeyboardInterrupt as error:
        raise InputError(f"stopped; {left}") from error
    except (TerminatedWorkerError, CancelledError, *_dask_errors(scheduler)) as error:
        raise InputError(f"a worker died ({type(error).__name__}); {left}") from error
    except ImportError as error:
        raise InputError(f"the workers cannot run Oddity: {error}") from error
    if failures:
        raise InputError(f"{len(failures)} rows could not be simulated and are left out; the first: {failures[0]}")
    return rows


def _delete(others: Sequence[Row], plan: Plan, folder: Path) -> None:
    """Delete rows, the .json first, and those of their guitars that nothing else needs."""
    gone = {row.id for row in others}
    needed = {row.di_path for row in stored_rows(folder) if row.id not in gone} | {di.path for di in plan.dis}
    for path in {row.path for row in others} | ({row.di_path for row in others} - needed):
        (folder / path).with_suffix(".json").unlink(missing_ok=True)
        (folder / path).unlink(missing_ok=True)


def _estimate(plan: Plan, work: Work) -> str:
    done = len(plan.rows) - len(work.rows)
    there = f"; {done} are there, {work.row_seconds / 60:.1f} minutes are missing" if done else ""
    return (
        f"{len(plan.rows)} rows of {len(plan.devices)} devices and {len(plan.dis)} guitar takes: "
        f"{plan.seconds / 60:.1f} minutes of audio, some {plan.seconds * 75e3 / 1e6:.0f} MB{there}"
    )


@dataclass(frozen=True)
class Workers:
    """Who does the jobs. `count` may change: clusters grow."""

    executor: Executor
    count: Callable[[], int]


class _Here(Executor):
    """Does each job at once, in this process."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(function(*arguments, **named))
        return future


@contextmanager
def _workers(processes: int, scheduler: str | None) -> Iterator[Workers]:
    if scheduler is not None:
        with _cluster(scheduler) as workers:
            yield workers
        return
    count = processes or cpu_count()
    if count == 1:
        yield Workers(_Here(), lambda: 1)
        return
    executor = ProcessPoolExecutor(count, env=dict.fromkeys(_THREADS, "1"), initializer=_serve_parent)
    try:
        yield Workers(executor, lambda: count)
    except BaseException:
        executor.shutdown(kill_workers=True)
        raise
    executor.shutdown()


def _serve_parent() -> None:
    """What a worker does first: leave interrupts to its parent, and end when that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


@contextmanager
def _cluster(scheduler: str) -> Iterator[Workers]:
    # Not joblib's own backend for Dask: it waits for ever when a worker dies for good (1.6.0).
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("--scheduler needs dask.distributed: pip install 'oddity[dask]'") from error
    if not re.fullmatch(r"\w+://[^/]+:\d+", scheduler):
        raise InputError(f"{scheduler}: give the scheduler's address as tcp://host:8786")
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters of it becomes an InputError
    try:
        client = Client(scheduler, timeout=SCHEDULER_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"no Dask scheduler answers at {scheduler}") from error
    with client:
        if not client.ncores():
            raise InputError(f"the Dask scheduler at {scheduler} has no workers")
        yield Workers(client.get_executor(pure=False), lambda: sum(client.ncores().values()))


def _dask_errors(scheduler: str | None) -> tuple[type[BaseException], ...]:
    if scheduler is None:
        return ()
    try:
        from distributed import KilledWorker
        from distributed.comm import CommClosedError
    except ImportError:
        return ()
    return KilledWorker, CommClosedError, TimeoutError


def _render(work: Work, folder: Path, word: str, workers: Workers) -> list[str]:
    """The guitars first, because the devices play what their files hold."""
    recorded = [di for di in work.dis if di.recording is not None]
    for di in recorded:
        store_recorded_di(di, folder)  # here: other machines may not see where it lies
    synthetic = [di for di in work.dis if di.recording is None]
    with _bar("guitars", sum(di.frames for di in synthetic)) as bar:
        _work_through(workers, render_di, _jobs(synthetic, folder, word), bar)
    with _bar("devices", sum(row.take.frames for row in work.rows)) as bar:
        return _work_through(workers, render_rows, _jobs(_batches(work.rows), folder, word), bar)


def _jobs(items: Sequence[Any], folder: Path, word: str) -> list[tuple[Any, ...]]:
    return [(item, folder, word) for item in items]


def _bar(name: str, frames: int) -> "tqdm[Any]":
    return tqdm(total=round(frames / SAMPLE_RATE_HZ, 1), unit="s", desc=name, disable=None)


def _work_through(
    workers: Workers, function: Callable[..., Outcome], jobs: Sequence[tuple[Any, ...]], bar: "tqdm[Any]"
) -> list[str]:
    """Do all jobs, in any order; the lines of those rows that failed. Two jobs for each worker are under way."""
    failures: list[str] = []
    waiting = iter(jobs)
    pending: set[Future[Outcome]] = set()
    while True:
        wanted = 2 * max(1, workers.count())  # a cluster whose workers all start anew has none for a while
        for job in itertools.islice(waiting, max(0, wanted - len(pending))):
            pending.add(workers.executor.submit(function, *job))
        if not pending:
            return sorted(failures)
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            outcome = future.result()
            if outcome.stop:
                raise InputError(outcome.stop)
            failures += outcome.failures
            bar.update(round(outcome.frames / SAMPLE_RATE_HZ, 1))


def _batches(rows: Sequence[PlannedRow]) -> list[list[PlannedRow]]:
    """Rows of one device and one length, as many as run together; those of one take stand beside each other."""
    groups: dict[tuple[str, int], list[PlannedRow]] = {}
    for row in rows:
        groups.setdefault((row.device.name, row.take.frames), []).append(row)
    batches = []
    for (_, frames), group in groups.items():
        group.sort(key=lambda row: (row.take.di.id, row.take.start_frame))
        size = max(1, min(RUNS_IN_JOB, _FRAMES_IN_JOB // frames))
        batches += [group[start : start + size] for start in range(0, len(group), size)]
    return [[_portable(row) for row in batch] for batch in batches]


def _portable(row: PlannedRow) -> PlannedRow:
    """The same, fit to be sent to another process."""
    circuit = replace(row.device.circuit, knobs=dict(row.device.circuit.knobs))
    return replace(row, device=replace(row.device, circuit=circuit))


def render_di(di: Di, folder: Path, word: str) -> Outcome:
    """A job: one synthetic take."""
    from training import guitar

    try:
        store.check_shared(folder, word)
        if di.version != guitar.VERSION:
            raise _other_version()
        assert di.seed is not None
        volts = guitar.render_take(di.seed, di.frames / SAMPLE_RATE_HZ, SAMPLE_RATE_HZ, di.by_name)
        stored = store.store(folder / di.path, volts, DI_VOLTS_PER_FULL_SCALE)
        _describe_di(di, folder, stored, stored.full_scale)
    except InputError as error:
        return Outcome(0, stop=error.message)
    return Outcome(di.frames)


def _other_version() -> InputError:
    return InputError(f"the worker on {socket.gethostname()} has another version of Oddity; all need this one")


def store_recorded_di(di: Di, folder: Path) -> None:
    """A recording under its hash, at its own level. Raises InputError as `read_di` does."""
    from training.capture import read_di  # here, because it takes a worker half a second to load, which never needs it

    assert di.recording is not None
    samples, _ = read_di(di.recording)
    stored = store.store(folder / di.path, samples, 1.0)
    volts = None if di.volts_per_full_scale is None else di.volts_per_full_scale * stored.full_scale
    _describe_di(di, folder, stored, volts)


def _describe_di(di: Di, folder: Path, stored: store.Stored, volts_per_full_scale: float | None) -> None:
    told = {
        "id": di.id,
        "frames": di.frames,
        "guitar": di.guitar,
        "guitar_facts": dict(di.facts),
        "take_seed": di.seed,
        "volts_per_full_scale": volts_per_full_scale,
        "bytes": stored.bytes,
    }
    store.describe(folder / di.path, told)


def render_rows(rows: Sequence[PlannedRow], folder: Path, word: str) -> Outcome:
    """A job: rows of one device and one length, side by side; alone where one of them has no solution."""
    try:
        store.check_shared(folder, word)
        if rows[0].device.engine != circuits.ENGINE:
            raise _other_version()
        dis = {row.take.di.id: _di(folder, row.take.di) for row in rows}
        volts = np.stack([_input(row, folder, dis[row.take.di.id]) for row in rows])
        failures = []
        for row, output in zip(rows, _played(rows, volts), strict=True):
            if isinstance(output, str):
                failures.append(output)
            else:
                _store_row(row, folder, output, dis[row.take.di.id])
    except InputError as error:
        return Outcome(0, stop=error.message)
    return Outcome(sum(row.take.frames for row in rows), tuple(failures))


def _di(folder: Path, di: Di) -> dict[str, Any]:
    known = store.whole(folder, "di", di.id)
    if known is None:
        raise InputError(f"{folder / di.path}: is missing or not whole; the same command makes it anew")
    return known


def _input(row: PlannedRow, folder: Path, di: dict[str, Any]) -> np.ndarray:
    """Volts at the device's input: what the DI's file holds, turned up by the row's level."""
    samples = store.read_part(folder / row.take.di.path, row.take.start_frame, row.take.frames)
    return samples * (di["volts_per_full_scale"] * 10.0 ** (row.level_db / 20.0))


def _played(rows: Sequence[PlannedRow], volts: np.ndarray) -> list[np.ndarray | str]:
    """Of each row the output in volts; or a line that says why there is none. `volts`: [rows, frames]."""
    device = rows[0].device
    settings = [row.knobs for row in rows]
    try:
        outputs = circuits.process_many(device.circuit, volts, settings, SAMPLE_RATE_HZ, device.oversampling)
    except circuits.SimulationError as error:
        if len(rows) == 1:
            return [_failure(rows[0], error.message)]
        # One row spoils the others' run, not the others: alone each comes out as it does in company.
        return [played for row, run in zip(rows, volts, strict=True) for played in _played([row], run[None])]
    limit = RUNAWAY * device.circuit.volts_per_full_scale
    return [
        output
        if np.abs(output).max(initial=0.0) <= limit
        else _failure(row, f"{device.circuit.path}: the output runs away, beyond {limit:g} V")
        for row, output in zip(rows, outputs, strict=True)
    ]


def _failure(row: PlannedRow, message: str) -> str:
    knobs = ", ".join(f"{name} {position:g}" for name, position in row.knobs.items())
    return f"{message} ({knobs}; {row.level_db:g} dB, {row.take.di.guitar} {row.take.di.seed})"


def _store_row(row: PlannedRow, folder: Path, output: np.ndarray, di: dict[str, Any]) -> None:
    stored = store.store(folder / row.path, output, row.device.circuit.volts_per_full_scale)
    told = {
        **row.facts(),
        "volts_per_full_scale": stored.full_scale,
        "di_volts_per_full_scale": di["volts_per_full_scale"],
        "peak_volts": stored.peak,
        "rms_volts": stored.rms,
        "bytes": stored.bytes,
        "di_bytes": di["bytes"],
    }
    store.describe(folder / row.path, told)
