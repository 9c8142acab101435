"""Generations of tags in Redis: never half, never left behind; and an index of members that only grows."""

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from features.audience_language import Tagged
from features.bitmaps import TagTable, positions_in
from features.errors import CorruptRecord, NothingPublished, StoreUnavailable
from features.member_index import CHUNK, MemberIndex, chunks_of, pack_ids, unpack_ids
from features.tag_store import TagStore

AS_OF = datetime(2018, 1, 1, 5, tzinfo=UTC)


def table_of(size: int, tags: dict[str, list[int]], *, identity: str = "index", width: int = 7) -> TagTable:
    """Members m0000000, m0000001 and so on, with tags at some positions."""
    ids = np.char.add("m", np.char.zfill(np.arange(size).astype(np.str_), width))
    bits = {}
    for name, positions in tags.items():
        there = np.zeros(size, dtype=bool)
        there[positions] = True
        bits[name] = np.packbits(there)
    return TagTable(MemberIndex(identity, ids), AS_OF, "f" * 64, np.packbits(np.ones(size, dtype=bool)), bits)


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return "test-" + re.sub(r"\W", "-", request.node.name)  # brackets would be a pattern to SCAN


@pytest.fixture
def tag_store(store_url: str, prefix: str) -> TagStore:
    return TagStore(store_url, prefix=prefix)


