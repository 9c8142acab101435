"""The recipe of lists: evidence member by member, what serves where nothing is gained, shops of other kinds."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from shops import Event, Line, shop

from features.errors import NotEnoughData
from features.facts import Facts
from training import recommender as recipe
from training.evidence_files import evidence_bytes
from training.gate.comparison import asked_again
from training.gate.contender import Contender
from training.gate.measures import measure_of
from training.gate.succession import comparable
from training.lists.als import AlsSettings
from training.lists.champion import Serving, lists_by
from training.lists.evidence import figures, gains
from training.lists.proof import QUESTIONS, top_lists, variety, within_caps
from training.lists.served import what_serves
from training.lists.settings import ListSettings, list_horizon, list_periods, period_of_today, searched_als
from training.predictors import Recommender
from training.predictors.list_order import SERVES
from training.predictors.list_sources import Candidates
from training.publish_answers import member_histories
from training.recommender import train_recommender
from training.registry import RegisteredModel
from training.trained import Trained
from training.tuning import Search

SMALL = ListSettings(ranker=replace(ListSettings().ranker, trees=20, depth=3))


@pytest.fixture(scope="module", autouse=True)
def monkeypatch_module() -> object:
    """Few trees everywhere in this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "ListSettings", lambda: SMALL)
        yield patch


def habits(days: int = 140, members: int = 60, *, until: float | None = None) -> Facts:
    """Each member buys two of twelve items every week or two, and one more at random now and then."""
    generator = np.random.default_rng(9)
    lines = [Line(None, 0.0), Line(None, float(days if until is None else until))]
    for member in range(members):
        for item, gap in ((member % 12, 7), ((member * 5 + 1) % 12, 13)):
            lines += [Line(f"m{member:02}", float(day), item=f"i{item:02}") for day in range(member % gap, days, gap)]
        found = zip(generator.choice(days, 6, replace=False).tolist(), generator.integers(0, 12, 6).tolist(), strict=True)
        lines += [Line(f"m{member:02}", float(day), item=f"i{item:02}") for day, item in found]
    return shop(lines)


@pytest.fixture(scope="module")
def trained() -> Trained:
    """Lists of the shop of habits."""
    return train_recommender(habits())


def test_evidence_has_one_row_a_member_who_bought_and_every_baseline(trained: Trained) -> None:
    assert trained.evidence is not None
    assert trained.evidence.model == "recommender"
    assert set(trained.evidence.baselines) == {
        "own_frequency", "own_frequency_decayed", "popularity", "als", "ease", "item_item",
    }  # fmt: skip
    for judged in trained.evidence.judged:
        assert len(np.unique(judged.member_ids)) == len(judged)
        assert (judged.truth > 0).all()
        for values in (judged.answer, *judged.others.values()):
            assert ((values >= 0) & (values <= 1)).all()
        assert set(judged.slices) == {"history"}
    assert evidence_bytes(trained.evidence)
    assert [other.definition["question"] for other in trained.evidence.further] == ["novel", "basket"]
    assert not {"own_frequency", "own_frequency_decayed"} & set(trained.evidence.further[0].baselines)


def test_the_figure_of_a_run_is_the_mean_of_its_evidence(trained: Trained) -> None:
    assert trained.evidence is not None
    by_period = [float(judged.answer.mean()) for judged in trained.evidence.judged]
    measure = measure_of("recommender")
    assert measure is not None

    assert trained.metrics["recall20"] == pytest.approx(np.mean(by_period))
    first = trained.evidence.judged[0]
    quality = measure.quality(first.truth, first.answer)
    assert quality(np.ones(len(first))) == pytest.approx(by_period[0])
    assert quality(np.zeros(len(first))) != quality(np.ones(len(first)))
    assert not np.isfinite(measure.calibration(first.truth, first.answer)(np.ones(len(first))))


def test_the_report_holds_every_question_period_and_group(trained: Trained) -> None:
    report = json.loads(trained.files["lists.json"])

    assert set(report["gains"]) == set(QUESTIONS)
    assert not {"own_frequency", "own_frequency_decayed"} & set(report["gains"]["novel"])
    for period in report["periods"]:
        assert set(period["by_history"]) == set(QUESTIONS)
        groups = period["by_history"]["repeats"]
        mean = sum(row["members"] * row["list"] for row in groups.values()) / sum(row["members"] for row in groups.values())
        assert mean == pytest.approx(period["repeats"]["list"])
        assert 0 < period["candidate_recall"]["together"]["repeats"] <= 1
        assert period["candidate_recall"]["bought_before"]["novel"] == 0
        assert set(period["variety"]) == set(period["coverage"]) == {"list", *trained.baselines}
        assert period["as_served"]["repeats"]["ranked"] == pytest.approx(period["repeats"]["list"])


