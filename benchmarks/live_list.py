"""What a list as of this moment costs: one member's history, one purchase and one view since, folded in and ranked anew.

python benchmarks/live_list.py --bundle folder --facts data/facts [--requests 1000] [--members 1000]

The bundle is one that benchmarks/lists.py kept. Each request unpacks what the night stored, adds what was done since, folds the
member's taste in, ranks the night's candidates and what goes with the things of today, lists fifty, and makes of it what
answers are made from. Members come in random order, so that nothing of theirs is in the processor's caches. CPU on one thread;
JSON on the last line.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")  # before numpy is loaded
sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import numpy as np

from features.facts import Facts
from features.list_records import RecommendationList
from training.lists.behaviour import behaviour
from training.predictors import Recommender, load_bundle
from training.predictors.histories import Histories
from training.predictors.list_facts import as_stored
from training.predictors.live_lists import Since, list_of_now, with_all
from training.predictors.nightly_lists import nightly_blocks
from training.predictors.packed_history import fingerprints, hash_of, pack, unpack
from training.publish_answers import member_histories

K = 50
MODEL, AS_OF = "recommender@1", "2018-01-01T05:00:00+00:00"


def requests(recommender: Recommender, histories: Histories, number: int) -> list[tuple[bytes, Since]]:
    """Members drawn with replacement, each with a purchase and a view of today, beside what the night stored of them."""
    generator = np.random.default_rng(3)
    stamp, records = hash_of(recommender.catalogue), []
    for block in nightly_blocks(recommender, histories, k=K):
        prints = fingerprints(block.histories, catalogue_hash=stamp, model=MODEL)
        for row, fingerprint in enumerate(prints):
            one = block.histories.of(row, row + 1)
            records.append(pack(one, stamp, kept=block.kept(row), fingerprint=fingerprint))
    made = []
    for row in generator.integers(0, len(histories), number).tolist():
        items = generator.integers(0, len(recommender.catalogue), 2).astype(np.int32)
        since = Since(histories.day, bought=items[:1], looked=items[1:], weights=np.array([0.2], dtype=np.float32))
        made.append((records[row], since))
    return made


def answered(recommender: Recommender, record: bytes, since: Since, stamp: bytes) -> RecommendationList:
    """What `serving.live_members` does for a member, from bytes to a list."""
    history, kept = unpack(record, stamp)
    now = with_all(history, [since])
    ranked = list_of_now(recommender, now, [since], k=K, kept=kept)
    return next(as_stored(ranked, recommender.catalogue, now, model=MODEL, as_of=AS_OF))


def main() -> None:
    """Answer the requests one after the other and print what one cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--facts", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--members", type=int, default=1000)
    given = parser.parse_args()
    recommender = load_bundle(given.bundle)
    assert isinstance(recommender, Recommender)
    facts = Facts.open(given.facts)
    seen = behaviour(facts)
    members = seen.bought.member_ids[: given.members]
    histories = member_histories(seen, recommender, members, day=facts.manifest.until_day)
    asked = requests(recommender, histories, given.requests)
    stamp, spent = hash_of(recommender.catalogue), []
    for record, since in asked:
        began = time.process_time()
        answered(recommender, record, since, stamp)
        spent.append(time.process_time() - began)
    taken = np.array(spent[len(spent) // 10 :]) * 1000
    found = {
        "cpu_ms_per_request": round(float(taken.mean()), 3),
        "median_ms": round(float(np.median(taken)), 3),
        "p95_ms": round(float(np.quantile(taken, 0.95)), 3),
        "requests": len(taken),
        "items": len(recommender.catalogue),
        "record_bytes": round(float(np.mean([len(record) for record, _ in asked]))),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
