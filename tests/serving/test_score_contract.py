"""/v1/score beyond the plain answer: outputs, reasons, models, limits of age and time, refusals and the ladder."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.build import FeatureRows
from features.codec import decode
from features.contract import CONTRACT
from features.days import day_of
from features.derive import derive, model_columns
from features.online_store import FROM_FACTS, RedisStore
from features.settings import Settings
from features.store_keys import Keys
from serving.bundle import ModelSet
from serving.parsing import parse
from serving.problems import ApiError
from serving.score_parsing import QuickScoreRequest, parse_score
from serving.score_schemas import ScoreRequest, ScoreResponse
from serving.served import Bands, ServedModel
from tests.serving.asgi import JSON, Client, problem_of
from tests.serving.conftest import MakeClient
from tests.serving.registries import forget
from training.predictors.reasons import explain
from training.registry import CHALLENGER, load, registered_models

DAY_S = 86_400


def asked(client: Client, *member_ids: str, **more: Any) -> Any:
    """The parsed answer of a request, after the schema was checked."""
    answer = client.post("/v1/score", {"member_ids": member_ids, **more})
    assert answer.status == 200, answer.body
    ScoreResponse.model_validate_json(answer.body)
    return answer.json()


def test_only_the_outputs_asked_for_are_answered(client: Client, active_member: str) -> None:
    whole = asked(client, active_member)["rows"][0]
    reply = asked(client, active_member, outputs=["churn"])
    assert reply["rows"][0] == {**whole, "tier": None, "value": None, "segment": None}
    assert set(reply["passport"]["models"]) == {"churn"}


def test_an_output_without_a_model_is_null_and_said_to_be(
    make_client: MakeClient, mlruns_copy: Path, active_member: str
) -> None:
    forget(mlruns_copy, "value", "segments")
    (row,) = asked(make_client(mlruns_dir=mlruns_copy), active_member, outputs=["churn", "value", "segment"])["rows"]
    assert (row["status"], row["reason"], row["value"], row["segment"]) == ("PARTIAL", "model_missing", None, None)
    assert row["churn"] is not None


def test_the_interval_holds_the_probability(client: Client, members: list[str]) -> None:
    reply = asked(client, *members[:100], outputs=["churn"])
    found = [row["churn"] for row in reply["rows"] if row["churn"]]
    assert all(churn["low"] <= churn["probability"] <= churn["high"] for churn in found)
    assert any(churn["low"] < churn["high"] for churn in found)
    assert 0 < reply["passport"]["models"]["churn"]["interval"]["level"] < 1


@pytest.mark.parametrize("language", ["en", "zh"])
def test_reasons_are_those_of_the_exact_tree_shap(
    client: Client, settings: Settings, members: list[str], rows: FeatureRows, language: str
) -> None:
    reply = asked(client, *members[:20], explain="top_k", top_k=2, language=language)
    assert reply["passport"]["reasons"] == "given"
    models = ModelSet.load(settings.mlruns_dir)
    matrix = rows.matrix[:20][:, model_columns(CONTRACT)]
    exact = {"churn": explain(models.churn, matrix, exact=True), "tier": explain(models.tier, matrix, exact=True)}
    for i, row in enumerate(reply["rows"]):
        for output, told in exact.items():
            if row[output] is None:
                continue
            given_reasons = row[output]["reasons"]
            sizes = sorted(np.abs(told.contributions[i]), reverse=True)[:2]
            assert [abs(r["contribution"]) for r in given_reasons] == pytest.approx(sizes, abs=1e-4)
            assert all(r["sentence"].isascii() == (language == "en") for r in given_reasons)
            assert all((r["contribution"] > 0) == (r["direction"] == "raises") for r in given_reasons)


def test_reasons_do_not_change_the_score(client: Client, members: list[str]) -> None:
    without = asked(client, *members[:50])["rows"]
    told = asked(client, *members[:50], explain="top_k")["rows"]
    for row in told:
        for output in ("churn", "tier"):
            if row[output]:
                assert row[output].pop("reasons") is not None
                row[output]["reasons"] = None
    assert told == without


def test_requests_with_and_without_reasons_share_a_batch_and_not_their_rows(client: Client, members: list[str]) -> None:
    plain = {"member_ids": members[:5], "outputs": ["churn"]}
    bodies = [plain, {**plain, "explain": "top_k"}, {**plain, "outputs": ["tier"]}, {**plain, "explain": "top_k", "top_k": 1}]
    alone = [client.post("/v1/score", body).json()["rows"] for body in bodies]
    assert [answer.json()["rows"] for answer in client.together("/v1/score", bodies)] == alone


def test_reasons_of_a_long_request_are_given_if_its_last_members_have_none(client: Client, active_member: str) -> None:
    ids = [active_member, *(f"nobody-{number}" for number in range(900))]
    reply = client.post("/v1/score", {"member_ids": ids, "outputs": ["churn"], "explain": "top_k"}).json()
    assert reply["rows"][0]["churn"]["reasons"]
    assert reply["passport"]["reasons"] == "given"


def test_a_challenger_or_a_version_can_be_asked_for(client: Client, settings: Settings, active_member: str) -> None:
    champion = asked(client, active_member, outputs=["churn"])
    by_number = asked(client, active_member, outputs=["churn"], model="churn@1")
    assert by_number["rows"] == champion["rows"]
    assert by_number["passport"]["models"]["churn"]["alias"] == ""

    other = next(m for m in registered_models(settings.mlruns_dir) if m.name == "churn" and CHALLENGER in m.aliases)
    wait_until_loaded(client, other.label, active_member)
    reply = asked(client, active_member, outputs=["churn"], model=other.label)
    assert reply["passport"]["models"]["churn"]["version"] == other.version
    assert reply["rows"][0]["churn"]["probability"] != champion["rows"][0]["churn"]["probability"]


def wait_until_loaded(client: Client, label: str, member: str) -> None:
    """Ask for a version until it is in memory."""
    deadline = time.monotonic() + 60
    while (answer := client.post("/v1/score", {"member_ids": [member], "model": label})).status != 200:
        problem_of(answer, 503, "model_loading")
        assert "retry-after" in answer.headers
        assert time.monotonic() < deadline
        client.wait(0.1)


@pytest.mark.parametrize("model", ["churn@99", "oracle@1", "tier@999999999", "recommender@1"])
def test_a_version_that_is_not_registered_is_not_found(client: Client, model: str) -> None:
    problem_of(client.post("/v1/score", {"member_ids": ["1"], "model": model}), 404, "model_not_found")


# Refusals


def test_a_member_who_refused_gets_the_same_as_everybody_at_once(
    client: Client, settings: Settings, plain_redis: Any, lapsed_member: str, active_member: str
) -> None:
    client.get("/health/ready")  # priors are read
    key = Keys(settings.key_prefix).opted_out(active_member)
    before = asked(client, active_member)["rows"][0]
    plain_redis.set(key, b"said")
    try:
        row, other = asked(client, active_member, lapsed_member)["rows"]
        (alone,) = asked(client, active_member)["rows"]
    finally:
        plain_redis.delete(key)
    assert (row["status"], row["fallback"], row["lifecycle_stage"]) == ("OPTED_OUT", "prior", None)
    assert row["churn"]["probability"] != before["churn"]["probability"]
    assert row == alone
    assert other["status"] != "OPTED_OUT"
    assert asked(client, active_member)["rows"][0] == before


def test_refusals_of_the_facts_are_replaced_and_those_said_to_us_stay(store: RedisStore, plain_redis: Any) -> None:
    keys = Keys(store._keys.prefix)
    plain_redis.set(keys.opted_out("c"), b"said")
    assert store.replace_opt_outs(np.array([b"a", b"b", b"c"])) == (3, 0)
    assert plain_redis.get(keys.opted_out("a")) == FROM_FACTS
    assert plain_redis.get(keys.opted_out("c")) == b"said"
    assert store.replace_opt_outs(np.array([b"b"])) == (0, 2)
    assert [plain_redis.exists(keys.opted_out(member)) for member in "abc"] == [0, 1, 1]
    assert store.replace_opt_outs(np.array([b"b"])) == (0, 0)
    assert store.replace_opt_outs(np.empty(0, dtype="S1")) == (0, 1)


# The ladder


@pytest.fixture
def damaged(settings: Settings, plain_redis: Any, active_member: str) -> Iterator[None]:
    """The active member's record cannot be read during the test."""
    key = Keys(settings.key_prefix).aggregates(active_member)
    value = plain_redis.get(key)
    plain_redis.set(key, b"garbage")
    yield
    plain_redis.set(key, value)


