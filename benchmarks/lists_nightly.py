"""What everyone's lists cost at night: candidates, ranked lists of fifty, and writing them, from a catalogue of 20,000 items.

python benchmarks/lists_nightly.py [--members 4000] [--items 20000]

Members, items, neighbours and factors are drawn at random, the ranker has the trees that train makes by default. Members are
worked through in blocks on one thread; *_million_s is what a million would take at that rate on two cores, as the blocks know
nothing of each other. The second write is of the same lists: it shows what an unchanged night costs. JSON on the last line.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")  # before numpy is loaded
sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import numpy as np

from features.contract import CONTRACT_HASH
from features.embedded import embedded_store
from features.online_store import RedisStore
from training.artifacts import BundleManifest
from training.lists.ranker import Examples, RankerSettings, fit_ranker
from training.predictors import Histories, Recommender
from training.predictors.catalogue import Catalogue
from training.predictors.histories import bought_once
from training.predictors.list_features import FEATURES
from training.predictors.list_sources import Depths, candidate_pairs, signals
from training.publish_answers import lists_of

LENGTH, FACTORS, NEIGHBOURS, ENTRIES, KINDS, STORES = 50, 64, 50, 60, 500, 50
CATEGORIES, GROUPS = 50, 8
NIGHTLY = Depths(own=40, viewed=5, goes_with=20, similar_taste=20, category=10, popular=10, trending=3)
"""About a hundred candidates a member."""
BLOCK = 256


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


def made_up_histories(members: int, items: int, generator: np.random.Generator) -> Histories:
    """Sixty purchases each, most of them of popular rows."""
    drawn = (items * generator.random((members, ENTRIES)) ** 2).astype(np.int32)
    return bought_once(list(drawn), day=300)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Make everybody's candidates, then everybody's lists, then write these twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=4000)
    parser.add_argument("--items", type=int, default=20_000)
    given = parser.parse_args()
    generator = np.random.default_rng(5)
    recommender = made_up_recommender(made_up_catalogue(given.items, generator), generator)
    histories = made_up_histories(given.members, given.items, generator)
    began, number = time.process_time(), 0
    for block in histories.blocks(BLOCK):
        found = signals(recommender.catalogue, block, recommender.taste(block))
        marks = candidate_pairs(recommender.catalogue, recommender.shelves, block, found, NIGHTLY)
        number += int((marks > 0).sum())
    candidates_s = time.process_time() - began
    began = time.process_time()
    for block in histories.blocks(BLOCK):
        candidates = recommender.candidates(block, depths=NIGHTLY)
        recommender.listed(candidates, recommender.rank(candidates), k=LENGTH)
    ranked_s = time.process_time() - began
    figures = {
        "members": given.members,
        "items": given.items,
        "candidates_s": round(candidates_s, 1),
        "ranked_s": round(ranked_s, 1),
        "candidates_a_member": round(number / given.members, 1),
        "candidates_million_s": round(candidates_s / given.members * 1e6 / 2),
        "ranked_million_s": round(ranked_s / given.members * 1e6 / 2),
        "peak_mb": round(_peak_mb()),
        **written(recommender, histories.of(0, min(2000, given.members))),
    }
    print(json.dumps(figures))


def written(recommender: Recommender, histories: Histories) -> dict[str, float]:
    """Seconds to write lists into a store of our own, and to write the same again a day later."""
    members = [f"m{number:07}" for number in range(len(histories))]
    with tempfile.TemporaryDirectory() as folder, embedded_store(Path(folder)) as url:
        store, found = RedisStore(url, prefix="bench"), {}
        for name, as_of in (("write_s", "2024-01-01T00:00:00+00:00"), ("write_again_s", "2024-01-02T00:00:00+00:00")):
            lists = list(lists_of(recommender, histories, model="recommender@1", as_of=as_of, k=LENGTH))
            began = time.process_time()
            changed = store.write_lists(members, lists)
            found |= {name: round(time.process_time() - began, 2), name.replace("_s", "_changed"): changed}
    return {"written": len(members), **found}


if __name__ == "__main__":
    main()
