import copy
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import torch
from synthetic_pair import amp, guitar

from training import loop, losses, model_file
from training.capture import Capture, Pair
from training.errors import InputError
from training.knob import Knob
from training.loop import TrainingConfig, train
from training.quantization import int8_weights
from training.recurrent import RecurrentNetwork
from training.stretches import MemoryPart

torch.set_num_threads(1)
CPU = torch.device("cpu")
DRY = guitar(4.0)
PLAIN = Capture((Pair("amp.wav", DRY, amp(DRY)),))
QUICK = TrainingConfig(model="lstm-3", steps=24, streams=4, segment_frames=256, run_in_frames=128)
QUICK_INT8 = replace(QUICK, model="lstm-2x3", quantize="int8", fine_tuning_share=1.0)


def quiet(line: str) -> None:
    pass


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return model_file.load(path).network.state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a)


def test_training_learns_an_amp(tmp_path: Path) -> None:
    config = replace(QUICK, model="lstm-6", steps=400, streams=8, segment_frames=512, run_in_frames=512)
    model = train(PLAIN, config, tmp_path / "amp.pt", report=quiet)
    pair = PLAIN.pairs[0]
    start = pair.validation_start
    output = model.render(pair.input)[start:]
    reached = losses.esr(torch.from_numpy(output), torch.from_numpy(pair.target[start:])).item()
    untouched = losses.esr(torch.from_numpy(pair.input[start:]), torch.from_numpy(pair.target[start:])).item()
    assert reached < 0.05 < 0.5 < untouched
    # The validation that training reports runs in windows; it should not differ much from one long stream.
    assert model.training["validation_esr"] == pytest.approx(reached, rel=0.1)
    loaded = model_file.load(tmp_path / "amp.pt")
    assert np.array_equal(loaded.render(pair.input[:1000]), model.render(pair.input[:1000]))
    assert loaded.training["data_sha256"] == PLAIN.digest() and loaded.training["config"]["steps"] == 400
    assert sorted(path.name for path in tmp_path.iterdir()) == ["amp.pt", "amp.pt.png"]
    assert matplotlib.image.imread(tmp_path / "amp.pt.png").shape[:2] == (770, 1100)


def test_training_goes_on_from_a_model(tmp_path: Path) -> None:
    """A capture that leaves the dry signal out, as imported ones may: a few steps make it the other amp."""
    torch.manual_seed(0)
    before = RecurrentNetwork("lstm", 6, residual=0.0)
    first = train(PLAIN, replace(QUICK, model="lstm-6", steps=400), tmp_path / "a.pt", report=quiet, start=before)
    other = Capture((Pair("amp.wav", DRY, 0.8 * amp(DRY)),))
    config = replace(QUICK, model="lstm-6", steps=48)
    afresh = train(other, config, tmp_path / "b.pt", report=quiet)
    tuned = train(other, config, tmp_path / "c.pt", report=quiet, start=first.trainable)
    assert tuned.training["validation_esr"] < 0.5 * afresh.training["validation_esr"]
    assert tuned.recurrent.residual == 0.0 and tuned.training["config"]["start_sha256"]
    assert same(first.network.state_dict(), weights_of(tmp_path / "a.pt"))  # what it started from is as it was
    with pytest.raises(InputError, match="to start from has 0 knobs, the capture 1"):
        train(Capture(PLAIN.pairs, (Knob("drive"),)), config, tmp_path / "d.pt", report=quiet, start=before)


def test_training_learns_a_knob(tmp_path: Path) -> None:
    pairs = tuple(Pair("x", DRY, (0.5 + position) * DRY, (position,)) for position in (0.0, 0.5, 1.0))
    data = Capture(pairs, (Knob("volume", 0, 10, 5),))
    model = train(data, replace(QUICK, model="lstm-8", steps=320, streams=8), tmp_path / "amp.pt", report=quiet)
    gains = [np.std(model.render(DRY, [volume])) / np.std(DRY) for volume in (0, 5, 10)]
    np.testing.assert_allclose(gains, [0.5, 1, 1.5], atol=0.05)


