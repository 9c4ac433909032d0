"""Which pin does what: carrier.toml read, checked, and written as C++ for the firmware and as a table for people.

`python -m hardware.carrier` writes firmware/boards/daisy/pins.h and the table of hardware/README.md.
"""

import re
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import InputError, shown
from training.files import written_aside

TABLE = Path(__file__).parent / "carrier.toml"
README = Path(__file__).parent / "README.md"
HEADER = Path(__file__).parent.parent / "firmware" / "boards" / "daisy" / "pins.h"
BEGIN, END = "<!-- Made by `python -m hardware.carrier` from carrier.toml. -->", "<!-- end of what is made -->"

PINS_OF_PORT = dict.fromkeys("ABCDEFGH", 16) | {"I": 12}
"""GPIO ports of the STM32H750IB in its package of 176 balls (DS12556)."""

ADC1_INPUTS = {
    "PF11": 2, "PA6": 3, "PC4": 4, "PB1": 5, "PF12": 6, "PA7": 7, "PC5": 8, "PB0": 9, "PC0": 10, "PC1": 11,
    "PC2": 12, "PC3": 13, "PA2": 14, "PA3": 15, "PA0": 16, "PA1": 17, "PA4": 18, "PA5": 19,
}  # fmt: skip
"""n of ADC1_INPn by pin (DS12556, pin definitions)."""

SEED_PINS = (
    "PB12", "PC11", "PC10", "PC9", "PC8", "PD2", "PC12", "PG10", "PG11", "PB4", "PB5", "PB8", "PB9", "PB6", "PB7",
    "PC0", "PA3", "PB1", "PA7", "PA6", "PC1", "PC4", "PA5", "PA4", "PA1", "PA0", "PD11", "PG9", "PA2", "PB14", "PB15",
)  # fmt: skip
"""The chip's pins from the Seed's D0 to its D30, the same on all revisions from 4 on (libDaisy, daisy_seed.h)."""

TAKEN = {
    "PA11": "USB",
    "PA12": "USB",
    "PA13": "the debugger (SWDIO)",
    "PA14": "the debugger (SWCLK)",
    "PH0": "the crystal",
    "PH1": "the crystal",
    "PG3": "the BOOT button",
}

KNOBS, FOOTSWITCHES, LEDS = 6, 2, 2


@dataclass(frozen=True)
class Use:
    """One pin and what it is for."""

    name: str
    """Where the table has it: 'knobs 1', 'sai frame'."""
    pin: str
    """'PA3'."""
    does: str
    seed: int | None = None
    """n of the Seed's Dn; None where the pin is on no header."""
    adc1_input: int | None = None
    function: int | None = None
    """Alternate function, 0 to 15."""

    @property
    def code(self) -> str:
        """As a `Pin` of firmware/boards/daisy/pin.h."""
        return f"{{'{self.pin[1]}', {self.pin[2:]}}}"

    @property
    def header_position(self) -> int | None:
        """Which of the Seed's 40 legs: 1 to 15 and 22 to 37; between them are audio and analogue supply."""
        if self.seed is None:
            return None
        return self.seed + 1 if self.seed < 15 else self.seed + 7


@dataclass(frozen=True)
class Carrier:
    """What carrier.toml says, by the names of its tables and rows; rows of lists are named '1', '2', ..."""

    uses: dict[str, dict[str, Use]]

    def group(self, name: str) -> tuple[Use, ...]:
        """The uses of 'knobs', 'footswitches', 'leds', 'serial', 'seed', 'sai', 'codec', 'revision' or 'quadspi'."""
        return tuple(self.uses[name].values())

    def pin(self, group: str, key: str) -> Use:
        return self.uses[group][key]


_KEYS = {
    "serial": ("transmit", "receive"),
    "seed": ("led",),
    "sai": ("master_clock", "frame", "bit_clock", "data_a", "data_b"),
    "codec": ("control", "clock"),
    "revision": ("seed_1_1", "seed_2_dfm"),
    "quadspi": ("io0", "io1", "io2", "io3", "clock", "select"),
}
_LISTS = {"knobs": KNOBS, "footswitches": FOOTSWITCHES, "leds": LEDS}
_DRIVEN = ("serial", "sai", "codec", "quadspi")


def read(path: Path = TABLE) -> Carrier:
    """Raises InputError that names the row for a table that is not one, or that the chip or the Seed cannot do."""
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from error
    try:
        return _carrier(table)
    except _TableError as error:
        raise InputError(f"{path}: {error}") from error


class _TableError(Exception):
    """What is wrong with the table."""


