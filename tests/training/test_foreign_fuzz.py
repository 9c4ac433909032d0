"""The importer against damaged files: whatever is in them, a model or one line comes out, and soon.

`make test` tries 100,000 cases, pytest by itself 3,000: ODDITY_FUZZ_CASES. Case n is made of n alone, so

    python tests/training/test_foreign_fuzz.py n

does case n again, and shows what it is.
"""

import copy
import faulthandler
import json
import os
import re
import signal
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch

from export import aidax, proteus, rtneural
from training import foreign
from training.errors import InputError
from training.knob import Knob
from training.model_file import Model
from training.recurrent import RecurrentNetwork
from training.wavenet import FILMS, WaveNet

CASES = int(os.environ.get("ODDITY_FUZZ_CASES", 3000))
CASES_IN_A_SHARE = 10_000
SEED = 7
SECONDS = 5.0
SHARE_RENDERED = 0.01
MAXIMUM_MESSAGE = 300
NOISE = np.random.default_rng(SEED).uniform(-1, 1, 8).astype(np.float32)

LITERALS = {
    "@huge": "9" * 5000,
    "@beyond": "1e999",
    **{f"@deep list {depth}": "[" * depth + "]" * depth for depth in (10, 60, 900, 5000, 100_000)},
    **{f"@deep record {depth}": '{"a":' * depth + "1" + "}" * depth for depth in (10, 60, 900, 5000, 100_000)},
    **{f"@open {depth}": "[" * depth for depth in (10, 900, 100_000)},
}
"""What `json.dumps` does not write: in a mutated document, a string of these names stands for the text."""
STRANGE: tuple[Any, ...] = (
    *(None, True, False, [], {}, [[]], [None], [{}], {"type": "lstm"}, [1, 2], [0.5], [[1.0, 2.0], [3.0]]),
    *("", "LSTM", "gru", "48000", "\n", "\x00", "\u202e", "é\U0001f3b8", "nan", "x" * 5000, "\n" * 400, "0.6.9"),
    *(0, 1, -1, 2, 3, 7, 32, 64, 65, 255, 2**31, 2**32 + 1, 2**63, 2**64, -(10**9), 10**18, 10**400, -(10**300)),
    *(0.0, -0.0, 0.5, 1.0, 2.5, 48000.0, 1e-45, 1e38, 1e39, -1e308, 1e308, float("nan"), float("inf"), -float("inf")),
    *LITERALS,
)

WAVENET_A1 = {
    "input_size": 1,
    "condition_size": 1,
    "head_size": 2,
    "channels": 2,
    "kernel_size": 2,
    "dilations": [1, 2],
    "activation": "Tanh",
    "gated": True,
    "head_bias": False,
}
WAVENET_A2 = {
    "input_size": 1,
    "condition_size": 1,
    "channels": 2,
    "bottleneck": 2,
    "head": {"out_channels": 1, "kernel_size": 2, "bias": True},
    "kernel_sizes": [2, 3],
    "dilations": [2, 1],
    "activation": [{"type": "LeakyReLU", "negative_slope": 0.1}, {"type": "PReLU", "negative_slopes": [0.1, 0.2]}],
    "gating_mode": ["gated", "blended"],
    "secondary_activation": ["Sigmoid", "Hardtanh"],
    "head1x1": {"active": True, "out_channels": 2, "groups": 2},
    "layer1x1": {"active": True, "groups": 1},
    **{film: {"active": film != "conv_pre_film", "shift": film > "i", "groups": 1} for film in FILMS},
}


class TooSlow(BaseException):
    """Not an Exception, so that no handler in the code under test catches it."""


def recurrent(unit: str, size: int = 2, knobs: int = 0, layers: int = 1, residual: float = 1.0) -> Model:
    torch.manual_seed(size)
    network = RecurrentNetwork(unit, size, knobs, layers, residual).eval()
    return Model("amp", unit, network.config, network, knobs=tuple(Knob(f"knob {index}") for index in range(knobs)))


def nam(architecture: str, config: dict[str, Any], count: int) -> dict[str, Any]:
    weights = np.random.default_rng(count).uniform(-1, 1, count).round(3).tolist()
    metadata = {"name": "amp", "input_level_dbu": 12.0, "license": "CC0"}
    version = {"version": "0.5.4", "metadata": metadata, "sample_rate": 48000.0}
    return {**version, "architecture": architecture, "config": config, "weights": weights}


