"""The jobs of `rapport triggers`: what a file means, what it would have fired on a day, what fired lately, what is due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape

from features.contract import CONTRACT
from features.days import calendar_day, day_number
from features.errors import ConfigurationError, RapportError
from features.facts import Facts
from features.jobs import open_facts, store_url
from features.screen import Screen
from features.settings import Settings
from features.stamp import Stamp
from features.tag_store import TagStore
from features.tags import TAGS
from serving.bundle import ModelSet
from serving.scoring import PublishedFeatures, ScoringContext
from serving.triggers.at_night import due_after_night
from serving.triggers.at_work import known_tags, triggers_at_work
from serving.triggers.declared import Trigger, Triggers
from serving.triggers.evaluation import Batch
from serving.triggers.in_force import InForce, tags_of
from serving.triggers.message import read_message
from serving.triggers.names import numbers_in, outputs_in
from serving.triggers.reading import read_all
from serving.triggers.records import Records
from serving.triggers.replay import Day, Replayed, replay
from serving.triggers.store import TriggerStore
from serving.triggers.tags_now import TagsNow
from serving.triggers.words import attentions, limit_in_words, words_of

NO_MODELS = ModelSet({}, {})


@dataclass(frozen=True, slots=True)
class TriggerJobs:
    """Checking, replaying and looking at triggers, on one set of settings and one screen."""

    settings: Settings
    screen: Screen

    def check(self, files: Sequence[Path], *, replayed: str | None) -> dict[str, Any]:
        """What files mean, in words, and what they would have fired on a day; returns the same for a program.

        Raises
        ------
        TriggersRefused
            A file says what triggers cannot say.
        """
        facts, rows, table = None, None, None
        tags: Iterable[str] = self._tags()
        if replayed is not None:
            facts = open_facts(self.settings)
            rows, table = _built(facts, self._day(replayed, facts))
            tags = {*tags, *table.tags}
        triggers = read_all(files, frozenset(tags))
        found: dict[str, Any] = {"triggers": [self._told(trigger) for trigger in triggers.triggers]}
        self.screen.say(limit_in_words(triggers))
        found["limit"] = limit_in_words(triggers)
        if facts is not None and rows is not None and table is not None:
            found["replay"] = self._replay(facts, rows, table, triggers)
        return found

    def list(self) -> dict[str, Any]:
        """The triggers in force, and how often each fired as far back as the stream reaches."""
        files = sorted(self.settings.triggers_dir.glob("*.toml"))
        triggers = read_all(files, self._tags()) if files else Triggers()
        with store_url(self.settings) as url, closing(TriggerStore(url, prefix=self.settings.key_prefix)) as store:
            arms, due = _fired(store), store.due_count()
        rows = [(t.name, t.campaign, ", ".join(t.on), _arms(arms, t.name)) for t in triggers.triggers]
        self.screen.table(f"Triggers of {self.settings.triggers_dir}", ("trigger", "campaign", "on", "fired, by arm"), rows)
        self.screen.say(f"{due:,} firings are put off.")
        listed = [
            {"name": t.name, "campaign": t.campaign, "on": list(t.on), "fired": dict(arms.get(t.name, {}))}
            for t in triggers.triggers
        ]
        return {"triggers": listed, "put_off": due}

    def due(self) -> dict[str, Any]:
        """Fire all that was put off and is due by now; for shops whose stream has no worker."""
        found, outcomes = 0, Counter[str]()
        with store_url(self.settings) as url, closing(triggers_at_work(self.settings, url)) as work:
            while True:
                told, some = work.firing.due(self.settings.clock())
                outcomes, found = outcomes + told, found + some
                if not some or not sum(told.values()):
                    break
            work.firing.trim(self.settings.clock(), work.kept)
        self.screen.say(f"{found:,} firings were due: {', '.join(f'{n:,} {name}' for name, n in outcomes.items()) or 'none'}.")
        return {"due": found, "outcomes": dict(outcomes)}

    def _tags(self) -> frozenset[str]:
        """Tags there are: declared ones, and those of the shop's own values where a store is at hand."""
        if not self.settings.redis_url and not (self.settings.data_dir / "store").is_dir():
            return frozenset(TAGS)
        try:
            with store_url(self.settings) as url, closing(TagStore(url, prefix=self.settings.key_prefix)) as store:
                return known_tags(store)
        except RapportError:
            return frozenset(TAGS)

    def _told(self, trigger: Trigger) -> dict[str, Any]:
        words = words_of(trigger)
        self.screen.say(f"{trigger.name}: {escape(trigger.meaning or 'no meaning')}")
        for sentence in words:
            self.screen.say(f"  {escape(sentence)}")
        looked_at = list(attentions(trigger))
        if trigger.placement and not (self.settings.rules_dir / f"{trigger.placement}.toml").exists():
            looked_at.append(
                f"{trigger.name} names placement {trigger.placement}, and {self.settings.rules_dir} has no such file"
            )
        for sentence in looked_at:
            self.screen.say(f"  Attention: {escape(sentence)}")
        return {"name": trigger.name, "campaign": trigger.campaign, "words": words, "attention": looked_at}

    def _day(self, text: str, facts: Facts) -> int:
        try:
            day = day_number(date.fromisoformat(text))
        except ValueError as error:
            raise ConfigurationError(f"--replay {text!r} is no day", remedy="write 2017-12-01") from error
        if not facts.manifest.first_day < day < facts.manifest.until_day:
            first, last = calendar_day(facts.manifest.first_day + 1), calendar_day(facts.manifest.until_day - 1)
            raise ConfigurationError(
                f"--replay {text}: the facts do not hold that day", remedy=f"write a day from {first} to {last}"
            )
        return day

    def _replay(self, facts: Facts, rows: Any, table: Any, triggers: Triggers) -> dict[str, Any]:
        force = InForce(triggers)
        outputs = outputs_in(frozenset().union(*(numbers_in(trigger.condition) for trigger in triggers.triggers)))
        models = ModelSet.load(self.settings.mlruns_dir) if outputs else NO_MODELS
        missing = sorted(outputs - set(models.served))
        if missing:
            self.screen.say(f"Attention: no champion of {', '.join(missing)}: conditions on its scores hold for nobody.")
        day = _day_of(facts, rows, table, models, tags_of(triggers.triggers), self.settings)
        found = replay(day, force, key=self.settings.identity_key.encode())
        self._show(found, rows.day, triggers)
        return _as_json(found, rows.day)

    def _show(self, found: Replayed, day: int, triggers: Triggers) -> None:
        lines = [
            (t.name, sum(found.fired[t.name].values()), _counted(found.fired[t.name]), _counted(found.others[t.name]))
            for t in triggers.triggers
        ]
        title = f"What would have fired on {calendar_day(day)}, for {found.events:,} events of {found.members:,} members"
        self.screen.table(title, ("trigger", "fired", "by arm", "held, and not fired"), lines)


