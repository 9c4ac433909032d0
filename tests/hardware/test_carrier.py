"""The table of pins: what is made from it, and that it cannot say what the boards cannot do."""

import subprocess
import sys
from pathlib import Path

import pytest

from hardware import carrier
from hardware.firmware_build import REPOSITORY
from training.errors import InputError

TABLE = carrier.TABLE.read_text()


def test_header_and_readme_are_those_of_the_table():
    made = carrier.read()
    assert carrier.HEADER.read_text() == carrier.header_text(made), "run: python -m hardware.carrier"
    readme = carrier.README.read_text()
    assert readme == carrier.readme_text(readme, made), "run: python -m hardware.carrier"


def test_the_header_is_formatted_as_the_rest():
    formatter = [str(Path(sys.executable).with_name("clang-format")), "--dry-run", "-Werror", str(carrier.HEADER)]
    subprocess.run(formatter, cwd=REPOSITORY, check=True)


def test_a_knob_goes_from_the_table_to_the_header(tmp_path):
    moved = '{ seed = "D24", pin = "PA1", adc1_input = 17, does = "gate" }'
    path = tmp_path / "carrier.toml"
    path.write_text(TABLE.replace('{ seed = "D20", pin = "PC1", adc1_input = 11, does = "gate" }', moved))
    assert "    {{'A', 1}, 17},  // D24: gate\n" in carrier.header_text(carrier.read(path))


def test_legs_of_the_seed():
    made = carrier.read()
    assert made.pin("knobs", "1").header_position == 23
    assert made.pin("serial", "receive").header_position == 15
    assert made.pin("footswitches", "2").header_position == 33
    assert made.pin("sai", "frame").header_position is None


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('pin = "PA3"', 'pin = "PZ3"', "knobs 1: 'PZ3' is no pin of the chip"),
        ('pin = "PC7"', 'pin = "PC16"', "seed led: 'PC16' is no pin of the chip"),
        ('pin = "PC7"', 'pin = "PI12"', "seed led: 'PI12' is no pin of the chip"),
        ('pin = "PC7"', 'pin = "PC07"', "seed led: 'PC07' is no pin of the chip"),
        ('pin = "PC7"', "pin = 7", "seed led: something of type int is no pin|seed led: 7 is no pin"),
        ('pin = "PC7"', 'pin = "PA13"', "seed led: PA13 belongs to the debugger"),
        ('seed = "D16"', 'seed = "D15"', "knobs 1: D15 of the Seed is PC0, not PA3"),
        ('seed = "D16"', 'seed = "D31"', "knobs 1: 'D31' is no pin of the Seed"),
        ('seed = "D16", ', "", "knobs 1: needs seed"),
        ("adc1_input = 15", "adc1_input = 14", "knobs 1: adc1_input = 14, but PA3 is ADC1_INP15"),
        ("adc1_input = 15, ", "", "knobs 1: adc1_input is for knobs"),
        ('pin = "PD11"', 'pin = "PD11", adc1_input = 3', "footswitches 2: .* PD11 is no input of ADC1"),
        ('pin = "PA0"', 'pin = "PA0", adc1_input = 16', "footswitches 1: adc1_input is for knobs"),
        ('pin = "PC7"', 'pin = "PE2"', "PE2 is used twice: seed led and sai master_clock"),
        ('"D5", "D6"', '"D5", "D13"', "PB6 is used twice: serial transmit and a toggle of the hothouse"),
        ('pin = "PE2", function = 6', 'pin = "PE2", function = 16', "sai master_clock: function = 16 is not within"),
        ('pin = "PE2", function = 6', 'pin = "PE2", function = 5', "sai: one function for all its pins"),
        ('pin = "PE2", function = 6', 'pin = "PE2"', "sai master_clock: function is for"),
        ('pin = "PC7", does', 'pin = "PC7", dose', "seed led: what is dose?"),
        ('does = "tone"', 'does = ""', "knobs 4: does not say what it does"),
        ('  { seed = "D23", pin = "PA4", does = "clip and overload" },\n', "", "leds: a list of 2 is needed"),
        ("select =", "selected =", "quadspi: needs io0, io1, io2, io3, clock, select and nothing else"),
        ("[toggles]", "[joggles]", "what is joggles?"),
        ("knobs = [", "knobs = {", "carrier.toml: .*line"),
    ],
)
def test_what_the_boards_cannot_do_is_one_line(tmp_path, before, after, message):
    assert TABLE.count(before) == 1 or before.startswith(("pin", "seed"))
    path = tmp_path / "carrier.toml"
    path.write_text(TABLE.replace(before, after, 1))
    with pytest.raises(InputError, match=message) as caught:
        carrier.read(path)
    assert "\n" not in caught.value.message


def test_a_missing_table_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no\.toml: No such file"):
        carrier.read(tmp_path / "no.toml")
