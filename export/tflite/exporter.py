"""Target tflite: a model as TensorFlow Lite files, those that pass their gates, and a manifest."""

import copy
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export import daisy
from export.daisy import signal_to_noise_db
from export.resampling import PEDAL_RATE_HZ
from export.tflite import network
from export.tflite.flavours import WEIGHTS, Candidate, Flavour
from training.audio import resampled
from training.errors import InputError
from training.files import written_aside
from training.model_file import Model

RUNTIMES = {"tflite_runtime": "tflite-runtime", "ai_edge_litert": "ai-edge-litert", "tflite_micro": "tflite-micro"}
"""Modules, and what they are called where they are installed from."""
AGREEMENT_DB = 1.0
"""By which the SNR of runtimes may differ; of floats, whose rounding is the runtime's, below their gate only."""
TAKE_SECONDS, MEASURED_SECONDS = 4.0, 1.0
PLAYED_MULTIPLIES = 1e9
"""Of a take that is played by plain kernels: a dense network's is shorter."""
TAKE_SEED, TAKE_PEAK = 21, 0.9
SETTLING_SECONDS = 0.5
HOW_TO_STREAM = """\
At the start: write `rest_integers` (of floats `rest`) of each state into the input of its name.
For each `frames_per_step` frames: write `audio`, and `knobs` (0 to 1) where there are some, as round(value / scale) +
zero_point, clipped to the type; invoke; read the output `audio` as (integer - zero_point) * scale; copy the output of
each state into the input of its name: the scales of both are the same. Read all outputs before an input is written.
Where the shape of `knobs` has frames, each frame gets the same.
A file without states keeps them in the runtime, from zeros: play `settling_frames` of silence first, and reset with
reset_all_variables() (TensorFlow Lite Micro: Reset())."""


@dataclass(frozen=True)
class Take:
    """What files are measured on: audio float32 [frames] at the model's rate, knob positions by segment, and what the
    float64 model makes of it."""

    audio: np.ndarray
    starts: list[int]
    positions: list[list[float]]
    reference: np.ndarray


@dataclass(frozen=True)
class Played:
    """By one runtime. `error` is what it said where it could not."""

    output: np.ndarray
    us_per_sample: float
    identical_after_reset: bool
    error: str | None = None


@dataclass(frozen=True)
class File:
    """A flavour as a file: its contents, where its inputs and outputs lie, and how it plays on each runtime.

    `tried_db`: the worst SNR of each candidate by name.
    """

    candidate: Candidate
    contents: bytes
    layout: dict[str, Any]
    snr_db: dict[str, float]
    played: dict[str, Played]
    tried_db: dict[str, float] = field(default_factory=dict)

    @property
    def flavour(self) -> Flavour:
        return self.candidate.flavour

    @property
    def worst_db(self) -> float:
        return min(self.snr_db.values(), default=-np.inf)

    @property
    def failure(self) -> str | None:
        """Why it is not shipped."""
        if not self.snr_db:
            return next(result.error for result in self.played.values() if result.error)
        gate_db, best_db = self.flavour.gate_db, max(self.snr_db.values())
        if self.worst_db < gate_db:
            return f"{self.worst_db:.1f} dB SNR against the float model, under its gate of {gate_db:g} dB"
        if self.flavour.integer and best_db - self.worst_db > AGREEMENT_DB:
            return f"the runtimes do not agree: {self.worst_db:.1f} to {best_db:.1f} dB SNR"
        if not all(result.identical_after_reset for result in self.played.values() if not result.error):
            return "plays differently after a reset"
        return None


@dataclass(frozen=True)
class Exported:
    """`refused`: why, by the flavour's name."""

    model: Model
    files: tuple[File, ...]
    refused: dict[str, str]
    rest: dict[str, np.ndarray]
    take: Take


def runtimes() -> list[str]:
    """The runtimes that are installed. Raises InputError, which names the extra, unless the conversion can be done."""
    present = [name for name in RUNTIMES if importlib.util.find_spec(name)]
    if not importlib.util.find_spec("tensorflow") or not present:
        missing = "a runtime" if importlib.util.find_spec("tensorflow") else "TensorFlow"
        raise InputError(f"{missing} is not installed, which TensorFlow Lite files need: pip install '.[tflite]'")
    return present


def settling_frames(model: Model) -> int:
    return round(SETTLING_SECONDS * model.sample_rate_hz)


