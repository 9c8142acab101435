"""A shop's own severities and thresholds: read strictly, and too many wrong rows stop the import."""

from typing import Any, get_args

import pytest
from purchase_rows import cleaned

from features.cleaning import RULES, CleaningReport, Policy, RuleCount, Severity, require_publishable
from features.cleaning_policy import ALWAYS_REMOVED
from features.errors import SourceError, TooMuchQuarantined


def test_an_empty_section_gives_the_defaults() -> None:
    policy = Policy.of({})

    assert policy == Policy()
    assert [policy.severity_of(rule) for rule in RULES] == [rule.action for rule in RULES]
    assert policy.max_quarantine_share == 0.25


def test_severities_and_thresholds_stand_side_by_side() -> None:
    policy = Policy.of({"below_cost": "quarantine", "below_cost_share": 0.9, "cancel_minutes": 30, "max_quarantine_share": 0.1})

    assert policy == Policy(
        severity={"below_cost": "quarantine"}, below_cost_share=0.9, cancel_minutes=30, max_quarantine_share=0.1
    )


@pytest.mark.parametrize(
    ("content", "said", "remedy"),
    [
        ({"below_costs": "note"}, "'below_costs' is unknown", "did you mean below_cost?"),
        ({"cancel_minute": 5}, "'cancel_minute' is unknown", "did you mean cancel_minutes?"),
        ({"severity": {}}, "'severity' is unknown", "known: malformed_id"),
        ({"below_cost": "quarantined"}, "'quarantined' is no severity", "did you mean quarantine?"),
        ({"below_cost": True}, "True is no severity", "known: quarantine, duplicate, note, off"),
        ({"below_cost": ["note"]}, "is no severity", ""),
        ({"malformed_id": "note"}, "facts cannot hold such rows", "quarantine and duplicate are possible"),
        ({"repeated_line": "off"}, "facts cannot hold such rows", "quarantine and duplicate are possible"),
        ({"cancel_minutes": 1.5}, "cancel_minutes = 1.5 is not a whole number from 0 on", ""),
        ({"cancel_minutes": True}, "is not a whole number", ""),
        ({"cancel_minutes": -1}, "is not a whole number", ""),
        ({"near_duplicate_seconds": 10**30}, "is not a whole number", ""),
        ({"huge_amount_cents": 0}, "is not a whole number from 1 on", ""),
        ({"below_cost_share": "0.9"}, "below_cost_share = '0.9' is not a number from 0 on", ""),
        ({"below_cost_share": float("nan")}, "is not a number", ""),
        ({"below_cost_share": float("inf")}, "is not a number", ""),
        ({"max_quarantine_share": 1.01}, "max_quarantine_share = 1.01 is not a number from 0 to 1", ""),
        ({"max_quarantine_share": False}, "is not a number", ""),
    ],
)
def test_what_cannot_be_used_is_answered_with_a_remedy(content: dict[str, Any], said: str, remedy: str) -> None:
    with pytest.raises(SourceError, match=r"^\[cleaning\]") as refused:
        Policy.of(content)

    assert said in str(refused.value)
    assert remedy in refused.value.remedy
    assert refused.value.exit_code == 3


def report(quarantined: int, rows_in: int) -> CleaningReport:
    rules = (
        RuleCount("empty_line", "quarantine", 1, ""),
        RuleCount("unreadable_net", "quarantine", quarantined - 1, ""),
        RuleCount("zero_value", "note", 99, ""),
    )
    return CleaningReport(rows_in, rows_in - quarantined, quarantined, 0, rules)


@pytest.mark.parametrize(("quarantined", "rows_in"), [(25, 100), (0, 0), (1, 4)])
def test_as_much_as_the_policy_allows_is_published(quarantined: int, rows_in: int) -> None:
    require_publishable(report(quarantined, rows_in), Policy())


def test_more_is_refused_and_the_worst_rules_are_named_with_their_rows() -> None:
    with pytest.raises(TooMuchQuarantined) as refused:
        require_publishable(report(2_600, 10_000), Policy())

    assert str(refused.value) == (
        "2,600 of 10,000 rows were quarantined (26.0%, allowed 25.0%): unreadable_net 2,599, empty_line 1"
    )
    assert "max_quarantine_share" in refused.value.remedy
    assert (refused.value.exit_code, refused.value.code) == (3, "too_much_quarantined")
    assert isinstance(refused.value, SourceError)


@pytest.mark.parametrize("severity", get_args(Severity))
def test_every_rule_can_have_every_severity_that_its_rows_allow(severity: Severity) -> None:
    rows = ({}, {"net_cents": -1}, {"item_id": "APPLE"}, {"net_cents": 0}, {"order_id": "o0"}, {"kind": "return"})
    removing = severity in ("quarantine", "duplicate")
    chosen = {rule.code: severity for rule in RULES if removing or rule.code not in ALWAYS_REMOVED}

    found = cleaned(*rows, policy=Policy(severity=chosen)).report

    assert found.rows_in == len(rows) == found.accepted + found.quarantined + found.duplicates
    assert {count.code: count.action for count in found.rules} == {
        rule.code: chosen.get(rule.code, rule.action) for rule in RULES if chosen.get(rule.code) != "off"
    }
