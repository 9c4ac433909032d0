"""Networks of EQ blocks: a few filters with a soft clipper behind each."""

import re

import numpy as np
import torch

from training.errors import InputError, shown

BANDS = 60
LOWEST_HZ, HIGHEST_HZ = 40.0, 20_000.0
BAND_Q = 1.5
SAMPLE_RATE_HZ = 48_000
MAXIMUM_BLOCKS, MAXIMUM_TAPS = 12, 1024
FIRST_GAIN = 2.0
"""Of each block's filter before training, the same at all frequencies."""

State = tuple[torch.Tensor, ...]
"""The last taps - 1 samples that each block has heard, [batch, taps - 1]."""


class EqNetwork(torch.nn.Module):
    """Blocks in series, after "Latent Space Oddity" (DAFx 2020):

        u[n] = bias + sum over k of mix[k]^2 * (band[k] * x)[n]         * is convolution
        y[n] = (1 - gate) * x[n] + gate * u[n] / (1 + |u[n]|)           gate = sigmoid(gate_logit)

    The first x is the audio, each further one the y of the block before. The bands are fixed: 60 band-passes, 40 Hz to
    20 kHz at 48 kHz, cut off after `taps` samples. They are constant-peak biquads of Q 1.5 (Bristow-Johnson, "Audio EQ
    Cookbook") and not the paper's linear-phase ones: their phases stay within +-90 degrees, so any mix of them, squares
    being positive, is of minimum phase, and the network has no latency.

    `mix` [blocks, 60], `bias` and `gate_logit` [blocks] are all that is learnt; `fir` [blocks, taps] is what the bank
    and its mix are together.

    Raises InputError for blocks outside 1 to 12 and taps outside 2 to 1024.
    """

    architecture = "eq"
    knob_count = 0
    bank: torch.Tensor

    def __init__(self, blocks: int, taps: int) -> None:
        super().__init__()
        for what, number, lowest, highest in (("blocks", blocks, 1, MAXIMUM_BLOCKS), ("taps", taps, 2, MAXIMUM_TAPS)):
            if not lowest <= number <= highest:
                raise InputError(f"{shown(number)} {what} are outside {lowest} to {highest}")
        self.blocks, self.taps = blocks, taps
        bank = band_passes(taps)
        self.register_buffer("bank", torch.tensor(bank, dtype=torch.float32), persistent=False)
        flat = torch.tensor(np.sqrt(FIRST_GAIN * _flat_mix(bank)), dtype=torch.float32)
        self.mix = torch.nn.Parameter(flat + 0.01 * flat.mean() * torch.randn(blocks, BANDS))
        self.bias = torch.nn.Parameter(0.01 * torch.randn(blocks))
        self.gate_logit = torch.nn.Parameter(torch.zeros(blocks))
        self.multiplies_per_sample = blocks * (taps + 2)

    @classmethod
    def from_name(cls, name: str) -> "EqNetwork":
        """Build the network that `name` describes: 'eq-6x129' has six blocks of 129 taps."""
        match = re.fullmatch(r"eq-([0-9]{1,4})x([0-9]{1,4})", name)
        if match is None:
            raise InputError(f"unknown model {shown(name)}; of EQ blocks there are eq-BxL, of B blocks with L taps")
        return cls(int(match[1]), int(match[2]))

    @property
    def name(self) -> str:
        """The name that `from_name` reads, such as 'eq-6x129'."""
        return f"eq-{self.blocks}x{self.taps}"

    @property
    def config(self) -> dict[str, int]:
        """The arguments of the constructor, as model files hold them."""
        return {"blocks": self.blocks, "taps": self.taps}

    @property
    def fir(self) -> torch.Tensor:
        return self.mix.square() @ self.bank

    def forward(
        self, audio: torch.Tensor, knobs: torch.Tensor | None = None, state: State | None = None
    ) -> tuple[torch.Tensor, State]:
        """Process a batch of streams.

        audio: [batch, frames], full scale is +-1.
        knobs: None; there are no knobs.
        state: what an earlier call returned, or None for endless silence before.

        Returns the output [batch, frames] and the state after the last frame.
        """
        fir, gates = self.fir, torch.sigmoid(self.gate_logit)
        memory, after = self.taps - 1, []
        constant = audio.new_zeros(())  # of a block's input in endless silence
        x = audio
        for block in range(self.blocks):
            history = constant.expand(len(audio), memory) if state is None else state[block]
            heard = torch.cat([history, x], dim=1)
            after.append(heard[:, heard.shape[1] - memory :])
            u = _convolved(heard, fir[block])[:, memory:] + self.bias[block]
            x = (1 - gates[block]) * x + gates[block] * u / (1 + u.abs())
            silent_u = fir[block].sum() * constant + self.bias[block]
            constant = (1 - gates[block]) * constant + gates[block] * silent_u / (1 + silent_u.abs())
        return x, tuple(after)


def band_passes(taps: int) -> np.ndarray:
    """The impulse responses of the bank, float64 [60, taps]."""
    from scipy import signal  # here, because it takes half a second to load

    impulse = np.zeros(taps)
    impulse[0] = 1.0
    bank = []
    for hertz in np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS):
        turn = 2 * np.pi * hertz / SAMPLE_RATE_HZ
        alpha = np.sin(turn) / (2 * BAND_Q)
        bank.append(signal.lfilter([alpha, 0, -alpha], [1 + alpha, -2 * np.cos(turn), 1 - alpha], impulse))
    return np.array(bank)


def _flat_mix(bank: np.ndarray) -> np.ndarray:
    """Non-negative weights [60] of which the sum of the bands is nearest to an impulse."""
    from scipy.optimize import nnls

    smoothing = 1e-3 * np.abs(bank).max() * np.eye(BANDS)
    impulse = np.zeros(bank.shape[1] + BANDS)
    impulse[0] = 1.0
    weights, _ = nnls(np.vstack([bank.T, smoothing]), impulse)
    return np.maximum(weights, 1e-3 * weights.max())  # what is zero would stay there: its square has no slope


def _convolved(heard: torch.Tensor, fir: torch.Tensor) -> torch.Tensor:
    """`heard` [batch, frames] through `fir` [taps]; the first taps - 1 frames are not meaningful."""
    frames = heard.shape[1]
    size = 1 << (frames - 1).bit_length()
    return torch.fft.irfft(torch.fft.rfft(heard, size) * torch.fft.rfft(fir, size), size)[:, :frames]
