"""Virtual time: events in one order, and the core's cycles between them.

A tick is 1/9.6 GHz of a second, a whole number of which makes one cycle of every core clock that is used here
(HSI 64 MHz: 150, HSE 16 MHz: 600, 400 MHz: 24, 480 MHz: 20). Time passes by executed instructions, or in one step to
the next event while the core sleeps. Nothing depends on the host's clock, so a run repeats exactly.
"""

from collections.abc import Callable
from typing import Any

from hardware.virtual_daisy.native import (
    CYCLE_BASE,
    CYCLE_COUNTER_OFFSET,
    CYCLE_INSTRUCTIONS,
    EXECUTED,
    LIMIT,
    Store,
    cycles_of,
    instructions_of,
)

TICKS_PER_SECOND = 9_600_000_000
NEVER = 1 << 62


class Event:
    """Something that happens at a time; at most one of each is pending."""

    def __init__(self, line: "TimeLine", index: int) -> None:
        self._line = line
        self._index = index

    @property
    def due(self) -> int:
        """The tick at which it happens, or NEVER."""
        return self._line.due[self._index]

    def at(self, tick: int) -> None:
        self._line.due[self._index] = tick
        self._line.changed()

    def after(self, seconds: float) -> None:
        self.at(self._line.now + round(seconds * TICKS_PER_SECOND))

    def cancel(self) -> None:
        self._line.due[self._index] = NEVER


class TimeLine:
    """The virtual clock and its queue. Of two events at one tick the one that was made first comes first."""

    def __init__(self, store: Store) -> None:
        self._state = store.state
        self.due: list[int] = []
        self._actions: list[Callable[[], None]] = []
        self.ticks_per_cycle = TICKS_PER_SECOND // 64_000_000
        self._tick_base = 0
        self._tick_instructions = 0

    def event(self, action: Callable[[], None]) -> Event:
        """A new kind of event, not pending."""
        self.due.append(NEVER)
        self._actions.append(action)
        return Event(self, len(self.due) - 1)

    @property
    def now(self) -> int:
        """The present, in ticks."""
        cycles = cycles_of(self._state[EXECUTED] - self._tick_instructions)
        return self._tick_base + cycles * self.ticks_per_cycle

    def tick_at(self, executed: int) -> int:
        """The tick at which `executed` instructions had been executed, since the last jump of the clock at most."""
        return self._tick_base + cycles_of(max(executed - self._tick_instructions, 0)) * self.ticks_per_cycle

    @property
    def seconds(self) -> float:
        """The present in seconds since power-on."""
        return self.now / TICKS_PER_SECOND

    @property
    def cycles(self) -> int:
        """The core's cycle."""
        state = self._state
        return state[CYCLE_BASE] + cycles_of(state[EXECUTED] - state[CYCLE_INSTRUCTIONS])

    def set_core_clock(self, hertz: float) -> None:
        """From now on the core runs at `hertz`."""
        state = self._state
        self._tick_base, self._tick_instructions = self.now, state[EXECUTED]
        state[CYCLE_BASE] = self.cycles
        state[CYCLE_INSTRUCTIONS] = state[EXECUTED]
        self.ticks_per_cycle = max(round(TICKS_PER_SECOND / hertz), 1)

    def jump(self, tick: int) -> None:
        """Let time pass until `tick` without an instruction; CYCCNT stands still while the core sleeps."""
        self._state[CYCLE_COUNTER_OFFSET] -= self._pass(tick)

    def stall(self, tick: int) -> None:
        """The core waits for the bus until `tick`, in the middle of an instruction."""
        self._pass(tick)
        self.changed()

    def _pass(self, tick: int) -> int:
        """Go on to the first whole cycle at or after `tick`; how many cycles that are."""
        cycles = max(-(-(tick - self.now) // self.ticks_per_cycle), 0)
        self._tick_base += cycles * self.ticks_per_cycle
        self._state[CYCLE_BASE] += cycles
        return cycles

    def next_due(self) -> int:
        return min(self.due, default=NEVER)

    def changed(self) -> None:
        """An event is nearer than the core may know: make it stop at the next block and look."""
        self._state[LIMIT] = 0

    def limit(self, tick: int) -> None:
        """Let the core run until `tick`."""
        cycles = -(-(tick - self._tick_base) // self.ticks_per_cycle)
        self._state[LIMIT] = self._tick_instructions + instructions_of(min(cycles, 1 << 48))

    def limit_to_block(self) -> None:
        """Let the core run one block."""
        self._state[LIMIT] = self._state[EXECUTED] + 1

    def run_due(self) -> None:
        """Do what is due, in order."""
        due = self.due
        now = self.now
        while (first := min(due, default=NEVER)) <= now:
            index = due.index(first)
            due[index] = NEVER
            self._actions[index]()

    def save(self) -> tuple[Any, ...]:
        return list(self.due), self.ticks_per_cycle, self._tick_base, self._tick_instructions, self._state.tobytes()

    def restore(self, saved: tuple[Any, ...]) -> None:
        due, self.ticks_per_cycle, self._tick_base, self._tick_instructions, state = saved
        self.due[:] = due
        self._state.cast("B")[:] = state
