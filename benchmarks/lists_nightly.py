"""What everyone's lists cost at night, all of it: histories from days of purchases, candidates, ranking, lists, Redis.

python benchmarks/lists_nightly.py [--members 20000] [--items 20000] [--bucket 16384] [--threads 2]
                                   [--steps candidates night after]

Purchases, items, neighbours and factors are drawn at random, the ranker has the trees that train makes by default. Members are
taken bucket by bucket, as the job takes them from facts, and blocks of a bucket on several threads, as the job makes them.
Steps: everybody's candidates alone; a night into a store of its own that finds nothing there; the night after, before which a
tenth of the members bought something. `_s` are seconds by the clock, `_cpu_s` the processor's of this process, of which
`written_cpu_s` go into lists as they are stored and their way to the store, which has its own. Drawing purchases is in neither,
nor is reading the facts' files, which stands in its place (features.py). JSON on the last line.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")  # before numpy is loaded
sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import numpy as np
import redis

from features.contract import CONTRACT_HASH
from features.embedded import embedded_store
from features.online_store import RedisStore
from training.artifacts import BundleManifest
from training.interactions import PurchaseDays
from training.lists.behaviour import Behaviour, ItemFacts, Looks, Visits
from training.lists.ranker import Examples, RankerSettings, fit_ranker
from training.predictors import Histories, Recommender
from training.predictors.catalogue import Catalogue
from training.predictors.list_facts import as_stored
from training.predictors.list_features import FEATURES
from training.predictors.list_signals import signals
from training.predictors.list_sources import Depths, candidate_pairs
from training.predictors.lists import BLOCK
from training.predictors.nightly_lists import NightlyBlock, nightly_blocks
from training.predictors.packed_history import fingerprints, hash_of, pack
from training.publish_answers import member_histories
from training.returns import NEVER

LENGTH, FACTORS, NEIGHBOURS, PURCHASES, KINDS, STORES = 50, 64, 50, 80, 500, 50
CATEGORIES, GROUPS = 50, 8
DAY = 300
STEPS = ("candidates", "night", "after")
MODEL = "recommender@1"


def made_up_catalogue(items: int, generator: np.random.Generator) -> Catalogue:
    """Items without any meaning, of the shapes that a real catalogue has."""

    def numbers(*shape: int) -> np.ndarray:
        return generator.gamma(1.0, 1.0, shape).astype(np.float32)

    return Catalogue(
        item_ids=np.array([f"i{number:06}" for number in range(items)]),
        kinds=generator.integers(0, KINDS, items).astype(np.int32),
        categories=generator.integers(0, CATEGORIES, items).astype(np.int32),
        category_names=np.array([f"c{number:02}" for number in range(CATEGORIES)]),
        factors=generator.normal(0, 0.1, (items, FACTORS)).astype(np.float32),
        rarity=np.ones(items, dtype=np.float32),
        neighbours=generator.integers(0, items, (items, NEIGHBOURS)).astype(np.int32),
        similarities=-np.sort(-generator.random((items, NEIGHBOURS)), axis=1).astype(np.float32),
        leads=generator.integers(0, items, (items, NEIGHBOURS)).astype(np.int32),
        effects=numbers(items, NEIGHBOURS) / 50,
        gaps=20 * numbers(items) + 1,
        shapes=numbers(items) + 1,
        returning=generator.random(items).astype(np.float32),
        buyers_28d=np.round(100 * numbers(items)),
        buyers_7d=np.round(25 * numbers(items)),
        item_age_days=np.full(items, 300, dtype=np.float32),
        price_level=generator.normal(0, 0.3, items).astype(np.float32),
        store_ids=np.array([f"s{number:02}" for number in range(STORES)]),
        store_share=generator.normal(0, 0.2, (STORES, items)).astype(np.float32),
        group_centres=np.sqrt(generator.dirichlet(np.ones(CATEGORIES), GROUPS)).astype(np.float32),
        group_share=generator.normal(0, 0.2, (GROUPS, items)).astype(np.float32),
        buyers_season=np.zeros(items, dtype=np.float32),
    )


def made_up_recommender(catalogue: Catalogue, generator: np.random.Generator) -> Recommender:
    """A ranker of the usual size that learned nothing worth knowing."""
    rows = generator.gamma(1.0, 1.0, (20_000, len(FEATURES))).astype(np.float32)
    bought = (rows[:, 0] + rows[:, 7] + generator.normal(0, 1, len(rows)) > 3.5).astype(np.float32)
    learned = Examples(rows, bought, np.full(200, 100))
    parameters = {"alpha": 2.0, "regularization": 20.0, "count": "slow", "shape": "linear", "serves": "ranked"}
    manifest = BundleManifest("recommender", "recommender", "xgboost", CONTRACT_HASH, (), {}, parameters, {})
    return Recommender(manifest, catalogue, fit_ranker(learned, RankerSettings(), engine="xgboost", seed=1), rows[:8])


def made_up_behaviour(ids: range, catalogue: Catalogue, generator: np.random.Generator) -> Behaviour:
    """Some eighty purchases each within ten months, most of them of popular items, no looks, one store each."""
    members = len(ids)
    size = members * PURCHASES
    owner = np.repeat(np.arange(members, dtype=np.int32), PURCHASES)
    items = (len(catalogue) * generator.random(size) ** 2).astype(np.int32)
    bought = _sorted(owner, items, generator.integers(0, DAY, size).astype(np.int32))
    names = np.array([f"m{number:07}" for number in ids])
    nothing = np.empty(0, dtype=np.int32)
    first = np.searchsorted(bought[0], np.arange(members))
    stores = generator.integers(0, STORES, members).astype(np.int32)
    visits = Visits(bought[0][first], stores, bought[2][first], catalogue.store_ids)
    about = ItemFacts(
        catalogue.kinds, catalogue.categories, catalogue.category_names, np.ones(len(catalogue), dtype=np.float32)
    )
    looks = Looks(nothing, nothing, nothing, np.empty(0, dtype=np.float32))
    kept = np.full(size, NEVER, dtype=np.int32)
    return Behaviour(PurchaseDays(names, catalogue.item_ids, *bought, kept), looks, visits, about)


def _sorted(*columns: np.ndarray) -> list[np.ndarray]:
    order = np.lexsort(columns[::-1])
    return [column[order] for column in columns]


def a_day_later(seen: Behaviour, generator: np.random.Generator) -> Behaviour:
    """The same with three purchases on the next day by a tenth of the members."""
    bought = seen.bought
    some = generator.choice(len(bought.member_ids), len(bought.member_ids) // 10, replace=False).astype(np.int32)
    owner = np.repeat(some, 3)
    items = (len(bought.item_ids) * generator.random(len(owner)) ** 2).astype(np.int32)
    new = (owner, items, np.full(len(owner), DAY, dtype=np.int32))
    whole = _sorted(*(np.concatenate(pair) for pair in zip((bought.members, bought.items, bought.days), new, strict=True)))
    kept = np.full(len(whole[0]), NEVER, dtype=np.int32)
    return replace(seen, bought=PurchaseDays(bought.member_ids, bought.item_ids, *whole, kept))


class Watch:
    """Seconds by name, by the clock and of the processor."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Add what the block takes."""
        began, at = time.process_time(), time.perf_counter()
        yield
        for which, seconds in (("s", time.perf_counter() - at), ("cpu_s", time.process_time() - began)):
            self.add(f"{name}_{which}", seconds)

    def add(self, name: str, seconds: float) -> None:
        """Add to one number."""
        self.spent[name] = self.spent.get(name, 0.0) + seconds


