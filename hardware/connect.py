"""Where pedals are found."""

from collections.abc import Callable
from pathlib import Path

import click
import serial
from serial.tools import list_ports

from hardware.firmware_build import RTNEURAL, build
from hardware.link import PedalLink
from hardware.program_link import COMMANDS, ProgramLink
from hardware.protocol import BAUD, Engine
from hardware.serial_link import SerialLink
from hardware.usb_audio import UsbAudioLink, cannot_open, find_pedal
from training.errors import InputError

VIRTUAL = "virtual-daisy"
USB = "usb"
PLACES = (
    f"{', '.join(COMMANDS)}, {VIRTUAL} (or {VIRTUAL}:FILE, which keeps its models), "
    f"{USB} (or {USB}:SERIAL-NUMBER), or a serial port"
)


def open_link(place: str) -> SerialLink:
    """A link to the pedal at `place`, one of `PLACES`; what is a program of this machine is built first where needed.

    Raises InputError when there is none, or it cannot be built or started.
    """
    if place in COMMANDS:
        return ProgramLink(place, build(place))
    kind, _, which = place.partition(":")
    if kind == VIRTUAL:
        from hardware.virtual_daisy.link import VirtualDaisyLink

        return VirtualDaisyLink(build("daisy"), Path(which) if which else None)
    if kind == USB:
        return UsbAudioLink(find_pedal(which))
    return SerialLink(_open_port(place))


def _open_port(place: str) -> serial.Serial:
    if place not in {known.device for known in list_ports.comports()} and not Path(place).exists():
        raise InputError(f"--on {place}: no such serial port; a pedal is at: {PLACES}")
    try:
        return serial.Serial(place, BAUD, exclusive=True)
    except (serial.SerialException, ValueError, OSError) as error:
        raise cannot_open(place, error) from error


def place_option(default: str) -> Callable:
    """--on: which pedal."""
    return click.option(
        "--on", "place", default=default, show_default=True, metavar="PEDAL", help=f"Which pedal: {PLACES}."
    )


def require_engine(link: PedalLink, engine: Engine) -> None:
    """Raise InputError when the pedal behind `link` was built without `engine`."""
    if engine in link.hello().engines:
        return
    fetch = "git submodule update --init" if not RTNEURAL.is_file() else "a build of the firmware with it"
    raise InputError(f"this pedal has no {engine.name.lower()} engine; it needs {fetch}")
