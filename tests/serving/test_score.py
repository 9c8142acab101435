"""/v1/score: order, statuses, passport, batch equals single, and an answer made again from what it names."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from features.build import FeatureRows
from features.codec import decode
from features.contract import CONTRACT, CONTRACT_HASH
from features.days import day_of
from features.derive import derive, label_of, model_columns
from features.online_store import RedisStore
from features.settings import Settings
from serving.score_schemas import ScoreResponse
from tests.serving.asgi import Client, assert_guarded
from tests.serving.conftest import MakeClient
from training.predictors import ChurnPredictor, TierPredictor
from training.registry import load as load_model
from training.registry import registered_models


def test_an_active_member_is_scored_by_both_models(client: Client, active_member: str) -> None:
    (row,) = client.score(active_member)["rows"]

    assert (row["member_id"], row["status"], row["reason"], row["fallback"]) == (active_member, "OK", None, "none")
    assert 0 < row["churn"]["probability"] < 1
    assert row["churn"]["band"] in {"low", "medium", "high"}
    assert row["tier"]["likely"] in row["tier"]["probabilities"]
    assert list(row["tier"]["probabilities"]) == ["regular", "gold", "diamond"]
    assert sum(row["tier"]["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert row["age_seconds"] == 0


def test_the_answer_is_what_the_schema_says(client: Client, members: list[str]) -> None:
    answer = client.post("/v1/score", {"member_ids": [*members, "nobody"]})

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert_guarded(answer, at_once=True)
    parsed = ScoreResponse.model_validate_json(answer.body)
    assert parsed.model_dump() == answer.json()
    assert {row.status for row in parsed.rows} == {"OK", "PARTIAL", "COLD"}


def test_rows_stand_in_the_order_asked_for(client: Client, members: list[str]) -> None:
    asked = [*members[::-3], "nobody", *members[1::7]]
    assert [row["member_id"] for row in client.score(*asked)["rows"]] == asked


def test_one_id_may_stand_several_times_and_is_answered_alike(client: Client, members: list[str]) -> None:
    rows = client.score(members[3], members[5], "nobody", members[3], "nobody", members[3])["rows"]

    assert len(rows) == 6
    assert rows[0] == rows[3] == rows[5]
    assert rows[2] == rows[4]
    assert rows[0] != rows[1]


def test_an_unknown_member_is_cold_and_harms_nobody(client: Client, active_member: str) -> None:
    alone = client.score(active_member)["rows"][0]
    unknown, known = client.score("nobody", active_member)["rows"]

    assert (unknown["status"], unknown["reason"], unknown["fallback"]) == ("COLD", "unknown_member", "refused")
    assert {unknown[name] for name in ("as_of", "age_seconds", "churn", "tier", "lifecycle_stage", "rfm_tier")} == {None}
    assert known == alone


def test_a_batch_gives_every_member_the_very_answer_of_a_single_request(client: Client, members: list[str]) -> None:
    chosen = members[:300]
    assert len(chosen) >= 290  # the slice, less the households whom cleaning leaves nothing
    together = client.score(*chosen)["rows"]
    assert [client.score(member)["rows"][0] for member in chosen] == together  # floats compared with ==


def test_requests_at_the_same_time_are_answered_as_one_after_the_other(client: Client, members: list[str]) -> None:
    bodies = [{"member_ids": members[start : start + 7]} for start in range(0, 210, 7)]
    one_by_one = [client.score(*body["member_ids"])["rows"] for body in bodies]
    answers = client.together("/v1/score", bodies)

    assert [answer.json()["rows"] for answer in answers] == one_by_one
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(bodies)


def test_a_member_whom_the_churn_model_does_not_apply_to_still_has_a_tier(client: Client, lapsed_member: str) -> None:
    (row,) = client.score(lapsed_member)["rows"]

    assert (row["status"], row["reason"], row["churn"]) == ("PARTIAL", "not_active", None)
    assert row["tier"]["likely"] in {"regular", "gold", "diamond"}
    assert row["lifecycle_stage"] == "dormant"


def test_the_passport_is_complete(client: Client, mlruns: Path, rows: FeatureRows, active_member: str) -> None:
    answer = client.post("/v1/score", {"member_ids": [active_member]})
    passport = answer.json()["passport"]
    champions = {m.name: m for m in registered_models(mlruns) if "champion" in m.aliases}

    assert passport["decision_id"] == answer.headers["x-request-id"]
    assert datetime.fromisoformat(passport["moment"]) == rows.as_of
    assert datetime.fromisoformat(passport["features_as_of"]) == rows.as_of
    assert passport["features_age_seconds"] == 0
    assert passport["contract_hash"] == CONTRACT_HASH
    assert set(passport["models"]) == {"churn", "tier", "value", "segments"}
    for name, model in passport["models"].items():
        assert (model["name"], model["version"], model["alias"]) == (name, champions[name].version, "champion")
        assert model["engine"] == "xgboost"
        assert name == "segments" or model["definition"]["horizon_days"] > 0


def test_every_answer_has_a_decision_id_of_its_own(client: Client, active_member: str) -> None:
    first, second = client.score(active_member), client.score(active_member)
    assert first["passport"]["decision_id"] != second["passport"]["decision_id"]
    assert first["rows"] == second["rows"]


def test_features_older_than_the_limit_are_flagged(
    make_client: MakeClient, rows: FeatureRows, active_member: str, lapsed_member: str
) -> None:
    answer = make_client(now=rows.as_of + timedelta(days=3)).score(active_member, lapsed_member)
    active, lapsed = answer["rows"]

    assert (active["status"], active["reason"]) == ("STALE", None)
    assert active["age_seconds"] == answer["passport"]["features_age_seconds"] == 3 * 86_400
    assert active["churn"] is not None
    assert (lapsed["status"], lapsed["reason"]) == ("PARTIAL", "not_active")


@pytest.mark.parametrize(("hours", "status"), [(26, "OK"), (27, "STALE")])
def test_the_limit_of_staleness_is_the_setting(
    make_client: MakeClient, rows: FeatureRows, active_member: str, hours: int, status: str
) -> None:
    client = make_client(now=rows.as_of + timedelta(hours=hours), max_staleness_h=26)
    assert client.score(active_member)["rows"][0]["status"] == status


def test_three_days_later_the_same_records_give_later_features(
    make_client: MakeClient, client: Client, rows: FeatureRows, members: list[str]
) -> None:
    later = make_client(now=rows.as_of + timedelta(days=3)).score(*members)["rows"]
    now = client.score(*members)["rows"]
    moved = [a["churn"] != b["churn"] for a, b in zip(now, later, strict=True) if a["churn"] and b["churn"]]
    assert any(moved)


def test_an_answer_can_be_made_again_from_what_it_names(client: Client, settings: Settings, members: list[str]) -> None:
    """From the reply, the bundles of the versions it names and the stored bytes, without serving's own code."""
    text = json.dumps(client.score(*members))
    reply = json.loads(text)
    passport = reply["passport"]

    versions = {model.label: model for model in registered_models(settings.mlruns_dir)}
    used = {name: load_model(versions[f"{m['name']}@{m['version']}"]) for name, m in passport["models"].items()}
    churn, tier = used["churn"], used["tier"]
    assert isinstance(churn, ChurnPredictor)
    assert isinstance(tier, TierPredictor)
    assert churn.manifest.contract_hash == tier.manifest.contract_hash == passport["contract_hash"] == CONTRACT.hash

    store = RedisStore(settings.redis_url, prefix=settings.key_prefix)
    stamp = store.read_stamp()
    stored = [value for value in store.read_aggregates([row["member_id"] for row in reply["rows"]]) if value is not None]
    store.close()
    assert stamp is not None
    assert stamp.as_of == passport["features_as_of"]
    edges = {name: np.nan if value is None else value for name, value in stamp.edges.items()}
    day = day_of(datetime.fromisoformat(passport["moment"]), ZoneInfo(stamp.time_zone))
    matrix = derive(CONTRACT, decode(CONTRACT, stored).records, day=day, edges=edges)
    model_matrix = np.ascontiguousarray(matrix[:, model_columns(CONTRACT)])
    probabilities, tiers = churn.score(model_matrix), tier.score(model_matrix)
    silence = matrix[:, CONTRACT.feature_names.index("days_since_last_purchase")]
    stage = matrix[:, CONTRACT.feature_names.index("lifecycle_stage")]

    assert len(reply["rows"]) == len(matrix)
    for i, row in enumerate(reply["rows"]):
        applies = silence[i] <= passport["models"]["churn"]["definition"]["active_days"]
        assert (row["churn"] is not None) == applies
        if applies:
            assert row["churn"]["probability"] == probabilities[i]
            assert row["churn"]["band"] == churn.band(probabilities[i])
        assert list(row["tier"]["probabilities"].values()) == tiers[i].tolist()
        assert row["lifecycle_stage"] == label_of(CONTRACT, "lifecycle_stage", stage[i])


def test_a_thousand_members_are_answered(client: Client, members: list[str]) -> None:
    asked = (members * 4)[:1000]
    rows = client.score(*asked)["rows"]
    assert [row["member_id"] for row in rows] == asked
