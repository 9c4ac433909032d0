"""Where pedals are found."""

import serial
from serial.tools import list_ports

from hardware.firmware_build import RTNEURAL, build
from hardware.link import PedalLink
from hardware.program_link import COMMANDS, ProgramLink
from hardware.protocol import Engine
from hardware.serial_link import SerialLink
from training.errors import InputError

PLACES = (*COMMANDS, "usb")
MANUFACTURER = "Oddity"
"""The USB manufacturer string by which a pedal is known."""


def open_link(place: str) -> SerialLink:
    """A link to the pedal at `place`: 'emulator', 'native' (both built first where needed) or 'usb'.

    Raises InputError when there is none, or it cannot be built or started.
    """
    if place in COMMANDS:
        return ProgramLink(place, build(place))
    ports = [port.device for port in list_ports.comports() if port.manufacturer == MANUFACTURER]
    if not ports:
        raise InputError("no pedal found on USB: plug it in, or use --on emulator")
    try:
        return SerialLink(serial.Serial(ports[0]))
    except serial.SerialException as error:
        raise InputError(f"cannot open the pedal at {ports[0]}: {error}") from error


def require_engine(link: PedalLink, engine: Engine) -> None:
    """Raise InputError when the pedal behind `link` was built without `engine`."""
    if engine in link.hello().engines:
        return
    fetch = "git submodule update --init" if not RTNEURAL.is_file() else "a build of the firmware with it"
    raise InputError(f"this pedal has no {engine.name.lower()} engine; it needs {fetch}")
