"""From a model with knobs to a recording whose knobs stood still: where pretraining on simulated devices pays off."""

import numpy as np
import torch
from scipy.stats import qmc

from training.capture import SAMPLE_RATE_HZ, VALIDATION_RUN_IN_FRAMES, Capture
from training.errors import InputError
from training.levels import loudest
from training.recurrent import MAXIMUM_RESIDUAL, RecurrentNetwork

SETTINGS = 64
HEARD_FRAMES = 3 * SAMPLE_RATE_HZ


def nearest_setting(network: RecurrentNetwork, capture: Capture) -> tuple[RecurrentNetwork, np.ndarray, float]:
    """The knobs of `network` where it sounds most like `capture`, which has none, and the network that it is there.

    64 settings, spread evenly (a Sobol sequence), play the loudest three seconds of the first take for training; that
    wins whose output, at its best level, has the least error. The level goes into the network, polarity with it.

    Returns the network without knobs, the positions [knobs] from 0 to 1, and its ESR on those seconds.
    Raises InputError when `capture` has knobs or is not in memory.
    """
    if capture.knobs:
        raise InputError("only a recording without knobs has a nearest setting")
    if capture.streamed is not None:
        raise InputError("a model with knobs goes on from a dataset only if the knobs of its device move there")
    pair = next(pair for pair in capture.pairs if pair.trains)
    kept = slice(VALIDATION_RUN_IN_FRAMES, pair.validation_start)
    part = loudest(pair.target[kept], HEARD_FRAMES)
    dry = torch.from_numpy(pair.input[part.start : part.stop + VALIDATION_RUN_IN_FRAMES])
    wet = torch.from_numpy(pair.target[kept][part])
    settings = qmc.Sobol(network.knob_count, rng=0).random(SETTINGS).astype(np.float32)
    settings[0] = 0.5
    with torch.no_grad():
        output, _ = network(dry.expand(SETTINGS, -1), torch.from_numpy(settings))
    output = output[:, VALIDATION_RUN_IN_FRAMES:].double()
    gains = (output @ wet.double()) / output.square().sum(1).clamp(min=1e-12)
    errors = (gains[:, None] * output - wet).square().sum(1) / wet.double().square().sum().clamp(min=1e-12)
    best = int(errors.argmin())
    limit = MAXIMUM_RESIDUAL / max(abs(network.residual), 1.0)
    gain = float(gains[best].clamp(-limit, limit))
    return network.at(settings[best], gain), settings[best], float(errors[best])
