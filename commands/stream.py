"""The jobs of `rapport stream` and `rapport parity`: events into the live state, and that state held against a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from features.jobs import open_facts, store_url, until_told
from features.screen import Screen
from features.settings import Settings

if TYPE_CHECKING:
    from features.facts import Facts
    from features.live_parity import Parity

WORST = 10
"""Features named in a report, those with the most differences first."""


@dataclass(frozen=True, slots=True)
class StreamJobs:
    """Both jobs, on one set of settings and one screen."""

    settings: Settings
    screen: Screen

    def run(self, *, until_idle: bool = False) -> dict[str, Any]:
        """Apply events until told to end, or until none is left; returns what was done, by outcome."""
        from serving.stream_at_work import open_worker  # with numpy and the trigger's models: not for every command

        with store_url(self.settings) as url, until_told() as told:
            worker = open_worker(self.settings, url)
            self.screen.say(f"{worker.leases.worker} applies events. Ctrl-C ends it; so may anything else.")
            try:
                if until_idle:
                    worker.drain()
                    worker.release()
                else:
                    worker.run(stopped=told.is_set)
            finally:
                worker.close()
        done = dict(sorted(worker.tally.counts.items()))
        self.screen.table("What became of the events", ["outcome", "events"], list(done.items()))
        return done

    def parity(self, *, most: int, bucket: int | None, archive: bool) -> dict[str, Any]:
        """Compare members of a bucket with a batch build; the result is kept for /metrics."""
        from features.parity_check import ParityCheck, parity_dict

        moment = self.settings.clock()
        with store_url(self.settings) as url:
            check = ParityCheck(url, prefix=self.settings.key_prefix, most=most)
            try:
                buckets = open_facts(self.settings).manifest.buckets
                chosen = moment.toordinal() % buckets if bucket is None else bucket % buckets
                found = check.run(lambda: self._facts(url, archive=archive), chosen, moment=moment)
                check.keep(found, moment=moment)
            finally:
                check.close()
        self._tell(found)
        return {"bucket": chosen, **parity_dict(found, moment)}

    def _facts(self, url: str, *, archive: bool) -> Facts:
        """The facts with what the streams hold by now."""
        if archive:
            from commands.events import EventJobs

            EventJobs(self.settings, self.screen).archived(url)
        return open_facts(self.settings)

    def _tell(self, found: Parity) -> None:
        self.screen.say(
            f"{found.mismatches:,} mismatches over {found.members:,} members, {found.active:,} of them active today; "
            f"{found.missing:,} missing, {found.extra:,} extra, {found.unsettled:,} still moving."
        )
        worst = sorted(found.differences.items(), key=lambda each: -each[1].members)[:WORST]
        if worst:
            rows = [[name, difference.members, difference.largest] for name, difference in worst]
            self.screen.table("Features that differ", ["feature", "members", "largest error"], rows)
