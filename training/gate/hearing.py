"""One hearing at the gate: who stands before it, beside whom, by which limits, and what has come up so far."""

from dataclasses import dataclass, field

from training.evidence import Evidence
from training.gate.contender import Contender, Ground, Limits
from training.gate.measures import Measure
from training.predictors import AnyPredictor
from training.trial import Trial
from training.verdict import Difference, Finding, Reason, Verdict, ordered


@dataclass
class Hearing:
    """What has come up so far about one version, for the checks to add to."""

    contender: Contender
    champion: Contender | None
    ground: Ground | None
    limits: Limits
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def against(self, reason: Reason, evidence: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(reason, evidence))

    def add(self, found: tuple[list[Finding], list[Difference]]) -> None:
        """Add findings and differences of one check."""
        self.findings += found[0]
        self.differences += found[1]

    def has(self, *reasons: Reason) -> bool:
        """Whether one of these reasons has come up."""
        return any(finding.reason in reasons for finding in self.findings)

    def verdict(self, ground: str = "") -> Verdict:
        """The decision; `ground` says what speaks for the version if nothing speaks against it."""
        return Verdict(
            self.contender.manifest.name,
            self.contender.registered.version,
            self.champion.registered.label if self.champion else "",
            "" if self.findings else ground,
            ordered(self.findings),
            tuple(self.notes),
            tuple(self.differences),
            dict(self.figures),
        )


@dataclass(frozen=True, slots=True)
class Case:
    """What the checks of a model with evidence look at."""

    evidence: Evidence
    predictor: AnyPredictor
    measure: Measure
    trial: Trial
