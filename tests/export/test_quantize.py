"""Quantization and the numpy specification of the engine, against the float model."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from export import fixed_point
from export.daisy import prepare, signal_to_noise_db
from export.quantize import SIGMOID_FRAC_BITS, TANH_FRAC_BITS, largest_cell_state, quantize
from training.errors import InputError
from training.model_file import Model


def snr_db(model: Model, audio: np.ndarray) -> float:
    samples = fixed_point.to_q31(audio)
    reference = np.clip(model.render(fixed_point.from_q31(samples), dtype=np.float64), -1, 1)
    positions = [int(knob.normalised(knob.default) * 2**31) for knob in model.knobs]
    return signal_to_noise_db(
        reference, fixed_point.from_q31(fixed_point.run(quantize(model, audio), samples, positions))
    )


@pytest.mark.parametrize("unit", ["lstm", "gru"])
@pytest.mark.parametrize(("hidden_size", "knob_count"), [(1, 0), (7, 2), (20, 0), (40, 4)])
def test_the_integer_engine_plays_what_the_float_model_plays(make_model, guitar, unit, hidden_size, knob_count):
    assert snr_db(make_model(unit, hidden_size, knob_count), guitar[:4000]) > 60


@pytest.mark.parametrize("unit", ["lstm", "gru"])
def test_integers_stand_for_the_weights(make_model, guitar, unit):
    model = make_model(unit, 12, 1)
    quantized = quantize(model, guitar[:500])
    weights = {key: tensor.double().numpy() for key, tensor in model.network.state_dict().items()}
    frac_bits = np.array(
        [SIGMOID_FRAC_BITS, SIGMOID_FRAC_BITS, TANH_FRAC_BITS, SIGMOID_FRAC_BITS][: quantized.gate_count]
    )

    def by_unit(array):
        return array.reshape(quantized.gate_count, 12, *array.shape[1:]).swapaxes(0, 1)

    unit_of_scale = (quantized.scale * 2.0 ** -(17 + frac_bits))[:, :, None]
    coarse = quantized.dense(quantized.recurrent_weights) * unit_of_scale
    fine = coarse + quantized.dense(quantized.low_weights) * unit_of_scale / 65536
    rows = by_unit(weights["recurrent.weight_hh_l0"])
    assert np.all(np.abs(coarse - rows) <= 0.51 * unit_of_scale)
    assert np.all(np.abs(fine - rows) <= 1e-4 * unit_of_scale + 1e-6 * np.abs(rows))
    inputs = quantized.input_weights * 2.0 ** -(frac_bits[:, None] + 1)
    np.testing.assert_allclose(inputs, by_unit(weights["recurrent.weight_ih_l0"]), atol=2**-22)


@settings(max_examples=40, deadline=None)
@given(exponent=st.floats(-12, 6), hidden_size=st.integers(1, 16), seed=st.integers(0, 99))
def test_no_row_can_overflow_its_sum(make_model, exponent, hidden_size, seed):
    model = make_model("lstm", hidden_size, seed=seed)
    with torch.no_grad():
        model.network.recurrent.weight_hh_l0 *= 2.0**exponent
    try:
        quantized = quantize(model, np.zeros(32, np.float32))
    except InputError as error:
        assert "too large" in error.message
        return
    largest = np.abs(quantized.dense(quantized.recurrent_weights)).sum(2).max() * 32768
    assert largest < 2**31
    assert quantized.scale.min() >= 0


def test_cell_format_follows_the_largest_cell_state(make_model, guitar):
    model = make_model("lstm", 4)
    with torch.no_grad():  # remember everything, add all the time: |c| climbs to 1 / (1 - forget gate)
        model.network.recurrent.bias_hh_l0[4:8] = 3.5
        model.network.recurrent.bias_hh_l0[:4] = 6.0
        model.network.recurrent.bias_hh_l0[8:12] = 6.0
    reach = largest_cell_state(model, guitar)
    assert reach > 10
    assert quantize(model, guitar).cell_frac_bits == 31 - int(np.ceil(np.log2(2 * reach)))
    assert quantize(make_model("lstm", 4), guitar).cell_frac_bits > 26


def test_weights_beyond_the_formats_are_refused(make_model, guitar):
    model = make_model("lstm", 4)
    with torch.no_grad():
        model.network.recurrent.weight_ih_l0[2] = 5000.0
    with pytest.raises(InputError, match="too large for the fixed-point engine"):
        quantize(model, guitar)


def test_what_cannot_run_in_real_time_is_refused_with_the_largest_that_can(make_model, guitar):
    with pytest.raises(InputError, match=r"lstm-64 cannot run in real time: .* over .* largest that can is lstm-\d\d"):
        prepare(make_model("lstm", 64), guitar)
