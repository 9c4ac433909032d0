import copy
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from conftest import DATA
from hypothesis import given, settings
from hypothesis import strategies as st

from training.errors import InputError
from training.wavenet import ACTIVATIONS, FILMS, WaveNet

GOLDEN = DATA / "golden" / "golden_wavenet_a2_lite_v2_48000.bin"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")
Step = Callable[[np.ndarray], np.ndarray]

A1: dict[str, Any] = {
    "layers": [
        {
            "input_size": 1,
            "condition_size": 1,
            "head_size": 2,
            "channels": 3,
            "kernel_size": 3,
            "dilations": [1, 2, 4],
            "activation": "Tanh",
            "gated": False,
            "head_bias": False,
        },
        {
            "input_size": 3,
            "condition_size": 1,
            "head_size": 1,
            "channels": 2,
            "kernel_size": 3,
            "dilations": [8],
            "activation": "ReLU",
            "gated": True,
            "head_bias": True,
        },
    ],
    "head": None,
    "head_scale": 0.02,
}
A2: dict[str, Any] = {
    "layers": [
        {
            "input_size": 1,
            "condition_size": 1,
            "channels": 4,
            "bottleneck": 4,
            "head": {"out_channels": 1, "kernel_size": 3, "bias": True},
            "kernel_sizes": [2, 4],
            "dilations": [3, 1],
            "activation": [{"type": "LeakyReLU", "negative_slope": 0.1}, "Softsign"],
            "gating_mode": ["none", "none"],
            "secondary_activation": [None, None],
            "head1x1": {"active": False, "out_channels": 1, "groups": 1},
            "layer1x1": {"active": True, "groups": 1},
            "groups_input": 1,
            "groups_input_mixin": 1,
            **{film: {"active": False, "shift": True, "groups": 1} for film in FILMS},
            "slimmable": None,
        }
    ],
    "head": None,
    "head_scale": 0.5,
}


def changed(config: dict[str, Any], array: int = 0, without: tuple[str, ...] = (), **options: Any) -> dict[str, Any]:
    """`config` with other options of one of its arrays."""
    config = copy.deepcopy(config)
    config["layers"][array].update(options)
    for key in without:
        del config["layers"][array][key]
    return config


def random_weights(config: dict[str, Any], seed: int = 0) -> np.ndarray:
    weights = np.random.default_rng(seed).standard_normal(WaveNet(config).weight_count)
    return (0.5 * weights).astype(np.float32)


def random_network(config: dict[str, Any], seed: int = 0, dtype: torch.dtype = torch.float64) -> WaveNet:
    return WaveNet.from_nam(config, random_weights(config, seed)).to(dtype).eval()


