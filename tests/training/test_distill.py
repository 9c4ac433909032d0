import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import assert_one_line_error
from synthetic_pair import guitar, write

from training import capture, distill, loop, losses, model_file
from training.capture import SAMPLE_RATE_HZ, validation_frames
from training.cli import distill_command
from training.errors import InputError
from training.knob import Knob
from training.loop import TrainingConfig
from training.model_file import Model
from training.recurrent import RecurrentNetwork
from training.wavenet import WaveNet

DRY = guitar(2.0)
QUICK = TrainingConfig(model="lstm-4", steps=24, streams=4, segment_frames=256, run_in_frames=128)
LEARNING = replace(QUICK, steps=160, streams=8, segment_frames=512, run_in_frames=512)
WAVENET: dict[str, Any] = {
    "layers": [
        {
            "input_size": 1,
            "condition_size": 1,
            "head_size": 1,
            "channels": 2,
            "kernel_size": 3,
            "dilations": [1, 4],
            "activation": "Tanh",
            "gated": False,
            "head_bias": False,
        }
    ],
    "head": None,
    "head_scale": 1.0,
}
Make = Callable[..., Model]


def quiet(line: str) -> None:
    pass


@pytest.fixture
def no_synthetic_guitar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is recorded plays, and plucks stand for the guitar of the final comparison: quick."""
    monkeypatch.setattr(distill, "SYNTHETIC_SEEDS", ())
    monkeypatch.setattr(distill, "synthetic_guitar", lambda seed, seconds: guitar(2.0, seed=seed))


@pytest.fixture
def di(tmp_path: Path) -> Path:
    return write(tmp_path / "di.wav", DRY)


def distorting(gain: float = 6.0) -> Model:
    """A teacher whose weights are known: an LSTM of one unit that forgets at once, tanh(tanh(gain x)) / 2 + x / 4."""
    network = RecurrentNetwork("lstm", 1, residual=0.25)
    with torch.no_grad():
        for weights in network.parameters():
            weights.zero_()
        network.recurrent.bias_ih_l0.copy_(torch.tensor([20.0, -20.0, 0.0, 20.0]))
        network.recurrent.weight_ih_l0[2] = gain
        network.head.weight.fill_(0.5)
    levels = {"input_volts_per_full_scale": 2.5}
    origin = {"sha256": "abc", "licence": "CC0", "imported_from": "amp.nam", "metadata": {}}
    return Model("distorting", "lstm", network.config, network.eval(), levels=levels, training=origin)


def esr(output: np.ndarray, target: np.ndarray) -> float:
    return losses.esr(torch.from_numpy(output), torch.from_numpy(target)).item()


@pytest.mark.usefixtures("no_synthetic_guitar")
def test_a_student_learns_its_teacher(tmp_path: Path, di: Path) -> None:
    teacher, lines = distorting(), []
    student = distill.distill(teacher, [di], LEARNING, tmp_path / "amp.pt", report=lines.append)
    for level in (1.0, 0.25):
        heard = level * guitar(2.0, seed=5)
        untouched, reached = esr(heard, teacher.render(heard)), esr(student.render(heard), teacher.render(heard))
        assert reached < 0.1 < 0.3 < untouched
    assert student.levels == teacher.levels and student.training["validation_esr"] < 0.1

    assert model_file.load(tmp_path / "amp.pt").training == student.training
    told = student.training["distilled"]
    assert told["teacher"] == {
        "name": "distorting",
        "network": "lstm-1",
        "sample_rate_hz": 48000,
        "imported_from": "amp.nam",
        "sha256": "abc",
        "licence": "CC0",
    }
    kept = DRY[-validation_frames(len(DRY)) :]
    fresh = guitar(2.0, seed=distill.FRESH_SEED)
    fresh *= 0.5 / np.abs(fresh).max()
    expected = [
        esr(student.render(dry), teacher.render(dry)) for take in (fresh, kept) for dry in (take, take * 10**-0.6)
    ]
    assert [row["esr"] for row in told["heard"]] == pytest.approx(expected, rel=1e-3)
    assert [row["peak_dbfs"] for row in told["heard"]][:2] == pytest.approx([-6.02, -18.02], abs=0.01)
    assert f"ESR {expected[0]:.5f}" in lines[-4] and "what was kept of --di" in lines[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["amp.pt", "amp.pt.png", "di.wav"]


def test_the_teacher_plays_every_level_in_every_setting() -> None:
    network = RecurrentNetwork("lstm", 1, 1)
    teacher = Model("amp", "lstm", network.config, network.eval(), knobs=(Knob("drive", 0.0, 10.0, 2.0),))
    taught = distill.teach(teacher, DRY)
    settings = [0.2, 0.0, 0.25, 0.5, 0.75, 1.0]  # the default first
    assert [pair.positions for pair in taught.pairs] == [(setting,) for setting in settings for _ in range(4)]
    for index, pair in enumerate(taught.pairs):
        gain = (1.0, 10**0.3, 10**-0.3, 10**-0.6)[index % 4]  # half of full scale leaves 6 dB
        np.testing.assert_allclose(pair.input, gain * DRY, rtol=1e-3, atol=1e-6)
        if index % 5 == 0:  # each level and almost each setting, one by one
            np.testing.assert_array_equal(pair.target, teacher.render(pair.input, [10 * pair.positions[0]]))
    assert taught.knobs == teacher.knobs and "+0 dB, drive 2" in taught.pairs[0].name
    assert "0.8 minutes: 2.0 s at each of 0, +6, -6, -12 dB, in 6 settings" in taught.findings[0]


def test_no_level_is_above_full_scale() -> None:
    assert distill.playing_levels_db(np.float32([0.7, -0.1])) == (0.0, 3.1, -6.0, -12.0)
    assert distill.playing_levels_db(np.float32([-1.0])) == (0.0, -6.0, -12.0)
    assert distill.playing_levels_db(np.float32([0.01])) == (0.0, 6.0, -6.0, -12.0)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_settings_of_several_knobs_spread(count: int) -> None:
    knobs = [Knob(f"{index}", -1.0, 1.0, 0.25) for index in range(count)]
    settings = distill.knob_settings(knobs, seed=3)
    corners = 2**count if count < 4 else 0
    assert settings[0] == (0.25,) * count and len(set(settings)) == len(settings) == 1 + corners + 8 * count
    spread = np.array(settings[1 + corners :])
    assert (np.sort((spread + 1) * 4 * count, axis=0).astype(int) == np.arange(8 * count)[:, None]).all()
    assert set(settings[1 : 1 + corners]) <= {tuple(corner) for corner in np.sign(settings)}
    assert settings == distill.knob_settings(knobs, seed=3) != distill.knob_settings(knobs, seed=4)


@pytest.mark.parametrize(("seconds", "pairs", "each_s"), [(3, 100, 3), (60, 4, 60), (60, 10, 30), (60, 1000, 2)])
def test_stretches_are_dealt_out(seconds: int, pairs: int, each_s: int) -> None:
    take = np.arange(seconds * SAMPLE_RATE_HZ, dtype=np.float32)
    stretches = distill.dealt(take, pairs, 300.0)
    assert {len(stretch) for stretch in stretches} == {each_s * SAMPLE_RATE_HZ} and len(stretches) == pairs
    cut, cut_each = (int(0.9 * frames) for frames in (len(take), len(stretches[0])))
    heard = np.zeros(len(take), bool)
    for stretch in stretches:
        learnt, kept = stretch[:cut_each].astype(int), stretch[cut_each:].astype(int)
        assert learnt[-1] < cut <= kept[0], "no validation in what is learnt"
        assert (np.diff(learnt) == 1).all() and (np.diff(kept) == 1).all()
        heard[learnt] = True
    assert heard[:cut].all()


def test_pauses_do_not_validate() -> None:
    take = np.ones(60 * SAMPLE_RATE_HZ, np.float32)
    take[-3 * SAMPLE_RATE_HZ :] = 1e-4
    for stretch in distill.dealt(take, 40, 80.0):
        assert stretch[-validation_frames(len(stretch)) :].max() == 1


@pytest.mark.usefixtures("no_synthetic_guitar")
def test_what_is_kept_has_the_end_of_each_take() -> None:
    takes = [np.full(frames, value, np.float32) for value, frames in enumerate((100_000, 300_000))]
    for take in takes:
        take[-len(take) // 10 :] += 10
    joined = distill.DryGuitar(takes, [], []).take
    cut = len(joined) - validation_frames(len(joined))
    assert set(joined[:cut]) == {0, 1} and set(joined[cut:]) == {10, 11} and len(joined) == 400_000


@pytest.mark.parametrize("sample_rate_hz", [48000, 44100])
def test_any_model_teaches(tmp_path: Path, sample_rate_hz: int) -> None:
    torch.manual_seed(1)
    network = WaveNet(WAVENET).eval()
    teacher = Model("wave", "wavenet", network.config, network, sample_rate_hz)
    taught = distill.teach(teacher, DRY)
    pair = taught.pairs[0]
    assert pair.target.shape == pair.input.shape
    np.testing.assert_array_equal(pair.target, teacher.render_at(48000, DRY))
    student = loop.train(taught, replace(LEARNING, steps=96), tmp_path / "amp.pt", report=quiet)
    assert student.sample_rate_hz == 48000 and student.training["validation_esr"] < 0.1


def test_a_delay_is_removed() -> None:
    """A teacher with a delay would ask its student to remember all of that; the first answer counts, not the peak."""
    response = np.zeros(300, np.float32)
    response[[200, 230]] = 0.1, -1

    class Late(Model):
        def render_at(self, sample_rate_hz: int, samples: np.ndarray, *arguments: Any, **options: Any) -> np.ndarray:
            return np.convolve(samples, response)[: len(samples)].astype(np.float32)

    late = Late(**vars(distorting()))
    taught = distill.teach(late, DRY)
    assert taught.origin["distilled"]["delay_removed_samples"] == 200 - capture.AMP_DELAY_SAMPLES
    np.testing.assert_allclose(taught.pairs[0].target[34:], 0.1 * DRY[30:-4] - DRY[:-34], atol=1e-6)
    assert distill.removable_delay(distorting()) == 0
    assert "delay removed, in samples: 196" in taught.findings[1]


def test_what_the_teacher_does_wrong_is_told() -> None:
    loud = distorting()
    loud.network.head.weight.data.fill_(3.0)
    assert any("of full scale, where the pedal's output clips" in line for line in distill.teach(loud, DRY).findings)
    loud.network.head.weight.data.fill_(np.inf)
    with pytest.raises(InputError, match="not finite"):
        distill.teach(loud, DRY)
    mute = RecurrentNetwork("lstm", 1, residual=0.0)
    torch.nn.init.zeros_(mute.head.weight)
    torch.nn.init.zeros_(mute.head.bias)
    with pytest.raises(InputError, match="silent"):
        distill.teach(Model("mute", "lstm", mute.config, mute), DRY)


def test_a_silent_setting_is_learnt_but_does_not_validate() -> None:
    volume = RecurrentNetwork("lstm", 1, 1, residual=0.0)
    with torch.no_grad():
        for weights in volume.parameters():
            weights.zero_()
        volume.recurrent.bias_ih_l0.copy_(torch.tensor([-20.0, -20.0, 0.0, 20.0]))
        volume.recurrent.weight_ih_l0[0, 1] = 40.0  # lets nothing in unless the knob is turned up
        volume.recurrent.weight_ih_l0[2, 0] = 1.0
        volume.head.weight.fill_(1.0)
    taught = distill.teach(Model("volume", "lstm", volume.config, volume, knobs=(Knob("volume", 0, 1, 1),)), DRY)
    assert [pair.validates for pair in taught.pairs if pair.positions == (0.0,)] == [False] * 4
    assert "silent at the end of" in taught.findings[-1]
    trainer = loop.Trainer(taught, QUICK, torch.device("cpu"))
    assert trainer.validate() and np.isfinite(trainer.best_esr)


@pytest.mark.usefixtures("no_synthetic_guitar")
def test_resumed_distillation_gives_the_same_bits(tmp_path: Path, di: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class PowerCutError(Exception):
        pass

    teacher = distorting()
    unbroken = distill.distill(teacher, [di], QUICK, tmp_path / "unbroken.pt", report=quiet)
    train_on_draw = loop.Trainer.train_on_draw

    def failing(trainer: loop.Trainer) -> None:
        if trainer.step >= 8:
            raise PowerCutError
        train_on_draw(trainer)

    with monkeypatch.context() as patch, pytest.raises(PowerCutError):
        patch.setattr(loop.Trainer, "train_on_draw", failing)
        distill.distill(teacher, [di], QUICK, tmp_path / "broken.pt", report=quiet)
    resumed = distill.distill(teacher, [di], QUICK, tmp_path / "broken.pt", resume=True, report=quiet)
    assert resumed.training == unbroken.training
    for key, weights in resumed.network.state_dict().items():
        assert torch.equal(weights, unbroken.network.state_dict()[key])


def test_synthetic_guitars_make_up_for_little_guitar(di: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distill, "SYNTHETIC_SECONDS", 1.0)
    short = distill.read_guitar([di], distorting())
    assert [len(take) for take in short.recorded + short.synthetic] == [96_000] + [48_000] * 4
    assert max(np.abs(take).max() for take in short.synthetic) == pytest.approx(0.5)
    assert not distill.read_guitar([di, di], distorting()).synthetic
    none = distill.read_guitar([], distorting())
    assert 0.4 / 2.5 < none.peak < 1.0 / 2.5 and not none.recorded
    assert none.findings == ["no --di: 4 synthetic guitars play, 4 s in all, full scale being 2.5 V"]


@pytest.mark.usefixtures("no_synthetic_guitar")
def test_what_a_teacher_is_follows_from_its_content(tmp_path: Path, di: Path, make_model: Make) -> None:
    teacher, out = make_model("lstm", 2, knob_count=1), tmp_path / "small.pt"
    model_file.save(tmp_path / "ours.nam", teacher)
    options = ["--model", "lstm-2", "--steps", "8", "--out", str(out)]
    result = CliRunner().invoke(distill_command, [str(tmp_path / "ours.nam"), "--di", str(di), *options])
    assert result.exit_code == 0, result.output
    assert "di.wav: 2.0 s" in result.output and "another guitar" in result.output.splitlines()[-4]
    student = model_file.load(out)
    assert student.knobs == teacher.knobs and student.name == "small" and student.recurrent.name == "lstm-2"


def test_refusals_of_the_command(tmp_path: Path, di: Path, run_pedal: Callable[..., Any]) -> None:
    """Before anything is played or written."""
    (tmp_path / "junk.nam").write_text(json.dumps({"version": "0.5.4"}))
    (tmp_path / "small.pt").write_bytes(b"precious")
    model_file.save(tmp_path / "teacher.pt", distorting())
    there = sorted(tmp_path.iterdir())
    for arguments, words in (
        (["junk.nam", "--out", "new.pt", "--di", "di.wav"], ("junk.nam", "not a model in a format that is known")),
        (["teacher.pt", "--out", "small.pt"], ("small.pt exists", "--force")),
        (["teacher.pt", "--out", "teacher.pt", "--force"], ("teacher.pt: is the teacher",)),
    ):
        result = run_pedal("distill", *arguments, cwd=tmp_path)
        assert_one_line_error(result, *words)
        assert result.stdout == "" and sorted(tmp_path.iterdir()) == there
    assert (tmp_path / "small.pt").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "wavenet"], "unknown model 'wavenet'"),
        (["--resume"], "to resume from"),
        (["--device", "abacus"], "no device 'abacus'"),
        (["--steps", "8", "--minutes", "1"], "either --steps or --minutes"),
        (["--di", "none.wav"], "none.wav: no such file"),
        (["--di", "short.wav"], "short.wav: lasts 1.00 s; at least 2 s are needed"),
    ],
)
def test_bad_options_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "short.wav", DRY[:48_000])
    model_file.save(tmp_path / "teacher.pt", distorting())
    result = CliRunner().invoke(distill_command, ["teacher.pt", "--out", "new.pt", *options])
    assert result.exit_code == 2 and result.output.startswith("Error: ") and result.output.count("\n") == 1
    assert message in result.output and not list(tmp_path.glob("new.pt*"))


def test_junk_is_no_teacher(tmp_path: Path) -> None:
    (tmp_path / "junk.pt").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(InputError, match=r"junk\.pt: not a model of ours, or damaged"):
        distill.read_teacher(tmp_path / "junk.pt")
    for path in (tmp_path, tmp_path / "none.nam"):
        with pytest.raises(InputError, match=f"cannot read {path}: "):
            distill.read_teacher(path)
