"""The Daisy's own image in an emulated chip at its true speed: what only a board with audio, knobs and flash has."""

import subprocess
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import pytest
from unicorn import arm_const

from export import blob, fixed_point
from export.quantize import quantize
from hardware.firmware_build import build
from hardware.protocol import Engine
from hardware.virtual_daisy.board import SEED_2_DFM, SEED_REV4, SEED_REV5, VirtualDaisy
from hardware.virtual_daisy.errors import PowerCut
from hardware.virtual_daisy.link import VirtualDaisyLink
from training.errors import InputError

RATE_HZ = 48_000
RECORD_BYTES = 12  # of the choice of a slot, as the flash memory keeps it


@pytest.fixture(scope="module")
def booted() -> Iterator[VirtualDaisyLink]:
    link = VirtualDaisyLink(build("daisy"))
    link.rest(0.1)
    yield link
    link.close()


@pytest.fixture
def pedal(booted) -> Iterator[VirtualDaisyLink]:
    """Each test gets it as it was after power-on."""
    before = booted.daisy.save()
    yield booted
    booted.daisy.restore(before)


@pytest.fixture
def amp(make_model, guitar) -> Callable[..., bytes]:
    """Makes a blob of a small model."""

    def make(hidden_size: int = 4, seed: int = 0, **kind: object) -> bytes:
        quantized = quantize(make_model("lstm", hidden_size, seed=seed, **kind), guitar[:300])
        return blob.to_bytes(quantized, blob.make_self_test(quantized, guitar))

    return make


