"""Blends of trained EQ networks: a new amp, or one with a knob that morphs; `pedal blend`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from training.eq_block import SAMPLE_RATE_HZ, EqNetwork
from training.eq_morph import EqMorph, blended, even_level, require_alike, with_level
from training.errors import InputError
from training.knob import Knob
from training.model_file import Model

KNOB = "morph"
GUITAR_SEED, GUITAR_SECONDS, GUITAR_PEAK = 21, 2.0, 0.5
"""Of the synthetic guitar on which levels are measured."""


def weighted(models: Sequence[Model], weights: Sequence[float], name: str, even: bool = True) -> Model:
    """The amp, to be called `name`, whose parameters are the weighted sum of those of `models`.

    Weights are taken as they are, those outside 0..1 too. even: as loud as the amps in it; else the level is a
    parameter like the others. Two models with the weights (1 - alpha, alpha) give what the morph's knob gives at alpha.

    Raises InputError for models that are no EQ networks of one shape, and where no weight is above zero.
    """
    networks = eq_networks(models)
    if len(weights) != len(models):
        raise InputError(f"{len(weights)} weights for {len(models)} models")
    if even and not any(weight > 0 for weight in weights):
        raise InputError("at least one weight should be above 0")
    network = blended(networks, weights)
    morph = EqMorph.of(networks) if len(models) == 2 and math.isclose(sum(weights), 1) else None
    if even and morph is not None and morph.lowest <= weights[1] <= morph.highest:
        morph.follow(_guitar(), [weights[1]])
        network = with_level(network, morph.level(weights[1]))
    elif even:
        network = with_level(network, even_level(networks, weights, _guitar()))
    return Model(name, "eq", network.config, network, levels=_levels(models), training=_origin(models, list(weights)))


def with_knob(models: Sequence[Model], name: str) -> Model:
    """The amp, to be called `name`, with a knob that goes from each of `models` to the next, and half a step beyond the
    first and the last, or less where the pedal's formats end before.

    Raises InputError for models that are no EQ networks of one shape, for a single one and for more than 8.
    """
    network = EqMorph.of(eq_networks(models))
    network.follow(_guitar())
    knob = Knob(KNOB, network.lowest, network.highest, 0.0)
    return Model(
        name, "morph", network.config, network, knobs=(knob,), levels=_levels(models), training=_origin(models, None)
    )


def eq_networks(models: Sequence[Model]) -> list[EqNetwork]:
    """Those of `models`. Raises InputError for models that are no EQ networks of one shape."""
    networks = []
    for model in models:
        if not isinstance(model.network, EqNetwork):
            raise InputError(f"{model.name}: {model.network.name} cannot be blended, which EQ networks alone can")
        networks.append(model.network)
    require_alike(networks)
    return networks


def _guitar() -> torch.Tensor:
    from training.guitar import render_take  # here, because numba takes a second to load

    take = render_take(GUITAR_SEED, GUITAR_SECONDS, SAMPLE_RATE_HZ).astype(np.float32)
    return torch.from_numpy(take * np.float32(GUITAR_PEAK / np.abs(take).max()))[None]


def _levels(models: Sequence[Model]) -> dict[str, float]:
    """What all agree on."""
    first = models[0].levels
    return {name: level for name, level in first.items() if all(each.levels.get(name) == level for each in models)}


def _origin(models: Sequence[Model], weights: list[float] | None) -> dict[str, Any]:
    parts = [{"name": model.name, "data_sha256": model.training.get("data_sha256")} for model in models]
    return {"blend_of": parts, "weights": weights}
