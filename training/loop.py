"""The training loop: truncated back-propagation, validation, checkpoints, resume."""

import copy
import hashlib
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import numpy as np
import torch
from tqdm import tqdm

from training import losses, model_file
from training.capture import SAMPLE_RATE_HZ, VALIDATION_RUN_IN_FRAMES, Capture, Pair
from training.dense_window import DenseWindow
from training.eq_block import EqNetwork
from training.errors import InputError
from training.files import written_aside
from training.memory import keep_freed_memory
from training.model_file import Model, TrainableNetwork
from training.plot import write_training_plot
from training.quantization import int8_weights, straight_through
from training.recurrent import RecurrentNetwork
from training.starting_point import nearest_setting
from training.stretches import Streams, training_part

CHECKPOINT_FORMAT = 2
VALIDATIONS = 40
MAXIMUM_STEPS_BETWEEN_VALIDATIONS = 1000
SPEED_MEASUREMENT_S = 4.0
WINDOWS = 1024
"""In a step of a dense network."""


@dataclass(frozen=True)
class TrainingConfig:
    """All that decides, with the data, what comes out of a training; the defaults are the recipe of `Trainer`.

    model: 'lstm-N', 'gru-N', or 'lstm-LxN', 'gru-LxN' with L layers, or 'eq-BxL' and 'eq-BxL-linear' of B blocks with L
    taps, or 'dense-N' of a window of N samples.
    steps: updates of the weights, rounded up to whole draws.
    minutes: if given, `steps` follows from the speed measured at the start.
    loss: what is made small, one of `losses.KINDS`; for dense-N, which plays single frames, only 'mse'.
    stft_weight: of the multi-resolution STFT loss, 0 for none.
    learning_rate: the peak of its schedule; None for what suits the network: 0.01, EQ blocks 0.02,
    dense 0.001.
    patience: stop after so many validations without a better one; 0 never stops early, because with a learning rate
    that falls over the whole schedule most of the gain comes at its end.
    quantize: 'int8' to go on for `fine_tuning_share` of `steps` with rounded weights; see `Trainer`.
    fine_tuning_learning_rate: the peak of its schedule, and of a training that starts from a model; 0.002 to 0.005
    differ little.
    start_sha256: of the weights that training starts from; None for random ones. `train` sets it.
    """

    model: str = "lstm-20"
    steps: int = 12000
    minutes: float | None = None
    seed: int = 0
    loss: str = "esr"
    stft_weight: float = 0.0
    patience: int = 0
    learning_rate: float | None = None
    warm_up_steps: int = 50
    streams: int = 32
    run_in_frames: int = 1024
    segment_frames: int = 1024
    segments_per_draw: int = 8
    gradient_norm: float = 1.0
    adam_beta2: float = 0.99
    quantize: Literal["int8"] | None = None
    fine_tuning_share: float = 1 / 3
    fine_tuning_learning_rate: float = 0.0025
    start_sha256: str | None = None

    @property
    def fine_tuning(self) -> "TrainingConfig | None":
        """The recipe of the fine-tuning, in whole draws; None when there is none."""
        if self.quantize is None:
            return None
        draws = math.ceil(self.fine_tuning_share * self.steps / self.segments_per_draw)
        return replace(self, steps=draws * self.segments_per_draw, learning_rate=self.fine_tuning_learning_rate)

    @property
    def steps_between_validations(self) -> int:
        """About 40 validations a training, in whole draws, so that a checkpoint never falls inside one."""
        wanted = min(self.steps // VALIDATIONS, MAXIMUM_STEPS_BETWEEN_VALIDATIONS)
        return max(1, wanted // self.segments_per_draw) * self.segments_per_draw

    def learning_rate_at(self, step: int) -> float:
        """A linear rise over the warm-up, then half a cosine down to a hundredth at the last step."""
        usual = {"eq": 0.02, "dense": 0.001}.get(self.model.split("-")[0], 0.01)
        peak = self.learning_rate or usual
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))
        return peak * min(1.0, (step + 1) / self.warm_up_steps) * (0.01 + 0.99 * cosine)


