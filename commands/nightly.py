"""The nightly job: features, store, scores of everyone, lists, and a report of what it did and what to look at."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import numpy as np

from commands.events import EventJobs
from commands.features import FeatureJobs
from commands.members import MemberJobs
from commands.night import TO_LOOK_AT, Night, default_day, report_of
from commands.night_scores import NightScores
from commands.publish import PublishJobs
from commands.triggers import find_at_night
from features.contract import CONTRACT
from features.days import calendar_day
from features.errors import RapportError, SourceError, TriggersRefused
from features.jobs import as_of_moment, only_run, open_facts, store_url
from features.list_records import ListStamp
from features.measured import RunRecord
from features.screen import Screen
from features.settings import Settings
from features.state import State
from serving.job_folder import JobFolders
from training.publish_answers import champion_of, publish_lists
from training.score_files import forget_before

LATE_DAYS = 2
"""Days without new facts from which on the import is thought to have stopped."""


class NightlyJob:
    """Everything the service needs to know by morning. Killed at any step and run again, the outcome is the same."""

    def __init__(self, settings: Settings, *, as_json: bool) -> None:
        self.settings = settings
        self.screen = Screen(as_json=as_json)
        self.publishing = PublishJobs(settings, self.screen)
        self.scores = NightScores(self.publishing)
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
                report = report_of(self.settings, self.screen, night)
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
        models = self.scores.into_file(night, state)
        self.scores.publish(night, url, models)
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
            step.found["forgotten"] = forget_before(self.scores.folder, night.day - self.settings.scores_kept_days)

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
            opted_out = self.publishing.opt_outs(url, night.facts)
            published = self.publishing.features(url, rows)
            step.found.update(
                opted_out=opted_out, written=published.written, deleted=published.deleted, all_because=published.whole
            )
        with night.record.step("publish items") as step:
            step.found["items"] = self.publishing.shop(url, night.facts)
        with night.record.step("publish tags") as step:
            step.found["tags"] = self.publishing.tags(url, night.facts, rows)

    def _publish_lists(self, night: Night, url: str, state: State) -> None:
        with night.record.step("publish lists") as step:
            champion = champion_of(self.settings.mlruns_dir, "recommender")
            if champion is None:
                step.skip("there is no champion of recommender")
                return
            members, day, as_of = night.counts["members"], night.day, night.as_of
            ids = np.concatenate([np.empty(0, dtype=np.str_), *(part.member_ids for part in state.buckets())])
            with self.screen.progress("lists to Redis", members) as advance:
                store = self.publishing.store(url)
                changed = publish_lists(ids, night.facts, champion, store, day=day, as_of=as_of, progress=advance)
            self.publishing.store(url).write_list_stamp(ListStamp(champion.label, as_of, day))
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
