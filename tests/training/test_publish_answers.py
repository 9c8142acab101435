"""The models' answers in the online store: what the models say, for every member, the same when said again."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.answers import NightlyAnswer, read_answers
from features.build import FeatureRows
from features.derive import model_columns
from features.errors import BundleRefused, ContractMismatch, StoreUnavailable
from features.facts import Facts
from features.online_reader import RedisReader
from features.online_store import RecommendationList, RedisStore
from training.lists.behaviour import Behaviour, behaviour
from training.lists.windows import window
from training.predictors import SOURCES, ChurnPredictor, Histories, Recommender, SegmentPredictor, TierPredictor
from training.predictors.histories import ENTRY_FIELDS, MEMBER_FIELDS
from training.publish_answers import LIST_LENGTH, lists_of, member_histories, publish_answers
from training.registry import CHAMPION, load, resolve
from training.tracking import open_registry, record
from training.trained import Trained


def lists_in(url: str, prefix: str, members: list[str]) -> list[RecommendationList | None]:
    """Stored lists, as serving reads them."""

    async def read() -> list[RecommendationList | None]:
        reader = RedisReader(url, prefix=prefix, timeout_ms=5000)
        try:
            stored = await reader.read_lists(members)
        finally:
            await reader.close()
        return [RecommendationList.from_bytes(value) if value is not None else None for value in stored]

    return asyncio.run(read())


@pytest.fixture(scope="module")
def seen(facts: Facts) -> Behaviour:
    """What the lists are learned from."""
    return behaviour(facts)


@pytest.fixture
def recommender(mlruns: Path) -> Recommender:
    """The champion."""
    found = load(resolve(mlruns, "recommender"))
    assert isinstance(found, Recommender)
    return found


@pytest.fixture
def profiles(store_url: str, published: str, rows: FeatureRows) -> list[dict[str, str]]:
    """Published profiles, in the order of the rows."""
    store = RedisStore(store_url, prefix=published)
    return [store.read_profile(member) for member in rows.member_ids.tolist()]


def test_profiles_carry_the_score_of_the_champion(profiles: list[dict[str, str]], rows: FeatureRows, mlruns: Path) -> None:
    predictor = load(resolve(mlruns, "churn"))
    assert isinstance(predictor, ChurnPredictor)
    scores = predictor.score(rows.matrix[:, model_columns(rows.contract)])
    active = rows.column("days_since_last_purchase") <= 84

    assert 0 < active.sum() < len(active)
    for profile, score, is_active in zip(profiles, scores.tolist(), active.tolist(), strict=True):
        assert profile["churn_model"] == "churn@1"
        if is_active:
            assert profile["churn_probability"] == f"{score:.6f}"
            assert profile["churn_band"] == ("low" if score < 0.2 else "medium" if score < 0.5 else "high")
        else:
            assert profile["churn_probability"] == ""
            assert profile["churn_band"] == "lapsed"


def test_profiles_carry_the_likely_tier(profiles: list[dict[str, str]], rows: FeatureRows, mlruns: Path) -> None:
    predictor = load(resolve(mlruns, "tier"))
    assert isinstance(predictor, TierPredictor)
    chances = predictor.score(rows.matrix[:, model_columns(rows.contract)])

    spent = np.nan_to_num(rows.column("spend_cents_90d"))
    definition, cuts = predictor.manifest.definition, predictor.odds.cuts
    for profile, (_, gold, diamond), cents in zip(profiles, chances.tolist(), spent.tolist(), strict=True):
        likely = sum(gold + 2 * diamond >= cut for cut in cuts)
        now = (cents >= definition["gold_from_cents"]) + (cents >= definition["diamond_from_cents"])
        assert (profile["next_tier"], profile["tier_model"]) == (predictor.tiers[likely], "tier@1")
        assert profile["tier_move"] == ("same" if likely == now else "up" if likely > now else "down")
    assert len({profile["next_tier"] for profile in profiles}) == 3


def test_profiles_carry_the_segment(profiles: list[dict[str, str]], rows: FeatureRows, mlruns: Path) -> None:
    predictor = load(resolve(mlruns, "segments"))
    assert isinstance(predictor, SegmentPredictor)
    positions = predictor.assign(rows.matrix[:, model_columns(rows.contract)])

    assert [profile["segment"] for profile in profiles] == [predictor.names[position] for position in positions.tolist()]
    assert {profile["segments_model"] for profile in profiles} == {"segments@1"}
    assert len({profile["segment"] for profile in profiles}) >= 6


def test_what_features_wrote_into_profiles_stays(profiles: list[dict[str, str]]) -> None:
    assert all({"lifecycle_stage", "rfm_tier", "last_purchase", "spend_cents_365d"} <= set(profile) for profile in profiles)


def test_stored_lists_are_those_of_the_recommender(
    store_url: str, published: str, rows: FeatureRows, seen: Behaviour, recommender: Recommender
) -> None:
    members = rows.member_ids.tolist()
    ranked = recommender.lists(member_histories(seen, recommender, members, day=rows.day), k=LIST_LENGTH)

    stored = lists_in(store_url, published, members)

    for row, found in enumerate(stored):
        assert found is not None
        assert (found.model, found.as_of) == ("recommender@1", rows.as_of.isoformat())
        assert [item.item_id for item in found.items] == recommender.item_ids[ranked.items[row]].tolist()
        assert [item.source for item in found.items] == [SOURCES[source] for source in ranked.sources[row].tolist()]
        assert [item.score for item in found.items] == [1 / place for place in range(1, LIST_LENGTH + 1)]


def test_running_again_gives_the_same_values(
    store_url: str, published: str, profiles: list[dict[str, str]], rows: FeatureRows, facts: Facts, mlruns: Path
) -> None:
    store, members = RedisStore(store_url, prefix=published), rows.member_ids.tolist()
    lists = lists_in(store_url, published, members)
    done: list[int] = []

    used = publish_answers(rows, facts, mlruns, store, progress=done.append)

    named = ("churn", "tier", "value", "segments", "recommender")
    assert used == {name: f"{name}@1" for name in named}
    assert sum(done) == len(members)
    assert [store.read_profile(member) for member in members] == profiles
    assert lists_in(store_url, published, members) == lists
    assert None not in lists


def test_histories_of_members_are_those_that_training_sees(
    rows: FeatureRows, seen: Behaviour, recommender: Recommender
) -> None:
    at = window(seen, day=rows.day)
    assert seen.bought.item_ids[at.listed].tolist() == recommender.item_ids.tolist()

    found = member_histories(seen, recommender, seen.bought.member_ids[at.members], day=rows.day)

    for name in ("starts", *ENTRY_FIELDS, "trips", "pace"):
        assert getattr(found, name).tobytes() == getattr(at.histories, name).tobytes(), name


def test_histories_stand_in_the_order_asked_for_and_strangers_have_none(
    rows: FeatureRows, seen: Behaviour, recommender: Recommender
) -> None:
    members = rows.member_ids.tolist()
    in_order = member_histories(seen, recommender, members, day=rows.day)

    mixed = member_histories(seen, recommender, [members[5], "nobody", members[2]], day=rows.day)

    assert same(mixed.of(0, 1), in_order.of(5, 6))
    assert len(mixed.of(1, 2).items) == 0
    assert same(mixed.of(2, 3), in_order.of(2, 3))


def test_histories_see_nothing_from_the_day_on(rows: FeatureRows, seen: Behaviour, recommender: Recommender) -> None:
    members, day = rows.member_ids.tolist(), rows.day - 30

    whole, cut = (member_histories(s, recommender, members, day=day) for s in (seen, seen.until(day)))

    assert len(whole.items) > 0
    assert whole.last_days.max() < day
    assert same(whole, cut)


def same(one: Histories, other: Histories) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("starts", *ENTRY_FIELDS, *MEMBER_FIELDS))


def test_a_list_without_history_is_popular(recommender: Recommender, seen: Behaviour, facts: Facts) -> None:
    nobody = member_histories(seen, recommender, ["nobody"], day=facts.manifest.until_day)

    (found,) = lists_of(recommender, nobody, model="recommender@1", as_of="now", k=7)

    assert [item.item_id for item in found.items] == recommender.popular_items(7)
    assert {item.source for item in found.items} == {"popular"}


def test_without_champions_nothing_is_written(store: RedisStore, rows: FeatureRows, facts: Facts, tmp_path: Path) -> None:
    assert publish_answers(rows, facts, tmp_path, store) == {}
    assert store.read_profile(str(rows.member_ids[0])) == {}


def test_a_model_without_a_champion_is_left_out(store: RedisStore, rows: FeatureRows, facts: Facts, registry: Path) -> None:
    client = open_registry(registry)
    for name in ("churn", "value", "segments", "recommender"):
        client.delete_registered_model_alias(name, CHAMPION)

    assert publish_answers(rows, facts, registry, store) == {"tier": "tier@1"}
    fields = {"next_tier", "tier_move", "tier_model", "tier_reasons", "scores_as_of"}
    assert set(store.read_profile(str(rows.member_ids[0]))) == fields


def test_what_a_model_said_that_is_no_longer_there_is_emptied(
    store: RedisStore, rows: FeatureRows, facts: Facts, registry: Path
) -> None:
    member = str(rows.member_ids[0])
    publish_answers(rows, facts, registry, store)
    assert store.read_profile(member)["churn_model"] == "churn@1"

    client = open_registry(registry)
    for name in ("churn", "segments", "recommender"):
        client.delete_registered_model_alias(name, CHAMPION)
    publish_answers(rows, facts, registry, store)
    profile = store.read_profile(member)

    assert {profile[name] for name in ("churn_probability", "churn_band", "churn_reasons", "churn_model")} == {""}
    assert profile["tier_model"] == "tier@1"
    (answer,) = read_answers(store.read_answer_stamp(), store.read_answers([member]))
    assert answer is not None
    assert [model.label for model in answer.edition.models] == ["tier@1", "value@1"]


class Stopping(RedisStore):
    """A store whose run is broken off after some profiles."""

    def load_profiles(self, member_ids, fields) -> None:
        super().load_profiles(member_ids[:100], fields[:100])
        raise StoreUnavailable("gone")


def test_in_the_middle_of_a_run_each_answer_says_whose_it_is(
    store_url: str, store: RedisStore, rows: FeatureRows, facts: Facts, registry: Path, request: pytest.FixtureRequest
) -> None:
    publish_answers(rows, facts, registry, store)
    before = store.read_answer_stamp()
    open_registry(registry).set_registered_model_alias("churn", CHAMPION, "2")
    members = rows.member_ids.tolist()

    with pytest.raises(StoreUnavailable):
        publish_answers(rows, facts, registry, Stopping(store_url, prefix=f"test-{request.node.name}"))
    during = store.read_answer_stamp()
    assert before is not None
    assert during is not None

    assert (during.current, len(during.pending)) == (before.current, 1)
    said = [answer.edition.models[0].label for answer in read_answers(during, store.read_answers(members)) if answer]
    assert (set(said), len(said)) == ({"churn@2"}, len(members))
    profiles = [store.read_profile(member) for member in members]
    assert [profile["churn_model"] for profile in profiles] == ["churn@2"] * 100 + ["churn@1"] * (len(members) - 100)

    publish_answers(rows, facts, registry, store)
    after = store.read_answer_stamp()
    assert after is not None
    assert after.pending == ()
    assert {store.read_profile(member)["churn_model"] for member in members} == {"churn@2"}


def test_packed_answers_say_what_profiles_say(
    store_url: str, published: str, profiles: list[dict[str, str]], rows: FeatureRows
) -> None:
    reader = RedisReader(store_url, prefix=published, timeout_ms=5000)

    async def read() -> list[NightlyAnswer | None]:
        try:
            stamp, values = await reader.read_answers([*rows.member_ids.tolist(), "nobody"])
        finally:
            await reader.close()
        return read_answers(stamp, values)

    *answers, nobody = asyncio.run(read())

    assert nobody is None
    for answer, profile in zip(answers, profiles, strict=True):
        assert answer is not None
        assert {model.name: model.label for model in answer.edition.models} == {
            "churn": "churn@1",
            "segments": "segments@1",
            "tier": "tier@1",
            "value": "value@1",
        }
        assert answer.edition.as_of == profile["scores_as_of"] == rows.as_of.isoformat()
        tiers = next(model.labels for model in answer.edition.models if model.name == "tier")
        assert tiers[int(answer.values["tier.likely"])] == profile["next_tier"]
        assert sum(answer.values[f"tier.{tier}"] for tier in tiers) == pytest.approx(1, abs=1e-5)
        chance = answer.values["churn.probability"]
        shown = float(profile["churn_probability"] or "nan")
        assert chance == pytest.approx(shown, abs=1e-6, nan_ok=True)


def test_a_champion_of_other_features_or_with_an_altered_file_is_refused(
    store: RedisStore, rows: FeatureRows, facts: Facts, registry: Path
) -> None:
    predictor = load(resolve(registry, "churn"))
    other = replace(predictor, manifest=replace(predictor.manifest, contract_hash="0" * 64))
    registered = record(registry, Trained(other, {}, {}, {}))
    open_registry(registry).set_registered_model_alias("churn", CHAMPION, registered.version)
    with pytest.raises(ContractMismatch, match="churn was trained on contract 00000000"):
        publish_answers(rows, facts, registry, store)

    (resolve(registry, "churn").bundle / "model.json").write_text("{}")
    with pytest.raises(BundleRefused, match=r"churn@3: model\.json was altered"):
        publish_answers(rows, facts, registry, store)
    assert store.read_profile(str(rows.member_ids[0])) == {}