def delayed(capture: Capture, frames: int) -> Capture:
    """The same with every target so much later, as a network with that latency plays it."""
    if frames == 0:
        return capture
    pairs = (replace(pair, target=np.pad(pair.target, (frames, 0))[: len(pair.target)]) for pair in capture.pairs)
    streamed = capture.streamed and replace(capture.streamed, late_frames=frames)
    return replace(capture, pairs=tuple(pairs), streamed=streamed)


def validation_streams(pair: Pair, device: torch.device) -> Streams:
    """The validation part of a pair as streams of about a second, each after half a second of run-in.

    Side by side they take a fifteenth of the time that one stream would; the run-in brings the state to where it would
    have been. `target` leaves the run-in out.
    """
    kept = len(pair.input) - pair.validation_start
    count = max(1, kept // SAMPLE_RATE_HZ)
    frames = kept // count
    starts = [pair.validation_start + stream * frames for stream in range(count)]
    audio = np.stack([pair.input[start - VALIDATION_RUN_IN_FRAMES : start + frames] for start in starts])
    target = np.stack([pair.target[start : start + frames] for start in starts])
    knobs = torch.tensor([pair.positions] * count, dtype=torch.float32)
    return Streams(torch.from_numpy(audio).to(device), torch.from_numpy(target).to(device), knobs.to(device))


def frames_of(streams: Streams) -> int:
    return streams.audio.shape[1]


def side_by_side(parts: Sequence[Streams]) -> Streams:
    """All streams of `parts`, which are equally long, as one batch: many pairs take little more time than one."""
    return Streams(
        torch.cat([part.audio for part in parts]),
        torch.cat([part.target for part in parts]),
        torch.cat([part.knobs for part in parts]),
    )


def play(network: TrainableNetwork, streams: Streams, chunk_frames: int = 8192) -> torch.Tensor:
    """Play validation streams from a zero state without gradients, a chunk at a time. Returns [streams, frames] of what
    follows the run-in, which a dense network only has to hear."""
    outputs: list[torch.Tensor] = []
    state: Any = None
    audio, left_out, in_training = streams.audio, VALIDATION_RUN_IN_FRAMES, network.training
    if isinstance(network, DenseWindow):
        state, audio, left_out = (audio[:, left_out - network.window + 1 : left_out],), audio[:, left_out:], 0
    network.eval()  # without dropout
    with torch.no_grad():
        for chunk in audio.split(chunk_frames, dim=1):
            output, state = network(chunk, streams.knobs, state)
            outputs.append(output)
    network.train(in_training)
    return torch.cat(outputs, dim=1)[:, left_out:]


Validation = tuple[int, float, float]
"""The step, the mean training loss since the last validation, and the ESR."""


def detached(state: Any) -> Any:
    """The same state as a constant: where truncated back-propagation stops."""
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


class Trainer:
    """One training: everything that changes from step to step, so that `state` can be stored and set.

    The recipe: `streams` random stretches at a time; the network runs in over the first `run_in_frames`, then each
    `segment_frames` give one update, and the state is carried over to the next as a constant. Adam without weight
    decay, the gradient clipped to a norm of 1, the learning rate of `TrainingConfig.learning_rate_at`.

    A dense network learns from `WINDOWS` random windows at a time, each for the one frame that it predicts, by RMSprop.

    With `quantize` a second phase follows, which changes no bit of the first: from the best weights the same recipe
    goes on with a new schedule and a new Adam, and the network plays with weights rounded to int8 while the gradients
    move the unrounded ones. From then on all that is measured and kept is rounded.
    """

    def __init__(
        self, capture: Capture, config: TrainingConfig, device: torch.device, start: TrainableNetwork | None = None
    ) -> None:
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            new = model_file.network_named(config.model, len(capture.knobs)) if start is None else copy.deepcopy(start)
        if isinstance(new, EqNetwork | DenseWindow):
            capture = delayed(capture, new.latency_frames)
        if isinstance(new, EqNetwork) and start is None:
            new.aim(max(float(np.abs(pair.target).max()) for pair in capture.pairs))
        if isinstance(new, DenseWindow):
            config = replace(
                config, streams=WINDOWS, run_in_frames=new.window - 1, segment_frames=1, segments_per_draw=1
            )
            self.config = config
        self.network = new.to(device).train()
        self.generator = torch.Generator().manual_seed(config.seed)
        self.optimizer = self._new_optimizer()
        self.loss = losses.Loss(config.stft_weight, config.loss)
        stretch = config.run_in_frames + config.segments_per_draw * config.segment_frames
        self.training_part = training_part(capture, stretch, device)
        parts = sorted((validation_streams(pair, device) for pair in capture.pairs if pair.validates), key=frames_of)
        self.validation_parts = [list(alike) for _, alike in groupby(parts, frames_of)]
        self.step = 0
        self.recent_losses: list[float] = []
        self.history: list[Validation] = []
        self.float_history: list[Validation] = []
        """Empty in the first phase, and its `history` in the second."""
        self.best_esr = math.inf
        self.best_weights = _on_cpu(self.network.state_dict())
        self.validations_since_best = 0

    def train_on_draw(self) -> None:
        """Draw streams and update the weights once for each of their segments."""
        config = self.config
        drawn = self.training_part.draw(config.streams, self.generator)
        state = self._run_in(drawn)
        first = config.run_in_frames
        for start in range(first, first + config.segments_per_draw * config.segment_frames, config.segment_frames):
            segment = slice(start, start + config.segment_frames)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(hash((self.config.seed, self.step)))  # of dropout, the same after a resume
                output, state = self._forward(drawn.audio[:, segment], drawn.knobs, detached(state))
            loss = self.loss(output, drawn.target[:, segment])
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.gradient_norm)
            for group in self.optimizer.param_groups:
                group["lr"] = self.phase.learning_rate_at(self.step - self.phase_start)
            self.optimizer.step()
            self.step += 1
        self.recent_losses.append(loss.item())

    def validate(self) -> bool:
        """Measure the ESR of each pair's validation part; keep the weights if the mean is the best so far.

        Returns whether it is. Raises InputError when training has diverged to NaN.
        """
        network = self._played_network()
        esrs = []
        for parts in self.validation_parts:
            output = play(network, side_by_side(parts))
            for part, heard in zip(parts, output.split([len(part.audio) for part in parts]), strict=True):
                esrs.append(losses.esr(heard, part.target).item())
        esr = sum(esrs) / len(esrs)
        if not math.isfinite(esr):
            raise InputError(f"training diverged at step {self.step}; another --seed may help")
        self.history.append((self.step, sum(self.recent_losses) / max(1, len(self.recent_losses)), esr))
        self.recent_losses = []
        better = esr < self.best_esr
        if better:
            self.best_esr, self.best_weights, self.validations_since_best = esr, _on_cpu(network.state_dict()), 0
        else:
            self.validations_since_best += 1
        return better

    def start_fine_tuning(self) -> None:
        """Begin the second phase, and measure what rounding alone does to the best weights of the first."""
        self.recent_losses = [self.history[-1][1]]  # so that the curve of the loss goes on where it was
        self.float_history, self.history = self.history, []
        self.network.load_state_dict(self.best_weights)
        self.optimizer = self._new_optimizer()
        self.best_esr = math.inf
        self.validate()

    @property
    def quantized(self) -> bool:
        """Whether this is the second phase."""
        return bool(self.float_history)

    @property
    def float_esr(self) -> float:
        """Of the best weights of the first phase, once that is over."""
        return min(esr for _, _, esr in self.float_history)

    @property
    def phase(self) -> TrainingConfig:
        """The recipe that is being followed."""
        return (self.quantized and self.config.fine_tuning) or self.config

    @property
    def phase_start(self) -> int:
        """The step at which the phase began: the first ends with a validation."""
        return self.float_history[-1][0] if self.quantized else 0

    @property
    def phase_finished(self) -> bool:
        out_of_patience = 0 < self.config.patience <= self.validations_since_best
        return self.step >= self.phase_start + self.phase.steps or out_of_patience

    @property
    def validation_due(self) -> bool:
        return self.phase_finished or (self.step - self.phase_start) % self.config.steps_between_validations == 0

    @property
    def fine_tuning_due(self) -> bool:
        return self.phase_finished and self.config.quantize is not None and not self.quantized

    @property
    def finished(self) -> bool:
        return self.phase_finished and not self.fine_tuning_due

    @property
    def last_step(self) -> int:
        """Where training ends if patience does not end it before."""
        to_come = self.config.fine_tuning.steps if self.config.fine_tuning and not self.quantized else 0
        return self.phase_start + self.phase.steps + to_come

    def best_network(self) -> TrainableNetwork:
        """The network of the best validation so far, on the CPU."""
        network = copy.deepcopy(self.network).cpu()
        network.load_state_dict(self.best_weights)
        return network.eval()

    def state(self) -> dict[str, Any]:
        """All that changes from step to step, as plain types and tensors."""
        return {
            "step": self.step,
            "weights": _on_cpu(self.network.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "recent_losses": self.recent_losses,
            "history": self.history,
            "float_history": self.float_history,
            "best_esr": self.best_esr,
            "best_weights": self.best_weights,
            "validations_since_best": self.validations_since_best,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self.network.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.step = state["step"]
        self.recent_losses = state["recent_losses"]
        self.history = state["history"]
        self.float_history = state["float_history"]
        self.best_esr = state["best_esr"]
        self.best_weights = state["best_weights"]
        self.validations_since_best = state["validations_since_best"]

    def _new_optimizer(self) -> torch.optim.Optimizer:
        if isinstance(self.network, DenseWindow):
            return torch.optim.RMSprop(self.network.parameters(), alpha=0.9, eps=1e-7)  # as in Keras
        return torch.optim.Adam(self.network.parameters(), betas=(0.9, self.config.adam_beta2))

    def _run_in(self, drawn: Streams) -> Any:
        """The state after the run-in: a dense network's is what it has heard."""
        run_in = drawn.audio[:, : self.config.run_in_frames]
        if isinstance(self.network, DenseWindow):
            return (run_in,)
        with torch.no_grad():
            return self._forward(run_in, drawn.knobs, None)[1]

    def _forward(self, audio: torch.Tensor, knobs: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        if not self.quantized:
            return self.network(audio, knobs, state)
        assert isinstance(self.network, RecurrentNetwork)
        return torch.func.functional_call(self.network, straight_through(self.network), (audio, knobs, state))

    def _played_network(self) -> TrainableNetwork:
        """The network as the pedal will play it."""
        if not self.quantized:
            return self.network
        assert isinstance(self.network, RecurrentNetwork)
        network = copy.deepcopy(self.network)
        network.load_state_dict(int8_weights(self.network))
        return network


def _on_cpu(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: tensor.detach().cpu().clone() for key, tensor in weights.items()}


def train(
    capture: Capture,
    config: TrainingConfig,
    out: Path,
    *,
    resume: bool = False,
    force: bool = False,
    device: str = "cpu",
    report: Callable[[str], None] = print,
    start: TrainableNetwork | None = None,
    assess: Callable[[Model], dict[str, Any]] | None = None,
) -> Model:
    """Train on `capture`, write the best model to `out` and a picture to `<out>.png`, and return the model.

    While training runs, `<out>.checkpoint` holds all that `resume` needs to go on with the very numbers of an unbroken
    run (to the bit on the CPU); it is deleted at the end. `out` is written whenever validation improves.

    report: takes lines for people.
    start: the network to go on from, with a lower learning rate; None for a new one. One with knobs is put where it
        sounds most like a capture without, see `nearest_setting`.
    assess: what else to find out about the finished model, for its `training`.

    Raises InputError where `check` does, when what there is to resume was another training (data or config differ),
    when files cannot be written, when training diverges, and on Ctrl-C, after the checkpoint is written.
    """
    out = Path(out)
    check(config, len(capture.knobs), out, resume=resume, force=force, device=device)
    if start is not None:
        if isinstance(start, RecurrentNetwork) and start.knob_count and not capture.knobs:
            start, positions, esr = nearest_setting(start, capture)
            stand = ", ".join(f"{position:.2f}" for position in positions)
            report(f"starts where the model sounds most like it: knobs at {stand} of 1, {decibels(esr)}")
        if start.knob_count != len(capture.knobs):
            raise InputError(f"the model to start from has {start.knob_count} knobs, the capture {len(capture.knobs)}")
        config = replace(config, learning_rate=config.fine_tuning_learning_rate, start_sha256=_sha256(start))
    checkpoint = _checkpoint_of(out)
    keep_freed_memory()
    digest = capture.digest()
    if resume:
        stored = _read_checkpoint(checkpoint, digest, config)
        trainer = Trainer(capture, replace(config, steps=stored["steps"]), _device(device), start)
        trainer.set_state(stored["state"])
        report(f"resuming at step {trainer.step} of {trainer.last_step}")
    else:
        steps = config.steps
        if config.minutes is not None:
            steps = affordable_steps(capture, config, 60 * config.minutes, device)
        trainer = Trainer(capture, replace(config, steps=steps), _device(device), start)
        if config.minutes is not None:
            report(f"{config.minutes:g} minutes are about {trainer.last_step} steps here")

    def save_checkpoint() -> None:
        _write_checkpoint(checkpoint, digest, config, trainer)

    save_checkpoint()  # at once, so that a folder that cannot be written shows now and not in ten minutes
    with _ctrl_c_noted() as ctrl_c, progress_bar(trainer) as bar:
        while not trainer.finished:
            trainer.train_on_draw()
            bar.total = trainer.last_step
            bar.update(trainer.step - bar.n)
            bar.set_postfix_str(f"loss {trainer.recent_losses[-1]:.4f}, best ESR {decibels(trainer.best_esr)}")
            if trainer.validation_due:
                better = trainer.validate()
                line = f"step {trainer.step} of {trainer.last_step}: {validation_line(trainer)}"
                if trainer.fine_tuning_due:
                    trainer.start_fine_tuning()
                    line += f"; the best in {config.quantize}: {decibels(trainer.best_esr)}, from here on fine-tuned"
                    better = True
                if better:
                    model_file.save(out, model_of(trainer, capture, digest, out.stem))
                save_checkpoint()
                if bar.disable:
                    report(line)
            if ctrl_c:
                save_checkpoint()
                raise InputError(f"stopped at step {trainer.step}; the same command with --resume goes on from there")
    model = model_of(trainer, capture, digest, out.stem)
    if assess is not None:
        model.training |= assess(model)
    finish(out, model, capture, trainer, report)
    checkpoint.unlink(missing_ok=True)
    return model


def finish(out: Path, model: Model, capture: Capture, trainer: Trainer, report: Callable[[str], None]) -> None:
    """Write the model and its picture, and report how good it is."""
    config = trainer.config
    model_file.save(out, model)
    _write_plot(out, model, capture, trainer)
    before = f" in {config.quantize}, {decibels(trainer.float_esr)} in float" if trainer.quantized else ""
    report(f"{out}: {config.model}, validation ESR {trainer.best_esr:.5f} ({decibels(trainer.best_esr)}){before}")


def check(config: TrainingConfig, knob_count: int, out: Path, *, resume: bool, force: bool, device: str) -> None:
    """Raise InputError for what no training starts with, whatever the data: to know before the work, not after.

    That is an unknown model or device, an `out` or its checkpoint that exists when neither `resume` nor `force` is
    given, and a checkpoint to resume from that does not exist.
    """
    network = model_file.network_named(config.model, knob_count)
    if config.quantize and not isinstance(network, RecurrentNetwork):
        raise InputError(f"{config.quantize} weights are for lstm and gru models, not for {network.name}")
    if isinstance(network, DenseWindow) and (config.loss != "mse" or config.stft_weight):
        raise InputError(f"{network.name} learns from single frames, and so with --loss mse alone")
    _device(device)
    checkpoint = _checkpoint_of(out)
    if resume and not checkpoint.exists():
        raise InputError(f"there is no {checkpoint} to resume from")
    if not resume and not force:
        for path in (out, checkpoint):
            if path.exists():
                raise InputError(f"{path} exists; --resume goes on with a broken-off training, --force starts anew")


def _sha256(network: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for weights in network.state_dict().values():
        digest.update(weights.numpy(force=True).tobytes())
    return digest.hexdigest()


def _checkpoint_of(out: Path) -> Path:
    return out.with_name(out.name + ".checkpoint")


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"there is no device {name!r} for PyTorch here") from error
    return device


def validation_line(trainer: Trainer) -> str:
    _, loss, esr = trainer.history[-1]
    return f"loss {loss:.5f}, validation ESR {decibels(esr)}, best {decibels(trainer.best_esr)}"


def decibels(esr: float) -> str:
    """An ESR as reports give it, such as '-23.4 dB'; '-' for what has no level."""
    return f"{10 * math.log10(esr):.1f} dB" if 0 < esr < math.inf else "-"


def affordable_steps(
    capture: Capture,
    config: TrainingConfig,
    seconds: float,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """How many steps, validations included, a training can do in `seconds` of `clock`; measured in about 5 s.

    The steps of a fine-tuning come on top, and their time is taken into account: they take as long as others.
    """
    keep_freed_memory()
    trainer = Trainer(capture, config, _device(device))
    trainer.train_on_draw()  # the first is slow, and is not typical
    first_step, started = trainer.step, clock()
    while clock() - started < SPEED_MEASUREMENT_S:
        trainer.train_on_draw()
    seconds_per_step = (clock() - started) / (trainer.step - first_step)
    started = clock()
    trainer.validate()
    seconds /= 1 + (config.fine_tuning_share if config.quantize else 0)
    validations_s = VALIDATIONS * (clock() - started)
    # The share that validation takes is bounded, so that a slow one cannot leave nothing to train.
    return max(config.segments_per_draw, int((seconds - min(validations_s, seconds / 2)) / seconds_per_step))


def progress_bar(trainer: Trainer) -> "tqdm[Any]":
    # disable=None: no bar where nobody watches, as in a log.
    return tqdm(total=trainer.last_step, initial=trainer.step, unit="step", disable=None, file=sys.stderr)


@contextmanager
def _ctrl_c_noted() -> Iterator[list[bool]]:
    """Yield a list that fills on Ctrl-C, so that a draw is finished first; a second Ctrl-C acts at once."""
    noted: list[bool] = []

    def note(signal_number: int, frame: FrameType | None) -> None:
        noted.append(True)
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, previous)


def _write_checkpoint(path: Path, digest: str, config: TrainingConfig, trainer: Trainer) -> None:
    record = {
        "format": CHECKPOINT_FORMAT,
        "data_sha256": digest,
        "config": asdict(config),
        "steps": trainer.config.steps,
        "state": trainer.state(),
    }
    with written_aside(path) as scratch, scratch.open("wb") as file:
        torch.save(record, file)


def _read_checkpoint(path: Path, digest: str, config: TrainingConfig) -> dict[str, Any]:
    record = model_file.load_plain(path.read_bytes(), path, "a checkpoint")
    if not isinstance(record, dict) or set(record) != {"format", "data_sha256", "config", "steps", "state"}:
        raise InputError(f"{path}: not a checkpoint of ours; --force starts anew")
    if record["format"] != CHECKPOINT_FORMAT:
        raise InputError(f"{path}: has format {record['format']}; this version reads format {CHECKPOINT_FORMAT}")
    if record["data_sha256"] != digest:
        raise InputError(f"{path}: was made with other data; --force starts anew")
    for key, value in asdict(config).items():
        stored = record["config"].get(key)
        if stored != value:
            raise InputError(f"{path}: was made with {key} = {stored}, not {value}; --force starts anew")
    return record


def model_of(trainer: Trainer, capture: Capture, digest: str, name: str) -> Model:
    """The best network so far, with all that its file should say."""
    network = trainer.best_network()
    float_esr = {"float_validation_esr": trainer.float_esr} if trainer.quantized else {}
    return Model(
        name=name,
        architecture=network.architecture,
        config=network.config,
        network=network,
        sample_rate_hz=SAMPLE_RATE_HZ,
        knobs=capture.knobs,
        levels=capture.levels,
        training={
            "validation_esr": trainer.best_esr,
            **float_esr,
            "step": trainer.step,
            "seconds_of_audio": capture.seconds,
            "data_sha256": digest,
            "config": asdict(trainer.config),
            **capture.origin,
            "versions": {"torch": str(torch.__version__), "python": sys.version.split()[0]},
        },
    )


def _write_plot(out: Path, model: Model, capture: Capture, trainer: Trainer) -> None:
    pair = next(pair for pair in delayed(capture, model.latency_frames).pairs if pair.validates)
    streams = validation_streams(pair, torch.device("cpu"))
    output = play(trainer.best_network(), streams)
    title = f"{model.name} ({trainer.config.model}, {pair.name})"
    target = streams.target.flatten().numpy()
    picture = out.with_name(out.name + ".png")
    write_training_plot(picture, title, trainer.history, target, output.flatten().numpy(), trainer.float_history)
