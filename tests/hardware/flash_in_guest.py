"""What the guest runs: for each scenario, attach the boards, run `pedal flash`, and say in one line what came of it.

usage: flash_in_guest.py IMAGE NAME=PORT[,PORT] ...
"""

import contextlib
import json
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

VHCI = Path("/sys/devices/platform/vhci_hcd.0")
BUS_ID = b"1-1"


def attach(slot: int, port: int) -> socket.socket:
    """Import the device that is served at `port` of the host, and give its connection to the kernel."""
    connection = socket.create_connection(("10.0.2.2", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(struct.pack(">HHI", 0x0111, 0x8003, 0) + BUS_ID.ljust(32, b"\0"))
    reply = b""
    while len(reply) < 8 + 312:
        reply += connection.recv(8 + 312 - len(reply))
    bus, number, speed = struct.unpack_from(">III", reply, 8 + 256 + 32)
    (VHCI / "attach").write_text(f"{slot} {connection.fileno()} {bus << 16 | number} {speed}\n")
    return connection


def boards() -> int:
    return sum(path.read_text() == "df11\n" for path in Path("/sys/bus/usb/devices").glob("*/idProduct"))


def wait_for(count: int) -> None:
    deadline = time.monotonic() + 30
    while boards() != count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{boards()} boards instead of {count}")
        time.sleep(0.05)


def main() -> None:
    image, *scenarios = sys.argv[1:]
    for scenario in scenarios:
        name, _, ports = scenario.partition("=")
        connections = [attach(slot, int(port)) for slot, port in enumerate(ports.split(","))]
        wait_for(len(connections))
        time.sleep(0.2)  # for the kernel to have configured them
        run = subprocess.run(
            [sys.executable, "-m", "hardware.flash", image], capture_output=True, text=True, check=False
        )
        print("RESULT " + json.dumps({"name": name, "code": run.returncode, "out": run.stdout, "err": run.stderr}))
        sys.stdout.flush()
        for slot, connection in enumerate(connections):
            connection.close()
            with contextlib.suppress(OSError):  # where it has left by itself
                (VHCI / "detach").write_text(f"{slot}\n")
        wait_for(0)


if __name__ == "__main__":
    main()
