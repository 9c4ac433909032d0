"""The process that holds TensorFlow: `python -m export.tflite.convert FOLDER`.

Reads conversion.json, weights.npz and one NAME.npz a calibration set from FOLDER; writes CANDIDATE.tflite and its
layout, CANDIDATE.json, for each candidate.
"""

import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf

from export.tflite import graphs
from export.tflite.flavours import Candidate

_INTEGER_KERNELS = {
    "i16x8": (tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8, tf.int16),
    "i8": (tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.int8),
}


def main(folder: Path) -> None:
    warnings.filterwarnings("ignore")
    job = json.loads((folder / "conversion.json").read_text())
    weights = dict(np.load(folder / "weights.npz"))
    for record in job["candidates"]:
        candidate = Candidate.from_json(record)
        contents = _converted(candidate, job["architecture"], weights, job["frames"][candidate.flavour.name], folder)
        (folder / f"{candidate.name}.tflite").write_bytes(contents)
        (folder / f"{candidate.name}.json").write_text(json.dumps(_layout(contents)))


def _converted(
    candidate: Candidate, architecture: str, weights: dict[str, np.ndarray], frames: int, folder: Path
) -> bytes:
    flavour = candidate.flavour
    if flavour.fused:
        graph = graphs.fused_lstm(weights, frames)
    else:
        parts = graphs.whole
        if candidate.weights == "twice":
            parts = graphs.with_rest_by_row if flavour.per_channel else graphs.with_rest
        graph = graphs.build(architecture, weights, frames, parts, flavour.integer)
    signature = [tf.TensorSpec(shape, tf.float32, name=name) for name, shape in graph.inputs.items()]

    def step(*tensors: tf.Tensor) -> graphs.Tensors:
        return graph.step(dict(zip(graph.inputs, tensors, strict=True)))

    module = tf.Module()
    module.step = tf.function(step, input_signature=signature, autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.step.get_concrete_function()], module)
    if flavour.integer:
        data = dict(np.load(folder / f"{candidate.calibration}.npz"))
        if flavour.fused:
            data = {name[len("fused_") :]: array for name, array in data.items() if name.startswith("fused_")}

        def examples() -> Iterator[dict[str, np.ndarray]]:
            for index in range(len(data["audio"])):
                yield {name: _shaped(data[name][index], shape) for name, shape in graph.inputs.items()}

        kernels, audio_type = _INTEGER_KERNELS[flavour.numbers]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = examples
        converter.target_spec.supported_ops = [kernels]
        converter.inference_input_type = converter.inference_output_type = audio_type
        if not flavour.per_channel:
            converter._experimental_disable_per_channel = True
            converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    return converter.convert()


def _shaped(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Knobs are repeated where a step takes them for each frame."""
    return np.ascontiguousarray(np.broadcast_to(values, shape))


def _layout(contents: bytes) -> dict[str, Any]:
    """The inputs and outputs by name, each with its place in the file's order, and the operations."""
    interpreter = tf.lite.Interpreter(
        model_content=contents,
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()

    def described(named: dict[str, dict], ordered: list[dict]) -> dict[str, dict]:
        places = [detail["index"] for detail in ordered]
        return {
            name: {
                "place": places.index(detail["index"]),
                "shape": detail["shape"].tolist(),
                "type": np.dtype(detail["dtype"]).name,
                "scale": float(detail["quantization"][0]),
                "zero_point": int(detail["quantization"][1]),
            }
            for name, detail in named.items()
        }

    scales = [len(detail["quantization_parameters"]["scales"]) for detail in interpreter.get_tensor_details()]
    return {
        "inputs": described(runner.get_input_details(), interpreter.get_input_details()),
        "outputs": described(runner.get_output_details(), interpreter.get_output_details()),
        "operations": dict(Counter(operation["op_name"] for operation in interpreter._get_ops_details())),
        "most_scales_of_a_tensor": max(scales),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