def find_at_night(settings: Settings, url: str, facts: Facts, day: int, parts: Iterable[tuple[Any, Any]]) -> dict[str, int]:
    """Put off what the passing of time sets off by the midnight a day begins with; returns how many were found by trigger.

    Parameters
    ----------
    parts
        Members and their aggregates as of that midnight, in as many parts as one likes; they are published already.
    """
    with (
        closing(TriggerStore(url, prefix=settings.key_prefix)) as store,
        closing(TagStore(url, prefix=settings.key_prefix)) as tags,
    ):
        files = sorted(settings.triggers_dir.glob("*.toml"))
        triggers = read_all(files, known_tags(tags)).by_time if files else ()
        stamp = tags.read_stamp()
        if not triggers or stamp is None:
            return {}
        before = _night_before(store, day)
        found = Counter({trigger.name: 0 for trigger in triggers})
        holders, names = TagsNow(tags), tags_of(triggers)
        models = ModelSet.load(settings.mlruns_dir) if _outputs(triggers) else NO_MODELS
        context = ScoringContext(CONTRACT, models, facts.midnight(day).astimezone(UTC), settings.max_staleness_h * 3600.0)
        then, published = replace(context, moment=facts.midnight(before)), PublishedFeatures(stamp)
        for members, records in parts:
            ids = members.tolist()
            batch = Batch(
                ids, Records(context, published, records), Records(then, published, records), tags=holders.of(ids, names)
            )
            due = due_after_night(triggers, batch, day=day, moment=settings.clock(), zone=published.zone)
            store.put_off(due)
            found.update(each.trigger for each in due)
        store.looked(before, day)
        return dict(found)


