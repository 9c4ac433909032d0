"""A recurrent network a sample at a time, as `RecurrentNetwork.forward` computes it: torch takes ten times as long for
one stream, nearly all of it on the way into each step. Numba compiles it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import njit

from training.recurrent import RecurrentNetwork, State


class RecurrentPlayer:
    """Plays one stream, whose knobs stay where they are.

    positions: of the knobs, 0 to 1.
    state: where the stream begins, as `RecurrentNetwork.forward` has it for a batch of one; None for zeros.
    dtype: of the arithmetic, float32 or float64.
    hidden, cell [layers, hidden]: the states after what was played; a GRU's cells stay zero.
    """

    def __init__(
        self,
        network: RecurrentNetwork,
        positions: Sequence[float],
        state: State | None = None,
        dtype: type[np.floating] = np.float64,
    ) -> None:
        self._lstm = network.unit == "lstm"
        self._residual: Any = dtype(network.residual)
        weights = {name: tensor.detach().cpu().numpy().astype(dtype) for name, tensor in network.state_dict().items()}
        size, layers = network.hidden_size, network.layers
        gates = 4 if self._lstm else 3
        # of each layer, by what is multiplied: states below, own states. [layers, 2, hidden, gates * hidden]
        self._weights = np.zeros((layers, 2, size, gates * size), dtype)
        # what the input adds and what the states add: apart, because a GRU's reset gate lies between them
        self._biases = np.zeros((layers, 2, gates * size), dtype)
        for layer in range(layers):
            inputs = weights[f"recurrent.weight_ih_l{layer}"]
            self._biases[layer, 0] = weights[f"recurrent.bias_ih_l{layer}"]
            self._biases[layer, 1] = weights[f"recurrent.bias_hh_l{layer}"]
            self._weights[layer, 1] = weights[f"recurrent.weight_hh_l{layer}"].T
            if layer:
                self._weights[layer, 0] = inputs.T
            else:
                self._inputs = np.ascontiguousarray(inputs[:, 0])
                self._biases[0, 0] += inputs[:, 1:] @ np.asarray(positions, dtype)
        self._head = weights["head.weight"][0]
        self._head_bias = weights["head.bias"][0]
        self.hidden, self.cell = np.zeros((2, layers, size), dtype)
        if state is not None:
            parts = state if isinstance(state, tuple) else (state,)
            for own, part in zip((self.hidden, self.cell), parts, strict=False):
                own[:] = part[:, 0].cpu().numpy()

    @property
    def state(self) -> State:
        """As `RecurrentNetwork.forward` returns it."""
        hidden, cell = (torch.from_numpy(part[:, None].copy()) for part in (self.hidden, self.cell))
        return (hidden, cell) if self._lstm else hidden

    def play(self, audio: np.ndarray) -> np.ndarray:
        """Go on with `audio` [frames]; as many frames of output."""
        return self.watch(audio, len(audio) + 1)[0]

    def watch(self, audio: np.ndarray, every: int) -> tuple[np.ndarray, np.ndarray]:
        """As `play`; and `hidden` and `cell` after each `every` frames, [frames // every, 2, layers, hidden]."""
        audio = np.ascontiguousarray(audio, self._head.dtype)
        output = np.empty_like(audio)
        seen = np.empty((len(audio) // every, 2, *self.hidden.shape), audio.dtype)
        _play(
            self._lstm,
            self._weights,
            self._biases,
            self._inputs,
            self._head,
            self._head_bias,
            self._residual,
            self.hidden,
            self.cell,
            audio,
            output,
            seen,
            every,
        )
        return output, seen


@njit(cache=True, error_model="numpy")
def _sigmoid(x):  # type: ignore[no-untyped-def]
    return 1 / (1 + math.exp(-x))


@njit(cache=True)
def _add_products(columns: np.ndarray, states: np.ndarray, sums: np.ndarray) -> None:
    """Add `states` [hidden] @ `columns` [hidden, gates * hidden] to `sums`, in an order of its own on any processor."""
    for unit in range(len(states)):
        state, column = states[unit], columns[unit]
        for row in range(len(sums)):
            sums[row] += column[row] * state


@njit(cache=True, error_model="numpy")
def _play(
    lstm: bool,
    weights: np.ndarray,  # [layers, 2, hidden, gates * hidden]
    biases: np.ndarray,  # [layers, 2, gates * hidden]
    inputs: np.ndarray,  # [gates * hidden]
    head: np.ndarray,  # [hidden]
    head_bias: float,
    residual: float,
    hidden: np.ndarray,  # [layers, hidden]
    cell: np.ndarray,
    audio: np.ndarray,  # [frames]
    output: np.ndarray,
    seen: np.ndarray,  # [frames // every, 2, layers, hidden]
    every: int,
) -> None:
    layers, size = hidden.shape
    sums = np.empty(biases.shape[1:], audio.dtype)
    for frame in range(len(audio)):
        for layer in range(layers):
            sums[:] = biases[layer]
            if layer == 0:
                sums[0] += inputs * audio[frame]
            else:
                _add_products(weights[layer, 0], hidden[layer - 1], sums[0])
            _add_products(weights[layer, 1], hidden[layer], sums[1])
            for unit in range(size):
                reset_or_input = _sigmoid(sums[0, unit] + sums[1, unit])
                update_or_forget = _sigmoid(sums[0, size + unit] + sums[1, size + unit])
                candidate, from_state = sums[0, 2 * size + unit], sums[1, 2 * size + unit]
                if lstm:
                    gate = _sigmoid(sums[0, 3 * size + unit] + sums[1, 3 * size + unit])
                    candidate = math.tanh(candidate + from_state)
                    cell[layer, unit] = update_or_forget * cell[layer, unit] + reset_or_input * candidate
                    hidden[layer, unit] = gate * math.tanh(cell[layer, unit])
                else:
                    candidate = math.tanh(candidate + reset_or_input * from_state)
                    hidden[layer, unit] = candidate + update_or_forget * (hidden[layer, unit] - candidate)
        total = head_bias + residual * audio[frame]
        for unit in range(size):
            total += head[unit] * hidden[layers - 1, unit]
        output[frame] = total
        if (frame + 1) % every == 0:
            seen[frame // every, 0] = hidden
            seen[frame // every, 1] = cell
