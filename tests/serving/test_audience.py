"""Audiences over HTTP: who is in, page by page, and what is said of an expression that cannot be read."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.schemas_members import AudienceResponse
from tests.features.test_tag_store import table_of
from tests.serving.asgi import problem_of
from tests.serving.small_shop import GOLD, REFUSED, SIZE, TAGS, SmallShop, id_of, open_shop

PHONE = "13812345678"


@pytest.fixture(scope="module")
def shop(store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallShop]:
    opened = open_shop(store_url, "test-audience", tmp_path_factory.mktemp("data"))
    yield opened
    opened.close()


def asked(shop: SmallShop, expression: str, **more: object) -> AudienceResponse:
    answer = shop.client.post("/v1/audience", {"expression": expression, **more})
    assert answer.status == 200, answer.body
    return AudienceResponse.model_validate_json(answer.body)


def test_members_are_chosen_by_tags_without_those_who_refused(shop: SmallShop) -> None:
    found = asked(shop, "tier=gold and not silent_30d")
    assert found.member_ids == [id_of(0), id_of(2), id_of(3)]
    assert (found.count, found.opted_out, found.consent_unknown, found.next_cursor) == (3, 1, 0, None)
    assert found.age_seconds == 36000


def test_those_who_refused_are_there_if_asked_for(shop: SmallShop) -> None:
    found = asked(shop, "tier=gold", include_opted_out=True)
    assert (found.count, found.opted_out, found.consent_unknown) == (len(GOLD), len(REFUSED), 1)


def test_a_count_alone_reads_no_ids(shop: SmallShop) -> None:
    found = asked(shop, "tier=gold or silent_30d", limit=0)
    assert (found.count, found.member_ids, found.next_cursor) == (6, [], None)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
def test_pages_together_are_the_whole_each_member_once(shop: SmallShop, limit: int) -> None:
    pages, cursor = [], None
    while True:
        page = asked(shop, "not silent_30d", limit=limit, **({"cursor": cursor} if cursor else {}))
        assert len(page.member_ids) <= limit
        pages.append(page.member_ids)
        cursor = page.next_cursor
        if cursor is None:
            break
    ids = [member for page in pages for member in page]
    assert ids == [id_of(position) for position in range(SIZE) if position not in (*TAGS["silent_30d"], *REFUSED)]
    assert len(ids) == page.count
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)


def test_a_cursor_of_other_tags_is_outdated(store_url: str, tmp_path: Path) -> None:
    shop = open_shop(store_url, "test-outdated", tmp_path)
    try:
        cursor = asked(shop, "tier=gold", limit=1).next_cursor
        shop.store.publish_tags(table_of(SIZE, TAGS), generation="second", contract="c")
        body = {"expression": "tier=gold", "cursor": cursor}
        problem_of(shop.client.post("/v1/audience", body), 409, "cursor_outdated")
    finally:
        shop.close()


@pytest.mark.parametrize(
    ("expression", "place", "said"),
    [
        ("tier=gold and", 14, "expected"),
        ("tier=gold and (silent_30d", 26, "closing parenthesis"),
        ("teir=gold", 1, "did you mean tier"),
        ("tier=golden", 6, "did you mean tier=gold"),
        ("silent_30d > 3", 1, "not compared"),
        ("tier=gold and %", 15, "no tag or feature"),
        ("'tier=gold", 1, "quote"),
    ],
)
def test_an_unreadable_expression_is_refused_with_the_place(shop: SmallShop, expression: str, place: int, said: str) -> None:
    document = problem_of(shop.client.post("/v1/audience", {"expression": expression}), 422, "audience_unreadable")
    assert document["detail"].endswith(f"at character {place}")
    (error,) = document["errors"]
    assert error["pointer"] == "/expression"
    assert said in error["problem"]


@pytest.mark.parametrize(
    "expression",
    [
        PHONE, f"'{PHONE}'", f"tier={PHONE}", f"{PHONE}=gold", f"tier=gold {PHONE}", f"tier=gold and {PHONE} > 1",
        f"days_since_last_purchase > {PHONE}x", f"tier in (gold, {PHONE})", f"\"it's {PHONE}\"", f"lifecycle_stage = {PHONE}",
        f"'a''{PHONE}' and \"b{PHONE}\"",
    ],
)  # fmt: skip
def test_nothing_that_was_sent_is_repeated(shop: SmallShop, expression: str) -> None:
    answer = shop.client.post("/v1/audience", {"expression": expression})
    problem_of(answer, 422, "audience_unreadable")
    assert PHONE not in answer.body.decode()


def test_features_are_compared_in_jobs_only(shop: SmallShop) -> None:
    answer = shop.client.post("/v1/audience", {"expression": "tier=gold and spend_cents_90d > 1000"})
    assert "spend_cents_90d" in problem_of(answer, 422, "audience_needs_features")["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"expression": ""},
        {"expression": 5},
        {"expression": "tier=gold", "limit": 10_001},
        {"expression": "tier=gold", "limit": -1},
        {"expression": "tier=gold", "limit": True},
        {"expression": "tier=gold", "cursor": "../../etc"},
        {"expression": "tier=gold", "cursor": "first-99999999999999999"},
        {"expression": "tier=gold", "member": "1"},
        {"expression": "x" * 4001},
    ],
)
def test_other_bodies_are_refused(shop: SmallShop, body: dict[str, object]) -> None:
    problem_of(shop.client.post("/v1/audience", body), 422, "invalid_request")


def test_depth_is_bounded(shop: SmallShop) -> None:
    answer = shop.client.post("/v1/audience", {"expression": "(" * 500 + "tier=gold" + ")" * 500})
    assert "levels" in problem_of(answer, 422, "audience_unreadable")["errors"][0]["problem"]


def test_without_tags_nothing_is_published(shop: SmallShop, store_url: str, tmp_path: Path) -> None:
    other = open_shop(store_url, "test-untagged", tmp_path)
    try:
        for key in other.store._client.scan_iter(match=re.escape("test-untagged") + ":tag*"):
            other.store._client.delete(key)
        problem_of(other.client.post("/v1/audience", {"expression": "tier=gold"}), 503, "nothing_published")
    finally:
        other.close()


WORDS = [
    "tier",
    "=",
    "gold",
    "and",
    "or",
    "not",
    "(",
    ")",
    "in",
    ",",
    "silent_30d",
    "'",
    '"',
    "between",
    "1",
    ">",
    "stage",
    "x",
    PHONE,
    "𠮷",
]


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join) | st.text(min_size=1, max_size=60))
def test_any_expression_is_answered_or_refused_and_never_repeated(shop: SmallShop, expression: str) -> None:
    answer = shop.client.post("/v1/audience", {"expression": expression, "limit": 0})
    assert answer.status in {200, 422}, answer.body
    assert PHONE not in answer.body.decode()
    if answer.status == 422:
        assert answer.json()["code"] in {"audience_unreadable", "audience_needs_features", "invalid_request"}
