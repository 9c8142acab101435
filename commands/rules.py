"""The jobs of `rapport rules` and `rapport stock`: what a rules file means on the shop's items, and what is sold out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape

from features.errors import FactsMissing
from features.jobs import open_facts, store_url
from features.rules.codes import CODES, MEANINGS
from features.rules.compiled import compile_rules
from features.rules.declared import Rules
from features.rules.reading import read_rules
from features.rules.shelf import ABSENT, Shelf
from features.rules.words import in_words
from features.screen import Screen
from features.settings import Settings
from features.shop_store import ShopStore

SHOWN_NAMES = 10


@dataclass(frozen=True, slots=True)
class RulesJob:
    """Checking rules files, on one set of settings and one screen."""

    settings: Settings
    screen: Screen

    def check(self, files: Sequence[Path]) -> dict[str, Any]:
        """What each file means, in words and on the items of the facts; returns the same for a program.

        Raises
        ------
        RulesRefused
            A file says what rules cannot say; nothing is shown of those after it.
        """
        shelf = self._shelf()
        return {"rules": [self._check(read_rules(file), shelf) for file in files]}

    def _shelf(self) -> Shelf | None:
        """The items of the facts; None without facts, so that a file can be checked before there are any."""
        from features.publish_shop import shelf_of

        try:
            return shelf_of(open_facts(self.settings))
        except FactsMissing:
            self.screen.say("There are no facts here, so names are not compared with the shop's items.")
            return None

    def _check(self, rules: Rules, shelf: Shelf | None) -> dict[str, Any]:
        words = in_words(rules)
        self.screen.say(f"{rules.name}: {rules.describes or 'no description'}")
        for sentence in words:
            self.screen.say(f"  {escape(sentence)}")
        found: dict[str, Any] = {"name": rules.name, "describes": rules.describes, "words": words}
        return found if shelf is None else found | self._on_the_shelf(rules, shelf)

    def _on_the_shelf(self, rules: Rules, shelf: Shelf) -> dict[str, Any]:
        """How many items are left and what took the others away, and the names that no item has."""
        barred = compile_rules(rules, shelf, adult=False).barred[: len(shelf)]
        counts = np.bincount(barred, minlength=len(CODES))
        removed = {CODES[code]: int(counts[code]) for code in np.flatnonzero(counts).tolist() if code}
        rows = [(code, count, MEANINGS[code]) for code, count in removed.items()]
        if rows:
            self.screen.table(
                f"What {rules.name} takes away, the first rule against each item", ("rule", "items", "meaning"), rows
            )
        self.screen.say(f"  {int(counts[0]):,} of {len(shelf):,} items may be shown to somebody whose age is not known.")
        strange = list(names_of_nothing(rules, shelf))
        for key, names in strange:
            shown = ", ".join(names[:SHOWN_NAMES]) + (" …" if len(names) > SHOWN_NAMES else "")
            self.screen.say(f"  Attention: {key} names what no item has: {escape(shown)}")
        return {"items": len(shelf), "allowed": int(counts[0]), "removed": removed, "unknown_names": dict(strange)}


def names_of_nothing(rules: Rules, shelf: Shelf) -> Iterator[tuple[str, list[str]]]:
    """For each key, the names in it that the shop's items do not have: slips of the pen, mostly."""
    categories, brands = frozenset(shelf.categories.tolist()), frozenset(shelf.brands.tolist())
    named = {
        "category.include": (rules.category.include, categories),
        "category.exclude": (rules.category.exclude, categories),
        "category.caps": ([name for name, _ in rules.category.caps], categories),
        "brand.include": (rules.brand.include, brands),
        "brand.exclude": (rules.brand.exclude, brands),
        "brand.caps": ([name for name, _ in rules.brand.caps], brands),
        "age.restricted_categories": (rules.adult_categories, categories),
    }
    for key, (names, known) in named.items():
        if strange := [name for name in names if name not in known]:
            yield key, strange
    for key, items in (
        ("list.pinned", rules.pinned),
        ("withdrawn.items", rules.withdrawn),
        ("age.restricted_items", rules.adult_items),
    ):
        if strange := [item for item in items if shelf.row_of.get(item, ABSENT) == ABSENT]:
            yield key, strange


def mark_stock(
    settings: Settings, screen: Screen, item_ids: Sequence[str], *, store: str | None, sold_out: bool
) -> dict[str, Any]:
    """Take items off the shelf, of a store or of all, or put them back; servers see it within seconds."""
    with store_url(settings) as url:
        shop = ShopStore(url, prefix=settings.key_prefix)
        try:
            (shop.mark_sold_out if sold_out else shop.mark_back)(item_ids, store=store)
        finally:
            shop.close()
    where = f"at {store}" if store else "everywhere"
    screen.say(f"{len(item_ids)} items {'sold out' if sold_out else 'back'} {escape(where)}.")
    return {"items": list(item_ids), "store": store, "sold_out": sold_out}
