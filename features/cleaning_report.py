"""What the cleaning did with every row, as numbers that add up, also over parts that were cleaned one by one."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
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

    rows_in: int = 0
    accepted: int = 0
    quarantined: int = 0
    duplicates: int = 0
    rules: tuple[RuleCount, ...] = ()

    @classmethod
    def of_unreadable(cls, counts: tuple[RuleCount, ...]) -> "CleaningReport":
        """The report on rows that a source could not even read."""
        rows = sum(count.rows for count in counts)
        return cls(rows_in=rows, quarantined=rows, rules=counts)

    def without(self, before: int) -> "CleaningReport":
        """The report without as many rows that had been accepted earlier and were only looked at again."""
        return replace(self, rows_in=self.rows_in - before, accepted=self.accepted - before)

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
    return sum(reports, start=CleaningReport())
