"""Settings of lists that a search found, kept as JSON by what was asked, so that they serve the nights after."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from training.lists.als import AlsSettings
from training.lists.catalogues import SourceSettings
from training.lists.settings import LIMITS, STEPS, ListSettings
from training.tuning import Search

logger = logging.getLogger(__name__)


def found_settings(search: Search, *, horizon_days: int, seed: int, find: Callable[[], ListSettings]) -> ListSettings:
    """What a search of this size found before, or finds now; without a folder nothing is kept."""
    path = _path(search.folder, horizon_days, search.trials, seed) if search.folder is not None else None
    if path is not None and path.is_file():
        return _read(path)
    found = find()
    for edge in found.at_edge:
        logger.warning("lists: best ALS setting on the edge of what is searched: %s", edge)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(_plain(found), indent=1))
        draft.replace(path)
    return found


def _path(folder: Path, horizon_days: int, trials: int, seed: int) -> Path:
    asked = {"horizon": horizon_days, "trials": trials, "seed": seed, "steps": STEPS, "limits": LIMITS, "by": "novel"}
    said = json.dumps({**asked, "from": asdict(AlsSettings())}, sort_keys=True)
    return folder / f"recommender-als-{hashlib.sha256(said.encode()).hexdigest()[:12]}.json"


def _plain(found: ListSettings) -> dict[str, object]:
    als = found.sources.als
    return {"als": asdict(als) if als else None, "tried": list(found.tried), "at_edge": list(found.at_edge)}


def _read(path: Path) -> ListSettings:
    content = json.loads(path.read_text())
    als = AlsSettings(**content["als"]) if content["als"] else None
    return ListSettings(SourceSettings(als=als), tried=tuple(content["tried"]), at_edge=tuple(content["at_edge"]))
