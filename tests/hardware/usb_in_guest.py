"""What the guest runs: for each scenario, start pedals and plug them in, do what it says, and write in one line what
came of it.

usage: usb_in_guest.py SCENARIOS.json      a list of {"name", "pedals", "do", ...}; the rest is for the function `do`
"""

import contextlib
import json
import os
import pickle
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from usbip_in_guest import attach, detach

import pedal
from export import daisy
from hardware import report, usb_audio, verify  # noqa: F401 - loaded once, for all that is forked
from hardware.duplex import RATE_HZ
from hardware.link import PedalLink
from hardware.usb_audio import UsbAudioLink, find_pedal
from training.errors import InputError

torch.set_num_threads(1)
OUT = Path("/run/out")
FIRST_PORT = 3240


def cards() -> int:
    """Pedals that the kernel has taken whole: sound card and serial port."""
    return min(len(list(Path("/dev/snd").glob("pcmC*c"))), len(list(Path("/dev").glob("ttyACM*"))))


def wait_for(count: int) -> None:
    deadline = time.monotonic() + 30
    while cards() != count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{cards()} pedals instead of {count}")
        time.sleep(0.02)


class Pedals:
    """The native pedals of a scenario, by their command lines without the port: started, and plugged in."""

    def __init__(self, commands: list[list[str]]) -> None:
        self._logs = [(OUT / f"{FIRST_PORT + slot}.log").open("a") for slot in range(len(commands))]
        self._programs = [
            subprocess.Popen([program, "--usb", str(FIRST_PORT + slot), *options], stdout=log, stderr=log)
            for slot, ((program, *options), log) in enumerate(zip(commands, self._logs, strict=True))
        ]
        self.plug_in()

    def plug_in(self) -> None:
        self._connections = [attach(slot, FIRST_PORT + slot, "127.0.0.1") for slot in range(len(self._programs))]
        wait_for(len(self._programs))

    def unplug(self) -> None:
        for slot, connection in enumerate(self._connections):
            detach(slot, connection)
        self._connections = []

    def stop(self) -> None:
        self.unplug()
        wait_for(0)
        for program, log in zip(self._programs, self._logs, strict=True):
            if program.poll() is not None:
                print(f"it has ended with {program.returncode}", file=log)
            program.kill()
            program.wait()
            log.close()