@pytest.fixture
def client(store_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(store_url)
    yield client
    client.close()


def keys(client: redis.Redis, prefix: str) -> set[str]:
    return {key.decode().removeprefix(f"{prefix}:") for key in client.scan_iter(match=f"{prefix}:*", count=1000)}


def test_a_generation_leaves_only_its_own_keys(tag_store: TagStore, client: redis.Redis, prefix: str) -> None:
    tag_store.publish_tags(table_of(10, {"a": [1, 9], "b": [], "c": [0]}), generation="one", contract="c")
    tag_store.publish_tags(table_of(12, {"a": [2, 11], "b": [3]}), generation="two", contract="c")

    assert keys(client, prefix) == {
        "tags:current",
        "tags:two",
        "tags:two:a",
        "tags:two:b",
        "tag_members:two",
        "tag_index:index:0",
    }
    assert client.getbit(f"{prefix}:tags:two:a", 11) == 1
    assert client.bitcount(f"{prefix}:tags:two:a") == 2
    stored = tag_store.read_tags(lambda stamp: ["a", "b", "unknown"])
    assert stored.stamp.counts == {"a": 2, "b": 1}
    assert {name: positions_in(bits).tolist() for name, bits in stored.tags.items()} == {"a": [2, 11], "b": [3]}


def test_another_index_takes_the_place_of_the_old(tag_store: TagStore, client: redis.Redis, prefix: str) -> None:
    tag_store.publish_tags(table_of(10, {"a": [1]}), generation="one", contract="c")
    tag_store.publish_tags(table_of(10, {"a": [1]}, identity="new"), generation="two", contract="c")

    assert {key for key in keys(client, prefix) if key.startswith("tag_index")} == {"tag_index:new:0"}


class Stopped(Exception):
    """Stands for a kill between two commands."""


@pytest.mark.parametrize("step", ["_write_index", "_write_bitmaps", "_delete_unused"])
@pytest.mark.parametrize("after", [False, True])
def test_a_publish_that_is_killed_changes_nothing_and_leaves_nothing_for_good(
    step: str, after: bool, tag_store: TagStore, store_url: str, client: redis.Redis, prefix: str
) -> None:
    tag_store.publish_tags(table_of(10, {"a": [1]}), generation="one", contract="c")

    class Killed(TagStore):
        def __getattribute__(self, name: str) -> object:
            found = super().__getattribute__(name)
            if name != step:
                return found

            def stop(*arguments: object) -> None:
                if after:
                    found(*arguments)
                raise Stopped

            return stop

    with pytest.raises(Stopped):
        Killed(store_url, prefix=prefix).publish_tags(table_of(11, {"a": [2], "z": [3]}), generation="two", contract="c")
    stored = tag_store.read_tags(lambda stamp: ["a"])
    assert stored.stamp.generation == "one"
    assert positions_in(stored.tags["a"]).tolist() == [1]
    assert tag_store.read_ids(stored.stamp, stored.tags["a"]) == ["m0000001"]

    tag_store.publish_tags(table_of(12, {"a": [11]}), generation="three", contract="c")
    assert keys(client, prefix) == {"tags:current", "tags:three", "tags:three:a", "tag_members:three", "tag_index:index:0"}


def test_a_publish_killed_after_the_turn_is_tidied_up_by_the_next(
    tag_store: TagStore, store_url: str, client: redis.Redis, prefix: str
) -> None:
    tag_store.publish_tags(table_of(10, {"a": [1]}), generation="one", contract="c")
    calls = []

    class Killed(TagStore):
        def _delete_unused(self) -> None:
            calls.append(1)
            if len(calls) == 2:
                raise Stopped
            super()._delete_unused()

    with pytest.raises(Stopped):
        Killed(store_url, prefix=prefix).publish_tags(table_of(10, {"a": [2]}), generation="two", contract="c")
    assert tag_store.read_tags(lambda stamp: []).stamp.generation == "two"
    assert "tags:one:a" in keys(client, prefix)

    tag_store.publish_tags(table_of(10, {"a": [3]}), generation="three", contract="c")
    assert not [key for key in keys(client, prefix) if "one" in key or "two" in key]


def test_a_reader_sees_one_publish_or_the_next(tag_store: TagStore, store_url: str, prefix: str) -> None:
    """Generation n sets the same positions in every tag, so a mixture would show."""
    tag_store.publish_tags(table_of(64, {name: [0] for name in "abcdef"}), generation="g0", contract="c")
    mixed, seen, done = [], set(), threading.Event()

    def read() -> None:
        reader = TagStore(store_url, prefix=prefix)
        while not done.is_set():
            stored = reader.read_tags(lambda stamp: "abcdef")
            by_server = reader.choose(lambda stamp: Tagged("a"))
            if positions_in(by_server[1].members).tolist() != [int(by_server[0].generation[1:]) % 64]:
                mixed.append(by_server)
            found = {tuple(positions_in(bits).tolist()) for bits in stored.tags.values()}
            seen.add(stored.stamp.generation)
            if found != {(int(stored.stamp.generation[1:]) % 64,)} or len(stored.tags) != 6:
                mixed.append(found)

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(1, 150):
        tag_store.publish_tags(table_of(64, {name: [number % 64] for name in "abcdef"}), generation=f"g{number}", contract="c")
    done.set()
    thread.join()

    assert mixed == []
    assert len(seen) > 5


def test_ids_come_back_over_the_borders_of_chunks(tag_store: TagStore) -> None:
    size = 2 * CHUNK + 10
    chosen = [0, CHUNK - 1, CHUNK, 2 * CHUNK - 1, 2 * CHUNK, size - 1]
    tag_store.publish_tags(table_of(CHUNK + 5, {"a": [0, CHUNK]}), generation="one", contract="c")
    before = tag_store.read_tags(lambda stamp: ["a"])
    tag_store.publish_tags(table_of(size, {"a": chosen}), generation="two", contract="c")
    stored = tag_store.read_tags(lambda stamp: ["a"])

    assert tag_store.read_ids(stored.stamp, stored.tags["a"]) == [f"m{position:07}" for position in chosen]
    assert tag_store.read_ids(before.stamp, before.tags["a"]) == ["m0000000", f"m{CHUNK:07}"]
    assert chunks_of(size) == 3


def test_nothing_published_and_things_missing_have_names(tag_store: TagStore, client: redis.Redis, prefix: str) -> None:
    assert tag_store.read_tag_stamp() is None
    with pytest.raises(NothingPublished):
        tag_store.read_tags(lambda stamp: [])
    with pytest.raises(NothingPublished):
        tag_store.choose(lambda stamp: Tagged("a"))
    stamp = tag_store.publish_tags(table_of(9, {"a": [1]}), generation="one", contract="c")
    bits = tag_store.read_tags(lambda stamp: ["a"]).tags["a"]

    client.delete(f"{prefix}:tag_index:index:0")
    with pytest.raises(CorruptRecord):
        tag_store.read_ids(stamp, bits)
    client.set(f"{prefix}:tags:one:a", b"x")
    with pytest.raises(CorruptRecord):
        tag_store.read_tags(lambda stamp: ["a"])
    client.set(f"{prefix}:tags:one", b"{}")
    with pytest.raises(CorruptRecord):
        tag_store.read_tag_stamp()
    client.delete(f"{prefix}:tags:one")
    with pytest.raises(CorruptRecord):
        tag_store.read_tag_stamp()
    with pytest.raises(StoreUnavailable):
        TagStore("unix:///nowhere", prefix=prefix).read_tag_stamp()


ids = st.lists(st.text(min_size=1, max_size=12).filter(lambda text: "\x00" not in text and text.isprintable()), unique=True)


@given(ids, st.data())
def test_packed_ids_come_back(members: list[str], data: st.DataObject) -> None:
    packed = pack_ids(members)
    places = data.draw(st.lists(st.integers(0, len(members) - 1), max_size=5)) if members else []

    assert unpack_ids(packed) == members
    assert unpack_ids(packed, places) == [members[place] for place in places]
    with pytest.raises(ValueError, match="outside"):
        unpack_ids(packed, [len(members)])
    with pytest.raises(ValueError, match="short"):
        unpack_ids(packed + b"x")


@settings(max_examples=50)
@given(st.lists(ids, min_size=1, max_size=4))
def test_an_index_only_grows(batches: list[list[str]]) -> None:
    index = MemberIndex("index", np.zeros(0, dtype=np.str_))
    for batch in batches:
        before = index.ids.tolist()
        index = index.extended(np.array(batch, dtype=np.str_))
        assert index.ids.tolist()[: len(before)] == before
        assert len(set(index.ids.tolist())) == len(index)
        assert index.ids[index.positions(np.array(batch, dtype=np.str_))].tolist() == batch
    assert set(index.ids.tolist()) == {member for batch in batches for member in batch}
    assert index.positions(np.array(["not in the index at all"])).tolist() == [-1]
