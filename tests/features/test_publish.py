"""Publishing onto a real server: only what changed is written, and trouble leaves the last publish in force."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from features.build import FeatureRows
from features.codec import decode
from features.contract import CONTRACT
from features.days import microseconds
from features.errors import NotEnoughData, StoreUnavailable
from features.online_store import RecommendationList, RedisStore
from features.publish import Published, publish
from features.store_keys import Keys
from tests.serving.own_redis import OwnRedis

LATER = timedelta(days=1)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder for what was published last."""
    return tmp_path / "published"


@pytest.fixture
def server() -> Iterator[OwnRedis]:
    """A server of the test's own, to be starved and killed."""
    own = OwnRedis()
    yield own
    own.close()


def with_changes(rows: FeatureRows, *places: int, later: timedelta = LATER) -> FeatureRows:
    """The rows a day later, where the members at these places have bought and no other has."""
    records, matrix = rows.records.copy(), rows.matrix.copy()
    records["purchases_365d"][list(places)] += 1
    score = CONTRACT.feature_names.index("frequency_score")
    matrix[list(places), score] = matrix[list(places), score] % 5 + 1
    return replace(rows, as_of=rows.as_of + later, records=records, matrix=matrix)


def without(rows: FeatureRows, *places: int) -> FeatureRows:
    """The rows without the members at these places."""
    names = ("member_ids", "records", "matrix")
    return replace(rows, **{name: np.delete(getattr(rows, name), places, axis=0) for name in names})


def written_at(store: RedisStore, rows: FeatureRows) -> list[int]:
    """When each member's aggregates were written; every member must be there, with the records of these rows."""
    values = store.read_aggregates(rows.member_ids.tolist())
    found = decode(CONTRACT, [value for value in values if value is not None])
    assert found.records.tobytes() == rows.records.tobytes()
    return list(found.written_at.tolist())


def moment(published: Published) -> int:
    return microseconds(published.stamp.edition.published_moment)


def test_only_what_has_changed_is_written(rows: FeatureRows, store: RedisStore, kept: Path) -> None:
    first = publish(rows, store, kept=kept)
    changed = with_changes(rows, 3, 50, 51)
    second = publish(changed, store, kept=kept, block=20)

    expected = [moment(second) if place in {3, 50, 51} else moment(first) for place in range(len(rows.member_ids))]
    assert written_at(store, changed) == expected
    assert (first.whole, first.written) == ("nothing was published", len(rows.member_ids))
    assert (second.whole, second.written, second.deleted) == ("", 3, 0)
    assert store.read_profile(str(rows.member_ids[50]))["frequency_score"] == f"{changed.column('frequency_score')[50]:.0f}"
    assert store.read_stamp() == second.stamp
    assert second.stamp.as_of_moment == rows.as_of + LATER


def test_a_profile_that_has_not_changed_is_left_alone(rows: FeatureRows, store: RedisStore, kept: Path) -> None:
    publish(rows, store, kept=kept)
    ann, bob = map(str, rows.member_ids[:2])
    store.write_profiles([ann, bob], [{"rfm_tier": "touched"}] * 2)
    publish(with_changes(rows, 1), store, kept=kept)

    assert store.read_profile(ann)["rfm_tier"] == "touched"
    assert store.read_profile(bob)["rfm_tier"] != "touched"
    publish(with_changes(rows, 1), store, kept=kept, all_rows=True)
    assert store.read_profile(ann)["rfm_tier"] != "touched"


def test_nothing_changed_is_said_by_the_stamp_alone(rows: FeatureRows, store: RedisStore, kept: Path) -> None:
    first = publish(rows, store, kept=kept)
    second = publish(with_changes(rows), store, kept=kept)

    assert set(written_at(store, rows)) == {moment(first)}
    assert second.written == 0
    assert store.read_stamp() == second.stamp


def test_newcomers_come_and_who_has_vanished_goes_wholly(
    rows: FeatureRows, store: RedisStore, kept: Path, store_url: str, request: pytest.FixtureRequest
) -> None:
    publish(without(rows, 0, 7), store, kept=kept)
    leaving = str(rows.member_ids[9])
    store.write_lists([leaving], [RecommendationList("recommender@1", "2018-01-01T05:00:00+00:00", ())])
    second = publish(without(rows, 9), store, kept=kept)

    assert (second.whole, second.written, second.deleted) == ("", 2, 1)
    with redis.Redis.from_url(store_url) as client:
        assert client.exists(*Keys(f"test-{request.node.name}").of_member(leaving)) == 0
    written_at(store, without(rows, 9))