@dataclass(frozen=True)
class Night:
    """One night, for one bucket of members after the other."""

    recommender: Recommender
    store: RedisStore
    day: int
    threads: int
    watch: Watch = field(default_factory=Watch)
    written: dict[str, int] = field(default_factory=lambda: {"lists": 0, "pasts": 0})

    def look(self, seen: Behaviour) -> int:
        """Candidates of a bucket's members and nothing else; returns how many."""
        with self.watch.on("candidates"):
            histories = self._histories(seen)
            with ThreadPoolExecutor(self.threads) as pool:
                return sum(pool.map(self._candidates, histories.blocks(BLOCK)))

    def take(self, seen: Behaviour) -> None:
        """The lists of a bucket's members into the store, as `publish_lists` writes them."""
        members = seen.bought.member_ids.tolist()
        with self.watch.on("ranked"):
            for block in nightly_blocks(self.recommender, self._histories(seen), k=LENGTH, threads=self.threads):
                began = time.thread_time()
                batch, members = members[: len(block.histories)], members[len(block.histories) :]
                self._write(batch, block)
                self.watch.add("written_cpu_s", time.thread_time() - began)

    @property
    def found(self) -> dict[str, float]:
        """What it took and wrote."""
        return {name: round(seconds, 1) for name, seconds in self.watch.spent.items()} | self.written

    def _histories(self, seen: Behaviour) -> Histories:
        return member_histories(seen, self.recommender, seen.bought.member_ids, day=self.day)

    def _candidates(self, block: Histories) -> int:
        found = signals(self.recommender.catalogue, block, self.recommender.taste(block))
        marks = candidate_pairs(self.recommender.catalogue, self.recommender.shelves, block, found, Depths())
        return int(np.count_nonzero(marks))

    def _write(self, batch: list[str], block: NightlyBlock) -> None:
        moment, stamp = f"2024-01-0{1 + self.day - DAY}T00:00:00+00:00", hash_of(self.recommender.catalogue)
        lists = as_stored(block.lists, self.recommender.catalogue, block.histories, model=MODEL, as_of=moment)
        self.written["lists"] += self.store.write_lists(batch, list(lists))
        prints = fingerprints(block.histories, catalogue_hash=stamp, model=MODEL)
        self.written["pasts"] += self.store.write_list_pasts(batch, prints, partial(_record, block, stamp, prints))


