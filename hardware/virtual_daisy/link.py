"""`PedalLink` to the virtual Daisy: the very image that is flashed, in an emulated chip."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import serial

from export.daisy import SAMPLE_RATE_HZ
from hardware.protocol import Message, Parameter
from hardware.serial_link import SerialLink
from hardware.virtual_daisy.board import SEED_REV4, Revision, VirtualDaisy
from hardware.virtual_daisy.errors import ChipError, InBootloader, WatchdogReset
from hardware.virtual_daisy.flash_memory import SIZE
from training.errors import InputError
from training.files import written_aside

Result = TypeVar("Result")
BOOT_SECONDS = 1.0  # until its audio runs, if it does
AUDIO_AFTER_SECONDS = 0.1  # a pedal that has not answered by then may wait for the audio to go on
FLASH_TIME_SCALE = 0.05  # an upload waits for erases most of its time; the host would spend it emulating a loop
NEUTRAL_POTS = (0.5, 0.0, 0.5, 0.5, 0.0, 0.5)  # 0 dB in, no drive, morph in the middle, flat, no gate, 0 dB out
MAX_BLOCK_FRAMES = 256
STEP_FRAMES = 4_800  # between two calls of `progress`
BLOCK_FRAMES = 48  # of the firmware, until it is told another
LATENCY_BLOCKS = 2  # the audio DMA is double-buffered


class VirtualDaisyLink(SerialLink):
    """A pedal that is emulated down to its registers. Commands go over its serial line, audio through its codec.

    The codec's clock stands still while no audio is played, so that results repeat to the bit; `rest` lets it run.
    """

    def __init__(self, image: Path, flash_file: Path | None = None, revision: Revision = SEED_REV4) -> None:
        """image: the firmware.bin that `firmware_build.build("daisy")` made. flash_file: keeps the external flash's
        contents from one link to the next, and is made by `close` when it is not there; None: begins erased.

        Raises InputError when the image is missing or the file is not of the flash's size.
        """
        if not image.is_file():
            raise InputError(f"{image}: no such firmware")
        contents = None
        try:
            if flash_file and flash_file.exists():
                contents = flash_file.read_bytes()
        except OSError as error:
            raise InputError(f"{flash_file}: {error.strerror}") from error
        if contents is not None and len(contents) != SIZE:
            raise InputError(f"{flash_file}: has {len(contents)} bytes; a flash memory kept by this has {SIZE}")
        self.daisy = VirtualDaisy(image, revision, contents)
        self._flash_file = flash_file
        self._block_frames: int | None = None
        self.daisy.pots = list(NEUTRAL_POTS)
        self.daisy.flash.time_scale = FLASH_TIME_SCALE
        self.daisy.serial.audio_after = AUDIO_AFTER_SECONDS
        super().__init__(cast(serial.SerialBase, self.daisy.serial))
        self._running(lambda: self.daisy.run_until(lambda: self.daisy.chip.sai.streaming, BOOT_SECONDS))

    def process(
        self, samples: np.ndarray, block_frames: int = 48, progress: Callable[[int], object] | None = None
    ) -> np.ndarray:
        if not 1 <= block_frames <= MAX_BLOCK_FRAMES:
            raise InputError(f"the block size is 1 to {MAX_BLOCK_FRAMES} frames, not {block_frames}")
        if block_frames != self._block_frames:
            self.set(Parameter.BLOCK_FRAMES, block_frames)
            self._block_frames = block_frames
        padded = np.pad(np.asarray(samples, np.int32), (0, -len(samples) % block_frames))
        step = max(STEP_FRAMES // block_frames, 1) * block_frames
        played = [np.zeros(0, np.int32)]
        for start in range(0, len(padded), step):
            chunk = padded[start : start + step]
            played.append(self._play(chunk, block_frames))
            if progress:
                progress(min(len(chunk), len(samples) - start))
        return np.concatenate(played)[: len(samples)]

    def _play(self, samples: np.ndarray, block_frames: int) -> np.ndarray:
        return self._running(lambda: self.daisy.play(samples, LATENCY_BLOCKS * block_frames))

    def rest(self, seconds: float) -> None:
        """Let `seconds` of silence pass through the pedal, in whole blocks."""
        block_frames = self._block_frames or BLOCK_FRAMES
        blocks = -(-round(seconds * SAMPLE_RATE_HZ) // block_frames)
        self._running(lambda: self.daisy.play(np.zeros(blocks * block_frames, np.int32)))

    def close(self) -> None:
        if self._flash_file:
            with written_aside(self._flash_file) as aside:
                aside.write_bytes(self.daisy.flash.contents)
        super().close()

    def _ask(self, message: Message, payload: bytes = b"") -> bytes:
        return self._running(lambda: SerialLink._ask(self, message, payload))

    def _running(self, action: Callable[[], Result]) -> Result:
        """The result of what lets the machine run; InputError when that ends it."""
        try:
            return action()
        except (ChipError, WatchdogReset, InBootloader) as error:
            raise InputError(f"the virtual Daisy has stopped: {error}") from error
