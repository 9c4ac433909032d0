"""A virtual Daisy Seed: the STM32H750 as far as the firmware uses it, and the board around it.

It boots the image that is flashed, and ends the run with one line (what, program counter, source line) when the program
does what the reference manual forbids.
"""

from hardware.virtual_daisy.board import SEED_2_DFM, SEED_REV4, SEED_REV5, Revision, VirtualDaisy
from hardware.virtual_daisy.errors import ChipError, InBootloader, PowerCut, WatchdogReset

__all__ = [
    "SEED_2_DFM",
    "SEED_REV4",
    "SEED_REV5",
    "ChipError",
    "InBootloader",
    "PowerCut",
    "Revision",
    "VirtualDaisy",
    "WatchdogReset",
]
