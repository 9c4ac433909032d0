from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import signal
from synthetic_pair import amp, guitar, write

from training import capture
from training.audio import Audio
from training.capture import Capture, Pair, measure_delay, read_capture, read_pair
from training.errors import InputError
from training.knob import Knob

DRY = guitar(6.0)
WET = amp(DRY)


def delayed(samples: np.ndarray, by: int) -> np.ndarray:
    """Delay, or for a negative figure advance, and keep the length."""
    if by >= 0:
        return np.pad(samples, (by, 0))[: len(samples)]
    return np.pad(samples[-by:], (0, -by))


def refuse_pair(folder: Path, dry: np.ndarray, wet: np.ndarray, match: str, rates_hz: tuple[int, int] = (48000, 48000)):
    write(folder / "di.wav", dry, rates_hz[0])
    write(folder / "amp.wav", wet, rates_hz[1])
    with pytest.raises(InputError, match=match) as raised:
        read_pair(folder / "di.wav", folder / "amp.wav")
    assert "\n" not in raised.value.message


def read(folder: Path, dry: np.ndarray, wet: np.ndarray, rate_hz: int = 48000) -> Capture:
    return read_pair(write(folder / "di.wav", dry, rate_hz), write(folder / "amp.wav", wet, rate_hz))


@pytest.mark.parametrize("gain", [0.5, 8.0, 60.0])
@pytest.mark.parametrize("delay", [0, 1, 47, 1000, 20011, 47000, -1, -48, -1000, -47000])
def test_delay_is_measured(gain: float, delay: int) -> None:
    wet = delayed(amp(DRY, gain), delay)
    # The amp's own filters delay by 1 to 3 samples of the 5 kHz that the measurement looks at.
    found = measure_delay(DRY, wet)
    assert 0 <= found.samples - delay <= 3 and not found.inverted and found.clarity > capture.CLEAR_PEAK
    inverted = measure_delay(DRY, -wet)
    assert inverted.samples == found.samples and inverted.inverted


def test_delay_of_a_hard_fuzz_behind_a_speaker() -> None:
    speaker = signal.butter(4, [90, 4500], "band", fs=48000, output="sos")
    wet = delayed(signal.sosfilt(speaker, np.tanh(200 * DRY)), 700)
    assert 700 <= measure_delay(DRY, wet).samples <= 710


@pytest.mark.parametrize("delay", [0, 5])
def test_an_amps_own_delay_stays(tmp_path: Path, delay: int) -> None:
    data = read(tmp_path, DRY, delayed(WET, delay))
    assert np.array_equal(data.pairs[0].input, DRY) and np.array_equal(data.pairs[0].target, delayed(WET, delay))
    assert "none removed" in data.findings[-1]


@pytest.mark.parametrize("delay", [100, 20000, -100, -20000])
def test_delay_is_removed(tmp_path: Path, delay: int) -> None:
    wet = delayed(WET, delay)
    data = read(tmp_path, DRY, wet)
    pair = data.pairs[0]
    removed = measure_delay(DRY, wet).samples - capture.AMP_DELAY_SAMPLES
    assert measure_delay(pair.input, pair.target).samples == capture.AMP_DELAY_SAMPLES
    # The very samples of the files, one of them cut at its start and the other at its end.
    frames = len(DRY) - abs(removed)
    assert np.array_equal(pair.input, DRY[max(0, -removed) :][:frames])
    assert np.array_equal(pair.target, wet[max(0, removed) :][:frames])
    assert f"{removed} removed" in data.findings[-1]


def test_files_that_do_not_belong_together_are_noted_and_left(tmp_path: Path) -> None:
    data = read(tmp_path, DRY, amp(guitar(6.0, seed=9)))
    assert np.array_equal(data.pairs[0].input, DRY)
    assert "do they belong together" in data.findings[-1]


def test_inverted_polarity_is_noted_and_kept(tmp_path: Path) -> None:
    data = read(tmp_path, DRY, -WET)
    assert "polarity is inverted" in data.findings[-1] and np.array_equal(data.pairs[0].target, -WET)
    assert not any("polarity" in line for line in read(tmp_path, DRY, WET).findings)


def test_mismatched_rates_are_refused(tmp_path: Path) -> None:
    refuse_pair(tmp_path, DRY, WET, "48000 Hz and .* 44100 Hz", (48000, 44100))


def test_lengths_may_differ_by_a_second(tmp_path: Path) -> None:
    refuse_pair(tmp_path, DRY, WET[:-48001], r"6\.00 s and .* 5\.00 s")
    assert len(read(tmp_path, DRY, WET[:-48000]).pairs[0].input) == len(DRY) - 48000
    assert len(read(tmp_path, DRY[:-24000], WET).pairs[0].target) == len(DRY) - 24000