def _carrier(table: dict[str, Any]) -> Carrier:
    unknown = set(table) - set(_LISTS) - set(_KEYS) - {"toggles"}
    if unknown:
        raise _TableError(f"what is {', '.join(sorted(unknown))}?")
    uses: dict[str, dict[str, Use]] = {}
    for group, count in _LISTS.items():
        rows = table.get(group)
        if not isinstance(rows, list) or len(rows) != count:
            raise _TableError(f"{group}: a list of {count} is needed")
        uses[group] = {str(n): _use(f"{group} {n}", row) for n, row in enumerate(rows, 1)}
    for group, keys in _KEYS.items():
        rows = table.get(group)
        if not isinstance(rows, dict) or set(rows) != set(keys):
            raise _TableError(f"{group}: needs {', '.join(keys)} and nothing else")
        uses[group] = {key: _use(f"{group} {key}", rows[key]) for key in keys}
    _check_kinds(uses)
    _check_unshared(uses, table.get("toggles", {}))
    return Carrier(uses)


def _use(name: str, row: Any) -> Use:
    if not isinstance(row, dict):
        raise _TableError(f"{name}: a pin is written as {{ pin = ..., does = ... }}")
    unknown = set(row) - {"pin", "seed", "adc1_input", "function", "does"}
    if unknown:
        raise _TableError(f"{name}: what is {', '.join(sorted(unknown))}?")
    pin, does = row.get("pin"), row.get("does")
    if not isinstance(does, str) or not does:
        raise _TableError(f"{name}: does not say what it does")
    match = re.fullmatch(r"P([A-Z])(0|[1-9]\d?)", pin) if isinstance(pin, str) else None
    if not match or int(match[2]) >= PINS_OF_PORT.get(match[1], 0):
        raise _TableError(f"{name}: {shown(pin)} is no pin of the chip, such as PA3")
    if match[0] in TAKEN:
        raise _TableError(f"{name}: {pin} belongs to {TAKEN[match[0]]}")
    seed = None if "seed" not in row else _seed_number(name, row["seed"])
    if seed is not None and SEED_PINS[seed] != pin:
        raise _TableError(f"{name}: D{seed} of the Seed is {SEED_PINS[seed]}, not {pin}")
    adc1_input, function = row.get("adc1_input"), row.get("function")
    if adc1_input is not None and (type(adc1_input) is not int or ADC1_INPUTS.get(match[0]) != adc1_input):
        there = f"ADC1_INP{ADC1_INPUTS[match[0]]}" if match[0] in ADC1_INPUTS else "no input of ADC1"
        raise _TableError(f"{name}: adc1_input = {shown(adc1_input)}, but {pin} is {there}")
    if function is not None and (type(function) is not int or not 0 <= function <= 15):
        raise _TableError(f"{name}: function = {shown(function)} is not within 0 to 15")
    return Use(name, match[0], does, seed, adc1_input, function)


def _seed_number(name: str, text: Any) -> int:
    match = re.fullmatch(r"D(0|[1-9]\d?)", text) if isinstance(text, str) else None
    if not match or int(match[1]) >= len(SEED_PINS):
        raise _TableError(f"{name}: {shown(text)} is no pin of the Seed, D0 to D30")
    return int(match[1])


def _check_kinds(uses: dict[str, dict[str, Use]]) -> None:
    for group, rows in uses.items():
        for use in rows.values():
            if (use.adc1_input is not None) != (group == "knobs"):
                raise _TableError(f"{use.name}: adc1_input is for knobs, and every knob needs it")
            if (use.function is not None) != (group in _DRIVEN):
                raise _TableError(f"{use.name}: function is for {', '.join(_DRIVEN)}, and all of these need it")
            if group in _LISTS and use.seed is None:
                raise _TableError(f"{use.name}: needs seed, the pin of the Seed that the carrier is wired to")
    for group in ("serial", "sai", "codec"):
        if len({use.function for use in uses[group].values()}) != 1:
            raise _TableError(f"{group}: one function for all its pins")


def _check_unshared(uses: dict[str, dict[str, Use]], toggles: Any) -> None:
    owners: dict[str, str] = {}
    for rows in uses.values():
        for use in rows.values():
            if use.pin in owners:
                raise _TableError(f"{use.pin} is used twice: {owners[use.pin]} and {use.name}")
            owners[use.pin] = use.name
    if not isinstance(toggles, dict) or not all(isinstance(pins, list) for pins in toggles.values()):
        raise _TableError("toggles: a list of the Seed's pins for each carrier")
    for carrier, pins in toggles.items():
        for text in pins:
            pin = SEED_PINS[_seed_number(f"toggles of the {carrier}", text)]
            if pin in owners:
                raise _TableError(f"{pin} is used twice: {owners[pin]} and a toggle of the {carrier}")


