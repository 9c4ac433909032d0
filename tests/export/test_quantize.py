"""Quantization and the numpy specification of the engine, against the float model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from export import daisy, fixed_point
from export import quantize as export_quantize
from export.daisy import prepare, signal_to_noise_db
from export.quantize import (
    FRAC_BITS,
    LOW_ONE,
    PRECISIONS,
    QuantizedModel,
    measure,
    packed,
    quantize,
    requantized,
    rounded_rows,
)
from training.errors import InputError
from training.model_file import Model
from training.quantization import int8_weights


def snr_db(model: Model, quantized: QuantizedModel, audio: np.ndarray) -> float:
    samples = fixed_point.to_q31(audio)
    reference = np.clip(model.render(fixed_point.from_q31(samples), dtype=np.float64), -1, 1)
    positions = [int(knob.normalised(knob.default) * 2**31) for knob in model.knobs]
    return signal_to_noise_db(reference, fixed_point.from_q31(fixed_point.run(quantized, samples, positions)))


@pytest.mark.parametrize("unit", ["lstm", "gru"])
@pytest.mark.parametrize(
    ("hidden_size", "knob_count", "layers"), [(1, 0, 1), (7, 2, 1), (20, 0, 1), (40, 4, 1), (9, 1, 2), (13, 0, 3)]
)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_integer_engine_plays_what_the_float_model_plays(
    make_model, guitar, unit, hidden_size, knob_count, layers, precision
):
    model = make_model(unit, hidden_size, knob_count, layers=layers)
    quantized = requantized(quantize(model, guitar), model, precision=precision)
    assert snr_db(model, quantized, guitar) > 60
    assert 20 < snr_db(model, requantized(quantized, model, weight_bits=8), guitar) < 120


def torch_rows(model: Model, layer: int) -> np.ndarray:
    """[hidden, rows, parts, hidden], from torch's weights by their documented order."""
    weights = {key: tensor.double().numpy() for key, tensor in model.network.state_dict().items()}
    size, lstm = model.network.hidden_size, model.architecture == "lstm"
    own, below = (weights[f"recurrent.weight_{source}_l{layer}"] for source in ("hh", "ih"))
    rows = np.zeros((size, 4 if lstm or layer else 3, 1 + (layer > 0), size))
    for gate in range(4 if lstm else 3):
        rows[:, gate, -1] = own[gate * size : (gate + 1) * size]
        if layer:
            rows[:, 3 if gate == 2 and not lstm else gate, 0] = below[gate * size : (gate + 1) * size]
    return rows


def torch_bias(model: Model, layer: int) -> np.ndarray:
    """[hidden, 4], from torch's biases by their documented order."""
    weights = {key: tensor.double().numpy() for key, tensor in model.network.state_dict().items()}
    state, below = (
        np.split(weights[f"recurrent.bias_{source}_l{layer}"], 4 if model.architecture == "lstm" else 3)
        for source in ("hh", "ih")
    )
    if model.architecture == "lstm":
        return np.stack(state, 1) + np.stack(below, 1)
    return np.stack([state[0] + below[0], state[1] + below[1], state[2], below[2]], 1)


