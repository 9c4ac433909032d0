"""What the tests of several rooms share: small models, pedals, the data of others, and what was not tested."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from hardware.connect import VIRTUAL, open_link
from hardware.firmware_build import REPOSITORY, RTNEURAL, build
from hardware.program_link import ProgramLink
from hardware.protocol import Engine
from hardware.serial_link import SerialLink
from training.knob import Knob
from training.model_file import Model
from training.recurrent import RecurrentNetwork

DATA = REPOSITORY.parent / "shared" / "data"
PROGRAMS = ["native", "emulator", "virtual_daisy"]
"""The pedals that are programs, as fixtures."""
ENGINE = "engine"

torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--on",
        help="The pedal of the tests in tests/hil that run on any: native, emulator, virtual-daisy, a serial port.",
    )


def pytest_configure(config: pytest.Config) -> None:
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):  # two builds in one folder at a time would spoil each other
        os.environ["PLATFORMIO_BUILD_DIR"] = str(REPOSITORY / ".pio" / f"build-{worker}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have recorded with `record_property`: figures, and the engines that they have played."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    recorded = [pair for report in reports for pair in getattr(report, "user_properties", ())]
    tested = {value for name, value in recorded if name == ENGINE}
    if tested:
        missing = "" if RTNEURAL.is_file() else "; not rtneural: git submodule update --init fetches it"
        terminalreporter.write_line(f"engines tested: {', '.join(sorted(tested))}{missing}")
    for name, value in dict.fromkeys(recorded):
        if name != ENGINE:
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Model]:
    """A model with random weights, as wide as trained ones have them; the same arguments give the same model."""

    def make(
        unit: str = "lstm",
        hidden_size: int = 8,
        knob_count: int = 0,
        seed: int = 0,
        gain: float = 1.5,
        layers: int = 1,
    ) -> Model:
        torch.manual_seed(seed)
        network = RecurrentNetwork(unit, hidden_size, knob_count, layers)
        with torch.no_grad():
            for name, weights in network.recurrent.named_parameters():
                weights *= {"weight_hh": gain, "weight_ih": 2 * gain}.get(name[:9], 1.0)
            network.head.weight *= 0.4
            network.head.bias *= 0.0
        knobs = tuple(Knob(f"knob {index}", 0.0, 10.0, 2.5 * (index + 1)) for index in range(knob_count))
        config = {"hidden_size": hidden_size, "knob_count": knob_count, "layers": layers}
        return Model(network.name, unit, config, network.eval(), knobs=knobs)

    return make


@pytest.fixture(scope="session")
def guitar() -> np.ndarray:
    """A quarter of a second of decaying partials, float32 [12000], peak 0.5: cheap, and like a plucked string."""
    seconds = np.arange(12_000) / 48_000
    partials = (np.sin(2 * np.pi * 110 * n * seconds) * np.exp(-8 * n * seconds) / n for n in range(1, 12))
    wave = np.sum(list(partials), axis=0)
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def _open(board: str) -> Iterator[ProgramLink]:
    with ProgramLink(board, build(board)) as link:
        yield link


@pytest.fixture(scope="session")
def native() -> Iterator[ProgramLink]:
    yield from _open("native")


@pytest.fixture(scope="session")
def emulator() -> Iterator[ProgramLink]:
    yield from _open("emulator")


@pytest.fixture(scope="session")
def virtual_daisy() -> Iterator[SerialLink]:
    with open_link(VIRTUAL) as link:
        yield link


@pytest.fixture(scope="session")
def pedal_on_the_desk(request: pytest.FixtureRequest) -> Iterator[SerialLink]:
    with open_link(request.config.getoption("--on")) as link:
        yield link


@pytest.fixture
def pedal(place: str, request: pytest.FixtureRequest) -> SerialLink:
    """Each pedal that is a program, or the one of `pytest --on`: a test that asks for it runs on all of them."""
    return request.getfixturevalue(place)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" in metafunc.fixturenames and "pedal" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--on")
        known = chosen is None or chosen.replace("-", "_") in PROGRAMS
        places = PROGRAMS if chosen is None else [chosen.replace("-", "_") if known else "pedal_on_the_desk"]
        metafunc.parametrize("place", places)


def skip_if_muted(link: SerialLink) -> None:
    """Where a pedal plays in real time it mutes a model that is too much for its processor, and plays it not at all."""
    if link.stats().muted:
        pytest.skip("too much for this pedal's processor, which has muted it")


def skip_without(engine: Engine, link: SerialLink) -> None:
    """The Daisy's image has no RTNeural: it would fill its flash."""
    if engine not in link.hello().engines:
        pytest.skip("this board's image is built without that engine")


@pytest.fixture(params=list(Engine), ids=lambda engine: engine.name.lower())
def engine(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Engine:
    """Each engine of the firmware; RTNeural's tests skip where its submodule is not."""
    if request.param == Engine.RTNEURAL and not RTNEURAL.is_file():
        pytest.skip("RTNeural is not here: git submodule update --init")
    record_property(ENGINE, request.param.name.lower())
    return request.param


@pytest.fixture
def real_guitar() -> Path:
    """A DI that somebody recorded."""
    path = DATA / "audio" / "nam_reaper_guitar_di_48k24.wav"
    if not path.is_file():
        pytest.skip("../shared/data is not here")
    return path


@pytest.fixture(scope="session")
def run_pedal() -> Callable[..., subprocess.CompletedProcess]:
    """The command line as a user has it: `run_pedal("verify", ...)`; `environment` adds to this process's."""
    import sys

    def run(
        *arguments: object, environment: dict[str, str] | None = None, **options: object
    ) -> subprocess.CompletedProcess:
        command = [sys.executable, str(REPOSITORY / "pedal.py"), *map(str, arguments)]
        settings = {**os.environ, **(environment or {})}
        return subprocess.run(command, capture_output=True, text=True, env=settings, check=False, **options)

    return run


def assert_one_line_error(result: subprocess.CompletedProcess, *words: str) -> None:
    """Exit code 2, no traceback, and one line on standard error that has all `words`."""
    assert result.returncode == 2, result.stdout + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: ")
    for word in words:
        assert word in lines[0]
