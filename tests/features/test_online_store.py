"""The online store on a real server: what is written comes back, expires when it should, and trouble has a name."""

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from features.build import FeatureRows
from features.codec import Packed, decode
from features.contract import CONTRACT
from features.errors import ConfigurationError, CorruptRecord, StoreUnavailable
from features.online_reader import RedisReader
from features.online_store import LIST_SECONDS, Edition, ListStamp, RecommendationList, RecommendedItem, RedisStore, Stamp
from features.publish import publish
from features.store_keys import Keys

STAMP = Stamp(
    "c" * 64, "2018-01-01T05:00:00+00:00", "2018-01-01T06:00:00+00:00", "America/New_York", "f" * 64, 3, {"edge": None}
)
SECRET = "hunter2"  # stands for a password in an address


def of_items(*items: tuple[str, float]) -> RecommendationList:
    ranked = tuple(RecommendedItem(item, score, "due_again") for item, score in items)
    return RecommendationList("recommender@3", "2018-01-01T05:00:00+00:00", ranked)


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return f"test-{request.node.name}"


@pytest.fixture
def client(store_url: str) -> Iterator[redis.Redis]:
    """The server as another system sees it."""
    client = redis.Redis.from_url(store_url)
    yield client
    client.close()


def asked(url: str, prefix: str, question: Callable[[RedisReader], Coroutine[Any, Any, Any]], *, timeout_ms: int = 2000) -> Any:
    """What serving is told when it asks."""

    async def ask() -> Any:
        reader = RedisReader(url, prefix=prefix, timeout_ms=timeout_ms)
        try:
            return await question(reader)
        finally:
            await reader.close()

    return asyncio.run(ask())


# Stamps and lists as text

edges = st.dictionaries(st.text(), st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)))
numbers = st.floats(allow_nan=False, allow_infinity=False)
moments = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9990, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    datetime.isoformat
)
stamps = st.builds(
    Stamp,
    as_of=moments,
    time_zone=st.sampled_from(["UTC", "America/New_York", "Asia/Shanghai"]),
    edges=edges,
    members=st.integers(0),
    generation=st.text(),
    pending=st.lists(st.builds(Edition, as_of=moments, published_at=moments, edges=edges), max_size=2).map(tuple),
)
lists = st.builds(RecommendationList, as_of=moments, items=st.lists(st.builds(RecommendedItem, score=numbers)).map(tuple))


@given(stamp=stamps)
def test_a_stamp_comes_back(stamp: Stamp) -> None:
    assert Stamp.from_bytes(stamp.to_bytes()) == stamp


@given(content=lists)
def test_a_list_comes_back(content: RecommendationList) -> None:
    assert RecommendationList.from_bytes(content.to_bytes()) == content


PENDING = {"as_of": "2018-01-02T05:00:00+00:00", "published_at": "2018-01-02T06:00:00+00:00", "edges": {}}


@pytest.mark.parametrize(
    "broken",
    [
        {"as_of": "yesterday"},
        {"time_zone": "Mars/Olympus"},
        {"edges": 3},
        {"pending": 3},
        {"pending": [3]},
        {"pending": [{"as_of": "2018-01-02T05:00:00+00:00"}]},
        {"pending": [PENDING | {"as_of": "yesterday"}]},
        {"pending": [PENDING | {"published_at": 3}]},
        {"pending": [PENDING | {"edges": 3}]},
    ],
)
def test_a_stamp_with_senseless_contents_is_corrupt(broken: dict[str, Any]) -> None:
    with pytest.raises(CorruptRecord):
        Stamp.from_bytes(json.dumps(asdict(STAMP) | broken).encode())


@pytest.mark.parametrize(
    "value", [b"", b"null", b"[]", b"{}", b"\xff\xfe", b'{"contract": "c"}', b'{"items": [{"a": 1}]}', b'"text"']
)
def test_what_is_no_stamp_and_no_list_is_corrupt(value: bytes) -> None:
    with pytest.raises(CorruptRecord, match="stamp"):
        Stamp.from_bytes(value)
    with pytest.raises(CorruptRecord, match="list"):
        RecommendationList.from_bytes(value)


def test_numbers_that_are_none_are_never_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        of_items(("apple", float("nan"))).to_bytes()