@pytest.mark.usefixtures("damaged")
def test_below_the_live_vector_stands_last_nights_score(
    client: Client, rows: FeatureRows, settings: Settings, active_member: str
) -> None:
    reply = asked(client, active_member)
    (row,) = reply["rows"]
    assert (row["status"], row["reason"], row["fallback"]) == ("FALLBACK", "record_unreadable", "nightly")
    (run,) = reply["passport"]["nightly"]
    assert row["nightly_run"] == run["run"]
    assert run["models"] == {name: f"{name}@1" for name in ("churn", "segments", "tier", "value")}
    models = ModelSet.load(settings.mlruns_dir)
    matrix = rows.matrix[rows.member_ids == active_member][:, model_columns(CONTRACT)]
    assert row["churn"]["probability"] == pytest.approx(models.churn.score(matrix)[0], abs=1e-6)
    assert row["tier"]["likely"] == models.tier.tiers[models.tier.likely_tier(models.tier.score(matrix))[0]]


@pytest.mark.usefixtures("damaged")
def test_below_last_nights_score_stands_the_prior_of_everyone(
    client: Client, settings: Settings, plain_redis: Any, active_member: str
) -> None:
    client.get("/health/ready")
    key = Keys(settings.key_prefix).answer(active_member)
    value = plain_redis.get(key)
    plain_redis.delete(key)
    try:
        reply = asked(client, active_member)
    finally:
        plain_redis.set(key, value)
    (row,) = reply["rows"]
    store = RedisStore(settings.redis_url, prefix=settings.key_prefix)
    stamp = store.read_answer_stamp()
    store.close()
    assert stamp is not None
    assert stamp.current is not None
    assert (row["status"], row["fallback"]) == ("FALLBACK", "prior")
    assert row["churn"]["probability"] == pytest.approx(stamp.current.priors[""]["churn.probability"])


