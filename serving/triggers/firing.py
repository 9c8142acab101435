"""From what happened to what is published: conditions, terms, messages, in this order, each step safe to be done again.

Whoever hands events in acknowledges them only after `after` has returned. Killed anywhere before, the same events come again:
what was put off is put off once, what was decided is known by its id, and what was published is not published again.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from features.contract import CONTRACT
from features.days import day_of, microseconds
from features.errors import RapportError
from features.live_state import Applied
from serving.scoring import ScoringContext
from serving.triggers.arms import arm_of
from serving.triggers.declared import Trigger
from serving.triggers.evaluation import Batch, evaluate
from serving.triggers.gauges import FIRED, LATENCY_COUNT, LATENCY_SUM, OUTCOMES
from serving.triggers.happening import Happening, ItemCounts, happening_of, texts_of
from serving.triggers.in_force import InForce, TriggersInForce, tags_of
from serving.triggers.members_now import Bases, Live, MembersNow, days_until
from serving.triggers.message import firing_of, message_of
from serving.triggers.names import EVENT_TEXTS, ITEM_COUNTS, numbers_in, texts_in
from serving.triggers.offers import Offers, scores_of
from serving.triggers.planning import Candidate, Plan, plan
from serving.triggers.store import Asked, Due, TriggerStore
from serving.triggers.tags_now import TagsNow

logger = logging.getLogger("rapport")
MOST_DUE = 200
Outcomes = Counter[str]


class Firing:
    """Triggers at work.

    Parameters
    ----------
    key
        Secret that arms are drawn by.
    """

    def __init__(
        self,
        store: TriggerStore,
        members: MembersNow,
        tags: TagsNow,
        offers: Offers,
        in_force: TriggersInForce,
        *,
        key: bytes,
        stale_after_s: float,
    ) -> None:
        self._store, self._members, self._tags, self._offers, self._in_force = store, members, tags, offers, in_force
        self._key, self._stale_after_s = key, stale_after_s
        self.tally: Counter[str] = Counter()

    def after(self, applied: Sequence[Applied], moment: datetime) -> Outcomes:
        """Fire what events set off that stand in their members' live records by now.

        Raises
        ------
        StoreUnavailable, CorruptRecord, ContractMismatch
            Some of it was not done: hand the same events in again.
        """
        force = self._in_force.now()
        seen = [(each, happening_of(each.event, each.member_id)) for each in applied]
        told = [(each, happening) for each, happening in seen if happening is not None and happening.type in force.types]
        if not told:
            return Counter()
        bases, _ = self._members.bases([each.member_id for each, _ in told])
        if bases is None:
            return Counter()
        triggers, happenings = force.triggers.triggers, [happening for _, happening in told]
        days = [[day_of(happening.moment, bases.published.zone)] for happening in happenings]
        batch = self._batch(triggers, bases, [each.after for each, _ in told], moment, happenings, days)
        before = [None if each.again else each.before for each, _ in told]  # of what came again, only the night's is known
        batch = replace(batch, before=bases.moved(before, batch.now.context))
        held = evaluate(triggers, batch, bases.published.zone)
        planned = plan(held, batch, bases.published.zone, [moment] * len(batch))
        self._store.put_off(planned.put_off)
        begun = [
            Asked(
                firing_of(trigger.name, happening.member_id, happening.event_id), happening.member_id, force.terms[trigger.name]
            )
            for each, happening in told
            for trigger in (force.triggers.on(happening.type) if each.again else ())
        ]
        return self._finish(force, begun, moment) + self._fire(force, batch, planned, moment)

    def due(self, moment: datetime) -> tuple[Outcomes, int]:
        """Look again at firings that were put off and are due by now; returns what became of them, and how many there were.

        Raises as `after`: those not done are due still.
        """
        entries = self._store.due(moment, most=MOST_DUE)
        force = self._in_force.now()
        outcomes: Outcomes = Counter()
        for with_event in (True, False):
            part = [entry for entry in entries if (entry.happening is not None) is with_event]
            known = [entry for entry in part if force.triggers.named(entry.trigger) is not None]
            self._store.done([entry.firing for entry in part if force.triggers.named(entry.trigger) is None])
            outcomes += self._together(force, known, moment)
        return outcomes, len(entries)

    def _together(self, force: InForce, entries: Sequence[Due], moment: datetime) -> Outcomes:
        """Look at entries as one; where that fails, one by one: what no code foresaw is given up, and keeps no other back."""
        if not entries:
            return Counter()
        try:
            return self._again(force, entries, moment)
        except RapportError:
            raise
        except Exception as error:  # noqa: BLE001 # the named edge
            if len(entries) > 1:
                return sum((self._together(force, [entry], moment) for entry in entries), Counter[str]())
            logger.error("a firing that was due could not be looked at: %s", type(error).__name__)
            self._store.done([entries[0].firing])
            self.tally[f"{OUTCOMES}:FAILED"] += 1
            return Counter(FAILED=1)

    def trim(self, moment: datetime, kept: timedelta) -> int:
        """Take from the stream what fired longer ago than is kept."""
        return self._store.trim(moment, kept=kept)

    def close(self) -> None:
        """Give the connections back."""
        self._offers.close()
        self._members.close()
        self._tags.close()
        self._store.close()

    def _again(self, force: InForce, entries: Sequence[Due], moment: datetime) -> Outcomes:
        """Firings that were put off, all with an event or all without."""
        bases, live = self._members.bases([entry.member_id for entry in entries])
        if bases is None:
            return Counter()
        zone = bases.published.zone
        triggers = [trigger for trigger in force.triggers.triggers if trigger.name in {entry.trigger for entry in entries}]
        happenings = [entry.happening for entry in entries if entry.happening is not None]
        days = [list(days_until(day_of(each.moment, zone), moment, bases.published)) for each in happenings]
        batch = self._batch(triggers, bases, live, moment, happenings, days)
        batch = replace(batch, extra=_numbers([entry.before for entry in entries]))
        held = evaluate(triggers, batch, zone, becoming=False)
        own = [each for each in held if each.trigger.name == entries[each.row].trigger]
        planned = plan(own, batch, zone, [moment] * len(batch), entries)
        planned.outcomes["OVER"] += len(entries) - len(own)
        self._store.postpone(planned.put_off)
        begun = [Asked(entry.firing, entry.member_id, force.terms[entry.trigger]) for entry in entries]
        outcomes = self._finish(force, begun, moment) + self._fire(force, batch, planned, moment)
        postponed = {entry.firing for entry in planned.put_off}
        self._store.done([entry.firing for entry in entries if entry.firing not in postponed])
        return outcomes

    def _batch(
        self,
        triggers: Sequence[Trigger],
        bases: Bases,
        live: Live,
        moment: datetime,
        happenings: Sequence[Happening],
        days: Sequence[Sequence[int]],
    ) -> Batch:
        """Rows to be looked at, with what the conditions of these triggers speak of."""
        context = ScoringContext(CONTRACT, self._offers.models(), moment, self._stale_after_s)
        members = [happening.member_id for happening in happenings] if happenings else list(bases.member_ids)
        return Batch(
            members,
            bases.moved(live, context),
            happenings=happenings,
            counts=self._counts(triggers, happenings, days),
            texts=self._texts(triggers, happenings),
            tags=self._tags.of(members, tags_of(triggers)),
        )

    def _counts(
        self, triggers: Sequence[Trigger], happenings: Sequence[Happening], days: Sequence[Sequence[int]]
    ) -> list[ItemCounts | None]:
        if not any(numbers_in(trigger.condition) & set(ITEM_COUNTS) for trigger in triggers):
            return [None] * len(happenings)
        return self._members.item_counts(
            [
                None if happening.item_id is None else (happening.member_id, happening.item_id, on)
                for happening, on in zip(happenings, days, strict=True)
            ]
        )

    def _texts(self, triggers: Sequence[Trigger], happenings: Sequence[Happening]) -> list[dict[str, str]]:
        named = {text.partition("=")[0] for trigger in triggers for text in texts_in(trigger.condition)}
        shelf = self._offers.shelf() if named & set(EVENT_TEXTS[2:]) else None
        return [dict(texts_of(happening, shelf)) if named else {} for happening in happenings]

    def _fire(self, force: InForce, batch: Batch, planned: Plan, moment: datetime) -> Outcomes:
        """Decide, and publish what fired, now or before and not to its end."""
        outcomes = planned.outcomes
        outcomes["PUT_OFF"] += len(planned.put_off)
        asked = [Asked(each.firing, batch.member_ids[each.row], force.terms[each.trigger.name]) for each in planned.candidates]
        found = self._store.ask(asked, moment, kept_ms=force.kept_ms)
        free = [place for place, (verdict, _) in enumerate(found) if verdict == "FREE"]
        messages = self._messages([planned.candidates[place] for place in free], batch, moment)
        decided = self._store.decide([asked[place] for place in free], messages, moment, kept_ms=force.kept_ms)
        for place, verdict in zip(free, decided, strict=True):
            found[place] = verdict
        out = [place for place, (verdict, _) in enumerate(found) if verdict in {"FIRED", "WAITING"}]
        self._store.publish([(asked[place].firing, asked[place].member_id, found[place][1]) for place in out])
        outcomes.update(verdict for verdict, _ in found)
        self._count(outcomes, batch, planned.candidates, [verdict for verdict, _ in found], moment)
        return outcomes

    def _finish(self, force: InForce, begun: Sequence[Asked], moment: datetime) -> Outcomes:
        """Publish what was decided and not published before a kill, whatever its condition says by now."""
        found = self._store.ask(begun, moment, kept_ms=force.kept_ms)
        waiting = [
            (each.firing, each.member_id, text) for each, (what, text) in zip(begun, found, strict=True) if what == "WAITING"
        ]
        if not waiting:
            return Counter()
        self._store.publish(waiting)
        self.tally[f"{OUTCOMES}:WAITING"] += len(waiting)
        return Counter(WAITING=len(waiting))

    def _messages(self, candidates: Sequence[Candidate], batch: Batch, moment: datetime) -> list[bytes]:
        """What is said of each."""
        if not candidates:
            return []
        rows, firings = [each.row for each in candidates], [each.firing for each in candidates]
        scores = scores_of(batch, rows, firings)
        items = self._items(candidates, batch, moment)
        return [
            message_of(
                each.trigger,
                each.firing,
                batch.member_ids[each.row],
                batch.happenings[each.row] if batch.happenings else None,
                moment=moment,
                key=self._key,
                scores=row,
                passport=passport,
                items=items.get(each.firing),
            ).to_bytes()
            for each, (row, passport) in zip(candidates, scores, strict=True)
        ]

    def _items(self, candidates: Sequence[Candidate], batch: Batch, moment: datetime) -> dict[str, list[Any]]:
        """Recommended items by firing: those of one placement asked for together."""
        found: dict[str, list[Any]] = {}
        asked: dict[tuple[str | None, int], list[Candidate]] = {}
        for each in candidates:
            if each.trigger.items:
                asked.setdefault((each.trigger.placement, each.trigger.items), []).append(each)
        for (placement, k), group in asked.items():
            members = [batch.member_ids[each.row] for each in group]
            lists = self._offers.items(members, k=k, placement=placement, moment=moment)
            found.update(zip((each.firing for each in group), lists, strict=True))
        return found

    def _count(
        self, outcomes: Outcomes, batch: Batch, candidates: Sequence[Candidate], verdicts: Sequence[str], moment: datetime
    ) -> None:
        """Add to what is told in /metrics."""
        self.tally.update({f"{OUTCOMES}:{name}": number for name, number in outcomes.items() if number})
        for each, verdict in zip(candidates, verdicts, strict=True):
            if verdict == "FIRED":
                arm = arm_of(each.trigger.arms, each.trigger.campaign, batch.member_ids[each.row], key=self._key)
                self.tally[f"{FIRED}:{each.trigger.name}:{arm.name}"] += 1
                if batch.happenings and not each.trigger.after:
                    self.tally[LATENCY_SUM] += max(0, microseconds(moment) - batch.happenings[each.row].occurred_us)
                    self.tally[LATENCY_COUNT] += 1

    def tell(self) -> None:
        """Add what was counted since to what is told in /metrics."""
        counted, self.tally = self.tally, Counter()
        self._store.add_counts(counted)


def _numbers(before: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Numbers of before that were kept with firings, as columns."""
    names = sorted({name for numbers in before for name in numbers})
    return {name: np.array([numbers.get(name, np.nan) for numbers in before], dtype=np.float32) for name in names}
