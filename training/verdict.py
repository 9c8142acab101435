"""What the promotion gate says: a decision, its reasons with a remedy each, and the figures they were drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Reason(Enum):
    """Why the gate refuses a version: a sentence and a remedy each. In order: the first that applies leads."""

    CONTRACT_OTHER = (
        "It was trained on other feature declarations than this process has.",
        "train it again with this version of Rapport",
    )
    BUNDLE_UNLOADABLE = (
        "Its bundle cannot be loaded in a process of its own.",
        "train it again; if it happens again, look at the library versions",
    )
    GOLDEN_ROWS_DISAGREE = (
        "It does not give the scores for its golden rows that it gave when it was made.",
        "serve with the library versions it was trained with, or train it again",
    )
    NO_EVIDENCE = (
        "Nothing was judged on a window of time after its training.",
        'evaluate it first: "rapport evaluate", or train it again',
    )
    NOT_A_NUMBER = (
        "Some of its scores are not numbers.",
        "look for features that are infinite, and for a training run that diverged",
    )
    CONSTANT = (
        "It gives (almost) everybody the same score.",
        "look at the labels and at the parameters: nothing was learned",
    )
    STALE_FEATURES = (
        "It was trained or judged on features of an earlier day than it says.",
        "build the features as of each cut-off, and train it again",
    )
    LEAKAGE_SUSPECTED = (
        "It seems to have seen what could not be known yet.",
        "look at the features named: rebuilt with the future cut off they are different, or they carry the answer",
    )
    LABELS_DISAGREE = (
        "Its labels are not what the facts say happened.",
        "build the labels from the facts it names, and train it again",
    )
    INVERTED = (
        "Turned around, its scores would rank well: they stand on their head.",
        "check which outcome the label calls 1",
    )
    NO_SKILL = (
        "It ranks hardly better than chance.",
        "check that labels and features belong to the same members; the baseline serves meanwhile",
    )
    WORSE_THAN_BASELINE = (
        "A baseline does better.",
        "let the baseline serve, and look at the report for where the model loses",
    )
    NOT_COMPARABLE = (
        "The champion cannot be judged on the same rows, so that no gain can be shown.",
        'evaluate both on the same facts, or promote by hand: "rapport models promote NAME@VERSION --force --reason …"',
    )
    NO_GAIN_SHOWN = (
        "The paired interval shows no gain over the champion: no gain shown.",
        "keep the champion; more data or another model may show one",
    )
    CALIBRATION_WORSE = (
        "Its probabilities lie further from what happened.",
        "fit a calibrator on a later window, or ship the raw scores if these are closer",
    )
    SLICE_BELOW_FLOOR = (
        "For one group of members it falls below the floor.",
        "look at that slice in the report; give it examples, or leave it to the champion",
    )
    QUESTION_LOST = (
        "One of the questions it answers besides it answers worse than the champion.",
        "look at that question in the report; the champion stays until both are at least as good",
    )
    UNSTABLE = (
        "It moves too many members into another band although nothing about them changed.",
        "look at the calibrators and bands of both; fewer, stronger trees move less",
    )
    GROUPS_DISAGREE = (
        "Its classifier does not put members where the centres of the groups would.",
        "more members, or fewer axes; look at the agreement by slice in the report",
    )
    GROUPS_UNEVEN = (
        "A group holds next to nobody, or nearly everybody.",
        "look at the profiles: the facts may not tell that group's members apart",
    )
    TOO_SLOW = (
        "It takes too long to score a row.",
        "fewer or shallower trees",
    )

    @property
    def sentence(self) -> str:
        """What is wrong."""
        return str(self.value[0])

    @property
    def remedy(self) -> str:
        """What can be done."""
        return str(self.value[1])


ORDER = {reason: position for position, reason in enumerate(Reason)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason against a version, with the evidence in figures."""

    reason: Reason
    evidence: str

    def __str__(self) -> str:
        return f"{self.reason.sentence} {self.evidence}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of the version beside that of another on the same rows, and the paired 95 % interval of the difference."""

    name: str
    beside: str
    value: float
    other: float
    low: float
    high: float

    @property
    def gain(self) -> float:
        """How much more the version has."""
        return self.value - self.other

    def __str__(self) -> str:
        interval = f"95 % interval {self.low:+.4f} to {self.high:+.4f}"
        return f"{self.name} {self.value:.4f} beside {self.other:.4f} of {self.beside}: {self.gain:+.4f}, {interval}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's decision on one version.

    Attributes
    ----------
    against
        The champion it was compared with; empty where there is none.
    ground
        Why it is let through; empty where it is refused.
    findings
        Reasons against it, the leading one first.
    notes
        What was not checked, and why.
    differences
        Figures beside the champion's and the best baseline's.
    figures
        Costs, shares moved, and other single numbers.
    """

    model: str
    version: str
    against: str
    ground: str
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def promote(self) -> bool:
        """Whether it may become champion."""
        return not self.findings

    @property
    def code(self) -> str:
        """The leading reason by name, or PROMOTED."""
        return self.findings[0].reason.name if self.findings else "PROMOTED"

    @property
    def sentence(self) -> str:
        """The decision in one or two sentences."""
        return str(self.findings[0]) if self.findings else self.ground

    @property
    def remedy(self) -> str:
        """What can be done about the leading reason."""
        return self.findings[0].reason.remedy if self.findings else ""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            **{name: getattr(self, name) for name in ("model", "version", "against", "promote", "code", "sentence", "remedy")},
            "reasons": [{"code": f.reason.name, "sentence": str(f), "remedy": f.reason.remedy} for f in self.findings],
            "notes": list(self.notes),
            "differences": [asdict(difference) for difference in self.differences],
            "figures": dict(self.figures),
        }


def ordered(findings: list[Finding]) -> tuple[Finding, ...]:
    """Findings with the leading reason first."""
    return tuple(sorted(findings, key=lambda finding: ORDER[finding.reason]))
