"""What can end a run of the virtual Daisy."""


class ChipError(RuntimeError):
    """The program did what the chip's manuals forbid or what leaves a real chip in an undefined state.

    One line: what was wrong, the program counter, and function and source line when the ELF beside the image is there.
    """


class WatchdogReset(RuntimeError):  # noqa: N818 - an event, not a defect of the machine
    """The independent watchdog ran out. The chip is reset already, RAM and backup registers kept their contents."""


class InBootloader(RuntimeError):  # noqa: N818
    """The program has jumped into the ROM bootloader in system memory."""


class PowerCut(RuntimeError):  # noqa: N818
    """The supply went away in the middle of programming or erasing the external flash."""
