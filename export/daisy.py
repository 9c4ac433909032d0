"""Target daisy: a model as the pedal gets it, in memory and as files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export import blob, fixed_point, header, rtneural
from export.budget import CYCLES_PER_SAMPLE, USABLE_SHARE, Budget, budget, largest_hidden_size
from export.quantize import QuantizedModel, quantize
from training.errors import InputError
from training.model_file import Model

SAMPLE_RATE_HZ = 48_000
CALIBRATION_SECONDS = 4.0
CALIBRATION_SEED = 20
ACCURACY_FRAMES = 4_800
MINIMUM_FRAMES = ACCURACY_FRAMES


@dataclass(frozen=True)
class Exported:
    """A model as the pedal gets it. `snr_db`: the fixed-point engine against the float64 model, on 0.1 s of guitar."""

    model: Model
    quantized: QuantizedModel
    self_test: blob.SelfTest
    budget: Budget
    snr_db: float

    def blob(self, low_weights: bool = False) -> bytes:
        return blob.to_bytes(self.quantized, self.self_test, low_weights)


def signal_to_noise_db(reference: np.ndarray, output: np.ndarray) -> float:
    """10 log10 of the energy of `reference` over that of its difference to `output`."""
    reference = np.asarray(reference, np.float64)
    noise = np.sum(np.square(output - reference))
    return float(10 * np.log10(np.sum(np.square(reference)) / max(noise, 1e-30)))


def calibration_audio() -> np.ndarray:
    """A synthetic take at full scale, float32 [frames], on which ranges are measured and the self-test is made."""
    from training.guitar import render_take  # here, because numba takes a second to load

    take = render_take(CALIBRATION_SEED, CALIBRATION_SECONDS, SAMPLE_RATE_HZ)
    return (take / np.abs(take).max()).astype(np.float32)


def prepare(model: Model, audio: np.ndarray | None = None) -> Exported:
    """Quantize `model` for the pedal, in memory.

    `audio` (float [frames]): on which ranges are measured; by default a synthetic take at full scale.
    Raises InputError when the model does not run at 48 kHz, in real time or within the number formats.
    """
    if model.sample_rate_hz != SAMPLE_RATE_HZ:
        raise InputError(
            f"{model.name}: was trained at {model.sample_rate_hz} Hz; the pedal runs at {SAMPLE_RATE_HZ} Hz"
        )
    audio = calibration_audio() if audio is None else audio
    if len(audio) < MINIMUM_FRAMES:
        raise InputError(f"the ranges cannot be measured on {len(audio)} frames; give at least {MINIMUM_FRAMES}")
    quantized = quantize(model, audio)
    cost = budget(model.architecture, quantized.hidden_size)
    if not cost.fits:
        usable = CYCLES_PER_SAMPLE * USABLE_SHARE
        raise InputError(
            f"{model.architecture}-{quantized.hidden_size} cannot run in real time: {cost.cycles_per_sample:,} cycles "
            f"a sample are {cost.cycles_per_sample / usable - 1:.0%} over the usable {usable:,.0f}; the largest that "
            f"can is {model.architecture}-{largest_hidden_size(model.architecture)}"
        )
    self_test = blob.make_self_test(quantized, audio)
    return Exported(model, quantized, self_test, cost, _accuracy_db(model, quantized, audio))


def _accuracy_db(model: Model, quantized: QuantizedModel, audio: np.ndarray) -> float:
    start = int(np.argmax(np.abs(audio)))
    samples = fixed_point.to_q31(audio[max(start - ACCURACY_FRAMES // 4, 0) :][:ACCURACY_FRAMES])
    reference = np.clip(model.render(fixed_point.from_q31(samples), dtype=np.float64), -1.0, 1.0)
    output = fixed_point.from_q31(fixed_point.run(quantized, samples, blob.default_positions_q31(quantized.knobs)))
    return signal_to_noise_db(reference, output)


def write(exported: Exported, base: Path, command: str, low_weights: bool = False) -> dict[str, Path]:
    """Write `base`.h, `base`.pedal and `base`.rtneural.json; their paths by what they are."""
    paths = {
        "C header": base.with_name(f"{base.name}.h"),
        "blob": base.with_name(f"{base.name}.pedal"),
        "RTNeural": base.with_name(f"{base.name}.rtneural.json"),
    }
    header.write(paths["C header"], exported.quantized, exported.self_test, command)
    blob.write(paths["blob"], exported.quantized, exported.self_test, low_weights)
    rtneural.write(paths["RTNeural"], exported.model)
    return paths


def summary(exported: Exported) -> str:
    """The table that `pedal export` prints."""
    quantized, cost = exported.quantized, exported.budget
    state = f"cell state Q{quantized.cell_frac_bits}" if quantized.architecture == "lstm" else "state Q30"
    rows = [
        ("model", f"{quantized.name} ({quantized.architecture}-{quantized.hidden_size})"),
        ("knobs", ", ".join(knob.name for knob in quantized.knobs) or "none"),
        ("weights", f"int16, one scale a row; {state}"),
        ("accuracy", f"{exported.snr_db:.1f} dB SNR against the float model, on 0.1 s of guitar"),
        (
            "processor",
            f"{cost.cycles_per_sample:,} of {CYCLES_PER_SAMPLE:,} cycles a sample: {cost.share:.0%}, estimated",
        ),
        ("flash", f"{len(exported.blob()):,} bytes (blob)"),
        ("RAM", f"{cost.ram_bytes:,} bytes, 16,384 of them activation tables"),
    ]
    return "\n".join(f"{name:<10} {value}" for name, value in rows)
