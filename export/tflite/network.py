"""What a conversion needs of a model: its weights by name, its rest, and data to calibrate on."""

from typing import Any

import numpy as np
import torch

from export.tflite.flavours import FLAVOURS, Flavour
from training.eq_block import EqNetwork
from training.errors import InputError
from training.model_file import Model
from training.recurrent import RecurrentNetwork

BLOCK_FRAMES = 48
"""Of a step of networks without recurrent layers, and of the fused LSTM: the pedal's block."""
STREAMS = 64
CLOSING_ROUNDS = 8
TUPLES = 1_000
"""Of states that are calibrated on."""
MULTIPLIES, TUPLE_MULTIPLIES = 1e9, 3e8
"""That a run over calibration data may take, and all its tuples once: a dense network has fewer."""
SQUARE_SECONDS, SQUARE_HZ = 0.1, 110
CALIBRATIONS = {
    "guitar": (1.0, False),
    "guitar-squares": (1.0, True),
    "quiet-guitar-squares": (0.5, True),
}
"""By name: the guitar's peak, and whether a square wave at full scale goes before it. In all, x is +-1 at rest too."""


def require_expressible(model: Model) -> None:
    """Raise InputError, one line, for what no step of ours says."""
    if model.architecture == "morph":
        raise InputError(
            f"{model.name}: a morph's knob changes its filters, which TensorFlow Lite holds constant; "
            "pedal blend --alpha makes a fixed amp of it"
        )
    if model.architecture not in ("lstm", "gru", "eq", "dense"):
        raise InputError(
            f"{model.name}: --target tflite writes LSTMs, GRUs, EQ blocks and dense networks, no {model.architecture}; "
            "pedal distill makes a model that learns from it"
        )


def step_frames(model: Model, flavour: Flavour | None = None) -> int:
    """Frames of a step of `flavour`; with a history no more than it has, so that it holds the whole block."""
    if flavour is not None and flavour.fused:
        return BLOCK_FRAMES
    if isinstance(model.network, RecurrentNetwork):
        return 1
    memory = len(next(iter(rest(model).values())))
    return max(frames for frames in range(1, BLOCK_FRAMES + 1) if BLOCK_FRAMES % frames == 0 and frames <= memory)


def flavours_of(model: Model) -> list[Flavour]:
    return [flavour for flavour in FLAVOURS if not flavour.fused or model.architecture == "lstm"]


def multiplies_per_sample(model: Model) -> int:
    network = model.network
    if isinstance(network, RecurrentNetwork):
        return sum(weights.numel() for weights in network.parameters())
    return network.multiplies_per_sample


def weights_of(model: Model) -> dict[str, np.ndarray]:
    """float32 arrays, matrices [outputs, inputs], by the names that export.tflite.graphs reads."""
    network: Any = model.network
    own = {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}
    if isinstance(network, RecurrentNetwork):
        arrays = {"head": own["head.weight"], "head_bias": own["head.bias"], "residual": network.residual}
        for layer in range(network.layers):
            for name, theirs in (
                ("input", "weight_ih"),
                ("state", "weight_hh"),
                ("input_bias", "bias_ih"),
                ("state_bias", "bias_hh"),
            ):
                arrays[f"layer{layer}.{name}"] = own[f"recurrent.{theirs}_l{layer}"]
    elif isinstance(network, EqNetwork):
        arrays = {
            "fir": network.fir.detach().numpy(),
            "bias": own["bias"],
            "gate": torch.sigmoid(network.gate_logit).detach().numpy(),
            "level": network.log_level.exp().detach().numpy(),
            "delay": network.block_delay,
        }
    else:
        arrays = {}
        for layer, linear in enumerate(network.layers):
            arrays[f"layer{layer}"] = linear.weight.detach().numpy()
            arrays[f"layer{layer}_bias"] = linear.bias.detach().numpy()
    return {name: np.asarray(array, np.float32) for name, array in arrays.items()}