def header_text(carrier: Carrier) -> str:
    """firmware/boards/daisy/pins.h."""
    serial, sai, codec = (carrier.group(group)[0].function for group in ("serial", "sai", "codec"))
    lines = [
        "// Made by `python -m hardware.carrier` from hardware/carrier.toml. Do not edit.",
        "#pragma once",
        "",
        "#include <cstdint>",
        "",
        '#include "boards/daisy/pin.h"',
        "",
        "namespace oddity {",
        "",
        "struct KnobPin {",
        "  Pin pin;",
        "  int adc_channel;  // of ADC1, positive input",
        "};",
        "",
        "// The carrier. Knobs turn from analogue ground to 3.3 V; footswitches close to ground; LEDs light when high.",
        *_array("KnobPin", "kKnobPins", carrier.group("knobs"), lambda use: f"{{{use.code}, {use.adc1_input}}}"),
        *_array("Pin", "kFootswitchPins", carrier.group("footswitches"), lambda use: use.code),
        *_array("Pin", "kLedPins", carrier.group("leds"), lambda use: use.code),
        *_constants(
            ("kSerialTransmitPin", carrier.pin("serial", "transmit")),
            ("kSerialReceivePin", carrier.pin("serial", "receive")),
        ),
        f"constexpr uint32_t kSerialFunction = {serial};",
        "",
        "// The Seed.",
        *_constants(("kSeedLedPin", carrier.pin("seed", "led"))),
        "",
        *_constants(
            ("kSaiMasterClockPin", carrier.pin("sai", "master_clock")),
            ("kSaiFramePin", carrier.pin("sai", "frame")),
            ("kSaiBitClockPin", carrier.pin("sai", "bit_clock")),
            ("kSaiDataAPin", carrier.pin("sai", "data_a")),
            ("kSaiDataBPin", carrier.pin("sai", "data_b")),
        ),
        f"constexpr uint32_t kSaiFunction = {sai};",
        "",
        *_constants(
            ("kCodecControlPin", carrier.pin("codec", "control")),
            ("kCodecClockPin", carrier.pin("codec", "clock")),
        ),
        f"constexpr uint32_t kCodecI2cFunction = {codec};",
        *_constants(
            ("kSeed1_1Pin", carrier.pin("revision", "seed_1_1")),
            ("kSeed2DfmPin", carrier.pin("revision", "seed_2_dfm")),
        ),
        "",
        "struct QspiPin {",
        "  Pin pin;",
        "  uint32_t function;",
        "};",
        *_array("QspiPin", "kQspiPins", carrier.group("quadspi"), lambda use: f"{{{use.code}, {use.function}}}"),
        "",
        "}  // namespace oddity",
        "",
    ]
    return "\n".join(lines)


def _comment(use: Use) -> str:
    return use.does if use.seed is None else f"D{use.seed}: {use.does}"


def _aligned(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(code) for code, _ in rows)
    return [f"{code:<{width}}  // {comment}" for code, comment in rows]


def _array(kind: str, name: str, uses: tuple[Use, ...], value: Callable[[Use], str]) -> list[str]:
    rows = _aligned([(f"    {value(use)},", _comment(use)) for use in uses])
    return [f"constexpr {kind} {name}[{len(uses)}] = {{", *rows, "};"]


def _constants(*rows: tuple[str, Use]) -> list[str]:
    return _aligned([(f"constexpr Pin {name} = {use.code};", _comment(use)) for name, use in rows])


def markdown(carrier: Carrier) -> str:
    """The table of hardware/README.md: first what a carrier or wires connect, then what is soldered on the Seed."""
    lines = ["| leg | Seed | chip | as | what it does |", "|---|---|---|---|---|"]
    names = {"knobs": "knob", "footswitches": "footswitch", "leds": "LED", "serial": "serial"}
    for group, rows in carrier.uses.items():
        for use in rows.values():
            as_ = f"ADC1_INP{use.adc1_input}" if use.adc1_input is not None else ""
            as_ = as_ or ("GPIO" if use.function is None else f"AF{use.function}")
            what = f"{names[group]} {use.name.split()[1]}: {use.does}" if group in names else use.does
            place = ("", "") if use.seed is None else (str(use.header_position), f"D{use.seed}")
            lines.append(f"| {place[0]} | {place[1]} | {use.pin} | {as_} | {what} |")
    return "\n".join(lines)


def readme_text(text: str, carrier: Carrier) -> str:
    """`text` with its table made anew. Raises InputError when it has no place for one."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{README}: the lines {BEGIN} and {END} are missing")
    return f"{before}{BEGIN}\n\n{markdown(carrier)}\n\n{END}{after}"


def main() -> None:
    """Write both files from the table, or say in one line why not."""
    try:
        carrier = read()
        for path, text in ((HEADER, header_text(carrier)), (README, readme_text(README.read_text(), carrier))):
            with written_aside(path) as scratch:
                scratch.write_text(text)
    except InputError as error:
        error.show()
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