def _outputs(triggers: Sequence[Trigger]) -> frozenset[str]:
    return outputs_in(frozenset[str]().union(*(numbers_in(trigger.condition) for trigger in triggers)))


def _night_before(store: TriggerStore, day: int) -> int:
    """The day whose night looked before this one: the same again if this night is looked at again."""
    known = store.nights()
    if known is None or known[1] > day:
        return day - 1
    return known[0] if known[1] == day else known[1]


def _built(facts: Facts, day: int) -> tuple[Any, Any]:
    """Feature rows and tags as of the midnight a day begins with."""
    from features.build import build
    from features.published_tags import new_index
    from features.tagging import evaluate_tags

    rows = build(facts, as_of=facts.midnight(day))
    return rows, evaluate_tags(facts, rows, new_index())


def _day_of(facts: Facts, rows: Any, table: Any, models: ModelSet, tags: frozenset[str], settings: Settings) -> Day:
    from features.capabilities import silent
    from features.codec import empty_records
    from features.events.from_facts import events_of_day
    from features.opt_outs import opted_out_members
    from features.publish_shop import shelf_of

    edges = {name: None if np.isnan(value) else float(value) for name, value in rows.edges.items()}
    stamp = Stamp(
        contract=rows.contract.hash,
        as_of=rows.as_of.isoformat(),
        published_at=rows.as_of.isoformat(),
        time_zone=rows.time_zone,
        facts_hash=rows.facts_hash,
        members=len(rows.member_ids),
        edges=edges,
    )
    unknown = [aggregate.name for aggregate in silent(CONTRACT.aggregates, facts.absent(rows.day))]
    places = table.index.positions(rows.member_ids)
    nobody = np.zeros(len(places), dtype=np.bool_)
    holders = {
        name: np.unpackbits(table.tags[name])[places].astype(np.bool_) if name in table.tags else nobody for name in tags
    }
    return Day(
        context=ScoringContext(CONTRACT, models, rows.as_of, settings.max_staleness_h * 3600.0),
        published=PublishedFeatures(stamp),
        member_ids=rows.member_ids,
        records=rows.records,
        tags=holders,
        newcomer=empty_records(CONTRACT, 1, unknown=unknown),
        opted_out=frozenset(member.decode() for member in opted_out_members(facts).tolist()),
        shelf=shelf_of(facts),
        events=events_of_day(facts, rows.day),
        number=rows.day,
    )


def _fired(store: TriggerStore) -> dict[str, Counter[str]]:
    """Firings by trigger and arm as far back as the stream reaches."""
    found: dict[str, Counter[str]] = {}
    for value in store.messages():
        try:
            message = read_message(value)
        except ValueError:
            continue
        found.setdefault(message.trigger, Counter())[message.arm] += 1
    return found


def _arms(arms: dict[str, Counter[str]], trigger: str) -> str:
    return _counted(arms.get(trigger, Counter())) or "-"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items()) if number)


def _as_json(found: Replayed, day: int) -> dict[str, Any]:
    others = {name: {what: number for what, number in counts.items() if number} for name, counts in found.others.items()}
    return {
        "day": str(calendar_day(day)),
        "events": found.events,
        "members": found.members,
        "fired": {name: dict(arms) for name, arms in found.fired.items() if arms},
        "held_and_not_fired": {name: counts for name, counts in others.items() if counts},
    }
