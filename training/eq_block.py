"""Networks of EQ blocks: a few filters with a soft clipper behind each."""

import math
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch

from training.errors import InputError, shown

BANDS = 60
LOWEST_HZ, HIGHEST_HZ = 40.0, 20_000.0
BAND_Q = 3.0
"""Of the positive-real bank."""
PHASES = ("minimum", "linear")
SAMPLE_RATE_HZ = 48_000
MAXIMUM_BLOCKS, MAXIMUM_TAPS, MAXIMUM_BANDS = 12, 1024, 240
FIRST_GAIN = 2.0
"""Of each block's filter before training, the same at all frequencies."""
FIRST_PEAK = 0.8
"""Of the last block's output, which never exceeds 1, when a training starts: the level takes it to the amp's."""

LINEAR_BANK_GRID = 16384

State = tuple[torch.Tensor, ...]
"""The last taps - 1 samples that each block has heard, [batch, taps - 1]."""


class EqNetwork(torch.nn.Module):
    """Blocks in series, after "Latent Space Oddity" (DAFx 2020):

        u[n] = bias + sum over k of mix[k]^2 * (band[k] * x)[n]         * is convolution
        y[n] = (1 - gate) * x[n - d] + gate * u[n] / (1 + |u[n]|)       gate = sigmoid(gate_logit)

    The first x is the audio, each further one the y of the block before; the last y times exp(log_level) is the output.
    The bands are fixed: band-passes at 48 kHz, log-spaced from 40 Hz to 20 kHz, of `taps` samples. There are two banks:

    minimum: constant-peak biquads (Bristow-Johnson, "Audio EQ Cookbook") of quality `q`, cut off. Their phases stay
    within +-90 degrees, so any mix of them, squares being positive, is of minimum phase: there is no latency, d = 0.
    linear: the paper's, of linear phase: raised cosines over log frequency which sum up to 1, windowed. Each block
    delays by d = (taps - 1) / 2, `latency_frames` in all.

    `mix` [blocks, bands], `bias` and `gate_logit` [blocks] and `log_level` [] are all that is learnt; `fir`
    [blocks, taps] is what the bank and its mix are together.

    Raises InputError for blocks outside 1 to 12, taps outside 2 to 1024, bands outside 4 to 240, q outside 0.3 to 10,
    an even number of taps with linear phase, and for other phases.
    """

    architecture = "eq"
    knob_count = 0
    bank: torch.Tensor

    def __init__(self, blocks: int, taps: int, phase: str = "minimum", bands: int = BANDS, q: float = BAND_Q) -> None:
        super().__init__()
        for what, number, lowest, highest in (
            ("blocks", blocks, 1, MAXIMUM_BLOCKS),
            ("taps", taps, 2, MAXIMUM_TAPS),
            ("bands", bands, 4, MAXIMUM_BANDS),
        ):
            if not lowest <= number <= highest:
                raise InputError(f"{shown(number)} {what} are outside {lowest} to {highest}")
        if phase not in PHASES:
            raise InputError(f"unknown phase {shown(phase)}; there are {' and '.join(PHASES)}")
        if not 0.3 <= q <= 10:
            raise InputError(f"a q of {q:g} is outside 0.3 to 10")
        if phase == "linear" and taps % 2 == 0:
            raise InputError(f"{taps} taps have no middle, which linear phase needs; take {taps + 1}")
        self.blocks, self.taps, self.phase, self.bands, self.q = blocks, taps, phase, bands, q
        self.block_delay = (taps - 1) // 2 if phase == "linear" else 0
        self.latency_frames = blocks * self.block_delay
        bank, flat_mix = _bank(phase, taps, bands, q)
        self.register_buffer("bank", torch.tensor(bank, dtype=torch.float32), persistent=False)
        flat = torch.tensor(np.sqrt(FIRST_GAIN * flat_mix), dtype=torch.float32)
        self.mix = torch.nn.Parameter(flat + 0.01 * flat.mean() * torch.randn(blocks, bands))
        self.bias = torch.nn.Parameter(0.01 * torch.randn(blocks))
        self.gate_logit = torch.nn.Parameter(torch.zeros(blocks))
        self.log_level = torch.nn.Parameter(torch.zeros(()))
        self.multiplies_per_sample = blocks * (taps + 2) + 1

    @classmethod
    def from_name(cls, name: str) -> "EqNetwork":
        """Build the network that `name` describes: 'eq-6x129' has six blocks of 129 taps, 'eq' is the same, as the best
        trade of error against cycles (docs/eq-blocks.md), and 'eq-6x33-linear' is the paper's."""
        if name == "eq":
            return cls(6, 129)
        match = re.fullmatch(r"eq-([0-9]{1,4})x([0-9]{1,4})(-linear)?", name)
        if match is None:
            raise InputError(
                f"unknown model {shown(name)}; of EQ blocks there are eq-BxL and eq-BxL-linear, of B blocks with L taps"
            )
        return cls(int(match[1]), int(match[2]), "linear" if match[3] else "minimum")

    @property
    def name(self) -> str:
        """The name that `from_name` reads, such as 'eq-6x129'."""
        return f"eq-{self.blocks}x{self.taps}{'-linear' if self.phase == 'linear' else ''}"

    @property
    def config(self) -> dict[str, Any]:
        """The arguments of the constructor, as model files hold them."""
        return {"blocks": self.blocks, "taps": self.taps, "phase": self.phase, "bands": self.bands, "q": self.q}

    @property
    def fir(self) -> torch.Tensor:
        return self.mix.square() @ self.bank

    def aim(self, peak: float) -> None:
        """Set the level for an amp whose output reaches `peak`: where a training starts."""
        with torch.no_grad():
            self.log_level.fill_(math.log(max(peak, 1e-4) / FIRST_PEAK))

    def forward(
        self, audio: torch.Tensor, knobs: torch.Tensor | None = None, state: State | None = None
    ) -> tuple[torch.Tensor, State]:
        """Process a batch of streams.

        audio: [batch, frames], full scale is +-1.
        knobs: None; there are no knobs.
        state: what an earlier call returned, or None for endless silence before.

        Returns the output [batch, frames] and the state after the last frame.
        """
        *_, (y, after) = self.chain(audio, state)
        return self.log_level.exp() * y, after

    def chain(self, audio: torch.Tensor, state: State | None = None) -> Iterator[tuple[torch.Tensor, State]]:
        """As `forward`, block by block: yields each block's y [batch, frames], and the state of the blocks so far."""
        fir, gates = self.fir, torch.sigmoid(self.gate_logit)
        memory = self.taps - 1
        after: State = ()
        constant = audio.new_zeros(())  # of a block's input in endless silence
        x = audio
        for block in range(self.blocks):
            history = constant.expand(len(audio), memory) if state is None else state[block]
            heard = torch.cat([history, x], dim=1)
            after = (*after, heard[:, heard.shape[1] - memory :])
            u = _convolved(heard, fir[block])[:, memory:] + self.bias[block]
            dry = heard[:, memory - self.block_delay :][:, : x.shape[1]]
            x = (1 - gates[block]) * dry + gates[block] * u / (1 + u.abs())
            silent_u = fir[block].sum() * constant + self.bias[block]
            constant = (1 - gates[block]) * constant + gates[block] * silent_u / (1 + silent_u.abs())
            yield x, after


