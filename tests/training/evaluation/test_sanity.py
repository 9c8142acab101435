"""Sanity checks: good evidence passes, and each planted fault is found by its own code."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from features.days import calendar_day
from features.errors import EvidenceRefused
from training.evaluation.sanity import FEWEST_ROWS, require_sane, sanity, without_thin
from training.evaluation.summary import summarise
from training.evidence import Evidence, Judged
from training.periods import Period


def changed(evidence: Evidence, change: Callable[[Judged], Judged]) -> Evidence:
    return replace(evidence, judged=(*evidence.judged[:-1], change(evidence.judged[-1])))


def with_nan(one: Judged) -> Judged:
    answer = one.answer.copy()
    answer[3] = np.nan
    return replace(one, answer=answer)


def twice(one: Judged) -> Judged:
    return one.where(np.array([0, *range(len(one))]))


def too_early(one: Judged) -> Judged:
    period = one.period
    return replace(one, period=Period(28, period.train, period.validation, period.test - 10, period.test))


FAULTS: dict[str, Callable[[Judged], Judged]] = {
    "NOT_A_NUMBER": with_nan,
    "SINGLE_CLASS": lambda one: replace(one, truth=np.zeros(len(one), dtype=np.bool_)),
    "TOO_FEW_ROWS": lambda one: one.where(np.arange(40)),
    "CONSTANT": lambda one: replace(one, answer=np.full(len(one), 0.3)),
    "OUT_OF_RANGE": lambda one: replace(one, answer=one.answer * 1.5),
    "INVERTED": lambda one: replace(one, answer=1 - one.answer),
    "TOO_GOOD": lambda one: replace(one, answer=np.where(one.truth, 0.9, 0.1) + one.answer * 0.01),
    "MEMBER_TWICE": twice,
    "WINDOWS_OVERLAP": too_early,
}


def test_good_evidence_of_every_kind_passes(every_evidence: dict[str, Evidence]) -> None:
    for evidence in every_evidence.values():
        last = evidence.judged[-1].period
        assert sanity(evidence, until_day=last.test + last.horizon_days) == []


@pytest.mark.parametrize("code", FAULTS)
def test_a_fault_is_found_by_its_own_code_and_nothing_else_is(risk_evidence: Evidence, code: str) -> None:
    faulty = changed(risk_evidence, FAULTS[code])

    assert {finding.code for finding in sanity(faulty)} == {code}
    with pytest.raises(EvidenceRefused, match=code):
        require_sane(faulty)
    with pytest.raises(EvidenceRefused, match=code):
        summarise(faulty)


def test_a_horizon_that_has_not_passed(risk_evidence: Evidence) -> None:
    until = risk_evidence.judged[-1].period.test + 27

    assert [finding.code for finding in sanity(risk_evidence, until_day=until)] == ["HORIZON_NOT_PASSED"]
    assert sanity(risk_evidence, until_day=until + 1) == []


def test_a_broken_baseline_is_named(risk_evidence: Evidence) -> None:
    faulty = changed(risk_evidence, lambda one: replace(one, others={"recency": np.full(len(one), np.inf)}))

    assert "the baseline recency" in sanity(faulty)[0].message


def test_no_period_is_a_finding(risk_evidence: Evidence) -> None:
    assert [finding.code for finding in sanity(replace(risk_evidence, judged=()))] == ["NO_PERIOD"]


def test_probabilities_of_tiers_that_do_not_sum_to_one(every_evidence: dict[str, Evidence]) -> None:
    faulty = changed(every_evidence["tier"], lambda one: replace(one, answer=one.answer * 0.9))

    assert [finding.code for finding in sanity(faulty)] == ["OUT_OF_RANGE"]


def test_an_interval_that_ends_before_it_begins(every_evidence: dict[str, Evidence]) -> None:
    faulty = changed(every_evidence["value"], lambda one: replace(one, low=one.high, high=one.low))

    assert [finding.code for finding in sanity(faulty)] == ["OUT_OF_RANGE"]


def test_a_message_holds_no_member(risk_evidence: Evidence) -> None:
    for change in FAULTS.values():
        assert not any("m0" in finding.message for finding in sanity(changed(risk_evidence, change)))


def test_thin_windows_are_left_out_where_others_are_there(risk_evidence: Evidence) -> None:
    thin = changed(risk_evidence, FAULTS["TOO_FEW_ROWS"])
    kept, words = without_thin(replace(thin, further=(thin, replace(thin, judged=thin.judged[-1:]))))

    assert [one.period.test for one in kept.judged] == [one.period.test for one in risk_evidence.judged[:-1]]
    assert words == [f"test window of {calendar_day(thin.judged[-1].period.test)}: 40 rows, fewer than {FEWEST_ROWS}"]
    assert [len(other.judged) for other in kept.further] == [len(thin.judged) - 1]
    assert sanity(kept) == []
    assert without_thin(risk_evidence) == (risk_evidence, [])


def test_where_every_window_is_thin_the_remedy_is_more_members(risk_evidence: Evidence) -> None:
    thin = replace(risk_evidence, judged=tuple(FAULTS["TOO_FEW_ROWS"](one) for one in risk_evidence.judged))

    assert without_thin(thin)[0].judged == thin.judged
    with pytest.raises(EvidenceRefused) as raised:
        require_sane(without_thin(thin)[0])
    assert "more members" in str(raised.value.remedy)
