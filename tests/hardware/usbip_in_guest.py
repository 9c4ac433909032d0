"""Plugs devices into the guest, and unplugs them: its kernel's side of USB/IP."""

import contextlib
import socket
import struct
import time
from pathlib import Path

VHCI = Path("/sys/devices/platform/vhci_hcd.0")
BUS_ID = b"1-1"
HOST = "10.0.2.2"


def attach(slot: int, port: int, machine: str = HOST) -> socket.socket:
    """Import the device that is served at `port` of `machine`, and give its connection to the kernel."""
    connection = _connection(machine, port)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(struct.pack(">HHI", 0x0111, 0x8003, 0) + BUS_ID.ljust(32, b"\0"))
    reply = b""
    while len(reply) < 8 + 312:
        reply += connection.recv(8 + 312 - len(reply))
    bus, number, speed = struct.unpack_from(">III", reply, 8 + 256 + 32)
    (VHCI / "attach").write_text(f"{slot} {connection.fileno()} {bus << 16 | number} {speed}\n")
    return connection


def _connection(machine: str, port: int) -> socket.socket:
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection((machine, port))
        except ConnectionRefusedError:  # it is just starting
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def detach(slot: int, connection: socket.socket) -> None:
    connection.close()
    with contextlib.suppress(OSError):  # where it has left by itself
        (VHCI / "detach").write_text(f"{slot}\n")
