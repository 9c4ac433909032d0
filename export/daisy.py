"""Target daisy: a model as the pedal gets it, in memory and as files."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export import blob, fixed_point, header, players
from export.budget import CYCLES_PER_SAMPLE, WEIGHT_CAPACITY_BYTES, Budget, budget, of_model
from export.quantize import PRECISIONS, QuantizedModel, quantize, requantized
from export.resampling import PEDAL_RATE_HZ as SAMPLE_RATE_HZ
from export.resampling import Resampling
from training.audio import resampled
from training.errors import InputError
from training.model_file import Model

CALIBRATION_SECONDS = 4.0
CALIBRATION_LEVELS = (1.0, 0.3, 0.1, 0.03)
CALIBRATION_SEED = 20
MINIMUM_FRAMES = 4_800
INT8_LOSS_DB = 1.0
"""`auto` takes int8 weights where they cost no more SNR than this: where the training knew of them."""
ENOUGH_DB, GAIN_DB = 60.0, 1.0
QUARTERS, PLAYED_DB = 4, -50.0
IDLE_DBFS = -90.0
"""A higher precision is taken where the lower stays below ENOUGH_DB of SNR and the higher gains GAIN_DB, or where the
lower's rounding keeps an idle model busy above IDLE_DBFS (a limit cycle) and the float model is silent."""
SETTLING_SECONDS, IDLE_SECONDS, PROBE_SECONDS = 0.75, 0.1, 0.1
RESAMPLED_SECONDS = 1.0


@dataclass(frozen=True)
class Choice:
    """One way to quantize a model, with what it costs.

    `snr_db`: the fixed-point engine against the float64 model, at its rate, in the worst quarter of 4 s of guitar,
    which is the quietest as a rule. `idle_dbfs`: its output in silence, after the sound at which it is loudest.
    `enough`: whether both will do. `blob_bytes`: with the self-test.
    """

    quantized: QuantizedModel
    budget: Budget
    blob_bytes: int
    snr_db: float
    idle_dbfs: float
    enough: bool


@dataclass(frozen=True)
class Exported:
    """A model as the pedal gets it: one of `choices`.

    `resampling_db`: SNR on guitar of the float64 model with the pedal's resampling around it, against the same at the
    model's own rate; None where that is the pedal's.
    """

    model: Model
    quantized: QuantizedModel
    self_test: blob.SelfTest
    budget: Budget
    snr_db: float
    choices: tuple[Choice, ...]
    resampling_db: float | None

    def blob(self, low_weights: bool = False) -> bytes:
        return blob.to_bytes(self.quantized, self.self_test, low_weights)


def signal_to_noise_db(reference: np.ndarray, output: np.ndarray) -> float:
    """10 log10 of the energy of `reference` over that of its difference to `output`."""
    reference = np.asarray(reference, np.float64)
    noise = np.sum(np.square(output - reference))
    return float(10 * np.log10(np.sum(np.square(reference)) / max(noise, 1e-30)))


def worst_snr_db(guitar: np.ndarray, exact: np.ndarray, output: np.ndarray) -> float:
    """The lowest SNR of `output` in a quarter of the time, of those in which `guitar` plays; as long as each other."""
    parts = [np.array_split(samples, QUARTERS) for samples in (guitar, exact, output)]
    energies = [np.sum(np.square(part, dtype=np.float64)) for part in parts[0]]
    played = [energy > max(energies) * 10 ** (PLAYED_DB / 10) for energy in energies]
    pairs = zip(played, *parts[1:], strict=True)
    return min(signal_to_noise_db(expected, came) for is_played, expected, came in pairs if is_played)


def idle_dbfs(output: np.ndarray) -> float:
    """Level of the end of `output`, but for its offset and slow drift; RMS, 0 for a sine at full scale."""
    end = output[-round(IDLE_SECONDS * SAMPLE_RATE_HZ) :]
    frames = np.arange(len(end))
    rms = np.std(end - np.polyval(np.polyfit(frames, end, 1), frames))
    return float(20 * np.log10(max(rms * np.sqrt(2), 1e-10)))


def idle_probes() -> list[np.ndarray]:
    """What may leave an engine busy that was silent before: DC of either sign, a square, noise; at full scale."""
    frames = np.arange(round(PROBE_SECONDS * SAMPLE_RATE_HZ))
    square = np.where(np.sin(2 * np.pi * 110 * frames / SAMPLE_RATE_HZ) < 0, -1.0, 1.0)
    return [np.ones(len(frames)), -np.ones(len(frames)), square, np.random.default_rng(0).uniform(-1, 1, len(frames))]


def calibration_audio() -> np.ndarray:
    """A synthetic take, float32 [frames], on which ranges and SNR are measured and the self-test is made.

    It begins at full scale and falls to what a rolled-off volume knob leaves: a model's states are others there.
    """
    from training.guitar import render_take  # here, because numba takes a second to load

    take = render_take(CALIBRATION_SEED, CALIBRATION_SECONDS, SAMPLE_RATE_HZ)
    parts = np.array_split(take, len(CALIBRATION_LEVELS))
    levelled = [part * level / np.abs(part).max() for part, level in zip(parts, CALIBRATION_LEVELS, strict=True)]
    return np.concatenate(levelled).astype(np.float32)


