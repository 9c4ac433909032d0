"""What training draws: random stretches of audio with their knobs, from memory or streamed from disk."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from training.capture import Capture, Pair
from training.errors import InputError
from training.streamed_takes import StreamedTakes

READERS = 2
"""Threads. libsndfile decodes outside Python's lock, so that they run beside the training."""


@dataclass(frozen=True)
class Streams:
    """Stretches of audio that are played side by side. audio, target: [streams, frames]; knobs: [streams, knobs]."""

    audio: torch.Tensor
    target: torch.Tensor
    knobs: torch.Tensor


class TrainingPart(Protocol):
    """All that is for training, from which random stretches are drawn, every one in the data as likely as any other."""

    def draw(self, streams: int, generator: torch.Generator) -> Streams: ...


def training_part(capture: Capture, frames: int, device: torch.device) -> TrainingPart:
    """The part of `capture` for training, in stretches of `frames`."""
    if capture.streamed is not None:
        return StreamedPart(capture.streamed, frames, device)
    return MemoryPart(capture.pairs, frames, device)


class Choice:
    """Which stretch: a take with as many starts as it has frames left. `lengths`: int64 [takes]."""

    def __init__(self, lengths: torch.Tensor, frames: int) -> None:
        starts = (lengths - frames + 1).clamp(min=0)
        self.first_choice = torch.cumsum(starts, 0) - starts
        self.choices = int(starts.sum())

    def draw(self, streams: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """The take of each stretch, and its first frame therein, int64 [streams] both."""
        choice = torch.randint(self.choices, (streams,), generator=generator)
        take = torch.searchsorted(self.first_choice, choice, right=True) - 1
        return take, choice - self.first_choice[take]


class MemoryPart:
    """The training parts of all pairs for training, end to end."""

    def __init__(self, pairs: tuple[Pair, ...], frames: int, device: torch.device) -> None:
        def joined(parts: list[np.ndarray]) -> torch.Tensor:
            return torch.from_numpy(np.concatenate(parts)).to(device)

        self.frames = frames
        pairs = tuple(pair for pair in pairs if pair.trains)
        self.audio = joined([pair.input[: pair.validation_start] for pair in pairs])
        self.target = joined([pair.target[: pair.validation_start] for pair in pairs])
        self.knobs = torch.tensor([pair.positions for pair in pairs], dtype=torch.float32, device=device)
        lengths = torch.tensor([pair.validation_start for pair in pairs])
        self.first_frame = torch.cumsum(lengths, 0) - lengths
        self.choice = Choice(lengths, frames)

    def draw(self, streams: int, generator: torch.Generator) -> Streams:
        pair, start = self.draw_starts(streams, generator)
        index = (start[:, None] + torch.arange(self.frames)).to(self.audio.device)
        return Streams(self.audio[index], self.target[index], self.knobs[pair.to(self.knobs.device)])

    def draw_starts(self, streams: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """As `draw`: the pair in which each stretch lies, and its first frame in `audio` and `target`."""
        pair, start = self.choice.draw(streams, generator)
        return pair, self.first_frame[pair] + start


class StreamedPart:
    """Takes on disk. While the network trains on one draw, the next is read.

    The generator says what is drawn, as it does from memory: the next draw is known by asking a copy of it, and what
    has been read ahead is thrown away if the generator was set elsewhere meanwhile. Raises InputError where
    `StreamedTakes.read` does, and when no take is as long as a stretch.
    """

    def __init__(self, takes: StreamedTakes, frames: int, device: torch.device) -> None:
        self.takes = takes
        self.frames = frames
        self.device = device
        self.knobs = torch.tensor([take.positions for take in takes.takes], dtype=torch.float32, device=device)
        self.choice = Choice(torch.tensor([take.frames for take in takes.takes]), frames)
        if not self.choice.choices:
            raise InputError(f"no take is as long as the {frames / takes.sample_rate_hz:.2f} s that training draws")
        self.readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self.ahead: tuple[torch.Tensor, list[Future[tuple[np.ndarray, np.ndarray]]]] | None = None

    def draw(self, streams: int, generator: torch.Generator) -> Streams:
        stretches = torch.stack(self.choice.draw(streams, generator))
        if self.ahead is None or not torch.equal(self.ahead[0], stretches):
            self.ahead = self._read(stretches)
        parts = [part.result() for part in self.ahead[1]]
        copy = torch.Generator()
        copy.set_state(generator.get_state())
        self.ahead = self._read(torch.stack(self.choice.draw(streams, copy)))
        audio, target = (torch.from_numpy(np.stack(side)).to(self.device) for side in zip(*parts, strict=True))
        return Streams(audio, target, self.knobs[stretches[0].to(self.device)])

    def _read(self, stretches: torch.Tensor) -> tuple[torch.Tensor, list[Future[tuple[np.ndarray, np.ndarray]]]]:
        """`stretches` [2, streams]: takes and first frames."""
        read = [self.readers.submit(self.takes.read, take, start, self.frames) for take, start in stretches.T.tolist()]
        return stretches, read
