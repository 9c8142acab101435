"""One member over HTTP: what is told, what is masked, what is never written down; and their erasure with a receipt."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.erasures import Erasures
from features.store_keys import Keys
from serving.masking import masked
from serving.schemas_members import ErasureReceipt, MemberView
from tests.serving.asgi import Client, assert_guarded, problem_of
from tests.serving.own_redis import OwnRedis
from tests.serving.small_shop import NOW, SmallShop, id_of, open_shop
from training.predictors.reason_codes import CODE_NAMES

PHONE = "13812345678"


@pytest.fixture
def shop(store_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SmallShop]:
    opened = open_shop(store_url, "test-" + re.sub(r"\W", "-", request.node.name), tmp_path)
    yield opened
    opened.close()


def test_everything_known_of_a_member_is_told_with_its_age(shop: SmallShop) -> None:
    answer = shop.client.get(f"/v1/members/{id_of(0)}")
    assert answer.status == 200, answer.body
    told = MemberView.model_validate_json(answer.body)

    assert (told.member_id, told.features_age_seconds) == (id_of(0), 36000)
    assert told.profile.model_dump() == {
        "lifecycle_stage": "growing", "rfm_tier": "gold", "last_purchase": "2017-12-30", "spend_cents_365d": 12345,
        "recency_score": 5, "frequency_score": None, "monetary_score": None,
    }  # fmt: skip
    churn, tier = told.scores
    assert (churn.model, churn.age_seconds, churn.values) == ("churn@3", 36000, {"probability": 0.25})
    assert [reason.model_dump() for reason in churn.reasons] == [{"code": CODE_NAMES[0], "adds": -1.5}]
    assert (tier.values, tier.reasons) == ({"likely": "diamond"}, [])
    assert told.tags == ["tier=gold", "consent=yes"]
    assert (told.consent.marketing, told.consent.opted_out) == (True, False)
    assert told.list_expires_seconds is not None
    assert answer.headers["cache-control"] == "no-store"
    assert_guarded(answer)


def test_a_member_to_whom_no_model_applies_has_nulls_and_one_who_refused_is_opted_out(shop: SmallShop) -> None:
    told = shop.client.get(f"/v1/members/{id_of(1)}").json()
    assert [score["values"] for score in told["scores"]] == [{"probability": None}, {"likely": None}]
    assert told["consent"] == {"marketing": False, "opted_out": True}
    assert told["list_expires_seconds"] is None


def test_consent_may_be_unknown(shop: SmallShop) -> None:
    told = shop.client.get(f"/v1/members/{id_of(5)}").json()
    assert told["consent"] == {"marketing": None, "opted_out": False}
    assert told["scores"] == []


def test_an_unknown_member_is_not_found(shop: SmallShop) -> None:
    problem_of(shop.client.get(f"/v1/members/{PHONE}"), 404, "unknown_member")


@pytest.mark.parametrize("wrong", ["a{b", " ", "\x00", "a\u200bb", "x" * 129])
def test_an_id_that_is_none_is_refused_without_repeating_it(shop: SmallShop, wrong: str) -> None:
    document = problem_of(shop.client.get(f"/v1/members/{wrong}"), 422, "invalid_request")
    assert [error["pointer"] for error in document["errors"]] == ["/member_id"]
    assert "\\x" not in document["errors"][0]["problem"], "a pattern says nothing to people"


@pytest.mark.parametrize("member", ["north/12", "/12", "12/", "../12"])
def test_an_id_may_have_slashes_and_be_erased(shop: SmallShop, member: str) -> None:
    problem_of(shop.client.get(f"/v1/members/{member}"), 404, "unknown_member")
    assert shop.client.send("DELETE", f"/v1/members/{member}").status == 202


def test_without_an_id_there_is_no_path(shop: SmallShop) -> None:
    problem_of(shop.client.get("/v1/members/"), 404, "not_found")
    problem_of(shop.client.send("DELETE", "/v1/members/"), 404, "not_found")


def test_other_methods_are_refused(shop: SmallShop) -> None:
    problem_of(shop.client.post(f"/v1/members/{id_of(0)}", {}), 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("member_id", "shown"),
    [
        (PHONE, "138****5678"),
        ("+8613812345678", "+86****5678"),
        ("138 1234 5678", "138****5678"),
        ("mei.lin@example.org", "m***@example.org"),
        ("682", "682"),
        ("1234567", "1234567"),
        ("会员一", "会员一"),
        ("CARD-0001", "CARD-0001"),
    ],
)
def test_ids_that_are_personal_are_masked(member_id: str, shown: str) -> None:
    assert masked(member_id) == shown


def test_a_phone_number_as_id_is_neither_told_nor_logged(shop: SmallShop, caplog: pytest.LogCaptureFixture) -> None:
    shop.store.write_profiles([PHONE], [{"lifecycle_stage": "new"}])
    with caplog.at_level(logging.DEBUG):
        seen, gone = shop.client.get(f"/v1/members/{PHONE}"), shop.client.send("DELETE", f"/v1/members/{PHONE}")
    assert (seen.status, gone.status) == (200, 202)
    for text in (caplog.text, seen.body.decode(), gone.body.decode(), str(seen.headers), str(gone.headers)):
        assert PHONE not in text
    lines = [json.loads(record.message) for record in caplog.records if record.name == "rapport.requests"]
    assert [line["path"] for line in lines] == ["/v1/members/{member_id}"] * 2


def test_an_erased_member_is_gone_at_once_owed_by_the_files_and_has_a_receipt(shop: SmallShop) -> None:
    answer = shop.client.send("DELETE", f"/v1/members/{id_of(0)}")
    assert answer.status == 202, answer.body
    receipt = ErasureReceipt.model_validate_json(answer.body)
    assert (receipt.online.keys, receipt.online.tags) == (5, 2)
    assert (receipt.requested_at, receipt.files.erased_at) == (NOW.isoformat(), None)
    assert receipt.files.due == "2018-01-02T15:00:00+00:00"

    keys = Keys(shop.settings.key_prefix)
    assert not shop.store._client.exists(*keys.of_member(id_of(0)))
    problem_of(shop.client.get(f"/v1/members/{id_of(0)}"), 404, "unknown_member")
    assert shop.client.get(f"/v1/members/{id_of(2)}").status == 200
    (owed,) = Erasures(shop.settings.data_dir).owed()
    assert (owed.receipt, owed.member_id) == (receipt.receipt, id_of(0))
    again = ErasureReceipt.model_validate_json(shop.client.send("DELETE", f"/v1/members/{id_of(0)}").body)
    assert (again.receipt, again.online.keys, again.online.tags) == (receipt.receipt, 0, 0)


def test_a_member_whom_the_store_never_knew_is_written_down_all_the_same(shop: SmallShop) -> None:
    assert shop.client.send("DELETE", "/v1/members/nobody").status == 202
    assert [owed.member_id for owed in Erasures(shop.settings.data_dir).owed()] == ["nobody"]


def test_an_erasure_is_owed_even_if_the_store_is_down(tmp_path: Path) -> None:
    server = OwnRedis()
    shop = open_shop(server.url, "p", tmp_path)
    try:
        server.kill()
        problem_of(shop.client.send("DELETE", f"/v1/members/{id_of(0)}"), 503, "store_unavailable")
        (owed,) = Erasures(tmp_path).owed()
        assert (owed.member_id, owed.online_at) == (id_of(0), "")
    finally:
        shop.close()
        server.close()


def test_scores_and_profile_of_real_members_fit_the_schema(client: Client, members: list[str]) -> None:
    for member in members[:20]:
        answer = client.get(f"/v1/members/{member}")
        assert answer.status == 200, answer.body
        told = MemberView.model_validate_json(answer.body)
        assert {score.kind for score in told.scores} >= {"churn", "tier"}
        assert told.profile.lifecycle_stage
