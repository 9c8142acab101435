"""Commands as arrays: read by hiredis, they say what redis-py would have said; errors among the replies are heard."""

from collections.abc import Iterable
from typing import Any

import hiredis
import numpy as np
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from features.bulk_load import HSET_MEMBERS, MSET_MEMBERS, Chunk, hsets, msets, utf8
from features.codec import Packed
from features.errors import StoreUnavailable
from features.online_store import RedisStore
from features.store_keys import Keys

ids = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
"""Any id but one with NUL, which numpy's fixed-width texts cannot hold at their end."""

texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=9).map(str.encode)


def said(chunks: Iterable[Chunk]) -> list[list[bytes]]:
    """The commands as a server reads them; each chunk must announce as many replies as it has commands."""
    commands = []
    for chunk in chunks:
        reader: Any = hiredis.Reader()
        reader.feed(chunk.commands.tobytes())
        found = list(iter(reader.gets, False))
        assert len(found) == chunk.replies
        assert not reader.has_data()
        commands += found
    return commands


@given(texts=st.lists(ids))
def test_texts_in_utf8(texts: list[str]) -> None:
    assert utf8(np.array(texts, dtype=np.str_)).tolist() == [text.encode() for text in texts]


@given(members=st.lists(ids, unique=True, max_size=20), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=2))
def test_every_member_gets_its_value(members: list[str], sizes: list[int]) -> None:
    groups: list[Packed] = []
    expected: dict[bytes, bytes] = {}
    for turn, size in enumerate(sizes):  # two groups share the members among them, in no order
        rows = np.arange(len(members))[turn :: len(sizes)][::-1]
        values = [bytes([row % 256, 13, 10]).ljust(size, b"\x00")[:size] for row in rows.tolist()]
        groups.append(Packed(rows, np.frombuffer(b"".join(values), dtype=f"V{size}")))
        keys = [f"p:agg:{{{members[row]}}}".encode() for row in rows.tolist()]
        expected.update(zip(keys, values, strict=True))

    found: dict[bytes, bytes] = {}
    for verb, *pairs in said(msets("p:agg:{", utf8(np.array(members, dtype=np.str_)), groups)):
        assert verb == b"MSET"
        found.update(zip(pairs[::2], pairs[1::2], strict=True))

    assert found == expected


@pytest.mark.parametrize("members", [1, MSET_MEMBERS - 1, MSET_MEMBERS, MSET_MEMBERS + 1, 3 * MSET_MEMBERS + 7])
def test_no_command_holds_more_than_a_hundred_members(members: int) -> None:
    member_ids = utf8(np.array([f"{i:05}" for i in range(members)]))
    values = np.arange(members, dtype="<u4").view("V4")

    commands = said(msets("p:agg:{", member_ids, [Packed(np.arange(members), values)]))

    assert [len(pairs) // 2 for _, *pairs in commands] == [
        *[MSET_MEMBERS] * (members // MSET_MEMBERS), *[members % MSET_MEMBERS][: members % MSET_MEMBERS]
    ]  # fmt: skip
    assert [int.from_bytes(value, "little") for command in commands for value in command[2::2]] == list(range(members))


@given(profiles=st.dictionaries(ids, st.tuples(texts, texts), max_size=20))
def test_every_member_gets_its_fields(profiles: dict[str, tuple[bytes, bytes]]) -> None:
    fields = np.array(list(profiles.values()), dtype=[("stage", "S9"), ("größe", "S9")])

    commands = said(hsets("p:profile:{", utf8(np.array(list(profiles), dtype=np.str_)), fields))

    assert sorted(commands) == sorted(
        [b"HSET", f"p:profile:{{{member}}}".encode(), b"stage", stage, "größe".encode(), size]
        for member, (stage, size) in profiles.items()
    )


def test_many_fields_are_written_a_part_at_a_time() -> None:
    members = 2 * HSET_MEMBERS + 1
    fields = np.array([(f"{i}".encode(),) for i in range(members)], dtype=[("number", "S6")])
    chunks = list(hsets("p:profile:{", utf8(np.array([f"m{i}" for i in range(members)])), fields))

    assert max(chunk.replies for chunk in chunks) <= HSET_MEMBERS
    assert sorted((key, value) for _, key, _, value in said(chunks)) == sorted(
        (f"p:profile:{{m{i}}}".encode(), f"{i}".encode()) for i in range(members)
    )


def loaded(store: RedisStore, members: int, size: int = 40) -> None:
    member_ids = utf8(np.array([f"{i:05}" for i in range(members)]))
    values = np.frombuffer(np.random.default_rng(0).bytes(members * size), dtype=f"V{size}")
    store.load_aggregates(member_ids, [Packed(np.arange(members), values)])


def test_what_was_loaded_can_be_read(store: RedisStore) -> None:
    loaded(store, 1234, 40)

    values = store.read_aggregates([f"{i:05}" for i in range(1235)])
    assert b"".join(value or b"" for value in values) == np.random.default_rng(0).bytes(1234 * 40)
    assert values[-1] is None


def test_a_value_replaces_a_key_of_another_type(store: RedisStore, request: pytest.FixtureRequest, store_url: str) -> None:
    with redis.Redis.from_url(store_url) as client:
        client.lpush(Keys(f"test-{request.node.name}").aggregates("00001"), "a list")
    loaded(store, 3)

    assert None not in store.read_aggregates(["00000", "00001", "00002"])


def test_an_error_among_many_replies_is_heard_and_the_next_command_is_not_confused(
    store: RedisStore, request: pytest.FixtureRequest, store_url: str
) -> None:
    names = utf8(np.array([f"{i:05}" for i in range(2000)]))
    fields = np.array([(b"new",)] * 2000, dtype=[("stage", "S3")])
    with redis.Redis.from_url(store_url) as client:
        client.set(Keys(f"test-{request.node.name}").profile("00017"), "text")

    with pytest.raises(StoreUnavailable, match="another type"):
        store.load_profiles(names, fields)

    assert store.read_profile("00016") == {"stage": "new"}
    assert store.read_stamp() is None