def test_the_seed_decides(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.manual_seed(ord(name))  # of no account
        train(PLAIN, replace(QUICK, seed=seed), tmp_path / name, report=quiet)
    a, b, c = (weights_of(tmp_path / name) for name in "abc")
    assert same(a, b) and not same(a, c)


def test_the_best_model_is_kept_and_patience_ends_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    esrs = iter([0.5, 0.3, 0.4, 0.6, 0.1])
    seen: list[dict[str, torch.Tensor]] = []

    def esr(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return torch.tensor(next(esrs))

    validate = loop.Trainer.validate

    def noting(trainer: loop.Trainer) -> bool:
        seen.append({key: tensor.clone() for key, tensor in trainer.network.state_dict().items()})
        return validate(trainer)

    monkeypatch.setattr(losses, "esr", esr)
    monkeypatch.setattr(loop.Trainer, "validate", noting)
    model = train(PLAIN, replace(QUICK, steps=400, patience=2), tmp_path / "amp.pt", report=quiet)
    assert len(seen) == 4 and model.training["validation_esr"] == pytest.approx(0.3)
    assert same(weights_of(tmp_path / "amp.pt"), seen[1]) and not same(seen[1], seen[3])


def test_divergence_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "esr", lambda output, target: torch.tensor(float("nan")))
    with pytest.raises(InputError, match="diverged at step"):
        train(PLAIN, QUICK, tmp_path / "amp.pt", report=quiet)
    assert not (tmp_path / "amp.pt").exists()


def break_off(monkeypatch: pytest.MonkeyPatch, out: Path, config: TrainingConfig, at_step: int) -> None:
    """Let a training die as by a power cut: no handler of ours runs."""

    class PowerCutError(Exception):
        pass

    train_on_draw = loop.Trainer.train_on_draw

    def failing(trainer: loop.Trainer) -> None:
        if trainer.step >= at_step:
            raise PowerCutError
        train_on_draw(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "train_on_draw", failing)
        with pytest.raises(PowerCutError):
            train(PLAIN, config, out, report=quiet)


@pytest.mark.parametrize(
    ("config", "at_step"), [(QUICK, 0), (QUICK, 8), (QUICK, 16), (QUICK_INT8, 24), (QUICK_INT8, 40)]
)
def test_resumed_training_gives_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: TrainingConfig, at_step: int
) -> None:
    unbroken = train(PLAIN, config, tmp_path / "unbroken.pt", report=quiet)
    break_off(monkeypatch, tmp_path / "broken.pt", config, at_step)
    resumed = train(PLAIN, config, tmp_path / "broken.pt", resume=True, report=quiet)
    assert resumed.training == unbroken.training
    assert same(weights_of(tmp_path / "broken.pt"), weights_of(tmp_path / "unbroken.pt"))


@pytest.mark.parametrize("fine_tuned", [False, True])
def test_a_state_holds_everything(monkeypatch: pytest.MonkeyPatch, fine_tuned: bool) -> None:
    monkeypatch.setattr(losses, "esr", lambda output, target: torch.tensor(0.25))
    trainer = loop.Trainer(PLAIN, QUICK_INT8, CPU)
    trainer.train_on_draw()
    assert trainer.validate()
    if fine_tuned:
        trainer.start_fine_tuning()
    trainer.train_on_draw()
    assert not trainer.validate()  # so that best_weights are not the last ones
    trainer.train_on_draw()  # so that recent_losses is not empty
    buffer = io.BytesIO()
    torch.save(trainer.state(), buffer)
    buffer.seek(0)
    other = loop.Trainer(PLAIN, QUICK_INT8, CPU)
    other.set_state(torch.load(buffer, weights_only=True))
    torch.testing.assert_close(other.state(), trainer.state(), rtol=0, atol=0)
    assert same(other.best_network().state_dict(), trainer.best_weights)


def test_resume_refuses_another_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "amp.pt"
    break_off(monkeypatch, out, QUICK, 8)
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    louder = Capture((Pair("amp.wav", DRY, 1.01 * amp(DRY)),))
    cases = [
        (louder, QUICK, "other data"),
        (PLAIN, replace(QUICK, seed=5), "seed = 0, not 5"),
        (PLAIN, replace(QUICK, steps=32), "steps = 24, not 32"),
        (PLAIN, replace(QUICK, model="gru-3"), "model = lstm-3, not gru-3"),
    ]
    for data, config, match in cases:
        with pytest.raises(InputError, match=match):
            train(data, config, out, resume=True, report=quiet)
    with pytest.raises(InputError, match=r"no .*other\.pt\.checkpoint to resume from"):
        train(PLAIN, QUICK, tmp_path / "other.pt", resume=True, report=quiet)
    with pytest.raises(InputError, match=r"amp\.pt exists; --resume"):
        train(PLAIN, QUICK, out, report=quiet)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept
    out.unlink()
    with pytest.raises(InputError, match=r"amp\.pt\.checkpoint exists; --resume"):
        train(PLAIN, QUICK, out, report=quiet)
    train(PLAIN, QUICK, out, force=True, report=quiet)


