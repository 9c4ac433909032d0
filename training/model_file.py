"""`model.pt`: the one writer and the one reader of trained models."""

import copy
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.audio import resampled
from training.dense_window import DenseWindow
from training.eq_block import EqNetwork
from training.eq_morph import EqMorph
from training.errors import InputError
from training.files import written_aside
from training.knob import Knob
from training.linear import Linear
from training.recurrent import UNITS, RecurrentNetwork, State
from training.recurrent_player import RecurrentPlayer
from training.wavenet import WaveNet

FORMAT = 3
"""1: a residual that is true or false, and no rest. 2: EQ networks of one bank, without a level. Both are read."""
MAXIMUM_FILE_BYTES = 64 << 20
RENDER_CHUNK_FRAMES = 48000
REST_SECONDS = 2.0
REST_CHUNK_FRAMES = 2400
REST_MOVEMENT = 1e-7
"""Of a state at rest in a chunk of silence."""

TrainableNetwork = RecurrentNetwork | EqNetwork | DenseWindow
Network = TrainableNetwork | EqMorph | WaveNet | Linear
"""All take audio [batch, frames], knobs and a state, None for the first, and give the output and the next state."""


@dataclass
class Model:
    """A trained network and all that is needed to play it.

    name: what the pedal shows.
    architecture, config: what builds the network anew: 'lstm', 'gru', 'eq', 'morph', 'dense', 'wavenet' or 'linear',
        and its `config`.
    sample_rate_hz: the rate at which the network was trained; it plays right at no other.
    knobs: in the order of the network's input columns after the audio.
    levels: volts per full scale where known: 'input_volts_per_full_scale', 'output_volts_per_full_scale'.
    training: metrics, data hashes and versions, or where an imported model is from, as plain types, for people to read.
    start: the state from which a recurrent network comes to rest, where its trainer gave one; else zeros.
    """

    name: str
    architecture: str
    config: dict[str, Any]
    network: Network
    sample_rate_hz: int = 48000
    knobs: tuple[Knob, ...] = ()
    levels: dict[str, float] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    start: State | None = None

    @property
    def recurrent(self) -> RecurrentNetwork:
        """The network. Raises InputError when it is none of those that the pedal's engines play."""
        if not isinstance(self.network, RecurrentNetwork):
            raise InputError(f"{self.name}: {self.network.name} is not an LSTM or GRU")
        return self.network

    @property
    def trainable(self) -> TrainableNetwork:
        """The network. Raises InputError when it is none that is trained here."""
        if not isinstance(self.network, TrainableNetwork):
            raise InputError(f"{self.name}: {self.network.name} cannot be trained here")
        return self.network

    @property
    def latency_frames(self) -> int:
        """By which the output is later than an amp's would be."""
        return self.network.latency_frames if isinstance(self.network, EqNetwork | EqMorph | DenseWindow) else 0

    def rest(self, dtype: type[np.floating] = np.float32) -> State | None:
        """The state after a long silence with the knobs at their defaults: where every stream begins, so that nothing
        is heard of the state in which a training left off. None for networks that begin there by themselves."""
        if not isinstance(self.network, RecurrentNetwork):
            return None
        player = RecurrentPlayer(
            self.network, [knob.normalised(knob.default) for knob in self.knobs], self.start, dtype
        )
        silence = np.zeros(REST_CHUNK_FRAMES)
        for _ in range(round(REST_SECONDS * self.sample_rate_hz) // REST_CHUNK_FRAMES):
            before = player.hidden.copy(), player.cell.copy()
            player.play(silence)
            if max(np.abs(player.hidden - before[0]).max(), np.abs(player.cell - before[1]).max()) < REST_MOVEMENT:
                break
        return player.state

    def render(
        self,
        samples: np.ndarray,
        knobs: Sequence[float] | None = None,
        dtype: type[np.floating] = np.float32,
        chunk_frames: int = RENDER_CHUNK_FRAMES,
    ) -> np.ndarray:
        """Play `samples` (float [frames], full scale +-1, at `sample_rate_hz`) from rest; as many frames of `dtype`.

        knobs: positions in the amp's own figures, in the order of `self.knobs`; None for every knob's default.
        dtype: float32 as trained, or float64 as a reference for the arithmetic of other engines.
        chunk_frames: how many frames are in memory at once; it does not change the output.

        Raises InputError when the knobs are too few, too many or out of range.
        """
        values = [knob.default for knob in self.knobs] if knobs is None else list(knobs)
        if len(values) != len(self.knobs):
            names = ", ".join(knob.name for knob in self.knobs) or "none"
            raise InputError(f"model {self.name}: {len(values)} knob positions given, its knobs are: {names}")
        positions = [knob.normalised(value) for knob, value in zip(self.knobs, values, strict=True)]
        audio = np.asarray(samples, dtype=dtype)
        play, output = self._player(positions, dtype), np.empty_like(audio)
        for start in range(0, len(audio), chunk_frames):
            output[start : start + chunk_frames] = play(audio[start : start + chunk_frames])
        return output

    def _player(self, positions: Sequence[float], dtype: type[np.floating]) -> Callable[[np.ndarray], np.ndarray]:
        """What plays chunk after chunk, from rest, on the CPU: a network in training is neither moved nor retyped."""
        if isinstance(self.network, RecurrentNetwork):
            return RecurrentPlayer(self.network, positions, self.rest(dtype), dtype).play
        kind = torch.float64 if dtype is np.float64 else torch.float32
        network: Any = copy.deepcopy(self.network).cpu().to(kind).eval()
        held, state = torch.tensor([positions], dtype=kind), None

        def play(chunk: np.ndarray) -> np.ndarray:
            nonlocal state
            with torch.inference_mode():
                rendered, state = network(torch.from_numpy(chunk[None].copy()), held, state)
            return rendered[0].numpy()

        return play

    def render_at(
        self,
        sample_rate_hz: int,
        samples: np.ndarray,
        knobs: Sequence[float] | None = None,
        dtype: type[np.floating] = np.float32,
    ) -> np.ndarray:
        """As `render`, of `samples` at any rate: resampled to the model's own, played, and resampled back."""
        own = resampled(np.asarray(samples, dtype), sample_rate_hz, self.sample_rate_hz)
        played = resampled(self.render(own, knobs, dtype), self.sample_rate_hz, sample_rate_hz)
        return played[: len(samples)]


def _parts(state: State) -> tuple[torch.Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def save(path: Path, model: Model) -> None:
    """Write `model` to `path`, whole or not at all.

    Raises InputError when the file cannot be written, or would not be read back (`load` has the rules).
    """
    record = {
        "format": FORMAT,
        "name": model.name,
        "architecture": model.architecture,
        "config": model.network.config,
        "weights": {key: weights.detach().cpu().clone() for key, weights in model.network.state_dict().items()},
        "sample_rate_hz": model.sample_rate_hz,
        "knobs": [asdict(knob) for knob in model.knobs],
        "levels": dict(model.levels),
        "training": dict(model.training),
        "start": None if model.start is None else [part.detach().cpu().clone() for part in _parts(model.start)],
    }
    buffer = io.BytesIO()
    torch.save(record, buffer)
    _parse(buffer.getvalue(), path)
    with written_aside(path) as scratch:
        scratch.write_bytes(buffer.getvalue())


def load(path: Path) -> Model:
    """Read the model in `path`. Raises InputError, one line that says why, for whatever `save` did not write."""
    path = Path(path)
    try:
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            raise InputError(f"{path}: is far too large to be a model for the pedal")
        contents = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if contents.lstrip()[:1] == b"{":
        raise InputError(f"{path}: not a model of ours; of a capture by others, pedal import makes one")
    return _parse(contents, path)


def load_plain(contents: bytes, path: Path, what: str) -> Any:
    """Unpickle plain types and tensors, and nothing that could run code.

    Raises InputError, which names `path` and says that it is not `what` of ours, for all else.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd pickles: the one line below is enough
            return torch.load(io.BytesIO(contents), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch raise a dozen types
        raise InputError(f"{path}: not {what} of ours, or damaged") from error


def _parse(contents: bytes, path: Path) -> Model:
    record = load_plain(contents, path, "a model")
    try:
        return _model_from(record)
    except InputError as error:
        raise InputError(f"{path}: {error.message}") from error


def _model_from(record: object) -> Model:
    if not isinstance(record, dict) or "format" not in record or "architecture" not in record:
        raise InputError("not a model of ours")
    version = typed(record, "format", int)
    if not 1 <= version <= FORMAT:
        raise InputError(f"has format {version}; this version reads formats 1 to {FORMAT}")
    architecture = typed(record, "architecture", str)
    config = typed(record, "config", dict)
    if version == 1:
        config = {"layers": 1, **config, "residual": float(config.get("residual", True))}
    weights = typed(record, "weights", dict)
    if version < 3 and architecture == "eq":
        config = {"phase": "minimum", "bands": 60, "q": 1.5, **config}
        weights = {**weights, "log_level": torch.zeros(())}
    network = network_from(architecture, config)
    load_weights(network, weights)
    knobs = tuple(_knob_from(knob) for knob in typed(record, "knobs", list))
    if len(knobs) != network.knob_count:
        raise InputError(f"names {len(knobs)} knobs where its network has {network.knob_count}")
    sample_rate_hz = typed(record, "sample_rate_hz", int)
    if not 8000 <= sample_rate_hz <= 384000:
        raise InputError(f"has a sample rate of {sample_rate_hz} Hz")
    return Model(
        name=typed(record, "name", str),
        architecture=architecture,
        config=network.config,
        network=network.eval(),
        sample_rate_hz=sample_rate_hz,
        knobs=knobs,
        levels=typed(record, "levels", dict),
        training=typed(record, "training", dict),
        start=_start_from(record.get("start"), network),
    )


def network_from(architecture: str, config: dict[str, Any]) -> Network:
    """Build the network that a file describes. Raises InputError when there is none such."""
    if architecture == "wavenet":
        return WaveNet(config)
    if architecture == "linear":
        return Linear(config)
    if architecture == "dense":
        return DenseWindow(**_checked(config, {"window": int}))
    eq_types = {"blocks": int, "taps": int, "phase": str, "bands": int, "q": float}
    if architecture == "eq":
        return EqNetwork(**_checked(config, eq_types))
    if architecture == "morph":
        return EqMorph(**_checked(config, {"amps": int, "beyond": int, **eq_types}))
    if architecture not in UNITS:
        raise InputError(f"unknown architecture {architecture[:40]!r}")
    types = {"hidden_size": int, "knob_count": int, "layers": int, "residual": float}
    return RecurrentNetwork(architecture, **_checked(config, types))


def _checked(config: dict[str, Any], types: dict[str, type]) -> dict[str, Any]:
    if set(config) != set(types):
        raise InputError(f"its config should hold {', '.join(types)}")
    return {key: typed(config, key, kind) for key, kind in types.items()}


def network_named(name: str, knob_count: int = 0) -> TrainableNetwork:
    """A new network to train. Raises InputError for a name that none has, and for knobs where it takes none."""
    if not name.startswith(("eq", "dense")):
        return RecurrentNetwork.from_name(name, knob_count)
    if knob_count:
        raise InputError(f"{name} has no knobs, and there are {knob_count}")
    return EqNetwork.from_name(name) if name.startswith("eq") else DenseWindow.from_name(name)


def _start_from(parts: object, network: Network) -> State | None:
    if parts is None:
        return None
    if not isinstance(network, RecurrentNetwork):
        raise InputError("has a state to start from, which its network has not")
    shape = (network.layers, 1, network.hidden_size)
    names = ("h", "c") if network.unit == "lstm" else ("h",)
    if not isinstance(parts, list) or len(parts) != len(names):
        raise InputError(f"its start should hold {' and '.join(names)}")
    for name, part in zip(names, parts, strict=True):
        check_tensor(f"start {name}", part, shape)
    return (parts[0], parts[1]) if network.unit == "lstm" else parts[0]


def typed(record: Mapping[str, Any], key: str, kind: type) -> Any:
    """The value of `key`. Raises InputError unless it is there and of exactly this type."""
    value = record.get(key)
    if type(value) is not kind:  # exactly: True is an int to isinstance
        raise InputError(f"{key} should be of type {kind.__name__}")
    return value


def _knob_from(record: object) -> Knob:
    if not isinstance(record, dict) or set(record) != {"name", "minimum", "maximum", "default"}:
        raise InputError("a knob should have name, minimum, maximum and default")
    numbers = [record[key] for key in ("minimum", "maximum", "default")]
    if not isinstance(record["name"], str) or not all(type(number) in (int, float) for number in numbers):
        raise InputError("a knob's range should be numbers")
    return Knob(record["name"], *numbers)


def load_weights(network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Set all weights of `network`. Raises InputError when one is missing, extra, misshapen, NaN or not float32."""
    wanted = network.state_dict()
    if set(weights) != set(wanted):
        raise InputError("its weights are not those of its architecture")
    for key, tensor in weights.items():
        check_tensor(f"weights {key}", tensor, tuple(wanted[key].shape))
    network.load_state_dict(weights)


def check_tensor(what: str, tensor: object, shape: tuple[int, ...]) -> None:
    """Raise InputError unless `tensor` is of float32, of `shape` and finite."""
    if not isinstance(tensor, torch.Tensor) or tensor.dtype != torch.float32 or tensor.layout != torch.strided:
        raise InputError(f"{what} are not float32")
    if tuple(tensor.shape) != shape:
        raise InputError(f"{what} are {list(tensor.shape)} where its config needs {list(shape)}")
    if not torch.isfinite(tensor).all():
        raise InputError(f"{what} hold NaN or infinity")
