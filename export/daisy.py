"""Target daisy: a model as the pedal gets it, in memory and as files."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from export import blob, fixed_point, header, players
from export.budget import (
    CYCLES_PER_SAMPLE,
    USABLE_SHARE,
    WEIGHT_CAPACITY_BYTES,
    Budget,
    cabinet_cycles,
    of_model,
    of_quantized,
)
from export.cabinet import QuantizedCabinet, quantize_cabinet
from export.eq_quantize import PRECISIONS as EQ_PRECISIONS
from export.eq_quantize import QuantizedEq, quantize_eq
from export.fixed_point import Quantized
from export.quantize import PRECISIONS, QuantizedModel, quantize, requantized
from export.resampling import PEDAL_RATE_HZ as SAMPLE_RATE_HZ
from export.resampling import Resampling
from training.audio import resampled
from training.cabinet import Cabinet
from training.errors import InputError
from training.model_file import Model
from training.recurrent import RecurrentNetwork

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

    quantized: Quantized
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
    `cabinet`: what is convolved with the model's output, as it was read and as the pedal has it, or None.
    """

    model: Model
    quantized: Quantized
    self_test: blob.SelfTest
    budget: Budget
    snr_db: float
    choices: tuple[Choice, ...]
    resampling_db: float | None
    cabinet: Cabinet | None = None
    quantized_cabinet: QuantizedCabinet | None = None

    def blob(self, low_weights: bool = False) -> bytes:
        return blob.to_bytes(self.quantized, self.self_test, low_weights, self.quantized_cabinet)

    @property
    def cycles_per_sample(self) -> int:
        """Of the model and its cabinet."""
        return self.budget.cycles_per_sample + cabinet_cycles(len(self.cabinet.taps) if self.cabinet else 0)


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


def prepare(
    model: Model, audio: np.ndarray | None = None, weights: str = "auto", cabinet: Cabinet | None = None
) -> Exported:
    """Quantize `model` for the pedal, and `cabinet` behind it, in memory.

    `audio` (float [frames]): on which ranges and SNR are measured; by default a synthetic take at full scale.
    `weights`: 'int16', 'int8', or 'auto' for int8 where that costs nothing.
    Raises InputError when the pedal has no engine for the model, does not convert its rate, has not the time for it, or
    its weights are beyond the number formats, and when the time is not enough for the cabinet too.
    """
    try:
        of_model(model)
    except InputError as error:
        raise InputError(f"{model.name}: {error.message}") from error
    audio = calibration_audio() if audio is None else audio
    if len(audio) < MINIMUM_FRAMES:
        raise InputError(f"the ranges cannot be measured on {len(audio)} frames; give at least {MINIMUM_FRAMES}")
    own_audio = resampled(audio, SAMPLE_RATE_HZ, model.sample_rate_hz)
    choices = _choices(model, own_audio)
    chosen = _chosen(choices, weights)
    self_test = blob.make_self_test(chosen.quantized, own_audio)
    resampling, resampling_db = chosen.quantized.resampling, None
    if resampling is not None:
        guitar = _loudest(audio, SAMPLE_RATE_HZ)[: round(RESAMPLED_SECONDS * SAMPLE_RATE_HZ)]
        samples = fixed_point.to_q31(guitar)
        resampling_db = resampling_snr_db(model, samples, reference(model, resampling, samples))
    exported = Exported(
        model,
        chosen.quantized,
        self_test,
        chosen.budget,
        chosen.snr_db,
        tuple(choices),
        resampling_db,
        cabinet,
        None if cabinet is None else quantize_cabinet(cabinet.taps),
    )
    cycles, usable = exported.cycles_per_sample, CYCLES_PER_SAMPLE * USABLE_SHARE
    if cabinet is not None and cycles > usable:
        raise InputError(
            f"{model.name}: with the cabinet it takes {cycles:,} cycles a sample of the usable {usable:,.0f}; take a "
            "shorter impulse response or a smaller model"
        )
    return exported