def test_features_older_than_the_request_allows_are_not_scored(
    make_client: MakeClient, rows: FeatureRows, active_member: str
) -> None:
    client = make_client(now=rows.as_of + timedelta(days=3))
    client.get("/health/ready")
    (fine,) = asked(client, active_member, max_staleness=3 * DAY_S)["rows"]
    assert (fine["status"], fine["fallback"]) == ("STALE", "none")
    (old,) = asked(client, active_member, max_staleness=3 * DAY_S - 1)["rows"]
    assert (old["status"], old["reason"], old["fallback"]) == ("FALLBACK", "too_stale", "prior")


def test_the_prior_is_that_of_the_members_stage_where_it_is_known(
    make_client: MakeClient, rows: FeatureRows, members: list[str], settings: Settings
) -> None:
    client = make_client(now=rows.as_of + timedelta(days=3))
    client.get("/health/ready")
    stages = {row["member_id"]: row["lifecycle_stage"] for row in asked(client, *members[:100])["rows"]}
    priors = client.api._guarded.priors.edition
    assert priors is not None
    for row in asked(client, *members[:100], max_staleness=60, outputs=["tier"])["rows"]:
        expected = priors.priors[stages[row["member_id"]]]["tier.gold"]
        assert row["tier"]["probabilities"]["gold"] == expected


