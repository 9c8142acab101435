"""The jobs around tags: publish them with the features, and choose audiences by them."""

from __future__ import annotations

import csv
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape

from features.audience import Chosen, Population, choose, features_needed, tags_needed, vocabulary_of
from features.audience_language import Selection, parse
from features.errors import ConfigurationError
from features.jobs import as_of_moment, facts_folder, store_url
from features.screen import Screen
from features.settings import Settings
from features.tag_store import TagStamp, TagStore
from features.tags import TAGS

if TYPE_CHECKING:  # these take a second to import: tags alone are chosen without them
    from datetime import datetime

    from features.build import FeatureRows
    from features.facts import Facts

SHOWN_IDS = 10
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""First characters by which a spreadsheet takes a cell for a formula."""


@dataclass(frozen=True, slots=True)
class Audience:
    """An audience with everything to say of it. `ids` are asked for only when they are wanted."""

    chosen: Chosen
    as_of: datetime
    source: str
    ids: Callable[[], list[str]]


def publish_tags(settings: Settings, url: str, facts: Facts, rows: FeatureRows) -> TagStamp:
    """Evaluate every tag and write a generation of them; index and features are kept for the next publish and for audiences."""
    from features.published_tags import forget_features, load_index, published_folder, save_features, save_index
    from features.tagging import evaluate_tags

    folder = published_folder(settings.data_dir)
    table = evaluate_tags(facts, rows, load_index(folder))
    generation = uuid.uuid4().hex[:16]
    save_index(folder, table.index)
    save_features(folder, rows, table.index, generation=generation)
    store = TagStore(url, prefix=settings.key_prefix)
    stamp = store.publish_tags(table, generation=generation, contract=rows.contract.hash)
    forget_features(folder, but=generation)
    return stamp


class AudienceJob:
    """Choosing an audience and showing or writing it."""

    def __init__(self, settings: Settings, *, as_json: bool) -> None:
        self.settings = settings
        self.screen = Screen(as_json=as_json)

    def run(
        self, text: str, *, as_of: str | None, offline: bool, include_opted_out: bool, out: Path | None, count_only: bool
    ) -> dict[str, Any]:
        """Choose, say how many, and write or show ids."""
        if out is not None and not out.parent.is_dir():
            raise ConfigurationError(f"there is no folder {out.parent}", remedy="make it, or name another --out")
        if offline or as_of is not None:
            return self._report(self._offline(text, as_of, include_opted_out), text, out, count_only)
        with store_url(self.settings) as url:
            return self._report(self._online(url, text, include_opted_out), text, out, count_only)

    def members(self, text: str) -> list[str]:
        """Ids of who fits and did not refuse marketing, told to nobody but the caller: what a screen shows may be a log's."""
        with store_url(self.settings) as url:
            return self._online(url, text, include_opted_out=False).ids()

    def _online(self, url: str, text: str, include_opted_out: bool) -> Audience:
        """From the tags published; features that are compared come from the same publish, or from the facts."""
        store = TagStore(url, prefix=self.settings.key_prefix)
        read: list[Selection] = []

        def reading(stamp: TagStamp) -> Selection:
            read.append(parse(text, vocabulary_of({**TAGS, **stamp.counts})))
            return read[-1]

        stamp = store.read_tag_stamp()
        if stamp is None or not features_needed(reading(stamp)):
            stamp, chosen = store.choose(reading, include_opted_out=include_opted_out)
        else:
            stored = store.read_tags(lambda newer: tags_needed(reading(newer)))
            stamp, selection = stored.stamp, read[-1]
            columns = self._features(features_needed(selection), stamp)
            if columns is None:
                self.screen.say("The features of this publish are not kept on this machine: building them from the facts.")
                return self._offline(text, stamp.as_of, include_opted_out)
            population = Population(stored.population, stored.tags, columns)
            chosen = choose(selection, population, include_opted_out=include_opted_out)
        source = f"tags published {stamp.published_at[:16]}"
        return Audience(chosen, stamp.as_of_moment, source, lambda: store.read_ids(stamp, chosen.members))

    def _features(self, names: Sequence[str], stamp: TagStamp) -> dict[str, NDArray[np.float32]] | None:
        from features.contract import CONTRACT_HASH
        from features.published_tags import load_features, published_folder

        if stamp.contract != CONTRACT_HASH:
            return None
        return load_features(published_folder(self.settings.data_dir), names, generation=stamp.generation)

    def _offline(self, text: str, as_of: str | None, include_opted_out: bool) -> Audience:
        """From the facts alone, as of any moment."""
        if as_of is None:
            raise ConfigurationError(
                "an audience from the facts needs a moment", remedy="add --as-of 2018-01-01, or --as-of end-of-facts"
            )
        from features.bitmaps import positions_in
        from features.build import build
        from features.facts import Facts
        from features.published_tags import new_index
        from features.tagging import evaluate_tags, feature_columns

        facts = Facts.open(facts_folder(self.settings))
        with self.screen.progress("features and tags from the facts", 1) as advance:
            rows = build(facts, as_of=as_of_moment(as_of, facts))
            table = evaluate_tags(facts, rows, new_index())
            advance()
        selection = parse(text, vocabulary_of({**TAGS, **table.tags}))
        columns = feature_columns(rows, table.index, features_needed(selection))
        chosen = choose(selection, Population(table.population, table.tags, columns), include_opted_out=include_opted_out)
        ids = table.index.ids[positions_in(chosen.members)]
        return Audience(chosen, rows.as_of, "facts", ids.tolist)

    def _report(self, audience: Audience, text: str, out: Path | None, count_only: bool) -> dict[str, Any]:
        chosen = audience.chosen
        self.screen.say(f"{chosen.count:,} members as of {audience.as_of:%Y-%m-%d %H:%M} UTC, from {audience.source}.")
        if chosen.opted_out:
            self.screen.say(f"{chosen.opted_out:,} who fit refused marketing; they are left out unless --include-opted-out.")
        if chosen.consent_unknown:
            self.screen.say(f"Of {chosen.consent_unknown:,} it is not known whether they agreed to marketing.")
        found: dict[str, Any] = {
            "audience": text,
            "members": chosen.count,
            "opted_out": chosen.opted_out,
            "consent_unknown": chosen.consent_unknown,
            "as_of": audience.as_of.isoformat(),
            "source": audience.source,
        }
        if count_only:
            return found
        ids = audience.ids()
        if out is not None:
            write_ids(out, ids)
            self.screen.say(f"Their ids: {out}")
            return {**found, "out": str(out)}
        if ids:
            self.screen.say(escape(", ".join(ids[:SHOWN_IDS])) + (" …" if len(ids) > SHOWN_IDS else ""))
        return {**found, "member_ids": ids}


def write_ids(path: Path, ids: Sequence[str]) -> None:
    """Ids as CSV under a heading, readable only by the owner; ids that a spreadsheet would run get a quote in front."""
    draft = path.with_name(f"{path.name}.writing")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["member_id"])
        writer.writerows([harmless(member)] for member in ids)
    draft.replace(path)


def harmless(cell: str) -> str:
    """The text, with a quote in front where a spreadsheet would take it for a formula."""
    return f"'{cell}" if cell.startswith(FORMULA_SIGNS) else cell