@pytest.mark.parametrize("contents", [b"", b"text", b"half"])
def test_damaged_checkpoints_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contents: bytes) -> None:
    out, checkpoint = tmp_path / "amp.pt", tmp_path / "amp.pt.checkpoint"
    break_off(monkeypatch, out, QUICK, 8)
    checkpoint.write_bytes(checkpoint.read_bytes()[:2000] if contents == b"half" else contents)
    with pytest.raises(InputError, match="not a checkpoint of ours"):
        train(PLAIN, QUICK, out, resume=True, report=quiet)
    torch.save({"format": 1}, checkpoint)
    with pytest.raises(InputError, match="not a checkpoint of ours"):
        train(PLAIN, QUICK, out, resume=True, report=quiet)


def test_a_folder_that_cannot_be_written_shows_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        train(PLAIN, replace(QUICK, steps=10**9), tmp_path / "file" / "amp.pt", report=quiet)


def test_minutes_become_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SPEED_MEASUREMENT_S", 0.2)
    config = replace(QUICK, minutes=0.01)
    steps = loop.affordable_steps(PLAIN, config, 60.0)
    assert steps > 100
    lines: list[str] = []
    model = train(PLAIN, config, tmp_path / "amp.pt", report=lines.append)
    assert "0.01 minutes are about" in lines[0]
    assert model.training["config"]["steps"] != QUICK.steps


def test_resume_keeps_the_steps_that_the_minutes_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(QUICK, minutes=3.0)
    monkeypatch.setattr(loop, "affordable_steps", lambda *arguments: 32)
    break_off(monkeypatch, tmp_path / "amp.pt", config, 8)
    monkeypatch.setattr(loop, "affordable_steps", lambda *arguments: 999)
    model = train(PLAIN, config, tmp_path / "amp.pt", resume=True, report=quiet)
    assert model.training["step"] == model.training["config"]["steps"] == 32


def test_fine_tuning_changes_nothing_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[dict[str, Any]] = []
    start_fine_tuning = loop.Trainer.start_fine_tuning

    def noting(trainer: loop.Trainer) -> None:
        states.append(copy.deepcopy(trainer.state()))
        start_fine_tuning(trainer)

    monkeypatch.setattr(loop.Trainer, "start_fine_tuning", noting)
    quantized = train(PLAIN, QUICK_INT8, tmp_path / "int8.pt", report=quiet)
    trainer = loop.Trainer(PLAIN, replace(QUICK_INT8, quantize=None), CPU)
    while not trainer.finished:
        trainer.train_on_draw()
        if trainer.validation_due:
            trainer.validate()
    torch.testing.assert_close(states, [trainer.state()], rtol=0, atol=0)
    assert quantized.training["float_validation_esr"] == trainer.best_esr
    assert quantized.training["step"] == 48 and quantized.training["config"]["quantize"] == "int8"
    saved = weights_of(tmp_path / "int8.pt")
    assert same(int8_weights(model_file.load(tmp_path / "int8.pt").network), saved)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["int8.pt", "int8.pt.png"]


def test_fine_tuning_beats_rounding_and_ends_on_the_grid() -> None:
    torch.manual_seed(0)
    teacher = RecurrentNetwork("lstm", 6)
    with torch.no_grad():
        for weights in teacher.parameters():
            weights *= 2
        target = teacher(torch.from_numpy(DRY)[None])[0][0].numpy()
    config = replace(QUICK, model="lstm-6", steps=160, quantize="int8", fine_tuning_share=1.0)
    trainer = loop.Trainer(Capture((Pair("x", DRY, target),)), config, CPU)
    trainer.network.load_state_dict(teacher.state_dict())  # as if the first phase had found the very best
    assert trainer.validate()
    trainer.start_fine_tuning()
    rounded_esr = trainer.best_esr
    assert trainer.float_esr < 1e-9 < 1e-5 < rounded_esr
    while not trainer.finished:
        trainer.train_on_draw()
        if trainer.validation_due:
            trainer.validate()
    assert trainer.best_esr < 0.1 * rounded_esr
    best = trainer.best_network()
    assert same(int8_weights(best), best.state_dict())


