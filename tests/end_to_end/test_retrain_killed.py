"""Retraining is killed at each of its steps and run again; two run at once: the registry ends as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from front_door import ROOT
from odd_shops import OddShop, write_shop

from features.sources.mapped import import_mapped
from training.audit import entries
from training.evidence_files import read_evidence
from training.registry import registered_models, run_file

KILLED = -signal.SIGKILL
RETRAIN = ["retrain", "--models", "churn", "--json"]
MOMENTS = {
    "a snapshot is kept": ("os.rename", "snapshots/"),
    "a fit is kept": ("os.rename", "fitted/"),
    "a version is being registered": ("open", "artifacts/churn/models"),
    "the report is in the run, the version is not yet": ("open", "report/report.html"),
    "the gate has looked": ("open", "verdict.json"),
    "the run ends, its work is put away": ("shutil.rmtree", "snapshots"),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop of four months, for which BG/NBD alone is trained, in a moment."""
    folder = tmp_path_factory.mktemp("four months")
    mapping = write_shop(folder, OddShop(members=160, days=122, columns=("member", "at")))
    import_mapped(folder / "facts", mapping)
    for name in ("killed", "stopped"):
        (folder / name / "data").mkdir(parents=True)
        (folder / name / "data" / "facts").symlink_to(folder / "facts")
    return folder


@pytest.fixture(scope="module")
def ends(shop: Path) -> list[int]:
    """How they ended: a run killed at each of its steps and run again, then one that is stopped while another begins."""
    commands = [
        *({"argv": RETRAIN, "deed": "SIGKILL", "event": event, "where": where} for event, where in MOMENTS.values()),
        {"argv": RETRAIN},
        {"argv": RETRAIN, "deed": "SIGSTOP", "event": "os.rename", "where": "snapshots/"},
        {"argv": RETRAIN},
        {"argv": RETRAIN},
    ]
    for place, command in enumerate(commands):
        folder = shop / ("killed" if place <= len(MOMENTS) else "stopped")
        command["shop"] = {"RAPPORT_DATA_DIR": str(folder / "data"), "RAPPORT_MLRUNS_DIR": str(folder / "mlruns")}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAPPORT_TUNING_TRIALS": "0", "RAPPORT_NOW": "2024-05-03T06:00:00Z"}
    script = str(Path(__file__).with_name("killed_in_turn.py"))
    run = [sys.executable, script, json.dumps(commands)]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return list(json.loads(done.stdout))


def outcome(mlruns: Path) -> dict[str, Any]:
    """What a registry holds in the end."""
    versions = registered_models(mlruns)
    answers = [read_evidence(run_file(mlruns, v, "evidence/evidence.npz")).judged[-1].answer.tolist() for v in versions]
    return {
        "versions": [(v.label, v.aliases, v.sha256) for v in versions],
        "record": [(e.action, e.version, e.before, e.after, e.reason) for e in entries(mlruns)],
        "answers": answers,
    }


def test_killed_at_every_step_and_run_again_it_ends_as_one_that_was_not(shop: Path, ends: list[int]) -> None:
    assert ends[: len(MOMENTS) + 1] == [-signal.SIGKILL] * len(MOMENTS) + [0]

    assert outcome(shop / "killed" / "mlruns") == outcome(shop / "stopped" / "mlruns")
    (run,) = (shop / "killed" / "data" / "retrain").iterdir()
    assert [path.name for path in run.iterdir()] == ["state.json"]
    steps = {step["name"]: step["outcome"] for step in json.loads((run / "state.json").read_text())["record"]["steps"]}
    assert steps["fit churn bgnbd"] == steps["register churn bgnbd"] == steps["gate churn bgnbd"] == "reused"


def test_of_two_at_once_one_is_told_and_the_other_goes_on_and_the_same_again_keeps(shop: Path, ends: list[int]) -> None:
    assert ends[len(MOMENTS) + 1 :] == [0, 75, 10]
    assert [(v.label, v.aliases) for v in registered_models(shop / "stopped" / "mlruns")] == [("churn@1", ("champion",))]
