"""What every engine costs on a Cortex-M7 and how exact it is, by model: `python benchmarks/cortex_m7.py`.

The firmware runs in the emulator. Of each engine and model some samples are traced in steady state, after 10 ms of
guitar, from the first instruction of the engine's Process to its return: the model alone, without the levels, ramps and
bypass of the effect around it (they cost the same for every model) and without the audio driver. The instructions are
counted; the cycles are an estimate (export/cortex_m7/pipeline.py has its rules and what it leaves out). SNR and ESR
compare 0.1 s that the emulated pedal plays with the float64 model, which PyTorch computes.

The models are trained here for some seconds each, once, and kept in build/bench/models: their weights are like those
of any capture, their sound is not the point. The one whose weights are stored in int8 is trained for two minutes: its
error is judged against its amp. Models that others have made are played where ../shared/data is, in the precision that
`pedal export` chooses.

Writes build/bench/cortex_m7.json: rows of model, engine, instructions and cycles (a sample, in the spans of 16 in which
the effect calls an engine), block_overhead (cycles a call), budget (share of the cycles that a sample has), bytes (of
the parameters as they are stored), snr_db and esr; that of int8 also esr_amp and float_esr_amp, on guitar that training
has not heard.

RTNeural's rows appear where its submodule is: of its STL back end, as in the firmware that is played, and from two more
images of its Eigen back end, with its own activations and with cheaper ones (firmware/engine/fast_maths.h). All
engines are compiled with the same flags. A last table holds the fixed engine against the fastest of these rows. The
firmware has networks of the sizes 8, 16, 20, 32, 40 and 64, and runs a model in the smallest that holds it: gru-10
costs what gru-16 does, lstm-48 what lstm-64 does.

EQ networks have rows in both precisions; that of a morph is of a knob that never stops, its mixing included. Rows of a
cabinet are what it costs behind any model.
"""

import functools
import itertools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from training_recipe import AMPS, SAMPLE_RATE_HZ, TEST_SECONDS, di, guitar, oversampled

from export import blob, daisy, fixed_point
from export.budget import (
    CYCLES_PER_SAMPLE,
    USABLE_SHARE,
    Work,
    budget,
    cabinet_cycles,
    eq_budget,
    largest,
    of_quantized,
    work,
)
from export.cabinet import quantize_cabinet
from export.cortex_m7 import estimate
from export.daisy import reference, signal_to_noise_db
from export.eq_quantize import PRECISIONS as EQ_PRECISIONS
from export.eq_quantize import QuantizedEq, padded, quantize_eq
from export.fixed_point import Quantized
from export.quantize import PRECISIONS, quantize, requantized
from export.resampling import Resampling
from hardware.firmware_build import REPOSITORY, RTNEURAL, build
from hardware.instruction_trace import TracedPedal
from hardware.protocol import Engine, Parameter
from hardware.verify import error_to_signal
from training import blend, foreign, model_file
from training.cabinet import Cabinet
from training.capture import Capture, Pair
from training.eq_block import EqNetwork
from training.eq_morph import EqMorph
from training.errors import InputError
from training.knob import Knob
from training.loop import Trainer, TrainingConfig
from training.model_file import Model, TrainableNetwork
from training.recurrent import RecurrentNetwork

