"""The page of an audition: a row of players a pair, of which one plays at a time."""

import html
import math

from training.audition import GUITAR, Audition, Pair, Take
from training.eq_block import SAMPLE_RATE_HZ
from training.levels import brightness_hz, crest_db, level_dbfs

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 84rem; margin: 2rem auto; padding: 0 1.2rem; color: #1d2329; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p.lead { color: #57606a; margin-top: .2rem; } audio { width: 100%; height: 2.4rem; }
.first { color: #2b6cb0; } .second { color: #c26a12; }
.players { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem; }
.players div { border: 1px solid #e3e6e9; border-top: .35rem solid color-mix(in oklab, #2b6cb0, #e08e2b var(--mix));
  border-radius: .5rem; padding: .4rem .6rem .6rem; }
.players div.beyond { border-top-style: dashed; }
.players div.playing { background: #f3f6f9; box-shadow: 0 0 0 2px #1d2329; }
.players p { display: flex; justify-content: space-between; align-items: baseline; margin: 0 0 .2rem; color: #57606a; }
.players b { font-size: 1.25rem; color: #1d2329; }
.guitar { max-width: 26rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { text-align: right; padding: .35rem .6rem; font-weight: normal; } th[scope] { text-align: left; }
thead th { font-weight: 600; } tr { border-bottom: 1px solid #e3e6e9; } tbody th:last-of-type { color: #57606a; }
"""

# Within a pair, a player goes on where the one before was; a play event comes before anything is heard.
_SCRIPT = """
const players = [...document.querySelectorAll("audio")];
for (const player of players) {
  const row = player.closest("section"), cell = player.parentElement;
  player.addEventListener("play", () => {
    for (const other of players) if (other !== player) other.pause();
    if (row.heard && row.heard !== player) player.currentTime = row.heard.currentTime;
    row.heard = player;
    cell.classList.add("playing");
  });
  player.addEventListener("pause", () => cell.classList.remove("playing"));
}
"""


def page(audition: Audition) -> str:
    """The whole page, which plays the files beside it."""
    names = dict.fromkeys(name for pair in audition.pairs for name in (pair.first, pair.second))
    title = html.escape(f"Between {', '.join(names)}")
    sections = [
        f"<h1>{title}</h1><p class='lead'>{html.escape(_told(audition))}</p>",
        f"<section><h2>Dry guitar</h2><div class='guitar'>{_audio(GUITAR)}</div></section>",
        *(_players(pair) for pair in audition.pairs),
        "<h2>Levels</h2>",
        _table(audition),
    ]
    body = "\n".join(sections)
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>{title}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n<script>{_SCRIPT}</script>\n</body></html>\n"
    )


def _told(audition: Audition) -> str:
    seconds = len(audition.guitar) / SAMPLE_RATE_HZ
    place = "without a cabinet" if audition.cabinet is None else f"all through the cabinet {audition.cabinet}"
    level = "Loudness goes evenly from one to the other" if audition.even else "Levels are blended like all else"
    told = (
        f"{seconds:.1f} s of guitar, {place}. 0 is the first amp of a pair and 1 the second; outside, what differs "
        f"between them grows. {level}. Start another player of a row: it goes on where the one before was."
    )
    if audition.gain < 1:
        told += f" All are {-20 * math.log10(audition.gain):.1f} dB quieter than they came out, so that none clips."
    return told


def _players(pair: Pair) -> str:
    first, second = html.escape(pair.first), html.escape(pair.second)
    cells = "\n".join(_player(pair, take) for take in pair.takes)
    return (
        f"<section><h2><span class='first'>{first}</span> → <span class='second'>{second}</span></h2>\n"
        f"<div class='players'>\n{cells}\n</div></section>"
    )


def _player(pair: Pair, take: Take) -> str:
    beyond = "" if 0 <= take.alpha <= 1 else " class='beyond'"
    mix = 100 * min(max(take.alpha, 0.0), 1.0)
    amp = html.escape({0.0: pair.first, 1.0: pair.second}.get(take.alpha, ""))
    return (
        f"<div{beyond} style='--mix: {mix:g}%'><p><b>{_signed(f'{take.alpha:g}')}</b> {amp}</p>"
        f"{_audio(take.file)}</div>"
    )


def _audio(file: str) -> str:
    return f"<audio controls controlslist='nodownload noplaybackrate' loop preload='auto' src='{file}'></audio>"


def _table(audition: Audition) -> str:
    """Three rows a pair, a column an alpha."""
    alphas = "".join(f"<th>{_signed(f'{take.alpha:g}')}</th>" for take in audition.pairs[0].takes)
    rows = [f"<thead><tr><th scope='col'>pair</th><th scope='col'></th>{alphas}</tr></thead><tbody>"]
    for pair in audition.pairs:
        name = html.escape(f"{pair.first} → {pair.second}")
        takes = [take.samples for take in pair.takes]
        figures = {
            "RMS, dBFS": [f"{level_dbfs(samples):.1f}" for samples in takes],
            "crest, dB": [f"{crest_db(samples):.1f}" for samples in takes],
            "mean frequency, Hz": [f"{brightness_hz(samples, SAMPLE_RATE_HZ):.0f}" for samples in takes],
        }
        for index, (what, numbers) in enumerate(figures.items()):
            head = f"<th scope='row' rowspan='3'>{name}</th>" if index == 0 else ""
            cells = "".join(f"<td>{_signed(number)}</td>" for number in numbers)
            rows.append(f"<tr>{head}<th scope='row'>{what}</th>{cells}</tr>")
    return f"<table>{''.join(rows)}</tbody></table>"


def _signed(number: str) -> str:
    return number.replace("-", "−")