WHOLE: dict[str, tuple[str, Callable[[FeatureRows, RedisStore, Path], FeatureRows]]] = {
    "another store": ("nothing was published", lambda rows, store, kept: reset(rows, store)),
    "restored from a backup": ("not known here", lambda rows, store, kept: regenerated(rows, store)),
    "nothing kept": ("not known here", lambda rows, store, kept: forgotten(rows, kept)),
    "an earlier moment": ("later moment", lambda rows, store, kept: replace(rows, as_of=rows.as_of - LATER)),
    "declared anew": ("declared anew", lambda rows, store, kept: declared_anew(rows, store)),
    "broken off": ("broken off", lambda rows, store, kept: broken_off(rows, store)),
    "a stamp that cannot be read": ("nothing was published", lambda rows, store, kept: reset(rows, store, b"{broken")),
}


def client_of(store: RedisStore) -> Any:
    return store._client


def reset(rows: FeatureRows, store: RedisStore, stamp: bytes | None = None) -> FeatureRows:
    client_of(store).delete(store._keys.stamp)
    if stamp is not None:
        client_of(store).set(store._keys.stamp, stamp)
    return rows


def forgotten(rows: FeatureRows, kept: Path) -> FeatureRows:
    kept.rename(f"{kept}.gone")
    return rows


def regenerated(rows: FeatureRows, store: RedisStore) -> FeatureRows:
    stamp = store.read_stamp()
    assert stamp is not None
    store.write_stamp(replace(stamp, generation="another"))
    return rows


def declared_anew(rows: FeatureRows, store: RedisStore) -> FeatureRows:
    stamp = store.read_stamp()
    assert stamp is not None
    store.write_stamp(replace(stamp, contract="0" * 64))
    return rows


def broken_off(rows: FeatureRows, store: RedisStore) -> FeatureRows:
    stamp = store.read_stamp()
    assert stamp is not None
    store.write_stamp(stamp.begun(stamp.edition))
    return rows


@pytest.mark.parametrize("case", WHOLE)
def test_everything_is_written_where_changes_would_not_do(rows: FeatureRows, store: RedisStore, kept: Path, case: str) -> None:
    publish(rows, store, kept=kept)
    store.write_aggregates(["left over"], [b"of somebody else"])
    why, happened = WHOLE[case]
    again = happened(rows, store, kept)
    published = publish(again, store, kept=kept)

    assert why in published.whole
    assert published.written == len(rows.member_ids)
    assert set(written_at(store, again)) == {moment(published)}
    assert store.read_aggregates(["left over"]) == [None]
    assert store.read_stamp() == published.stamp
    assert published.stamp.pending == ()
    assert publish(again, store, kept=kept).whole == ""


def test_most_members_are_not_forgotten_by_mistake(rows: FeatureRows, store: RedisStore, kept: Path) -> None:
    publish(rows, store, kept=kept)
    few = without(rows, *range(10, len(rows.member_ids)))
    nobody = without(rows, *range(len(rows.member_ids)))

    for state in (kept, None):
        for fewer in (few, nobody):
            with pytest.raises(NotEnoughData, match="would forget") as refused:
                publish(fewer, store, kept=state)
            assert "--everything" in refused.value.remedy
    written_at(store, rows)
    stamp = store.read_stamp()
    assert stamp is not None
    assert stamp.pending == ()

    assert publish(few, store, kept=kept, all_rows=True).deleted == len(rows.member_ids) - 10
    written_at(store, few)