def _loudest(audio: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Some seconds from shortly before the loudest moment."""
    start = max(int(np.argmax(np.abs(audio))) - MINIMUM_FRAMES // 4, 0)
    return audio[start : start + round(CALIBRATION_SECONDS * sample_rate_hz)]


def reference(
    model: Model,
    resampling: Resampling | None,
    samples_q31: np.ndarray,
    knobs: Sequence[float] | None = None,
    cabinet: Cabinet | None = None,
) -> np.ndarray:
    """What a pedal of unlimited precision would make of `samples_q31` (int32 [frames]): float64 [frames].

    The float64 model, limited to full scale, within the pedal's resampling, whose delay is taken out again; then the
    cabinet, limited again.
    """

    def play(samples: np.ndarray) -> np.ndarray:
        return np.clip(model.render(fixed_point.from_q31(samples), knobs, np.float64), -1.0, 1.0)

    if resampling is None:
        output = play(samples_q31)
    else:
        delay = resampling.delay_frames
        padded = np.concatenate([samples_q31, np.zeros(delay, samples_q31.dtype)])
        output = fixed_point.from_q31(resampling.around(lambda own: fixed_point.to_q31(play(own)), padded)[delay:])
    if cabinet is None:
        return output
    rest = play(np.zeros(1, samples_q31.dtype))[0]  # which the cabinet has heard for ever
    return np.clip(cabinet.play(output - rest) + rest * cabinet.taps.sum(), -1.0, 1.0)


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


class _Judge:
    """Plays candidates to find out how exact they are, and whether they fall silent: a morph at every half step of its
    knob, other models with their knobs at their defaults. The worst counts."""

    def __init__(self, model: Model, audio: np.ndarray) -> None:
        self.audio, self.guitar = audio, _loudest(audio, model.sample_rate_hz)
        silence = np.zeros(round(SETTLING_SECONDS * SAMPLE_RATE_HZ))
        sounds = [self.guitar, *idle_probes()]
        self.samples = fixed_point.to_q31(np.concatenate([part for sound in sounds for part in (sound, silence)]))
        self.ends = np.cumsum([len(sound) + len(silence) for sound in sounds])
        self.positions = [blob.default_positions_q31(model.knobs)]
        settings = [[knob.default for knob in model.knobs]]
        if model.architecture == "morph":
            knob = model.knobs[0]
            settings = [[place] for place in np.arange(knob.minimum, knob.maximum + 0.25, 0.5).tolist()]
            self.positions = [[min(round(knob.normalised(place) * 2**31), 2**31 - 1)] for [place] in settings]
        played = fixed_point.from_q31(self.samples)
        self.exact = [np.clip(model.render(played, knobs, np.float64), -1.0, 1.0) for knobs in settings]

    def __call__(self, candidate: Quantized) -> Choice:
        frames, snrs_db, levels_dbfs, quiet = len(self.guitar), [], [], True
        for positions, exact in zip(self.positions, self.exact, strict=True):
            output = fixed_point.from_q31(fixed_point.run(candidate, self.samples, positions))
            snrs_db.append(worst_snr_db(self.guitar, exact[:frames], output[:frames]))
            for end in self.ends:
                levels_dbfs.append(idle_dbfs(output[:end]))
                quiet &= levels_dbfs[-1] <= max(IDLE_DBFS, idle_dbfs(exact[:end]) + 1.0)
        size = len(blob.to_bytes(candidate, blob.make_self_test(candidate, self.audio)))
        snr_db = min(snrs_db)
        enough = snr_db >= ENOUGH_DB and quiet
        return Choice(candidate, of_quantized(candidate), size, snr_db, max(levels_dbfs), enough)


def _choices(model: Model, audio: np.ndarray) -> list[Choice]:
    """int16 and int8 weights in the precision that the model needs, if the chip has the time; then the lower ones."""
    judge = _Judge(model, audio)
    lowest: Quantized
    if model.architecture in ("eq", "morph"):
        lowest = eq = quantize_eq(model)
        higher: list[Callable[[], Quantized]] = [
            partial(replace, eq, precision=precision) for precision in EQ_PRECISIONS[1:]
        ]
    else:
        lowest = recurrent = quantize(model, audio)
        higher = [partial(requantized, recurrent, model, precision=precision) for precision in PRECISIONS[1:]]
    choices = [judge(lowest)]
    for make in higher:
        if not choices[0].enough:
            finer = judge(make())
            gains = finer.enough or finer.snr_db >= choices[0].snr_db + GAIN_DB
            if finer.budget.fits and gains:
                choices.insert(0, finer)
    if isinstance(best := choices[0].quantized, QuantizedModel):
        with suppress(InputError):  # the largest weights that int16 holds are beyond int8's formats
            choices.insert(1, judge(requantized(best, model, weight_bits=8)))
    return choices


def _chosen(choices: list[Choice], weights: str) -> Choice:
    int16 = choices[0]
    int8 = next((choice for choice in choices if choice.quantized.weight_bits == 8), None)
    if weights == "int16" or (int8 is None and weights == "auto"):
        return int16
    if int8 is None:
        raise InputError(f"{int16.quantized.name}: its weights cannot be stored in int8")
    as_good = int8.snr_db >= int16.snr_db - INT8_LOSS_DB and int8.enough >= int16.enough
    return int8 if weights == "int8" or as_good else int16


def write(exported: Exported, base: Path, command: str, low_weights: bool = False) -> dict[str, Path]:
    """Write `base`.h, `base`.pedal and, of an LSTM or GRU, `base`.rtneural.json; their paths by what they are."""
    paths = {
        "C header": base.with_name(f"{base.name}.h"),
        "blob": base.with_name(f"{base.name}.pedal"),
    }
    text = header.text(exported.quantized, exported.self_test, command, exported.quantized_cabinet)
    header.write(paths["C header"], text)
    blob.write(paths["blob"], exported.blob(low_weights))
    network = exported.model.network
    if isinstance(network, RecurrentNetwork) and network.residual in (0, 1):  # all that RTNeural's JSON can say
        paths["RTNeural"] = players.write("rtneural", exported.model, base)
    return paths


def summary(exported: Exported) -> str:
    """What `pedal export` prints: the model, what each choice would cost, and what the chosen one takes."""
    quantized, cost, cycles = exported.quantized, exported.budget, exported.cycles_per_sample
    turning = " while the knob turns" if isinstance(quantized, QuantizedEq) and quantized.amps > 1 else ""
    accuracy = ("accuracy", f"{exported.snr_db:.1f} dB SNR against the float model, on guitar where it is quietest")
    rows = [
        ("model", f"{quantized.name} ({exported.model.network.name})"),
        ("knobs", ", ".join(knob.name for knob in quantized.knobs) or "none"),
        ("weights", f"int{quantized.weight_bits}, {_number_formats(quantized)}"),
        accuracy,
        (
            "processor",
            f"{cycles:,} of {CYCLES_PER_SAMPLE:,} cycles a sample{turning}: {cycles / CYCLES_PER_SAMPLE:.0%}, "
            "estimated",
        ),
        ("flash", f"{len(exported.blob()):,} bytes (blob)"),
        ("memory", f"{cost.weight_bytes:,} of {WEIGHT_CAPACITY_BYTES:,} bytes for weights, tightly coupled"),
    ]
    if exported.resampling_db is not None and quantized.resampling is not None:
        delay_ms = 1000 * quantized.resampling.delay_frames / SAMPLE_RATE_HZ
        said = f"resampled around the model: {exported.resampling_db:.1f} dB SNR against its own rate"
        rows.insert(1, ("rate", f"{quantized.sample_rate_hz:,} Hz, {said}, {delay_ms:.2f} ms of delay"))
    if latency := exported.model.latency_frames:
        rows.insert(1, ("latency", f"{1000 * latency / SAMPLE_RATE_HZ:g} ms, of linear phase"))
    if exported.cabinet is not None:
        taps = len(exported.cabinet.taps)
        said = f"{exported.cabinet.name}, {taps:,} taps ({1000 * taps / SAMPLE_RATE_HZ:.1f} ms), in the cycles below"
        rows.insert(rows.index(accuracy), ("cabinet", said))
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


def _number_formats(quantized: Quantized) -> str:
    if isinstance(quantized, QuantizedEq):
        return f"one scale a block; {quantized.precision} precision"
    state = f"cell state {formats(quantized)}" if quantized.architecture == "lstm" else "state Q30"
    return f"one scale a row; {quantized.precision} precision, {state}"


def formats(quantized: QuantizedModel) -> str:
    """The formats of the cell states, such as 'Q26' or 'Q28, Q27'."""
    extra_bits = 0 if quantized.precision == "coarse" else 31
    return ", ".join(f"Q{bits + extra_bits}" for bits in quantized.cell_frac_bits)
