"""TOML files with errors that name the line: `tomllib` parses, and says nothing of where a value stood."""

import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import InputError, shown

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SCALAR = re.compile(r"[^\],}#\n]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:""|"(?!"))?' r"|'''.*?'''(?:''|'(?!'))?" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'", re.DOTALL
)
_LINE_OF_ERROR = re.compile(r" \(at line (\d+), column \d+\)$")

Place = tuple[str | int, ...]
"""Where a value is: ("device", 0, "knobs", "drive") is `drive` in the knobs of the first [[device]]."""


def places(text: str) -> dict[Place, int]:
    """The line, from 1, of every table, key and element of an array in `text`, which has to be valid TOML."""
    return _Scanner(text).lines


class _Scanner:
    """Walks through valid TOML; what a value means does not matter here, only where it ends."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Place, int] = {(): 1}
        self.tables: dict[Place, int] = {}  # how many [[tables]] there are of that name by now
        table: Place = ()
        while self._blank():
            if text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _blank(self) -> bool:
        """Skip white space and comments; False at the end."""
        self.at = self._match(_BLANK)
        return self.at < len(self.text)

    def _match(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        return match.end() if match else self.at

    def _note(self, place: Place, at: int) -> None:
        self.lines.setdefault(place, self.text.count("\n", 0, at) + 1)

    def _header(self) -> Place:
        start, many = self.at, self.text.startswith("[[", self.at)
        self.at += 1 + many
        *parents, name = self._keys()
        self.at += 1 + many
        place: Place = ()
        for key in parents:
            place = self._latest((*place, key), start)
        place = (*place, name)
        self._note(place, start)
        if many:
            self.tables[place] = self.tables.get(place, 0) + 1
        return self._latest(place, start)

    def _latest(self, place: Place, at: int) -> Place:
        """The table of that name, or the latest of several."""
        if place in self.tables:
            place = (*place, self.tables[place] - 1)
        self._note(place, at)
        return place

    def _keys(self) -> list[str]:
        """A dotted key."""
        keys = []
        while True:
            self._blank()
            start = self.at
            self.at = self._match(_BARE_KEY)
            if self.at == start:
                self.at = self._match(_STRING)
                keys.append(next(iter(tomllib.loads(f"{self.text[start : self.at]} = 0"))))
            else:
                keys.append(self.text[start : self.at])
            self._blank()
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def _pair(self, table: Place) -> None:
        start, place = self.at, table
        for key in self._keys():
            place = (*place, key)
            self._note(place, start)
        self.at += 1  # the =
        self._value(place)

    def _value(self, place: Place) -> None:
        self._blank()
        opening = self.text[self.at]
        if opening == "[":
            for number in self._items("]"):
                self._note((*place, number), self.at)
                self._value((*place, number))
        elif opening == "{":
            for _ in self._items("}"):
                self._pair(place)
        else:
            self.at = self._match(_STRING if opening in "\"'" else _SCALAR)

    def _items(self, closing: str) -> Iterator[int]:
        """Stand before each item up to the bracket that closes them, and at last behind it."""
        self.at += 1
        number = 0
        while self._blank() and self.text[self.at] != closing:
            if self.text[self.at] == ",":
                self.at += 1
            else:
                yield number
                number += 1
        self.at += 1


def _number(value: int | float) -> str:
    return f"{value:g}" if abs(value) < 1e300 else "so large a number"


@dataclass(frozen=True)
class Table:
    """A table of a TOML file, read strictly. Every method raises InputError, with file and line, for what is amiss."""

    path: Path
    values: Mapping[str, Any]
    lines: Mapping[Place, int]
    place: Place = ()

    def error(self, message: str, *keys: str | int) -> InputError:
        """Of what stands at `keys` below this table; of the table, where it has no line of its own."""
        place = (*self.place, *keys)
        while place not in self.lines:
            place = place[:-1]
        return InputError(f"{self.path}:{self.lines[place]}: {message}")

    def has_line(self, key: str) -> bool:
        """Whether `key` stands in this table, and is not from elsewhere."""
        return (*self.place, key) in self.lines

    def allow(self, *known: str) -> None:
        for key in self.values:
            if key not in known:
                raise self.error(f"unknown key {shown(key)}: there is {', '.join(known) or 'none'}", key)

    def need(self, key: str) -> Any:
        if key not in self.values:
            raise self.error(f"{key} is missing")
        return self.values[key]

    def text(self, key: str, default: str | None = None) -> str:
        """A string on one line, not empty unless that is the default."""
        value = self.need(key) if default is None else self.values.get(key, default)
        if not isinstance(value, str) or not value.isprintable() or (key in self.values and not value.strip()):
            raise self.error(f"{key} should be a text, not {shown(value)}", key)
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        value = self.need(key) if default is None else self.values.get(key, default)
        return self.checked(value, low, high, key)

    def checked(self, value: object, low: float, high: float, *keys: str | int) -> float:
        """`value`, which stands at `keys`, as a number from `low` to `high`."""
        name = next(str(key) for key in reversed(keys) if isinstance(key, str))
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or (type(value) is float and not math.isfinite(value))
        ):
            raise self.error(f"{name} should be a number, not {shown(value)}", *keys)
        if not low <= value <= high:
            raise self.error(f"{name} = {_number(value)} is outside {low:g} to {high:g}", *keys)
        return float(value) + 0.0  # never -0, which would be another value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self.need(key) if default is None else self.values.get(key, default)
        if type(value) is not int:
            raise self.error(f"{key} should be a whole number, not {shown(value)}", key)
        self.checked(value, low, high, key)
        return value  # the float of a large one would be another

    def list_of(self, key: str, kind: type) -> Sequence[Any]:
        """A list, not empty where it is given."""
        value = self.values.get(key, [])
        word = {str: "texts", int: "whole numbers"}[kind]
        if key in self.values and value == []:
            raise self.error(f"{key} is empty: leave it out, or name some", key)
        if not isinstance(value, list):
            raise self.error(f"{key} should be a list of {word}, not {shown(value)}", key)
        for number, item in enumerate(value):
            if type(item) is not kind:
                raise self.error(f"{key} should be a list of {word}, but holds {shown(item)}", key, number)
        return value

    def table(self, key: str) -> "Table":
        """The table `key`; an empty one where there is none."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.error(f"{key} should be a table, not {shown(value)}", key)
        return Table(self.path, value, self.lines, (*self.place, key))

    def tables(self, key: str) -> list["Table"]:
        """All [[key]]; an empty list where there are none."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(f"write {key} as [[{key}]]", key)
        return [Table(self.path, item, self.lines, (*self.place, key, number)) for number, item in enumerate(value)]


def read_table(path: Path) -> Table:
    """Read a TOML file. Raises InputError, with the line where there is one, for what is no such file."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # Windows editors write its mark
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not TOML: not a text in UTF-8") from error
    try:
        values = tomllib.loads(text)
        lines = places(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        line = _LINE_OF_ERROR.search(message)
        number = line[1] if line else len(text.splitlines()) or 1
        raise InputError(f"{path}:{number}: not TOML: {_LINE_OF_ERROR.sub('', message)}") from error
    except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets
        raise InputError(f"{path}: not TOML that can be read: a number is too long, or brackets too deep") from error
    return Table(Path(path), values, lines)
