"""Compare what a pedal plays with the float model, sample by sample."""

from dataclasses import asdict, dataclass, field

import numpy as np
from scipy import signal
from tqdm import tqdm

from export import daisy
from export.daisy import SAMPLE_RATE_HZ, Exported, signal_to_noise_db
from export.fixed_point import from_q31, to_q31
from hardware.connect import require_engine
from hardware.link import PedalLink, on_trial
from hardware.protocol import CounterUnit, Engine, Parameter

LARGEST_DELAY_FRAMES = 12_000
"""As much silence follows the DI, so that all of it comes back whatever the link holds."""
SETTLING_FRAMES = SAMPLE_RATE_HZ // 10
"""In which a model comes from the rest of its knobs' defaults to that of where they stand."""
MINIMUM_SNR_DB = {Engine.FIXED: 60.0, Engine.RTNEURAL: 90.0}


@dataclass(frozen=True)
class Signals:
    """Aligned audio of one verification, float64 [frames] at 48 kHz, full scale +-1; `target` where there is one."""

    di: np.ndarray
    model: np.ndarray
    pedal: np.ndarray
    target: np.ndarray | None = None


@dataclass(frozen=True)
class Limit:
    """One check: what was measured, what it is held against, and whether it holds."""

    value: float
    limit: float
    passed: bool


@dataclass
class Report:
    """What a verification found: the content of report.json.

    ESR is the energy of the error over that of the reference. `instructions_per_sample` is None where the board counts
    something else. `snr_resampling_db`: the model with the pedal's resampling against the model at its own rate, None
    where that is the pedal's. `round_trip_frames`: from the host to the pedal and back, where that was measured.
    `limits` are the checks by name.
    """

    model: str
    architecture: str
    engine: str
    board: str
    firmware_version: str
    frames: int
    delay_frames: int
    round_trip_frames: int | None
    esr_pedal_vs_model: float
    snr_pedal_vs_model_db: float
    snr_resampling_db: float | None
    largest_error_dbfs: float
    largest_error_at_s: float
    esr_model_vs_target: float | None
    esr_pedal_vs_target: float | None
    instructions_per_sample: int | None
    worst_per_sample: int
    counter_unit: str
    budget_per_sample: int
    overruns: int
    faults: int
    clipped_frames: int
    limits: dict[str, Limit] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return all(limit.passed for limit in self.limits.values())

    def as_json(self) -> dict:
        return {**asdict(self), "passed": self.passed}


def verify(
    link: PedalLink,
    exported: Exported,
    di: np.ndarray,
    target: np.ndarray | None = None,
    engine: Engine = Engine.FIXED,
    knobs: list[float] | None = None,
    block_frames: int = 48,
) -> tuple[Report, Signals]:
    """Upload the model, stream `di` through the pedal and compare with the float64 model.

    `di`, `target`: float [frames] at 48 kHz. `knobs`: values in the model's own units, by default its defaults.
    Raises InputError when the pedal refuses the model or falls silent.
    """
    require_engine(link, engine)
    model = exported.model
    values = [knob.default for knob in model.knobs] if knobs is None else knobs
    sent = to_q31(np.concatenate([di, np.zeros(LARGEST_DELAY_FRAMES)]))
    with on_trial(link, exported.blob(low_weights=engine == Engine.RTNEURAL), engine):
        link.set(Parameter.INPUT_LEVEL, 1.0)
        link.set(Parameter.OUTPUT_LEVEL, 1.0)
        link.set(Parameter.TONE, 0.5)
        link.set(Parameter.GATE, 0.0)
        link.set(Parameter.BYPASS, 0)
        link.reset()  # the model is now loaded and its knobs at their defaults
        for index, (knob, value) in enumerate(zip(model.knobs, values, strict=True)):
            link.set(Parameter(Parameter.KNOB_1 + index), knob.normalised(value))
        link.reset()
        link.clear_stats()
        info = link.hello()
        with tqdm(
            total=len(sent), unit="frame", unit_scale=True, desc=f"{info.board}, {engine.name.lower()}", disable=None
        ) as bar:
            received = link.process(sent >> 8, block_frames, bar.update)
        stats = link.stats()

    played = from_q31(sent)
    reference = daisy.reference(model, exported.quantized.resampling, sent, values, exported.cabinet)
    output = np.asarray(received, np.float64) * 2.0**-23
    delay = delay_frames(reference, output)
    aligned = output[delay : delay + len(di)]
    reference = reference[: len(di)]
    resampling_db = None
    if exported.quantized.resampling is not None:
        resampling_db = daisy.resampling_snr_db(model, sent, reference, values, SETTLING_FRAMES)
    if target is not None:
        target = np.pad(target, (model.latency_frames, 0))[: len(di)]
    signals = Signals(played[: len(di)], reference, aligned, target)

    error = aligned - reference
    worst = int(np.argmax(np.abs(error)))
    instructions = info.counter_unit == CounterUnit.INSTRUCTIONS
    report = Report(
        model=model.name,
        architecture=model.network.name,
        engine=engine.name.lower(),
        board=info.board,
        firmware_version=info.firmware_version,
        frames=len(di),
        delay_frames=delay,
        round_trip_frames=link.round_trip_frames,
        esr_pedal_vs_model=error_to_signal(reference, aligned),
        snr_pedal_vs_model_db=signal_to_noise_db(reference, aligned),
        snr_resampling_db=resampling_db,
        largest_error_dbfs=float(20 * np.log10(max(abs(error[worst]), 1e-12))),
        largest_error_at_s=worst / SAMPLE_RATE_HZ,
        esr_model_vs_target=None if target is None else error_to_signal(target, reference),
        esr_pedal_vs_target=None if target is None else error_to_signal(target, aligned),
        instructions_per_sample=round(stats.mean_per_frame) if instructions else None,
        worst_per_sample=stats.worst_per_frame,
        counter_unit=info.counter_unit.name.lower(),
        budget_per_sample=info.budget_per_frame,
        overruns=stats.overruns,
        faults=stats.faults,
        clipped_frames=int(np.count_nonzero(np.abs(aligned) >= 1.0 - 2.0**-23)),
    )
    snr = report.snr_pedal_vs_model_db
    report.limits = {
        "SNR against the model, dB, at least": Limit(snr, MINIMUM_SNR_DB[engine], snr >= MINIMUM_SNR_DB[engine]),
        "overruns, at most": Limit(report.overruns, 0, report.overruns == 0),
        "faults, at most": Limit(report.faults, 0, report.faults == 0),
    }
    return report, signals


