"""A night: what it is for, what it has come to so far, and the report that is shown and kept of it."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.contract import CONTRACT
from features.days import calendar_day
from features.facts import Facts
from features.measured import STEP_COLUMNS, RunRecord
from features.screen import Screen
from features.settings import Settings

TO_LOOK_AT = 30
"""Exit code: done, and something was found that somebody has to act on."""


@dataclass(slots=True)
class Night:
    """What one night has come to so far. `exit_code` is 30 where a model that should have answered did not."""

    facts: Facts
    day: int
    record: RunRecord
    counts: dict[str, Any] = field(default_factory=dict)
    exit_code: int = 0

    @property
    def moment(self) -> datetime:
        """The midnight that everything is as of, in UTC."""
        return self.facts.midnight(self.day).astimezone(UTC)

    @property
    def as_of(self) -> str:
        """The same in ISO 8601."""
        return self.moment.isoformat()


def default_day(facts: Facts, clock: datetime) -> int:
    """The day a night is for if nobody says: the one that begins tonight, but none that the facts do not reach.

    Features as of a day beyond the facts would take silence of the import for silence of the members.
    """
    return min(facts.local_day(clock), facts.manifest.until_day)


def report_of(settings: Settings, screen: Screen, night: Night) -> dict[str, Any]:
    """Show the report and keep it; kept also where the run failed."""
    report = {
        "as_of": night.as_of,
        "day": str(calendar_day(night.day)),
        "contract_hash": CONTRACT.hash,
        "facts_hash": night.facts.manifest.hash,
        "exit_code": night.exit_code,
        **night.counts,
        **night.record.to_json(),
    }
    screen.table(f"The night of {calendar_day(night.day)}", STEP_COLUMNS, night.record.rows())
    say_warnings(screen, night.record)
    keep_report(settings.data_dir / "nightly" / f"{calendar_day(night.day)}.json", report)
    return report


def say_warnings(screen: Screen, record: RunRecord) -> None:
    """Each warning with what to do."""
    for warned in record.warnings:
        screen.say(f"Attention: {warned.what}.")
        screen.say(f"           {warned.remedy}")


def keep_report(path: Path, report: dict[str, Any]) -> None:
    """Write a report whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.writing")
    draft.write_text(json.dumps(report, indent=2))
    draft.replace(path)
