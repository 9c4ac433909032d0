"""Targets rtneural, aidax and proteus: the float model in the files that other people's players load.

The players begin from the zero state, not from rest: where the two differ, so do the first moments.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export import aidax, proteus, rtneural
from training.files import written_aside
from training.model_file import Model


@dataclass(frozen=True)
class Player:
    """A file format. `document` raises InputError for a model that it cannot hold; `warning` is one line or None."""

    title: str
    suffix: str
    document: Callable[[Model], dict[str, Any]]
    warning: Callable[[Model], str | None] = lambda model: None


PLAYERS = {
    "rtneural": Player("RTNeural", ".rtneural.json", rtneural.document),
    "aidax": Player("AIDA-X", ".aidax", aidax.document, aidax.warning),
    "proteus": Player("Proteus", ".proteus.json", proteus.document, proteus.warning),
}


def write(target: str, model: Model, base: Path) -> Path:
    """Write the file of `model` for `target`, beside `base` with its own suffix; its path."""
    player = PLAYERS[target]
    path = base.with_name(f"{base.name}{player.suffix}")
    contents = json.dumps(player.document(model))
    with written_aside(path) as scratch:
        scratch.write_text(contents)
    return path