MODELS = (
    *("lstm-8", "lstm-16", "lstm-20", "lstm-32", "lstm-40", "lstm-48", "lstm-64", "lstm-2x24"),
    *("gru-10", "gru-20", "gru-40", "gru-2x16"),
)
EQ_MODELS = ("eq-6x33-linear", "eq-6x33", "eq-6x129", "eq-6x257")
MORPH, MORPH_TO = "eq-6x129", "eq-6x129-longer"
CABINET_TAPS = (512, 1024, 2048)
EQ_FIT_SHAPES = ((1, 33), (6, 33), (12, 64), (6, 129), (3, 257), (6, 257), (12, 264), (3, 1024))
PRECISE_TOO = ("lstm-20", "lstm-40", "gru-10")
"""Models that are measured in higher precisions as well, needed or not."""
LABELS = {"coarse": "fixed", "fine": "fixed-fine", "finest": "fixed-finest"}
INT8_MODEL, INT8_STEPS = "lstm-40", 1504
OTHERS = REPOSITORY.parent / "shared" / "data" / "models"
FIT_SHAPES = [(size, 1) for size in (1, 6, 8, 13, 20, 32, 40, 45, 64)] + [(5, 2), (16, 2), (28, 2)]
RTNEURAL_SIZES = (8, 16, 20, 32, 40, 64)
FIRST_IMAGE = "emulator"
RTNEURAL_ROWS = {
    FIRST_IMAGE: "rtneural-stl",
    "emulator_eigen": "rtneural-eigen",
    "emulator_eigen_fast": "rtneural-eigen-fast",
}
"""By image: each has one back end of RTNeural; the fixed engine is the same in all, and measured in the first."""
ENGINE_FUNCTIONS = {
    Engine.FIXED: "oddity::FixedEngine::Process",
    Engine.RTNEURAL: "oddity::RtneuralEngine::Process",
}
MOVING = ("oddity::FixedEngine::SetKnob", ENGINE_FUNCTIONS[Engine.FIXED])
MOVING_TO = (0.6, 0.7)
RESAMPLING_FUNCTIONS = ("oddity::Resampler::ToOwn", "oddity::Resampler::FromOwn")
RATES_HZ = (22_050, 32_000, 44_100, 88_200, 96_000)
SPAN_FRAMES = 16
WARM_UP_FRAMES = 480
PLAYED_FRAMES = 4800
TRAINING_SECONDS_OF_AUDIO = 10
TRAINING_STEPS = 64
OUT = Path("build/bench")
HEAD = "model                 engine              instructions    cycles  budget    bytes  SNR dB       ESR"
ROW = "{model:21} {engine:19} {instructions:12,} {cycles:9,} {budget:7.1%} {bytes:8,} {snr_db:7.1f} {esr:9.1e}"


@dataclass(frozen=True)
class Case:
    """A row of the fixed engine: a model and a way to quantize it. `amp_errors`: more of its row."""

    name: str
    engine: str
    model: Model
    quantized: Quantized
    amp_errors: dict[str, float]


@functools.cache
def capture() -> Capture:
    """Some seconds of guitar through a crunchy amp."""
    dry = guitar(TRAINING_SECONDS_OF_AUDIO, seed=3)
    wet = oversampled(AMPS["crunch"], dry)
    return Capture((Pair("crunch", dry.astype(np.float32), wet.astype(np.float32)),))


def kept(name: str) -> Path:
    path = OUT / "models" / f"{name}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def trained_model(name: str) -> Model:
    """The model `name` ("lstm-40") after a short training on a crunchy amp; from build/bench/models if it is there."""
    path = kept(name)
    if not path.is_file():
        steps = TRAINING_STEPS * (4 if name.endswith("-longer") else 1)
        config = TrainingConfig(model=name.removesuffix("-longer"), steps=steps)
        trainer = Trainer(capture(), config, torch.device("cpu"))
        while trainer.step < steps:
            trainer.train_on_draw()
        model_file.save(path, as_model(trainer.network))
    return model_file.load(path)


def as_model(network: TrainableNetwork | EqMorph) -> Model:
    return Model(network.name, network.architecture, network.config, network.eval())


def fine_tuned_case(audio: np.ndarray) -> Case:
    """INT8_MODEL of crunch, trained, then fine-tuned with int8 weights; beside the float model that it was before."""
    dry = di()
    wet = oversampled(AMPS["crunch"], dry)
    test = len(dry) - TEST_SECONDS * SAMPLE_RATE_HZ
    paths = kept(f"{INT8_MODEL}-float"), kept(f"{INT8_MODEL}-int8")
    if not all(path.is_file() for path in paths):
        config = TrainingConfig(model=INT8_MODEL, steps=INT8_STEPS, quantize="int8")
        trainer = Trainer(Capture((Pair("crunch", dry[:test], wet[:test]),)), config, torch.device("cpu"))
        while not trainer.finished:
            trainer.train_on_draw()
            if trainer.validation_due:
                trainer.validate()
            if trainer.fine_tuning_due:
                model_file.save(paths[0], as_model(trainer.best_network()))
                trainer.start_fine_tuning()
        model_file.save(paths[1], as_model(trainer.best_network()))
    before, model = (model_file.load(path) for path in paths)
    quantized = requantized(quantize(model, audio), model, weight_bits=8)
    played = fixed_point.to_q31(dry[test:])
    output = fixed_point.from_q31(fixed_point.run(quantized, played))
    errors = {
        "esr_amp": error_to_signal(wet[test:], output),
        "float_esr_amp": error_to_signal(wet[test:], before.render(fixed_point.from_q31(played))),
    }
    return Case(INT8_MODEL, "fixed-int8", model, quantized, errors)


