"""A pedal on USB: the host protocol over its serial port, and guitar through its sound device in real time.

In a take the DI goes to the pedal on channel 1; back come on channel 1 what its effect was fed, and on channel 2 what
it made of that, frame by frame. So channel 1 tells how late it is, and whether a frame got lost.
"""

import contextlib
import errno
import json
import platform
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import serial
from serial.tools import list_ports

from hardware import duplex
from hardware.duplex import RATE_HZ
from hardware.protocol import BAUD, Parameter
from hardware.serial_link import SILENCE_SECONDS, SerialLink
from training.errors import InputError

MANUFACTURER = "Oddity"
"""The USB manufacturer string by which a pedal is known."""
IDENTITY = (0x1209, 0x0001)
"""USB vendor and product: where the system keeps the manufacturer string to itself."""
TAKES = 3
LATENCY_S = 0.1
TAIL_SECONDS = 0.1
"""Of zeros behind a take, besides what the host's buffers hold: the pedal has some of it too."""
GAP_FRAMES = 48
"""Between a take and the frame that ends it, of 1 LSB: so silence has an end too."""
START_SECONDS = 20.0
STALLED_SECONDS = 1.5
PROBE_FRAMES = 4096
"""On which the level is measured."""
SEEN_FRAMES = 1024
"""By which it is found again what was sent."""
FULL_SCALE = 2**23
LIVE_BLOCK_FRAMES = 48
"""With which the firmware begins."""


@dataclass(frozen=True)
class Dropout:
    """The first frame of a take that did not go through the pedal as it was sent, and what was seen there."""

    frame: int
    seen: str


def find_pedal(serial_number: str = "") -> Any:
    """The serial port of the pedal on USB, as pyserial lists it; raises InputError unless there is exactly one."""
    pedals = [port for port in list_ports.comports() if _is_pedal(port)]
    if serial_number:
        chosen = [port for port in pedals if port.serial_number == serial_number]
        there = ", ".join(f"usb:{port.serial_number}" for port in pedals) or "none"
        if not chosen:
            raise InputError(f"no pedal with the serial number {serial_number} on USB; there: {there}")
        return chosen[0]
    if not pedals:
        raise InputError("no pedal found on USB: plug it in, or say --on a serial port, emulator or virtual-daisy")
    if len(pedals) > 1:
        there = ", ".join(f"usb:{port.serial_number}" for port in pedals)
        raise InputError(f"{len(pedals)} pedals are on USB: choose with --on one of {there}")
    return pedals[0]


def cannot_open(device: str, error: Exception) -> InputError:
    """What to say when the serial port of a pedal does not open."""
    if getattr(error, "errno", None) == errno.EACCES and platform.system() == "Linux":
        return InputError(
            f"no permission for the pedal at {device}: join its group (sudo usermod -aG dialout $USER) and log in anew"
        )
    return InputError(f"cannot open the pedal at {device}: {error}")


def _is_pedal(port: Any) -> bool:
    if platform.system() == "Windows":  # which gives the driver's manufacturer
        return (port.vid, port.pid) == IDENTITY
    return bool(port.manufacturer == MANUFACTURER)


