"""What the cleaning did with every row, as numbers that add up, also over parts that were cleaned one by one."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Action = Literal["quarantine", "duplicate", "note"]
"""Set aside as wrong, set aside as said before, or kept and counted."""


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How many rows one rule claimed."""

    code: str
    action: Action
    rows: int
    meaning: str


@dataclass(frozen=True, slots=True)
class CleaningReport:
    """What became of every row: `rows_in` = `accepted` + `quarantined` + `duplicates`. Reports of parts are added with `+`."""

    rows_in: int
    accepted: int
    quarantined: int
    duplicates: int
    rules: tuple[RuleCount, ...]

    def __add__(self, other: "CleaningReport") -> "CleaningReport":
        """The report of both parts together; rules keep the order in which they first appear."""
        rows: dict[tuple[str, Action], RuleCount] = {}
        for count in (*self.rules, *other.rules):
            before = rows.get((count.code, count.action))
            total = count.rows + (before.rows if before else 0)
            rows[count.code, count.action] = RuleCount(count.code, count.action, total, count.meaning)
        return CleaningReport(
            rows_in=self.rows_in + other.rows_in,
            accepted=self.accepted + other.accepted,
            quarantined=self.quarantined + other.quarantined,
            duplicates=self.duplicates + other.duplicates,
            rules=tuple(rows.values()),
        )

    @property
    def quarantined_share(self) -> float:
        """Quarantined rows of all that came in; 0 where none came in."""
        return self.quarantined / self.rows_in if self.rows_in else 0.0

    def to_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(asdict(self), indent=2)


def merged(reports: Iterable[CleaningReport]) -> CleaningReport:
    """One report of all parts; of no parts, a report of no rows."""
    return sum(reports, start=CleaningReport(0, 0, 0, 0, ()))