def cases(audio: np.ndarray) -> list[Case]:
    found = []
    for name in MODELS:
        model = trained_model(name)
        quantized = quantize(model, audio)
        found.append(Case(name, "fixed", model, quantized, {}))
        if name in PRECISE_TOO:
            for precision in PRECISIONS[1:]:
                found.append(
                    Case(name, LABELS[precision], model, requantized(quantized, model, precision=precision), {})
                )
        if name == INT8_MODEL:
            found.append(fine_tuned_case(audio))
    for name in EQ_MODELS:
        model = trained_model(name)
        for precision in EQ_PRECISIONS:
            found.append(Case(name, LABELS[precision], model, replace(quantize_eq(model), precision=precision), {}))
    for path in sorted(OTHERS.iterdir()) if OTHERS.is_dir() else []:
        try:
            model = replace(foreign.read(path), sample_rate_hz=daisy.SAMPLE_RATE_HZ)  # the network alone
            quantized = daisy.prepare(model, weights="int16").quantized
        except InputError:
            continue  # a WaveNet, or one that is wrong on purpose
        found.append(Case(path.stem[:21], LABELS[quantized.precision], model, quantized, {}))
    return found


def upload(pedal: TracedPedal, quantized: Quantized, audio: np.ndarray) -> None:
    pedal.load(0, blob.to_bytes(quantized, blob.make_self_test(quantized, audio), low_weights=True))


def cost(pedal: TracedPedal, engine: Engine, audio: np.ndarray) -> dict[str, int]:
    """Instructions and estimated cycles a sample of the model in slot 0, and cycles a call."""
    samples = fixed_point.to_q31(audio) >> 8
    pedal.select(0, engine)
    pedal.reset()
    pedal.process(samples[:WARM_UP_FRAMES])

    def traced(frames: int) -> np.ndarray:
        steps = pedal.trace(ENGINE_FUNCTIONS[engine], samples[WARM_UP_FRAMES : WARM_UP_FRAMES + frames])
        return np.array([len(steps), estimate(steps)])

    fewer, more = traced(1), traced(3)
    per_sample = (more - fewer) / 2
    overhead = fewer - per_sample
    instructions, cycles = np.rint(per_sample + overhead / SPAN_FRAMES).astype(int)
    return {"instructions": int(instructions), "cycles": int(cycles), "block_overhead": max(int(overhead[1]), 0)}


def row_of(pedal: TracedPedal, engine: Engine, case: Case, label: str, stored_bytes: int, audio: np.ndarray) -> dict:
    """The row `label` of the model in slot 0, which is `case`'s."""
    if isinstance(case.quantized, QuantizedEq):
        costs = span_cost(pedal, [ENGINE_FUNCTIONS[engine]], audio)
        if costs["cycles"] > of_quantized(case.quantized).cycles_per_sample + 1:
            sys.exit(f"{case.name}: export/budget.py says less than the {costs['cycles']} cycles that were found")
    else:
        costs = cost(pedal, engine, audio)
    pedal.select(0, engine)
    return as_row(pedal, case.name, label, costs, stored_bytes, audio, partial(reference, case.model, None))


