"""What a list as of this moment costs: one member's history, one purchase and one view since, folded in and ranked anew.

python benchmarks/live_list.py --bundle folder --facts data/facts [--requests 2000]

The bundle is one that benchmarks/lists.py kept. Each request unpacks a stored record, adds what was done since, folds the
member's taste in, makes candidates, ranks them and lists twenty. CPU on one thread; JSON on the last line.
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
from training.lists.behaviour import behaviour
from training.predictors import Recommender, load_bundle
from training.predictors.histories import Histories
from training.predictors.live_lists import LIVE_DEPTHS, Since, live_list
from training.predictors.packed_history import hash_of, pack, unpack
from training.publish_answers import member_histories

K = 20


def requests(recommender: Recommender, histories: Histories, number: int) -> list[tuple[bytes, Since]]:
    """Members drawn with replacement, each with a purchase and a view of today."""
    generator = np.random.default_rng(3)
    stamp, made = hash_of(recommender.catalogue), []
    for row in generator.integers(0, len(histories), number).tolist():
        items = generator.integers(0, len(recommender.catalogue), 2).astype(np.int32)
        since = Since(histories.day, bought=items[:1], looked=items[1:], weights=np.array([0.2], dtype=np.float32))
        made.append((pack(histories.of(row, row + 1), stamp), since))
    return made


def main() -> None:
    """Answer the requests one after the other and print what one cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--facts", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=1000)
    given = parser.parse_args()
    recommender = load_bundle(given.bundle)
    assert isinstance(recommender, Recommender)
    facts = Facts.open(given.facts)
    seen = behaviour(facts)
    histories = member_histories(seen, recommender, seen.bought.member_ids, day=facts.manifest.until_day)
    asked = requests(recommender, histories, given.requests)
    stamp, spent = hash_of(recommender.catalogue), []
    for record, since in asked:
        began = time.process_time()
        live_list(recommender, unpack(record, stamp), since, k=K)
        spent.append(time.process_time() - began)
    taken = np.array(spent[len(spent) // 10 :]) * 1000
    found = {
        "cpu_ms_per_request": round(float(taken.mean()), 3),
        "median_ms": round(float(np.median(taken)), 3),
        "p95_ms": round(float(np.quantile(taken, 0.95)), 3),
        "requests": len(taken),
        "items": len(recommender.catalogue),
        "record_bytes": round(float(np.mean([len(record) for record, _ in asked]))),
        "depths": {name: getattr(LIVE_DEPTHS, name) for name in LIVE_DEPTHS.__dataclass_fields__},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