def test_priors_are_the_means_of_what_everyone_was_answered(rows: FeatureRows, settings: Settings) -> None:
    store = RedisStore(settings.redis_url, prefix=settings.key_prefix)
    stamp = store.read_answer_stamp()
    store.close()
    assert stamp is not None
    assert stamp.current is not None
    models = ModelSet.load(settings.mlruns_dir)
    tiers = models.tier.score(rows.matrix[:, model_columns(CONTRACT)])
    stages = rows.column("lifecycle_stage")
    assert stamp.current.priors[""]["tier.gold"] == pytest.approx(tiers[:, 1].mean())
    for code, stage in enumerate(CONTRACT.feature("lifecycle_stage").categories):
        if (stages == code).any():
            assert stamp.current.priors[stage]["tier.gold"] == pytest.approx(tiers[stages == code, 1].mean())
        else:
            assert stage not in stamp.current.priors


def test_a_deadline_that_has_passed_is_answered_with_the_prior(client: Client, members: list[str]) -> None:
    client.get("/health/ready")
    reply = asked(client, *(members * 4)[:1000], deadline_ms=1)
    reasons = {row["reason"] for row in reply["rows"] if row["fallback"] == "prior"}
    assert reasons == {"deadline"}
    assert len(reply["rows"]) == 1000


def test_without_time_for_them_reasons_are_left_out_and_scores_are_not(client: Client, active_member: str) -> None:
    client.api._engine._reason_s = 60.0
    reply = asked(client, active_member, explain="top_k", deadline_ms=10_000)
    client.api._engine._reason_s = 0.0
    assert reply["passport"]["reasons"] == "dropped"
    assert (reply["rows"][0]["status"], reply["rows"][0]["churn"]["reasons"]) == ("OK", None)
    assert asked(client, active_member, explain="top_k", deadline_ms=10_000)["passport"]["reasons"] == "given"


def test_a_model_that_answers_nan_sends_its_rows_a_step_down(make_client: MakeClient, active_member: str) -> None:
    client = make_client()
    broken = Constant("churn", lambda matrix: np.full(len(matrix), np.nan))
    use(client, churn=broken)
    (row,) = asked(client, active_member)["rows"]
    assert (row["status"], row["reason"], row["fallback"]) == ("FALLBACK", "model_failed", "nightly")
    (row,) = asked(client, active_member, outputs=["tier"])["rows"]
    assert (row["status"], row["fallback"]) == ("OK", "none")


# Kinds of models that come later


@dataclass(frozen=True)
class Constant:
    """A predictor whose answers are given by a function of the matrix."""

    kind: str
    answers: Callable[[Any], Any]
    names: tuple[str, ...] = ("loyal families", "bargain hunters")

    @property
    def manifest(self) -> Any:
        """As much of a manifest as answers need."""
        definition = {"horizon_days": 28, "active_days": 84}
        return SimpleNamespace(name=self.kind, engine="none", definition=definition, features=(), parameters={})

    def score(self, matrix: Any) -> Any:
        """One number a row."""
        return self.answers(matrix)

    def assign(self, matrix: Any) -> Any:
        """One position a row."""
        return self.answers(matrix)

    def interval_of(self, cents: Any) -> tuple[Any, Any]:
        """Half and double."""
        return cents / 2, cents * 2


def use(client: Client, **predictors: Constant) -> None:
    """Let an app serve these predictors beside its champions."""
    watch = client.api._watch
    churn = watch.champions.served["churn"]
    others = {
        name: ServedModel(replace(churn.registered, name=name), predictor, Bands(("low",)), None, explained=False)
        for name, predictor in predictors.items()
    }
    watch._lineup = replace(watch.lineup, champions=watch.champions.with_models(others, "champion"))


def test_value_and_segment_are_answered_where_such_models_stand(make_client: MakeClient, members: list[str]) -> None:
    client = make_client()
    use(
        client,
        value=Constant("value", lambda matrix: np.arange(len(matrix)) + 1000.5),
        segments=Constant("segments", lambda matrix: np.arange(len(matrix)) % 2),
    )
    reply = asked(client, *members[:4])
    assert [row["value"] for row in reply["rows"]][1] == {"cents": 1001.5, "low_cents": 500.75, "high_cents": 2003.0}
    assert [row["segment"]["name"] for row in reply["rows"]] == ["loyal families", "bargain hunters"] * 2
    assert set(reply["passport"]["models"]) == {"churn", "tier", "value", "segments"}


