"""At no moment of a publish, killed or not, does a reader see a row that is neither the old one nor the new one."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import redis
from numpy.typing import NDArray
from parity.test_stored_bytes import NO_MODELS, assert_same_bits

from features.build import FeatureRows, build
from features.codec import decode
from features.contract import CONTRACT
from features.derive import derive
from features.facts import Facts
from features.online_reader import RedisReader
from features.online_store import RedisStore
from features.publish import publish
from features.stamp import Stamp
from serving.scoring import PublishedFeatures, ScoringContext, vectors_of
from tests.serving.own_redis import OwnRedis

NEVER_STALE = float("inf")
DAYS = 7
"""Between the two publishes: long enough for the population's edges to move."""

CHILD = """
import sys, time
from datetime import datetime
from pathlib import Path
from features.build import build
from features.facts import Facts
from features.online_store import RedisStore
from features.publish import publish

facts, url, kept, as_of, blocks = sys.argv[1:]
done = []

def wait_to_be_killed(members):
    done.append(members)
    if len(done) == int(blocks):
        print("halfway", flush=True)
        time.sleep(60)

rows = build(Facts.open(Path(facts)), as_of=datetime.fromisoformat(as_of))
publish(rows, RedisStore(url, prefix="p"), kept=Path(kept), block=50, progress=wait_to_be_killed)
"""


@pytest.fixture(scope="module")
def earlier(facts: Facts, rows: FeatureRows) -> FeatureRows:
    """The rows of a week before."""
    return build(facts, as_of=rows.as_of - timedelta(days=DAYS))


@pytest.fixture
def server() -> Iterator[OwnRedis]:
    """A server of the test's own."""
    own = OwnRedis()
    yield own
    own.close()


@dataclass(frozen=True)
class Seen:
    """What a reader sees of all members at a moment. Rows of members the store does not hold are left out."""

    members: list[str]
    matrix: NDArray[np.float32]
    as_of: list[str]


def seen(url: str, prefix: str, members: list[str], moment: datetime) -> Seen:
    """Features and moments of the members, read and derived as serving does it."""

    async def ask() -> tuple[Stamp | None, list[bytes | None]]:
        reader = RedisReader(url, prefix=prefix, timeout_ms=5000)
        try:
            return await reader.read(members)
        finally:
            await reader.close()

    stamp, values = asyncio.run(ask())
    assert stamp is not None
    context = ScoringContext(CONTRACT, NO_MODELS, moment, NEVER_STALE)
    known = [(member, value) for member, value in zip(members, values, strict=True) if value is not None]
    vectors = vectors_of(context, PublishedFeatures(stamp), [value for _, value in known])
    return Seen([member for member, _ in known], vectors.matrix, vectors.as_of)


def expected(rows: FeatureRows, day: int) -> dict[str, NDArray[np.float32]]:
    """The features of each member as these rows say, on a day."""
    matrix = derive(CONTRACT, rows.records, day=day, edges=rows.edges)
    return dict(zip(rows.member_ids.tolist(), matrix, strict=True))


def assert_old_or_new(found: Seen, old: FeatureRows, new: FeatureRows) -> int:
    """Every row is wholly of the publish whose moment it names; returns how many are of the new one."""
    of = {rows.as_of.isoformat(): expected(rows, new.day) for rows in (old, new)}
    for member, row, as_of in zip(found.members, found.matrix, found.as_of, strict=True):
        assert_same_bits(row, of[as_of][member])
    return sum(as_of == new.as_of.isoformat() for as_of in found.as_of)


