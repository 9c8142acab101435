"""Erased members taken out of evidence and of a killed run's work; what is left is still compared row by row."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from made_up_evidence import risk_judged

from commands.members import MemberJobs
from features.erasures import Erasures
from features.jobs import only_run
from features.settings import Settings
from training.erase_evidence import erase_from_evidence, without
from training.evidence import Evidence
from training.evidence_files import EVIDENCE, evidence_bytes, read_evidence
from training.gate.comparison import beside

AT = datetime(2024, 1, 1, tzinfo=UTC)
GONE = {"m0003", "m0700"}


@pytest.fixture
def evidence() -> Evidence:
    return Evidence("churn", "xgboost", {"horizon_days": 28}, tuple(risk_judged(number) for number in range(3)), {"seed": 7})


@pytest.fixture
def settings(tmp_path: Path, evidence: Evidence) -> Settings:
    """A registry with evidence, and what a killed retraining left."""
    for run in ("a", "b"):
        folder = tmp_path / "mlruns" / "artifacts" / "churn" / run / "artifacts" / "evidence"
        folder.mkdir(parents=True)
        (folder / EVIDENCE).write_bytes(evidence_bytes(evidence))
    work = tmp_path / "data" / "retrain" / "key"
    (work / "snapshots").mkdir(parents=True)
    (work / "state.json").write_text("{}")
    np.savez(work / "snapshots" / "17532.npz", allow_pickle=False, member_ids=np.array(sorted(GONE)))
    return Settings(data_dir=tmp_path / "data", mlruns_dir=tmp_path / "mlruns")


def evidence_files(settings: Settings) -> list[Path]:
    return sorted(settings.mlruns_dir.rglob(EVIDENCE))


def test_their_rows_are_gone_and_all_others_stand_as_they_were(settings: Settings, evidence: Evidence) -> None:
    erased = erase_from_evidence(settings.mlruns_dir, settings.data_dir / "retrain", GONE)
    assert (erased.rows, erased.unreadable, erased.dropped) == (2 * 3 * len(GONE), (), 1)
    for path in evidence_files(settings):
        left = read_evidence(path)
        assert evidence_bytes(left) == evidence_bytes(without(evidence, GONE))
        for one, other in zip(evidence.judged, left.judged, strict=True):
            kept = ~np.isin(one.member_ids, list(GONE))
            assert len(other) == len(one) - len(GONE)
            np.testing.assert_array_equal(other.answer, one.answer[kept])
            np.testing.assert_array_equal(other.slices["tier"], one.slices["tier"][kept])
    assert [path.name for path in (settings.data_dir / "retrain" / "key").iterdir()] == ["state.json"]
    assert not erase_from_evidence(settings.mlruns_dir, settings.data_dir / "retrain", GONE).rows


def test_a_challenger_trained_after_an_erasure_is_compared_with_the_champion_before(
    settings: Settings, evidence: Evidence
) -> None:
    challenger = without(evidence, GONE)  # made from facts that know them no longer
    path = evidence_files(settings)[0]
    assert not beside(challenger, read_evidence(path))
    erase_from_evidence(settings.mlruns_dir, settings.data_dir / "retrain", GONE)
    assert len(beside(challenger, read_evidence(path))) == 3


def test_evidence_that_cannot_be_read_is_told_and_stops_nothing(settings: Settings) -> None:
    bad, good = evidence_files(settings)
    bad.write_bytes(bad.read_bytes()[:-200])
    erased = erase_from_evidence(settings.mlruns_dir, settings.data_dir / "retrain", GONE)
    assert erased.unreadable == (bad,)
    assert not set(read_evidence(good).judged[0].member_ids) & GONE


def test_while_a_training_runs_the_erasure_stays_owed(settings: Settings) -> None:
    Erasures(settings.data_dir).request("m0003", at=AT, by="operator")
    jobs = MemberJobs(settings, as_json=True)
    with only_run(settings, "train"):
        jobs.erase_owed()
        assert [erasure.member_id for erasure in Erasures(settings.data_dir).owed()] == ["m0003"]
    assert jobs.erase_owed()["evidence_rows"] == 6
    assert Erasures(settings.data_dir).owed() == []