class UsbAudioLink(SerialLink):
    """`PedalLink` to a pedal on USB; `process` plays in real time. The sound device is opened when it is needed."""

    def __init__(self, port: Any, latency_s: float = LATENCY_S) -> None:
        """`port`: from `find_pedal`; `latency_s`: what the host's buffers hold each way, about."""
        self._found = port
        self._latency_s = latency_s
        try:
            super().__init__(serial.Serial(port.device, BAUD, write_timeout=SILENCE_SECONDS, exclusive=True))
        except (serial.SerialException, ValueError, OSError) as error:
            raise cannot_open(port.device, error) from error

    def process(
        self, samples: np.ndarray, block_frames: int = 48, progress: Callable[[int], object] | None = None
    ) -> np.ndarray:
        """As `PedalLink` has it, in a take from `reset` on; one in which a frame got lost is repeated.

        Raises InputError when frames get lost in each of `TAKES`, and when the sound device is not there, goes away,
        or has a converter or a mixer in the way.
        """
        self.set(Parameter.BLOCK_FRAMES, block_frames)
        try:
            return self._takes(samples, progress)
        finally:
            with contextlib.suppress(InputError):  # it may be gone
                self.set(Parameter.BLOCK_FRAMES, LIVE_BLOCK_FRAMES)

    def _takes(self, samples: np.ndarray, progress: Callable[[int], object] | None) -> np.ndarray:
        meter = _Meter(len(samples), progress)
        sent = _with_marks(samples)
        for _ in range(TAKES):
            recorded, interruption, counted = self._play(sent, meter)
            found = align(sent[:, 0], recorded[:, 0])
            if interruption is None and isinstance(found, int):
                self.round_trip_frames = found
                return recorded[found : found + len(samples), 1]
            dropout = interruption or found
        assert isinstance(dropout, Dropout)
        raise InputError(
            f"the audio through the pedal was interrupted in {TAKES} takes, in the last one at "
            f"{dropout.frame / RATE_HZ:.3f} s: {dropout.seen}; {counted}"
        )

    def _play(self, sent: np.ndarray, meter: "_Meter") -> tuple[np.ndarray, Dropout | None, str]:
        """What came back for `sent`, int32 [frames, 2] of 24 bits; an interruption that PortAudio saw; what the pedal
        counted meanwhile, in words."""
        with _Stream(_alsa_card(self._found), self._latency_s) as stream:
            try:
                self.set(Parameter.REAMP, 1)
                self.reset()  # the effect now waits for the first frame that is not zero
                tail = round((TAIL_SECONDS + 2 * sum(stream.latency_s)) * RATE_HZ)
                before = self.usb_stats()
                recorded, interruption = stream.play(np.pad(sent, ((0, tail), (0, 0))), meter)
                after = self.usb_stats()
            finally:
                with contextlib.suppress(InputError):  # it may be gone
                    self.set(Parameter.REAMP, 0)
        underruns, overruns = after.underruns - before.underruns, after.overruns - before.overruns
        return recorded, interruption, f"the pedal counted {underruns} underruns, {overruns} overruns"


def _with_marks(samples: np.ndarray) -> np.ndarray:
    """Both channels of a take: the DI and its end, and 1 LSB in the monitor that begins it."""
    sent = np.zeros((len(samples) + GAP_FRAMES + 1, 2), np.int32)
    sent[: len(samples), 0] = samples
    sent[-1, 0] = 1
    sent[0, 1] = 1
    return sent


def align(sent: np.ndarray, back: np.ndarray) -> int | Dropout:
    """By how many frames `back` (int32 [frames], 24 bits) is later than `sent`, of which it has each frame as it was;
    otherwise the first of them that it has not.

    Raises InputError when it is the same but for its level.
    """
    there = np.flatnonzero(back)
    if len(there) == 0:
        return Dropout(0, "nothing came back")
    start = int(there[0] - np.flatnonzero(sent)[0])
    same = sent[: len(back) - start] == back[max(start, 0) :][: len(sent)] if start >= 0 else np.zeros(1, bool)
    if len(same) == len(sent) and same.all():
        return start
    _refuse_another_level(sent, back)
    first = int(np.argmin(same)) if not same.all() else len(same)
    return Dropout(first, _seen(sent[first:], back[max(start, 0) + first :]))