def test_a_stamp_written_before_publishes_had_generations_is_read() -> None:
    old = {name: value for name, value in asdict(STAMP).items() if name not in {"generation", "pending"}}

    assert Stamp.from_bytes(json.dumps(old).encode()) == STAMP


# On the server


def test_nothing_published_reads_as_nothing(store: RedisStore) -> None:
    assert store.read_stamp() is None
    assert store.read_aggregates(["ann", "bob"]) == [None, None]
    assert store.read_aggregates([]) == []
    assert store.read_profile("ann") == {}


def test_the_stamp_is_the_one_written_last(store: RedisStore) -> None:
    store.write_stamp(STAMP)

    assert store.read_stamp() == STAMP
    assert STAMP.as_of_moment.utcoffset() is not None


def test_aggregates_come_back_in_the_order_asked_for(store: RedisStore) -> None:
    values = [bytes([i, 0, 255, 10, 13]) for i in range(3)]
    store.write_aggregates(["ann", "007", "会员一"], values)
    store.write_aggregates([], [])

    assert store.read_aggregates(["会员一", "nobody", "ann", "ann", "7", "007"]) == [
        values[2], None, values[0], values[0], None, values[1],
    ]  # fmt: skip


def test_profiles_keep_fields_that_are_not_named(store: RedisStore) -> None:
    store.write_profiles(["ann"], [{"stage": "loyal", "spend": 12}])
    store.write_profiles(["ann"], [{"stage": "at_risk"}])

    assert store.read_profile("ann") == {"stage": "at_risk", "spend": "12"}


def test_lists_can_be_read_by_score_and_expire(store: RedisStore, client: redis.Redis, prefix: str) -> None:
    store.write_lists(["ann"], [of_items(("pear", 0.9), ("apple", 0.5), ("soap", 0.1))])
    keys = Keys(prefix)

    assert client.zrevrange(keys.recommended_items("ann"), 0, 1) == [b"pear", b"apple"]
    for key in (keys.recommended_items("ann"), keys.recommendations("ann")):
        assert LIST_SECONDS - 60 <= client.ttl(key) <= LIST_SECONDS


def test_what_stays_as_it_is_is_not_written_again_but_lives_on(store: RedisStore, client: redis.Redis, prefix: str) -> None:
    first = of_items(("pear", 0.9), ("apple", 0.5))
    later = replace(first, as_of="2018-01-02T05:00:00+00:00", day=17_533)
    keys = Keys(prefix)

    assert store.write_lists(["ann", "bob"], [first, first]) == 2
    for key in (keys.recommendations("ann"), keys.recommended_items("ann")):
        client.expire(key, 10)
    client.delete(keys.recommended_items("bob"))
    assert store.write_lists(["ann", "bob"], [later, later]) == 1  # bob's sorted form had gone
    for member in ("ann", "bob"):
        assert client.zrevrange(keys.recommended_items(member), 0, -1) == [b"pear", b"apple"]
        for key in (keys.recommendations(member), keys.recommended_items(member)):
            assert client.ttl(key) > 10
    ann, bob = asked_lists(client, prefix, ["ann", "bob"])
    assert (ann, bob) == (first.to_bytes(), later.to_bytes())


@pytest.mark.parametrize(
    "other",
    [
        {"model": "recommender@4"},
        {"lately": {"soap": 17_500}},
        {"items": of_items(("apple", 0.9), ("pear", 0.5)).items},
        {"items": (RecommendedItem("pear", 0.9, "popular", times=3),)},
    ],
)
def test_a_list_that_says_anything_else_is_written(store: RedisStore, other: dict[str, Any]) -> None:
    first = of_items(("pear", 0.9), ("apple", 0.5))
    assert [store.write_lists(["ann"], [each]) for each in (first, first, replace(first, **other))] == [1, 0, 1]


def test_thousands_of_lists_are_written_as_one_is(store: RedisStore, client: redis.Redis, prefix: str) -> None:
    """Over several portions, with ids of any alphabet and lists without items among them."""
    members = [f"会员{number}" for number in range(1203)]
    lists = [of_items(*((f"件{item}", 1 / (item + 1)) for item in range(number % 3))) for number in range(1203)]

    assert store.write_lists(members, lists) == 1203

    assert asked_lists(client, prefix, members) == [each.to_bytes() for each in lists]
    keys = Keys(prefix)
    assert client.zrange(keys.recommended_items("会员1202"), 0, -1, withscores=True) == [
        ("件1".encode(), 0.5),
        ("件0".encode(), 1),
    ]