def wavenet(*arrays: dict[str, Any], **options: Any) -> dict[str, Any]:
    config = {"layers": list(arrays), "head_scale": 0.5, **options}
    return nam("WaveNet", config, WaveNet(config).weight_count)


def with_self_test() -> dict[str, Any]:
    """AIDA-X's smallest LSTM with gains; its self-test is cut short, which no rule forbids."""
    document = aidax.document(recurrent("lstm", 8, 1, residual=0.5))
    return {**document, **{key: document[key][:16] for key in ("input_batch", "output_batch")}}


@cache
def good_documents() -> tuple[str, ...]:
    """A small good file of every kind that is read."""
    lstm = nam("LSTM", {"input_size": 1, "hidden_size": 2, "num_layers": 1}, 39)
    stack = nam("LSTM", {"input_size": 1, "hidden_size": 2, "num_layers": 2}, 83)
    post_stack = {"channels": 2, "out_channels": 1, "kernel_sizes": [2, 1], "activation": "ReLU"}
    small_a1 = {**WAVENET_A1, "head_size": 1, "gated": False}
    submodels = [{"max_value": share, "model": model} for share, model in ((0.5, lstm), (1.0, wavenet(small_a1)))]
    documents = [
        proteus.document(recurrent("lstm", 2, 2)),
        proteus.document(recurrent("gru", 3, residual=0.0)),
        rtneural.document(recurrent("lstm", 2, 1)),
        rtneural.document(recurrent("gru", 2)),
        rtneural.document(recurrent("lstm", 2, layers=2)),
        with_self_test(),
        lstm,
        stack,
        wavenet(WAVENET_A1, {**small_a1, "input_size": 2, "channels": 2, "head_bias": True}),
        wavenet(WAVENET_A2),
        wavenet(WAVENET_A1, head=post_stack),
        nam("Linear", {"receptive_field": 5, "bias": True}, 6),
        {**nam("SlimmableContainer", {"submodels": submodels}, 0), "version": "0.7.0"},
    ]
    return tuple(json.dumps(document) for document in documents)


def places(rng: np.random.Generator, document: Any) -> tuple[Any, Any]:
    """A container somewhere in `document` and one of its keys; what lies deep is as likely as what does not."""
    inner = document
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        deeper = [key for key in keys if isinstance(inner[key], dict | list) and inner[key]]
        if deeper and rng.random() < 0.7:
            inner = inner[deeper[rng.integers(len(deeper))]]
        else:
            return inner, keys[rng.integers(len(keys))]


def strange(rng: np.random.Generator) -> Any:
    return copy.deepcopy(STRANGE[rng.integers(len(STRANGE))])


def retype(value: Any, rng: np.random.Generator) -> Any:
    """What looks like `value` and is not of its type, or is a near miss."""
    if isinstance(value, bool):
        return [int(value), str(value), not value][rng.integers(3)]
    if isinstance(value, int | float):
        value = value if abs(value) < 1e30 else 1.5
        return [str(value), value + 1, value - 1, -value, value * 1e30, float(value), [value], bool(value)][
            rng.integers(8)
        ]
    if isinstance(value, str):
        return [value.upper(), value[:-1], value + "\n", [value], {value: value}, len(value)][rng.integers(6)]
    if isinstance(value, list):
        return [value + value, value[:-1], value[::-1], [value], {"0": value}, [], len(value)][rng.integers(7)]
    if isinstance(value, dict):
        return [list(value.values()), list(value), {}, {"type": value}, str(value)][rng.integers(5)]
    return 0


def mutate(rng: np.random.Generator, document: Any) -> None:
    """Change one place of `document`."""
    if not document:
        return
    inner, key = places(rng, document)
    kind = rng.integers(10)
    if kind < 4:
        inner[key] = strange(rng)
    elif kind < 7:
        inner[key] = retype(inner[key], rng)
    elif kind == 7:
        del inner[key]
    elif kind == 8:  # a part from elsewhere
        other = json.loads(good_documents()[rng.integers(len(good_documents()))])
        source, name = places(rng, other)
        inner[key] = source[name]
    elif isinstance(inner, dict):  # the key twice, or under another name
        inner[f"@twice {key}"] = strange(rng) if rng.random() < 0.7 else inner.pop(key)
    else:
        inner.insert(key, inner[key])


