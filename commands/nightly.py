"""The nightly job: features, store, scores of everyone, lists, and a report of what it did and what to look at."""

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from commands.events import EventJobs
from commands.features import FeatureJobs
from commands.jobs import Jobs
from commands.members import MemberJobs
from commands.triggers import find_at_night
from features.contract import CONTRACT
from features.days import calendar_day
from features.errors import RapportError, SourceError, TriggersRefused
from features.facts import Facts
from features.jobs import as_of_moment, only_run, open_facts, store_url
from features.list_records import ListStamp
from features.measured import STEP_COLUMNS, RunRecord
from features.screen import Screen
from features.settings import Settings
from features.state import State
from serving.job_folder import JobFolders
from training.answers import BLOCK, Champions, able_to_score, champions, scored
from training.publish_answers import champion_of, publish_lists, publish_scores, published_already
from training.registry import registered_models
from training.score_files import ScoreKey, forget_before, kept_days, key_of, path_of, read_scores, write_scores

LATE_DAYS = 2
"""Days without new facts from which on the import is thought to have stopped."""
JUMP = 0.05
"""Difference of two nights' mean probabilities that a person should look at."""
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


class NightlyJob:
    """Everything the service needs to know by morning. Killed at any step and run again, the outcome is the same."""

    def __init__(self, settings: Settings, *, as_json: bool) -> None:
        self.settings = settings
        self.jobs = Jobs(settings, as_json=as_json)
        self.screen: Screen = self.jobs.screen
        self.erasing = MemberJobs(settings, as_json=as_json)

    def run(self, as_of: str | None) -> dict[str, Any]:
        """One night; returns its report, which is kept below `nightly` in the data folder as well.

        Raises
        ------
        Busy
            Another nightly run, publish or refresh works on this data folder.
        """
        with ExitStack() as stack:
            for job in ("nightly", "publish", "features"):
                stack.enter_context(only_run(self.settings, job))
            if self.erasing.erasures.all():
                with only_run(self.settings, "import"):
                    self.erasing.erase_owed()
            url, record = stack.enter_context(store_url(self.settings)), RunRecord()
            self._archive(url, record)
            night = self._begin(as_of, record)
            try:
                self._steps(night, url)
            except RapportError as error:
                night.record.warn(str(error), error.remedy)
                night.exit_code = error.exit_code
                raise
            finally:
                report = self._report(night)
        return report

    def _archive(self, url: str, record: RunRecord) -> None:
        """Today's events into the facts, before anything is computed from them; events that cannot be added wait."""
        events = EventJobs(self.settings, self.screen)
        if not events.any_to_archive(url):
            return
        with record.step("archive events") as step:
            try:
                found = events.archived(url)
                step.found.update(taken=found["taken"], landed=found["landed"], waiting=found["waiting"])
            except SourceError as error:
                step.skip(str(error))
                record.warn(f"no event came into the facts: {error}", error.remedy)

    def _begin(self, as_of: str | None, record: RunRecord) -> Night:
        facts = open_facts(self.settings)
        day = facts.local_day(as_of_moment(as_of, facts)) if as_of else default_day(facts, self.settings.clock())
        if as_of is not None and facts.midnight(day) != as_of_moment(as_of, facts):
            self.screen.say(f"A night is as of a midnight: {calendar_day(day)} it is.")
        night = Night(facts, day, record)
        late = facts.local_day(self.settings.clock()) - facts.manifest.until_day
        if as_of is None and late >= LATE_DAYS:
            night.record.warn(
                f"the facts end {late:,} days ago, with {calendar_day(facts.manifest.until_day - 1)}; "
                "everything is as of then and will be answered as STALE",
                'see why nothing was imported: "rapport import --mapping …"',
            )
        return night

    def _steps(self, night: Night, url: str) -> None:
        state = self._refresh(night)
        self._publish(night, url, state)
        models = self._score(night, state)
        self._publish_scores(night, url, models)
        self._publish_lists(night, url, state)
        self._look_at_triggers(night, url, state)
        if self.erasing.erasures.all():
            with night.record.step("erasures") as step:
                published = chain.from_iterable(part.member_ids.tolist() for part in state.buckets())
                step.found["brought_back"] = self.erasing.sweep(url, published)
        with night.record.step("old jobs") as step:
            kept = timedelta(hours=self.settings.jobs_kept_h)
            step.found["forgotten"] = JobFolders(self.settings.data_dir).forget(before=datetime.now(UTC), longest=kept)
        with night.record.step("old scores") as step:
            step.found["forgotten"] = forget_before(self.scores, night.day - self.settings.scores_kept_days)

    @property
    def scores(self) -> Path:
        """Where the scores of each night are kept."""
        return self.settings.data_dir / "scores"

    def _refresh(self, night: Night) -> State:
        with night.record.step("features") as step:
            outcome = FeatureJobs(self.settings, self.screen).refreshed(night.facts, night.facts.midnight(night.day))
            step.found.update(members=outcome.members, summed_up_anew=outcome.touched)
            if outcome.reason:
                step.found["because"] = outcome.reason
            night.counts["members"] = outcome.members
        return outcome.state

    def _publish(self, night: Night, url: str, state: State) -> None:
        rows = state.rows(night.facts, CONTRACT)
        with night.record.step("publish features") as step:
            opted_out = self.jobs.publish_opt_outs(url, night.facts)
            published = self.jobs.publish_features(url, rows)
            step.found.update(
                opted_out=opted_out, written=published.written, deleted=published.deleted, all_because=published.whole
            )
        with night.record.step("publish items") as step:
            step.found["items"] = self.jobs.publish_shop(url, night.facts)
        with night.record.step("publish tags") as step:
            step.found["tags"] = self.jobs.publish_tags(url, night.facts, rows)

    def _score(self, night: Night, state: State) -> Champions:
        """Everyone's scores into a file, unless the very same stand there."""
        with night.record.step("score") as step:
            known = state.scalars(night.facts, CONTRACT)
            models = champions(self.settings.mlruns_dir, skip_refused=True)
            first = next(state.blocks(night.facts, CONTRACT, known, block=BLOCK), None)
            models = able_to_score(first(), models) if first else models
            self._say_refused(night, models)
            if not models.able:
                step.skip("there is no champion that could answer")
                night.record.warn("nobody was scored: there is no champion", self._way_to_a_champion())
                return models
            key = self._key(night, models)
            step.found["models"] = {champion.name: champion.registered.label for champion in models.able}
            if key_of(path_of(self.scores, night.day)) == key:
                step.reuse("the same facts and models had scored everyone already")
                return models
            with self.screen.progress("scores of everyone", night.counts["members"]) as advance:
                blocks = scored(state.blocks(night.facts, CONTRACT, known, block=BLOCK), models.able)
                step.found["members"] = write_scores(self.scores, key, blocks, progress=advance)
            self._compare(night, models)
        return models

    def _way_to_a_champion(self) -> str:
        """What to do where nobody serves: train, or look why the gate let nothing through."""
        there = registered_models(self.settings.mlruns_dir)
        return 'see why the gate let no version through: "rapport models"' if there else 'train models: "rapport retrain"'

    def _key(self, night: Night, models: Champions) -> ScoreKey:
        return ScoreKey(
            as_of=night.as_of,
            day=night.day,
            facts_hash=night.facts.manifest.hash,
            contract=CONTRACT.hash,
            thresholds=tuple(sorted(self.settings.thresholds)),
            models=tuple(champion.described for champion in models.able),
            explained=tuple(champion.name for champion in models.able if champion.explained),
        )

    def _say_refused(self, night: Night, models: Champions) -> None:
        for name, why in models.refused.items():
            night.record.warn(f"{name} answers nobody tonight: {why}", "promote a version that can answer, or train again")
            night.exit_code = TO_LOOK_AT

    def _compare(self, night: Night, models: Champions) -> None:
        """Warn of probabilities that jumped since the last night kept: more often broken facts than changed members."""
        before = [day for day in kept_days(self.scores) if day < night.day]
        if not before:
            return
        then, now = (mean_scores(path_of(self.scores, day)) for day in (before[-1], night.day))
        for name in sorted(then.keys() & now.keys()):
            if abs(now[name] - then[name]) > JUMP:
                night.record.warn(
                    f"the mean of {name} went from {then[name]:.3f} on {calendar_day(before[-1])} to {now[name]:.3f}",
                    f'see what moved: "rapport drift --as-of {calendar_day(night.day)}"',
                )

    def _publish_scores(self, night: Night, url: str, models: Champions) -> None:
        with night.record.step("publish scores") as step:
            if not models.able:
                step.skip("nobody was scored")
                return
            store = self.jobs.store(url)
            key = self._key(night, models)
            if published_already(store, key.hash):
                step.reuse("these scores are published")
                return
            with self.screen.progress("scores to Redis", night.counts["members"]) as advance:
                edition = publish_scores(
                    read_scores(path_of(self.scores, night.day)),
                    models.able,
                    store,
                    as_of=night.as_of,
                    contract=CONTRACT.hash,
                    made_from=key.hash,
                    progress=advance,
                )
            step.found["members"] = edition.members if edition else 0

    def _publish_lists(self, night: Night, url: str, state: State) -> None:
        with night.record.step("publish lists") as step:
            champion = champion_of(self.settings.mlruns_dir, "recommender")
            if champion is None:
                step.skip("there is no champion of recommender")
                return
            members, day, as_of = night.counts["members"], night.day, night.as_of
            ids = np.concatenate([np.empty(0, dtype=np.str_), *(part.member_ids for part in state.buckets())])
            with self.screen.progress("lists to Redis", members) as advance:
                store = self.jobs.store(url)
                changed = publish_lists(ids, night.facts, champion, store, day=day, as_of=as_of, progress=advance)
            self.jobs.store(url).write_list_stamp(ListStamp(champion.label, as_of, day))
            step.found.update(model=champion.label, members=members, changed=changed)

    def _look_at_triggers(self, night: Night, url: str, state: State) -> None:
        """Whom the passing of time sets something off for; what cannot be looked at keeps nothing else from being published."""
        with night.record.step("triggers") as step:
            if not any(self.settings.triggers_dir.glob("*.toml")):
                step.skip("there are no triggers")
                return
            if night.facts.local_day(self.settings.clock()) - night.day >= LATE_DAYS:
                step.skip("the facts end days ago: silence of the import is not the members' silence")
                return
            parts = ((part.member_ids, part.records) for part in state.buckets())
            try:
                step.found.update(find_at_night(self.settings, url, night.facts, night.day, parts))
            except TriggersRefused as error:
                night.record.warn(str(error), 'see what is wrong: "rapport triggers check"')
                night.exit_code = TO_LOOK_AT

    def _report(self, night: Night) -> dict[str, Any]:
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
        self.screen.table(f"The night of {calendar_day(night.day)}", STEP_COLUMNS, night.record.rows())
        say_warnings(self.screen, night.record)
        keep_report(self.settings.data_dir / "nightly" / f"{calendar_day(night.day)}.json", report)
        return report


def default_day(facts: Facts, clock: datetime) -> int:
    """The day a night is for if nobody says: the one that begins tonight, but none that the facts do not reach.

    Features as of a day beyond the facts would take silence of the import for silence of the members.
    """
    return min(facts.local_day(clock), facts.manifest.until_day)


def mean_scores(path: Path) -> dict[str, float]:
    """Mean of each column of probabilities in a file of scores, by name."""
    sums: dict[str, list[float]] = {}
    for block in read_scores(path):
        for name, values in block.columns.items():
            if name.endswith(".probability"):
                known = values[~np.isnan(values)]
                total = sums.setdefault(name, [0.0, 0.0])
                total[0], total[1] = total[0] + float(known.sum(dtype=np.float64)), total[1] + len(known)
    return {name: total / count for name, (total, count) in sums.items() if count}


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