def test_short_files_are_refused(tmp_path: Path) -> None:
    refuse_pair(tmp_path, DRY[:90000], WET[:90000], "at least 2 s")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("file", ["di.wav", "amp.wav"])
def test_nan_is_refused(tmp_path: Path, value: float, file: str) -> None:
    files = {"di.wav": DRY.copy(), "amp.wav": WET.copy()}
    files[file][4800] = value
    refuse_pair(tmp_path, files["di.wav"], files["amp.wav"], rf"{file}: holds NaN or infinity, first at 0\.100 s")


def test_silence_is_refused(tmp_path: Path) -> None:
    refuse_pair(tmp_path, 0.0009 * DRY, WET, r"di\.wav: is silent")
    refuse_pair(tmp_path, DRY, 0 * WET, r"amp\.wav: is silent")


def test_a_silent_validation_part_is_refused(tmp_path: Path) -> None:
    wet = WET.copy()
    wet[-29000:] = 0
    refuse_pair(tmp_path, DRY, wet, r"last 0\.6 s are silent")


def test_channels_that_differ_are_refused(tmp_path: Path) -> None:
    refuse_pair(tmp_path, np.stack([DRY, WET], axis=1), WET, "2 channels that differ")
    same = read(tmp_path, np.stack([DRY, DRY], axis=1), WET)
    assert np.array_equal(same.pairs[0].input, DRY)


def clipped_in(samples: np.ndarray, share: float) -> np.ndarray:
    limit = np.quantile(np.abs(samples), 1 - share)
    return np.clip(samples / limit, -1, 1).astype(np.float32)


def test_clipping_warns_above_one_and_is_refused_above_ten_percent(tmp_path: Path) -> None:
    assert not any("clipped" in line for line in read(tmp_path, clipped_in(DRY, 0.008), WET).findings)
    findings = read(tmp_path, clipped_in(DRY, 0.05), clipped_in(WET, 0.02)).findings
    assert [line.split(";")[0] for line in findings if "clipped" in line] == [
        "warning: di.wav: 5.0% of its samples are clipped",
        "warning: amp.wav: 2.0% of its samples are clipped",
    ]
    refuse_pair(tmp_path, clipped_in(DRY, 0.11), WET, r"di\.wav: 11% of its samples are clipped")


def test_what_is_no_audio_is_refused(tmp_path: Path) -> None:
    good = write(tmp_path / "di.wav", DRY)
    (tmp_path / "text.wav").write_text("not audio")
    for bad, match in (("text.wav", "not a WAV or FLAC"), ("none.wav", "no such file")):
        with pytest.raises(InputError, match=match):
            read_pair(good, tmp_path / bad)


@pytest.mark.parametrize("rate_hz", [44100, 96000])
def test_other_rates_are_resampled(tmp_path: Path, rate_hz: int) -> None:
    dry = guitar(4.0, rate_hz=rate_hz)
    data = read(tmp_path, dry, amp(dry, rate_hz=rate_hz), rate_hz)
    pair = data.pairs[0]
    assert len(pair.input) == 4 * 48000 and pair.input.dtype == np.float32
    assert any("resampled to 48000 Hz" in line for line in data.findings)
    # A tone lands where it should, at its level.
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate_hz) / rate_hz).astype(np.float32)
    expected = np.sin(2 * np.pi * 1000 * np.arange(48000) / 48000)
    np.testing.assert_allclose(Audio(tone, rate_hz).at_rate(48000).samples[500:-500], expected[500:-500], atol=2e-3)


def test_the_end_is_kept_for_validation() -> None:
    for seconds, kept_s in ((6, 0.6), (100, 10), (1000, 15)):
        samples = np.zeros(seconds * 48000, dtype=np.float32)
        assert Pair("x", samples, samples).validation_start == round((seconds - kept_s) * 48000)


def test_digest_sees_every_part() -> None:
    pair = Pair("a", DRY, WET, (0.5,))
    base = Capture((pair,), (Knob("drive"),))
    assert base.digest() == Capture((Pair("b", DRY.copy(), WET.copy(), (0.5,)),), (Knob("drive"),)).digest()
    changed = WET.copy()
    changed[-1] += 1e-6
    others = [
        Capture((Pair("a", DRY, changed, (0.5,)),), base.knobs),
        Capture((Pair("a", changed, WET, (0.5,)),), base.knobs),
        Capture((Pair("a", DRY, WET, (0.6,)),), base.knobs),
        Capture((pair, pair), base.knobs),
        Capture((pair,), (Knob("tone"),)),
    ]
    assert len({data.digest() for data in [base, *others]}) == 6


