"""The process that holds one runtime: `python -m export.tflite.play RUNTIME FOLDER`.

Reads playing.json and take.npz from FOLDER and plays the take through each file as a host would; writes
RUNTIME-CANDIDATE.npy, what came back, and RUNTIME.json, how long it took.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

TIMED_FRAMES = 480
RESET_FRAMES = 2_400
ARENA_BYTES = 32 << 20


class Runtime(Protocol):
    """Inputs and outputs are numbered by their places in the file's order."""

    def set(self, place: int, values: np.ndarray) -> None: ...

    def get(self, place: int) -> np.ndarray: ...

    def invoke(self) -> None: ...

    def reset(self) -> None: ...


class InterpreterRuntime:
    """tflite_runtime and LiteRT, which have the same interface; without delegates: the plain kernels."""

    def __init__(self, module: Any, path: Path) -> None:
        kernels = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = module.Interpreter(model_path=str(path), experimental_op_resolver_type=kernels, num_threads=1)
        interpreter.allocate_tensors()
        self._inputs = [interpreter.tensor(detail["index"]) for detail in interpreter.get_input_details()]
        self._outputs = [interpreter.tensor(detail["index"]) for detail in interpreter.get_output_details()]
        self.invoke = interpreter.invoke
        self.reset = interpreter.reset_all_variables

    def set(self, place: int, values: np.ndarray) -> None:
        self._inputs[place]()[...] = values

    def get(self, place: int) -> np.ndarray:
        return self._outputs[place]().copy()  # while a view is held, nothing can be invoked


class MicroRuntime:
    """TensorFlow Lite Micro, built for the host."""

    def __init__(self, module: Any, path: Path) -> None:
        self._interpreter = module.Interpreter.from_file(str(path), arena_size=ARENA_BYTES)
        self.invoke = self._interpreter.invoke
        self.reset = self._interpreter.reset

    def set(self, place: int, values: np.ndarray) -> None:
        self._interpreter.set_input(values, place)

    def get(self, place: int) -> np.ndarray:
        return self._interpreter.get_output(place)


def _opener(runtime: str) -> Callable[[Path], Runtime]:
    if runtime == "tflite_micro":
        from tflite_micro import runtime as micro

        return lambda path: MicroRuntime(micro, path)
    if runtime == "tflite_runtime":
        from tflite_runtime import interpreter as module
    else:
        from ai_edge_litert import interpreter as module
    return lambda path: InterpreterRuntime(module, path)


def quantized(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """Real `values` as the file's tensor has them, of its shape but for further leading axes."""
    if tensor["type"] == "float32":
        return np.asarray(values, np.float32)
    limits = np.iinfo(tensor["type"])
    integers = np.rint(np.asarray(values, np.float64) / tensor["scale"]) + tensor["zero_point"]
    return np.clip(integers, limits.min, limits.max).astype(tensor["type"])


def real(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    if tensor["type"] == "float32":
        return values.astype(np.float64)
    return (values.astype(np.float64) - tensor["zero_point"]) * tensor["scale"]


class Stream:
    """A file as a host plays it: the states from the outputs back to the inputs, from rest."""

    def __init__(self, runtime: Runtime, layout: dict[str, Any], take: dict[str, np.ndarray]) -> None:
        self.runtime, self.inputs, self.outputs = runtime, layout["inputs"], layout["outputs"]
        self.frames = self.inputs["audio"]["shape"][1]
        self.states = [name for name in self.inputs if name not in ("audio", "knobs")]
        self.audio = quantized(take["audio"], self.inputs["audio"]).reshape(-1, 1, self.frames)
        self.take = take
        self.silence = quantized(np.zeros((1, self.frames)), self.inputs["audio"])

    def play(self, frames: int) -> tuple[np.ndarray, list[float]]:
        """The output's integers or floats [frames], and the seconds that each TIMED_FRAMES of it took."""
        runtime, steps = self.runtime, frames // self.frames
        runtime.reset()
        for name in self.states:
            rest = quantized(self.take[f"rest_{name}"], self.inputs[name]).reshape(self.inputs[name]["shape"])
            runtime.set(self.inputs[name]["place"], rest)
        positions = self.take["knobs"][0]
        if not self.states:  # it begins with zeros
            for _ in range(int(self.take["settling_frames"]) // self.frames):
                self._turn(positions)
                runtime.set(self.inputs["audio"]["place"], self.silence)
                runtime.invoke()
        places = [(self.inputs[name]["place"], self.outputs[name]["place"]) for name in self.states]
        audio_in, audio_out = self.inputs["audio"]["place"], self.outputs["audio"]["place"]
        output = np.empty((steps, self.frames), self.outputs["audio"]["type"])
        starts = (int(start) // self.frames for start in self.take["starts"])
        turns = dict(zip(starts, self.take["knobs"], strict=True))
        timed_steps = max(TIMED_FRAMES // self.frames, 1)
        times, began = [], time.perf_counter()
        for step in range(steps):
            positions = turns.get(step, positions)
            self._turn(positions)
            runtime.set(audio_in, self.audio[step])
            runtime.invoke()
            output[step] = runtime.get(audio_out)[0]
            after = [runtime.get(state_out) for _, state_out in places]
            for (state_in, _), state in zip(places, after, strict=True):
                runtime.set(state_in, state)
            if (step + 1) % timed_steps == 0:
                now = time.perf_counter()
                times.append(now - began)
                began = now
        return output.reshape(-1), [seconds / (timed_steps * self.frames) for seconds in times]

    def _turn(self, positions: np.ndarray) -> None:
        """Before each step: TensorFlow Lite Micro does not keep its inputs."""
        if "knobs" in self.inputs:
            knobs = self.inputs["knobs"]
            held = np.broadcast_to(quantized(positions, knobs), knobs["shape"])
            self.runtime.set(knobs["place"], np.ascontiguousarray(held))


def main(runtime: str, folder: Path) -> None:
    job = json.loads((folder / "playing.json").read_text())
    take = dict(np.load(folder / "take.npz"))
    opened = _opener(runtime)
    found = {}
    for name in job["candidates"]:
        try:
            found[name] = _played(opened, runtime, folder, name, take, job["frames"])
        except (RuntimeError, ValueError) as error:  # an operation that this runtime has not
            found[name] = {"error": (str(error).splitlines() or ["cannot play it"])[0]}
        (folder / f"{runtime}.json").write_text(json.dumps(found))


def _played(
    opened: Callable[[Path], Runtime], runtime: str, folder: Path, name: str, take: dict[str, np.ndarray], frames: int
) -> dict[str, Any]:
    layout = json.loads((folder / f"{name}.json").read_text())
    stream = Stream(opened(folder / f"{name}.tflite"), layout, take)
    output, times = stream.play(frames)
    again, _ = stream.play(min(RESET_FRAMES, frames))
    np.save(folder / f"{runtime}-{name}.npy", real(output, layout["outputs"]["audio"]))
    return {
        "us_per_sample": 1e6 * float(np.median(times)),
        "identical_after_reset": bool(np.array_equal(again, output[: len(again)])),
    }


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
