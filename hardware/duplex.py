"""A duplex stream through the pedal's sound device, in a process of its own: PortAudio may block for good when a device
goes away, and then the process is killed.

usage: python duplex.py CARD LATENCY_S     CARD: ALSA's number of it; -: there is one, known by its name

On standard output come lines of JSON: `latency_s` once zeros are streaming, then `recorded` now and then, or `error`.
On standard input comes what to play: the number of frames, u64, and as many frames of two i32, 24 bits left-justified.
The last line has `frames` and `interruptions`, [frame, what PortAudio says] each; as many frames follow, likewise.
"""

import json
import platform
import sys
import time
from typing import Any, BinaryIO, NoReturn

import numpy as np

PRODUCT = "Oddity Pedal"
"""The USB product string, which is in the sound device's name."""
RATE_HZ = 48_000
CHANNELS = 2
STALLED_SECONDS = 1.0
REPORT_SECONDS = 0.05
FORGETTING_SECONDS = 0.05
"""Of what the pedal holds, and of its ramp from the guitar to the host."""
INTERFACES = {"Linux": ("ALSA",), "Darwin": ("Core Audio",), "Windows": ("Windows WASAPI", "Windows WDM-KS")}
"""Which give a program the device itself, by the system."""


class Take:
    """What is played and recorded, frame by frame from the same moment; before it zeros are played."""

    def __init__(self) -> None:
        self.calls = 0
        self.frames = 0
        self.interruptions: list[tuple[int, str]] = []
        self.recorded = np.zeros((0, CHANNELS), np.int32)
        self._played: np.ndarray | None = None

    def play(self, samples: np.ndarray) -> None:
        self.recorded = np.zeros_like(samples)
        self._played = samples

    def callback(self, incoming: np.ndarray, outgoing: np.ndarray, frames: int, _time: object, flags: Any) -> None:
        self.calls += 1
        outgoing.fill(0)
        if self._played is None:
            return
        piece = self._played[self.frames : self.frames + frames]
        outgoing[: len(piece)] = piece
        self.recorded[self.frames : self.frames + len(piece)] = incoming[: len(piece)]
        if flags:
            self.interruptions.append((self.frames, str(flags)))
        self.frames += len(piece)


def find_device(sounddevice: Any, card: str) -> tuple[int, int]:
    """PortAudio's numbers of the pedal's input and output."""
    names = INTERFACES.get(platform.system(), ())
    end = "" if card == "-" else f"(hw:{card},0)"
    for interface in sounddevice.query_hostapis():
        if interface["name"] not in names:
            continue
        devices = [sounddevice.query_devices(index) for index in interface["devices"]]
        pedals = [device for device in devices if (device["name"].endswith(end) if end else PRODUCT in device["name"])]
        inputs = [device for device in pedals if device["max_input_channels"]]
        outputs = [device for device in pedals if device["max_output_channels"]]
        if len(inputs) > 1 or len(outputs) > 1:
            fail("several pedals' sound devices are here and cannot be told apart: leave one plugged in")
        if inputs and outputs:
            _require_format(inputs[0], outputs[0])
            return inputs[0]["index"], outputs[0]["index"]
    fail(
        f"no sound device of the pedal under {' or '.join(names) or platform.system()}: "
        "another program may hold it, or the system has not taken it as a sound card"
    )


def _require_format(source: dict[str, Any], sink: dict[str, Any]) -> None:
    channels = source["max_input_channels"], sink["max_output_channels"]
    rates = {source["default_samplerate"], sink["default_samplerate"]}
    if channels != (CHANNELS, CHANNELS) or rates != {RATE_HZ}:
        fail(
            f"the pedal's sound device shows {channels[0]} + {channels[1]} channels at "
            f"{' and '.join(f'{rate:g}' for rate in sorted(rates))} Hz, not 2 + 2 at 48000 Hz: "
            "a converter is in the way"
        )


def open_stream(sounddevice: Any, card: str, latency_s: float, take: Take) -> Any:
    """The stream, started: of the device itself, so that no converter or mixer is in the way."""
    settings = None
    if platform.system() == "Darwin":
        settings = sounddevice.CoreAudioSettings(fail_if_conversion_required=True)
    device = find_device(sounddevice, card)
    interface = sounddevice.query_hostapis(sounddevice.query_devices(device[0])["hostapi"])["name"]
    if interface == "Windows WASAPI":
        settings = sounddevice.WasapiSettings(exclusive=True)
    try:
        stream = sounddevice.Stream(
            samplerate=RATE_HZ,
            device=device,
            channels=CHANNELS,
            dtype="int32",
            latency=latency_s,
            extra_settings=settings,
            callback=take.callback,
            clip_off=True,
            dither_off=True,
        )
        stream.start()
    except sounddevice.PortAudioError as error:
        fail(f"the pedal's sound device does not open: {' '.join(str(error).split())}")
    return stream


def wait(take: Take, frames: int) -> None:
    """Until so many are recorded, or an interruption; says how far it is."""
    calls, since = take.calls, time.monotonic()
    while take.frames < frames and not take.interruptions:
        time.sleep(REPORT_SECONDS)
        if take.calls != calls:
            calls, since = take.calls, time.monotonic()
        elif time.monotonic() - since > STALLED_SECONDS:
            fail(f"the pedal's audio has stopped at {take.frames / RATE_HZ:.3f} s: is it unplugged?")
        say(recorded=take.frames)


def say(**message: object) -> None:
    print(json.dumps(message), flush=True)


def fail(reason: str) -> NoReturn:
    say(error=reason)
    sys.stdin.buffer.read()  # the parent kills this process, or is gone
    sys.exit(1)


def main() -> None:
    card, latency_s = sys.argv[1], float(sys.argv[2])
    try:
        import sounddevice
    except (OSError, ImportError):
        fail("PortAudio is missing: install the package libportaudio2")
    take = Take()
    stream = open_stream(sounddevice, card, latency_s, take)
    say(latency_s=stream.latency)
    incoming: BinaryIO = sys.stdin.buffer
    count = int.from_bytes(incoming.read(8), "little")
    samples = np.frombuffer(incoming.read(count * 8), "<i4").reshape(-1, CHANNELS)
    time.sleep(sum(stream.latency) + FORGETTING_SECONDS)  # what comes until then was recorded before it was asked for
    take.play(samples)
    wait(take, count)
    frames = take.frames
    say(recorded=frames)
    say(frames=frames, interruptions=take.interruptions)
    sys.stdout.buffer.write(take.recorded[:frames].tobytes())
    sys.stdout.buffer.flush()
    incoming.read()


if __name__ == "__main__":
    main()