def written(document: Any) -> bytes:
    text = json.dumps(document).replace('"@twice ', '"')
    for name, literal in LITERALS.items() if '"@' in text else ():
        text = text.replace(f'"{name}"', literal)
    return text.encode()


def damaged(rng: np.random.Generator, contents: bytes) -> bytes:
    """Truncated, or with bytes flipped, left out or doubled."""
    kind, place = rng.integers(4), int(rng.integers(len(contents) + 1))
    if kind == 0:
        return contents[:place]
    if kind == 1:
        flipped = bytearray(contents)
        for index in rng.integers(len(contents), size=rng.integers(1, 4)) if contents else ():
            flipped[index] ^= 1 << rng.integers(8)
        return bytes(flipped)
    end = place + int(rng.integers(1, 40))
    return contents[:place] + contents[end:] if kind == 2 else contents[:end] + contents[place:]


def made(case: int) -> tuple[np.random.Generator, Any, bytes]:
    """The document and the file of a case, and what draws the rest of it."""
    rng = np.random.default_rng([SEED, case])
    document = json.loads(good_documents()[rng.integers(len(good_documents()))])
    for _ in range(rng.geometric(0.5)):
        mutate(rng, document)
    contents = written(document)
    return rng, document, damaged(rng, contents) if rng.random() < 0.15 else contents


def outcome(contents: bytes) -> Model | str:
    """The model, or the one line that says why not. What else happens is raised."""
    try:
        model = foreign.parse(contents, "x.json")
    except InputError as error:
        assert 0 < len(error.message) < MAXIMUM_MESSAGE and error.message.isprintable(), error.message
        return error.message
    assert model.name.isprintable() and 8000 <= model.sample_rate_hz <= 384000
    assert all(torch.isfinite(weights).all() for weights in model.network.state_dict().values())
    json.dumps(model.training)
    return model


def try_case(case: int) -> Model | str:
    """One case. Raises AssertionError, or what the importer should not have raised."""
    rng, document, contents = made(case)
    result = outcome(contents)
    needed = re.search(r"weights where its config needs (\d{1,4})$", result) if isinstance(result, str) else None
    if needed and isinstance(document.get("weights"), list):  # a changed config is looked at only with its weights
        result = outcome(written({**document, "weights": rng.uniform(-1, 1, int(needed[1])).tolist()}))
    if isinstance(result, Model) and rng.random() < SHARE_RENDERED:
        # Finite weights may still be so large that the output overflows: that is for verify to say.
        assert result.render(NOISE).shape == NOISE.shape
    return result


def too_slow(number: int, frame: FrameType | None) -> None:
    raise TooSlow(f"still at it after {SECONDS:g} s")


def failures(cases: range) -> tuple[list[str], int]:
    """What went wrong in `cases`, and how many of them were models."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, too_slow)
    found, models = [], 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for case in cases:
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            if case % 100 == 0:  # where no signal gets through, in a loop of some library
                faulthandler.dump_traceback_later(120 * SECONDS, exit=True)
            try:
                models += isinstance(try_case(case), Model)
            except (Exception, TooSlow) as error:
                found.append(f"case {case} of seed {SEED}: {type(error).__name__}: {str(error)[:200]}")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    faulthandler.cancel_dump_traceback_later()
    return found, models


@pytest.mark.parametrize("cases", [CASES])
def test_a_damaged_file_gives_a_model_or_one_line(cases: int) -> None:
    for contents in good_documents():
        assert isinstance(outcome(contents.encode()), Model)
    shares = [range(start, min(start + CASES_IN_A_SHARE, cases)) for start in range(0, cases, CASES_IN_A_SHARE)]
    if len(shares) == 1:
        results = [failures(shares[0])]
    else:
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
            results = list(pool.map(failures, shares))
    found = [failure for share, _ in results for failure in share]
    assert not found, "\n".join([f"{len(found)} of {cases}", *found[:20]])
    models = sum(count for _, count in results)
    assert 0.02 * cases < models < 0.9 * cases  # neither all noise nor all harmless


if __name__ == "__main__":
    for chosen in map(int, sys.argv[1:]):
        print(made(chosen)[2].decode(errors="replace")[:3000])
        started = time.perf_counter()
        print(try_case(chosen), f"{time.perf_counter() - started:.3f} s")
