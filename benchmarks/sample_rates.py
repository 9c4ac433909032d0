"""Two ways to play a model at a rate that it was not trained at: `python benchmarks/sample_rates.py [MODEL...]`.

The pedal runs at 48 kHz, most captures of other people at 44.1 kHz. Each model (a model.pt or a capture of others;
without arguments those of ../shared/data) plays a guitar at its own rate, with an ideal conversion before and after:
that is what the ways are held against, in dB of SNR.

- as it is: at 48 kHz, as if it were trained there.
- linear, cubic: at 48 kHz, with states that are read as late as a sample of the model's own rate is long, interpolated
  by a Lagrange filter of first and third order (Carson, Wright, Chowdhury, Valimaki and Bilbao, "Sample Rate
  Independent Recurrent Neural Networks for Audio Effects Processing", DAFx 2024). No delay.
- resampled: what the pedal does (export/resampling.py), for any network; 0.56 ms of delay.

Two guitars: a DI as recorded, and the exporter's synthetic take, which begins at full scale.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from numba import njit

from export import daisy
from export.fixed_point import from_q31, to_q31
from export.resampling import PEDAL_RATE_HZ, needed
from hardware.firmware_build import REPOSITORY
from training import audio
from training.distill import read_teacher
from training.errors import InputError
from training.model_file import Model

SHARED = REPOSITORY.parent / "shared" / "data"
SECONDS = 4
ORDERS = {"as it is": 0, "linear": 1, "cubic": 3}


def read_late(order: int, own_hz: int) -> np.ndarray:
    """Weights of the states 1, 2, ... samples ago that together are the state one sample of the model's rate ago."""
    if order == 0:
        return np.ones(1)
    late, places = PEDAL_RATE_HZ / own_hz, np.arange(1.0, order + 2)
    others = [np.delete(places, index) for index in range(len(places))]
    return np.array([np.prod((late - rest) / (place - rest)) for place, rest in zip(places, others, strict=True)])


def play_late(model: Model, samples: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Play `samples` (float64 [frames]) through a one-layer model whose states are read through `taps`, from zero."""
    weights = {name: array.detach().double().numpy() for name, array in model.recurrent.state_dict().items()}
    positions = np.array([knob.normalised(knob.default) for knob in model.knobs])
    inputs = weights["recurrent.weight_ih_l0"]
    hidden = _play_late(
        model.architecture == "lstm",
        np.ascontiguousarray(inputs[:, 0]),
        weights["recurrent.bias_ih_l0"] + inputs[:, 1:] @ positions,
        weights["recurrent.weight_hh_l0"],
        weights["recurrent.bias_hh_l0"],
        taps,
        samples,
    )
    return hidden @ weights["head.weight"][0] + weights["head.bias"][0] + model.recurrent.residual * samples


@njit(cache=True)
def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@njit(cache=True)
def _play_late(
    lstm: bool,
    input_weights: np.ndarray,  # [gates * hidden]
    input_bias: np.ndarray,
    state_weights: np.ndarray,  # [gates * hidden, hidden]
    state_bias: np.ndarray,
    taps: np.ndarray,
    samples: np.ndarray,
) -> np.ndarray:
    size = state_weights.shape[1]
    past_h, past_c = np.zeros((len(taps), size)), np.zeros((len(taps), size))
    out = np.zeros((len(samples), size))
    for index in range(len(samples)):
        h, c = np.zeros(size), np.zeros(size)
        for tap in range(len(taps)):
            h += taps[tap] * past_h[tap]
            c += taps[tap] * past_c[tap]
        a, b = input_weights * samples[index] + input_bias, state_weights @ h + state_bias
        if lstm:
            z = a + b
            c = _sigmoid(z[size : 2 * size]) * c + _sigmoid(z[:size]) * np.tanh(z[2 * size : 3 * size])
            h = _sigmoid(z[3 * size :]) * np.tanh(c)
        else:
            r, keep = _sigmoid(a[:size] + b[:size]), _sigmoid(a[size : 2 * size] + b[size : 2 * size])
            h = (1 - keep) * np.tanh(a[2 * size :] + r * b[2 * size :]) + keep * h
        past_h[1:], past_c[1:] = past_h[:-1].copy(), past_c[:-1].copy()
        past_h[0], past_c[0] = h, c
        out[index] = h
    return out


def row(model: Model, guitar: np.ndarray) -> list[float]:
    """SNR in dB of each way, less the first tenth of a second, in which the states settle."""
    samples = to_q31(guitar)
    heard = from_q31(samples)
    ideal = np.clip(model.render_at(PEDAL_RATE_HZ, heard, dtype=np.float64), -1.0, 1.0)
    played = [
        np.clip(play_late(model, heard, read_late(order, model.sample_rate_hz)), -1.0, 1.0) for order in ORDERS.values()
    ]
    played.append(daisy.reference(model, needed(model.sample_rate_hz), samples))
    settled = slice(PEDAL_RATE_HZ // 10, -PEDAL_RATE_HZ // 10)
    return [daisy.signal_to_noise_db(ideal[settled], output[settled]) for output in played]


def main() -> None:
    torch.set_num_threads(1)
    paths = [Path(name) for name in sys.argv[1:]] or sorted((SHARED / "models").glob("*"))
    guitars = {"full scale": daisy.calibration_audio()}
    di = SHARED / "audio" / "nam_reaper_guitar_di_48k24.wav"
    if di.is_file():
        guitars["DI"] = audio.read(di).samples[PEDAL_RATE_HZ : (1 + SECONDS) * PEDAL_RATE_HZ]
    ways = [*ORDERS, "resampled"]
    print(f"{'model':40} {'network':8} {'guitar':10} " + " ".join(f"{way:>9}" for way in ways))
    for path in paths:
        try:
            model = read_teacher(path)
            if model.recurrent.layers > 1 or needed(model.sample_rate_hz) is None:
                continue
        except InputError:
            continue
        for name, guitar in guitars.items():
            figures = " ".join(f"{snr_db:9.1f}" for snr_db in row(model, guitar))
            print(f"{path.stem[:40]:40} {model.recurrent.name:8} {name:10} {figures}", flush=True)


if __name__ == "__main__":
    main()
