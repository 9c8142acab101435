"""Notebooks are percent scripts without functions or classes, paired with .ipynb files without outputs, and they run."""

import ast
import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from notebook_pairs import NOTEBOOKS, as_text, cells_of, notebook_of

SCRIPTS = sorted(NOTEBOOKS.glob("*.py"))
Seen = dict[str, Any]


@pytest.fixture
def run(facts_folder: Path, mlruns: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Seen]:
    """Run a notebook on the slice and its models; returns its names."""
    monkeypatch.setenv("RAPPORT_DATA_DIR", str(facts_folder.parent))
    monkeypatch.setenv("RAPPORT_MLRUNS_DIR", str(mlruns))
    return lambda name: runpy.run_path(str(NOTEBOOKS / f"{name}.py"))


def test_there_are_four() -> None:
    assert [path.stem for path in SCRIPTS] == ["bring_your_own_table", "first_look", "retrain_churn", "why_this_score"]
    assert [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))] == [path.stem for path in SCRIPTS]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_notebooks_are_thin(script: Path) -> None:
    tree = ast.parse(script.read_text())

    assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    assert cells_of(script.read_text())[0][0] == "markdown"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_pairs_have_the_same_cells_and_no_outputs(script: Path) -> None:
    text = script.with_suffix(".ipynb").read_text(encoding="utf-8")
    notebook = json.loads(text)

    assert text == as_text(notebook_of(script.read_text(encoding="utf-8")))  # else: python tests/notebook_pairs.py
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]] == cells_of(script.read_text())
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in notebook["cells"] if "outputs" in cell)


def test_cells_are_cut_where_the_marks_stand() -> None:
    assert cells_of("# %% [markdown]\n# # Title\n#\n# text\n\n# %%\nx = 1\n\ny = 2\n") == [
        ("markdown", "# Title\n\ntext"),
        ("code", "x = 1\n\ny = 2"),
    ]


def test_the_first_look_finds_the_members_at_risk(run: Callable[[str], Seen]) -> None:
    seen = run("first_look")

    assert set(seen["table"]["stage"]) <= {"new", "growing", "loyal", "at_risk", "dormant"}
    assert len(seen["at_risk"]) == 10
    assert seen["at_risk"]["churn_probability"].is_monotonic_decreasing
    assert seen["at_risk"]["churn_probability"].between(0, 1).all()


def test_churn_is_trained_again_and_compared(run: Callable[[str], Seen]) -> None:
    seen = run("retrain_churn")

    assert {"this model", "recency", "rfm_logistic", "bgnbd"} <= set(seen["figures"].index)
    assert all(gain.low < gain.value < gain.high for gain in seen["gains"].values())
    assert seen["both"].corr(method="spearman").loc["champion", "this model"] > 0.8


def test_a_score_is_explained_and_the_reasons_add_up(run: Callable[[str], Seen]) -> None:
    seen = run("why_this_score")

    assert [reason.code for reason in seen["english"]] == [reason.code for reason in seen["chinese"]]
    assert all(reason.sentence for reason in (*seen["english"], *seen["chinese"]))
    raw = seen["raw"]
    assert seen["explanation"].logit[0] == pytest.approx(np.log(raw / (1 - raw)), abs=1e-4)
    assert seen["scores"][seen["place"]] == seen["scores"][seen["active"]].max()


def test_a_table_of_ones_own_becomes_features(run: Callable[[str], Seen]) -> None:
    seen = run("bring_your_own_table")

    assert seen["report"].accepted == seen["report"].rows_in - seen["report"].quarantined - seen["report"].duplicates
    assert seen["report"].accepted > 3900
    assert len(seen["table"]) == seen["sales"]["card"].nunique()
