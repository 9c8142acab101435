"""A shop's own severities and thresholds of the cleaning, as the section [cleaning] of its mapping gives them.

[cleaning]
below_cost = "quarantine"
below_cost_share = 0.9
near_duplicate_order = "off"
max_quarantine_share = 0.1
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from features.cleaning_groups import GROUP_RULES, GroupRule
from features.cleaning_report import CleaningReport
from features.cleaning_rules import ODD_ROWS, WRONG_ROWS, Limits, RowRule
from features.errors import SourceError, TooMuchQuarantined

Severity = Literal["quarantine", "duplicate", "note", "off"]
DEFAULTS: Mapping[str, Severity] = {rule.code: rule.action for rule in (*WRONG_ROWS, *GROUP_RULES, *ODD_ROWS)}
ALWAYS_REMOVED = frozenset({"malformed_id", "repeated_line"})
"""Rows that facts cannot hold: ids that steer the store, and a second row under the key of another."""
WHOLE = {"huge_amount_cents": 1, "near_duplicate_seconds": 0, "cancel_minutes": 0}
"""Thresholds in whole numbers, and the smallest that has a meaning."""


@dataclass(frozen=True, kw_only=True)
class Policy(Limits):
    """How strict the cleaning is. `severity` names only the rules that differ from their own action.

    Raises
    ------
    SourceError
        A rule or severity is unknown, a threshold is no number in its range, or a rule that must remove rows would not.
    """

    severity: Mapping[str, Severity] = field(default_factory=dict)
    max_quarantine_share: float = 0.25

    def __post_init__(self) -> None:
        for code, severity in self.severity.items():
            _check_severity(code, severity)
        for name, least in WHOLE.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value < 2**53:
                raise SourceError(f"[cleaning] {name} = {value!r} is not a whole number from {least} on")
        _check_number("below_cost_share", self.below_cost_share, most=math.inf)
        _check_number("max_quarantine_share", self.max_quarantine_share, most=1.0)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Policy":
        """The policy that a mapping's section [cleaning] describes; an empty section gives the defaults.

        Raises
        ------
        SourceError
            A name is unknown (the nearest known one is told), or a value cannot be used.
        """
        thresholds = (*WHOLE, "below_cost_share", "max_quarantine_share")
        for name in content:
            if name not in DEFAULTS and name not in thresholds:
                raise _unknown(f"[cleaning]: {name!r} is unknown", name, (*DEFAULTS, *thresholds))
        return cls(
            severity={name: value for name, value in content.items() if name in DEFAULTS},
            **{name: value for name, value in content.items() if name in thresholds},
        )

    def severity_of(self, rule: RowRule | GroupRule) -> Severity:
        """What is done about a rule's rows: the rule's own action, where the shop says nothing else."""
        return self.severity.get(rule.code, rule.action)


def require_publishable(report: CleaningReport, policy: Policy) -> None:
    """Refuse facts of which too many rows were set aside as wrong: then it is the reading that is wrong, or the source.

    Raises
    ------
    TooMuchQuarantined
        The share is above the policy's; the message names the rules that claimed most.
    """
    if report.quarantined_share <= policy.max_quarantine_share:
        return
    worst = sorted((c for c in report.rules if c.action == "quarantine" and c.rows), key=lambda count: -count.rows)
    named = ", ".join(f"{count.code} {count.rows:,}" for count in worst[:5])
    raise TooMuchQuarantined(
        f"{report.quarantined:,} of {report.rows_in:,} rows were quarantined ({report.quarantined_share:.1%}, "
        f"allowed {policy.max_quarantine_share:.1%}): {named}",
        remedy="correct the source or its mapping; if the rows are as they should be, set max_quarantine_share or the "
        "rules' severity under [cleaning] (docs/cleaning.md)",
    )


def _check_severity(code: str, severity: object) -> None:
    if code not in DEFAULTS:
        raise _unknown(f"[cleaning]: there is no rule {code!r}", code, tuple(DEFAULTS))
    known = get_args(Severity)
    if severity not in known:
        raise _unknown(f"[cleaning] {code} = {severity!r} is no severity", str(severity), known)
    if code in ALWAYS_REMOVED and severity not in ("quarantine", "duplicate"):
        raise SourceError(
            f"[cleaning] {code} = {severity!r}: facts cannot hold such rows", remedy="quarantine and duplicate are possible"
        )


def _check_number(name: str, value: object, *, most: float) -> None:
    number = not isinstance(value, bool) and isinstance(value, int | float)
    if not (number and math.isfinite(float(str(value))) and 0 <= float(str(value)) <= most):
        raise SourceError(f"[cleaning] {name} = {value!r} is not a number from 0 {'on' if math.isinf(most) else 'to 1'}")


def _unknown(message: str, name: str, known: tuple[str, ...]) -> SourceError:
    near = difflib.get_close_matches(name, known, n=1)
    return SourceError(message, remedy=f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}")