def _named(model: Model, state: Any) -> dict[str, np.ndarray]:
    """The parts of a network's state by name, each [batch, values]."""
    parts = [part.numpy() for part in (state if isinstance(state, tuple) else (state,))]
    if isinstance(model.network, RecurrentNetwork):
        layers = range(model.network.layers)
        return {
            f"{name}{layer}": part[layer] for layer in layers for name, part in zip(("h", "c"), parts, strict=False)
        }
    if isinstance(model.network, EqNetwork):
        return {f"history{block}": part for block, part in enumerate(parts)}
    return {"history": parts[0]}


def _rest(model: Model) -> Any:
    """As the network takes it, of one stream."""
    state = model.rest()
    if state is None:  # these come to rest within one frame of silence
        with torch.inference_mode():
            _, state = model.network(torch.zeros(1, 1), torch.zeros(1, 0), None)
    return state


def rest(model: Model) -> dict[str, np.ndarray]:
    """The states after a long silence, float32 [values], by name."""
    return {name: array[0] for name, array in _named(model, _rest(model)).items()}


def calibration(model: Model, guitar: np.ndarray, peak: float, squares: bool) -> dict[str, np.ndarray]:
    """Tuples of what a step is given, float32 [tuples, ...]: from a run over `guitar` (float [frames], at the model's
    rate) with the knobs in many places, and with x = +-1.

    A state that a step takes beyond all others is there as what a step is given too: so its range is the same before
    and after a step, and the integers can be copied. For an LSTM also `fused_audio`, `fused_knobs`: the run itself, in
    blocks.
    """
    rng = np.random.default_rng(0)
    audio = guitar / np.abs(guitar).max() * peak
    if squares:
        seconds = np.arange(round(SQUARE_SECONDS * model.sample_rate_hz)) / model.sample_rate_hz
        audio = np.concatenate([np.where(np.sin(2 * np.pi * SQUARE_HZ * seconds) < 0, -1.0, 1.0), audio])
    cost = multiplies_per_sample(model)
    frames = step_frames(model)
    if model.architecture == "dense":
        return _windows(model, audio, rng)
    audio = audio[: max(int(MULTIPLIES / cost), BLOCK_FRAMES * STREAMS)].astype(np.float32)
    whole = STREAMS * BLOCK_FRAMES
    streams = np.resize(audio, max(len(audio) // whole, 1) * whole).reshape(STREAMS, -1, frames)
    steps = streams.shape[1]
    knobs = rng.random((STREAMS, model.network.knob_count)).astype(np.float32)
    knobs[: STREAMS // 2] = knobs[: STREAMS // 2].round()
    seen = _run(model, streams, knobs)
    count = int(np.clip(TUPLE_MULTIPLIES / cost / frames, 16, TUPLES))
    chosen = {(int(stream), int(step)) for stream, step in rng.integers(0, [STREAMS, steps], (count, 2))}
    for array in seen.values():
        stream, step = np.unravel_index(np.argmax(np.abs(array).max(2)), array.shape[:2])
        chosen |= {(int(stream), max(int(step) - 1, 0)), (int(stream), int(step))}  # after a step, and before one
    places = tuple(np.array(sorted(chosen)).T)
    own_rest = rest(model)
    ends = np.array([[1.0], [-1.0]], np.float32) * np.ones(frames, np.float32)
    data = {"audio": np.concatenate([streams[places], ends])}
    for name, array in seen.items():
        data[name] = np.concatenate([array[places], np.repeat(own_rest[name][None], 2, 0)])
    if knobs.shape[1]:
        data["knobs"] = np.concatenate([knobs[places[0]], np.ones((1, knobs.shape[1])), np.zeros((1, knobs.shape[1]))])
    _close(model, data)
    if model.architecture == "lstm":
        blocks = streams.reshape(-1, BLOCK_FRAMES)
        full = np.array([[1.0], [-1.0]]) * np.ones(BLOCK_FRAMES)
        data["fused_audio"] = np.concatenate([blocks, full])
        data["fused_knobs"] = np.repeat(knobs, len(blocks) // STREAMS, axis=0)
        data["fused_knobs"] = np.concatenate([data["fused_knobs"], data["fused_knobs"][:2]])
    return {name: np.asarray(array, np.float32) for name, array in data.items()}


def _windows(model: Model, audio: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """`calibration` of a dense network, whose state is what it has heard: windows from anywhere, and the loudest.

    A run from rest would not have filled a long one by its end.
    """
    frames, ((name, own_rest),) = step_frames(model), rest(model).items()
    whole = len(own_rest) + frames
    audio = np.resize(audio, max(len(audio), 2 * whole))
    count = int(np.clip(TUPLE_MULTIPLIES / multiplies_per_sample(model) / frames, 32, TUPLES))
    energy = np.convolve(np.square(audio), np.ones(whole), "valid")
    loudest = [int(np.argmax(energy)), min(int(np.argmax(np.abs(audio))), len(audio) - whole)]
    starts = np.concatenate([rng.integers(0, len(audio) - whole + 1, count), loudest])
    windows = np.stack([audio[start : start + whole] for start in starts])
    ends = np.array([[1.0], [-1.0]]) * np.ones(frames)
    data = {
        "audio": np.concatenate([windows[:, len(own_rest) :], ends]),
        name: np.concatenate([windows[:, : len(own_rest)], np.repeat(own_rest[None], 2, 0)]),
    }
    _close(model, data)
    return {name: np.asarray(array, np.float32) for name, array in data.items()}


def _close(model: Model, data: dict[str, np.ndarray]) -> None:
    """Add what follows on those tuples whose states a step takes beyond all that it is given."""
    for _ in range(CLOSING_ROUNDS):
        given = {name: torch.from_numpy(np.asarray(array, np.float32)) for name, array in data.items()}
        with torch.inference_mode():
            network: Any = model.network
            _, state = network(given["audio"], given.get("knobs"), _unnamed(model, given))
        after = _named(model, state)
        beyond = [
            int(np.argmax(np.abs(array).max(1)))
            for name, array in after.items()
            if np.abs(array).max() > np.abs(data[name]).max() * (1 + 1e-6)
        ]
        if not beyond:
            return
        more = {"audio": np.zeros_like(data["audio"][beyond])} | {name: array[beyond] for name, array in after.items()}
        if "knobs" in data:
            more["knobs"] = data["knobs"][beyond]
        for name in data:
            data[name] = np.concatenate([data[name], more[name]])


def _unnamed(model: Model, states: dict[str, torch.Tensor]) -> Any:
    """The inverse of `_named`."""
    if isinstance(model.network, RecurrentNetwork):
        layers = range(model.network.layers)
        h, *c = (torch.stack([states[f"{name}{layer}"] for layer in layers]) for name in "hc" if f"{name}0" in states)
        return (h, c[0]) if c else h
    return tuple(array for name, array in states.items() if name.startswith("history"))


def _run(model: Model, streams: np.ndarray, knobs: np.ndarray) -> dict[str, np.ndarray]:
    """The states before each step, [streams, steps, values], by name."""
    network: Any = model.network
    recurrent = isinstance(network, RecurrentNetwork)
    at_rest = _rest(model)
    parts = at_rest if isinstance(at_rest, tuple) else (at_rest,)
    shape = (-1, STREAMS, -1) if recurrent else (STREAMS, -1)
    expanded = tuple(part.expand(*shape).contiguous() for part in parts)
    state: Any = expanded if isinstance(at_rest, tuple) else expanded[0]
    seen: dict[str, list[np.ndarray]] = {}
    with torch.inference_mode():
        held = torch.from_numpy(knobs)
        for step in range(streams.shape[1]):
            for name, array in _named(model, state).items():
                seen.setdefault(name, []).append(array)
            _, state = network(torch.from_numpy(streams[:, step]), held, state)
    return {name: np.stack(arrays, axis=1) for name, arrays in seen.items()}
