"""Several EQ networks and a knob that goes from one to the next, and beyond."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch

from training.eq_block import EqNetwork, State
from training.errors import InputError, shown

PLACES_PER_AMP = 10
MAXIMUM_BEYOND = 5
"""Places that the knob goes past the first amp and past the last: half of what is between one amp and the next."""
MAXIMUM_AMPS = 8
LOWEST_LEVEL = 1e-6
LARGEST_LEVEL, LARGEST_GAIN, LARGEST_BIAS = 7.9, 1000.0, 500.0
"""What the pedal's formats hold: of the level, of a block's absolute taps together, and of its bias."""


class EqMorph(torch.nn.Module):
    """The amp at a place `alpha` between EQ networks, which all are of one shape. For two networks A and B:

        theta = theta_A + alpha (theta_B - theta_A)

    for all that they have learnt: 0 is A, 1 is B, and outside 0..1 the differences are exaggerated. Several networks
    stand at 0, 1, 2 ...; the two next to `alpha` count.

    As `mix` is squared, each block's FIR is a parabola in alpha between three FIRs, which is what the pedal computes:

        fir(alpha) = (1 - alpha)^2 fir_AA + 2 alpha (1 - alpha) fir_AB + alpha^2 fir_BB,   fir_AB = sum_k A_k B_k band_k

    Levels do not follow theta, in which a blend may be much louder than both amps: `levels` [places] are what the last
    block's output is multiplied by at every tenth of alpha from the lowest, with straight lines in between. `follow`
    sets them so that the loudness goes evenly from A to B and stays beyond them.

    The knob's position from 0 to 1 takes alpha from `lowest` to `highest`: `beyond` tenths past the first amp and the
    last. Source of the idea: "Latent Space Oddity",
    DAFx 2020; of the three FIRs: ours.
    """

    architecture = "morph"
    knob_count = 1
    levels: torch.Tensor

    def __init__(self, amps: int, beyond: int = MAXIMUM_BEYOND, **shape: Any) -> None:
        super().__init__()
        if not 2 <= amps <= MAXIMUM_AMPS:
            raise InputError(f"{shown(amps)} amps are outside 2 to {MAXIMUM_AMPS}")
        if not 0 <= beyond <= MAXIMUM_BEYOND:
            raise InputError(f"{shown(beyond)} places beyond the amps are outside 0 to {MAXIMUM_BEYOND}")
        self.beyond = beyond
        self.amps = torch.nn.ModuleList(EqNetwork(**shape) for _ in range(amps))
        self.register_buffer("levels", torch.ones((amps - 1) * PLACES_PER_AMP + 2 * beyond + 1))
        self.multiplies_per_sample = self.first.multiplies_per_sample

    @classmethod
    def of(cls, networks: Sequence[EqNetwork]) -> "EqMorph":
        """The knob goes beyond the amps by up to half of what is between them, as far as the pedal's formats hold it.

        Raises InputError for networks that `blended` refuses, for one alone and for more than 8.
        """
        require_alike(networks)
        for beyond in range(MAXIMUM_BEYOND, -1, -1):
            morph = cls(len(networks), beyond, **networks[0].config)
            for own, network in zip(morph.amps, networks, strict=True):
                own.load_state_dict(network.state_dict())
            if all(_within_formats(blended(networks, morph.weights(end))) for end in (morph.lowest, morph.highest)):
                break
        return morph.eval()

    @property
    def first(self) -> EqNetwork:
        first = self.amps[0]
        assert isinstance(first, EqNetwork)
        return first

    @property
    def networks(self) -> list[EqNetwork]:
        return [network for network in self.amps if isinstance(network, EqNetwork)]

    @property
    def name(self) -> str:
        """Such as 'eq-6x129-morph-2'."""
        return f"{self.first.name}-morph-{len(self.amps)}"

    @property
    def config(self) -> dict[str, Any]:
        return {"amps": len(self.amps), "beyond": self.beyond, **self.first.config}

    @property
    def latency_frames(self) -> int:
        return self.first.latency_frames

    @property
    def lowest(self) -> float:
        """Of alpha."""
        return -self.beyond / PLACES_PER_AMP

    @property
    def highest(self) -> float:
        return len(self.amps) - 1 - self.lowest

    @property
    def places(self) -> list[float]:
        """Alpha of each of `levels`."""
        return [(place - self.beyond) / PLACES_PER_AMP for place in range(len(self.levels))]

    def alpha(self, position: float) -> float:
        """Of a knob's position from 0 to 1."""
        return self.lowest + position * (self.highest - self.lowest)

    def weights(self, alpha: float) -> list[float]:
        """How much of each network's theta is in the one at `alpha`; they sum up to 1."""
        below = min(max(math.floor(alpha), 0), len(self.amps) - 2)
        weights = [0.0] * len(self.amps)
        weights[below], weights[below + 1] = below + 1 - alpha, alpha - below
        return weights

    def level(self, alpha: float) -> float:
        place = (alpha - self.lowest) * PLACES_PER_AMP
        below = min(max(math.floor(place), 0), len(self.levels) - 2)
        lower, upper = self.levels[below].item(), self.levels[below + 1].item()
        return lower + (upper - lower) * (place - below)

    def at(self, alpha: float) -> EqNetwork:
        """The network at `alpha`."""
        network = blended(self.networks, self.weights(alpha))
        return with_level(network, self.level(alpha))

    def follow(self, guitar: torch.Tensor, alphas: Sequence[float] | None = None) -> None:
        """Set `levels` by how loud `guitar` [1, frames] becomes: all, or those that count at `alphas`."""
        loudness_db = [_loudness_db(network, guitar) for network in self.networks]
        for index, place in enumerate(self.places):
            if alphas is None or any(abs(place - alpha) < 1 / PLACES_PER_AMP for alpha in alphas):
                self.levels[index] = even_level(self.networks, self.weights(place), guitar, loudness_db)

    def forward(
        self, audio: torch.Tensor, knobs: torch.Tensor, state: State | None = None
    ) -> tuple[torch.Tensor, State]:
        """As `EqNetwork.forward`, with knobs [batch, 1]: the position of the one knob, 0 to 1, the same for all."""
        if (knobs != knobs[0]).any():
            raise ValueError("all streams of a batch play at the same place")
        return self.at(self.alpha(knobs[0, 0].item())).to(audio.dtype)(audio, None, state)