def _refuse_another_level(sent: np.ndarray, back: np.ndarray) -> None:
    from scipy import signal  # slow to import, and every command would

    loudest = int(np.argmax(np.abs(sent)))
    if abs(int(sent[loudest])) < FULL_SCALE // 2**12:
        return
    start = max(loudest - PROBE_FRAMES // 2, 0)
    probe = sent[start : start + PROBE_FRAMES].astype(np.float64)
    correlation = signal.correlate(back.astype(np.float64), probe, mode="valid", method="fft")
    lag = int(np.argmax(np.abs(correlation)))
    gain = correlation[lag] / np.dot(probe, probe)
    error = back[lag : lag + len(probe)] - gain * probe
    if abs(gain - 1) > 1e-3 and np.dot(error, error) < 1e-4 * gain**2 * np.dot(probe, probe):
        inverted = ", inverted" if gain < 0 else ""
        raise InputError(
            f"the DI reaches the pedal at {20 * np.log10(abs(gain)):+.1f} dB{inverted}: "
            "set the volume of its sound device to full, and no effects"
        )


def _seen(sent: np.ndarray, back: np.ndarray) -> str:
    """In words: how `back` goes on where it is no more `sent`."""
    for start in range(0, min(len(sent) - SEEN_FRAMES, RATE_HZ), SEEN_FRAMES):
        probe = sent[start : start + SEEN_FRAMES]
        loudest = int(np.argmax(np.abs(probe)))
        if probe[loudest] == 0:
            continue
        for found in np.flatnonzero(back[: start + RATE_HZ] == probe[loudest]):
            at = int(found) - loudest
            if at >= 0 and np.array_equal(back[at : at + SEEN_FRAMES], probe):
                shift = at - start
                return f"{abs(shift)} frames {'too many' if shift > 0 else 'are missing'}" if shift else "frames differ"
    return "what comes back is not what was sent"


def _alsa_card(port: Any) -> str:
    """ALSA's number of the sound card that is the same USB device as the serial port; "-" on other systems."""
    if platform.system() != "Linux":
        return "-"
    cards = sorted(Path(port.usb_device_path or "/nowhere").glob("*/sound/card*"))
    if not cards:
        raise InputError("Linux has not taken the pedal as a sound card: is the kernel's snd-usb-audio there?")
    return cards[0].name.removeprefix("card")


class _Meter:
    """Tells `progress` about frames once, though takes are repeated."""

    def __init__(self, frames: int, progress: Callable[[int], object] | None) -> None:
        self._left = frames
        self._told = 0
        self._progress = progress

    def reach(self, frames: int) -> None:
        new = min(frames - self._told, self._left)
        if new > 0:
            self._told += new
            self._left -= new
            if self._progress:
                self._progress(new)


class _Stream:
    """The process of `hardware.duplex`, from when zeros are streaming until it is killed."""

    def __init__(self, card: str, latency_s: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", duplex.__file__, card, str(latency_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        try:
            self.latency_s: list[float] = self._next(START_SECONDS)["latency_s"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # the kernel may hold it a while
            self._process.wait(SILENCE_SECONDS)
            self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def play(self, samples: np.ndarray, meter: _Meter) -> tuple[np.ndarray, Dropout | None]:
        """Play and record; `samples` int32 [frames, 2] of 24 bits, and what is returned likewise."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # the process says itself why it is gone
            self._process.stdin.write(len(samples).to_bytes(8, "little") + (samples << 8).astype("<i4").tobytes())
            self._process.stdin.flush()
        recorded = 0
        while "frames" not in (message := self._next(START_SECONDS if recorded >= len(samples) else STALLED_SECONDS)):
            recorded = message["recorded"]
            meter.reach(recorded)
        meter.reach(message["frames"])
        # rounded: Core Audio's float samples come back a little smaller
        rounded = (message["samples"].astype(np.int64) + 128 >> 8).astype(np.int32)
        first = message["interruptions"][0] if message["interruptions"] else None
        return rounded, Dropout(first[0], f"PortAudio reports {first[1]}") if first else None

    def _next(self, seconds: float) -> dict[str, Any]:
        try:
            message = self._messages.get(timeout=seconds)
        except queue.Empty:
            raise InputError("the pedal's audio has stopped") from None
        if "error" in message:
            raise InputError(message["error"])
        return message

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if "frames" in message:
                content = self._process.stdout.read(message["frames"] * 8)
                message["samples"] = np.frombuffer(content, "<i4").reshape(-1, 2)
            self._messages.put(message)
        self._messages.put({"error": "the program that plays through the pedal has ended"})
