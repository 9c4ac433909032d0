"""The one protocol through which the PC speaks to a pedal, wherever that pedal is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from export.description import Description
from hardware.protocol import CounterUnit, Engine, Parameter
from training.errors import InputError


@dataclass(frozen=True)
class PedalInfo:
    """What a pedal says of itself. `budget_per_frame`: of its counter, 0 where there is no deadline;
    it is that of the active engine."""

    board: str
    firmware_version: str
    sample_rate_hz: int
    max_block_frames: int
    slot_count: int
    filled_slots: frozenset[int]
    blob_capacity_bytes: int
    engines: frozenset[Engine]
    active_slot: int | None
    active_engine: Engine
    counter_unit: CounterUnit
    budget_per_frame: int

    @property
    def trial_slot(self) -> int:
        """The last one, in which `pedal verify` and `run` put the models that they play: the others are the user's."""
        return self.slot_count - 1


@dataclass(frozen=True)
class PedalStats:
    """The pedal's load since it was last cleared; counts are in its `counter_unit`.

    An overload mutes a pedal that plays in real time; `muted`: one does now."""

    blocks: int
    frames: int
    overruns: int
    faults: int
    last_block: int
    worst_per_frame: int
    overloads: int
    muted: bool
    total: int

    @property
    def mean_per_frame(self) -> float:
        return self.total / max(self.frames, 1)


@dataclass(frozen=True)
class UsbStats:
    """The audio streams of a pedal on USB since it was last cleared.

    `level_min`, `level_max`: frames in its playback buffer, looked at each millisecond. `feedback`: the last that it
    told the host, frames a millisecond in 16.16.
    """

    frames_from_host: int
    frames_to_host: int
    underruns: int
    overruns: int
    level_min: int
    level_max: int
    feedback: int


@contextmanager
def on_trial(link: "PedalLink", blob: bytes, engine: Engine) -> Iterator[int]:
    """The pedal plays `blob`, from the slot that this gives; afterwards what it played before."""
    before = link.hello()
    link.load(before.trial_slot, blob)
    link.select(before.trial_slot, engine)
    try:
        yield before.trial_slot
    finally:
        if before.active_slot not in (None, before.trial_slot):
            with suppress(InputError):  # it may be gone
                link.select(before.active_slot, before.active_engine)


class PedalLink(Protocol):
    """A pedal that is there. Each call raises InputError when the pedal refuses, or is silent for 2 s.

    `round_trip_frames`: how long the last `process` had each frame on its way, where that is a matter of time."""

    round_trip_frames: int | None

    def hello(self) -> PedalInfo: ...

    def slot(self, slot: int) -> Description:
        """What the model in `slot` says of itself."""

    def blob(self, slot: int) -> bytes:
        """The blob in `slot`."""

    def load(self, slot: int, blob: bytes) -> None:
        """Upload a model blob into a slot; the pedal checks and self-tests it and otherwise keeps what it has."""

    def select(self, slot: int, engine: Engine) -> None:
        """Make the model of a slot the one that plays; takes effect with a short fade, or at `reset`."""

    def set(self, parameter: Parameter, value: float) -> None:
        """Levels are gains from 0 to 7.99; knobs, tone (0.5: flat) and gate (0: off) positions from 0 to 1; bypass is 0
        or 1, the block 1 to 256 frames (of a pedal with audio of its own)."""

    def process(
        self, samples: np.ndarray, block_frames: int = 48, progress: Callable[[int], object] | None = None
    ) -> np.ndarray:
        """Play `samples` (int32 [frames], 24 bits) through the pedal and return what comes back, likewise.

        The pedal works in blocks of `block_frames` (1 to 256). `progress` is told how many frames are done with each
        step.
        """

    def stats(self) -> PedalStats: ...

    def clear_stats(self) -> None: ...

    def reset(self) -> None:
        """Engine state to zero, every ramp at its target."""

    def enter_boot_loader(self) -> None:
        """Make the pedal wait for a new image."""

    def rest(self, seconds: float) -> None:
        """Let so much time pass at the pedal, in which nobody plays."""

    def close(self) -> None: ...
