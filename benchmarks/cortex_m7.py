"""What every engine costs on a Cortex-M7 and how exact it is, by model: `python benchmarks/cortex_m7.py`.

The firmware runs in the emulator. Of each engine and model one block is traced in steady state, after
10 ms of guitar, from the first instruction of the engine's Process to its return: the model alone, without the levels,
ramps and bypass of the effect around it (they cost the same for every model) and without the audio driver. The
instructions are counted; the cycles are an estimate (export/cortex_m7/pipeline.py has its rules and what it leaves
out). SNR and ESR compare 0.1 s that the emulated pedal plays with the float64 model, which PyTorch computes.

The models are trained here for some seconds each, once, and kept in build/bench/models: their weights are like those
of any capture, their sound is not the point. Writes build/bench/cortex_m7.json: rows of model, engine, instructions and
cycles (a sample), budget (share of the cycles that a sample has), bytes (of the parameters as the engine keeps them),
snr_db and esr.

RTNeural's rows appear where its submodule is: of its STL back end, as in the firmware that is played, and from two more
images of its Eigen back end, with its own activations and with cheaper ones (firmware/engine/fast_maths.h). The images
of Eigen have the compiler flags that are fastest for it (firmware/platform/builder/main.py). A last table holds the
fixed engine against the fastest of these rows. The firmware has networks of the sizes 8, 16, 20, 32, 40 and 64, and
runs a model in the smallest that holds it: gru-10 costs what gru-16 does, lstm-48 what lstm-64 does.
"""

import functools
import json
import sys
from pathlib import Path

import numpy as np
import torch
from training_recipe import AMPS, guitar, oversampled

from export import blob, fixed_point
from export.budget import CYCLES_PER_SAMPLE, USABLE_SHARE, budget, largest_hidden_size
from export.cortex_m7 import estimate
from export.daisy import signal_to_noise_db
from export.quantize import QuantizedModel, quantize
from hardware.firmware_build import RTNEURAL, build
from hardware.instruction_trace import TracedPedal
from hardware.protocol import Engine
from training import model_file
from training.capture import Capture, Pair
from training.loop import Trainer, TrainingConfig
from training.model_file import Model
from training.recurrent import RecurrentNetwork

MODELS = "lstm-8 lstm-16 lstm-20 lstm-32 lstm-40 lstm-48 lstm-64 gru-10 gru-20 gru-40".split()  # noqa: SIM905
FIT_SIZES = (1, 6, 8, 13, 20, 32, 40, 45, 64)
RTNEURAL_SIZES = (8, 16, 20, 32, 40, 64)
FIRST_IMAGE = "emulator"
ROW_NAMES = {
    FIRST_IMAGE: {Engine.FIXED: "fixed", Engine.RTNEURAL: "rtneural-stl"},
    "emulator_eigen": {Engine.RTNEURAL: "rtneural-eigen"},
    "emulator_eigen_fast": {Engine.RTNEURAL: "rtneural-eigen-fast"},
}
"""What is measured in which image. Each has one back end of RTNeural; the fixed engine is the same in all."""
ENGINE_FUNCTIONS = {
    Engine.FIXED: "oddity::FixedEngine::Process",
    Engine.RTNEURAL: "oddity::RtneuralEngine::Process",
}
TRACED_FRAMES = {Engine.FIXED: 16, Engine.RTNEURAL: 2}
"""The effect hands an engine 16 frames at a time. RTNeural has no cost a block, and traces ten times as long."""
WARM_UP_FRAMES = 480
PLAYED_FRAMES = 4800
TRAINING_SECONDS_OF_AUDIO = 10
TRAINING_STEPS = 64
OUT = Path("build/bench")
ROW = "{model:8} {engine:19} {instructions:12,} {cycles:9,} {budget:7.1%} {bytes:8,} {snr_db:7.1f} {esr:9.1e}"


@functools.cache
def capture() -> Capture:
    """Some seconds of guitar through a crunchy amp."""
    dry = guitar(TRAINING_SECONDS_OF_AUDIO, seed=3)
    wet = oversampled(AMPS["crunch"], dry)
    return Capture((Pair("crunch", dry.astype(np.float32), wet.astype(np.float32)),))


def trained_model(name: str) -> Model:
    """The model `name` ("lstm-40") after a short training on a crunchy amp; from build/bench/models if it is there."""
    path = OUT / "models" / f"{name}.pt"
    if path.is_file():
        return model_file.load(path)
    trainer = Trainer(capture(), TrainingConfig(model=name, steps=TRAINING_STEPS), torch.device("cpu"))
    while trainer.step < TRAINING_STEPS:
        trainer.train_on_draw()
    model = as_model(trainer.network)
    path.parent.mkdir(parents=True, exist_ok=True)
    model_file.save(path, model)
    return model


def as_model(network: RecurrentNetwork) -> Model:
    config = {"hidden_size": network.hidden_size, "knob_count": 0}
    return Model(network.name, network.unit, config, network.eval())


def upload(pedal: TracedPedal, model: Model, audio: np.ndarray) -> QuantizedModel:
    quantized = quantize(model, audio)
    pedal.load(0, blob.to_bytes(quantized, blob.make_self_test(quantized, audio), low_weights=True))
    return quantized


def cost(pedal: TracedPedal, engine: Engine, audio: np.ndarray) -> tuple[int, int]:
    """Instructions and estimated cycles a sample of the model in slot 0."""
    samples = fixed_point.to_q31(audio) >> 8
    pedal.select(0, engine)
    pedal.reset()
    pedal.process(samples[:WARM_UP_FRAMES])
    frames = TRACED_FRAMES[engine]
    steps = pedal.trace(ENGINE_FUNCTIONS[engine], samples[WARM_UP_FRAMES : WARM_UP_FRAMES + frames])
    return round(len(steps) / frames), round(estimate(steps) / frames)


