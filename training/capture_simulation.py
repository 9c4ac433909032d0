"""`pedal simulate`: a capture without an amp, from a synthetic guitar through a simulated circuit."""

import math
from collections.abc import Mapping
from pathlib import Path

import click

from training import audio
from training.errors import InputError

SAMPLE_RATE_HZ = 48_000

DI_VOLTS_PER_FULL_SCALE = 1.5
"""How the interface of the simulated session is set: a guitar's peak of 0.2 to 1 V stands at -17.5 to -3.5 dBFS. The
amp's side is set by the circuit, which knows how loud it gets: `Circuit.volts_per_full_scale`."""

MINIMUM_SECONDS, MAXIMUM_SECONDS = 1.0, 600.0


def simulate_capture(
    folder: Path,
    circuit_name: str = "tube_screamer",
    knobs: Mapping[str, float] | None = None,
    seconds: float = 60.0,
    seed: int = 0,
    guitar_name: str | None = None,
) -> tuple[Path, Path]:
    """Write `di.wav` and `amp.wav` into `folder` as a reamp session would, and return their paths.

    Both are mono, 24 bits, 48 kHz, equally long (`seconds`, 1 to 600) and aligned to the sample. `circuit_name`: a
    bundled circuit or the path of a `.cir` file; `knobs`: positions 0..1, the others stand at their defaults.
    `guitar_name`: one of `training.guitar.GUITARS`; None draws one. The same arguments write the same files.

    Raises InputError for what is not in these ranges, for a broken netlist, and for an output beyond full scale.
    """
    # Here, because numba takes a second to load and `pedal --help` should not.
    from training import circuits, guitar

    if not MINIMUM_SECONDS <= seconds <= MAXIMUM_SECONDS:
        raise InputError(f"{seconds:g} seconds are outside {MINIMUM_SECONDS:g} to {MAXIMUM_SECONDS:g}")
    if seed < 0:
        raise InputError(f"the seed {seed} is below 0")
    if guitar_name is not None and guitar_name not in guitar.GUITARS:
        raise InputError(f"there is no guitar '{guitar_name}': there is {', '.join(guitar.GUITARS)}")
    circuit = circuits.load_circuit(circuit_name)
    positions = dict(knobs or {})
    circuit.check_knobs(positions)
    di_volts = guitar.render_take(seed, seconds, SAMPLE_RATE_HZ, guitar_name)
    amp_volts = circuits.process(circuit, di_volts, SAMPLE_RATE_HZ, **positions)
    if abs(amp_volts).max() > circuit.volts_per_full_scale:
        raise InputError(
            f"{circuit.path}: the output peaks at {abs(amp_volts).max():.3g} V, beyond the "
            f"{circuit.volts_per_full_scale:g} V of full scale on its .output line"
        )
    input_path, target_path = Path(folder) / "di.wav", Path(folder) / "amp.wav"
    audio.write(input_path, di_volts / DI_VOLTS_PER_FULL_SCALE, SAMPLE_RATE_HZ)
    audio.write(target_path, amp_volts / circuit.volts_per_full_scale, SAMPLE_RATE_HZ)
    return input_path, target_path


@click.command()
@click.option("--circuit", "circuit_name", default="tube_screamer", show_default=True, help="A name, or a .cir file.")
@click.option("--knob", "knobs", multiple=True, metavar="NAME=POSITION", help="From 0 to 1, such as drive=0.7.")
@click.option(
    "--guitar", "guitar_name", help="Such as humbucker, humbucker-drop-d or bass.  [default: drawn from the seed]"
)
@click.option("--seconds", type=float, default=60.0, show_default=True, help="How long the take is, up to 600.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed, the same take.")
@click.option("--out", "folder", type=click.Path(path_type=Path), required=True, help="The folder for both files.")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
def simulate(
    circuit_name: str,
    knobs: tuple[str, ...],
    guitar_name: str | None,
    seconds: float,
    seed: int,
    folder: Path,
    force: bool,
) -> None:
    """Make a capture without an amp: a synthetic guitar through a simulated circuit."""
    for path in (folder / "di.wav", folder / "amp.wav"):
        if path.exists() and not force:
            raise InputError(f"{path} exists; --force overwrites it")
    paths = simulate_capture(folder, circuit_name, _parse_knobs(knobs), seconds, seed, guitar_name)
    for path in paths:
        peak = abs(audio.read(path).samples).max()
        click.echo(f"{path}: {seconds:g} s, peak {20.0 * math.log10(peak):.1f} dBFS" if peak else f"{path}: silent")


def _parse_knobs(settings: tuple[str, ...]) -> dict[str, float]:
    """`("drive=0.7",)` as `{"drive": 0.7}`."""
    knobs: dict[str, float] = {}
    for setting in settings:
        name, _, position = setting.partition("=")
        try:
            value = float(position)
        except ValueError:
            raise InputError(f"--knob {setting}: write it as NAME=POSITION, such as drive=0.7") from None
        if name in knobs:
            raise InputError(f"--knob {name} is given twice")
        knobs[name] = value
    return knobs
