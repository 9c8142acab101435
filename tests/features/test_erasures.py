"""Requests to erase a member on disk, and the erasure of one in the online store."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from features.audience_language import Tagged
from features.bitmaps import positions_in
from features.erasures import Erasures
from features.errors import CorruptRecord
from features.member_index import pack_ids
from features.member_store import MemberStore, place_of
from features.online_store import RecommendationList, RecommendedItem
from tests.features.test_tag_store import table_of

AT = datetime(2018, 1, 1, 5, tzinfo=UTC)
LATER = datetime(2018, 1, 2, 5, tzinfo=UTC)
PHONE = "13812345678"


@pytest.fixture
def erasures(tmp_path: Path) -> Erasures:
    return Erasures(tmp_path)


def texts(folder: Path) -> str:
    return "\n".join(path.read_text("latin-1") for path in folder.rglob("*") if path.is_file() and path.name != "key")


def test_a_request_asked_twice_is_one(erasures: Erasures) -> None:
    first = erasures.request(PHONE, at=AT, by="operator")
    assert erasures.request(PHONE, at=LATER, by="operator") == first
    assert erasures.request("1", at=AT, by="operator").receipt != first.receipt
    assert re.fullmatch(r"[0-9a-f]{32}", first.receipt)
    assert [erasure.member_id for erasure in erasures.owed()] == sorted(
        ["1", PHONE], key=[e.member_id for e in erasures.all()].index
    )


def test_the_id_is_forgotten_once_the_files_are_done_and_known_again_by_its_hash(erasures: Erasures, tmp_path: Path) -> None:
    asked = erasures.request(PHONE, at=AT, by="operator")
    assert PHONE in texts(tmp_path)
    erasures.done(asked, at=LATER, by="nightly", online=True, files=True)

    assert PHONE not in texts(tmp_path)
    assert erasures.owed() == []
    (kept,) = erasures.all()
    assert (kept.requested_at, kept.online_at, kept.files_at) == (AT.isoformat(), LATER.isoformat(), LATER.isoformat())
    assert erasures.among(["1", PHONE, "138"]) == [PHONE]


def test_asked_again_after_it_was_done_the_files_are_looked_through_again(erasures: Erasures) -> None:
    erasures.done(erasures.request("1", at=AT, by="operator"), at=AT, by="nightly", files=True)
    again = erasures.request("1", at=LATER, by="operator")

    assert (again.requested_at, again.member_id, again.files_at) == (AT.isoformat(), "1", "")
    assert erasures.owed() == [again]


def test_deeds_are_recorded_without_ids_and_files_are_private(erasures: Erasures, tmp_path: Path) -> None:
    erasures.done(erasures.request(PHONE, at=AT, by="operator"), at=LATER, by="nightly", online=True, files=True)
    audit = tmp_path / "erasures" / "audit.jsonl"
    lines = [json.loads(line) for line in audit.read_text().splitlines()]

    assert [(line["deed"], line["by"]) for line in lines] == [
        ("requested", "operator"), ("erased online", "nightly"), ("erased from files", "nightly"),
    ]  # fmt: skip
    assert len({line["receipt"] for line in lines}) == 1
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "erasures").rglob("*"))


def test_another_folder_has_another_key(erasures: Erasures, tmp_path: Path) -> None:
    other = Erasures(tmp_path / "other")
    assert other.request("1", at=AT, by="x").member_hash != erasures.request("1", at=AT, by="x").member_hash


def test_a_request_that_cannot_be_read_is_not_passed_over(erasures: Erasures, tmp_path: Path) -> None:
    asked = erasures.request("1", at=AT, by="operator")
    (tmp_path / "erasures" / f"{asked.receipt}.json").write_text("{")
    with pytest.raises(CorruptRecord):
        erasures.owed()


@pytest.mark.parametrize("ids", [["1"], ["1", "11", "111"], ["ab", "ba", "会员一", "会员二", "a"]])
def test_ids_are_found_among_packed_ones_at_their_places(ids: list[str]) -> None:
    packed = pack_ids(ids)
    assert [place_of(packed, member.encode()) for member in ids] == list(range(len(ids)))
    assert [place_of(packed, wrong) for wrong in (b"2", b"1111", b"", b"b", "会".encode())] == [None] * 5


@pytest.fixture
def filled(store_url: str, request: pytest.FixtureRequest) -> MemberStore:
    """A corner with three members, two of them tagged."""
    store = MemberStore(store_url, prefix="test-" + re.sub(r"\W", "-", request.node.name))
    store.publish_tags(table_of(3, {"a": [1, 2], "b": [1], "c": []}), generation="one", contract="c")
    for member in ("m0000001", "m0000002"):
        store.write_aggregates([member], [b"packed"])
        store.write_profiles([member], [{"lifecycle_stage": "new"}])
        store.write_lists([member], [RecommendationList("r@1", AT.isoformat(), (RecommendedItem("i", 1.0, "popular"),))])
    return store


def test_everything_kept_of_a_member_is_read(filled: MemberStore) -> None:
    known = filled.read_member("m0000001")
    assert known is not None
    assert (known.profile, known.tags, known.answer) == ({"lifecycle_stage": "new"}, ("a", "b"), None)
    assert known.tags_as_of == AT
    assert known.list_seconds_left is not None
    assert filled.read_member("m0000000") is not None, "in the index, though nothing else is kept"
    assert filled.read_member("m0000003") is None


def test_an_erased_member_has_gone_from_every_key_and_nobody_else_has(filled: MemberStore, store_url: str) -> None:
    erased = filled.erase("m0000001")
    assert (erased.keys, erased.tags) == (4, 2)
    assert filled.read_member("m0000001") is None
    others = filled.read_member("m0000002")
    assert others is not None
    assert others.tags == ("a",)
    assert filled.erase("m0000001").keys == filled.erase("nobody").tags == 0

    stored = filled.read_tags(lambda stamp: ["a", "b"])
    assert positions_in(stored.population).tolist() == [0, 2]
    stamp, chosen = filled.choose(lambda stamp: Tagged("a"))
    assert filled.read_ids(stamp, chosen.members) == ["m0000002"]
    client = redis.Redis.from_url(store_url)
    for key in client.scan_iter(match=f"{filled._keys.prefix}:*"):
        assert b"m0000001" not in client.dump(key), key
    client.close()


def test_an_erasure_that_a_publish_of_tags_overtakes_is_made_in_the_new_generation(
    filled: MemberStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear, overtaken = filled._clear, []

    def late(*arguments: object) -> int:
        if not overtaken:
            overtaken.append(True)
            filled.publish_tags(table_of(4, {"a": [1, 3]}), generation="two", contract="c")
        return clear(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(filled, "_clear", late)
    assert filled.erase("m0000001").tags == 1
    assert positions_in(filled.read_tags(lambda stamp: ["a"]).tags["a"]).tolist() == [3]
    assert not filled._client.exists(filled._keys.tag("one", "a")), "no key of a generation gone comes back"