def test_variety_is_what_can_be_counted() -> None:
    """Two fruits of which the pear is dearer, and soap; a member who buys apples."""
    lines = [Line(None, 0.0), Line(None, 90.0)]
    lines += [Line(f"m{m}", float(d), item=item) for m in range(1, 12) for d in range(m, 90, 11) for item in ("apple",)]
    lines += [Line(f"m{m}", 3.0 * m, item=item) for m in range(12) for item in ("pear", "soap")]
    made = recipe.workshop(shop(lines), seed=7, engine="xgboost", search=None)
    of = made.at(made.facts.manifest.until_day)
    apple, pear, soap = (int(np.flatnonzero(of.catalogue.item_ids == item)[0]) for item in ("apple", "pear", "soap"))

    one = variety(np.tile([apple, pear, soap], (12, 1)), of)
    other = variety(np.tile([apple, pear, -1], (12, 1)), of)

    assert (one["categories"], other["categories"]) == (2, 1)
    levels = of.catalogue.price_level
    assert levels[pear] == pytest.approx(np.log(11 / 9) / 2, abs=1e-5)
    assert other["price_gap"] > 0


def test_caps_leave_the_best_of_each_category_and_count_no_unknown_one() -> None:
    starts, items = np.array([0, 5, 7]), np.array([0, 1, 2, 3, 4, 0, 1], dtype=np.int32)
    candidates = Candidates(starts, items, np.ones(7, np.uint8), np.zeros((7, 1), np.float32), np.zeros(2, np.int32))
    scores = np.array([0.1, 0.9, 0.5, 0.4, 0.3, 0.2, 0.1])
    kinds = np.array([7, 7, 7, -1, -1], dtype=np.int32)

    kept = [np.isfinite(within_caps(candidates, scores, kinds, cap)).tolist() for cap in (1, 2)]

    assert kept[0] == [False, True, False, True, True, True, False]
    assert kept[1] == [False, True, True, True, True, True, True]
    assert top_lists(candidates, within_caps(candidates, scores, kinds, 1), k=3).tolist() == [[1, 3, 4], [0, -1, -1]]


def test_where_nothing_is_gained_over_own_repeats_these_serve() -> None:
    """Members who buy the same twelve things at random: nothing can be learned beyond popularity and own counts."""
    generator = np.random.default_rng(2)
    lines = [Line(None, 0.0), Line(None, 130.0)]
    for member in range(50):
        drawn = zip(generator.choice(130, 30, replace=False).tolist(), generator.integers(0, 40, 30).tolist(), strict=True)
        lines += [Line(f"m{member:02}", float(day), item=f"i{item:02}") for day, item in drawn]
    trained = train_recommender(shop(lines))

    assert trained.parameters["serves"] in {"own_frequency_decayed", "popularity"}
    assert "No gain shown over" in trained.parameters["serves_why"]
    assert isinstance(trained.predictor, Recommender)
    assert trained.predictor.serves == trained.parameters["serves"] == trained.predictor.manifest.definition["serves"]
    assert trained.evidence is not None
    served = [period["as_served"]["repeats"] for period in json.loads(trained.files["lists.json"])["periods"]]
    for judged, means in zip(trained.evidence.judged, served, strict=True):
        assert judged.answer.mean() == pytest.approx(means[trained.parameters["serves"]])
        assert (
            judged.answer >= judged.others["own_frequency_decayed"] - 1e-9
        ).all() or trained.predictor.serves == "popularity"
    assert trained.metrics["recall20"] == pytest.approx(np.mean([j.answer.mean() for j in trained.evidence.judged]))


def test_gains_are_paired_over_members_and_know_their_sign(trained: Trained) -> None:
    shop_of_habits = replace(recipe.workshop(habits(), seed=7, engine="xgboost", search=None), in_full=True)
    proofs = recipe.proved(shop_of_habits)

    worse = gains(proofs, "repeats", seed=7)["als_default"]
    mine, theirs = figures(proofs)
    assert worse.value == pytest.approx(mine["recall20"] - theirs["als_default"]["recall20"])
    assert worse.low <= worse.value <= worse.high
    assert set(what_serves(proofs, seed=7).by_question().values()) <= set(SERVES)