def test_a_disk_that_does_not_take_the_rows_costs_only_time(rows: FeatureRows, store: RedisStore, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("in the way of the folder")

    published = publish(rows, store, kept=tmp_path / "a file")

    assert not published.kept
    assert store.read_stamp() == published.stamp
    assert publish(rows, store, kept=tmp_path / "published").kept


# Trouble


def last_publish_stands(store: RedisStore, first: Published) -> None:
    """Readers are told of the first publish, and that another was begun."""
    stamp = store.read_stamp()
    assert stamp is not None
    assert replace(stamp, pending=()) == first.stamp
    assert len(stamp.pending) == 1


def test_out_of_memory(rows: FeatureRows, server: OwnRedis, kept: Path) -> None:
    store = RedisStore(server.url, prefix="p")
    many = replace(
        rows,
        member_ids=np.array([f"{i:05}" for i in range(20_000)]),
        records=np.resize(rows.records, 20_000),
        matrix=np.resize(rows.matrix, (20_000, rows.matrix.shape[1])),
    )
    first = publish(rows, store, kept=kept)
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 3_000_000)
        with pytest.raises(StoreUnavailable, match="out of memory") as refused:
            publish(many, store, kept=kept, all_rows=True)
        assert "maxmemory" in refused.value.remedy
        last_publish_stands(store, first)

        client.config_set("maxmemory", 0)
    again = publish(many, store, kept=kept, all_rows=True)
    assert set(written_at(store, many)) == {moment(again)}


def test_a_replica_takes_no_publish(rows: FeatureRows, server: OwnRedis) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.replicaof("127.0.0.1", "1")
    store = RedisStore(server.url, prefix="p")

    with pytest.raises(StoreUnavailable, match="replica") as refused:
        publish(rows, store)
    assert "primary" in refused.value.remedy


def test_a_server_killed_while_it_is_written_to(rows: FeatureRows, server: OwnRedis, kept: Path) -> None:
    store = RedisStore(server.url, prefix="p")
    first = publish(rows, store, kept=kept)
    with redis.Redis.from_url(server.url) as client:
        client.save()
    changed = with_changes(rows, *range(100))

    def kill_halfway(done: int) -> None:
        server.kill()

    with pytest.raises(StoreUnavailable):
        publish(changed, store, kept=kept, block=50, progress=kill_halfway)

    server.start()
    assert store.read_stamp() == first.stamp  # what was saved last, whole
    written_at(store, rows)
    assert publish(changed, store, kept=kept).whole == ""
    written_at(store, changed)


def test_a_server_frozen_while_it_is_written_to(rows: FeatureRows, server: OwnRedis, kept: Path) -> None:
    store = RedisStore(server.url, prefix="p", timeout_s=0.3)
    first = publish(rows, store, kept=kept)

    def freeze(done: int) -> None:
        server.freeze()

    with pytest.raises(StoreUnavailable):
        publish(rows, store, kept=kept, block=50, progress=freeze, all_rows=True)

    server.thaw()
    last_publish_stands(store, first)
    assert publish(rows, store, kept=kept).whole == "the last publish was broken off"
    written_at(store, rows)


def test_a_store_with_a_password(rows: FeatureRows, server: OwnRedis) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("requirepass", "secret word")
    with pytest.raises(StoreUnavailable):
        publish(rows, RedisStore(server.url, prefix="p"))
    store = RedisStore(f"unix://:secret%20word@{server.socket}", prefix="p")

    publish(rows, store)

    written_at(store, rows)


def test_a_user_who_may_not_write(rows: FeatureRows, server: OwnRedis) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.acl_setuser("reader", enabled=True, passwords=["+word"], keys=["*"], commands=["+@read", "+@connection"])
    store = RedisStore(f"unix://reader:word@{server.socket}", prefix="p")

    with pytest.raises(StoreUnavailable, match="does not let this user"):
        publish(rows, store)


def test_debians_redis_takes_a_publish_too(rows: FeatureRows, tmp_path: Path, kept: Path) -> None:
    """The tests run on Valkey; where a Redis is installed, it is tried as well."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server here")
    with tempfile.TemporaryDirectory(prefix="rapport-") as folder:
        socket = Path(folder) / "redis.sock"
        command = [program, "--port", "0", "--unixsocket", str(socket), "--dir", folder, "--save", ""]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while not socket.exists():
                time.sleep(0.02)
            store = RedisStore(f"unix://{socket}", prefix="p")
            assert store.check_server()
            publish(rows, store, kept=kept)
            changed = with_changes(rows, 5)
            assert publish(changed, store, kept=kept).written == 1
            written_at(store, changed)
            store.close()
            process.terminate()
