"""Notebooks are percent scripts without functions or classes, and they run."""

import ast
import runpy
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent.parent / "notebooks").glob("*.py"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_thin(notebook: Path) -> None:
    tree = ast.parse(notebook.read_text())

    assert "# %%" in notebook.read_text()
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]


def test_the_first_look_finds_the_members_at_risk(facts_folder: Path, mlruns: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_DATA_DIR", str(facts_folder.parent))
    monkeypatch.setenv("RAPPORT_MLRUNS_DIR", str(mlruns))

    seen = runpy.run_path(str(NOTEBOOKS[0]))

    assert set(seen["table"]["stage"]) <= {"new", "growing", "loyal", "at_risk", "dormant"}
    assert len(seen["at_risk"]) == 10
    assert seen["at_risk"]["churn_probability"].is_monotonic_decreasing
    assert seen["at_risk"]["churn_probability"].between(0, 1).all()
