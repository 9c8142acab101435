"""What everyone's lists cost at night, all of it: histories from days of purchases, candidates, ranking, lists, Redis.

python benchmarks/lists_nightly.py [--members 20000] [--items 20000]

Purchases, items, neighbours and factors are drawn at random, the ranker has the trees that train makes by default. Two nights
are run as the nightly job runs them, into a store of their own: one that finds nothing there, and the next, before which a
tenth of the members bought something. Processor seconds of one thread, the store's apart; *_million_s is what a million
members would take at that rate on two cores, as blocks know nothing of each other. Reading the facts' files is not among them
(benchmarks/features.py). JSON on the last line.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

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

LENGTH, FACTORS, NEIGHBOURS, PURCHASES, KINDS, STORES = 50, 64, 50, 80, 500, 50
CATEGORIES, GROUPS = 50, 8
DAY = 300
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


def made_up_behaviour(members: int, catalogue: Catalogue, generator: np.random.Generator) -> Behaviour:
    """Some eighty purchases each within ten months, most of them of popular items, no looks, one store each."""
    size = members * PURCHASES
    owner = np.repeat(np.arange(members, dtype=np.int32), PURCHASES)
    items = (len(catalogue) * generator.random(size) ** 2).astype(np.int32)
    bought = _sorted(owner, items, generator.integers(0, DAY, size).astype(np.int32))
    ids = np.array([f"m{number:07}" for number in range(members)])
    nothing = np.empty(0, dtype=np.int32)
    first = np.searchsorted(bought[0], np.arange(members))
    stores = generator.integers(0, STORES, members).astype(np.int32)
    visits = Visits(bought[0][first], stores, bought[2][first], catalogue.store_ids)
    about = ItemFacts(
        catalogue.kinds, catalogue.categories, catalogue.category_names, np.ones(len(catalogue), dtype=np.float32)
    )
    looks = Looks(nothing, nothing, nothing, np.empty(0, dtype=np.float32))
    return Behaviour(PurchaseDays(ids, catalogue.item_ids, *bought), looks, visits, about)


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
    return replace(seen, bought=PurchaseDays(bought.member_ids, bought.item_ids, *whole))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Watch:
    """Processor seconds by name."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Add what the block takes."""
        began = time.process_time()
        yield
        self.spent[name] = self.spent.get(name, 0.0) + time.process_time() - began


def a_night(recommender: Recommender, seen: Behaviour, day: int, store: RedisStore) -> dict[str, float]:
    """Everyone's lists into the store, as `publish_lists` writes them, step by step under the watch."""
    watch, written, stamp = Watch(), {"lists": 0, "pasts": 0}, hash_of(recommender.catalogue)
    moment, members = f"2024-01-0{1 + day - DAY}T00:00:00+00:00", seen.bought.member_ids.tolist()
    with watch.on("read_s"):
        everyone = member_histories(seen, recommender, members, day=day)
    blocks = nightly_blocks(recommender, everyone, k=LENGTH)
    for start in range(0, len(members), BLOCK):
        with watch.on("ranked_s"):
            block = next(blocks)
        batch = members[start : start + BLOCK]
        with watch.on("write_s"):
            lists = as_stored(block.lists, recommender.catalogue, block.histories, model=MODEL, as_of=moment)
            written["lists"] += store.write_lists(batch, list(lists))
            prints = fingerprints(block.histories, catalogue_hash=stamp, model=MODEL)
            record = partial(_record, block, stamp, prints)
            written["pasts"] += store.write_list_pasts(batch, prints, record)
    return {name: round(seconds, 2) for name, seconds in watch.spent.items()} | written


def _record(block: NightlyBlock, stamp: bytes, prints: list[bytes], row: int) -> bytes:
    return pack(block.histories.of(row, row + 1), stamp, kept=block.kept(row), fingerprint=prints[row])


def candidates(recommender: Recommender, histories: Histories) -> tuple[float, float]:
    """Seconds for everybody's candidates alone, and how many a member has."""
    began, number = time.process_time(), 0
    for block in histories.blocks(BLOCK):
        found = signals(recommender.catalogue, block, recommender.taste(block))
        marks = candidate_pairs(recommender.catalogue, recommender.shelves, block, found, Depths())
        number += int((marks > 0).sum())
    return time.process_time() - began, number / len(histories)


def main() -> None:
    """Run two nights and say what they cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=20_000)
    given = parser.parse_args()
    generator = np.random.default_rng(5)
    recommender = made_up_recommender(made_up_catalogue(given.items, generator), generator)
    seen = made_up_behaviour(given.members, recommender.catalogue, generator)
    with tempfile.TemporaryDirectory() as folder, embedded_store(Path(folder)) as url:
        store = RedisStore(url, prefix="bench")
        first = a_night(recommender, seen, DAY, store)
        second = a_night(recommender, a_day_later(seen, generator), DAY + 1, store)
        keys = redis.Redis.from_url(url).info("memory")["used_memory"]
        busy = redis.Redis.from_url(url).info("cpu")
    some = member_histories(seen, recommender, seen.bought.member_ids[:4096].tolist(), day=DAY)
    candidates_s, each = candidates(recommender, some)
    million = 1e6 / given.members / 2
    figures = {
        "members": given.members,
        "items": given.items,
        "candidates_s": round(candidates_s * given.members / len(some), 1),
        "candidates_a_member": round(each, 1),
        **first,
        "night_after": second,
        "candidates_million_s": round(candidates_s / len(some) * 1e6 / 2),
        "ranked_million_s": round((first["read_s"] + first["ranked_s"]) * million),
        "night_million_s": round((first["read_s"] + first["ranked_s"] + first["write_s"]) * million),
        "night_after_million_s": round((second["read_s"] + second["ranked_s"] + second["write_s"]) * million),
        "store_cpu_s": round(busy["used_cpu_user"] + busy["used_cpu_sys"], 1),
        "store_kb_a_member": round(keys / given.members / 1024, 2),
        "peak_mb": round(_peak_mb()),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
