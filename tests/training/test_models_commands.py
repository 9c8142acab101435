"""`rapport models` through the front door: list, show, compare, promote, roll back, their JSON and exit codes; two at once."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from front_door import Answer, ended, start, stopped

import rapport
from training.audit import entries
from training.registry import resolve, version_of

Run = Callable[..., Answer]


@pytest.fixture
def run(churns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """The front door on a registry of three versions of churn, none of which serves."""
    monkeypatch.setenv("RAPPORT_MLRUNS_DIR", str(churns))
    monkeypatch.setenv("RAPPORT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RAPPORT_NOW", "2026-03-01T06:00:00Z")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["rapport", "models", *arguments])
        with pytest.raises(SystemExit) as ended:
            rapport.main()
        code = ended.value.code
        return Answer(code if isinstance(code, int) else 0, *capsys.readouterr())

    handler = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, handler)


def told(answer: Answer) -> dict[str, Any]:
    """A JSON answer."""
    return dict(json.loads(answer.out))


def force(run: Run, version: str) -> Answer:
    return run("promote", version, "--force", "--reason", "agreed", "--json")


def test_every_version_is_listed_with_how_to_open_mlflow(run: Run, churns: Path) -> None:
    for words in ((), ("list",)):
        assert [one["version"] for one in told(run(*words, "--json"))["models"]] == ["1", "2", "3"]
    page = run("list")
    assert page.code == 0
    assert f"mlflow ui --backend-store-uri sqlite:///{churns}/mlflow.db" in page.out.replace("\n", "")
    assert "churn@3" in page.out


def test_a_version_shows_where_it_came_from_and_what_became_of_it(run: Run) -> None:
    assert force(run, "churn@2").code == 0

    shown = told(run("show", "churn@2", "--json"))

    assert shown["model"]["aliases"] == ["champion"]
    assert shown["lineage"]["facts_hash"] == "made up"
    assert shown["metrics"]["auc"] == 0.7
    assert shown["baselines"]["recency"]["auc"] == 0.6
    assert [(e["action"], e["after"], e["reason"]) for e in shown["history"]] == [("forced", "2", "agreed")]
    assert told(run("show", "churn", "--json"))["model"]["version"] == "2"
    page = run("show", "churn@2")
    assert (page.code, "agreed" in page.out, "recency" in page.out) == (0, True, True)


def test_two_versions_are_compared_period_by_period(run: Run) -> None:
    periods = told(run("compare", "churn@3", "churn@1", "--json"))["periods"]

    assert [one["from"] for one in periods][-1] == "all"
    assert len(periods) == 4
    gain = periods[-1]["quality"]
    assert gain["low"] > 0  # churn@3 sees each risk through less noise
    assert gain["low"] < gain["value"] - gain["other"] < gain["high"]
    assert "better" in run("compare", "churn@3", "churn@1").out


def test_the_gate_is_asked_again_and_says_no_with_10(run: Run, churns: Path) -> None:
    assert told(run("promote", "churn@3", "--json"))["promoted"]

    answer = run("promote", "churn@1")

    assert answer.code == 10
    assert "the gate refuses churn@1: NO_GAIN_SHOWN" in answer.err
    assert "--force --reason" in answer.err
    assert [(e.action, e.version, e.after) for e in entries(churns)] == [("promoted", "3", "3"), ("kept", "1", "3")]


def test_by_force_it_needs_a_reason(run: Run, churns: Path) -> None:
    answer = run("promote", "churn@1", "--force")

    assert (answer.code, "--force needs a --reason" in answer.err) == (2, True)
    assert entries(churns) == []


def test_promoted_rolled_back_and_again_as_far_as_the_record_goes(run: Run, churns: Path) -> None:
    for version in ("churn@1", "churn@3"):
        assert told(force(run, version))["promoted"]
    assert told(force(run, "churn@3")) == {"model": "churn", "champion": "3", "promoted": False}

    back = told(run("rollback", "churn", "--reason", "scores look wrong", "--json"))
    assert (back["before"], back["after"], back["reason"]) == ("3", "1", "scores look wrong")
    assert resolve(churns, "churn").version == "1"

    again = run("rollback", "churn")
    assert (again.code, "churn@1 is the first champion on record" in again.err) == (4, True)


@pytest.mark.parametrize("words", [("show", "churn@9"), ("show", "weather"), ("promote", "churn@9"), ("rollback", "weather")])
def test_what_is_not_there_is_said_with_4(run: Run, words: tuple[str, ...]) -> None:
    answer = run(*words)

    assert answer.code == 4
    assert words[1].partition("@")[0] in answer.err


def test_of_two_promotions_at_once_the_first_wins_and_the_other_is_told_with_75(run: Run, churns: Path, tmp_path: Path) -> None:
    """One stops after it has looked who is champion; meanwhile another is promoted."""
    by_force = ("--force", "--reason", "both", "--json")
    manifest = str(version_of(churns, "churn", "2").bundle / "manifest.json")
    slow = start(tmp_path, "SIGSTOP", "open", manifest, "models", "promote", "churn@2", *by_force)
    stopped(slow)

    assert force(run, "churn@3").code == 0
    os.kill(slow.pid, signal.SIGCONT)
    answer = ended(slow)

    assert answer.code == 75
    assert "the champion is version 3 by now" in answer.err
    assert [entry.after for entry in entries(churns)] == ["3"]
    assert resolve(churns, "churn").version == "3"
