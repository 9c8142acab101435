"""The gate for customer groups: by agreement, sizes and staying put; each bad version is refused for its own reason."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_evidence import segments_judged

from tests.training.conftest import Predictors
from training.evidence import Evidence, Judged
from training.gate.contender import Contender
from training.predictors import SegmentPredictor
from training.promotion import decide
from training.registry import RegisteredModel

CALM = {"smallest_share": 0.05, "largest_share": 0.3, "changed_unmoved_share": 0.04}


@pytest.fixture
def stand(predictors: Predictors, tmp_path: Path) -> Callable[..., Contender]:
    """A version with made-up evidence; its bundle is real."""

    def make(version: str, *, until: int = 17500, notes: dict[str, float] = CALM, wrong: float = 0.0) -> Contender:
        predictor = predictors["segments"]
        assert isinstance(predictor, SegmentPredictor)
        lineage = predictor.manifest.lineage | {"cutoffs": {"train": [until - 28, until], "test": until}}
        predictor = replace(predictor, manifest=replace(predictor.manifest, lineage=lineage))
        sha256 = predictor.save(tmp_path / version)
        registered = RegisteredModel("segments", version, (), tmp_path / version, sha256, "")
        judged = tuple(replace(mistaken(segments_judged(number), wrong), notes=notes) for number in range(3))
        return Contender(registered, predictor.manifest, Evidence("segments", "xgboost", {"groups": 8}, judged))

    return make


def mistaken(judged: Judged, share: float) -> Judged:
    """The evidence with so many answers put one group further."""
    answer = judged.answer.copy()
    generator = np.random.default_rng(3)
    rows = generator.random(len(answer)) < share
    answer[rows] = np.roll(answer[rows], 1, axis=1)
    truth = judged.truth.astype(np.float64)
    return replace(judged, answer=answer, others={"rules": np.where(generator.random(len(truth)) < 0.7, truth, 0.0)})


def test_good_groups_become_the_first_champion(stand: Callable[..., Contender]) -> None:
    verdict = decide(stand("1"), None)

    assert verdict.promote
    assert "of held-out members" in verdict.sentence
    assert verdict.figures["agreement"] > 0.95
    assert any("Not checked" in note for note in verdict.notes)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"wrong": 0.1}, "GROUPS_DISAGREE"),
        ({"notes": CALM | {"smallest_share": 0.001}}, "GROUPS_UNEVEN"),
        ({"notes": CALM | {"largest_share": 0.7}}, "GROUPS_UNEVEN"),
        ({"notes": CALM | {"changed_unmoved_share": 0.2}}, "UNSTABLE"),
        ({"notes": {}}, "GROUPS_UNEVEN"),
    ],
)
def test_bad_groups_are_refused(stand: Callable[..., Contender], changes: dict[str, object], code: str) -> None:
    verdict = decide(stand("1", **changes), None)

    assert verdict.code == code
    assert verdict.remedy


def test_classifiers_that_know_no_more_than_the_rules_are_refused(stand: Callable[..., Contender]) -> None:
    codes = [reason["code"] for reason in decide(stand("1", wrong=0.5), None).as_dict()["reasons"]]

    assert codes == ["WORSE_THAN_BASELINE", "GROUPS_DISAGREE"]


def test_groups_without_evidence_or_numbers_are_refused(stand: Callable[..., Contender]) -> None:
    good = stand("1")
    assert good.evidence is not None
    nan = replace(good.evidence.judged[0], answer=np.full_like(good.evidence.judged[0].answer, np.nan))

    assert decide(replace(good, evidence=None), None).code == "NO_EVIDENCE"
    assert decide(replace(good, evidence=replace(good.evidence, judged=(nan,))), None).code == "NOT_A_NUMBER"


def test_only_later_facts_replace_a_champion(stand: Callable[..., Contender]) -> None:
    champion, same, later = stand("1"), stand("2"), stand("3", until=17528)

    refused, promoted = decide(same, champion), decide(later, champion)

    assert (refused.code, promoted.code) == ("NO_GAIN_SHOWN", "PROMOTED")
    assert "28 days further" in promoted.sentence


def test_other_groups_replace_a_champion_and_that_is_said(stand: Callable[..., Contender]) -> None:
    champion = stand("1")
    fewer = champion.manifest.definition | {"groups": champion.manifest.definition["groups"][:5]}

    verdict = decide(stand("2"), replace(champion, manifest=replace(champion.manifest, definition=fewer)))

    assert verdict.promote
    assert "8 groups, segments@1 has 5" in verdict.sentence


def test_a_version_that_moves_everybody_is_refused(
    stand: Callable[..., Contender], predictors: Predictors, made_up: object
) -> None:
    """The same groups under each other's names: nobody did anything, and everybody would change."""
    champion, later = stand("1"), stand("2", until=17528)
    names = list(later.manifest.definition["groups"])
    predictor = predictors["segments"]
    assert isinstance(predictor, SegmentPredictor)
    turned = replace(later.manifest, definition=later.manifest.definition | {"groups": names[1:] + names[:1]})
    folder = later.registered.bundle.with_name("turned")
    sha256 = replace(predictor, manifest=turned).save(folder)
    registered = replace(later.registered, bundle=folder, sha256=sha256)

    verdict = decide(replace(later, registered=registered, manifest=turned, examples=made_up), champion)  # type: ignore[arg-type]

    assert verdict.code == "UNSTABLE"
    assert verdict.figures["moved_share"] == 1.0