def _record(block: NightlyBlock, stamp: bytes, prints: list[bytes], row: int) -> bytes:
    return pack(block.histories.of(row, row + 1), stamp, kept=block.kept(row), fingerprint=prints[row])


def steps(given: argparse.Namespace, recommender: Recommender, store: RedisStore) -> dict[str, Any]:
    """What was asked for, bucket by bucket, one night after the other."""
    starts, number = range(0, given.members, given.bucket), 0
    first, second = (Night(recommender, store, day, given.threads) for day in (DAY, DAY + 1))
    for start in starts:
        seen = _bucket(start, given, recommender)
        if "candidates" in given.steps:
            number += first.look(seen)
        if "night" in given.steps:
            first.take(seen)
        print(f"{start + len(seen.bought.member_ids):,} members", first.found, file=sys.stderr, flush=True)
    if "after" in given.steps:
        for start in starts:
            second.take(a_day_later(_bucket(start, given, recommender), np.random.default_rng(start + 1)))
    after = {"night_after": second.found} if "after" in given.steps else {}
    return {"candidates_a_member": round(number / given.members, 1), **first.found, **after}


def _bucket(start: int, given: argparse.Namespace, recommender: Recommender) -> Behaviour:
    ids = range(start, min(start + given.bucket, given.members))
    return made_up_behaviour(ids, recommender.catalogue, np.random.default_rng(start))


def main() -> None:
    """Run the nights and say what they cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("members", 20_000), ("items", 20_000), ("bucket", 16_384), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    given = parser.parse_args()
    generator, load = np.random.default_rng(5), [os.getloadavg()[0]]
    recommender = made_up_recommender(made_up_catalogue(given.items, generator), generator)
    with tempfile.TemporaryDirectory() as folder, embedded_store(Path(folder)) as url:
        found = steps(given, recommender, RedisStore(url, prefix="bench"))
        client = redis.Redis.from_url(url)
        keys, busy = client.info("memory")["used_memory"], client.info("cpu")
        client.flushall()  # else the store would write it all to disk as it ends
    figures = {
        "members": given.members,
        "items": given.items,
        "threads": given.threads,
        **found,
        "store_cpu_s": round(busy["used_cpu_user"] + busy["used_cpu_sys"], 1),
        "store_kb_a_member": round(keys / given.members / 1024, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "load": [round(each, 1) for each in (*load, os.getloadavg()[0])],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