def test_equal_facts_make_equal_bundles(trained: Trained) -> None:
    again = train_recommender(habits())

    assert isinstance(again.predictor, Recommender)
    assert isinstance(trained.predictor, Recommender)
    for name, values in trained.predictor.catalogue.arrays().items():
        assert np.array_equal(values, again.predictor.catalogue.arrays()[name], equal_nan=values.dtype.kind == "f"), name
    assert trained.predictor.ranker is not None
    assert again.predictor.ranker is not None
    assert trained.predictor.ranker.to_bytes() == again.predictor.ranker.to_bytes()


@pytest.mark.parametrize(
    ("days", "horizon", "periods"), [(200, 28, 3), (140, 28, 3), (120, 28, 2), (84, 28, 1), (60, 14, 2), (42, 7, 1)]
)
def test_horizon_and_periods_follow_from_how_far_the_facts_reach(days: int, horizon: int, periods: int) -> None:
    facts = habits(days, members=12)
    days_there = facts.manifest.until_day - facts.manifest.first_day

    assert list_horizon(facts) == horizon
    found = list_periods(facts, horizon_days=horizon)
    assert abs(len(found) - periods) <= (days_there != days)
    for period in (*found, period_of_today(facts, horizon_days=horizon)):
        assert all(day + horizon <= period.test for day in period.train)
        assert min(period.train) - facts.manifest.first_day >= 28


def test_a_short_history_is_refused_by_name() -> None:
    with pytest.raises(NotEnoughData, match="lists need 42 days of purchases"):
        list_horizon(habits(30))


def test_the_search_passes_over_what_collapses_and_says_what_lies_on_an_edge() -> None:
    seen = recipe.behaviour(habits())
    day = int(seen.bought.days.max()) - 27

    found = searched_als(seen, day=day, horizon_days=28, trials=9, seed=7)

    assert len(found.tried) == 9
    best = max(found.tried, key=lambda row: row["value"])
    assert found.sources.als is None or asdict(found.sources.als) == best["settings"]
    assert best["value"] in (
        best["novel"],
        -1.0,
    )  # what taste is asked for: items that are new; all collapse where there is little
    assert len({json.dumps(row["settings"], sort_keys=True) for row in found.tried}) == 9


def test_a_search_among_few_items_begins_with_as_many_factors_as_they_bear() -> None:
    """Two tastes over sixteen items: 64 factors collapse, which once ended the search before it began."""
    generator = np.random.default_rng(5)
    lines = [Line(None, 0.0), Line(None, 130.0)]
    for member in range(60):
        days, mine = generator.choice(130, 12, replace=False), np.arange(member % 2, 16, 2)
        lines += [Line(f"m{member:02}", float(d), item=f"i{generator.choice(mine):02}") for d in days]
    seen = recipe.behaviour(shop(lines))

    found = searched_als(seen, day=int(seen.bought.days.max()) - 27, horizon_days=28, trials=6, seed=7)

    assert found.sources.als is not None
    assert found.sources.als.factors < 64
    assert max(row["value"] for row in found.tried) > 0


def test_settings_once_found_serve_the_nights_after(tmp_path: Path) -> None:
    search = Search(2, tmp_path)
    first = recipe.workshop(habits(), seed=7, engine="xgboost", search=search).settings
    (kept,) = tmp_path.iterdir()
    edited = json.loads(kept.read_text()) | {"als": {**asdict(AlsSettings()), "alpha": 123.0}}
    kept.write_text(json.dumps(edited))

    again = recipe.workshop(habits(160), seed=7, engine="xgboost", search=search).settings
    other = recipe.workshop(habits(), seed=7, engine="xgboost", search=Search(1, tmp_path)).settings

    assert len(first.tried) == len(again.tried) == 2
    assert again.sources.als == AlsSettings(alpha=123.0)
    assert len(other.tried) == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_the_version_that_serves_is_asked_about_windows_after_its_training() -> None:
    first = train_recommender(habits(130))
    assert isinstance(first.predictor, Recommender)
    serving = Serving("recommender@1", first.predictor)

    soon = train_recommender(habits(140), before=serving)
    later = train_recommender(habits(162), before=serving)

    assert first.evidence is not None
    assert soon.evidence is not None
    assert later.evidence is not None
    assert not asked_again(soon.evidence, serving.label)  # less than a horizon passed: it saw part of every window
    (pair,) = asked_again(later.evidence, serving.label)
    assert pair.judged.period.test >= habits(130).manifest.until_day
    assert len(asked_again(later.evidence.further[0], serving.label)) == 1
    assert serving.label not in later.evidence.baselines
    assert 0.5 < pair.other.mean() / pair.judged.answer.mean() < 2
    told = comparable(later.evidence, Contender(registered("1"), first.predictor.manifest, first.evidence), None)
    assert [one.judged.period for one in told] == [pair.judged.period]


