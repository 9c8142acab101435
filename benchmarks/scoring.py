"""What does it cost one process to score members, from stored bytes to rows of an answer? Needs a demo run before.

make bench                                  JSON on the last line: microseconds a member by batch size, medians
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence

from features.codec import decode
from features.contract import CONTRACT
from features.derive import model_columns
from features.jobs import open_facts, store_url
from features.online_store import RedisStore
from features.settings import Settings
from serving.bundle import ModelSet
from serving.scoring import PublishedFeatures, Row, ScoringContext, feature_matrix, rows_of, score, vectors_of

BATCHES = (1, 10, 100, 1000)


def median_us(work: Callable[[], object], repeats: int) -> float:
    """Median microseconds of a call, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e6


def whole_rows(context: ScoringContext, published: PublishedFeatures, values: Sequence[bytes]) -> list[Row]:
    """Rows of an answer from stored values."""
    outputs = ("churn", "tier")
    scored = score(context, vectors_of(context, published, values), outputs)
    return rows_of(scored, range(len(values)), [""] * len(values), outputs, stale_after_s=context.stale_after_s)


def measure(members: Sequence[str], store: RedisStore, models: ModelSet, batch: int, repeats: int) -> dict[str, float]:
    """Microseconds a member of each part, for one batch size."""
    chosen = [members[i % len(members)] for i in range(batch)]
    stamp, values = store.read_stamp(), store.read_aggregates(chosen)
    if stamp is None or models.churn is None or models.tier is None:
        raise SystemExit("nothing to measure: run `make demo` first")
    known = [value for value in values if value is not None]
    context = ScoringContext(CONTRACT, models, stamp.as_of_moment, float("inf"))
    records = decode(CONTRACT, known).records
    matrix = feature_matrix(context, stamp, records)[:, model_columns(CONTRACT)].copy()
    parts = {
        "read": lambda: store.read_aggregates(chosen),
        "decode": lambda: decode(CONTRACT, known),
        "derive": lambda: feature_matrix(context, stamp, records),
        "churn": lambda: models.churn.score(matrix),
        "tier": lambda: models.tier.score(matrix),
        "whole_row": lambda: whole_rows(context, PublishedFeatures(stamp), known),
    }
    return {name: round(median_us(work, repeats) / batch, 2) for name, work in parts.items()}


def main() -> None:
    """Print one line a batch size, and all of them as JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=50)
    repeats = parser.parse_args().repeats
    settings = Settings.from_env(os.environ)
    facts = open_facts(settings)
    members = facts.tables["members"].member_id.to_pyarrow().to_pylist()
    models = ModelSet.load(settings.mlruns_dir)
    with store_url(settings) as url:
        store = RedisStore(url, prefix=settings.key_prefix)
        found = {str(batch): measure(members, store, models, batch, repeats) for batch in BATCHES}
    for batch, parts in found.items():
        print(f"{batch:>5} members a call, µs a member: {parts}")
    print(json.dumps({"us_per_member": found}))


if __name__ == "__main__":
    main()