# Parsing


FIELDS = {
    "member_ids": st.lists(
        st.text('a1 会\n\\"{', max_size=5) | st.sampled_from(["1", "会员一", "\u200b", "a" * 129]) | st.integers(), max_size=3
    ),
    "outputs": st.none() | st.lists(st.sampled_from(["churn", "tier", "value", "segment", "x"]), max_size=5),
    "explain": st.sampled_from(["none", "top_k", "all", None]),
    "top_k": st.sampled_from([0, 1, 3, 10, 11, True, 1.0, "3", None]),
    "language": st.sampled_from(["en", "zh", "de"]),
    "model": st.sampled_from(["champion", "challenger", "churn@1", "churn@0", "Churn@1", "churn@1\n", "x", 1]),
    "max_staleness": st.sampled_from([None, 0, -1, 5, 2**63, 1.5]),
    "deadline_ms": st.sampled_from([None, 0, 1, 10_000, 10_001]),
    "unknown": st.none(),
}


@given(st.fixed_dictionaries({}, optional=FIELDS), st.booleans())
def test_the_quick_parser_takes_what_the_thorough_one_takes(content: dict[str, Any], ascii_only: bool) -> None:
    body = json.dumps(content, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert read_by(lambda: parse_score(body, JSON)) == read_by(lambda: parse(body, JSON, ScoreRequest))


def read_by(parser: Callable[[], Any]) -> Any:
    """The fields of the request that a parser makes, or what it says is wrong."""
    try:
        found = parser()
    except ApiError as error:
        return error.code, error.errors
    return {name: getattr(found, name) for name in ScoreRequest.model_fields}


def test_a_plain_request_is_parsed_quickly_and_names_cannot_be_hidden() -> None:
    assert isinstance(parse_score(b'{"member_ids":["1","00123"]}', JSON), QuickScoreRequest)
    asks_for_reasons = b'{"member_ids":["top_k"],"explain":"top_k","top_k":3}'
    assert isinstance(parse_score(asks_for_reasons, JSON), QuickScoreRequest)  # the text stands there twice more as a value
    for body in (
        b'{"member_ids":["1"],"member_ids":["2"]}',
        b'{"member_ids":["1"],"m\\u0065mber_ids":["2"]}',
        b'{"member_ids":["1"],"top_k":1,"explain":"top_k","top_k"\n : 3}',
    ):
        with pytest.raises(ApiError, match="twice"):
            parse_score(body, JSON)


def test_a_score_can_be_made_again_from_reply_bundle_and_stored_vector(
    client: Client, settings: Settings, active_member: str
) -> None:
    """As an auditor would: interval and reasons as well."""
    reply = asked(client, active_member, explain="top_k")
    passport, (row,) = reply["passport"], reply["rows"]
    models = {m.label: m for m in registered_models(settings.mlruns_dir)}
    named = passport["models"]["churn"]
    registered = models[f"churn@{named['version']}"]
    assert registered.sha256 == named["sha256"]
    churn: Any = load(registered)
    store = RedisStore(settings.redis_url, prefix=settings.key_prefix)
    stamp, (value,) = store.read_stamp(), store.read_aggregates([active_member])
    store.close()
    assert stamp is not None
    assert value is not None
    assert (stamp.generation, stamp.contract) == (passport["features_generation"], passport["contract_hash"])
    edges = {name: np.nan if edge is None else edge for name, edge in stamp.edges.items()}
    day = day_of(datetime.fromisoformat(passport["moment"]), ZoneInfo(stamp.time_zone))
    matrix = derive(CONTRACT, decode(CONTRACT, [value]).records, day=day, edges=edges)
    matrix = np.ascontiguousarray(matrix[:, model_columns(CONTRACT)])
    low, high = churn.interval(matrix)
    found = row["churn"]
    assert (found["probability"], found["low"], found["high"]) == (churn.score(matrix)[0], low[0], high[0])
    told = explain(churn, matrix)
    assert [r["contribution"] for r in found["reasons"]] == told.contributions[0][told.codes[0]].tolist()
