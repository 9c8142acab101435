"""Slices: every row in one label of each slice, and floors that only clear evidence falls through."""

from dataclasses import replace

import numpy as np
import pytest

from training.evaluation.metrics import expected_calibration_error
from training.evaluation.slices import below_floor, slice_figures
from training.evidence import Evidence


def with_answers(evidence: Evidence, change: object, *, stage: str) -> Evidence:
    """The same evidence with the answers of one stage changed."""
    judged = tuple(
        replace(one, answer=np.where(one.slices["stage"] == stage, change(one), one.answer))  # type: ignore[operator]
        for one in evidence.judged
    )
    return replace(evidence, judged=judged)


def test_every_row_is_in_one_label_of_every_slice(risk_evidence: Evidence) -> None:
    found = slice_figures(risk_evidence, baseline="recency", seed=1, draws=20)

    for name in ("stage", "tier"):
        assert sum(one.rows for one in found if one.name == name) == 2700
    assert [(one.name, one.label) for one in found] == sorted((one.name, one.label) for one in found)


def test_figures_of_a_slice_are_those_of_its_rows(risk_evidence: Evidence) -> None:
    gold = next(one for one in slice_figures(risk_evidence, baseline="recency", seed=1, draws=20) if one.label == "gold")
    parts = [one.where(one.slices["tier"] == "gold") for one in risk_evidence.judged]
    answer, truth = (np.concatenate([getattr(part, name) for part in parts]) for name in ("answer", "truth"))

    assert (gold.observed, gold.predicted) == (pytest.approx(truth.mean()), pytest.approx(answer.mean()))
    assert gold.gap.value == pytest.approx(answer.mean() - truth.mean())
    assert gold.ece == pytest.approx(expected_calibration_error(truth, answer))


def test_calibrated_evidence_lies_above_every_floor(risk_evidence: Evidence) -> None:
    assert below_floor(slice_figures(risk_evidence, baseline="bgnbd", seed=1, draws=100), "risk") == []


def test_a_slice_that_is_off_on_average_falls_below_its_floor_and_no_other_does(risk_evidence: Evidence) -> None:
    off = with_answers(risk_evidence, lambda one: np.clip(one.answer + 0.15, 0, 1), stage="loyal")

    found = below_floor([one for one in slice_figures(off, baseline=None, seed=1, draws=100) if one.name == "stage"], "risk")

    assert [one.label for one in found] == ["loyal"]
    assert "happened" in found[0].reason


def test_a_slice_ranked_worse_than_the_baseline_falls_below_its_floor(risk_evidence: Evidence) -> None:
    reversed_there = with_answers(risk_evidence, lambda one: one.answer[::-1], stage="at_risk")

    slices = slice_figures(reversed_there, baseline="bgnbd", seed=1, draws=100)
    found = below_floor([one for one in slices if one.name == "stage"], "risk", largest_gap=1.0)

    assert [one.label for one in found] == ["at_risk"]
    assert found[0].reason.startswith("ranks worse")


def test_too_few_rows_are_shown_and_not_judged(risk_evidence: Evidence) -> None:
    few = replace(risk_evidence, judged=tuple(one.where(np.arange(len(one)) % 30 == 0) for one in risk_evidence.judged))

    found = slice_figures(few, baseline="recency", seed=1, draws=20)

    assert found
    assert not any(one.enough for one in found)
    assert all(one.headline is None and one.ece is None for one in found)
    assert below_floor(found, "risk", largest_gap=0.0) == []


@pytest.mark.parametrize("model", ["tier", "value", "segments"])
def test_other_answers_have_slices_too(every_evidence: dict[str, Evidence], model: str) -> None:
    evidence = every_evidence[model]
    found = slice_figures(evidence, baseline=evidence.baselines[0], seed=1, draws=20)

    assert all(one.enough and one.headline is not None and one.gain is not None for one in found)
    assert all(one.gap.low <= one.gap.value <= one.gap.high for one in found)
