"""Notebooks as pairs: a script in percent format, which is the one that is written, and an .ipynb with the same cells.

`python tests/notebook_pairs.py` writes the second from the first; a test holds them against each other.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
_CELL = re.compile(r"^# %%(?: \[(\w+)\])?\n", re.MULTILINE)


def cells_of(script: str) -> list[tuple[str, str]]:
    """Kind, code or markdown, and text of each cell of a percent script."""
    _, *parts = _CELL.split(script)
    found = []
    for kind, text in zip(parts[::2], parts[1::2], strict=True):
        lines = text.strip("\n").splitlines()
        markdown = [line.removeprefix("#").removeprefix(" ") for line in lines]
        found.append(("markdown", "\n".join(markdown)) if kind else ("code", "\n".join(lines)))
    return found


def notebook_of(script: str) -> dict[str, Any]:
    """The notebook with the cells of a script, without outputs."""
    return {
        "cells": [_cell(place, kind, text) for place, (kind, text) in enumerate(cells_of(script))],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def as_text(notebook: dict[str, Any]) -> str:
    """As it is written to disk."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _cell(place: int, kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{place}", "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell | {"execution_count": None, "outputs": []} if kind == "code" else cell


if __name__ == "__main__":
    for script in sorted(NOTEBOOKS.glob("*.py")):
        path = script.with_suffix(".ipynb")
        path.write_text(as_text(notebook_of(script.read_text(encoding="utf-8"))), encoding="utf-8")
        sys.stdout.write(f"wrote {path}\n")
