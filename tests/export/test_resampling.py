"""Sample-rate conversion around a model, against the conversion of a textbook."""

import numpy as np
import pytest

from export.daisy import prepare, reference, signal_to_noise_db
from export.fixed_point import from_q31, to_q31
from export.resampling import PEDAL_RATE_HZ, Resampling, needed
from training.errors import InputError

RATES_HZ = (22_050, 24_000, 32_000, 44_100, 64_000, 88_200, 96_000)


def seconds(frames=9600):
    return np.arange(frames) / PEDAL_RATE_HZ


@pytest.mark.parametrize("own_hz", RATES_HZ)
def test_what_the_lower_rate_holds_comes_back_late_and_else_unchanged(own_hz):
    resampling = Resampling(own_hz)
    pitches = (50, 440, 0.25 * min(own_hz, PEDAL_RATE_HZ))
    tones = [0.2 * np.sin(2 * np.pi * hertz * seconds() + hertz) for hertz in pitches]
    sent = to_q31(np.sum(tones, axis=0))
    came = from_q31(resampling.around(lambda own: own, sent))
    delay = resampling.delay_frames
    assert signal_to_noise_db(from_q31(sent)[500 : -500 - delay], came[500 + delay : -500]) > 75
    assert np.abs(came[: delay // 2]).max() < 1e-3  # nothing comes before its time


@pytest.mark.parametrize("own_hz", RATES_HZ)
def test_the_model_hears_its_own_rate(own_hz):
    """A tone arrives as the samples of that tone at the model's rate."""
    heard = []
    resampling = Resampling(own_hz)

    def play(own):
        heard.append(own)
        return own

    hertz = 1000.0
    resampling.around(play, to_q31(0.5 * np.sin(2 * np.pi * hertz * seconds())))
    own = from_q31(heard[0][1:])
    assert len(own) == pytest.approx(9600 * own_hz / PEDAL_RATE_HZ, rel=0.01)
    first = -(resampling.reach // resampling.own_step)
    expected = 0.5 * np.sin(2 * np.pi * hertz * (first + np.arange(len(own))) / own_hz)
    assert signal_to_noise_db(expected[300:-300], own[300:-300]) > 75


def test_what_the_lower_rate_cannot_hold_is_gone():
    tone = to_q31(0.5 * np.sin(2 * np.pi * 20_000 * seconds()))
    assert np.abs(from_q31(Resampling(24_000).around(lambda own: own, tone))[200:]).max() < 1e-3


@pytest.mark.parametrize("own_hz", RATES_HZ)
def test_a_constant_of_the_model_is_there_from_the_first_frame(own_hz):
    came = from_q31(Resampling(own_hz).around(lambda own: np.full(len(own), 2**30, np.int32), np.zeros(500, np.int32)))
    np.testing.assert_allclose(came, 0.5, atol=1e-4)


def test_full_scale_saturates():
    square = np.where(np.arange(9600) // 20 % 2, 2**31 - 1, -(2**31)).astype(np.int32)
    came = Resampling(44_100).around(lambda own: own, square)
    assert came.max() == 2**31 - 1 and came.min() == -(2**31)
    assert np.mean(came[1000:] > 0) == pytest.approx(0.5, abs=0.01)  # nothing wrapped


def test_the_reference_is_the_float_model_within_the_resampling(make_model, guitar):
    model = make_model("gru", 4)
    model.sample_rate_hz = 44_100
    exported = prepare(model, guitar)
    output = reference(model, exported.quantized.resampling, to_q31(guitar))
    ideal = model.render_at(PEDAL_RATE_HZ, guitar, dtype=np.float64)
    assert len(output) == len(guitar)
    assert signal_to_noise_db(ideal[500:-500], output[500:-500]) > 70
    assert exported.resampling_db > 60 and prepare(make_model("gru", 4), guitar).resampling_db is None


@pytest.mark.parametrize(
    ("own_hz", "message"),
    [(192_000, "outside the 22050 to 96000 Hz"), (8_000, "outside"), (44_056, "no simple ratio"), (47_999, "ratio")],
)
def test_rates_that_are_not_converted_are_refused(own_hz, message):
    with pytest.raises(InputError, match=message):
        needed(own_hz)


def test_the_pedals_own_rate_needs_nothing():
    assert needed(PEDAL_RATE_HZ) is None