def error_to_signal(reference: np.ndarray, output: np.ndarray) -> float:
    """Energy of `output - reference` over that of `reference`."""
    return float(np.sum(np.square(output - reference)) / max(np.sum(np.square(reference)), 1e-30))


def delay_frames(reference: np.ndarray, output: np.ndarray) -> int:
    """By how many frames `output` comes later than `reference`, 0 to a quarter of a second, by cross-correlation."""
    correlation = signal.correlate(output, reference, method="fft")
    zero = len(reference) - 1
    window = correlation[zero : zero + LARGEST_DELAY_FRAMES]
    return int(np.argmax(window))


def round_trip(frames: int) -> str:
    """In words."""
    return f"{frames:,} frames, {frames / SAMPLE_RATE_HZ * 1e3:.1f} ms"


def table(report: Report) -> str:
    """The report for a terminal."""

    def optional(value: float | None, text: str) -> str:
        return "-" if value is None else text.format(value)

    budget = report.budget_per_sample
    of_budget = f", {report.worst_per_sample / budget:.0%} of the budget" if budget else ""
    rows = [
        ("model", f"{report.model} ({report.architecture})"),
        ("pedal", f"{report.board}, firmware {report.firmware_version}, {report.engine} engine"),
        ("frames", f"{report.frames:,} ({report.frames / SAMPLE_RATE_HZ:.1f} s), delay {report.delay_frames}"),
        ("pedal against model", f"SNR {report.snr_pedal_vs_model_db:.1f} dB, ESR {report.esr_pedal_vs_model:.2e}"),
        ("largest error", f"{report.largest_error_dbfs:.1f} dBFS at {report.largest_error_at_s:.3f} s"),
        ("model against amp", optional(report.esr_model_vs_target, "ESR {:.5f}")),
        ("pedal against amp", optional(report.esr_pedal_vs_target, "ESR {:.5f}")),
        ("instructions a sample", optional(report.instructions_per_sample, "{:,}")),
        (f"worst block, {report.counter_unit}", f"{report.worst_per_sample:,} a sample{of_budget}"),
        ("overruns, faults", f"{report.overruns}, {report.faults}"),
    ]
    if report.round_trip_frames is not None:
        rows.insert(3, ("round trip", round_trip(report.round_trip_frames)))
    if report.snr_resampling_db is not None:
        rows.insert(-6, ("resampling", f"SNR {report.snr_resampling_db:.1f} dB against the model at its own rate"))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    for name, check in report.limits.items():
        lines.append(f"{'pass' if check.passed else 'FAIL'}: {name} {check.limit:g}: {check.value:.4g}")
    return "\n".join(lines)
