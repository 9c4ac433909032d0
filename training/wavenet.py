"""The WaveNet of Neural Amp Modeler (.nam files of 0.5 to 0.7) as a network that streams.

It sounds as NeuralAmpModelerCore, the player, does. The trainer, neural-amp-modeler, differs from the player in two
places: where `layer1x1` is off, a layer there adds z, not 0, to what it passes on, and `layer1x1_post_film` works in
every gating mode, not in blended layers only.
"""

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional

from training.errors import InputError, shown

MAXIMUM_CHANNELS = 64
MAXIMUM_KERNEL_SIZE = 64
MAXIMUM_DILATION = 8192
MAXIMUM_ARRAYS = 8
MAXIMUM_LAYERS = 64
"""Of all arrays together."""
MAXIMUM_HEAD_CONVOLUTIONS = 8
MAXIMUM_RECEPTIVE_FIELD = 1 << 18
LARGEST_NUMBER = float(np.finfo(np.float32).max)
BLOCK_FRAMES = 16384
"""Of one pass through the layers: few enough for the cache, enough to outweigh the cost of the calls."""

FILMS = (
    "conv_pre_film",
    "conv_post_film",
    "input_mixin_pre_film",
    "input_mixin_post_film",
    "activation_pre_film",
    "activation_post_film",
    "layer1x1_post_film",
    "head1x1_post_film",
)
"""Where a layer may scale and shift its signals, in the order of their weights."""
ARRAY_KEYS = {
    *("input_size", "condition_size", "channels", "bottleneck", "kernel_size", "kernel_sizes", "dilations"),
    *("activation", "gated", "gating_mode", "secondary_activation", "head", "head_size", "head_bias"),
    *("head1x1", "layer1x1", "groups_input", "groups_input_mixin", *FILMS, "slimmable"),
}
"""What an entry of a config's `layers` may have, in files of all versions."""
GATING_MODES = ("none", "gated", "blended")
NO_FILM = {"active": False, "shift": True, "groups": 1}
NO_HEAD1X1 = {"active": False, "out_channels": 1, "groups": 1}
NO_LAYER1X1 = {"active": False, "groups": 1}

State = tuple[torch.Tensor, ...]
"""The last inputs of each convolution, [batch, channels, (kernel_size - 1) * dilation], in the order of the weights."""