def test_pasts_are_made_and_written_only_where_their_beginning_differs(
    store: RedisStore, client: redis.Redis, prefix: str
) -> None:
    made: list[int] = []

    def make(place: int) -> bytes:
        made.append(place)
        return (b"%016d" % place) + b"the rest"

    members, prints = ["ann", "bob"], [b"%016d" % place for place in range(2)]
    assert store.write_list_pasts(members, prints, make) == 2
    client.expire(Keys(prefix).list_past("ann"), 10)
    client.delete(Keys(prefix).list_past("bob"))
    assert store.write_list_pasts(members, prints, make) == 1
    assert made == [0, 1, 1]
    for place, member in enumerate(members):
        assert client.get(Keys(prefix).list_past(member)) == (b"%016d" % place) + b"the rest"
        assert client.ttl(Keys(prefix).list_past(member)) > 10


@given(stamp=st.builds(ListStamp, as_of=moments, day=st.integers(0, 10**6)))
def test_the_stamp_of_lists_comes_back(stamp: ListStamp) -> None:
    assert ListStamp.from_bytes(stamp.to_bytes()) == stamp


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b"\xff", b'{"model": "m", "as_of": "2018-01-02", "day": 3}'])
def test_what_is_no_stamp_of_lists_is_corrupt(value: bytes) -> None:
    with pytest.raises(CorruptRecord, match="lists"):
        ListStamp.from_bytes(value)


def test_a_new_list_replaces_the_old_one_wholly(store: RedisStore, client: redis.Redis, prefix: str) -> None:
    store.write_lists(["ann", "bob"], [of_items(("pear", 0.9), ("apple", 0.5)), of_items(("soap", 1.0))])
    store.write_lists(["ann", "bob"], [of_items(("soap", 0.2)), of_items()])
    keys = Keys(prefix)

    assert client.zrevrange(keys.recommended_items("ann"), 0, -1, withscores=True) == [(b"soap", 0.2)]
    assert client.exists(keys.recommended_items("bob")) == 0
    ann, bob, nobody = asked_lists(client, prefix, ["ann", "bob", "nobody"])
    assert ann is not None
    assert bob is not None
    assert RecommendationList.from_bytes(ann) == of_items(("soap", 0.2))
    assert RecommendationList.from_bytes(bob) == of_items()
    assert nobody is None


def asked_lists(client: redis.Redis, prefix: str, members: list[str]) -> list[bytes | None]:
    url = f"unix://{client.connection_pool.connection_kwargs['path']}"
    return asked(url, prefix, lambda reader: reader.read_lists(members))


def test_serving_reads_stamp_and_aggregates_in_one_go(store: RedisStore, store_url: str, prefix: str) -> None:
    store.write_aggregates(["ann"], [b"packed"])
    assert asked(store_url, prefix, lambda reader: reader.read(["ann", "nobody"])) == (None, [b"packed", None])

    store.write_stamp(STAMP)
    assert asked(store_url, prefix, lambda reader: reader.read(["nobody", "ann"])) == (STAMP, [None, b"packed"])
    assert asked(store_url, prefix, lambda reader: reader.read([])) == (STAMP, [])


def test_a_broken_stamp_is_corrupt_for_jobs_and_for_serving(
    store: RedisStore, client: redis.Redis, store_url: str, prefix: str
) -> None:
    client.set(Keys(prefix).stamp, b"{broken")

    with pytest.raises(CorruptRecord):
        store.read_stamp()
    with pytest.raises(CorruptRecord):
        asked(store_url, prefix, lambda reader: reader.read(["ann"]))


def test_a_key_of_another_type_is_trouble_with_the_store(store: RedisStore, client: redis.Redis, prefix: str) -> None:
    client.lpush(Keys(prefix).stamp, "a list")

    with pytest.raises(StoreUnavailable, match="key of another type"):
        store.read_stamp()
    client.set(Keys(prefix).profile("ann"), "text")
    for write in (
        lambda: store.write_profiles(["ann"], [{"stage": "new"}]),
        lambda: store.load_profiles(np.array([b"ann"]), np.array([(b"new",)], dtype=[("stage", "S3")])),
    ):
        with pytest.raises(StoreUnavailable, match="key of another type") as refused:
            write()
        assert "RAPPORT_KEY_PREFIX" in refused.value.remedy
        assert "ann" not in str(refused.value)


