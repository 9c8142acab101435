"""Drift behind the front door: what moved since the champions were trained, whether it matters, and what to do."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from commands.night import TO_LOOK_AT, default_day, keep_report
from features.days import calendar_day
from features.errors import ModelMissing
from features.facts import Facts
from features.jobs import as_of_moment, open_facts
from features.screen import Screen
from features.settings import Settings
from training.answers import champions
from training.datasets import Snapshots
from training.drift import Limits, ModelDrift
from training.drift_report import drift_of, trained_until

SHOWN = 12


class DriftJob:
    """What a person or a scheduler asks before training again."""

    def __init__(self, settings: Settings, *, as_json: bool) -> None:
        self.settings = settings
        self.screen = Screen(as_json=as_json)

    def run(self, as_of: str | None) -> dict[str, Any]:
        """Look at every champion; returns the report, which is kept below `drift` in the data folder as well.

        Raises
        ------
        ModelMissing
            There is no champion to look at.
        """
        facts = open_facts(self.settings)
        limits = Limits.chosen(self.settings.drift)
        day = facts.local_day(as_of_moment(as_of, facts)) if as_of else default_day(facts, self.settings.clock())
        able = champions(self.settings.mlruns_dir, skip_refused=True)
        if not able.able:
            raise ModelMissing("there is no champion whose drift could be told", remedy='train models: "rapport retrain"')
        snapshots = Snapshots(facts)
        self._prepare(snapshots, sorted({day, *(since for c in able.able if (since := trained_until(c)) < day)}))
        found = {c.name: drift_of(c, snapshots, self.scores, day=day, limits=limits) for c in able.able}
        return self._report(facts, day, found, dict(able.refused), limits)

    @property
    def scores(self) -> Path:
        """Where the scores of each night are kept."""
        return self.settings.data_dir / "scores"

    def _prepare(self, snapshots: Snapshots, days: list[int]) -> None:
        with self.screen.progress(f"features as of {len(days)} days", len(days)) as advance:
            for _ in snapshots.prepare(days):
                advance()

    def _report(
        self, facts: Facts, day: int, found: dict[str, ModelDrift | None], refused: dict[str, str], limits: Limits
    ) -> dict[str, Any]:
        skipped = {name: "it was trained as of this day or later" for name, drift in found.items() if drift is None} | refused
        models = [drift for drift in found.values() if drift is not None]
        for drift in models:
            self._show(drift)
        for name, why in skipped.items():
            self.screen.say(f"{name} was not looked at: {why}.")
        advised = [drift.model for drift in models if drift.reasons]
        names = ",".join(model.partition("@")[0] for model in advised)
        self.screen.say(
            f"Retraining is advised: rapport retrain --models {names}" if advised else "Nothing moved that asks for retraining."
        )
        report = {
            "as_of": facts.midnight(day).isoformat(),
            "facts_hash": facts.manifest.hash,
            "limits": asdict(limits),
            "advised": advised,
            "exit_code": TO_LOOK_AT if advised else 0,
            "models": [asdict(drift) | {"reasons": drift.reasons} for drift in models],
            "skipped": skipped,
        }
        keep_report(self.settings.data_dir / "drift" / f"{calendar_day(day)}.json", report)
        return report

    def _show(self, drift: ModelDrift) -> None:
        rows = [
            (
                moved.name,
                moved.psi,
                moved.null,
                f"{moved.missing_then:.0%} → {moved.missing_now:.0%}",
                "-" if moved.effect is None else moved.effect,
                ("yes" if moved.matters else "no") if moved.beyond else "",
            )
            for moved in (drift.score, *drift.features[:SHOWN])
        ]
        columns = ("what", "PSI", "by chance", "missing", "effect on score", "matters")
        members = f"{drift.members_then:,} members as of {calendar_day(drift.since)}, {drift.members_now:,} now"
        self.screen.table(f"{drift.model}: what moved ({members})", columns, rows)
        if len(drift.features) > SHOWN:
            self.screen.say(f"{len(drift.features) - SHOWN} more moved beyond chance: --json has them all.")
        for cohort in drift.cohorts:
            self.screen.say(
                f"Of {cohort.members:,} scored by {cohort.model} on {calendar_day(cohort.day)}, {cohort.predicted:.1%} were "
                f"expected to leave and {cohort.observed:.1%} left (difference {cohort.low:+.1%} to {cohort.high:+.1%})."
            )
        for what, why in drift.skipped.items():
            self.screen.say(f"{what}: {why}.")
        for reason in drift.reasons:
            self.screen.say(f"Attention: {reason}.")