@pytest.mark.parametrize("unit", ["lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
def test_integers_stand_for_the_weights(make_model, guitar, unit, layers):
    model = make_model(unit, 11, 1, layers=layers)
    quantized = quantize(model, guitar)
    int8 = requantized(quantized, model, weight_bits=8)
    frac_bits = FRAC_BITS[unit]
    steps = int8.dense(np.repeat(np.int16(1), len(int8.int8_weights)))  # shapes of the layers' rows
    for layer in range(layers):
        rows = torch_rows(model, layer)
        units = slice(11 * layer, 11 * (layer + 1))
        row_count = rows.shape[1]

        def unit_of_scale(each: QuantizedModel, units=units, row_count=row_count) -> np.ndarray:
            return (each.scale[units, :row_count] * 2.0 ** -(17 + frac_bits[:row_count]))[:, :, None, None]

        one = unit_of_scale(quantized)
        coarse = quantized.dense(quantized.recurrent_weights)[layer] * one
        fine = coarse + quantized.dense(quantized.low_weights)[layer] * one / LOW_ONE
        assert np.all(np.abs(coarse - rows) <= 6 * one)
        assert np.all(np.abs(fine - rows) <= 2e-4 * one + 1e-6 * np.abs(rows))
        of_int8 = int8.dense(int8.recurrent_weights)[layer]
        assert steps[layer].shape == of_int8.shape
        assert np.all(of_int8 == int8.dense(int8.int8_weights)[layer] * int8.int8_steps[units, :row_count, None, None])
        step_value = np.abs(rows).max((2, 3)) / 127
        assert np.all(np.abs(of_int8 * unit_of_scale(int8) - rows) <= 6 * step_value[:, :, None, None])
        bias = (quantized.bias + quantized.low_bias)[units] * 2.0**-frac_bits
        assert np.allclose(bias, torch_bias(model, layer), atol=2**-21)
    own = model.network.recurrent.weight_ih_l0.detach().double().numpy().reshape(-1, 11, 2).swapaxes(0, 1)
    columns = [0, 1, 2, 3] if unit == "lstm" else [0, 1, 3]
    inputs = quantized.input_weights * 2.0 ** -(frac_bits[:, None] + 1)
    np.testing.assert_allclose(inputs[:, columns], own, atol=2**-22)


def test_rounding_keeps_the_products_with_states_that_go_together():
    rng = np.random.default_rng(0)
    states = rng.standard_normal((2000, 3)) @ rng.standard_normal((3, 12)) + 0.1 * rng.standard_normal((2000, 12))
    states *= np.linspace(0.2, 1, 12)
    rows = rng.uniform(-100, 100, (40, 12))
    covariance = np.cov(states, rowvar=False)
    integers = rounded_rows(rows, covariance, 127)
    assert np.array_equal(integers, np.rint(integers)) and np.abs(integers).max() <= 127

    def error(rounded: np.ndarray) -> float:
        return float(np.square(states @ (rounded - rows).T).sum())

    assert error(integers) < 0.1 * error(np.rint(rows))
    assert np.array_equal(rounded_rows(integers.copy(), covariance, 127), integers)


def test_weights_on_the_int8_grid_stay_there(make_model, guitar):
    """As `pedal train --quantize int8` leaves them: int8 then costs no more than int16."""
    model = make_model("gru", 12, layers=2)
    model.network.load_state_dict(int8_weights(model.network))
    quantized = quantize(model, guitar)
    int8 = requantized(quantized, model, weight_bits=8)
    for layer, integers in enumerate(int8.dense(int8.int8_weights)):
        rows = torch_rows(model, layer)
        peaks = np.abs(rows).max((2, 3), keepdims=True)
        np.testing.assert_allclose(integers * peaks / 127, rows, atol=1e-6)
    assert snr_db(model, int8, guitar) > snr_db(model, quantized, guitar) - 1
    assert prepare(model, guitar).quantized.weight_bits == 8


def test_the_order_of_the_kernels_is_as_documented():
    size, row_count, parts = 5, 3, 2
    rows = np.arange(1, size * row_count * parts * size + 1).reshape(size, row_count, parts, size)
    ordered = packed(rows).reshape(3, 8, 2, row_count, 2)  # [two units][pair of states][unit][row][state]
    for unit, row, part, state in ((0, 0, 0, 0), (4, 2, 1, 4), (3, 1, 0, 3)):
        read = 8 * part + state  # every part is filled up to a multiple of four
        assert ordered[unit // 2, read // 2, unit % 2, row, read % 2] == rows[unit, row, part, state]
    assert np.count_nonzero(ordered) == rows.size


@settings(max_examples=40, deadline=None)
@given(exponent=st.floats(-12, 6), hidden_size=st.integers(1, 16), seed=st.integers(0, 99))
def test_no_row_can_overflow_its_sum(make_model, exponent, hidden_size, seed):
    model = make_model("lstm", hidden_size, seed=seed)
    with torch.no_grad():
        model.network.recurrent.weight_hh_l0 *= 2.0**exponent
    try:
        quantized = quantize(model, np.zeros(32, np.float32))
        both = quantized, requantized(quantized, model, weight_bits=8)
    except InputError as error:
        assert "too large" in error.message
        return
    for each in both:
        (rows,) = each.dense(each.recurrent_weights)
        assert np.abs(rows).sum((2, 3)).max() * 32768 < 2**31
        assert each.scale.min() >= 0


def test_cell_format_follows_the_largest_cell_state(make_model, guitar):
    model = make_model("lstm", 4, layers=2)
    with torch.no_grad():  # the upper remembers everything and adds all the time: |c| climbs to 1 / (1 - forget gate)
        model.network.recurrent.bias_hh_l1[4:8] = 3.5
        model.network.recurrent.bias_hh_l1[:4] = 6.0
        model.network.recurrent.bias_hh_l1[8:12] = 6.0
    reach = measure(model, guitar).cell
    assert reach[1] > 10 > 4 > reach[0]
    lower, upper = quantize(model, guitar).cell_frac_bits
    assert upper == 31 - int(np.ceil(np.log2(2 * reach[1])))
    assert lower > 26


def test_weights_beyond_the_formats_are_refused(make_model, guitar):
    model = make_model("lstm", 4)
    with torch.no_grad():
        model.network.recurrent.weight_ih_l0[2] = 5000.0
    with pytest.raises(InputError, match="too large for the fixed-point engine"):
        quantize(model, guitar)


def test_a_higher_precision_is_taken_where_the_lower_is_not_enough(make_model, guitar, monkeypatch):
    model = make_model("lstm", 12)
    assert prepare(model, guitar).quantized.precision == "coarse"
    monkeypatch.setattr(daisy, "ENOUGH_DB", 200.0)
    exported = prepare(model, guitar)
    assert exported.quantized.precision == "finest"
    assert [choice.quantized.precision for choice in exported.choices] == ["finest", "finest", "fine", "coarse"]
    assert exported.snr_db > exported.choices[-1].snr_db + 5
    assert exported.budget.cycles_per_sample > exported.choices[-1].budget.cycles_per_sample
    # a model that leaves no time for it stays as it is
    exported = prepare(make_model("gru", 62), guitar, "int16")
    assert exported.quantized.precision == "coarse"
    assert "warning    less than 200 dB of SNR" in daisy.summary(exported)
    noisy = replace(exported.choices[0], snr_db=300.0, idle_dbfs=-60.0)
    assert "warning    -60 dBFS at rest" in daisy.summary(replace(exported, choices=(noisy,)))


def test_int8_is_taken_when_it_is_asked_for(make_model, guitar):
    model = make_model("lstm", 12)
    assert prepare(model, guitar).quantized.weight_bits == 16
    assert prepare(model, guitar, "int8").quantized.weight_bits == 8
    model.network.load_state_dict(int8_weights(model.network))
    assert prepare(model, guitar, "int16").quantized.weight_bits == 16


def test_more_units_than_the_memory_holds_are_refused(make_model, guitar, monkeypatch):
    monkeypatch.setattr(export_quantize, "MAXIMUM_UNITS", 20)
    with pytest.raises(InputError, match=r"2 layers of 11 are 22 units; .* memory holds 20"):
        prepare(make_model("lstm", 11, layers=2), guitar)


def test_what_cannot_run_in_real_time_is_refused_with_the_largest_that_can(make_model, guitar):
    with pytest.raises(InputError, match=r"lstm-64 cannot run in real time: .* over .* largest that can is lstm-\d\d"):
        prepare(make_model("lstm", 64), guitar)