def test_one_members_keys_share_a_slot_and_members_do_not_share_keys() -> None:
    keys = Keys("rapport")
    of_ann = [
        keys.aggregates("ann"),
        keys.profile("ann"),
        keys.answer("ann"),
        keys.opted_out("ann"),
        keys.recommendations("ann"),
        keys.recommended_items("ann"),
        keys.list_past("ann"),
        keys.live("ann"),
    ]
    of_days = [keys.live_items("ann", 9), keys.event_ids("ann", 9), keys.erased("ann")]

    assert len({key[key.index("{") : key.index("}") + 1] for key in (*of_ann, *of_days)}) == 1
    assert keys.of_member("ann") == tuple(of_ann)
    assert len({*of_ann, *of_days, keys.stamp, keys.aggregates("bob")}) == 13


def test_publishing_twice_changes_nothing_but_moments(
    rows: FeatureRows, store: RedisStore, client: redis.Redis, prefix: str
) -> None:
    done: list[int] = []
    first = publish(rows, store, progress=done.append, block=100).stamp
    before = {key: client.dump(key) for key in client.scan_iter(f"{prefix}:profile:*", count=1000)}
    second = publish(rows, store).stamp

    assert sum(done) == len(rows.member_ids) == first.members
    assert max(done) <= 100
    assert replace(second, published_at=first.published_at, generation=first.generation) == first
    assert second.generation != first.generation
    assert {key: client.dump(key) for key in client.scan_iter(f"{prefix}:profile:*", count=1000)} == before
    assert store.read_stamp() == second
    stored = [value for value in store.read_aggregates(rows.member_ids.tolist()) if value is not None]
    assert decode(CONTRACT, stored).records.tobytes() == rows.records.tobytes()


def test_published_profiles_say_what_the_features_say(rows: FeatureRows, store: RedisStore) -> None:
    publish(rows, store)
    stages = ("new", "growing", "loyal", "at_risk", "dormant")

    for row in range(0, len(rows.member_ids), 37):
        profile = store.read_profile(str(rows.member_ids[row]))
        assert profile["lifecycle_stage"] == stages[int(rows.column("lifecycle_stage")[row])]
        assert profile["rfm_tier"] == ("regular", "gold", "diamond")[int(rows.column("rfm_tier")[row])]
        assert int(profile["spend_cents_365d"]) == rows.column("spend_cents_365d")[row]
        assert profile["recency_score"] == str(int(rows.column("recency_score")[row]))


def test_members_in_the_store_are_found_under_their_own_prefix_only(store_url: str, client: redis.Redis) -> None:
    odd, other = (RedisStore(store_url, prefix=prefix) for prefix in ("shop[1]*?", "shop1x?"))
    odd.write_aggregates([f"m{i}" for i in range(1200)], [b"x"] * 1200)
    odd.write_aggregates(["会员一", "}", "{"], [b"x"] * 3)
    other.write_aggregates(["stranger"], [b"x"])
    odd.write_profiles(["profile only"], [{"a": 1}])

    found = {member.decode() for batch in odd.stored_members() for member in batch.tolist()}

    assert found == {*(f"m{i}" for i in range(1200)), "会员一", "}", "{"}


def test_nothing_but_a_refusal_is_left_of_a_deleted_member(store: RedisStore, client: redis.Redis, prefix: str) -> None:
    for member in ("ann", "bob", "会员一"):
        store.write_aggregates([member], [b"x"])
        store.write_profiles([member], [{"a": 1}])
        store.write_lists([member], [of_items(("pear", 1.0))])
        store.write_list_pasts([member], [b"0" * 16], lambda _: b"0" * 20)
        store.load_answers(np.array([member.encode()]), np.array([b"answer"], dtype="V6"))
        client.set(Keys(prefix).live(member), b"today")
    store.replace_opt_outs(np.array([b"ann", b"bob"]))

    store.delete_members(np.array([b"ann", "会员一".encode(), b"nobody"]))
    store.delete_members(np.empty(0, dtype="S1"))

    left = {key.decode() for key in client.scan_iter(count=1000)}
    refusals = {Keys(prefix).opted_out("ann"), Keys(prefix).opted_outs}  # kept: should ann come back, hers still holds
    assert {key for key in left if key.startswith(f"{prefix}:")} == set(Keys(prefix).of_member("bob")) | refusals