TOML = """
[knobs]
drive = [0, 10]
tone = [-1, 1]
[levels]
input_volts_per_full_scale = 1.4
[[pair]]
input = "di.wav"
target = "amps/low.wav"
knobs = { drive = 2.5, tone = 0 }
[[pair]]
input = "di.wav"
target = "amps/high.wav"
knobs = { tone = 1, drive = 10 }
"""


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    (tmp_path / "amps").mkdir()
    write(tmp_path / "di.wav", DRY)
    write(tmp_path / "amps/low.wav", amp(DRY, 2.0))
    write(tmp_path / "amps/high.wav", delayed(amp(DRY, 20.0), 300))
    path = tmp_path / "capture.toml"
    path.write_text(TOML)
    return path


def test_capture_toml(toml: Path) -> None:
    data = read_capture(toml)
    assert data.knobs == (Knob("drive", 0, 10, 5), Knob("tone", -1, 1, 0))
    assert data.levels == {"input_volts_per_full_scale": 1.4}
    assert [(pair.name, pair.positions) for pair in data.pairs] == [("low.wav", (0.25, 0.5)), ("high.wav", (1.0, 1.0))]
    assert len(data.pairs[0].input) == len(DRY) > len(data.pairs[1].input)
    assert any("high.wav: delayed by 30" in line for line in data.findings)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (TOML, "", r"no \[\[pair\]\]"),
        (TOML, "pair = 3", r"no \[\[pair\]\]"),
        (TOML, "[knobs", "not TOML"),
        (TOML, "knobs = 3", "knobs should be a table"),
        ("[knobs]", "[knob]", "cannot hold 'knob'"),
        ("drive = [0, 10]", "drive = 10", r"drive should be \[lowest, highest\]"),
        ("drive = [0, 10]", "drive = [0, nan]", r"drive should be \[lowest, highest\]"),
        ("drive = [0, 10]", "drive = [10, 0]", "range 10 to 0 is empty"),
        ("drive = 2.5", "drive = 11", "drive: 11 is outside 0 to 10"),
        ("drive = 2.5", "drive = 'low'", "where did the knob drive stand"),
        ("drive = 2.5, ", "", "where did the knob drive stand"),
        ("drive = 2.5", "drive = 2.5, gain = 3", "cannot hold 'gain'"),
        ('input = "di.wav"', "", "needs the paths input and target"),
        ('input = "di.wav"', 'input = "none.wav"', r"none\.wav: no such file"),
        ("volts_per_full_scale = 1.4", "volts_per_full_scale = 0", "volts above 0"),
        ("input_volts", "volts", "cannot hold 'volts_per_full_scale'"),
    ],
)
def test_bad_capture_toml_is_refused(toml: Path, old: str, new: str, match: str) -> None:
    toml.write_text(TOML.replace(old, new, 1))
    with pytest.raises(InputError, match=match) as raised:
        read_capture(toml)
    assert "\n" not in raised.value.message and str(toml) in raised.value.message


def test_missing_capture_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_capture(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not TOML"):
        read_capture(tmp_path / "latin.toml")


def test_pairs_can_be_for_training_or_validation_alone(toml: Path) -> None:
    text = toml.read_text()
    first, second = ('target = "amps/low.wav"', 'target = "amps/high.wav"')
    assert first in text and second in text
    toml.write_text(text.replace(first, f'{first}\nuse = "training"').replace(second, f'{second}\nuse = "validation"'))
    low, high = read_capture(toml).pairs
    assert low.trains and not low.validates and low.validation_start == len(low.input)
    assert not high.trains and high.validates and high.validation_start == capture.VALIDATION_RUN_IN_FRAMES
    assert read_capture(toml).digest() != Capture((replace(low, use="both"), high), (Knob("drive"),)).digest()
    for use, message in (("training", "no \\[\\[pair\\]\\] is for validation"), ("test", "use should be one of both")):
        toml.write_text(text.replace(first, f'{first}\nuse = "{use}"').replace(second, f'{second}\nuse = "{use}"'))
        with pytest.raises(InputError, match=message):
            read_capture(toml)


def test_silences_of_more_than_a_second_are_cut_out() -> None:
    second = np.ones(48000, np.float32)
    dry = np.concatenate([second, 0.9 * second, *[1e-4 * second] * 3, 0.5 * second])
    wet = np.arange(len(dry), dtype=np.float32)
    shorter = capture.without_silences(Capture((Pair("take", dry, wet),)))
    assert shorter.findings == ("take: 2.0 s of silence removed",)
    assert np.array_equal(shorter.pairs[0].input, np.delete(dry, np.s_[3 * 48000 : 5 * 48000]))
    assert np.array_equal(shorter.pairs[0].target, np.delete(wet, np.s_[3 * 48000 : 5 * 48000]))
    with pytest.raises(InputError, match="take: too little is left of it without its silences"):
        capture.without_silences(Capture((Pair("take", 1e-4 * dry, wet),)))
