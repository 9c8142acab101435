"""Further questions at the gate: none may be lost to a baseline or to the champion, and a gain in one of them counts."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.registered import DAYS, period
from training import promotion
from training.artifacts import BundleManifest
from training.evidence import Evidence, Judged
from training.gate import succession
from training.gate.contender import Contender
from training.predictors import Recommender
from training.promotion import decide
from training.registry import RegisteredModel
from training.trial import Trial
from training.verdict import Verdict

MEMBERS = 400
Levels = Mapping[str, tuple[float, float]]
"""Mean recall of the model and of popularity by question."""
GOOD: Levels = {"repeats": (0.20, 0.15), "basket": (0.25, 0.20), "novel": (0.06, 0.04)}


def evidence(levels: Levels, *, serves: str = "ranked") -> Evidence:
    """Every member's recall moves around the mean, for the model as for popularity, which is paired with it."""
    found = []
    for question, (mine, theirs) in levels.items():
        judged = []
        for day in DAYS:
            noise = np.random.default_rng(day).uniform(-0.03, 0.03, MEMBERS)
            other = theirs + noise + np.random.default_rng(day + 1).uniform(-0.005, 0.005, MEMBERS)
            ids = np.array([f"m{i:04}" for i in range(MEMBERS)])
            answer = np.clip(mine + noise, 0, 1)
            judged.append(Judged(period(day), ids, np.full(MEMBERS, 9), answer, {"popularity": other.clip(0, 1)}, {}))
        definition = {"horizon_days": 28, "question": question, "serves": serves}
        found.append(Evidence("recommender", "xgboost", definition, tuple(judged)))
    return replace(found[0], further=tuple(found[1:]))


@pytest.fixture(autouse=True)
def no_children(predictors: Mapping[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is loaded in a process of its own here."""
    lists = predictors["recommender"]
    assert isinstance(lists, Recommender)
    for module in (promotion, succession):
        monkeypatch.setattr(module, "load", lambda registered: lists)
        monkeypatch.setattr(module, "try_bundle", lambda *a, **k: Trial(0.01, 2.0, 150.0, finite=True, bytes=1))


def stand(version: str, judged: Evidence) -> Contender:
    """A version of the lists with this evidence."""
    manifest = BundleManifest("recommender", "recommender", "xgboost", "c", (), {}, {}, {"facts_hash": "f"})
    return Contender(RegisteredModel("recommender", version, (), Path(version), "", ""), manifest, judged)


def codes(verdict: Verdict) -> list[str]:
    return [finding.reason.name for finding in verdict.findings]


def test_a_first_champion_is_judged_by_every_question() -> None:
    verdict = decide(stand("1", evidence(GOOD)), None)

    assert verdict.promote, verdict.findings
    assert {d.name for d in verdict.differences} == {"recall20", "recall20 basket", "recall20 novel"}


@pytest.mark.parametrize("question", ["basket", "novel"])
def test_one_question_lost_to_its_baseline_is_enough_to_refuse(question: str) -> None:
    verdict = decide(stand("1", evidence({**GOOD, question: (0.05, 0.09)})), None)

    assert codes(verdict) == ["WORSE_THAN_BASELINE"]
    assert f"recall20 {question}" in verdict.sentence


def test_a_question_that_a_rule_answers_is_refused_only_where_the_loss_is_shown() -> None:
    doubtful = evidence({**GOOD, "novel": (0.05, 0.05)})
    odd = np.random.default_rng(3).normal(0, 0.6, (len(DAYS), MEMBERS))
    odd += 0.015 - odd.mean()
    parts = zip(doubtful.further[1].judged, odd, strict=True)
    judged = tuple(replace(one, others={"ease": one.answer + noise}) for one, noise in parts)

    def refused(serves: str) -> list[str]:
        novel = replace(doubtful.further[1], judged=judged, definition={"question": "novel", "serves": serves})
        return codes(decide(stand("1", replace(doubtful, further=(novel,))), None))

    assert refused("ranked") == ["WORSE_THAN_BASELINE"]
    assert refused("popularity") == []


def test_an_answer_that_is_no_number_is_found_in_every_question() -> None:
    good = evidence(GOOD)
    first, *rest = good.further[0].judged
    broken = replace(good.further[0], judged=(replace(first, answer=np.full(MEMBERS, np.nan)), *rest))

    assert "NOT_A_NUMBER" in codes(decide(stand("1", replace(good, further=(broken, good.further[1]))), None))


def test_a_gain_in_a_further_question_counts_where_repeats_are_equal() -> None:
    champion = stand("1", evidence(GOOD))

    verdict = decide(stand("2", evidence({**GOOD, "novel": (0.07, 0.04)})), champion)

    assert verdict.promote, verdict.findings
    assert "recall20 novel" in verdict.ground
    assert codes(decide(stand("2", evidence(GOOD)), champion)) == ["NO_GAIN_SHOWN"]


def test_a_gain_in_repeats_does_not_pay_for_new_items_lost_to_the_champion() -> None:
    verdict = decide(stand("2", evidence({**GOOD, "repeats": (0.22, 0.15), "novel": (0.05, 0.04)})), stand("1", evidence(GOOD)))

    assert codes(verdict) == ["QUESTION_LOST"]
    assert "recall20 novel 0.0498 beside 0.0598" in verdict.sentence


def test_a_champion_without_further_questions_is_compared_in_what_both_know() -> None:
    old = replace(evidence(GOOD), further=())

    verdict = decide(stand("2", evidence({**GOOD, "repeats": (0.22, 0.15)})), stand("1", old))

    assert verdict.promote, verdict.findings