def prepare(model: Model, audio: np.ndarray | None = None, weights: str = "auto") -> Exported:
    """Quantize `model` for the pedal, in memory.

    `audio` (float [frames]): on which ranges and SNR are measured; by default a synthetic take at full scale.
    `weights`: 'int16', 'int8', or 'auto' for int8 where that costs nothing.
    Raises InputError when the pedal has no engine for the model, does not convert its rate, has not the time for it, or
    its weights are beyond the number formats.
    """
    try:
        of_model(model)
    except InputError as error:
        raise InputError(f"{model.name}: {error.message}") from error
    audio = calibration_audio() if audio is None else audio
    if len(audio) < MINIMUM_FRAMES:
        raise InputError(f"the ranges cannot be measured on {len(audio)} frames; give at least {MINIMUM_FRAMES}")
    own_audio = resampled(audio, SAMPLE_RATE_HZ, model.sample_rate_hz)
    quantized = quantize(model, own_audio)
    choices = _choices(model, quantized, own_audio)
    chosen = _chosen(choices, weights)
    self_test = blob.make_self_test(chosen.quantized, own_audio)
    resampling_db = None
    if quantized.resampling is not None:
        guitar = _loudest(audio, SAMPLE_RATE_HZ)[: round(RESAMPLED_SECONDS * SAMPLE_RATE_HZ)]
        samples = fixed_point.to_q31(guitar)
        resampling_db = resampling_snr_db(model, samples, reference(model, quantized.resampling, samples))
    return Exported(model, chosen.quantized, self_test, chosen.budget, chosen.snr_db, tuple(choices), resampling_db)