def accuracy_db(pedal: TracedPedal, engine: Engine, model: Model, audio: np.ndarray) -> float:
    """SNR of the pedal, dB, against the float64 model on the very samples that it was sent."""
    sent = fixed_point.to_q31(audio[:PLAYED_FRAMES]) >> 8
    pedal.select(0, engine)
    pedal.reset()
    reference = np.clip(model.render(sent * 2.0**-23, dtype=np.float64), -1.0, 1.0)
    return signal_to_noise_db(reference, pedal.process(sent) * 2.0**-23)


def parameter_bytes(engine: Engine, model: Model, quantized: QuantizedModel) -> int:
    """Of the parameters as the engine keeps them; RTNeural's are padded to the network that it has."""
    if engine == Engine.FIXED:
        arrays = ("bias", "scale", "input_weights", "recurrent_weights", "head_weights")
        return sum(getattr(quantized, name).nbytes for name in arrays)
    size = next(size for size in RTNEURAL_SIZES if size >= quantized.hidden_size)
    return 4 * sum(weights.numel() for weights in RecurrentNetwork(model.architecture, size).parameters())


def measure(pedal: TracedPedal, row_names: dict[Engine, str], name: str, audio: np.ndarray) -> list[dict]:
    """One row for each of the engines `row_names` that the pedal has."""
    model = trained_model(name)
    quantized = upload(pedal, model, audio)
    rows = []
    for engine in sorted(pedal.hello().engines & row_names.keys()):
        instructions, cycles = cost(pedal, engine, audio)
        snr_db = accuracy_db(pedal, engine, model, audio)
        rows.append(
            {
                "model": name,
                "engine": row_names[engine],
                "instructions": instructions,
                "cycles": cycles,
                "budget": round(cycles / CYCLES_PER_SAMPLE, 4),
                "bytes": parameter_bytes(engine, model, quantized),
                "snr_db": round(snr_db, 1),
                "esr": float(f"{10 ** (-snr_db / 10):.3g}"),
            }
        )
        print(ROW.format(**rows[-1]), flush=True)
    return rows


def fit(pedal: TracedPedal, unit: str, audio: np.ndarray) -> tuple[np.ndarray, bool]:
    """The fixed engine's cycles as a sum of hidden * pairs, hidden and 1, never below the account at any size; and
    whether export/budget.py agrees with the account to 5 %. The weights are random: they do not change the cycles."""
    torch.manual_seed(0)
    cycles = []
    for size in FIT_SIZES:
        upload(pedal, as_model(RecurrentNetwork(unit, size)), audio)
        cycles.append(cost(pedal, Engine.FIXED, audio)[1])
    sizes, counts = np.array(FIT_SIZES), np.array(cycles)
    terms = np.stack([sizes * ((sizes + 1) // 2), sizes, np.ones_like(sizes)], axis=1)
    coefficients = np.linalg.lstsq(terms / counts[:, None], np.ones(len(sizes)), rcond=None)[0]
    coefficients = coefficients * (counts / (terms @ coefficients)).max()
    wanted = np.array([budget(unit, size).cycles_per_sample for size in FIT_SIZES])
    agrees = bool((np.abs(wanted / (terms @ coefficients) - 1) < 0.05).all())
    return coefficients, agrees


def print_ratios(rows: list[dict]) -> None:
    """Of each LSTM, the cycles of RTNeural's fastest row by those of the fixed engine."""
    if not RTNEURAL.is_file():
        print("no rows of rtneural: git submodule update --init fetches it")
        return
    for name in MODELS:
        cycles = {row["engine"]: row["cycles"] for row in rows if row["model"] == name}
        fixed = cycles.pop("fixed")
        fastest = min(cycles, key=lambda engine: cycles[engine])
        if name.startswith("lstm"):
            padded = "" if int(name.removeprefix("lstm-")) in RTNEURAL_SIZES else ", in a larger network"
            print(f"{name}: {fastest} takes {cycles[fastest] / fixed:.2f} times the cycles of fixed{padded}")


def main() -> None:
    torch.set_num_threads(1)
    audio = guitar(1.0, seed=5)
    audio = audio[int(np.argmax(np.abs(audio) > 0.05)) :]  # from the first note on
    print("model    engine              instructions    cycles  budget    bytes  SNR dB       ESR")
    rows = []
    for image, row_names in ROW_NAMES.items() if RTNEURAL.is_file() else [(FIRST_IMAGE, ROW_NAMES[FIRST_IMAGE])]:
        with TracedPedal(build(image)) as pedal:
            for name in MODELS:
                rows += measure(pedal, row_names, name, audio)
            if image == FIRST_IMAGE:
                fits = {unit: fit(pedal, unit, audio) for unit in ("lstm", "gru")}
    rows.sort(key=lambda row: MODELS.index(row["model"]))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "cortex_m7.json").write_text(json.dumps(rows, indent=1) + "\n")
    print_ratios(rows)
    for engine in dict.fromkeys(row["engine"] for row in rows):
        share = [row["instructions"] / row["cycles"] for row in rows if row["engine"] == engine]
        print(f"{engine}: {min(share):.2f} to {max(share):.2f} instructions a cycle")
    print("for export/budget.py: cycles by hidden * pairs, hidden, 1")
    for unit, (coefficients, _) in fits.items():
        print(f'    "{unit}": ({", ".join(f"{value:.2f}" for value in coefficients)}),')
    print(f"largest LSTM under {USABLE_SHARE:.0%} of the budget: {largest_hidden_size('lstm')}")
    if not all(agrees for _, agrees in fits.values()):
        sys.exit("export/budget.py has other numbers: put these in")


if __name__ == "__main__":
    main()