def registered(version: str) -> RegisteredModel:
    """A version of lists with nothing behind it."""
    return RegisteredModel("recommender", version, (), Path(version), "", "")


def test_lists_of_the_champion_are_those_it_would_give() -> None:
    trained = train_recommender(habits(130))
    assert isinstance(trained.predictor, Recommender)
    made = recipe.workshop(habits(162), seed=7, engine="xgboost", search=None)
    of = made.at(made.facts.manifest.until_day - 28)
    members = made.behaviour.bought.member_ids[of.members]

    mine, new = lists_by(Serving("recommender@1", trained.predictor), made.behaviour, of)

    histories = member_histories(made.behaviour, trained.predictor, members, day=of.day)
    for lists, repeats in ((mine, None), (new, 0.0)):
        given = trained.predictor.lists(histories, k=6, repeats=repeats).items
        for row in range(len(members)):
            named = of.catalogue.item_ids[lists[row][lists[row] >= 0][:6]].tolist()
            assert named[:3] == trained.predictor.item_ids[given[row]].tolist()[: len(named[:3])]


def ratings() -> Facts:
    """Sixty people who each rate a film once and never again, of two tastes."""
    generator = np.random.default_rng(3)
    lines = [Line(None, 0.0), Line(None, 150.0)]
    for member in range(60):
        films = generator.permutation(np.arange(member % 2, 60, 2))[:24]
        lines += [
            Line(f"m{member:02}", float(day), item=f"f{film:02}") for day, film in zip(range(2, 146, 6), films, strict=True)
        ]
    return shop(lines)


def wholesale() -> Facts:
    """Members who buy every month and bring half of it back."""
    lines = [Line(None, 0.0), Line(None, 200.0)]
    for member in range(30):
        for day in range(member % 28, 200, 28):
            for item in range(member % 3, 12, 3):
                lines += [Line(f"m{member:02}", float(day), item=f"i{item:02}", quantity=500)]
                lines += [Line(f"m{member:02}", day + 1.0, item=f"i{item:02}", quantity=-250, kind="return")] * (item % 2)
    return shop(lines)


def browsing() -> Facts:
    """The shop of habits, whose members look at things on the web too."""
    lines = [Line(f"m{m:02}", float(d), item=f"i{(m + d) % 12:02}") for m in range(40) for d in range(m % 9, 130, 9)]
    events = [Event(f"m{m:02}", float(d), "view", f"i{(m + d + 1) % 12:02}") for m in range(40) for d in range(0, 130, 11)]
    return shop(lines, events=events)


def four_months() -> Facts:
    """Four months of groceries: staples every week or two, a changing offer that many take up, and a newcomer in every week."""
    generator = np.random.default_rng(5)
    lines = [Line(None, 0.0), Line(None, 121.0)]
    for member in range(50):
        staples = generator.choice(20, 4, replace=False).tolist()
        for day in range(member % 7 + (member % 10 == 0) * 70, 121, 7 + member % 3):
            taken = [*generator.choice(staples, 3, replace=False).tolist(), 20 + day // 21]
            lines += [Line(f"m{member:02}", float(day), item=f"i{item:02}", order=f"{member}-{day}") for item in taken]
    return shop(lines)


@pytest.mark.parametrize("make", [ratings, wholesale, browsing, four_months])
def test_other_kinds_of_tables_need_no_code(make: object) -> None:
    trained = train_recommender(make())  # type: ignore[operator]

    assert isinstance(trained.predictor, Recommender)
    for serves in ("serves", "serves_new"):
        assert trained.parameters[serves] in SERVES
        said = trained.parameters[f"{serves}_why"]
        assert "recall@20" in said or "Nobody bought" in said
    assert (trained.predictor.serves, trained.predictor.serves_new) == (
        trained.parameters["serves"],
        trained.parameters["serves_new"],
    )
    if make is ratings:
        assert trained.metrics["recall20"] == pytest.approx(trained.metrics["recall20_novel"], abs=0.2)
        assert trained.baselines["own_frequency"]["recall20"] == 0