def test_patience_ends_each_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "esr", lambda output, target: torch.tensor(0.5))
    model = train(PLAIN, replace(QUICK_INT8, steps=400, patience=1), tmp_path / "amp.pt", report=quiet)
    assert model.training["step"] == 3 * 8  # the first validation of each phase is the best


def test_fine_tuning_takes_its_share_of_the_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr(loop, "SPEED_MEASUREMENT_S", 2.0)
    steps = {}
    for config in (QUICK, replace(QUICK, quantize="int8")):
        steps[config.quantize] = loop.affordable_steps(PLAIN, config, 6000.0, clock=lambda: float(next(ticks)))
    assert steps["int8"] == pytest.approx(0.75 * steps[None], rel=0.02)


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    for device in ("abacus", "cuda:99"):
        with pytest.raises(InputError, match="no device"):
            train(PLAIN, QUICK, tmp_path / "amp.pt", device=device, report=quiet)


def test_learning_rate_rises_then_falls() -> None:
    config = TrainingConfig(steps=1000)
    rates = [config.learning_rate_at(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01 / 50) and max(rates) == pytest.approx(0.01, rel=0.01)
    assert int(np.argmax(rates)) == 49 and rates[-1] == pytest.approx(1e-4, rel=0.01)
    assert rates[500] == pytest.approx(0.01 * 0.505)


def test_fine_tuning_has_a_schedule_of_its_own() -> None:
    trainer = loop.Trainer(PLAIN, TrainingConfig(steps=1000, quantize="int8"), CPU)
    assert trainer.config.fine_tuning is not None and trainer.last_step == 1000 + 336
    rates = [trainer.config.fine_tuning.learning_rate_at(step) for step in range(336)]
    assert int(np.argmax(rates)) == 49 and max(rates) == pytest.approx(0.0025, rel=0.06)
    assert rates[-1] == pytest.approx(0.000025, rel=0.01)
    assert TrainingConfig().fine_tuning is None


def test_validations_fall_between_draws() -> None:
    for steps in (1, 8, 100, 12000, 10**6):
        interval = TrainingConfig(steps=steps).steps_between_validations
        assert interval % 8 == 0 and 8 <= interval <= 1000


def test_draws_stay_in_the_training_part_of_one_pair() -> None:
    ramps = [np.arange(first, first + 100, dtype=np.float32) for first in (0, 1000)]
    pairs = tuple(Pair("x", ramp, -ramp, (knob,)) for ramp, knob in zip(ramps, (0.25, 0.75), strict=True))
    drawn = MemoryPart(pairs, 20, CPU).draw(3000, torch.Generator().manual_seed(0))
    starts = drawn.audio[:, 0]
    assert torch.equal(drawn.audio, starts[:, None] + torch.arange(20)) and torch.equal(drawn.target, -drawn.audio)
    assert torch.equal(drawn.knobs[:, 0], torch.where(starts < 1000, 0.25, 0.75))
    # 90 frames of each pair are for training, so 20 frames can start at 71 places, and all do.
    assert sorted(set(starts.tolist())) == [*range(71), *range(1000, 1071)]


def test_validation_streams_cover_the_validation_part() -> None:
    samples = np.arange(48000 * 30, dtype=np.float32)
    pair = Pair("x", samples, -samples, (0.5,))
    streams = loop.validation_streams(pair, CPU)
    assert streams.audio.shape == (3, 24000 + 48000) and streams.knobs.tolist() == [[0.5]] * 3
    assert np.array_equal(-streams.target.flatten().numpy(), samples[pair.validation_start :])
    assert torch.equal(streams.audio[:, 24000:], -streams.target)


def test_play_in_chunks_equals_one_call() -> None:
    torch.manual_seed(0)
    network = RecurrentNetwork("lstm", 4, 1)
    streams = loop.Streams(torch.randn(3, 24500), torch.zeros(3, 500), torch.rand(3, 1))
    whole, _ = network(streams.audio, streams.knobs)
    torch.testing.assert_close(loop.play(network, streams, chunk_frames=777), whole[:, 24000:])