def _within_formats(network: EqNetwork) -> bool:
    gain, bias = network.fir.abs().sum(1).max().item(), network.bias.abs().max().item()
    return gain <= LARGEST_GAIN and bias <= LARGEST_BIAS


def require_alike(networks: Sequence[EqNetwork]) -> None:
    """Raise InputError unless the networks are of one shape."""
    for network in networks[1:]:
        if network.config != networks[0].config:
            raise InputError(f"{networks[0].name} and {network.name} are of different shapes and cannot be blended")


def blended(networks: Sequence[EqNetwork], weights: Sequence[float]) -> EqNetwork:
    """The network whose theta is the weighted sum of those of `networks`. No sum, weight or level is normalised.

    Raises InputError unless the networks are of one shape.
    """
    require_alike(networks)
    network = copy.deepcopy(networks[0])
    states = [each.state_dict() for each in networks]
    network.load_state_dict(
        {key: sum(weight * state[key] for weight, state in zip(weights, states, strict=True)) for key in states[0]}
    )
    return network.eval()


def with_level(network: EqNetwork, level: float) -> EqNetwork:
    """`network`, which is changed, with `level` as what the last block's output is multiplied by."""
    with torch.no_grad():
        network.log_level.fill_(math.log(max(level, LOWEST_LEVEL)))
    return network


def even_level(
    networks: Sequence[EqNetwork],
    weights: Sequence[float],
    guitar: torch.Tensor,
    loudness_db: Sequence[float] | None = None,
) -> float:
    """The level at which the blend is as loud as the amps in it are on average, in decibels and by their weights,
    negative ones counting as none. At most LARGEST_LEVEL. `loudness_db`: of each amp, where it is known."""
    if loudness_db is None:
        loudness_db = [_loudness_db(network, guitar) for network in networks]
    shares = [max(weight, 0.0) for weight in weights]
    wanted_db = sum(share * of_amp for share, of_amp in zip(shares, loudness_db, strict=True)) / sum(shares)
    blend_db = _loudness_db(with_level(blended(networks, weights), 1.0), guitar)
    return min(10 ** ((wanted_db - blend_db) / 20), LARGEST_LEVEL)


def _loudness_db(network: EqNetwork, guitar: torch.Tensor) -> float:
    with torch.no_grad():
        output = network(guitar)[0]
    return 10 * math.log10(float((output - output.mean()).square().mean()) + 1e-12)