class Child:
    """A process of its own, forked, so that it has the libraries already; what it prints, and its exit code."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._paths = [Path(f"/run/tmp/{name}") for name in ("stdout", "stderr")]
        sys.stdout.flush()
        self._pid = os.fork()
        if self._pid == 0:
            for number, path in enumerate(self._paths, 1):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            code = 1
            try:
                run()
                code = 0
            except SystemExit as leaving:
                code = int(leaving.code or 0)
            except InputError as error:
                error.show()
                code = error.exit_code
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def result(self) -> dict:
        _, status = os.waitpid(self._pid, 0)
        out, err = (path.read_text() for path in self._paths)
        return {"code": os.waitstatus_to_exitcode(status), "out": out, "err": err}


def command(pedals: Pedals, arguments: list[str]) -> dict:
    """`pedal` with `arguments`."""
    return Child(lambda: pedal.main(arguments, prog_name="pedal")).result()


def playing() -> bool:
    """A sound card plays."""
    states = Path("/proc/asound").glob("card*/pcm*p/sub*/status")
    return any("RUNNING" in state.read_text() for state in states)


def wait_until_playing() -> None:
    deadline = time.monotonic() + 60
    while not playing():
        if time.monotonic() > deadline:
            raise RuntimeError("nothing plays")
        time.sleep(0.05)


def unplugged(pedals: Pedals, arguments: list[str], after_s: float) -> dict:
    """The same, unplugged when it plays; `seconds`: how long it was there afterwards."""
    child = Child(lambda: pedal.main(arguments, prog_name="pedal"))
    wait_until_playing()
    time.sleep(after_s)
    pedals.unplug()
    unplugged_at = time.monotonic()
    result = child.result()
    return {**result, "seconds": time.monotonic() - unplugged_at}


def load(link: PedalLink, blob: str) -> None:
    link.load(0, Path(blob).read_bytes())
    link.reset()


def takes(pedals: Pedals, di: str, blob: str, into: str, latencies_s: list[float], of: str = "") -> dict:
    """One take of a DI (an .npy of int32) at each of the latencies, of the pedal with the serial number `of`."""

    def run() -> None:
        with contextlib.ExitStack() as stack:
            for index, latency_s in enumerate(latencies_s):
                link = stack.enter_context(UsbAudioLink(find_pedal(of), latency_s))
                load(link, blob)
                link.clear_stats()
                np.save(OUT / f"{into}-{index}.npy", link.process(np.load(di)))
                stats = link.usb_stats()
                print(json.dumps({**asdict(stats), "latency_s": latency_s, "round_trip": link.round_trip_frames}))
                link.close()

    return Child(run).result()


def replug(pedals: Pedals, di: str, blob: str, into: str, times: int) -> dict:
    """Unplug it in the midst of a take and plug it in again, so many times; then one take as ever."""

    def interrupted() -> None:
        with UsbAudioLink(find_pedal()) as link:
            link.process(np.load(di))

    results = []
    for _ in range(times):
        child = Child(interrupted)
        wait_until_playing()
        time.sleep(0.1)
        pedals.unplug()
        results.append(child.result())
        wait_for(0)
        pedals.plug_in()
    return {**takes(pedals, di, blob, into, [usb_audio.LATENCY_S]), "interrupted": results}


def live(pedals: Pedals, blob: str, into: str, seconds: float) -> dict:
    """What comes back on both channels while the pedal plays its own guitar."""

    def run() -> None:
        found = find_pedal()
        with UsbAudioLink(found) as link:
            load(link, blob)
            nothing = np.zeros((round(seconds * RATE_HZ), 2), np.int32)
            with usb_audio._Stream(usb_audio._alsa_card(found), usb_audio.LATENCY_S) as stream:
                recorded, interruption = stream.play(nothing, usb_audio._Meter(len(nothing), None))
            print(interruption)
            np.save(OUT / f"{into}-0.npy", recorded)

    return Child(run).result()


def look(pedals: Pedals) -> dict:
    """What independent programs, and the kernel, say of the pedal."""
    lsusb = subprocess.run(["lsusb", "-v", "-d", "1209:0001"], capture_output=True, text=True, check=False)
    card = next(Path("/proc/asound").glob("card[0-9]"))
    controls = subprocess.run(["amixer", "-c", card.name[4:]], capture_output=True, text=True, check=False)
    stream = (card / "stream0").read_text()
    return {
        "lsusb": lsusb.stdout,
        "lsusb_errors": lsusb.stderr,
        "stream": stream,
        "controls": controls.stdout + controls.stderr,
    }


def kernel_log() -> list[str]:
    """What the kernel has complained of since it was last asked."""
    log = subprocess.run(["dmesg", "-c"], capture_output=True, text=True, check=False).stdout
    return [
        line
        for line in log.splitlines()
        if re.search(r" usb |snd|cdc_acm|BUG|WARN|Oops", line) and "Not yet implemented" not in line
    ]


ACTIONS = {action.__name__: action for action in (command, unplugged, takes, replug, live, look)}


def main() -> None:
    results = (OUT / "results").open("w")
    # its measurements take the emulated processor minutes, so the host has done them
    exported = pickle.loads((OUT / "exported").read_bytes())
    daisy.prepare = lambda *_, **__: exported
    for scenario in json.loads(Path(sys.argv[1]).read_text()):
        name, action, commands = scenario.pop("name"), ACTIONS[scenario.pop("do")], scenario.pop("pedals")
        start = time.monotonic()
        pedals = None
        try:
            pedals = Pedals(commands)
            result = action(pedals, **scenario)
        except Exception:
            result = {"code": None, "err": traceback.format_exc()}
        with contextlib.suppress(Exception):
            if pedals:
                pedals.stop()
        result |= {"name": name, "took_s": time.monotonic() - start, "log": kernel_log()}
        print(json.dumps(result), file=results, flush=True)


if __name__ == "__main__":
    main()
