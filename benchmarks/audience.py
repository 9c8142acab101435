"""How long does it take to count an audience by tags in Redis, and to name its members? Runs on a store of its own.

.venv/bin/python benchmarks/audience.py --members 1000000      JSON on the last line: medians in milliseconds
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from features.audience import Chosen, Population, choose, tags_needed, vocabulary_of
from features.audience_language import Selection, parse
from features.bitmaps import TagTable, positions_in
from features.embedded import embedded_store
from features.member_index import MemberIndex
from features.tag_store import TagStamp, TagStore
from features.tags import TAGS

SHARES = {
    "tier=diamond": 0.2,
    "stage=at_risk": 0.1,
    "bought:coffee_30d": 0.3,
    "weekend=mostly": 0.25,
    "need:baby_now": 0.08,
    "consent=no": 0.05,
}
AUDIENCE = "(tier=diamond or need:baby_now) and not bought:coffee_30d and not stage=at_risk or weekend=mostly and need:baby_now"
GENERATION = "benchmark"


def random_table(members: int) -> TagTable:
    """Ids of nine letters and digits in random order; each tag on a random share of the members."""
    random = np.random.default_rng(1)
    numbers = random.permutation(members).astype(np.str_)
    ids = np.char.add("M", np.char.zfill(numbers, 8))
    tags = {name: np.packbits(random.random(members) < share) for name, share in SHARES.items()}
    empty = np.zeros_like(tags["tier=diamond"])
    everybody = np.packbits(np.ones(members, dtype=bool))
    as_of = datetime(2026, 11, 21, tzinfo=UTC)
    return TagTable(MemberIndex("benchmark", ids), as_of, "f" * 64, everybody, {**dict.fromkeys(TAGS, empty), **tags})


def expected_ids(table: TagTable) -> set[str]:
    """Who is in the audience, with plain boolean arrays."""
    bits = {name: np.unpackbits(table.tags[name], count=len(table.index)).astype(bool) for name in SHARES}
    chosen = (bits["tier=diamond"] | bits["need:baby_now"]) & ~bits["bought:coffee_30d"] & ~bits["stage=at_risk"]
    chosen |= bits["weekend=mostly"] & bits["need:baby_now"]
    return set(table.index.ids[chosen & ~bits["consent=no"]].tolist())


def reading(stamp: TagStamp) -> Selection:
    """The audience read from its words."""
    return parse(AUDIENCE, vocabulary_of({**TAGS, **stamp.counts}))


def ask(store: TagStore) -> tuple[TagStamp, Chosen]:
    """The audience, from its words to a bitmap, as `rapport audience` does it: combined by the server."""
    return store.choose(reading)


def ask_here(store: TagStore) -> Chosen:
    """The same with every bitmap fetched and combined here, as is done when features are compared as well."""
    stored = store.read_tags(lambda stamp: tags_needed(reading(stamp)))
    return choose(reading(stored.stamp), Population(stored.population, stored.tags))


def median_ms(work: Callable[[], object], repeats: int) -> float:
    """Median milliseconds of a call, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e3


def named(store: TagStore) -> list[str]:
    """The ids of the audience, question included."""
    stamp, chosen = ask(store)
    return store.read_ids(stamp, chosen.members)


def measure(table: TagTable, url: str, repeats: int) -> dict[str, float | int]:
    """Publish, then count, count by the server, and name the members."""
    store = TagStore(url, prefix="benchmark")
    begun = time.perf_counter()
    store.publish_tags(table, generation=GENERATION, contract="benchmark")
    publish_s = time.perf_counter() - begun
    stamp, chosen = ask(store)
    ids = store.read_ids(stamp, chosen.members)
    mismatches = len(set(ids) ^ expected_ids(table)) + abs(chosen.count - len(ids)) + abs(ask_here(store).count - len(ids))
    everybody = stamp, table.population
    return {
        "members": len(table.index),
        "tags_in_store": len(table.tags),
        "chosen": chosen.count,
        "count_ms": round(median_ms(lambda: ask(store)[1].count, repeats), 2),
        "fetched_count_ms": round(median_ms(lambda: ask_here(store).count, repeats), 2),
        "ids_ms": round(median_ms(lambda: named(store), repeats), 1),
        "all_ids_ms": round(median_ms(lambda: store.read_ids(*everybody), 3), 1),
        "publish_s": round(publish_s, 2),
        "mismatches": mismatches + abs(len(positions_in(table.population)) - len(table.index)),
    }


def main() -> None:
    """Print the figures one a line, and all of them as JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=20)
    given = parser.parse_args()
    table = random_table(given.members)
    with tempfile.TemporaryDirectory(prefix="rapport-") as folder, embedded_store(Path(folder) / "store") as url:
        found = measure(table, url, given.repeats)
    for name, value in found.items():
        print(f"{name:<16} {value:>14,}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