def centres_hz(bands: int) -> np.ndarray:
    """Of the band-passes, float64 [bands]."""
    return np.geomspace(LOWEST_HZ, HIGHEST_HZ, bands)


def positive_real_bank(taps: int, bands: int = BANDS, q: float = BAND_Q) -> np.ndarray:
    """The impulse responses of the minimum-phase bank, float64 [bands, taps]."""
    from scipy import signal  # here, because it takes half a second to load

    impulse = np.zeros(taps)
    impulse[0] = 1.0
    bank = []
    for hertz in centres_hz(bands):
        turn = 2 * np.pi * hertz / SAMPLE_RATE_HZ
        alpha = np.sin(turn) / (2 * q)
        bank.append(signal.lfilter([alpha, 0, -alpha], [1 + alpha, -2 * np.cos(turn), 1 - alpha], impulse))
    return np.array(bank)


def linear_bank(taps: int, bands: int = BANDS) -> np.ndarray:
    """The impulse responses of the linear-phase bank, float64 [bands, taps], symmetric around their middle.

    Raised cosines over log frequency, each falling to zero at its neighbours' centres; the outermost go on to 0 Hz and
    to Nyquist. A Hann window of `taps` blurs the lower ones into one another: what 2 ms of delay leave of them.
    """
    frequencies_hz = np.fft.rfftfreq(LINEAR_BANK_GRID, 1 / SAMPLE_RATE_HZ)
    position = np.log(np.maximum(frequencies_hz, 1e-3) / LOWEST_HZ) / np.log(HIGHEST_HZ / LOWEST_HZ) * (bands - 1)
    distance = np.abs(np.clip(position, 0, bands - 1) - np.arange(bands)[:, None])
    magnitudes = np.where(distance < 1, 0.5 + 0.5 * np.cos(np.pi * distance), 0.0)
    responses = np.roll(np.fft.irfft(magnitudes, axis=1), taps // 2, axis=1)[:, :taps]
    return responses * np.hanning(taps + 2)[1:-1]


@cache
def _bank(phase: str, taps: int, bands: int, q: float) -> tuple[np.ndarray, np.ndarray]:
    """The bank, and a mix of it that is nearly flat."""
    if phase == "linear":
        bank = linear_bank(taps, bands)
        return bank, _flat_mix(bank, (taps - 1) // 2)
    bank = positive_real_bank(taps, bands, q)
    return bank, _flat_mix(bank, 0)


def _flat_mix(bank: np.ndarray, delay: int) -> np.ndarray:
    """Non-negative weights [bands] of which the sum of the bands is nearest to an impulse after `delay` frames."""
    from scipy.optimize import nnls

    bands, taps = bank.shape
    smoothing = 1e-3 * np.abs(bank).max() * np.eye(bands)
    impulse = np.zeros(taps + bands)
    impulse[delay] = 1.0
    weights, _ = nnls(np.vstack([bank.T, smoothing]), impulse)
    return np.maximum(weights, 1e-3 * weights.max())  # what is zero would stay there: its square has no slope


def _convolved(heard: torch.Tensor, fir: torch.Tensor) -> torch.Tensor:
    """`heard` [batch, frames] through `fir` [taps]; the first taps - 1 frames are not meaningful."""
    frames = heard.shape[1]
    size = 1 << (frames - 1).bit_length()
    return torch.fft.irfft(torch.fft.rfft(heard, size) * torch.fft.rfft(fir, size), size)[:, :frames]
