"""The emulated pedal under a debugger: every instruction of one call of a function, with the memory that it touches.

QEMU's gdb stub stops the pedal where the function begins and where it returns; in between its log (`-d exec,cpu`)
says each instruction and the registers before it. Outside the call the pedal runs at full speed.
"""

import re
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from export.cortex_m7 import Disassembly, Step
from hardware.program_link import ProgramLink, free_port
from training.errors import InputError

TRACE_SECONDS = 60.0
_REGISTER = re.compile(r"R(\d\d)=([0-9a-f]{8})")


class Debugger:
    """The little of gdb's remote protocol that a trace needs."""

    def __init__(self, port: int) -> None:
        """Connect to QEMU's gdb stub at `port` of this machine; the emulated chip then stands still."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TRACE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def close(self) -> None:
        self._socket.close()

    def resume(self) -> None:
        self._send(b"c")

    def wait(self) -> None:
        """Wait until the chip stops, at a breakpoint or because it was asked to."""
        self._receive()

    def stop(self) -> None:
        self._socket.sendall(b"\x03")
        self.wait()

    def break_at(self, address: int) -> None:
        self._ask(b"Z0,%x,2" % address)

    def clear_break(self, address: int) -> None:
        self._ask(b"z0,%x,2" % address)

    def register(self, number: int) -> int:
        """r0 to r15 of the stopped chip."""
        registers = bytes.fromhex(self._ask(b"g").decode())
        return int.from_bytes(registers[4 * number : 4 * number + 4], "little")

    def read_memory(self, address: int, size: int) -> bytes:
        return bytes.fromhex(self._ask(b"m%x,%x" % (address, size)).decode())

    def monitor(self, command: str) -> str:
        """What QEMU's monitor answers to `command`."""
        self._send(b"qRcmd," + command.encode().hex().encode())
        said = ""
        while (reply := self._receive()) != b"OK":
            said += bytes.fromhex(reply[1:].decode()).decode()
        return said

    def _ask(self, packet: bytes) -> bytes:
        self._send(packet)
        reply = self._receive()
        if not reply or reply.startswith(b"E"):
            raise InputError(f"the emulator's debugger refused {packet!r}: {reply!r}")
        return reply

    def _send(self, packet: bytes) -> None:
        self._socket.sendall(b"$%s#%02x" % (packet, sum(packet) % 256))

    def _receive(self) -> bytes:
        while not (match := re.search(rb"\$([^#]*)#..", self._received)):
            try:
                received = self._socket.recv(65536)
            except TimeoutError as error:
                raise InputError("the emulator's debugger is silent") from error
            if not received:
                raise InputError("the emulator is gone")
            self._received += received
        self._received = self._received[match.end() :]
        self._socket.sendall(b"+")
        return match[1]


class TracedPedal(ProgramLink):
    """The emulated pedal, whose functions can be traced."""

    def __init__(self, image: Path) -> None:
        """`image`: the ELF file that `firmware_build.build("emulator")` made."""
        port = free_port()
        super().__init__("emulator", image, ["-S", "-gdb", f"tcp:127.0.0.1:{port}"])
        self._port.timeout = TRACE_SECONDS
        self.disassembly = Disassembly(image)
        self._debugger = Debugger(port)
        self._debugger.resume()

    def close(self) -> None:
        self._debugger.close()
        super().close()

    def trace(self, function: str, samples: np.ndarray) -> list[Step]:
        """What runs in the first call of `function` while the pedal processes `samples` (24-bit integers) as one block.

        function: its demangled name, up to the parenthesis. The steps go from its first instruction to its return,
        with all that it calls.
        Raises InputError when the image has no such function.
        """
        start = next((a for name, a in self.disassembly.functions.items() if name.startswith(f"{function}(")), None)
        if start is None:
            raise InputError(f"the firmware has no function {function}")
        self._debugger.stop()
        self._debugger.break_at(start)
        self._debugger.resume()
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool:
            log = Path(folder, "trace.log")
            processing = pool.submit(self.process, samples, len(samples))
            try:
                self._log_one_call(start, log, Path(folder, "end.log"))
            finally:
                self._debugger.resume()
            processing.result()
            return _with_outcomes(self._steps(log))

    def _log_one_call(self, start: int, log: Path, next_log: Path) -> None:
        """Let the call that the pedal is about to reach at `start` write `log`, and stand still where it returns."""
        debugger = self._debugger
        debugger.wait()
        debugger.clear_break(start)
        end = debugger.register(14) & ~1
        debugger.break_at(end)
        one_by_one = "singlestep"
        if debugger.monitor("singlestep on").startswith("unknown command"):
            one_by_one = "one-insn-per-tb"  # its name from QEMU 8.1 on
            debugger.monitor("one-insn-per-tb on")
        debugger.monitor(f"logfile {log}")
        debugger.monitor("log exec,cpu,nochain")
        debugger.resume()
        debugger.wait()
        debugger.monitor("log none")
        debugger.monitor(f"logfile {next_log}")  # closes the first
        debugger.monitor(f"{one_by_one} off")
        debugger.clear_break(end)

    def _steps(self, log: Path) -> Iterator[Step]:
        """The logged instructions, none of their branches taken yet."""
        registers: dict[str, int] = {}
        with log.open() as lines:
            for line in lines:
                if line.startswith("R"):
                    for number, value in _REGISTER.findall(line):
                        registers[f"r{int(number)}"] = int(value, 16)
                elif line.startswith("XPSR"):
                    instruction = self.disassembly.at(registers["r15"])
                    memory = instruction.memory
                    yield Step(instruction, memory.address(registers) if memory else None)


def _with_outcomes(steps: Iterator[Step]) -> list[Step]:
    """`steps`, each with whether the next is elsewhere than behind it; the last is the return."""
    found = list(steps)
    following = [step.instruction.address for step in found[1:]]
    result = []
    for step, next_address in zip(found, [*following, -1], strict=True):
        behind = step.instruction.address + step.instruction.size
        result.append(Step(step.instruction, step.address, next_address != behind))
    return result
