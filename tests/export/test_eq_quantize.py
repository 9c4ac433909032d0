"""The integers of EQ networks and cabinets against their float models."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from export import activation_tables, cabinet, eq_fixed_point, fir_q15, fixed_point
from export.daisy import prepare, signal_to_noise_db
from export.eq_quantize import MAXIMUM_TAPS, quantize_eq
from training import blend
from training.cabinet import Cabinet
from training.eq_block import EqNetwork
from training.eq_morph import EqMorph
from training.errors import InputError
from training.model_file import Model


def amp(name: str = "eq-6x129", gain: float = 1.0, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    network = EqNetwork.from_name(name)
    with torch.no_grad():
        network.mix *= (0.3 + torch.rand_like(network.mix)) * gain**0.5
        network.gate_logit += torch.randn(network.blocks)
    return Model("amp", "eq", network.config, network.eval())


def test_soft_sign_without_a_division() -> None:
    u = np.concatenate([np.arange(1, 3000), np.geomspace(3e3, 1.6e9, 5000).astype(np.int64)])
    u = np.concatenate([u, -u])
    played = np.array([eq_fixed_point._soft_sign(int(each)) for each in u]) * 2.0**-30
    exact = u / (2.0**20 + np.abs(u))
    assert np.abs(played - exact).max() < 2e-6
    assert (np.abs(played / exact - 1)[np.abs(exact) > 1e-3] < 4e-6).all()


def test_soft_sign_table_is_as_exact_as_it_says() -> None:
    words = activation_tables.soft_sign_words()
    mantissa = np.linspace(1, 2, 10001)
    node = np.rint((mantissa - 1) * 256).astype(int)
    value = (words[node, 0] + words[node, 1] * ((mantissa - 1) * 256 - node)) * 2.0**-30
    assert np.abs(value * mantissa - 1).max() < 2e-6


def test_rounded_taps_keep_sums_in_32_bits_and_low_frequencies_exact() -> None:
    rng = np.random.default_rng(0)
    for taps in (2, 33, 129, 1024):
        for scale in (1e3, 1e6, 2e9):
            response = (rng.standard_normal(taps) * np.exp(-np.arange(taps) / 20)).clip(-1, 1)
            integers = np.rint(response * scale).astype(np.int64)
            shift = fir_q15.shift_for(integers)
            rounded = fir_q15.shifted(integers, shift)
            assert np.abs(rounded).sum() <= 65535 and np.abs(rounded).max() <= 32767
            assert abs((rounded << shift).sum() - integers.sum()) <= 2 << shift
    plain, shaped = np.rint(integers / 2**shift), rounded
    error = [np.abs(np.fft.rfft(each - integers / 2**shift, 48000))[:400].max() for each in (plain, shaped)]
    assert error[1] < error[0] / 4


@pytest.mark.parametrize("name", ["eq-6x129", "eq-6x33-linear", "eq-4x33"])
def test_the_specification_sounds_as_the_float_model(name: str, guitar: np.ndarray) -> None:
    model, samples = amp(name), fixed_point.to_q31(guitar)
    exact = model.render(fixed_point.from_q31(samples), dtype=np.float64)
    played = fixed_point.from_q31(fixed_point.run(quantize_eq(model), samples))
    assert signal_to_noise_db(exact, played) > 65


def test_a_higher_precision_is_taken_where_it_is_needed(guitar: np.ndarray) -> None:
    """A gain of 60 in the first block makes the last bit of the guitar loud."""
    model = amp("eq-3x33")
    with torch.no_grad():
        model.network.mix[0] *= 6
    quiet = (guitar * 0.003).astype(np.float32)
    exported = prepare(model, quiet)
    assert exported.quantized.precision == "fine" and exported.snr_db >= 60
    coarse, fine = exported.choices[-1], exported.choices[0]
    assert coarse.snr_db < 60 and fine.budget.cycles_per_sample > coarse.budget.cycles_per_sample


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("eq-12x1000", lambda network: None, f"which holds {MAXIMUM_TAPS} taps"),
        ("eq-2x9", lambda network: network.mix.mul_(50), "the gain of a block reaches [0-9]+; the fixed-point engine"),
        ("eq-2x9", lambda network: network.bias.fill_(600), "the bias of a block reaches 600"),
        ("eq-2x9", lambda network: network.log_level.fill_(3), "the level reaches 20"),
    ],
)
def test_what_the_formats_do_not_hold_is_refused(name: str, change, message: str) -> None:
    model = amp(name)
    with torch.no_grad():
        change(model.network)
    with pytest.raises(InputError, match=message):
        quantize_eq(model)


def test_a_morph_is_refused_where_its_knob_leads_beyond_the_formats() -> None:
    models = [amp("eq-2x9"), amp("eq-2x9", seed=1)]
    with torch.no_grad():
        models[1].network.mix[0] *= 13
    quantize_eq(models[1])
    morph = blend.with_knob(models, "ab")
    quantize_eq(morph)  # which knows the formats
    further = EqMorph(2, **models[0].config)
    for own, model in zip(further.amps, models, strict=True):
        own.load_state_dict(model.network.state_dict())
    with pytest.raises(InputError, match=r"the gain of a block reaches [0-9]+ at 1\.2"):
        quantize_eq(replace(morph, network=further))


def test_other_rates_and_other_forms_are_refused(tmp_path) -> None:
    model = amp("eq-2x9")
    model.sample_rate_hz = 44_100
    with pytest.raises(InputError, match="EQ networks play at 48000 Hz"):
        quantize_eq(model)
    with pytest.raises(InputError, match="its weights cannot be stored in int8"):
        prepare(amp("eq-2x9"), weights="int8")


def test_a_cabinet_keeps_its_weak_end(guitar) -> None:
    rng = np.random.default_rng(0)
    response = rng.standard_normal(2048) * np.exp(-np.arange(2048) / 150)
    response /= np.abs(np.fft.rfft(response)).max()
    quantized = cabinet.quantize_cabinet(response)
    amp_like = fixed_point.to_q31(0.5 * np.tanh(20 * guitar))
    exact = Cabinet("cab", response).play(fixed_point.from_q31(amp_like))
    assert signal_to_noise_db(exact, fixed_point.from_q31(cabinet.play(quantized, amp_like))) > 75
    taps = quantized.taps[:, ::-1] * 2.0 ** -(quantized.shifts[:, None] + 11.0)
    for part in (0, 15):  # one shift for all would leave nothing of the last partition
        assert signal_to_noise_db(response.reshape(16, 128)[part], taps[part]) > 50


def test_a_cabinet_of_too_much_gain_is_refused() -> None:
    with pytest.raises(InputError, match="add up to 40; the engine holds 31"):
        cabinet.quantize_cabinet(np.full(40, 1.0))


def test_what_leaves_no_time_for_the_cabinet_is_refused(make_model, guitar) -> None:
    with pytest.raises(InputError, match="with the cabinet it takes"):
        prepare(make_model("lstm", 50), guitar, cabinet=Cabinet("cab", np.full(2048, 1e-3)))