def _loudest(audio: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Some seconds from shortly before the loudest moment."""
    start = max(int(np.argmax(np.abs(audio))) - MINIMUM_FRAMES // 4, 0)
    return audio[start : start + round(CALIBRATION_SECONDS * sample_rate_hz)]


def reference(
    model: Model, resampling: Resampling | None, samples_q31: np.ndarray, knobs: Sequence[float] | None = None
) -> np.ndarray:
    """What a pedal of unlimited precision would make of `samples_q31` (int32 [frames]): float64 [frames].

    The float64 model, limited to full scale, within the pedal's resampling, whose delay is taken out again.
    """

    def play(samples: np.ndarray) -> np.ndarray:
        return np.clip(model.render(fixed_point.from_q31(samples), knobs, np.float64), -1.0, 1.0)

    if resampling is None:
        return play(samples_q31)
    delay = resampling.delay_frames
    padded = np.concatenate([samples_q31, np.zeros(delay, samples_q31.dtype)])
    return fixed_point.from_q31(resampling.around(lambda own: fixed_point.to_q31(play(own)), padded)[delay:])


def resampling_snr_db(
    model: Model,
    samples_q31: np.ndarray,
    resampled_output: np.ndarray,
    knobs: Sequence[float] | None = None,
    skipped_frames: int = 0,
) -> float:
    """SNR of `resampled_output`, what `reference` makes of `samples_q31`, against the model at its own rate.

    `skipped_frames`: at the start, in which knobs that are not at their defaults bring the model to another rest.
    """
    output = model.render_at(SAMPLE_RATE_HZ, fixed_point.from_q31(samples_q31), knobs, np.float64)
    at_own_rate = np.clip(output, -1.0, 1.0)[: len(resampled_output)]
    return signal_to_noise_db(at_own_rate[skipped_frames:], resampled_output[skipped_frames:])


def _choices(model: Model, quantized: QuantizedModel, audio: np.ndarray) -> list[Choice]:
    """int16 and int8 weights in the precision that the model needs, if the chip has the time; then the lower ones."""
    guitar = _loudest(audio, model.sample_rate_hz)
    silence = np.zeros(round(SETTLING_SECONDS * SAMPLE_RATE_HZ))
    sounds = [guitar, *idle_probes()]
    samples = fixed_point.to_q31(np.concatenate([part for sound in sounds for part in (sound, silence)]))
    ends = np.cumsum([len(sound) + len(silence) for sound in sounds])
    exact = np.clip(model.render(fixed_point.from_q31(samples), dtype=np.float64), -1.0, 1.0)
    idle_limits_dbfs = [max(IDLE_DBFS, idle_dbfs(exact[:end]) + 1.0) for end in ends]

    def choice(candidate: QuantizedModel) -> Choice:
        positions = blob.default_positions_q31(candidate.knobs)
        output = fixed_point.from_q31(fixed_point.run(candidate, samples, positions))
        cost = budget(
            candidate.architecture, candidate.hidden_size, candidate.layers, candidate.precision, candidate.resampling
        )
        size = len(blob.to_bytes(candidate, blob.make_self_test(candidate, audio)))
        snr_db = worst_snr_db(guitar, exact[: len(guitar)], output[: len(guitar)])
        levels = [idle_dbfs(output[:end]) for end in ends]
        quiet = all(level <= limit for level, limit in zip(levels, idle_limits_dbfs, strict=True))
        return Choice(candidate, cost, size, snr_db, max(levels), snr_db >= ENOUGH_DB and quiet)

    choices = [choice(quantized)]
    for precision in PRECISIONS[1:]:
        if not choices[0].enough:
            higher = choice(requantized(quantized, model, precision=precision))
            gains = higher.enough or higher.snr_db >= choices[0].snr_db + GAIN_DB
            if higher.budget.fits and gains:
                choices.insert(0, higher)
    with suppress(InputError):  # the largest weights that int16 holds are beyond int8's formats
        choices.insert(1, choice(requantized(choices[0].quantized, model, weight_bits=8)))
    return choices


def _chosen(choices: list[Choice], weights: str) -> Choice:
    int16 = choices[0]
    int8 = next((choice for choice in choices if choice.quantized.weight_bits == 8), None)
    if weights == "int16" or (int8 is None and weights == "auto"):
        return int16
    if int8 is None:
        raise InputError(f"{int16.quantized.name}: its weights are too large to be stored in int8")
    as_good = int8.snr_db >= int16.snr_db - INT8_LOSS_DB and int8.enough >= int16.enough
    return int8 if weights == "int8" or as_good else int16


def write(exported: Exported, base: Path, command: str, low_weights: bool = False) -> dict[str, Path]:
    """Write `base`.h, `base`.pedal and `base`.rtneural.json; their paths by what they are."""
    paths = {
        "C header": base.with_name(f"{base.name}.h"),
        "blob": base.with_name(f"{base.name}.pedal"),
    }
    header.write(paths["C header"], exported.quantized, exported.self_test, command)
    blob.write(paths["blob"], exported.quantized, exported.self_test, low_weights)
    if exported.model.recurrent.residual in (0, 1):  # all that RTNeural's JSON can say
        paths["RTNeural"] = players.write("rtneural", exported.model, base)
    return paths


def summary(exported: Exported) -> str:
    """What `pedal export` prints: the model, what each choice would cost, and what the chosen one takes."""
    quantized, cost = exported.quantized, exported.budget
    state = f"cell state {formats(quantized)}" if quantized.architecture == "lstm" else "state Q30"
    accuracy = ("accuracy", f"{exported.snr_db:.1f} dB SNR against the float model, on guitar where it is quietest")
    rows = [
        ("model", f"{quantized.name} ({cost.name})"),
        ("knobs", ", ".join(knob.name for knob in quantized.knobs) or "none"),
        ("weights", f"int{quantized.weight_bits}, one scale a row; {quantized.precision} precision, {state}"),
        accuracy,
        (
            "processor",
            f"{cost.cycles_per_sample:,} of {CYCLES_PER_SAMPLE:,} cycles a sample: {cost.share:.0%}, estimated",
        ),
        ("flash", f"{len(exported.blob()):,} bytes (blob)"),
        ("memory", f"{cost.weight_bytes:,} of {WEIGHT_CAPACITY_BYTES:,} bytes for weights, tightly coupled"),
    ]
    if exported.resampling_db is not None and quantized.resampling is not None:
        delay_ms = 1000 * quantized.resampling.delay_frames / SAMPLE_RATE_HZ
        said = f"resampled around the model: {exported.resampling_db:.1f} dB SNR against its own rate"
        rows.insert(1, ("rate", f"{quantized.sample_rate_hz:,} Hz, {said}, {delay_ms:.2f} ms of delay"))
    if esr := exported.model.training.get("validation_esr"):
        rows.insert(
            rows.index(accuracy) + 1,
            ("", f"the float model's own error against its amp: {-10 * np.log10(esr):.1f} dB below it"),
        )
    chosen = next(choice for choice in exported.choices if choice.quantized is quantized)
    if chosen.snr_db < ENOUGH_DB:
        rows.append(("warning", f"less than {ENOUGH_DB:.0f} dB of SNR"))
    elif not chosen.enough:
        rows.append(
            ("warning", f"{chosen.idle_dbfs:.0f} dBFS at rest, where the float model is silent; a smaller model")
        )
        rows.append(("", "has the time for a precision that is silent too"))
    lines = [f"{name:<10} {value}" for name, value in rows]
    lines += ["", "choice           cycles  share    bytes  SNR dB  idle dBFS"]
    for choice in exported.choices:
        name = f"int{choice.quantized.weight_bits} {choice.quantized.precision}"
        mark = "  <- this one" if choice is chosen else ""
        lines.append(
            f"{name:<17}{choice.budget.cycles_per_sample:6,} {choice.budget.share:6.0%} {choice.blob_bytes:8,} "
            f"{choice.snr_db:7.1f} {choice.idle_dbfs:10.0f}{mark}"
        )
    return "\n".join([*lines, ""])


def formats(quantized: QuantizedModel) -> str:
    """The formats of the cell states, such as 'Q26' or 'Q28, Q27'."""
    extra_bits = 0 if quantized.precision == "coarse" else 31
    return ", ".join(f"Q{bits + extra_bits}" for bits in quantized.cell_frac_bits)
