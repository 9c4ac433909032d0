"""What the guest runs: for each scenario, attach the boards, run `pedal flash`, and say in one line what came of it.

usage: flash_in_guest.py IMAGE NAME=PORT[,PORT] ...
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from usbip_in_guest import attach, detach


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
            detach(slot, connection)
        wait_for(0)


if __name__ == "__main__":
    main()
