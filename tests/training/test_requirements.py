"""The data doctor's word on churn: of the question asked, of trees and BG/NBD apart, and never a yes that training breaks."""

from collections.abc import Mapping

import numpy as np
import pytest
from shops import Event, Line, shop

from features.facts import Facts
from training.baselines import bgnbd_history
from training.churn_definition import ChurnDefinition
from training.datasets import Snapshots
from training.pipeline import check_steps, steps
from training.requirements import _purchase_days, check_model, check_models


def of_regulars(days: int, *, leaving: float) -> Facts:
    """Members who buy at a rate of their own and may leave after each purchase."""
    chance, lines = np.random.default_rng(3), []
    for member in range(120):
        day, gap = chance.uniform(0, 20), 5 + 3 * (member % 12)
        while day < days:
            lines.append(Line(f"m{member}", float(int(day)), cents=500))
            if chance.random() < leaving:
                break
            day += chance.exponential(gap)
    lines += [Line("early", 0.0, cents=500), Line("late", days - 0.5, cents=500)]
    return shop(lines)


def told(facts: Facts, definition: ChurnDefinition | None = None) -> Mapping[str, tuple[bool, str]]:
    return {r.name: (r.holds, r.evidence) for r in check_model(facts, "churn", definition).requirements}


def test_four_months_suffice_for_bgnbd_and_it_is_said_that_trees_need_more() -> None:
    facts = of_regulars(120, leaving=0.12)
    history = told(facts)["history"]

    assert check_model(facts, "churn").ready
    assert history[0]
    assert "BG/NBD alone, as trees need 140 days, or a shorter horizon: RAPPORT_CHURN=14/84" in history[1]
    assert told(facts)["purchases that BG/NBD fits"] == (True, "its likelihood has a finite peak")
    assert "BG/NBD" not in told(facts, ChurnDefinition(14, 84))["history"][1]


def test_a_formula_without_a_fit_is_no_yes() -> None:
    """Nobody came twice before the test day, so that there is no gap to learn from; later some do."""
    once = [Line(f"m{n}", float(n % 90), cents=500) for n in range(120)]
    again = [Line(f"m{n}", 100.0 + n % 19, cents=500) for n in range(60)]
    check = check_model(shop([*once, *again]), "churn")

    assert not check.ready
    assert check.refusal() == "purchases that BG/NBD fits: BG/NBD needs members who bought on more than one day; there are none"
    assert "silence_of_mean_gap" in check.instead


def test_what_the_doctor_fits_is_what_training_fits() -> None:
    facts = of_regulars(120, leaving=0.12)
    for day in (facts.manifest.until_day - 28, facts.manifest.until_day):
        trained = bgnbd_history(Snapshots(facts).at(day))[1]
        for name, values in _purchase_days(facts, day).items():
            assert sorted(values) == pytest.approx(sorted(trained[name]))


def test_every_churn_of_the_settings_is_looked_at_by_its_own_question() -> None:
    facts = of_regulars(200, leaving=0.12)
    asked = {"churn": ChurnDefinition(), "churn_h90_a180": ChurnDefinition(90, 180)}
    checks = {check.model: check for check in check_models(facts, asked)}

    assert list(checks) == ["churn", "churn_h90_a180", "tier", "value", "segments", "recommender"]
    assert "BG/NBD" not in checks["churn"].requirements[0].evidence
    assert "trees need 264 days" in checks["churn_h90_a180"].requirements[0].evidence
    by_step = check_steps(facts, steps(Snapshots(facts), ("churn",), churn=asked))
    assert by_step == {name: checks[name] for name in asked}


def test_three_weeks_are_too_short_for_anything_and_each_model_says_by_how_much() -> None:
    facts = of_regulars(22, leaving=0.1)
    refused = {check.model: check.refusal() for check in check_models(facts)}

    assert "140 days of facts" in refused["churn"]
    assert "BG/NBD alone 56" in refused["churn"]
    assert "lists need 42 days of purchases; there are 23" in refused["recommender"]
    assert not any(check.ready for check in check_models(facts))


def test_items_count_for_lists_that_ten_members_bought_or_looked_at() -> None:
    lines = [Line(f"m{n}", float(n), item="hat") for n in range(9)] + [Line(None, 60.0, item="hat")]
    events = [Event(f"v{n}", float(n), item="scarf") for n in range(10)]
    more = [Event("m0", 1.0, item="hat"), Event("v0", 2.0, kind="search", item="hat"), Event("v1", 2.0, item="hat")]

    def listed(*events: Event) -> str:
        checks = check_model(shop(lines, events=events), "recommender").requirements
        return next(check.evidence for check in checks if "bought or looked at" in check.name)

    assert [listed(), listed(*events), listed(*events, *more[:2]), listed(*events, *more)] == [
        "there are 0", "there are 1", "there are 1", "there are 2",
    ]  # fmt: skip
