"""Traces of the emulated pedal hold what the engine is known to do."""

import numpy as np
import pytest

from export import blob
from export.cortex_m7 import estimate
from export.quantize import quantize
from hardware.firmware_build import build
from hardware.instruction_trace import TracedPedal
from hardware.protocol import Engine
from training.errors import InputError

FUNCTION = "oddity::FixedEngine::Process"
HIDDEN_SIZE = 4


@pytest.fixture(scope="module")
def traced(make_model, guitar):
    quantized = quantize(make_model("lstm", HIDDEN_SIZE), guitar[:200])
    with TracedPedal(build("emulator")) as pedal:
        pedal.load(0, blob.to_bytes(quantized, blob.make_self_test(quantized, guitar)))
        pedal.select(0, Engine.FIXED)
        pedal.reset()
        yield pedal


def test_a_trace_is_one_call_with_every_product(traced):
    frames = 3
    steps = traced.trace(FUNCTION, np.arange(frames) * 1000)
    assert steps[0].instruction.address == traced.disassembly.functions[f"{FUNCTION}(long const*, long*, unsigned int)"]
    assert steps[-1].taken
    products = sum(step.instruction.name == "smlad" for step in steps)
    assert products == frames * 4 * HIDDEN_SIZE * HIDDEN_SIZE / 2
    addresses = [step.address for step in steps if step.instruction.memory and step.instruction.memory.base != "r15"]
    assert None not in addresses
    assert len(steps) / 2 <= estimate(steps) < 3 * len(steps)


def test_every_sample_costs_the_same_and_the_pedal_plays_on(traced):
    lengths = [len(traced.trace(FUNCTION, np.zeros(frames, int))) for frames in (1, 2, 3)]
    assert lengths[2] - lengths[1] == lengths[1] - lengths[0] > 0
    assert len(traced.process(np.zeros(480, int))) == 480


def test_a_block_costs_little_beside_its_samples(traced):
    cycles = {frames: estimate(traced.trace(FUNCTION, np.zeros(frames, int))) for frames in (1, 2, 4)}
    per_sample = (cycles[4] - cycles[2]) / 2
    assert abs(cycles[2] - cycles[1] - per_sample) < 20
    assert cycles[1] - per_sample < 300


def test_refuses_a_function_that_is_not_there(traced):
    with pytest.raises(InputError, match="no function nothing"):
        traced.trace("nothing", np.zeros(1, int))