def as_row(
    pedal: TracedPedal,
    name: str,
    label: str,
    costs: dict[str, int],
    stored_bytes: int,
    audio: np.ndarray,
    exact: Callable[[np.ndarray], np.ndarray],
) -> dict:
    """A row with the SNR of what the pedal plays against what `exact` makes of the same samples, int32 [frames]."""
    sent = fixed_point.to_q31(audio[:PLAYED_FRAMES]) >> 8
    pedal.reset()
    snr_db = signal_to_noise_db(exact(sent << 8), pedal.process(sent) * 2.0**-23)
    row = {
        "model": name,
        "engine": label,
        **costs,
        "budget": round(costs["cycles"] / CYCLES_PER_SAMPLE, 4),
        "bytes": stored_bytes,
        "snr_db": round(snr_db, 1),
        "esr": float(f"{10 ** (-snr_db / 10):.3g}"),
    }
    print(ROW.format(**row), flush=True)
    return row


def fixed_bytes(quantized: Quantized) -> int:
    if isinstance(quantized, QuantizedEq):
        return sum(getattr(quantized, name).nbytes for name in ("firs", "biases", "gate_logits", "levels"))
    recurrent = ("recurrent_weights",) if quantized.weight_bits == 16 else ("int8_weights", "int8_steps")
    return sum(
        getattr(quantized, name).nbytes for name in ("bias", "scale", "input_weights", "head_weights", *recurrent)
    )


def rtneural_bytes(model: Model) -> int:
    """Padded to the network that the firmware has."""
    size = next(size for size in RTNEURAL_SIZES if size >= model.recurrent.hidden_size)
    return 4 * sum(weights.numel() for weights in RecurrentNetwork(model.architecture, size).parameters())


def fit(pedal: TracedPedal, unit: str, precision: str, audio: np.ndarray) -> tuple[np.ndarray, bool]:
    """The fixed engine's cycles by what `Work` counts, never below the account at any shape; and whether
    export/budget.py agrees to 5 %. The weights are random: they do not change the cycles."""
    torch.manual_seed(0)
    counts, terms = [], []
    for size, layers in FIT_SHAPES:
        quantized = quantize(as_model(RecurrentNetwork(unit, size, 0, layers)), audio[:WARM_UP_FRAMES])
        upload(pedal, replace(quantized, precision=precision), audio)
        counts.append(cost(pedal, Engine.FIXED, audio)["cycles"])
        done: Work = work(unit, size, layers)
        terms.append([done.row_pairs, done.units, done.layers])
    counts, terms = np.array(counts), np.array(terms)
    stated = np.array([budget(unit, *shape, precision).cycles_per_sample for shape in FIT_SHAPES])
    return fitted(counts, terms, stated)


def fitted(counts: np.ndarray, terms: np.ndarray, stated: np.ndarray) -> tuple[np.ndarray, bool]:
    """What each of the terms takes, never below the counts at any row; and whether what is `stated` agrees to 5 %."""
    coefficients = np.linalg.lstsq(terms / counts[:, None], np.ones(len(counts)), rcond=None)[0]
    coefficients = coefficients * (counts / (terms @ coefficients)).max()
    return coefficients, bool((np.abs(stated / (terms @ coefficients) - 1) < 0.05).all())


def fit_eq(pedal: TracedPedal, precision: str, moving: bool, audio: np.ndarray) -> tuple[np.ndarray, bool]:
    """As `fit`, of EQ networks, or of morphs whose knob moves."""
    torch.manual_seed(0)
    counts, terms, stated = [], [], []
    for blocks, taps in EQ_FIT_SHAPES:
        if moving:
            model = replace(as_model(EqMorph(2, blocks=blocks, taps=taps)), knobs=(Knob("morph"),))
        else:
            model = as_model(EqNetwork(blocks, taps))
        upload(pedal, replace(quantize_eq(model), precision=precision), audio)
        costs = span_cost(pedal, MOVING if moving else MOVING[1:], audio, MOVING_TO if moving else ())
        counts.append(costs["cycles"])
        terms.append([blocks * padded(taps), blocks, 1])
        stated.append(eq_budget(blocks, taps, precision, moving).cycles_per_sample)
    return fitted(np.array(counts), np.array(terms), np.array(stated))