@pytest.mark.parametrize("backwards", [False, True], ids=["to a later moment", "to an earlier moment"])
def test_a_reader_sees_old_rows_or_new_ones(
    rows: FeatureRows,
    earlier: FeatureRows,
    store: RedisStore,
    store_url: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    backwards: bool,
) -> None:
    old, new = (rows, earlier) if backwards else (earlier, rows)
    members, prefix = sorted({*old.member_ids.tolist(), *new.member_ids.tolist()}), f"test-{request.node.name}"
    assert dict(old.edges) != dict(new.edges)
    publish(old, store, kept=tmp_path)
    newer = [assert_old_or_new(seen(store_url, prefix, members, new.as_of), old, new)]

    def look(done: int) -> None:
        newer.append(assert_old_or_new(seen(store_url, prefix, members, new.as_of), old, new))

    published = publish(new, store, kept=tmp_path, block=60, progress=look)
    newer.append(assert_old_or_new(seen(store_url, prefix, members, new.as_of), old, new))

    assert bool(published.whole) is backwards
    assert newer == sorted(newer)
    assert newer[0] == 0 < newer[2] < newer[-1] == len(new.member_ids)


def test_the_same_moment_again_after_the_facts_have_changed(
    rows: FeatureRows, store: RedisStore, store_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Rows of two publishes with one as_of are told apart: each is read with its own edges."""
    richer = replace(rows, records=rows.records.copy(), edges={name: value * 2 for name, value in rows.edges.items()})
    richer.records["spend_cents_365d"] *= 2
    prefix, members = f"test-{request.node.name}", rows.member_ids.tolist()
    publish(rows, store, kept=tmp_path)
    both = [expected(each, rows.day) for each in (rows, richer)]
    halves: list[int] = []

    def look(done: int) -> None:
        found = seen(store_url, prefix, members, rows.as_of)
        alike = [
            [np.array_equal(row, each[member], equal_nan=True) for each in both]
            for member, row in zip(found.members, found.matrix, strict=True)
        ]
        assert all(any(row) for row in alike)
        halves.append(sum(is_new for _, is_new in alike))

    publish(richer, store, kept=tmp_path, block=100, progress=look)
    assert halves[0] < halves[-1] == len(members)


def test_a_publish_killed_halfway_and_run_again(
    facts_folder: Path, rows: FeatureRows, earlier: FeatureRows, server: OwnRedis, store: RedisStore, tmp_path: Path
) -> None:
    """Twice killed at different places: readers are never misled, and the third run ends as one that nothing disturbed."""
    mine, kept = RedisStore(server.url, prefix="p"), tmp_path / "published"
    members = rows.member_ids.tolist()
    publish(earlier, mine, kept=kept)
    for blocks in (3, 2):
        command = [str(facts_folder), server.url, str(kept), rows.as_of.isoformat(), str(blocks)]
        with subprocess.Popen([sys.executable, "-c", CHILD, *command], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert any(line.strip() == "halfway" for line in child.stdout)  # DuckDB may print its progress before
            child.send_signal(signal.SIGKILL)
        assert 0 < assert_old_or_new(seen(server.url, "p", members, rows.as_of), earlier, rows) < len(members)
        stamp = mine.read_stamp()
        assert stamp is not None
        assert stamp.as_of_moment == earlier.as_of
    assert stamp is not None
    assert len(stamp.pending) == 2

    last = publish(rows, mine, kept=kept)
    undisturbed = tmp_path / "undisturbed"
    publish(earlier, store, kept=undisturbed)
    publish(rows, store, kept=undisturbed)

    assert last.whole == "the last publish was broken off"
    assert assert_old_or_new(seen(server.url, "p", members, rows.as_of), earlier, rows) == len(members)
    assert [path.name for path in kept.iterdir()] == [last.stamp.generation]
    assert contents(mine, members) == contents(store, members)
    with redis.Redis.from_url(server.url) as client:
        assert client.dbsize() == 2 * len(members) + 1
    assert publish(rows, mine, kept=kept).written == 0


def contents(store: RedisStore, members: list[str]) -> str:
    """All that readers can learn of the members, as text, but the moments of writing."""
    stamp = store.read_stamp()
    assert stamp is not None
    records = decode(CONTRACT, [value for value in store.read_aggregates(members) if value is not None]).records
    same = replace(stamp, published_at="", generation="")
    return json.dumps([records.tobytes().hex(), [store.read_profile(member) for member in members], str(same)])