def make_take(model: Model, audio: np.ndarray, settings: Sequence[Sequence[float]]) -> Take:
    """`audio` at the model's rate, cut to whole blocks, in as many segments as there are `settings` of the knobs."""
    segment = len(audio) // len(settings) // network.BLOCK_FRAMES * network.BLOCK_FRAMES
    audio = np.asarray(audio[: segment * len(settings)], np.float32)
    starts = [segment * index for index in range(len(settings))]
    positions = [
        [knob.normalised(value) for knob, value in zip(model.knobs, values, strict=True)] for values in settings
    ]
    exact: Any = copy.deepcopy(model.network).cpu().double().eval()
    state, outputs = model.rest(np.float64), []
    with torch.inference_mode():
        for start, knobs in zip(starts, positions, strict=True):
            part = torch.from_numpy(audio[None, start : start + segment].astype(np.float64))
            output, state = exact(part, torch.tensor([knobs], dtype=torch.float64), state)
            outputs.append(output[0].numpy())
    return Take(audio, starts, positions, np.concatenate(outputs))


def playable_frames(model: Model, seconds: float) -> int:
    frames = min(seconds * model.sample_rate_hz, PLAYED_MULTIPLIES / network.multiplies_per_sample(model))
    return max(int(frames) // network.BLOCK_FRAMES, 1) * network.BLOCK_FRAMES


def prepare(
    model: Model,
    audio: np.ndarray | None = None,
    seconds: float = MEASURED_SECONDS,
    said: Callable[[str], None] = lambda line: None,
) -> Exported:
    """Convert `model` to every flavour and keep what passes its gate.

    `audio` (float [frames] at 48 kHz): what is calibrated on; by default a synthetic take. `seconds`: of guitar that
    is measured on. `said` gets a line for each thing that takes a while. Raises InputError without the extra, for
    models that cannot be expressed, and when no flavour passes.
    """
    network.require_expressible(model)
    present = runtimes()
    guitar = daisy.calibration_audio() if audio is None else audio
    if len(guitar) < daisy.MINIMUM_FRAMES or not np.any(guitar):
        raise InputError(f"nothing can be calibrated on {len(guitar)} frames of it; give some seconds of guitar")
    own = resampled(np.asarray(guitar, np.float32), PEDAL_RATE_HZ, model.sample_rate_hz)
    take = make_take(model, _guitar(model, seconds), _settings(model))
    candidates = _candidates(model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        said(f"converting {len(candidates)} candidates")
        _convert(model, own, candidates, folder)
        write_take(model, take, folder)
        best = _best(candidates, take, present, folder, said)
    files = tuple(file for file in best if not file.failure)
    refused = {file.flavour.name: file.failure for file in best if file.failure}
    if not files:
        raise InputError(f"{model.name}: {'; '.join(f'{flavour}: {why}' for flavour, why in refused.items())}")
    return Exported(model, files, refused, network.rest(model), take)


def _guitar(model: Model, seconds: float) -> np.ndarray:
    """A take that nothing was calibrated on, from where it is loudest."""
    from training.guitar import render_take  # here, because numba takes a second to load

    frames = playable_frames(model, seconds)
    own = resampled(render_take(TAKE_SEED, TAKE_SECONDS, PEDAL_RATE_HZ), PEDAL_RATE_HZ, model.sample_rate_hz)
    start = min(max(int(np.argmax(np.abs(own))) - frames // 4, 0), len(own) - frames)
    return own[start : start + frames] / np.abs(own).max() * TAKE_PEAK


def _settings(model: Model) -> list[list[float]]:
    """The knobs at their defaults, and all at either end."""
    defaults = [knob.default for knob in model.knobs]
    ends = [[knob.minimum for knob in model.knobs], [knob.maximum for knob in model.knobs]]
    return [defaults, *ends] if defaults else [defaults]


def _candidates(model: Model) -> list[Candidate]:
    candidates = []
    for flavour in network.flavours_of(model):
        if not flavour.integer:
            candidates.append(Candidate(flavour))
            continue
        calibrations = list(network.CALIBRATIONS)[: None if flavour.numbers == "i16x8" or flavour.fused else 1]
        for weights in WEIGHTS if flavour.numbers == "i16x8" else WEIGHTS[:1]:
            candidates += [Candidate(flavour, name, weights) for name in calibrations]
    return candidates


def _best(
    candidates: list[Candidate], take: Take, present: list[str], folder: Path, said: Callable[[str], None]
) -> list[File]:
    """The best candidate of each flavour; those with weights twice are tried only where once does not pass."""
    tried: dict[Flavour, list[File]] = {}
    for weights in WEIGHTS:
        passed = {flavour for flavour, files in tried.items() if any(not file.failure for file in files)}
        now = [one for one in candidates if one.weights == weights and one.flavour not in passed]
        names = [candidate.name for candidate in now]
        played = {}
        for runtime in present if now else []:
            said(f"playing {len(now)} candidates on {RUNTIMES[runtime]}")
            played[runtime] = play(runtime, names, len(take.audio), folder)
        for candidate in now:
            own = {runtime: played[runtime][candidate.name] for runtime in present}
            tried.setdefault(candidate.flavour, []).append(_file(candidate, take, own, folder))
    best = []
    for files in tried.values():
        chosen = max(files, key=lambda file: (not file.failure, file.worst_db))
        best.append(replace(chosen, tried_db={file.candidate.name: file.worst_db for file in files}))
    return best


def _snr_db(take: Take, output: np.ndarray) -> float:
    return signal_to_noise_db(take.reference[: len(output)], output)


def _file(candidate: Candidate, take: Take, played: dict[str, Played], folder: Path) -> File:
    return File(
        candidate,
        (folder / f"{candidate.name}.tflite").read_bytes(),
        json.loads((folder / f"{candidate.name}.json").read_text()),
        {runtime: _snr_db(take, result.output) for runtime, result in played.items() if not result.error},
        played,
    )


def _convert(model: Model, guitar: np.ndarray, candidates: list[Candidate], folder: Path) -> None:
    np.savez(folder / "weights.npz", **network.weights_of(model))  # type: ignore[arg-type]
    for name, (peak, squares) in network.CALIBRATIONS.items():
        np.savez(folder / f"{name}.npz", **network.calibration(model, guitar, peak, squares))  # type: ignore[arg-type]
    job = {
        "architecture": model.architecture,
        "frames": {flavour.name: network.step_frames(model, flavour) for flavour in network.flavours_of(model)},
        "candidates": [candidate.as_json() for candidate in candidates],
    }
    (folder / "conversion.json").write_text(json.dumps(job))
    result = _process("export.tflite.convert", str(folder))
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(f"{model.name}: TensorFlow could not convert it: {last[:200]}")


def write_take(model: Model, take: Take, folder: Path) -> None:
    rests = {f"rest_{name}": array for name, array in network.rest(model).items()}
    np.savez(
        folder / "take.npz",
        audio=take.audio,
        starts=np.array(take.starts),
        knobs=np.array(take.positions, np.float32),
        settling_frames=np.array(settling_frames(model)),
        **rests,
    )


def play(runtime: str, names: list[str], frames: int, folder: Path) -> dict[str, Played]:
    """Play the first `frames` of the folder's take through the files, in a process of the runtime's own."""
    (folder / "playing.json").write_text(json.dumps({"candidates": names, "frames": frames}))
    (folder / f"{runtime}.json").unlink(missing_ok=True)
    result = _process("export.tflite.play", runtime, str(folder))
    found = json.loads((folder / f"{runtime}.json").read_text()) if (folder / f"{runtime}.json").is_file() else {}
    stopped = f"the runtime stopped: {(result.stderr.strip().splitlines() or ['no reason given'])[-1][:200]}"
    played = {}
    for name in names:
        record = found.get(name, {"error": stopped})
        if "error" in record:
            played[name] = Played(np.zeros(0), np.nan, False, record["error"])
        else:
            played[name] = Played(np.load(folder / f"{runtime}-{name}.npy"), **record)
    return played


def _process(module: str, *arguments: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )


def write(exported: Exported, base: Path) -> dict[str, Path]:
    """Write `base`-FLAVOUR.tflite, a file a flavour, and `base`.tflite.json, the manifest; paths by what they are."""
    paths = {file.flavour.name: base.with_name(f"{base.name}-{file.flavour.name}.tflite") for file in exported.files}
    for file in exported.files:
        with written_aside(paths[file.flavour.name]) as scratch:
            scratch.write_bytes(file.contents)
    for name in exported.refused:  # of an earlier export
        base.with_name(f"{base.name}-{name}.tflite").unlink(missing_ok=True)
    paths["manifest"] = base.with_name(f"{base.name}.tflite.json")
    with written_aside(paths["manifest"]) as scratch:
        scratch.write_text(json.dumps(manifest(exported, paths), indent=2) + "\n")
    return paths


def manifest(exported: Exported, paths: dict[str, Path]) -> dict[str, Any]:
    model = exported.model
    return {
        "name": model.name,
        "network": model.network.name,
        "sample_rate_hz": model.sample_rate_hz,
        "latency_frames": model.latency_frames,
        "knobs": [
            {"name": knob.name, "minimum": knob.minimum, "maximum": knob.maximum, "default": knob.default}
            for knob in model.knobs
        ],
        "how_to_stream": HOW_TO_STREAM.splitlines(),
        "python": _snippet(exported, paths).splitlines(),
        "measured_on_frames": len(exported.take.audio),
        "runtimes": {RUNTIMES[name]: version(RUNTIMES[name]) for name in exported.files[0].played},
        "flavours": {file.flavour.name: _described(exported, file, paths) for file in exported.files},
        "refused": exported.refused,
    }


def _described(exported: Exported, file: File, paths: dict[str, Path]) -> dict[str, Any]:
    inputs = file.layout["inputs"]
    states = {}
    for name, rest in exported.rest.items():
        if name in inputs:
            states[name] = {"rest": rest.tolist()}
            if file.flavour.integer:
                limits, scale = np.iinfo(inputs[name]["type"]), inputs[name]["scale"]
                integers = np.rint(rest.astype(np.float64) / scale) + inputs[name]["zero_point"]
                states[name]["rest_integers"] = np.clip(integers, limits.min, limits.max).astype(int).tolist()
    return {
        "file": paths[file.flavour.name].name,
        "bytes": len(file.contents),
        "sha256": hashlib.sha256(file.contents).hexdigest(),
        "frames_per_step": inputs["audio"]["shape"][1],
        "inputs": inputs,
        "outputs": file.layout["outputs"],
        "states": states,
        "settling_frames": 0 if states else settling_frames(exported.model),
        "operations": file.layout["operations"],
        "calibration": file.candidate.calibration,
        "weights": file.candidate.weights if file.flavour.integer else None,
        "gate_db": file.flavour.gate_db,
        "tried_snr_db": {name: round(snr, 2) for name, snr in file.tried_db.items()},
        "measured": {RUNTIMES[runtime]: _measured(file, runtime) for runtime in file.played},
    }


def _measured(file: File, runtime: str) -> dict[str, Any]:
    result = file.played[runtime]
    if result.error:
        return {"error": result.error}
    return {
        "snr_db": round(file.snr_db[runtime], 2),
        "us_per_sample": round(result.us_per_sample, 3),
        "identical_after_reset": result.identical_after_reset,
    }


def _snippet(exported: Exported, paths: dict[str, Path]) -> str:
    """Plays the first file, in Python."""
    file = exported.files[0]
    states = [name for name in file.layout["inputs"] if name not in ("audio", "knobs")]
    inputs = f"audio=quantized(audio), {'knobs=quantized(positions), ' if exported.model.knobs else ''}**states"
    return (
        f"interpreter = tflite_runtime.interpreter.Interpreter({paths[file.flavour.name].name!r})\n"
        "step = interpreter.get_signature_runner()\n"
        f"states = rest  # of {', '.join(states) or 'none'}\n"
        "for audio in blocks:\n"
        f"    output = step({inputs})\n"
        "    states = {name: output[name] for name in states}\n"
        "    play(real(output['audio']))\n"
    )


def summary(exported: Exported) -> str:
    """What `pedal export` prints."""
    lines = ["flavour                 bytes  weights  runtime          SNR dB  us a sample"]
    for file in exported.files:
        weights = f"int8 {file.candidate.weights}" if file.flavour.integer else "float"
        for runtime, result in file.played.items():
            name = RUNTIMES[runtime]
            if result.error:
                lines.append(f"{file.flavour.name:<22}{len(file.contents):7,}  {weights:<10} {name:<16} {result.error}")
            else:
                lines.append(
                    f"{file.flavour.name:<22}{len(file.contents):7,}  {weights:<10} {name:<15}"
                    f"{file.snr_db[runtime]:7.1f} {result.us_per_sample:12.2f}"
                )
    lines += [f"{name:<22}refused: {why}" for name, why in exported.refused.items()]
    return "\n".join([*lines, ""])