def noise(frames: int, streams: int = 1, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(0.5 * np.random.default_rng(1).standard_normal((streams, frames))).to(dtype)


def simple_activation(kind: Any, x: np.ndarray) -> np.ndarray:
    """The activations by their definitions, for one frame of all channels."""
    kind = {"type": kind} if isinstance(kind, str) else kind
    sigmoid = 1 / (1 + np.exp(-x))
    match kind["type"]:
        case "Tanh":
            return np.tanh(x)
        case "Hardtanh":
            return np.minimum(1, np.maximum(-1, x))
        case "Fasttanh":
            s = np.abs(x)
            top = x * (2.45550750702956 * (1 + s) + (0.893229853513558 + 0.821226666969744 * s) * x**2)
            return top / (2.44506634652299 + (2.44506634652299 + x**2) * np.abs(x + 0.814642734961073 * x * s))
        case "ReLU":
            return np.maximum(0, x)
        case "LeakyReLU":
            return np.where(x > 0, x, kind.get("negative_slope", 0.01) * x)
        case "PReLU":
            return np.where(x > 0, x, np.array(kind.get("negative_slopes", kind.get("negative_slope", 0.01))) * x)
        case "Sigmoid":
            return sigmoid
        case "SiLU":
            return x * sigmoid
        case "Hardswish":
            return x * np.minimum(6, np.maximum(0, x + 3)) / 6
        case "LeakyHardtanh" | "LeakyHardTanh":
            low, high = kind.get("min_val", -1.0), kind.get("max_val", 1.0)
            below = low + kind.get("min_slope", 0.01) * (x - low)
            above = high + kind.get("max_slope", 0.01) * (x - high)
            return np.where(x < low, below, np.where(x > high, above, x))
        case "Softsign":
            return x / (1 + np.abs(x))
    raise AssertionError(kind)


def convolution(
    weights: Iterator[float], inputs: int, outputs: int, kernel: int = 1, dilation: int = 1, groups: int = 1, bias=True
) -> Step:
    """Takes its weights, [outputs][inputs of a group][taps, the newest last], and returns what maps frame to frame."""
    matrix = np.zeros((kernel, outputs, inputs))
    for output in range(outputs):
        group = output // (outputs // groups)
        for column in range(inputs // groups):
            for tap in range(kernel):
                matrix[tap, output, group * (inputs // groups) + column] = next(weights)
    constant = np.array([next(weights) if bias else 0.0 for _ in range(outputs)])
    past: list[np.ndarray] = []

    def step(frame: np.ndarray) -> np.ndarray:
        past.append(frame)
        result = constant.copy()
        for tap in range(kernel):
            age = (kernel - 1 - tap) * dilation
            if age < len(past):
                result += matrix[tap] @ past[-1 - age]
        return result

    return step


def layer(weights: Iterator[float], array: dict[str, Any], i: int) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    mode, b, c = array["gating_mode"][i], array["bottleneck"], array["channels"]
    wide = b if mode == "none" else 2 * b
    conv = convolution(weights, c, wide, array["kernel_sizes"][i], array["dilations"][i], array["groups_input"])
    mixin = convolution(weights, 1, wide, bias=False)
    l1x1, h1x1 = array["layer1x1"], array["head1x1"]
    to_next = convolution(weights, b, c, groups=l1x1["groups"]) if l1x1["active"] else None
    to_head = convolution(weights, b, h1x1["out_channels"], groups=h1x1["groups"]) if h1x1["active"] else None
    films: dict[str, Step] = {}
    for name, size in zip(FILMS, (c, wide, 1, wide, wide, b, c, h1x1["out_channels"]), strict=True):
        if array[name]["active"]:
            films[name] = convolution(weights, 1, size * (2 if array[name]["shift"] else 1))

    def film(name: str, frame: np.ndarray, x: np.ndarray) -> np.ndarray:
        if name not in films:
            return frame
        line = films[name](x)
        return line[: len(frame)] * frame + (line[len(frame) :] if array[name]["shift"] else 0)

    def step(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = film("conv_post_film", conv(film("conv_pre_film", y, x)), x)
        z = z + film("input_mixin_post_film", mixin(film("input_mixin_pre_film", x, x)), x)
        z = film("activation_pre_film", z, x)
        active = simple_activation(array["activation"][i], z[:b])
        if mode != "none":
            gate = simple_activation(array["secondary_activation"][i], z[b:])
            active = gate * active if mode == "gated" else gate * active + (1 - gate) * z[:b]
        active = film("activation_post_film", active, x)
        head = active if to_head is None else film("head1x1_post_film", to_head(active), x)
        if to_next is None:
            return y, head
        further = to_next(active)
        return y + (film("layer1x1_post_film", further, x) if mode == "blended" else further), head

    return step


def by_the_description(config: dict[str, Any], weights: np.ndarray, audio: np.ndarray) -> np.ndarray:
    """One stream in float64, frame by frame, from a config with every option spelled out; silence comes first."""
    left = iter(weights.astype(np.float64).tolist())
    arrays = []
    for array in config["layers"]:
        rechannel = convolution(left, array["input_size"], array["channels"], bias=False)
        layers = [layer(left, array, i) for i in range(len(array["dilations"]))]
        size = array["head1x1"]["out_channels"] if array["head1x1"]["active"] else array["bottleneck"]
        head = array["head"]
        dilation = head.get("head_dilation", 1)
        to_head = convolution(left, size, head["out_channels"], head["kernel_size"], dilation, bias=head["bias"])
        arrays.append((rechannel, layers, to_head))
    post, size = [], config["layers"][-1]["head"]["out_channels"]
    if config["head"] is not None:
        kernels = config["head"]["kernel_sizes"]
        for number, kernel in enumerate(kernels, 1):
            outputs = config["head"]["out_channels" if number == len(kernels) else "channels"]
            post.append(convolution(left, size, outputs, kernel))
            size = outputs
    scale = next(left)
    assert next(left, None) is None
    output = []
    silence = WaveNet(config).receptive_field
    for sample in [0.0] * silence + audio.tolist():
        x = np.array([sample])
        y, heads = x, np.zeros(1)
        for rechannel, layers, to_head in arrays:
            y = rechannel(y)
            for step in layers:
                y, head = step(y, x)
                heads = heads + head
            heads = to_head(heads)
        heads = scale * heads
        for step in post:
            heads = step(simple_activation(config["head"]["activation"], heads))
        output.append(heads[0])
    return np.array(output[silence:])


def random_config(seed: int) -> dict[str, Any]:
    """Up to three arrays of up to three layers, each with options drawn at random, all spelled out."""
    rng = np.random.default_rng(seed)

    def pick(*choices: Any) -> Any:
        return choices[rng.integers(len(choices))]

    def activation(channels: int) -> Any:
        slopes = np.round(rng.uniform(0, 0.5, channels), 3).tolist()
        bounds = {"min_val": -0.5, "max_val": 0.75, "min_slope": 0.125, "max_slope": 0.25}
        return pick(
            *ACTIVATIONS.keys() - {"PReLU"},
            {"type": "LeakyReLU", "negative_slope": 0.25},
            {"type": "PReLU", "negative_slopes": slopes},
            {"type": "LeakyHardTanh", **bounds},
            {"type": "SiLU"},
        )

    arrays: list[dict[str, Any]] = []
    count = int(rng.integers(1, 4))
    inputs, heads = 1, None
    for number in range(count):
        channels = heads or pick(1, 2, 3, 4, 6)
        layer1x1 = bool(rng.random() < 0.75)
        bottleneck = pick(1, 2, 4, channels) if layer1x1 else channels
        head1x1 = heads is not None or bool(rng.random() < 0.5)
        to_head = heads or pick(1, 2, 4)
        if not head1x1:
            to_head = bottleneck
        depth = int(rng.integers(1, 4))
        modes = [pick("none", "gated", "blended") for _ in range(depth)]
        summed = [bottleneck if mode == "none" else 2 * bottleneck for mode in modes]
        common = [
            groups for groups in (1, 2, 3, 4) if channels % groups == 0 and not any(size % groups for size in summed)
        ]
        last = number == count - 1
        post = last and bool(rng.random() < 0.4)
        arrays.append(
            {
                "input_size": inputs,
                "condition_size": 1,
                "channels": channels,
                "bottleneck": bottleneck,
                "head": {
                    "out_channels": 1 if last and not post else pick(1, 2, 3),
                    "kernel_size": pick(1, 2, 5),
                    "head_dilation": pick(1, 3),
                    "bias": pick(True, False),
                },
                "kernel_sizes": [pick(1, 2, 3, 5) for _ in range(depth)],
                "dilations": [pick(1, 2, 3, 7) for _ in range(depth)],
                "activation": [activation(bottleneck) for _ in range(depth)],
                "gating_mode": modes,
                "secondary_activation": [None if mode == "none" else activation(bottleneck) for mode in modes],
                "layer1x1": {
                    "active": layer1x1,
                    "groups": pick(*(g for g in (1, 2, 4) if channels % g == bottleneck % g == 0)),
                },
                "head1x1": {
                    "active": head1x1,
                    "out_channels": to_head,
                    "groups": pick(*(g for g in (1, 2, 4) if to_head % g == bottleneck % g == 0)),
                },
                "groups_input": pick(*common),
                "groups_input_mixin": 1,
                **{
                    film: {
                        "active": bool(rng.random() < 0.4)
                        and (layer1x1 or film != "layer1x1_post_film")
                        and (head1x1 or film != "head1x1_post_film"),
                        "shift": pick(True, False),
                        "groups": 1,
                    }
                    for film in FILMS
                },
            }
        )
        inputs, heads = channels, arrays[-1]["head"]["out_channels"]
    head = None
    if post:
        slope = {"type": "PReLU", "negative_slope": 0.2}
        kernels = pick([1], [3, 2], [2, 1, 4])
        head = {"channels": 3, "out_channels": 1, "kernel_sizes": kernels, "activation": pick("SiLU", slope)}
    elif heads != 1:
        arrays[-1]["head"]["out_channels"] = 1
    return {"layers": arrays, "head": head, "head_scale": 0.02}


def assert_follows_the_description(config: dict[str, Any]) -> None:
    weights, audio = random_weights(config), noise(40)
    with torch.inference_mode():
        output, _ = WaveNet.from_nam(config, weights).double()(audio)
    wanted = by_the_description(config, weights, audio[0].numpy())
    np.testing.assert_allclose(output[0].numpy(), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(60))
def test_output_follows_the_description(seed: int) -> None:
    assert_follows_the_description(random_config(seed))


@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.parametrize("mode", ["none", "gated", "blended"])
@pytest.mark.parametrize("film", FILMS)
def test_each_film_follows_the_description(film: str, mode: str, shift: bool) -> None:
    options = {
        film: {"active": True, "shift": shift, "groups": 1},
        "gating_mode": [mode, mode],
        "secondary_activation": ["Sigmoid", "Tanh"],
        "bottleneck": 2,
        "head1x1": {"active": True, "out_channels": 3, "groups": 1},
    }
    assert_follows_the_description(changed(A2, **options))


@pytest.mark.parametrize("mode", ["none", "gated", "blended"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_activation_follows_the_description(name: str, mode: str) -> None:
    options = {"activation": [name, {"type": name}], "gating_mode": [mode] * 2, "secondary_activation": [name] * 2}
    assert_follows_the_description(changed(A2, **options))


@pytest.mark.parametrize(
    ("option", "spelled_out"),
    [
        ({"activation": "Tanh"}, {"activation": [{"type": "Tanh"}] * 2}),
        ({"activation": ["PReLU", "LeakyHardTanh"]}, {"activation": [{"type": "PReLU"}, {"type": "LeakyHardtanh"}]}),
        ({"gating_mode": "gated"}, {"gating_mode": ["gated"] * 2, "secondary_activation": ["Sigmoid"] * 2}),
        ({"gated": True}, {"gating_mode": ["gated"] * 2, "secondary_activation": ["Sigmoid"] * 2}),
        ({"gated": False}, {"gating_mode": ["none"] * 2}),
        ({"gating_mode": "none", "secondary_activation": ""}, {"gating_mode": ["none"] * 2}),
        (
            {"gating_mode": ["blended", "none"], "secondary_activation": "SiLU"},
            {"gating_mode": ["blended", "none"], "secondary_activation": ["SiLU", None]},
        ),
        ({"kernel_size": 3}, {"kernel_sizes": [3, 3]}),
        ({"head_size": 1, "head_bias": False}, {"head": {"out_channels": 1, "kernel_size": 1, "bias": False}}),
        ({"head1x1": {"active": False, "out_channels": 9, "groups": 2}}, {}),
        ({"conv_pre_film": False}, {}),
        ({"conv_pre_film": {}}, {"conv_pre_film": {"active": True, "shift": True, "groups": 1}}),
        ({"activation": "Hardtanh"}, {"activation": [{"type": "Hardtanh", "min_val": -1.0, "max_val": 1.0}] * 2}),
        ({"activation": "PReLU"}, {"activation": [{"type": "PReLU", "negative_slope": 0.01}] * 2}),
        ({}, {}),
    ],
)
def test_short_forms_are_spelled_out(option: dict[str, Any], spelled_out: dict[str, Any]) -> None:
    replaced = {
        "gated": ("gating_mode", "secondary_activation"),
        "gating_mode": ("secondary_activation",),
        "kernel_size": ("kernel_sizes",),
        "head_size": ("head",),
    }
    without = {gone for key in option for gone in replaced.get(key, ()) if gone not in option}
    short = changed(A2, without=(*without, "slimmable", "groups_input_mixin", "layer1x1"), **option)
    assert WaveNet(short).config == WaveNet(changed(A2, **spelled_out)).config


def test_old_files_are_spelled_out() -> None:
    gated = WaveNet(A1).config["layers"][1]
    assert gated["gating_mode"] == ["gated"]
    assert gated["secondary_activation"] == [{"type": "Sigmoid"}]
    assert gated["bottleneck"] == 2
    assert gated["head"] == {"out_channels": 1, "kernel_size": 1, "bias": True, "head_dilation": 1}
    assert_follows_the_description(WaveNet(A1).config)


@pytest.mark.parametrize("config", [A1, A2, random_config(3), random_config(5)])
def test_config_and_state_dict_round_trip(config: dict[str, Any]) -> None:
    network = random_network(config, dtype=torch.float32)
    plain = json.loads(json.dumps(network.config))
    again = WaveNet(plain)
    assert again.config == network.config == plain
    assert all(weights.dtype == torch.float32 for weights in again.state_dict().values())
    again.load_state_dict(network.state_dict())
    audio = noise(50, dtype=torch.float32)
    torch.testing.assert_close(again(audio)[0], network(audio)[0])


def test_describes_itself() -> None:
    network = WaveNet(A1)
    assert network.name == "wavenet-3x4"
    assert network.knob_count == 0
    assert network.receptive_field == 1 + 2 * (1 + 2 + 4) + 2 * 8
    # rechannel, each layer's conv, mixin and layer1x1, head; the second array's conv is twice as wide, and gated
    multiplies = 3 + 3 * (27 + 3 + 9) + 6 + 6 + (24 + 4 + 4) + 2 + 2 + 1
    assert network.multiplies_per_sample == multiplies
    biases = 3 * (3 + 3) + (4 + 2) + 1
    assert network.weight_count == multiplies - 2 + biases  # the gate's products have no weights
    assert list(network.state_dict())[:4] == [
        "head_scale",
        "arrays.0.rechannel.weight",
        "arrays.0.layers.0.conv.weight",
        "arrays.0.layers.0.conv.bias",
    ]


@given(
    seed=st.integers(0, 200),
    cuts=st.lists(st.integers(0, 90), max_size=6),
    block=st.sampled_from([1, 7, 16384]),
)
@settings(max_examples=25, deadline=None)
def test_chunks_change_nothing(seed: int, cuts: list[int], block: int) -> None:
    network, audio = random_network(random_config(seed)), noise(90, streams=2)
    whole, end = network(audio)
    edges = [0, *sorted(cuts), 90]
    parts, state = [], None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.wavenet.BLOCK_FRAMES", block)
        for start, stop in itertools.pairwise(edges):
            part, state = network(audio[:, start:stop], None, state)
            parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(state, end, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("config", [A1, A2, random_config(3)])
def test_frame_by_frame_is_the_same(config: dict[str, Any]) -> None:
    network, audio = random_network(config, dtype=torch.float32), noise(60, dtype=torch.float32)
    parts, state = [], None
    for frame in audio.split(1, dim=1):
        part, state = network(frame, None, state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), network(audio)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_silence_stays_constant_from_the_first_frame(seed: int) -> None:
    network = random_network(random_config(seed))
    output, _ = network(torch.zeros(2, 3 * network.receptive_field, dtype=torch.float64))
    torch.testing.assert_close(output, output[:1, :1].expand_as(output), rtol=1e-10, atol=1e-10)


def test_streams_of_a_batch_are_apart() -> None:
    network, audio = random_network(A1), noise(50, streams=3)
    torch.testing.assert_close(network(audio)[0][1], network(audio[1:2])[0][0])


def test_gradients_reach_every_weight() -> None:
    network = random_network(random_config(5))
    network(noise(60, streams=2))[0].square().sum().backward()
    for key, weights in network.named_parameters():
        last = key.startswith(f"arrays.{len(network.arrays) - 1}.layers.{len(network.arrays[-1].layers) - 1}.")
        if not (last and "layer1x1" in key):  # nobody hears what the last layer passes on
            assert weights.grad is not None, key
            assert weights.grad.isfinite().all(), key


def test_weights_lie_in_the_order_of_the_file() -> None:
    weights = random_weights(A2)
    network = WaveNet.from_nam(A2, weights)
    in_order = torch.cat([*(part.detach().flatten() for part in network.parameters()), network.head_scale[None]])
    np.testing.assert_array_equal(in_order.numpy(), weights)
    assert network.config["head_scale"] == weights[-1]  # the config's own is not what plays


UNDIVIDED = {"active": True, "out_channels": 4, "groups": 3}
MANY = changed(A1, dilations=[1] * 40)["layers"][:1] * 2
HEAD = {"channels": 2, "out_channels": 1, "kernel_sizes": [2], "activation": "Tanh"}
REFUSALS: list[tuple[Any, str]] = [
    (None, "config should be a record"),
    ([], "config should be a record"),
    ({**A1, "condition_dsp": {}}, "condition_dsp"),
    ({**A1, "in_channels": 2}, "in_channels"),
    ({**A1, "in_channels": True}, "in_channels"),
    ({**A1, "reverb": 1}, "'reverb'"),
    ({**A1, "reverb\n" * 999: 1}, "'reverb\\\\nreverb"),
    ({**A1, "layers": []}, "1 to 8 layer arrays"),
    ({**A1, "layers": A1["layers"] * 5}, "1 to 8 layer arrays"),
    ({**A1, "layers": [7]}, "layer array 1: it should be a record, not 7"),
    ({**A1, "layers": MANY}, "layer array 2: input_size"),
    ({**A1, "head_scale": float("nan")}, "head_scale should be a finite number, not nan"),
    ({**A1, "head_scale": 10**400}, "head_scale should be a finite number, not something of type int"),
    ({**A1, "head_scale": "1"}, "head_scale"),
    ({**A1, "head": 1}, "head: it should be a record"),
    ({**A1, "head": {**HEAD, "in_channels": 4}}, "head: in_channels is 4 where 1 come in"),
    ({**A1, "head": {**HEAD, "kernel_sizes": []}}, "head: kernel_sizes"),
    ({**A1, "head": {**HEAD, "kernel_sizes": [1] * 9}}, "head: kernel_sizes"),
    ({**A1, "head": {**HEAD, "out_channels": 2}}, "has 2 outputs"),
    ({**A1, "head": {**HEAD, "activation": {"type": "PReLU", "negative_slopes": [0.1, 0.2]}}}, "head: negative_slopes"),
    (changed(A1, slimmable={"method": "slice_channels_uniform"}), "layer array 1: is slimmable"),
    (changed(A1, 1, input_size=2), "layer array 2: input_size is 2 where 3 come in"),
    (changed(A1, condition_size=8), "condition_size"),
    (changed(A1, channels=65), "channels should be a whole number from 1 to 64, not 65"),
    (changed(A1, channels=0), "channels"),
    (changed(A1, channels=True), "channels"),
    (changed(A1, channels=3.0), "channels"),
    (changed(A1, channels=10**400), "not something of type int"),
    (changed(A1, bottleneck=100), "bottleneck"),
    (changed(A1, bottleneck=None), "bottleneck"),
    (changed(A1, kernel_size=65), "kernel_size"),
    (changed(A1, kernel_sizes=[3, 3, 3]), "one of kernel_size and kernel_sizes"),
    (changed(A1, without=("kernel_size",)), "one of kernel_size and kernel_sizes"),
    (changed(A2, kernel_sizes=[3]), "kernel_sizes has 1 entries for 2 layers"),
    (changed(A1, dilations=[]), "dilations"),
    (changed(A1, dilations=[1] * 65), "dilations"),
    (changed(A1, dilations=[8193]), "dilations"),
    (changed(A1, dilations=[8192] * 17), "receptive field of 278545 frames"),
    (changed(changed(A1, dilations=[1] * 40), 1, dilations=[1] * 40), "80 layers are more than 64"),
    (changed(A1, activation="Softsigmoid"), "unknown activation 'Softsigmoid'"),
    (changed(A1, activation="x" * 100), f"unknown activation '{'x' * 40}';"),
    (changed(A1, activation=None), "an activation should be"),
    (changed(A1, activation={"type": ["Tanh"]}), "an activation should be"),
    (changed(A1, activation={"type": "Tanh", "gain": 2}), "Tanh has 'gain'"),
    (changed(A1, activation={"type": "Hardtanh", "min_val": -2.0}), "Hardtanh with bounds"),
    (changed(A1, activation={"type": "LeakyReLU", "negative_slope": float("inf")}), "negative_slope"),
    (changed(A1, activation={"type": "LeakyReLU", "negative_slope": False}), "negative_slope"),
    (changed(A1, activation={"type": "PReLU", "negative_slopes": [0.1] * 4}), "list of 3 numbers"),
    (changed(A1, activation={"type": "PReLU", "negative_slopes": [0.1, 0.1, "a"]}), "negative_slopes"),
    (changed(A1, activation={"type": "PReLU", "negative_slopes": [0.1], "negative_slope": 1}), "'negative_slope'"),
    (changed(A1, activation={"type": "LeakyHardtanh", "min_val": 1.0, "max_val": 0.0}), "over its max_val"),
    (changed(A2, activation=["Tanh"]), "activation has 1 entries for 2 layers"),
    (changed(A1, gated=1), "gated should be true or false"),
    (changed(A2, gating_mode="mixed"), "unknown gating_mode 'mixed'"),
    (changed(A2, gating_mode=[[], "none"]), "unknown gating_mode something of type list"),
    (changed(A2, gating_mode="gated"), "an activation should be a name or have a type, not None"),
    (changed(A1, without=("head_size",)), "head_size"),
    (changed(A1, without=("head_bias",)), "head_bias"),
    (changed(A1, head_size=3), "layer array 2: adds 2 head channels to the 3"),
    (changed(A1, 1, head_size=2), "has 2 outputs"),
    (changed(A2, head={"out_channels": 1, "kernel_size": 0, "bias": True}), "kernel_size"),
    (changed(A2, head={"out_channels": 1, "kernel_size": 1, "bias": True, "groups": 1}), "'groups'"),
    (changed(A2, groups_input=3), "groups_input of 3 do not divide 4 channels"),
    (changed(A2, groups_input_mixin=2), "groups_input_mixin of 2 do not divide 1 channels"),
    (changed(A2, head1x1=UNDIVIDED), "head1x1 groups of 3"),
    (changed(A2, head1x1=True), "head1x1 should be a record"),
    (changed(A2, layer1x1={"active": 1, "groups": 1}), "active should be true or false"),
    (changed(A2, layer1x1={"active": True, "groups": 3}), "layer1x1 groups of 3"),
    (changed(A2, layer1x1={"active": False, "groups": 1}, bottleneck=2), "without layer1x1"),
    (
        changed(A2, layer1x1={"active": False, "groups": 1}, layer1x1_post_film={}),
        "layer1x1_post_film without layer1x1",
    ),
    (changed(A2, head1x1_post_film={"shift": False}), "head1x1_post_film without head1x1"),
    (changed(A2, conv_pre_film={"groups": 2}), "conv_pre_film groups of 2"),
    (changed(A2, conv_pre_film={"shift": 0}), "shift should be true or false"),
    (changed(A2, conv_pre_film=True), "conv_pre_film should be a record"),
    (changed(A2, last_film={}), "'last_film'"),
]


@pytest.mark.parametrize(("config", "words"), REFUSALS, ids=range(len(REFUSALS)))
def test_refuses_a_config(config: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as refusal:
        WaveNet(config)
    assert "\n" not in refusal.value.message
    assert len(refusal.value.message) < 250


def test_refuses_weights_that_do_not_fit() -> None:
    weights = random_weights(A1)
    count = len(weights)
    for wrong in (weights[:-1], np.append(weights, weights[:1]), weights[:0]):
        with pytest.raises(InputError, match=f"has {len(wrong)} weights where its config needs {count}$"):
            WaveNet.from_nam(A1, wrong)
    for bad in (np.nan, np.inf, 1e300):
        with pytest.raises(InputError, match="NaN or infinity"):
            WaveNet.from_nam(A1, np.append(weights[1:].astype(np.float64), bad))


def wavenets() -> list[Any]:
    """The WaveNets in the files of others, those inside containers too."""
    found = []
    for path in sorted((DATA / "models").glob("*.nam")):
        document = json.loads(path.read_bytes())
        models = [part["model"] for part in document["config"].get("submodels", [])] or [document]
        for number, model in enumerate(models):
            if model["architecture"] == "WaveNet":
                found.append(pytest.param(model, id=f"{path.stem}-{number}"))
    missing = pytest.mark.skip(reason="../shared/data is not here")
    return found or [pytest.param(None, marks=missing, id="wavenets")]


@pytest.mark.parametrize("model", wavenets())
def test_plays_the_models_of_others(model: dict[str, Any]) -> None:
    network = WaveNet.from_nam(model["config"], np.array(model["weights"], np.float32))
    assert WaveNet(network.config).config == network.config
    with torch.inference_mode():
        output, _ = network(noise(2000, dtype=torch.float32))
    assert output.isfinite().all()
    assert output.std() > 1e-4


@needs_data
def test_sounds_as_the_player_does() -> None:
    model = json.loads((DATA / "models" / "namrs_wavenet_a2_lite.nam").read_bytes())
    contents = GOLDEN.read_bytes()
    count = int(np.frombuffer(contents[:4], np.uint32)[0])
    audio, wanted = np.frombuffer(contents, np.float32, offset=4).reshape(2, count)
    network = WaveNet.from_nam(model["config"], np.array(model["weights"], np.float32))
    with torch.inference_mode():
        output, _ = network(torch.tensor(audio[None]))
    error = np.square(output[0].numpy() - wanted.astype(np.float64)).sum()
    assert error <= 1e-12 * np.square(wanted.astype(np.float64)).sum()