def tone(seconds: float, hertz: float = 100.0, peak: float = 0.3) -> np.ndarray:
    """int32 [frames], 24 bits."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.rint(peak * 2**23 * np.sin(2 * np.pi * hertz * times)).astype(np.int32)


def largest_step(*stretches: np.ndarray) -> int:
    return int(np.abs(np.diff(np.concatenate(stretches))).max())


def test_the_codec_runs_at_48_khz(pedal):
    assert abs(pedal.daisy.codec.sample_rate_hz / RATE_HZ - 1) < 1e-6


def test_without_a_model_the_guitar_passes(pedal, guitar):
    samples = fixed_point.to_q31(guitar) >> 8
    assert np.array_equal(pedal.process(samples), samples)


def test_audio_of_the_host_and_of_the_codec_give_the_same_bits(pedal, amp, guitar):
    pedal.load(0, amp(8))
    samples = fixed_point.to_q31(guitar[:2000]) >> 8
    outputs = []
    for process in (pedal.process, super(VirtualDaisyLink, pedal).process):
        pedal.select(0, Engine.FIXED)
        pedal.reset()
        outputs.append(process(samples))
    assert np.array_equal(*outputs)


def test_footswitch_one_bypasses_without_a_click(pedal, amp):
    pedal.load(0, amp())
    pedal.process(tone(0.2))
    assert pedal.daisy.leds == (True, False)
    before = pedal.process(tone(0.1))
    pedal.daisy.press(1, bounce_seconds=0.003)
    during = pedal.process(tone(0.1))
    pedal.daisy.release(1, bounce_seconds=0.003)
    after = pedal.process(tone(0.1))
    assert np.array_equal(after, tone(0.1))  # dry, to the bit
    assert pedal.daisy.leds == (False, False)
    ramp = np.abs(before - tone(0.1)).max() / 240  # 5 ms
    steady = max(largest_step(before), largest_step(tone(0.1)))
    assert largest_step(before, during, after) <= steady + ramp + 1


def test_footswitch_two_goes_to_the_next_model_without_a_gap(pedal, amp):
    for slot, seed in ((0, 0), (5, 1)):
        pedal.load(slot, amp(seed=seed))
    pedal.select(0, Engine.FIXED)
    pedal.process(tone(0.2))
    old = pedal.process(tone(0.1))
    pedal.daisy.press(2, bounce_seconds=0.003)
    during = [pedal.process(tone(0.1)) for _ in range(3)]
    new = pedal.process(tone(0.1))
    assert pedal.hello().active_slot == 5
    assert np.abs(new - old).max() > 2**18
    assert np.array_equal(during[0][: RATE_HZ // 20], old[: RATE_HZ // 20])  # runs in first
    steady = max(largest_step(old), largest_step(new))
    crossfade = np.abs(new - old).max() / 960  # 20 ms
    assert largest_step(old, *during, new) <= steady + crossfade + 1
    # what is between is between: never dry, never silent
    mixed = np.concatenate(during)
    lower, upper = np.minimum(old, new), np.maximum(old, new)
    slack = 0.02 * np.abs(new - old).max()
    assert np.all((mixed >= np.tile(lower, 3) - slack) & (mixed <= np.tile(upper, 3) + slack))


def test_a_model_that_overruns_mutes_and_reports_within_10_ms(pedal, amp):
    pedal.load(0, amp(64))
    pedal.select(0, Engine.FIXED)
    pedal.reset()
    played = pedal.process(tone(0.05))
    silent_from = np.flatnonzero(played)[-1] + 1
    assert silent_from <= RATE_HZ // 100
    stats = pedal.stats()
    assert stats.muted and stats.overloads == 1 and stats.overruns == 1
    # no crackle: what was played goes to zero in a straight line of a millisecond
    fade = played[silent_from - 47 : silent_from + 1]
    assert np.abs(np.diff(fade, 2)).max() <= 2
    pedal.load(1, amp(4, seed=1))
    pedal.select(1, Engine.FIXED)
    pedal.process(tone(0.3))
    assert not pedal.stats().muted and np.abs(pedal.process(tone(0.05))).max() > 2**18


def test_overload_and_clipping_show_on_the_second_led(pedal, amp):
    pedal.load(0, amp(64))
    pedal.process(tone(0.5))
    blinks = [on for _, pin, on in pedal.daisy.led_history if pin == "PA4"]
    assert len(blinks) >= 3
    pedal.load(1, amp(4))
    pedal.select(1, Engine.FIXED)
    pedal.process(tone(0.4))
    assert pedal.daisy.leds[1] is False
    pedal.process(np.full(480, 2**23 - 1, np.int32))
    assert pedal.daisy.leds[1] is True


def test_knobs_go_through_the_converter(pedal, make_model, guitar):
    quantized = quantize(make_model("lstm", 4, 2), guitar[:300])
    pedal.load(0, blob.to_bytes(quantized, blob.make_self_test(quantized, guitar)))
    pedal.select(0, Engine.FIXED)
    pedal.reset()
    samples = fixed_point.to_q31(guitar[:3000]) >> 8
    default = pedal.process(samples)
    pedal.daisy.pots[1] = 1.0  # the model's first knob
    pedal.rest(0.2)
    pedal.reset()
    turned = pedal.process(samples)
    positions = [2**31 - 1, blob.default_positions_q31(quantized.knobs)[1]]
    expected = fixed_point.play(quantized, samples << 8, positions)
    assert np.array_equal(turned, np.minimum((expected.astype(np.int64) + 128) >> 8, 2**23 - 1))
    assert not np.array_equal(turned, default)


@pytest.mark.parametrize(("knob", "position", "decibels"), [(0, 1.0, 12), (0, 0.0, -12), (5, 1.0, 12), (5, 0.25, -20)])
def test_input_and_level_knobs_are_gains(pedal, amp, knob, position, decibels):
    pedal.load(0, amp())
    quiet = tone(0.1, peak=0.001)
    pedal.process(tone(0.2, peak=0.001))
    before = pedal.process(quiet)
    pedal.daisy.pots[knob] = position
    pedal.rest(0.2)
    pedal.process(quiet)
    after = pedal.process(quiet)
    rest = np.mean(pedal.process(np.zeros(4800, np.int32)))
    if knob == 5:  # behind the model: exact
        ratio = np.std(after) / np.std(before)
        assert abs(20 * np.log10(ratio) - decibels) < 0.2
    else:
        assert (np.std(after) > np.std(before)) == (decibels > 0)
    assert np.isfinite(rest)


def test_slots_outlive_the_power(pedal, amp, tmp_path):
    for slot in range(16):
        pedal.load(slot, amp(1, seed=slot))
    pedal.load(9, amp(2, seed=99))
    pedal.select(11, Engine.FIXED)
    flash_file = tmp_path / "flash"
    flash_file.write_bytes(pedal.daisy.flash.contents)
    with VirtualDaisyLink(build("daisy"), flash_file) as restarted:
        info = restarted.hello()
        assert info.active_slot == 11 and info.filled_slots == frozenset(range(16))
        for slot in range(16):
            assert restarted.blob(slot) == (amp(2, seed=99) if slot == 9 else amp(1, seed=slot))


def test_it_plays_on_while_a_model_is_uploaded(pedal, amp):
    """With the flash memory as slow as its data sheet has it; without a model, what comes out is what went in."""
    daisy = pedal.daisy
    sent = tone(1.0, 440).tolist()
    frames = count()

    def source() -> tuple[int, int]:
        sample = sent[next(frames) % RATE_HZ] & 0xFFFFFF
        return sample, sample

    fast, daisy.flash.time_scale = daisy.flash.time_scale, 1.0
    daisy.source, recorded = source, len(daisy.recording)
    daisy.hold = False
    pedal.load(3, amp(4))
    daisy.hold = True
    daisy.flash.time_scale = fast
    heard = (np.array([left for left, _ in daisy.recording[recorded:]], np.int32) << 8) >> 8
    expected = np.resize(np.array(sent, np.int32), len(heard))
    assert len(heard) > RATE_HZ // 10  # as long as two sectors take to be erased
    assert np.array_equal(heard[96 + 480 :], expected[480 : len(heard) - 96])  # two blocks late
    stats = pedal.stats()
    assert (stats.overruns, stats.overloads) == (0, 0)


def test_power_cuts_leave_the_old_model_or_the_new_one(pedal, amp):
    """Cut at every 64th byte that an upload programs or erases."""
    old, new = amp(2, seed=1), amp(3, seed=2)
    guitar = tone(0.005, 440)
    sounds = {}
    for sounding in (old, new):
        with VirtualDaisyLink(build("daisy")) as fresh:
            fresh.load(4, sounding)
            fresh.select(4, Engine.FIXED)
            fresh.reset()
            sounds[sounding] = fresh.process(guitar)
    pedal.load(4, amp(1))  # so that both regions of the slot have been used
    pedal.load(4, old)
    pedal.select(4, Engine.FIXED)
    daisy, before = pedal.daisy, pedal.daisy.save()
    kept = []
    for cut_after in count(32, 64):
        daisy.restore(before)
        daisy.flash.power_fails_after = daisy.flash.worn + cut_after
        try:
            pedal.load(4, new)
        except PowerCut:
            restart(pedal)
            assert pedal.hello().active_slot == 4
            pedal.reset()
            heard = pedal.process(guitar)
            assert np.array_equal(heard, sounds[old]) or np.array_equal(heard, sounds[new]), cut_after
            kept.append(np.array_equal(heard, sounds[new]))
        else:
            break
    assert len(kept) > (4096 + len(new)) // 64 - 2
    assert kept == sorted(kept) and kept[0] is False  # the old one up to some byte
    assert pedal.blob(4) == new


def restart(pedal: VirtualDaisyLink) -> None:
    """Power off and on."""
    pedal.daisy.flash.power_fails_after = None
    pedal.daisy.power_cycle()
    assert pedal.daisy.run_until(lambda: pedal.daisy.chip.sai.streaming, 1.0)


def test_a_power_cut_while_the_choice_is_written_keeps_one_of_both(pedal, amp):
    for slot in (0, 1):
        pedal.load(slot, amp(1, seed=slot))
    pedal.select(0, Engine.FIXED)
    before = pedal.daisy.save()
    for cut_after in range(17):
        pedal.daisy.restore(before)
        pedal.daisy.flash.power_fails_after = pedal.daisy.flash.worn + cut_after
        try:
            pedal.select(1, Engine.FIXED)
        except PowerCut:
            restart(pedal)
            assert pedal.hello().active_slot == int(cut_after >= RECORD_BYTES), cut_after
            pedal.select(1, Engine.FIXED)  # beside the place that is half written
        restart(pedal)
        assert pedal.hello().active_slot == 1, cut_after


def test_the_host_and_both_footswitches_lead_to_the_boot_loader(pedal):
    before = pedal.daisy.save()
    with pytest.raises(InputError, match="system memory"):
        pedal.enter_boot_loader()
        pedal.rest(0.05)  # in which the host on USB sees it go
    pedal.daisy.restore(before)
    for footswitch in (1, 2):
        pedal.daisy.press(footswitch)
    pedal.rest(2.9)
    with pytest.raises(InputError, match="system memory"):
        pedal.rest(0.3)


def test_the_watchdog_ends_a_main_loop_that_hangs(pedal):
    """The main loop is sent into an endless one; that the audio goes on does not feed the dog."""
    chip = pedal.daisy.chip
    listing = subprocess.run(["arm-none-eabi-nm", build("daisy").with_suffix(".elf")], capture_output=True, text=True)
    endless = next(int(line[:8], 16) for line in listing.stdout.splitlines() if line.endswith(" _exit"))
    assert chip.read_bytes(endless, 2) == b"\xfe\xe7"  # b .
    assert not chip.system.active
    chip.registers.write(arm_const.UC_ARM_REG_PRIMASK, 0)  # which is set while the main loop sleeps
    chip.registers.write(arm_const.UC_ARM_REG_PC, endless | 1)
    with pytest.raises(InputError, match="not fed"):
        pedal.rest(3.0)
    assert pedal.daisy.resets == ["watchdog"]
    pedal.rest(0.2)
    assert pedal.hello().board == "daisy"


@pytest.mark.parametrize("revision", [SEED_REV5, SEED_2_DFM], ids=lambda revision: revision.name)
def test_every_board_revision_plays(amp, guitar, revision):
    samples = fixed_point.to_q31(guitar[:1000]) >> 8
    outputs = []
    for board in (SEED_REV4, revision):
        with VirtualDaisyLink(build("daisy"), revision=board) as link:
            link.load(0, amp(8))
            link.select(0, Engine.FIXED)
            link.reset()
            outputs.append(link.process(samples))
            assert link.daisy.seed_led
    assert np.array_equal(*outputs)


def test_without_its_crystal_it_plays_from_the_internal_oscillator(guitar):
    daisy = VirtualDaisy(build("daisy"), crystal=False)
    samples = fixed_point.to_q31(guitar[:480]) >> 8
    assert np.array_equal(daisy.play(samples, 96), samples)
    assert abs(daisy.codec.sample_rate_hz / RATE_HZ - 1) < 0.02
