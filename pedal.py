"""One command line for all rooms: `pedal`, or `python pedal.py`."""

import click

from export.cli import export_command, import_command
from hardware.cli import demo, reamp, run, verify
from hardware.flash import flash_command
from hardware.slots import backup, select, slots, upload
from training.capture_simulation import simulate
from training.cli import audition_command, blend_command, distill_command, show_command, train
from training.dataset.cli import dataset


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="oddity")
def main() -> None:
    """Oddity: the open pedal that plays neural amps and can prove it."""


for command in (
    train,
    import_command,
    distill_command,
    blend_command,
    show_command,
    audition_command,
    export_command,
    run,
    verify,
    reamp,
    simulate,
    dataset,
    demo,
    flash_command,
    upload,
    slots,
    select,
    backup,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