def span_cost(pedal: TracedPedal, functions: Sequence[str], audio: np.ndarray, knob: Sequence[float] = ()) -> dict:
    """Instructions and estimated cycles a sample of `functions` together, each traced in a span of its own; before each
    the knob goes to the next of `knob`."""
    samples = fixed_point.to_q31(audio) >> 8
    pedal.select(0, Engine.FIXED)
    pedal.reset()
    pedal.process(samples[:WARM_UP_FRAMES])
    instructions = cycles = 0.0
    for index, function in enumerate(functions):
        if knob:
            pedal.set(Parameter.KNOB_1, knob[index])
        first = WARM_UP_FRAMES + index * SPAN_FRAMES
        steps = pedal.trace(function, samples[first : first + SPAN_FRAMES])
        instructions += len(steps) / SPAN_FRAMES
        cycles += estimate(steps) / SPAN_FRAMES
    return {"instructions": round(instructions), "cycles": round(cycles), "block_overhead": 0}


def morph_row(pedal: TracedPedal, audio: np.ndarray) -> dict:
    """A morph while its knob moves: in every span the FIRs are mixed anew, and the old ones play as well. The SNR is of
    where it stops."""
    model = blend.with_knob([trained_model(MORPH), trained_model(MORPH_TO)], f"{MORPH}-morph-2")
    quantized = quantize_eq(model)
    upload(pedal, quantized, audio)
    costs = span_cost(pedal, MOVING, audio, MOVING_TO)
    exact = partial(reference, model, None, knobs=[2 * MOVING_TO[-1] - 0.5])
    return as_row(pedal, model.name, "fixed, knob moving", costs, fixed_bytes(quantized), audio, exact)


def cabinet_rows(pedal: TracedPedal, audio: np.ndarray) -> list[dict]:
    """What an impulse response costs, whatever the model before it; the SNR is of both."""
    rows, model = [], trained_model(MORPH)
    quantized = quantize_eq(model)
    for taps in CABINET_TAPS:
        response = np.random.default_rng(0).standard_normal(taps) * np.exp(-np.arange(taps) / (taps / 7))
        cabinet = Cabinet(f"cabinet, {taps} taps", response / np.abs(np.fft.rfft(response)).max())
        stored = quantize_cabinet(cabinet.taps)
        pedal.load(0, blob.to_bytes(quantized, blob.make_self_test(quantized, audio), cabinet=stored))
        costs = span_cost(pedal, ["oddity::Cabinet::Process"], audio)
        exact = partial(reference, model, None, cabinet=cabinet)
        rows.append(as_row(pedal, cabinet.name, "fixed", costs, stored.taps.nbytes, audio, exact))
    return rows


def resampling_cycles(pedal: TracedPedal, audio: np.ndarray) -> dict[int, float]:
    """Cycles a frame of the conversion around a model, by the model's rate, over 80 frames."""
    cycles = {}
    for own_hz in RATES_HZ:
        model = replace(as_model(RecurrentNetwork("gru", 1)), sample_rate_hz=own_hz)
        upload(pedal, quantize(model, audio[:WARM_UP_FRAMES]), audio)
        pedal.select(0, Engine.FIXED)
        pedal.reset()
        spans = fixed_point.to_q31(audio[: 5 * SPAN_FRAMES]).reshape(5, SPAN_FRAMES) >> 8
        counts = [estimate(pedal.trace(function, span)) for span in spans for function in RESAMPLING_FUNCTIONS]
        cycles[own_hz] = sum(counts) / spans.size
    return cycles


def resampling_agrees(cycles: dict[int, float]) -> bool:
    """Whether export/budget.py says no less and at most a tenth more than was found."""
    without = budget("gru", 1).cycles_per_sample
    stated = {
        own_hz: budget("gru", 1, resampling=Resampling(own_hz)).cycles_per_sample - without * own_hz / SAMPLE_RATE_HZ
        for own_hz in cycles
    }
    for own_hz, found in cycles.items():
        print(f"resampling for {own_hz} Hz: {found:.0f} cycles a frame, export/budget.py says {stated[own_hz]:.0f}")
    return all(found - 1 <= stated[own_hz] <= 1.1 * found + 1 for own_hz, found in cycles.items())


