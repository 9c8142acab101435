"""The rule on made-up evidence whose right verdict can be seen: each reason for its own cause, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.errors import BundleRefused
from tests.training.registered import DAYS, DEFINITION, answered, period, seen, truths, with_answers
from training import promotion
from training.artifacts import BundleManifest
from training.evidence import Evidence
from training.gate import succession
from training.gate.contender import Contender, Limits
from training.predictors import ChurnPredictor, Recommender, TierPredictor
from training.promotion import decide
from training.registry import RegisteredModel
from training.trial import Trial
from training.verdict import Finding, Reason, Verdict

Predictors = dict[str, ChurnPredictor | TierPredictor | Recommender]
QUICK = Trial(load_s=0.01, row_us=2.0, single_us=150.0, finite=True, bytes=1000)
Stand = Callable[..., Contender]


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> dict[str, Trial | BundleRefused]:
    """What a child process would say of each version; tests/training/test_trial.py has real ones."""
    said: dict[str, Trial | BundleRefused] = {}

    def try_it(folder: Path, *, sha256: str | None = None) -> Trial:
        found = said.get(folder.name, QUICK)
        if isinstance(found, BundleRefused):
            raise found
        return found

    monkeypatch.setattr(promotion, "try_bundle", try_it)
    monkeypatch.setattr(succession, "try_bundle", try_it)
    return said


@pytest.fixture
def stand(predictors: Predictors, monkeypatch: pytest.MonkeyPatch, trials: object) -> Stand:
    """A contender with some evidence; its predictor is made up."""
    churn = predictors["churn-xgboost"]
    for module in (promotion, succession):
        monkeypatch.setattr(module, "load", lambda registered: churn)

    def make(version: str, evidence: Evidence | None, *, until: int = 0, **manifest: object) -> Contender:
        lineage = {"facts_hash": "f", **({"cutoffs": {"train": [until - 28]}} if until else {})}
        changed: BundleManifest = replace(churn.manifest, definition=DEFINITION, lineage=lineage, **manifest)  # type: ignore[arg-type]
        registered = RegisteredModel("churn", version, (), Path(version), "", "")
        return Contender(registered, changed, evidence)

    return make


def codes(verdict: Verdict) -> list[str]:
    return [finding.reason.name for finding in verdict.findings]


def test_a_first_champion_better_than_its_baseline_is_let_through(stand: Stand) -> None:
    verdict = decide(stand("1", answered(0.3, seed=1)), None)

    assert verdict.promote, verdict.findings
    assert verdict.sentence.startswith("The first champion, better than the best baseline: auc 0.")
    assert verdict.differences[0].low > 0
    assert verdict.notes == ("Not checked: features and labels against the facts, as these are not at hand.",)


def test_a_baseline_without_a_fit_in_some_period_is_named_and_not_compared(stand: Stand) -> None:
    proof = answered(0.3, seed=1)
    perfect = [replace(judged, others={**judged.others, "formula": judged.truth.astype(float)}) for judged in proof.judged]
    verdict = decide(stand("1", replace(proof, judged=(proof.judged[0], *perfect[1:]))), None)

    assert verdict.promote, verdict.findings
    assert verdict.sentence.startswith("The first champion, better than the best baseline of every period: auc 0.")
    (named,) = (note for note in verdict.notes if note.startswith("Not compared"))
    assert named.startswith("Not compared: formula, as it answered in 2 of 3 periods (auc 1.0000 there beside 0.")
    assert "WORSE_THAN_BASELINE" in codes(decide(stand("1", replace(proof, judged=tuple(perfect))), None))


def test_a_gain_that_the_interval_shows_is_let_through(stand: Stand) -> None:
    verdict = decide(stand("2", answered(0.1, seed=2)), stand("1", answered(0.6, seed=1)))

    assert verdict.promote, verdict.findings
    assert verdict.against == "churn@1"
    gain = next(d for d in verdict.differences if d.beside == "churn@1" and d.name == "auc")
    assert 0 < gain.low < gain.gain < gain.high
    assert verdict.ground.startswith("Gain shown over the champion")


def test_the_same_recipe_again_shows_no_gain(stand: Stand) -> None:
    verdict = decide(stand("2", answered(0.3, seed=1)), stand("1", answered(0.3, seed=1)))

    assert codes(verdict) == ["NO_GAIN_SHOWN"]
    assert "+0.0000, 95 % interval +0.0000 to +0.0000" in verdict.sentence
    assert verdict.remedy


def test_a_lower_figure_shows_no_gain(stand: Stand) -> None:
    assert "NO_GAIN_SHOWN" in codes(decide(stand("2", answered(1.0, seed=2)), stand("1", answered(0.1, seed=1))))


def test_equal_quality_is_let_through_where_it_costs_less(stand: Stand, trials: dict[str, Trial]) -> None:
    trials["1"] = replace(QUICK, row_us=20.0)
    quicker = decide(stand("2", answered(0.3, seed=1)), stand("1", answered(0.3, seed=1)))
    assert quicker.ground.startswith("Equal quality at lower cost (2.0 µs a row in place of 20.0)")

    trials["1"] = replace(QUICK, row_us=9.0)  # quick enough: nothing is saved
    later = decide(stand("2", answered(0.3, seed=1), until=17600), stand("1", answered(0.3, seed=1), until=17570))
    assert later.ground.startswith("Equal quality at lower cost (trained on facts that reach 30 days further)")
    sooner = decide(stand("2", answered(0.3, seed=1), until=17597), stand("1", answered(0.3, seed=1), until=17570))
    assert codes(sooner) == ["NO_GAIN_SHOWN"]


def test_worse_quality_is_not_let_through_however_little_it_costs(stand: Stand, trials: dict[str, Trial]) -> None:
    trials["1"] = replace(QUICK, row_us=50.0)

    assert "NO_GAIN_SHOWN" in codes(decide(stand("2", answered(0.8, seed=2)), stand("1", answered(0.2, seed=1))))


def test_a_gain_with_worse_calibration_is_refused(stand: Stand) -> None:
    better = with_answers(answered(0.1, seed=2), lambda judged: np.sqrt(judged.answer))  # ranks the same, far too high

    verdict = decide(stand("2", better), stand("1", answered(0.6, seed=1)))

    assert "CALIBRATION_WORSE" in codes(verdict)
    assert "NO_GAIN_SHOWN" not in codes(verdict)


def test_a_slice_that_falls_below_its_floor_is_refused(stand: Stand) -> None:
    def spoil(judged: object) -> np.ndarray:
        generator = np.random.default_rng(3)
        new = judged.slices["tenure"] == "new"  # type: ignore[attr-defined]
        answer = judged.answer.copy()  # type: ignore[attr-defined]
        answer[new] = generator.permutation(answer[new])
        return answer

    verdict = decide(stand("2", with_answers(answered(0.05, seed=2), spoil)), stand("1", answered(0.6, seed=1)))

    low = next(finding for finding in verdict.findings if finding.reason is Reason.SLICE_BELOW_FLOOR)
    assert low.evidence.startswith("tenure new: auc")
    assert "tenure old" not in " ".join(str(finding) for finding in verdict.findings)


def test_bands_that_jump_are_refused(stand: Stand) -> None:
    champion = answered(0.2, seed=1)
    jumping = with_answers(
        champion, lambda judged: np.where(judged.answer > 0.15, judged.answer + 0.3, judged.answer).clip(0, 1)
    )

    verdict = decide(stand("2", jumping), stand("1", champion))

    assert "UNSTABLE" in codes(verdict)
    assert verdict.figures["moved_share"] > Limits().moved_share
    assert decide(stand("2", champion), stand("1", champion)).figures["moved_share"] == 0


def test_a_slow_bundle_is_refused(stand: Stand, trials: dict[str, Trial]) -> None:
    evidence = answered(0.1, seed=2)
    for slow in (replace(QUICK, row_us=100.0), replace(QUICK, single_us=9000.0)):
        trials["2"] = slow
        assert codes(decide(stand("2", evidence), None)) == ["TOO_SLOW"]
    trials["2"] = replace(QUICK, row_us=20.0)
    beside = decide(stand("2", evidence), stand("1", answered(0.6, seed=1)))
    assert codes(beside) == ["TOO_SLOW"]
    assert beside.sentence.endswith("20.0 µs a row, the champion's 2.0.")


def test_a_bundle_that_does_not_load_is_refused_before_anything_else(stand: Stand, trials: dict[str, object]) -> None:
    trials["2"] = BundleRefused("it crashed the process that tried to load it (SIGSEGV)")
    assert codes(decide(stand("2", answered(0.1, seed=2)), None)) == ["BUNDLE_UNLOADABLE"]
    trials["2"] = BundleRefused("churn: golden rows do not give the scores they gave when the model was made")
    assert codes(decide(stand("2", answered(0.1, seed=2)), None)) == ["GOLDEN_ROWS_DISAGREE"]


def test_a_champion_that_does_not_load_is_replaced_by_an_equal(stand: Stand, trials: dict[str, object]) -> None:
    trials["1"] = BundleRefused("it crashed")

    verdict = decide(stand("2", answered(0.3, seed=1)), stand("1", answered(0.3, seed=1)))

    assert verdict.promote
    assert "The champion's own bundle does not load any more: it crashed." in verdict.notes


def test_another_contract_is_refused(stand: Stand) -> None:
    assert codes(decide(stand("2", answered(0.1, seed=2), contract_hash="0" * 64), None)) == ["CONTRACT_OTHER"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda judged: np.where(np.arange(len(judged)) == 3, np.nan, judged.answer), "NOT_A_NUMBER"),
        (lambda judged: np.where(np.arange(len(judged)) == 3, np.inf, judged.answer), "NOT_A_NUMBER"),
        (lambda judged: np.full(len(judged), 0.2), "CONSTANT"),
        (lambda judged: 1 - judged.answer, "INVERTED"),
        (lambda judged: np.random.default_rng(5).permutation(judged.answer), "NO_SKILL"),
        (lambda judged: seen(judged.answer, 2.5, np.random.default_rng(5)), "WORSE_THAN_BASELINE"),
    ],
)
def test_what_is_no_model_is_refused_by_its_own_name(stand: Stand, change: Callable[..., np.ndarray], reason: str) -> None:
    evidence = with_answers(answered(0.1, seed=2), change)

    assert decide(stand("2", evidence), None).code == reason
    assert decide(stand("2", evidence), stand("1", answered(0.5, seed=1))).code == reason


def test_scores_of_golden_rows_count_as_scores(stand: Stand, trials: dict[str, Trial]) -> None:
    trials["2"] = replace(QUICK, finite=False)
    assert decide(stand("2", answered(0.1, seed=2)), None).code == "NOT_A_NUMBER"


def test_windows_that_overlap_are_a_leak(stand: Stand) -> None:
    evidence = answered(0.1, seed=2)
    late = replace(evidence.judged[-1], period=replace(period(DAYS[-1]), train=(DAYS[-1] - 20,)))
    verdict = decide(stand("2", replace(evidence, judged=(*evidence.judged[:-1], late))), None)

    assert codes(verdict) == ["LEAKAGE_SUSPECTED"]
    assert "when its test window begins" in verdict.sentence


def test_other_windows_or_other_truth_are_not_compared(stand: Stand) -> None:
    mine = answered(0.1, seed=2)
    elsewhere = stand("1", answered(0.5, seed=1, days=(17400,)))
    assert codes(decide(stand("2", mine), elsewhere)) == ["NOT_COMPARABLE"]

    other = answered(0.5, seed=1)
    turned = replace(other, judged=tuple(replace(judged, truth=~judged.truth) for judged in other.judged))
    assert codes(decide(stand("2", mine), stand("1", turned))) == ["NOT_COMPARABLE"]
    assert codes(decide(stand("2", mine), stand("1", None))) == ["NOT_COMPARABLE"]


def test_rows_in_another_order_are_compared_all_the_same(stand: Stand) -> None:
    mine, champion = answered(0.1, seed=2), answered(0.6, seed=1)
    turned = []
    for judged in champion.judged:
        back = np.arange(len(judged))[::-1]
        turned.append(
            replace(
                judged,
                member_ids=judged.member_ids[back],
                truth=judged.truth[back],
                answer=judged.answer[back],
                others={name: values[back] for name, values in judged.others.items()},
                slices={name: values[back] for name, values in judged.slices.items()},
            )
        )
    straight = decide(stand("2", mine), stand("1", champion))
    other = decide(stand("2", mine), stand("1", replace(champion, judged=tuple(turned))))

    assert straight.differences == other.differences


def test_intervals_are_those_of_a_naive_bootstrap(stand: Stand) -> None:
    mine, champion = answered(0.2, seed=2), answered(0.6, seed=1)
    gain = decide(stand("2", mine), stand("1", champion)).differences[-2]

    def auc(left: np.ndarray, score: np.ndarray) -> float:
        pairs = score[left][:, None] - score[~left][None, :]
        return float((np.sign(pairs) + 1).mean() / 2)

    generator, drawn = np.random.default_rng(9), []
    for _ in range(300):
        picks = generator.integers(0, len(mine.judged[0]), len(mine.judged[0]))  # the same members in every period
        drawn.append(
            np.mean(
                [
                    auc(a.truth[picks], a.answer[picks]) - auc(b.truth[picks], b.answer[picks])
                    for a, b in zip(mine.judged, champion.judged, strict=True)
                ]
            )
        )
    low, high = np.quantile(drawn, [0.025, 0.975])

    assert gain.gain == pytest.approx(
        np.mean([auc(a.truth, a.answer) - auc(b.truth, b.answer) for a, b in zip(mine.judged, champion.judged, strict=True)])
    )
    assert (gain.low, gain.high) == (pytest.approx(low, abs=0.006), pytest.approx(high, abs=0.006))


def test_what_a_bundle_has_seen_ends_with_the_labels_it_was_fitted_on(stand: Stand) -> None:
    def until(cutoffs: object) -> int:
        bare = stand("1", None)
        return replace(bare, manifest=replace(bare.manifest, lineage={"cutoffs": cutoffs})).trained_until

    assert until({"train": [17000, 17014], "validation": 17042, "calibration": 17070, "test": 17098}) == 17098
    assert until({"train": [17000, 17014], "validation": None, "calibration": None, "test": 17098}) == 17042
    assert until({"train": [], "validation": None, "calibration": None, "test": 17098}) == 17098  # BG/NBD: histories alone
    assert until({"items": 40_000}) == 0
    assert until(None) == 0


def test_what_was_found_of_its_origin_holds_for_ever(stand: Stand) -> None:
    known = (
        Finding(Reason.LEAKAGE_SUSPECTED, "Found when it was trained."),
        Finding(Reason.NO_GAIN_SHOWN, "Beside another champion."),
    )
    assert codes(decide(stand("2", answered(0.1, seed=2)), None, known=known)) == ["LEAKAGE_SUSPECTED"]


def test_figures_alone_are_enough_for_a_first_champion_and_for_no_other(stand: Stand) -> None:
    def lists(version: str, recall: float, facts: str = "f") -> Contender:
        bare = stand(version, None, name="recommender", features=())
        lineage = {"facts_hash": facts}
        manifest = replace(bare.manifest, lineage=lineage)
        return replace(bare, manifest=manifest, metrics={"recall20": recall}, baselines={"popular": {"recall20": 0.1}})

    assert decide(lists("1", 0.11), None).promote
    assert codes(decide(lists("1", 0.05), None)) == ["WORSE_THAN_BASELINE"]
    assert codes(decide(lists("1", float("nan")), None)) == ["NO_EVIDENCE"]
    assert codes(decide(lists("2", 0.2), lists("1", 0.11))) == ["NO_GAIN_SHOWN"]
    assert decide(lists("2", 0.11, facts="later"), lists("1", 0.11)).promote


def test_every_reason_has_a_sentence_and_a_remedy() -> None:
    assert len({reason.sentence for reason in Reason}) == len(Reason)
    for reason in Reason:
        assert reason.sentence.endswith(".")
        assert reason.remedy
    verdict = decide_nothing()
    assert verdict.as_dict()["reasons"][0] == {
        "code": "TOO_SLOW",
        "sentence": f"{Reason.TOO_SLOW.sentence} 9 µs.",
        "remedy": Reason.TOO_SLOW.remedy,
    }


def decide_nothing() -> Verdict:
    return Verdict("churn", "2", "churn@1", "", (Finding(Reason.TOO_SLOW, "9 µs."),))


def test_risk_and_truth_belong_together() -> None:
    risk, left = truths(DAYS[0])
    assert risk[left].mean() > risk[~left].mean() + 0.1
