"""The other end of the pedal's serial line, with the part of pyserial's interface that the links use."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hardware.virtual_daisy.board import VirtualDaisy


class VirtualSerial:
    """A port whose time-outs are in virtual seconds: reading runs the machine until the bytes are there."""

    def __init__(self, daisy: "VirtualDaisy") -> None:
        self._daisy = daisy
        self.timeout: float | None = None
        self.audio_after: float | None = None
        """After so many seconds in which nothing comes, frames of silence pass until something does: some commands are
        answered only when the audio has gone on."""

    @property
    def in_waiting(self) -> int:
        """Bytes that have come and not been read."""
        return len(self._daisy.usart.received)

    def write(self, data: bytes) -> int:
        """Send; the bytes go over the line as time passes."""
        self._daisy.usart.host_writes(bytes(data))
        return len(data)

    def read(self, size: int = 1) -> bytes:
        """`size` bytes, or fewer after `timeout` virtual seconds; without a timeout it waits for an hour of them."""
        received = self._daisy.usart.received
        seconds = 3600.0 if self.timeout is None else self.timeout
        end = self._daisy.seconds + seconds
        held = self._daisy.hold
        if held and self.audio_after is not None:
            seconds = min(seconds, self.audio_after)
            if not self._daisy.run_until(lambda: len(received) >= size, seconds):
                self._daisy.hold = False
                self._daisy.run_until(lambda: len(received) > 0, end - self._daisy.seconds)
                self._daisy.hold = True
        self._daisy.run_until(lambda: len(received) >= size, end - self._daisy.seconds)
        data = bytes(received[:size])
        del received[:size]
        return data

    def reset_input_buffer(self) -> None:
        """Forget what has come."""
        self._daisy.usart.received.clear()

    def close(self) -> None:
        self._daisy.close()
