import tomllib
from pathlib import Path

import numpy as np
import pytest
from synthetic_pair import guitar, write

from training import circuits
from training.dataset.plan import Plan, read_plan, take_seed
from training.dataset.toml_lines import places
from training.errors import InputError
from training.guitar import GUITARS

CLIPPER = """.input in
.output out 1
.knob gain 0.5
.knob tone 0.3
R1 in mid 1k
P1 mid wiper 0 10k gain log
R2 wiper out 2.2k
P2 out far far 50k tone linear
C1 far 0 10n
D1 out 0 1N914
D2 0 out 1N914
R3 out 0 100k
"""

# Every number is that of the line on which it, or its key, stands.
NUMBERED = """
a = 2 # = 9
"b.c" = 3
d.e = 4
f = [5, [ 5,
    6, # 7, "
    7],
    8, ]
g = {h = 9, i.j = 9, "k }" = [9, 9]}
text = \"\"\"
[no] # 3
x = \\\"\"\" ""\"\"\"
l = 13
lines = '''[[
]]'''
m = 16
"quo\\"ted" = 17
date = 1979-05-27 07:32:00
empty = {}
none = [ ]

[table]
n = 23
 [ table . "sub table" ]
o = 25
[[many]]
p = 27
[[many]]
p = 29
q = [
  { r = 31 },
  { r = 32, s = [32] },
]
[many.below]
t = 35
[[many.twice]]
u = 37
[[many.twice]]
u = 39
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clipper.cir").write_text(CLIPPER)
    return tmp_path


def plan(folder: Path, text: str) -> Plan:
    path = folder / "plan.toml"
    path.write_text(text)
    return read_plan(path)


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        plan(folder, text)
    message = caught.value.message
    assert "\n" not in message
    return message.replace(f"{folder}/", "")


def positions(made: Plan, knob: str) -> list[float]:
    return [row.knobs[knob] for row in made.rows.values()]


def leaves(value: object, place: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], object]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*place, key))] or [(place, None)]
    if isinstance(value, list):
        return [leaf for number, item in enumerate(value) for leaf in leaves(item, (*place, number))] or [(place, None)]
    return [(place, value)]


def test_every_value_of_a_toml_file_has_its_line() -> None:
    lines = places(NUMBERED)
    found = leaves(tomllib.loads(NUMBERED))
    assert len(found) == 30
    for place, value in found:
        assert place in lines, place
        if isinstance(value, int):
            assert lines[place] == value, place
    assert lines["many", 1, "twice", 1] == 38 and lines["table", "sub table"] == 24 and lines["many", 0] == 26


def test_lines_are_counted_in_a_file_from_windows() -> None:
    assert places("a = 1\r\nb = [\r\n 2]\r\n") == {(): 1, ("a",): 1, ("b",): 2, ("b", 0): 3}


def test_a_circuit_alone_gives_a_plan_with_all_knobs_drawn(folder: Path) -> None:
    made = plan(folder, '[[device]]\ncircuit = "tube_screamer"\n')
    assert len(made.rows) == 8 * 4 and made.seconds == 320.0 and len(made.dis) == 4
    knobs = {tuple(row.knobs.items()) for row in made.rows.values()}
    assert len(knobs) == 8
    assert {name for name, _ in next(iter(knobs))} == set(circuits.load_circuit("tube_screamer").knobs)
    for knob in ("drive", "tone", "level"):
        drawn = positions(made, knob)
        assert min(drawn) >= 0.0 and max(drawn) <= 1.0 and len(set(drawn)) == 8
    assert {row.level_db for row in made.rows.values()} == {0.0}


def test_knobs_stand_still_make_a_grid_or_are_drawn_from_a_range(folder: Path) -> None:
    device = '[[device]]\ncircuit = "clipper.cir"\ntakes = 1\n'
    grid = plan(folder, device + "knobs = { gain = [0, 0.5, 1], tone = [0.2, 0.4] }")
    assert [tuple(row.knobs.values()) for row in grid.rows.values()] == [
        (gain, tone) for gain in (0.0, 0.5, 1.0) for tone in (0.2, 0.4)
    ]
    still = plan(folder, device + "knobs = { gain = 1, tone = 0.25 }")
    assert positions(still, "gain") == [1.0] and positions(still, "tone") == [0.25]
    drawn = plan(folder, device + "count = 300\nknobs = { gain = { from = 0.2, to = 0.4 }, tone = [0, 1] }")
    assert len(drawn.rows) == 600 and len(set(positions(drawn, "gain"))) > 250
    assert 0.2 <= min(positions(drawn, "gain")) < 0.21 and 0.39 < max(positions(drawn, "gain")) <= 0.4
    assert abs(np.mean(positions(drawn, "gain")) - 0.3) < 0.01


def test_a_sweep_moves_one_knob_while_the_others_are_drawn(folder: Path) -> None:
    made = plan(folder, '[[device]]\ncircuit = "clipper.cir"\ntakes = 1\nsweep = ["gain"]\nsteps = 5\ncount = 3\n')
    assert positions(made, "gain") == [0.0, 0.25, 0.5, 0.75, 1.0] * 3
    tones = positions(made, "tone")
    assert [len(set(tones[start : start + 5])) for start in (0, 5, 10)] == [1, 1, 1] and len(set(tones)) == 3
    text = '[[device]]\ncircuit = "clipper.cir"\ntakes = 1\nsweep = ["gain", "tone"]\nsteps = 3\ncount = 2\n'
    both = plan(folder, text + "knobs.tone = { from = 0.5, to = 1 }")
    assert len(both.rows) == 12 and sorted(set(positions(both, "tone")[6:])) == [0.5, 0.75, 1.0]


def test_takes_are_dealt_to_the_settings_and_levels_multiply(folder: Path) -> None:
    text = 'takes = [7, 8, 9]\n[[device]]\ncircuit = "clipper.cir"\ncount = 4\ntakes_per_setting = 2\n'
    made = plan(folder, text + "levels_db = [-6, 6]")
    assert len(made.rows) == 4 * 2 * 2
    assert [row.take.di.seed for row in made.rows.values()][::2] == [7, 8, 9, 7, 8, 9, 7, 8]
    drawn = plan(folder, text + "levels_db = { from = -12, to = 3 }")
    levels = [row.level_db for row in drawn.rows.values()]
    assert len(set(levels)) == 8 and min(levels) >= -12 and max(levels) <= 3
    of_all = plan(folder, "levels_db = [3]\ncount = 2\n" + text.replace("count = 4\n", ""))
    assert len(of_all.rows) == 4 and {row.level_db for row in of_all.rows.values()} == {3.0}


def test_a_plan_that_grows_keeps_its_rows(folder: Path) -> None:
    one = plan(folder, 'seed = 5\n[[device]]\ncircuit = "clipper.cir"\ncount = 3\ntakes = 2')
    device = '[[device]]\ncircuit = "tube_screamer"\n[[device]]\ncircuit = "clipper.cir"\ncount = 6\ntakes = 3\n'
    more = plan(folder, "seed = 5\ntakes = 6\n" + device)
    assert one.rows.keys() < more.rows.keys()
    other = plan(folder, "seed = 6\ntakes = 6\n" + device)
    assert not more.rows.keys() & other.rows.keys()


def test_what_decides_the_sound_decides_the_name_and_comments_do_not(folder: Path) -> None:
    text = '[[device]]\ncircuit = "clipper.cir"\ncount = 1\n'
    rows = plan(folder, text).rows.keys()
    (folder / "clipper.cir").write_text("* a comment\n.device Clipper\n" + CLIPPER)
    assert plan(folder, text).rows.keys() == rows
    for changed in (text + 'name = "other"', "oversampling = 4\n" + text, "seconds = 9\n" + text):
        assert not plan(folder, changed).rows.keys() & rows
    (folder / "clipper.cir").write_text(CLIPPER.replace("100k", "101k"))
    assert not plan(folder, text).rows.keys() & rows


def test_a_device_twice_has_other_draws_and_the_same_row_is_made_once(folder: Path) -> None:
    twice = plan(folder, '[[device]]\ncircuit = "clipper.cir"\ncount = 3\n' * 2)
    assert len(twice.rows) == 2 * 3 * 4
    same = plan(folder, '[[device]]\ncircuit = "clipper.cir"\nknobs = { gain = 0, tone = 0 }\n' * 2)
    assert len(same.rows) == 4


def test_recordings_are_cut_into_takes(folder: Path) -> None:
    write(folder / "di.wav", guitar(5.0, rate_hz=44100), 44100)
    text = 'seconds = 2\n[[di]]\npath = "di.wav"\nvolts_per_full_scale = 1.4\n[[device]]\ncircuit = "clipper.cir"\n'
    made = plan(folder, text + "knobs = { gain = 0, tone = 0 }")
    assert [(row.take.start_frame, row.take.frames) for row in made.rows.values()] == [(0, 96000), (96000, 96000)]
    (di,) = made.dis
    assert di.guitar == "di" and di.seed is None and di.frames == 240000
    assert len(plan(folder, "takes = 3\n" + text + "count = 1").dis) == 4
    long = plan(folder, text.replace("seconds = 2", "seconds = 9") + "count = 1")
    assert [row.take.frames for row in long.rows.values()] == [240000]


def test_guitars_are_chosen_by_name_in_turn_or_drawn(folder: Path) -> None:
    text = 'takes = 3\n[[device]]\ncircuit = "clipper.cir"\ncount = 1\n'
    named = plan(folder, 'guitars = ["bass", "p90"]\n' + text)
    assert [di.guitar for di in named.dis] == ["bass", "p90", "bass"]
    assert named.dis[0].facts["tuning"] == "E1 A1 D2 G2" and named.dis[0].facts["bass"] == "yes"
    drawn = plan(folder, text)
    assert {di.id for di in named.dis}.isdisjoint(di.id for di in drawn.dis)
    assert all(di.guitar in GUITARS for di in drawn.dis)


def test_the_example_has_ten_devices_and_twenty_minutes() -> None:
    example = read_plan(Path(circuits.__file__).parents[1] / "dataset" / "example.toml")
    assert len(example.devices) == 10 and example.seconds == 20 * 60.0


def test_seeds_of_takes_differ_between_plans() -> None:
    assert len({take_seed(seed, number) for seed in range(20) for number in range(50)}) == 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "plan.toml:1: there is no [[device]]"),
        ("seed = \n", "plan.toml:1: not TOML: Invalid value"),
        ("a = 1\n[[device]\n", "plan.toml:2: not TOML: "),
        ('\nsecond = 3\n[[device]]\ncircuit = "clipper.cir"', "plan.toml:2: unknown key 'second': there is seed, "),
        ('seed = -1\n[[device]]\ncircuit = "clipper.cir"', "plan.toml:1: seed = -1 is outside 0 to "),
        ('seed = 1.5\n[[device]]\ncircuit = "clipper.cir"', "plan.toml:1: seed should be a whole number, not 1.5"),
        ('seconds = "x"\n[[device]]\ncircuit = "clipper.cir"', "plan.toml:1: seconds should be a number, not 'x'"),
        ('seconds = 0.5\n[[device]]\ncircuit = "clipper.cir"', "plan.toml:1: seconds = 0.5 is outside 1 to 3600"),
        ('takes = 0\n[[device]]\ncircuit = "clipper.cir"', "plan.toml:1: there is no take to play"),
        ('takes = [\n1,\n-2]\n[[device]]\ncircuit = "clipper.cir"', "plan.toml:3: takes = -2 is outside 0 to "),
        ('takes = [1, true]\n[[device]]\ncircuit = "clipper.cir"', "plan.toml:1: takes should be a list of whole"),
        ('guitars = [\n"kazoo"]\n[[device]]\ncircuit = "clipper.cir"', "plan.toml:2: no guitar is named 'kazoo'"),
        ('count = 0\n[[device]]\ncircuit = "clipper.cir"', "plan.toml:1: count = 0 is outside 1 to 1e+06"),
        ('levels_db = [0, 90]\n[[device]]\ncircuit = "clipper.cir"', "plan.toml:1: levels_db = 90 is outside -60 to"),
        ("device = 3", "plan.toml:1: write device as [[device]]"),
        ("[[device]]\ncount = 3", "plan.toml:1: circuit is missing"),
        ('[[device]]\ncircuit = "kazoo"', "plan.toml:2: no circuit named 'kazoo': there is "),
        ('[[device]]\n\ncircuit = "kazoo.cir"', "plan.toml:3: kazoo.cir: cannot be read as a netlist"),
        ('[[device]]\ncircuit = "clipper.cir"\ncolour = 1', "plan.toml:3: unknown key 'colour': there is circuit, "),
        (
            '[[device]]\ncircuit = "clipper.cir"\nknobs.bass = 0.5',
            "plan.toml:3: clipper has no knob 'bass': it has gain,",
        ),
        (
            '[[device]]\ncircuit = "clipper.cir"\n[device.knobs]\n\ngain = 1.2',
            "plan.toml:5: gain = 1.2 is outside 0 to 1",
        ),
        (
            '[[device]]\ncircuit = "clipper.cir"\nknobs = { gain = nan }',
            "plan.toml:3: gain should be a number, not nan",
        ),
        (
            '[[device]]\ncircuit = "clipper.cir"\nknobs.gain = [\n0.1,\n-0.1]',
            "plan.toml:5: gain = -0.1 is outside 0 to",
        ),
        (
            '[[device]]\ncircuit = "clipper.cir"\nknobs.gain = "loud"',
            "plan.toml:3: gain should be a number, not 'loud'",
        ),
        ('[[device]]\ncircuit = "clipper.cir"\nknobs.gain = []', "plan.toml:3: gain has no position"),
        (
            '[[device]]\ncircuit = "clipper.cir"\nknobs.gain = { from = 0.6, to = 0.6 }',
            "plan.toml:3: the range from 0.6 to 0.6 is empty",
        ),
        (
            '[[device]]\ncircuit = "clipper.cir"\nknobs.gain.form = 0.6',
            "plan.toml:3: unknown key 'form': there is from, to",
        ),
        ('[[device]]\ncircuit = "clipper.cir"\nsweep = ["gian"]', "plan.toml:3: clipper has no knob 'gian'"),
        ('[[device]]\ncircuit = "clipper.cir"\nsweep = "gain"', "plan.toml:3: sweep should be a list of texts"),
        (
            '[[device]]\ncircuit = "clipper.cir"\nsweep = ["gain"]\nknobs.gain = 0.1',
            "plan.toml:3: gain is swept: [device.knobs] may only give it a range",
        ),
        ('[[device]]\ncircuit = "clipper.cir"\nsweep = ["gain", "gain"]', "plan.toml:3: gain is swept twice"),
        ('[[device]]\ncircuit = "clipper.cir"\nsteps = 4', "plan.toml:3: steps is for sweep, which is missing"),
        ('[[device]]\ncircuit = "clipper.cir"\nsweep = ["gain"]\nsteps = 1', "plan.toml:4: steps = 1 is outside 2 to"),
        (
            '[[device]]\ncircuit = "clipper.cir"\ncount = 2\nknobs = { gain = 0, tone = [0, 1] }',
            "plan.toml:3: count is for knobs that are drawn, and none is",
        ),
        ('[[device]]\ncircuit = "clipper.cir"\ntakes = 5', "plan.toml:3: takes = 5 is outside 1 to 4"),
        ('[[device]]\ncircuit = "clipper.cir"\nlevels_db = { from = 3 }', "plan.toml:3: to is missing"),
        ('[[device]]\ncircuit = "clipper.cir"\nname = " "', "plan.toml:3: name should be a text, not ' '"),
        (
            '[[device]]\ncircuit = "clipper.cir"\n[[device]]\ncircuit = "tube_screamer"\nname = "clipper"',
            "plan.toml:4: another device is named clipper already: give this one a name",
        ),
        ('[[di]]\npath = "none.wav"\nvolts_per_full_scale = 1', "plan.toml:2: none.wav: no such file"),
        ('[[di]]\npath = "clipper.cir"\nvolts_per_full_scale = 1', "plan.toml:2: clipper.cir: not a WAV or FLAC file"),
        ('[[di]]\npath = "di.wav"', "plan.toml:1: volts_per_full_scale is missing"),
        ('[[device]]\ncircuit = "floating.cir"', "floating.cir:12: node out_ is floating: nothing else connects to it"),
        ('[[device]]\ncircuit = "partless.cir"', "partless.cir:10: D1 has the unknown model 1N915"),
    ],
)
def test_a_bad_plan_is_one_line_that_says_where(folder: Path, text: str, message: str) -> None:
    (folder / "floating.cir").write_text(CLIPPER.replace("R3 out 0", "R3 out_ 0"))
    (folder / "partless.cir").write_text(CLIPPER.replace("D1 out 0 1N914", "D1 out 0 1N915"))
    assert complaint(folder, text).startswith(message)


def test_a_plan_that_is_not_there_or_no_text_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.toml: No such file"):
        read_plan(folder / "none.toml")
    (folder / "plan.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not a text in UTF-8"):
        read_plan(folder / "plan.toml")