class WaveNet(torch.nn.Module):
    """Arrays of layers around dilated convolutions. With x the audio [1, frames] and all in float32, an array of
    `channels` C, `bottleneck` B and head size H works out

        y = rechannel(x, or the y of the array before)              [C, frames]
        of each layer:
            z = conv(y) + input_mixin(x)                            [B], [2B] with gating
            none:    z = activation(z)
            gated:   z = activation(z[:B]) * secondary(z[B:])
            blended: z = z[:B] + secondary(z[B:]) * (activation(z[:B]) - z[:B])
            heads += head1x1(z), or z without it                    [H of the array before]; the first starts from 0
            y += layer1x1(z), or 0 without it                       [C]
        heads = head(heads)                                         [H]

    and the output is head_scale * heads of the last array; where there is a post-stack head, its convolutions follow,
    each behind its activation. A FiLM, wherever a layer has one (`FILMS`), makes s of a signal a * s + b, the a and b
    of each channel being linear in x.

    `config` is the `config` of a .nam file; the network's own has every option spelled out, each of a layer's in a list
    with one entry a layer. Attributes: `receptive_field` in frames; `weight_count`, as a .nam file counts them;
    `multiplies_per_sample`, what one sample costs without its activations.

    Raises InputError, one line, for a config that contradicts itself, is too large, or asks for what is not here:
    condition_dsp, slimmable layers, more than one input or output, unknown options.
    """

    architecture = "wavenet"
    knob_count = 0
    head_scale: torch.Tensor

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = normalised(config)
        layers, head = self.config["layers"], self.config["head"]
        self.arrays = torch.nn.ModuleList(LayerArray(array) for array in layers)
        self.head = torch.nn.ModuleList()
        if head is not None:
            sizes = [layers[-1]["head"]["out_channels"], *_head_channels(head)]
            for inputs, outputs, kernel_size in zip(sizes[:-1], sizes[1:], head["kernel_sizes"], strict=True):
                self.head.append(Convolution(inputs, outputs, kernel_size))
        self.register_buffer("head_scale", torch.tensor(self.config["head_scale"]))
        convolutions = [module for module in self.modules() if isinstance(module, Convolution)]
        self.receptive_field = 1 + sum(convolution.memory_frames for convolution in convolutions)
        self.weight_count = 1 + sum(weights.numel() for weights in self.parameters())
        products = 1 + sum(layer.products_per_sample for layer in self.modules() if isinstance(layer, Layer))
        self.multiplies_per_sample = products + sum(convolution.weight.numel() for convolution in convolutions)

    @classmethod
    def from_nam(cls, config: dict[str, Any], weights: np.ndarray) -> "WaveNet":
        """The network of a .nam file. Its list of weights is what `parameters` has, in that order, and head_scale.

        Raises InputError, as the constructor does, and for weights that are too few, too many or not finite.
        """
        with torch.device("meta"):  # shapes without memory, until it is known that the weights are as many
            network = cls(config)
        with np.errstate(over="ignore"):
            values = np.array(weights, dtype=np.float32)
        if values.shape != (network.weight_count,):
            raise InputError(f"has {values.size} weights where its config needs {network.weight_count}")
        if not np.isfinite(values).all():
            raise InputError("its weights hold NaN or infinity")
        shapes = {name: parameter.shape for name, parameter in network.named_parameters()}
        parts = torch.from_numpy(values[:-1]).split([shape.numel() for shape in shapes.values()])
        state = {name: part.view(shape).clone() for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        network.load_state_dict({**state, "head_scale": torch.tensor(values[-1])}, assign=True)
        network.config["head_scale"] = float(values[-1])
        return network

    @property
    def name(self) -> str:
        """Channels, of the widest array, and layers: 'wavenet-8x23'."""
        layers = self.config["layers"]
        return f"wavenet-{max(array['channels'] for array in layers)}x{sum(len(a['dilations']) for a in layers)}"

    def forward(
        self, audio: torch.Tensor, knobs: torch.Tensor | None = None, state: State | None = None
    ) -> tuple[torch.Tensor, State]:
        """Process a batch of streams.

        audio: [batch, frames], full scale is +-1, of the weights' type.
        knobs: None; there are no knobs.
        state: what an earlier call returned, or None for endless silence before.

        Returns the output [batch, frames] and the state after the last frame.
        """
        if state is None:
            state = tuple(history.expand(audio.shape[0], -1, -1) for history in self._rest())
        outputs = [audio[:, :0]]
        for start in range(0, audio.shape[1], BLOCK_FRAMES):
            output, state = self._process(audio[:, start : start + BLOCK_FRAMES], state)
            outputs.append(output)
        return torch.cat(outputs, dim=1), state

    def _rest(self) -> State:
        """The state [1, ...] that endless silence leaves: every signal is constant, so one frame tells all."""
        return self._process(self.head_scale.new_zeros(1, 1), None)[1]

    def _process(self, audio: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
        """Process one block; a `state` of None is what rest would be if the first frame had lasted for ever."""
        stream = Stream(state)
        signal = audio[:, None]
        frames, heads = signal, signal.new_zeros(())
        for array in self.arrays:
            frames, heads = array(frames, signal, heads, stream)
        heads = self.head_scale * heads
        for convolution in self.head:
            heads = stream(cast(Convolution, convolution), activated(self.config["head"]["activation"], heads))
        return heads[:, 0], tuple(stream.state)


class LayerArray(torch.nn.Module):
    """One entry of the normalised config's `layers`, submodules in the order of their weights."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        head = config["head"]
        self.rechannel = Convolution(config["input_size"], config["channels"], bias=False)
        self.layers = torch.nn.ModuleList(Layer(config, index) for index in range(len(config["dilations"])))
        self.head = Convolution(
            _head_inputs(config), head["out_channels"], head["kernel_size"], head["head_dilation"], bias=head["bias"]
        )

    def forward(
        self, frames: torch.Tensor, audio: torch.Tensor, heads: torch.Tensor, stream: "Stream"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """From frames [batch, inputs, n] and heads [batch, head inputs, n] to those of the array after."""
        frames = self.rechannel(frames)
        for layer in self.layers:
            frames, head = layer(frames, audio, stream)
            heads = heads + head
        return frames, stream(self.head, heads)


class Layer(torch.nn.Module):
    """Layer `index` of an array, submodules in the order of their weights."""

    def __init__(self, array: dict[str, Any], index: int) -> None:
        super().__init__()
        channels, bottleneck = array["channels"], array["bottleneck"]
        self.activation = array["activation"][index]
        self.gating_mode = array["gating_mode"][index]
        self.secondary_activation = array["secondary_activation"][index]
        summed = bottleneck if self.gating_mode == "none" else 2 * bottleneck
        self.conv = Convolution(
            channels, summed, array["kernel_sizes"][index], array["dilations"][index], array["groups_input"]
        )
        self.input_mixin = Convolution(1, summed, groups=array["groups_input_mixin"], bias=False)
        layer1x1, head1x1 = array["layer1x1"], array["head1x1"]
        self.layer1x1 = Convolution(bottleneck, channels, groups=layer1x1["groups"]) if layer1x1["active"] else None
        self.head1x1 = (
            Convolution(bottleneck, head1x1["out_channels"], groups=head1x1["groups"]) if head1x1["active"] else None
        )
        sizes = (channels, summed, 1, summed, summed, bottleneck, channels, head1x1["out_channels"])
        self.films = torch.nn.ModuleDict()
        self.products_per_sample = summed - bottleneck
        for name, size in zip(FILMS, sizes, strict=True):
            film = array[name]
            if film["active"]:
                self.films[name] = Convolution(1, 2 * size if film["shift"] else size, groups=film["groups"])
                self.products_per_sample += size

    def forward(self, frames: torch.Tensor, audio: torch.Tensor, stream: "Stream") -> tuple[torch.Tensor, torch.Tensor]:
        """frames: [batch, channels, n]; audio: [batch, 1, n]. Returns the next layer's frames and this one's head."""
        z = stream(self.conv, self._modulated("conv_pre_film", frames, audio))
        z = self._modulated("conv_post_film", z, audio)
        mixed_in = self.input_mixin(self._modulated("input_mixin_pre_film", audio, audio))
        z = z + self._modulated("input_mixin_post_film", mixed_in, audio)
        z = self._gated(self._modulated("activation_pre_film", z, audio))
        z = self._modulated("activation_post_film", z, audio)
        head = z
        if self.head1x1 is not None:
            head = self._modulated("head1x1_post_film", self.head1x1(z), audio)
        if self.layer1x1 is None:
            return frames, head
        step = self.layer1x1(z)
        if self.gating_mode == "blended":
            step = self._modulated("layer1x1_post_film", step, audio)
        return frames + step, head

    def _gated(self, z: torch.Tensor) -> torch.Tensor:
        if self.gating_mode == "none":
            return activated(self.activation, z)
        plain, gate = z.chunk(2, dim=1)
        active, gate = activated(self.activation, plain), activated(self.secondary_activation, gate)
        return active * gate if self.gating_mode == "gated" else plain + gate * (active - plain)

    def _modulated(self, film: str, frames: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        if film not in self.films:
            return frames
        linear = self.films[film](audio)
        if linear.shape[1] == frames.shape[1]:
            return linear * frames
        scale, shift = linear.chunk(2, dim=1)
        return scale * frames + shift


class Convolution(torch.nn.Conv1d):
    """PyTorch's, [batch, inputs, memory_frames + n] -> [batch, outputs, n], faster for few channels."""

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int = 1, dilation: int = 1, groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__(inputs, outputs, kernel_size, dilation=dilation, groups=groups, bias=bias)
        self.memory_frames = (kernel_size - 1) * dilation

    def reset_parameters(self) -> None:
        """PyTorch's start, where there is memory for it."""
        if not self.weight.is_meta:
            super().reset_parameters()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        if self.groups > 1:
            return super().forward(frames)
        taps = frames.unfold(-1, frames.shape[-1] - self.memory_frames, self.dilation[0]).flatten(1, 2)
        weight = self.weight.flatten(1).expand(len(frames), -1, -1)
        return torch.bmm(weight, taps) if self.bias is None else torch.baddbmm(self.bias[:, None], weight, taps)


class Stream:
    """Convolutions of a block, each of which continues where its last one ended."""

    def __init__(self, state: State | None) -> None:
        self._histories: Iterator[torch.Tensor] | None = None if state is None else iter(state)
        self.state: list[torch.Tensor] = []

    def __call__(self, convolution: Convolution, frames: torch.Tensor) -> torch.Tensor:
        """Call for each convolution that remembers, in the same order for every block."""
        memory = convolution.memory_frames
        history = frames[..., :1].expand(-1, -1, memory) if self._histories is None else next(self._histories)
        if memory:
            frames = torch.cat([history, frames], dim=-1)
        self.state.append(frames[..., frames.shape[-1] - memory :])
        return convolution(frames)


def activated(activation: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    """`x` [batch, channels, frames] through an activation of a normalised config."""
    return ACTIVATIONS[activation["type"]][0](x, **{key: activation[key] for key in activation if key != "type"})


def _fast_tanh(x: torch.Tensor) -> torch.Tensor:
    """The player's own approximation of tanh."""
    size, square = x.abs(), x * x
    above = x * (2.45550750702956 + 2.45550750702956 * size + (0.893229853513558 + 0.821226666969744 * size) * square)
    return above / (2.44506634652299 + (2.44506634652299 + square) * (x + 0.814642734961073 * x * size).abs())


def _prelu(x: torch.Tensor, negative_slopes: list[float]) -> torch.Tensor:
    return torch.where(x > 0, x, x.new_tensor(negative_slopes)[:, None] * x)


def _leaky_hardtanh(
    x: torch.Tensor, min_val: float, max_val: float, min_slope: float, max_slope: float
) -> torch.Tensor:
    low, high = (x - min_val).clamp(max=0), (x - max_val).clamp(min=0)
    return x.clamp(min_val, max_val) + min_slope * low + max_slope * high


ACTIVATIONS: dict[str, tuple[Callable[..., torch.Tensor], dict[str, float]]] = {
    "Tanh": (torch.tanh, {}),
    "Hardtanh": (functional.hardtanh, {}),
    "Fasttanh": (_fast_tanh, {}),
    "ReLU": (functional.relu, {}),
    "LeakyReLU": (functional.leaky_relu, {"negative_slope": 0.01}),
    "PReLU": (_prelu, {}),
    "Sigmoid": (torch.sigmoid, {}),
    "SiLU": (functional.silu, {}),
    "Hardswish": (functional.hardswish, {}),
    "LeakyHardtanh": (_leaky_hardtanh, {"min_val": -1.0, "max_val": 1.0, "min_slope": 0.01, "max_slope": 0.01}),
    "Softsign": (functional.softsign, {}),
}
"""The function of each and the defaults of its numbers. PReLU alone has a list, see `_slopes`."""


def normalised(config: object) -> dict[str, Any]:
    """The config of a .nam file with every option spelled out; of plain types, and a config of a .nam file itself.

    Raises InputError as `WaveNet` does.
    """
    config = _record(config, "config", {"layers", "head", "head_scale", "in_channels", "condition_dsp"})
    if config.get("condition_dsp") is not None:
        raise InputError("has a condition_dsp, a second network, which is not supported")
    if config.get("in_channels") is not None:
        _whole(config, "in_channels", 1)
    records = config.get("layers")
    if type(records) is not list or not 1 <= len(records) <= MAXIMUM_ARRAYS:
        raise InputError(f"layers should be a list of 1 to {MAXIMUM_ARRAYS} layer arrays")
    arrays: list[dict[str, Any]] = []
    for number, record in enumerate(records, 1):
        try:
            arrays.append(_array(record, arrays[-1] if arrays else None))
        except InputError as error:
            raise InputError(f"layer array {number}: {error.message}") from error
    layers = sum(len(array["dilations"]) for array in arrays)
    if layers > MAXIMUM_LAYERS:
        raise InputError(f"{layers} layers are more than {MAXIMUM_LAYERS}")
    head = _post_stack_head(config.get("head"), arrays[-1]["head"]["out_channels"])
    outputs = head["out_channels"] if head else arrays[-1]["head"]["out_channels"]
    if outputs != 1:
        raise InputError(f"has {outputs} outputs; one is supported")
    receptive_field = 1 + sum(map(_memory_frames, arrays))
    if head:
        receptive_field += sum(kernel_size - 1 for kernel_size in head["kernel_sizes"])
    if receptive_field > MAXIMUM_RECEPTIVE_FIELD:
        raise InputError(f"a receptive field of {receptive_field} frames is over {MAXIMUM_RECEPTIVE_FIELD}")
    head_scale = _number(config, "head_scale", 1.0)
    return {"layers": arrays, "head": head, "head_scale": float(np.float32(head_scale))}


def _array(record: object, before: dict[str, Any] | None) -> dict[str, Any]:
    """One normalised entry of `layers`; `before`: the one before it."""
    record = _record(record, "it", ARRAY_KEYS)
    if record.get("slimmable") is not None:
        raise InputError("is slimmable, which is not supported")
    dilations = _wholes(record, "dilations", MAXIMUM_DILATION, MAXIMUM_LAYERS)
    count = len(dilations)
    inputs = 1 if before is None else before["channels"]
    if _whole(record, "input_size", MAXIMUM_CHANNELS) != inputs:
        raise InputError(f"input_size is {record['input_size']} where {inputs} come in")
    _whole(record, "condition_size", 1)
    channels = _whole(record, "channels", MAXIMUM_CHANNELS)
    bottleneck = _whole(record, "bottleneck", MAXIMUM_CHANNELS, channels)
    modes = _gating_modes(record, count)
    gate = record.get("secondary_activation", "Sigmoid") if "gating_mode" in record else "Sigmoid"
    gates = _spread(gate, count, "secondary_activation")
    array = {
        "input_size": inputs,
        "condition_size": 1,
        "head": _array_head(record),
        "channels": channels,
        "kernel_sizes": _kernel_sizes(record, count),
        "dilations": dilations,
        "activation": [
            _activation(value, bottleneck) for value in _spread(record.get("activation"), count, "activation")
        ],
        "bottleneck": bottleneck,
        "head1x1": _head1x1(record),
        "layer1x1": _layer1x1(record),
        "groups_input": _whole(record, "groups_input", MAXIMUM_CHANNELS, 1),
        "groups_input_mixin": _whole(record, "groups_input_mixin", MAXIMUM_CHANNELS, 1),
        **{name: _film(record, name) for name in FILMS},
        "gating_mode": modes,
        "secondary_activation": [
            None if mode == "none" else _activation(value, bottleneck) for mode, value in zip(modes, gates, strict=True)
        ],
    }
    _check_sizes(array, before)
    return array


def _check_sizes(array: dict[str, Any], before: dict[str, Any] | None) -> None:
    """Raise InputError unless the parts of `array` fit together and to the array before."""
    channels, bottleneck = array["channels"], array["bottleneck"]
    if not array["layer1x1"]["active"] and bottleneck != channels:
        raise InputError(f"without layer1x1 its bottleneck of {bottleneck} should be its {channels} channels")
    for part in ("layer1x1", "head1x1"):
        if array[f"{part}_post_film"]["active"] and not array[part]["active"]:
            raise InputError(f"has a {part}_post_film without {part}")
    if before is not None and _head_inputs(array) != before["head"]["out_channels"]:
        raise InputError(
            f"adds {_head_inputs(array)} head channels to the {before['head']['out_channels']} of the array before"
        )
    summed = {bottleneck if mode == "none" else 2 * bottleneck for mode in array["gating_mode"]}
    grouped = [
        ("groups_input", array["groups_input"], (channels, *sorted(summed))),
        ("groups_input_mixin", array["groups_input_mixin"], (1,)),
        ("layer1x1 groups", array["layer1x1"]["groups"], (bottleneck, channels)),
        ("head1x1 groups", array["head1x1"]["groups"], (bottleneck, _head_inputs(array))),
        *((f"{name} groups", array[name]["groups"], (1,)) for name in FILMS),
    ]
    for what, groups, sizes in grouped:
        for size in sizes:
            if size % groups:
                raise InputError(f"{what} of {groups} do not divide {size} channels")


def _memory_frames(array: dict[str, Any]) -> int:
    layers = zip(array["kernel_sizes"], array["dilations"], strict=True)
    head = array["head"]
    return sum((size - 1) * dilation for size, dilation in [*layers, (head["kernel_size"], head["head_dilation"])])


def _head_inputs(array: dict[str, Any]) -> int:
    return array["head1x1"]["out_channels"] if array["head1x1"]["active"] else array["bottleneck"]


def _head_channels(head: dict[str, Any]) -> list[int]:
    """The outputs of each convolution of the post-stack head."""
    return [head["channels"]] * (len(head["kernel_sizes"]) - 1) + [head["out_channels"]]


def _post_stack_head(value: object, inputs: int) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        record = _record(value, "it", {"in_channels", "channels", "out_channels", "kernel_sizes", "activation"})
        if record.get("in_channels") is not None and _whole(record, "in_channels", MAXIMUM_CHANNELS) != inputs:
            raise InputError(f"in_channels is {record['in_channels']} where {inputs} come in")
        head: dict[str, Any] = {
            "channels": _whole(record, "channels", MAXIMUM_CHANNELS),
            "out_channels": _whole(record, "out_channels", MAXIMUM_CHANNELS),
            "kernel_sizes": _wholes(record, "kernel_sizes", MAXIMUM_KERNEL_SIZE, MAXIMUM_HEAD_CONVOLUTIONS),
        }
        for size in (inputs, *_head_channels(head)[:-1]):
            head["activation"] = _activation(record.get("activation"), size)
    except InputError as error:
        raise InputError(f"head: {error.message}") from error
    return head


def _array_head(record: dict[str, Any]) -> dict[str, Any]:
    if record.get("head") is None:
        return {
            "out_channels": _whole(record, "head_size", MAXIMUM_CHANNELS),
            "kernel_size": 1,
            "bias": _flag(record, "head_bias"),
            "head_dilation": 1,
        }
    head = _record(record["head"], "its head", {"out_channels", "kernel_size", "bias", "head_dilation"})
    return {
        "out_channels": _whole(head, "out_channels", MAXIMUM_CHANNELS),
        "kernel_size": _whole(head, "kernel_size", MAXIMUM_KERNEL_SIZE),
        "bias": _flag(head, "bias"),
        "head_dilation": _whole(head, "head_dilation", MAXIMUM_DILATION, 1),
    }


def _kernel_sizes(record: dict[str, Any], count: int) -> list[int]:
    if ("kernel_size" in record) == ("kernel_sizes" in record):
        raise InputError("should have one of kernel_size and kernel_sizes")
    if "kernel_size" in record:
        return [_whole(record, "kernel_size", MAXIMUM_KERNEL_SIZE)] * count
    sizes = _wholes(record, "kernel_sizes", MAXIMUM_KERNEL_SIZE, MAXIMUM_LAYERS)
    return _spread(sizes, count, "kernel_sizes")


def _gating_modes(record: dict[str, Any], count: int) -> list[str]:
    if "gating_mode" not in record:
        return ["gated" if _flag(record, "gated", False) else "none"] * count
    modes = _spread(record["gating_mode"], count, "gating_mode")
    for mode in modes:
        if type(mode) is not str or mode not in GATING_MODES:
            raise InputError(f"unknown gating_mode {shown(mode)}; there are: {', '.join(GATING_MODES)}")
    return modes


def _film(record: dict[str, Any], name: str) -> dict[str, Any]:
    film = record.get(name)
    if film is None or film is False:
        return dict(NO_FILM)
    film = _record(film, name, set(NO_FILM))
    if not _flag(film, "active", True):
        return dict(NO_FILM)
    return {"active": True, "shift": _flag(film, "shift", True), "groups": _whole(film, "groups", MAXIMUM_CHANNELS, 1)}


def _layer1x1(record: dict[str, Any]) -> dict[str, Any]:
    part = _record(record.get("layer1x1", {"active": True}), "layer1x1", set(NO_LAYER1X1))
    if not _flag(part, "active"):
        return dict(NO_LAYER1X1)
    return {"active": True, "groups": _whole(part, "groups", MAXIMUM_CHANNELS, 1)}


def _head1x1(record: dict[str, Any]) -> dict[str, Any]:
    part = _record(record.get("head1x1", {"active": False}), "head1x1", set(NO_HEAD1X1))
    if not _flag(part, "active"):
        return dict(NO_HEAD1X1)
    sizes = {"out_channels": _whole(part, "out_channels", MAXIMUM_CHANNELS)}
    return {"active": True, **sizes, "groups": _whole(part, "groups", MAXIMUM_CHANNELS, 1)}


def _activation(value: object, channels: int) -> dict[str, Any]:
    record = {"type": value} if isinstance(value, str) else value
    if not isinstance(record, dict) or not isinstance(record.get("type"), str):
        raise InputError(f"an activation should be a name or have a type, not {shown(value)}")
    name = {"LeakyHardTanh": "LeakyHardtanh"}.get(record["type"], record["type"])
    if name not in ACTIVATIONS:
        raise InputError(f"unknown activation {shown(name)}; there are: {', '.join(ACTIVATIONS)}")
    if name == "PReLU":
        return {"type": name, "negative_slopes": _slopes(record, channels)}
    if name == "Hardtanh":  # the trainer writes bounds, the player knows no others
        record = _record(record, name, {"type", "min_val", "max_val"})
        if (_number(record, "min_val", -1.0), _number(record, "max_val", 1.0)) != (-1.0, 1.0):
            raise InputError("a Hardtanh with bounds other than +-1 is not supported")
        return {"type": name}
    defaults = ACTIVATIONS[name][1]
    record = _record(record, name, {"type", *defaults})
    numbers = {key: _number(record, key, default) for key, default in defaults.items()}
    if name == "LeakyHardtanh" and numbers["min_val"] > numbers["max_val"]:
        raise InputError("min_val of LeakyHardtanh is over its max_val")
    return {"type": name, **numbers}


def _slopes(record: dict[str, Any], channels: int) -> list[float]:
    """The slopes of a PReLU: one for all channels, or one for each."""
    if "negative_slopes" not in record:
        return [_number(_record(record, "PReLU", {"type", "negative_slope"}), "negative_slope", 0.01)]
    values = _record(record, "PReLU", {"type", "negative_slopes"})["negative_slopes"]
    if type(values) is not list or len(values) not in (1, channels):
        raise InputError(f"negative_slopes of PReLU should be a list of {channels} numbers")
    return [_number({"negative_slopes": value}, "negative_slopes") for value in values]


def _record(value: object, what: str, known: set[str]) -> dict[str, Any]:
    """`value` as a dict with no keys but `known`; what is unknown may well change the sound."""
    if type(value) is not dict:
        raise InputError(f"{what} should be a record, not {shown(value)}")
    for key in value:
        if key not in known:
            raise InputError(f"{what} has {shown(key)}, which is not supported")
    return value


def _whole(record: dict[str, Any], key: str, maximum: int, default: int | None = None) -> int:
    value = record.get(key, default)
    if type(value) is not int or not 1 <= value <= maximum:  # exactly: True is an int to isinstance
        span = f"from 1 to {maximum}" if maximum > 1 else "1, the only one supported"
        raise InputError(f"{key} should be a whole number {span}, not {shown(value)}")
    return value


def _wholes(record: dict[str, Any], key: str, maximum: int, count: int) -> list[int]:
    values = record.get(key)
    if type(values) is not list or not 1 <= len(values) <= count:
        raise InputError(f"{key} should be a list of 1 to {count} whole numbers")
    return [_whole({key: value}, key, maximum) for value in values]


def _number(record: dict[str, Any], key: str, default: float | None = None) -> float:
    value: Any = record.get(key, default)
    if type(value) not in (int, float) or not abs(value) <= LARGEST_NUMBER:
        raise InputError(f"{key} should be a finite number, not {shown(value)}")
    return float(value)


def _flag(record: dict[str, Any], key: str, default: bool | None = None) -> bool:
    value = record.get(key, default)
    if type(value) is not bool:
        raise InputError(f"{key} should be true or false, not {shown(value)}")
    return value


def _spread(value: Any, count: int, key: str) -> list[Any]:
    """One of `value` for each of `count` layers: its own entries if it is a list."""
    if type(value) is not list:
        return [value] * count
    if len(value) != count:
        raise InputError(f"{key} has {len(value)} entries for {count} layers")
    return list(value)