# Trouble


def test_the_servers_version_and_policy_are_checked(store: RedisStore, client: redis.Redis) -> None:
    assert int(store.check_server().split(".")[0]) >= 7

    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ConfigurationError, match="allkeys-lru") as refused:
            store.check_server()
    finally:
        client.config_set("maxmemory-policy", "noeviction")
    assert "noeviction" in refused.value.remedy


@pytest.fixture
def silent_server(tmp_path: Path) -> Iterator[str]:
    """The address of a server that accepts connections and never answers, as a frozen Redis does."""
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield f"unix://:{SECRET}@{path}"


JOB_CALLS: list[Callable[[RedisStore], object]] = [
    lambda store: store.read_stamp(),
    lambda store: store.read_aggregates(["ann"]),
    lambda store: store.read_profile("ann"),
    lambda store: store.write_stamp(STAMP),
    lambda store: store.write_aggregates(["ann"], [b""]),
    lambda store: store.write_profiles(["ann"], [{"a": 1}]),
    lambda store: store.write_lists(["ann"], [of_items(("pear", 1.0))]),
    lambda store: store.write_list_stamp(ListStamp("m@1", "2018-01-02T05:00:00+00:00", 1)),
    lambda store: store.load_aggregates(np.array([b"ann"]), [Packed(np.array([0]), np.array([b"x"], dtype="V1"))]),
    lambda store: store.load_profiles(np.array([b"ann"]), np.array([(b"1",)], dtype=[("a", "S1")])),
    lambda store: store.delete_members(np.array([b"ann"])),
    lambda store: list(store.stored_members()),
    lambda store: store.check_server(),
]


@pytest.mark.parametrize("call", JOB_CALLS)
def test_jobs_learn_that_nobody_is_there(call: Callable[[RedisStore], object], tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        call(RedisStore(f"unix://:{SECRET}@{tmp_path}/nobody.sock", prefix="x"))

    assert_tells_no_address(refused.value)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("call", JOB_CALLS)
def test_jobs_do_not_wait_for_ever(call: Callable[[RedisStore], object], silent_server: str) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        call(RedisStore(silent_server, prefix="x", timeout_s=0.05))

    assert_tells_no_address(refused.value)


READS: list[Callable[[RedisReader], Coroutine[Any, Any, Any]]] = [
    lambda reader: reader.read(["ann"]),
    lambda reader: reader.read_lists(["ann"]),
]


@pytest.mark.parametrize("question", READS)
def test_serving_hears_within_a_second_that_the_server_is_down(
    question: Callable[[RedisReader], Coroutine[Any, Any, Any]], tmp_path: Path, silent_server: str
) -> None:
    for url in (f"unix://:{SECRET}@{tmp_path}/nobody.sock", f"redis://:{SECRET}@127.0.0.1:1/0", silent_server):
        with pytest.raises(StoreUnavailable) as refused:
            asked(url, "x", lambda reader: asyncio.wait_for(question(reader), 1.0), timeout_ms=50)
        assert_tells_no_address(refused.value)


def assert_tells_no_address(error: Exception) -> None:
    said = f"{error} {getattr(error, 'remedy', '')}"
    assert SECRET not in said
    assert ".sock" not in said
    assert "127.0.0.1" not in said


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{SECRET}@host:6379",
        f"redis://:{SECRET}/with-a-slash@host:6379/0",
        f"redis://:pass@host:{SECRET}",
        SECRET,
        "",
    ],
)
def test_an_address_that_cannot_be_read_is_not_repeated(url: str) -> None:
    for make in (lambda: RedisStore(url, prefix="x"), lambda: RedisReader(url, prefix="x", timeout_ms=50)):
        with pytest.raises(ConfigurationError) as refused:
            make()
        assert SECRET not in str(refused.value) + refused.value.remedy
        assert refused.value.__suppress_context__
        assert refused.value.exit_code == 2
