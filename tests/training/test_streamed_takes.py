"""Takes on disk: what training draws from them is what it would draw from memory."""

import shutil
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_pair import amp, guitar

from training import audio, loop, model_file
from training.capture import Capture, Pair
from training.errors import InputError
from training.knob import Knob
from training.loop import TrainingConfig
from training.streamed_takes import StreamedTake, StreamedTakes
from training.stretches import MemoryPart, StreamedPart

RATE = 48_000
CPU = torch.device("cpu")
QUICK = TrainingConfig(model="lstm-3", steps=24, streams=4, segment_frames=256, run_in_frames=128)
KNOBS = (Knob("drive"),)


@pytest.fixture(scope="module")
def pairs() -> tuple[Pair, ...]:
    """As 24-bit files hold them."""

    def rounded(samples: np.ndarray) -> np.ndarray:
        return (np.round(samples * 2.0**23) / 2.0**23).astype(np.float32)

    takes = ((guitar(seconds, seed), seed / 4) for seed, seconds in ((1, 1.0), (2, 2.5)))
    return tuple(
        Pair(f"take {knob}", rounded(dry), rounded(amp(dry, 4 + knob)), (knob,), "training") for dry, knob in takes
    )


@pytest.fixture(scope="module")
def streamed(pairs: tuple[Pair, ...], tmp_path_factory: pytest.TempPathFactory) -> StreamedTakes:
    """The same on disk, the dry half as loud as in the pairs, the second take in the middle of a longer file."""
    folder, takes = tmp_path_factory.mktemp("takes"), []
    for number, pair in enumerate(pairs):
        before = 1000 * number
        dry = np.pad(pair.input, (before, 0), constant_values=0.25)
        audio.write(folder / f"dry{number}.flac", dry / 2, RATE)
        audio.write(folder / f"wet{number}.flac", pair.target, RATE)
        paths = (folder / f"dry{number}.flac", before, 2.0, folder / f"wet{number}.flac", 1.0)
        takes.append(StreamedTake(*paths, len(pair.input), pair.positions, f"take {number}"))
    return StreamedTakes(tuple(takes), RATE)


def test_draws_from_disk_are_those_from_memory(pairs: tuple[Pair, ...], streamed: StreamedTakes) -> None:
    disk, memory = StreamedPart(streamed, 5000, CPU), MemoryPart(pairs, 5000, CPU)
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    for _ in range(6):
        drawn, wanted = disk.draw(7, generators[0]), memory.draw(7, generators[1])
        torch.testing.assert_close(drawn.audio, wanted.audio, atol=2.0**-22, rtol=0)
        torch.testing.assert_close(drawn.target, wanted.target, atol=2.0**-23, rtol=0)
        assert torch.equal(drawn.knobs, wanted.knobs)
    assert torch.equal(generators[0].get_state(), generators[1].get_state())
    generators[0].manual_seed(9)  # as after a resume: what was read ahead is not taken
    torch.testing.assert_close(
        disk.draw(7, generators[0]).audio, memory.draw(7, torch.Generator().manual_seed(9)).audio, atol=1e-6, rtol=0
    )


def test_a_late_target_is_read_late(pairs: tuple[Pair, ...], streamed: StreamedTakes) -> None:
    late = replace(streamed, late_frames=300)
    for start in (0, 100, 300, 4000):
        _, wet = late.read(1, start, 500)
        wanted = np.pad(pairs[1].target, (300, 0))[start : start + 500]
        np.testing.assert_allclose(wet, wanted, atol=2.0**-23)


def test_training_from_disk_reaches_what_training_from_memory_does(
    pairs: tuple[Pair, ...], streamed: StreamedTakes, tmp_path: Path
) -> None:
    dry = guitar(2.0, 7)
    held_out = Pair("held out", dry, amp(dry), (0.5,), "validation")
    memory = Capture((*pairs, held_out), KNOBS)
    disk = Capture((held_out,), KNOBS, streamed=streamed)
    assert disk.seconds == memory.seconds and disk.digest() != memory.digest()
    moved = replace(streamed.takes[0], positions=(0.9,))
    other = replace(disk, streamed=replace(streamed, takes=(moved, *streamed.takes[1:])))
    assert other.digest() != disk.digest()

    def weights(capture: Capture, name: str) -> torch.Tensor:
        loop.train(capture, QUICK, tmp_path / name, report=lambda line: None)
        network = model_file.load(tmp_path / name).network
        return torch.cat([part.flatten() for part in network.state_dict().values()])

    torch.testing.assert_close(weights(disk, "disk.pt"), weights(memory, "memory.pt"), atol=1e-4, rtol=0)


def test_files_that_are_not_what_they_were(streamed: StreamedTakes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no take is as long as the 10\.00 s that training draws"):
        StreamedPart(streamed, 10 * RATE, CPU)
    audio.write(tmp_path / "short.flac", np.zeros(1000), RATE)
    (tmp_path / "broken.flac").write_bytes(streamed.takes[0].target_path.read_bytes()[:500])
    for name, complaint in (
        ("short", "short.flac: ends before|short.flac: cannot"),
        ("broken", "broken"),
        ("no", "no.flac: cannot"),
    ):
        takes = (replace(streamed.takes[0], target_path=tmp_path / f"{name}.flac"),)
        with pytest.raises(InputError, match=complaint):
            StreamedPart(replace(streamed, takes=takes), 20_000, CPU).draw(3, torch.Generator().manual_seed(0))


def test_the_next_draw_is_read_before_it_is_asked_for(streamed: StreamedTakes, tmp_path: Path) -> None:
    take = streamed.takes[0]
    copies = [shutil.copy(path, tmp_path) for path in (take.input_path, take.target_path)]
    moved = replace(take, input_path=Path(copies[0]), target_path=Path(copies[1]))
    part = StreamedPart(replace(streamed, takes=(moved,)), 5000, CPU)
    generator = torch.Generator().manual_seed(1)
    part.draw(4, generator)
    assert part.ahead is not None
    wait(part.ahead[1])
    for path in copies:
        Path(path).unlink()
    assert part.draw(4, generator).audio.shape == (4, 5000)
    with pytest.raises(InputError, match="cannot be read"):
        part.draw(4, generator)
