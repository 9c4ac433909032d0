"""A dense network that looks at a window of audio, the future's beginning included, and plays one sample."""

import re
from typing import Any

import torch

from training.errors import InputError, shown

HIDDEN_SIZE, LAYERS = 256, 3
DROPOUT = 0.1
"""Our choice; 600 steps on 16 s of a DI lose 0.5 dB by it."""
LONGEST_WINDOW = 16384
DIRECT_FRAMES = 16
"""Up to so many frames at once the first layer multiplies windows; for more, transforms take less time."""


class DenseWindow(torch.nn.Module):
    """Dense layers on a sliding window, as a blog post of 2018 models amps in Keras:

        h = relu(hidden.0 [audio[n - window + 1], ..., audio[n]]), relu(hidden.1 h), relu(hidden.2 h)
        output[n] = tanh(head h)

    Three layers of 256, with dropout behind each while it is trained. 300 of 4,000 samples, the same share of other
    windows, lie after the sample that is predicted: output[n] is that of frame n - look_ahead, so that the network is
    as late as that, `latency_frames`. Each layer is a torch.nn.Linear: `weight` [outputs, inputs], the oldest frame of
    the window first, and `bias` [outputs]. A Keras kernel is the transpose.

    Raises InputError for a window outside 2 to 16384.
    """

    architecture = "dense"
    knob_count = 0

    def __init__(self, window: int) -> None:
        super().__init__()
        if not 2 <= window <= LONGEST_WINDOW:
            raise InputError(f"a window of {shown(window)} frames is outside 2 to {LONGEST_WINDOW}")
        self.window = window
        self.look_ahead = self.latency_frames = window * 300 // 4000
        inputs = [window] + [HIDDEN_SIZE] * (LAYERS - 1)
        self.hidden = torch.nn.ModuleList(torch.nn.Linear(size, HIDDEN_SIZE) for size in inputs)
        self.head = torch.nn.Linear(HIDDEN_SIZE, 1)
        for layer in self.layers:  # as Keras begins
            torch.nn.init.xavier_uniform_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        self.dropout = torch.nn.Dropout(DROPOUT)
        self.multiplies_per_sample = sum(layer.weight.numel() for layer in self.layers)

    @classmethod
    def from_name(cls, name: str) -> "DenseWindow":
        """Build the network that `name` describes: 'dense-4000' is the post's, of 4,000 samples."""
        match = re.fullmatch(r"dense-([0-9]{1,5})", name)
        if match is None:
            raise InputError(f"unknown model {shown(name)}; of dense networks there are dense-N, of N samples")
        return cls(int(match[1]))

    @property
    def name(self) -> str:
        """The name that `from_name` reads."""
        return f"dense-{self.window}"

    @property
    def config(self) -> dict[str, Any]:
        """The arguments of the constructor, as model files hold them."""
        return {"window": self.window}

    @property
    def layers(self) -> list[torch.nn.Linear]:
        """All of them, from the window to the output; behind each a ReLU, behind the last the tanh."""
        return [layer for layer in (*self.hidden, self.head) if isinstance(layer, torch.nn.Linear)]

    def forward(
        self, audio: torch.Tensor, knobs: torch.Tensor | None = None, state: tuple[torch.Tensor, ...] | None = None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Process a batch of streams.

        audio: [batch, frames], full scale is +-1, of the weights' type.
        knobs: None; there are no knobs.
        state: what an earlier call returned, the last frames [batch, window - 1], or None for silence before.

        Returns the output [batch, frames] and the state after the last frame.
        """
        memory = self.window - 1
        history = audio.new_zeros(len(audio), memory) if state is None else state[0]
        heard = torch.cat([history, audio], dim=1)
        after = (heard[:, heard.shape[1] - memory :],)
        if audio.shape[1] <= DIRECT_FRAMES:
            return self._behind(self.layers[0](heard.unfold(1, self.window, 1))), after
        size = max(8192, 4 << memory.bit_length())
        spectra = torch.fft.rfft(self.layers[0].weight, size).conj()
        step = size - memory
        streams = [
            torch.cat([self._behind(self._first(part, spectra, size)) for part in _blocks(stream, size, step)])
            for stream in heard
        ]
        return torch.stack(streams), after

    def _first(self, heard: torch.Tensor, spectra: torch.Tensor, size: int) -> torch.Tensor:
        """The first layer without its ReLU, on all windows of `heard` [frames]: [frames - window + 1, outputs]."""
        sums = torch.fft.irfft(torch.fft.rfft(heard, size) * spectra, size)  # correlations with each row of weights
        return sums[:, : len(heard) - self.window + 1].T + self.layers[0].bias

    def _behind(self, sums: torch.Tensor) -> torch.Tensor:
        """What follows the first layer's `sums` [..., outputs]: the output [...]."""
        for layer in self.layers[1:]:
            sums = layer(self.dropout(torch.relu(sums)))
        return torch.tanh(sums[..., 0])


def _blocks(stream: torch.Tensor, size: int, step: int) -> list[torch.Tensor]:
    """Overlapping parts of `stream` [frames], of `size` each; the last may be shorter."""
    memory = size - step
    return [stream[start : start + size] for start in range(0, len(stream) - memory, step)]