def print_ratios(rows: list[dict]) -> None:
    """Of each LSTM, the cycles of RTNeural's fastest row by those of the fixed engine."""
    if not RTNEURAL.is_file():
        print("no rows of rtneural: git submodule update --init fetches it")
        return
    for name in MODELS:
        cycles = {row["engine"]: row["cycles"] for row in rows if row["model"] == name}
        others = {engine: count for engine, count in cycles.items() if engine.startswith("rtneural")}
        if name.startswith("lstm") and others:
            fastest = min(others, key=lambda engine: others[engine])
            padded = "" if int(name.removeprefix("lstm-")) in RTNEURAL_SIZES else ", in a larger network"
            print(f"{name}: {fastest} takes {others[fastest] / cycles['fixed']:.2f} times the cycles of fixed{padded}")


def main() -> None:
    torch.set_num_threads(1)
    audio = guitar(1.0, seed=5).astype(np.float32)
    audio = audio[int(np.argmax(np.abs(audio) > 0.05)) :]  # from the first note on
    measured = cases(audio)
    print(HEAD)
    rows, fits, eq_fits, resampling = [], {}, {}, {}
    for image, rtneural_label in RTNEURAL_ROWS.items() if RTNEURAL.is_file() else [(FIRST_IMAGE, "")]:
        with TracedPedal(build(image)) as pedal:
            for case in measured:
                upload(pedal, case.quantized, audio)
                if image == FIRST_IMAGE:
                    stored = fixed_bytes(case.quantized)
                    rows.append(row_of(pedal, Engine.FIXED, case, case.engine, stored, audio) | case.amp_errors)
                if rtneural_label and case.engine == "fixed" and case.name in MODELS and case.quantized.layers == 1:
                    stored = rtneural_bytes(case.model)
                    rows.append(row_of(pedal, Engine.RTNEURAL, case, rtneural_label, stored, audio))
            if image == FIRST_IMAGE:
                rows += [morph_row(pedal, audio), *cabinet_rows(pedal, audio)]
                kinds = itertools.product(EQ_PRECISIONS, (False, True))
                eq_fits = {(precision, moving): fit_eq(pedal, precision, moving, audio) for precision, moving in kinds}
                kinds = itertools.product(("lstm", "gru"), PRECISIONS)
                fits = {(unit, precision): fit(pedal, unit, precision, audio) for unit, precision in kinds}
                resampling = resampling_cycles(pedal, audio)
    order = list(dict.fromkeys([case.name for case in measured] + [row["model"] for row in rows]))
    rows.sort(key=lambda row: order.index(row["model"]))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "cortex_m7.json").write_text(json.dumps(rows, indent=1) + "\n")
    print_ratios(rows)
    for engine in dict.fromkeys(row["engine"] for row in rows):
        share = [row["instructions"] / row["cycles"] for row in rows if row["engine"] == engine]
        print(f"{engine}: {min(share):.2f} to {max(share):.2f} instructions a cycle")
    overhead = max(row["block_overhead"] for row in rows if row["engine"].startswith("fixed"))
    print(f"fixed: {overhead} cycles at most for a call, whatever the size of its block")
    for row in rows:
        if "esr_amp" in row:
            ratio = row["esr_amp"] / row["float_esr_amp"]
            print(
                f"{row['model']}, int8 on the pedal: ESR {row['esr_amp']:.5f} against the amp, {ratio:.2f} of float's"
            )
    print(f"largest LSTM under {USABLE_SHARE:.0%} of the budget: {largest('lstm').name}")
    print("for export/budget.py: cycles by row pair, unit and layer")
    for (unit, precision), (coefficients, _) in fits.items():
        print(f'    ("{unit}", "{precision}"): ({", ".join(f"{value:.2f}" for value in coefficients)}),')
    print("and of EQ networks: cycles by tap of a block, block and frame")
    for (precision, moving), (coefficients, _) in eq_fits.items():
        print(f'    ("{precision}", {moving}): ({", ".join(f"{value:.3f}" for value in coefficients)}),')
    fits |= eq_fits
    cabinets_agree = all(
        row["cycles"] <= cabinet_cycles(int(row["model"].split()[1])) + 1 <= 1.1 * row["cycles"]
        for row in rows
        if row["model"].startswith("cabinet")
    )
    if not cabinets_agree or not resampling_agrees(resampling) or not all(agrees for _, agrees in fits.values()):
        sys.exit("export/budget.py has other numbers: put these in")


if __name__ == "__main__":
    main()
