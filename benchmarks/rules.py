"""Are the rules ever broken, and what do they cost? Random lists under random rules, each checked by a naive reading of them.

make bench                                  JSON on the last line: lists, violations, seconds of filling and of checking
.venv/bin/python benchmarks/rules.py --lists 100000
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import json
import time

import numpy as np
from numpy.typing import NDArray

from features.rules.codes import code_of
from features.rules.compiled import compile_rules
from features.rules.declared import Rules
from features.rules.filling import Filling, bought_lately
from features.rules.shelf import PADDING, Shelf
from tests.rule_oracle import Asked, Item, random_items, random_rules, shelf_of, violations

ITEMS, CANDIDATES, K, TOGETHER = 300, 60, 10, 1000


class Round:
    """A thousand lists under one set of rules: what was asked, what came out, and what is wrong with it."""

    def __init__(self, generator: np.random.Generator, items: dict[str, Item], shelf: Shelf, lists: int) -> None:
        self.items, self.ids = items, np.array(list(items))
        self.rules: Rules = random_rules(generator, list(items))
        self.adult = bool(generator.random() < 0.5)
        self.sold_out = generator.random(ITEMS) < 0.1
        bought = generator.random((lists, ITEMS)) < 0.1
        self.since = np.where(bought, generator.integers(0, 20, (lists, ITEMS)), np.nan).astype(np.float32)
        self.due = generator.random((lists, ITEMS)) < 0.3
        self.excluded = generator.random((lists, ITEMS)) < 0.02
        self.rows = generator.integers(PADDING, ITEMS, (lists, CANDIDATES)).astype(np.int32)
        self.shelf = shelf

    def filled(self) -> NDArray[np.int32]:
        """The lists: pinned items, own candidates, then everything there is."""
        ready = compile_rules(self.rules, self.shelf, sold_out=self.sold_out, adult=self.adult)
        rules = self.rules
        lately = bought_lately(self.since, self.due, within_days=rules.bought_within_days, unless_due=rules.unless_due)
        against = np.where(self.excluded, code_of("EXCLUDED_BY_REQUEST"), lately).astype(np.int8)
        against = np.pad(against, ((0, 0), (0, 2)))
        filling = Filling.empty(ready, lists=len(self.rows), k=K)
        everything = np.arange(ITEMS, dtype=np.int32)
        for feed in (ready.pinned, self.rows, everything):
            offered = np.broadcast_to(feed, (len(self.rows), feed.shape[-1]))
            filling.feed(feed, against=np.take_along_axis(against, offered, axis=1))
        filling.shortened(least=rules.min_length)
        return filling.chosen

    def wrong(self, chosen: NDArray[np.int32]) -> int:
        """How many of the lists break a rule."""
        sold_out = frozenset(self.ids[self.sold_out].tolist())
        broken = 0
        for which, rows in enumerate(chosen):
            known = np.flatnonzero(~np.isnan(self.since[which]))
            asked = Asked(
                self.adult,
                sold_out,
                frozenset(self.ids[self.excluded[which]].tolist()),
                dict(zip(self.ids[known].tolist(), self.since[which, known].tolist(), strict=True)),
                frozenset(self.ids[self.due[which]].tolist()),
            )
            broken += bool(violations(self.rules, self.items, self.ids[rows[rows != PADDING]].tolist(), asked, k=K))
        return broken


def main() -> None:
    """Fill and check the lists; print the figures as JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    generator = np.random.default_rng(asked.seed)
    items = random_items(generator, ITEMS)
    shelf = shelf_of(items)
    found = {"lists": 0, "violations": 0, "items": 0, "empty": 0}
    filling_s = checking_s = 0.0
    while found["lists"] < asked.lists:
        each = Round(generator, items, shelf, min(TOGETHER, asked.lists - found["lists"]))
        begun = time.process_time()
        chosen = each.filled()
        filled = time.process_time()
        found["violations"] += each.wrong(chosen)
        filling_s, checking_s = filling_s + filled - begun, checking_s + time.process_time() - filled
        found["lists"] += len(chosen)
        found["items"] += int((chosen != PADDING).sum())
        found["empty"] += int((chosen == PADDING).all(axis=1).sum())
    seconds = {"filling_cpu_s": round(filling_s, 1), "checking_cpu_s": round(checking_s, 1)}
    print(f"{found['lists']:,} lists, {found['items']:,} items, {found['violations']} broken; {seconds}")
    print(json.dumps({**found, **seconds, "filling_us_per_list": round(filling_s / found["lists"] * 1e6, 1)}))


if __name__ == "__main__":
    main()
