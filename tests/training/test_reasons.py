"""Reasons add up to the score, cover every feature, speak two languages, and say nothing that is not known."""

import gc
import math
from dataclasses import replace

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from features.contract import CONTRACT
from features.errors import ConfigurationError
from training.datasets import Examples
from training.predictors import ChurnPredictor, TierPredictor, TreeModel
from training.predictors import reasons as module
from training.predictors.reason_codes import CODE_NAMES, CODES, codes_matching, reason_of_feature
from training.predictors.reason_sentences import LANGUAGES, NOTHING_KNOWN, WORDINGS, Language
from training.predictors.reason_tellers import sentence, teller
from training.predictors.reasons import explain, prepare, reasons, sentences

SCORERS = ("churn-xgboost", "churn-lightgbm", "tier")
FEATURES = CONTRACT.model_features
Scorers = dict[str, ChurnPredictor | TierPredictor]


@pytest.fixture(params=SCORERS)
def scorer(request: pytest.FixtureRequest, predictors: Scorers) -> ChurnPredictor | TierPredictor:
    """Each predictor that has reasons."""
    return predictors[request.param]


@pytest.fixture(scope="module")
def with_gaps(made_up: Examples) -> np.ndarray:
    """Rows of numbers, one without any."""
    nothing = np.full((1, len(FEATURES)), np.nan, dtype=np.float32)
    return np.concatenate([made_up.matrix[:300], nothing])


def logit(probability: np.ndarray) -> np.ndarray:
    return np.log(probability / (1 - probability))


# Codes


@pytest.mark.parametrize("feature", FEATURES)
def test_every_feature_has_exactly_one_code(feature: str) -> None:
    assert len(codes_matching(feature)) == 1, "say in training/predictors/reason_codes.py which code the feature belongs to"


def test_a_feature_without_a_code_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="moon_phase") as refused:
        reason_of_feature((*FEATURES, "moon_phase"))

    assert "reason_codes.py" in refused.value.remedy


def test_codes_are_public_names_that_stay() -> None:
    assert CODE_NAMES == (
        "GAP_VS_OWN_RHYTHM",
        "RECENCY",
        "REGULARITY",
        "VISIT_FREQUENCY",
        "FREQUENCY_TREND",
        "SPEND_LEVEL",
        "SPEND_TREND",
        "BASKET",
        "BREADTH",
        "DISCOUNT_DEPENDENCE",
        "CHANNEL",
        "TIMING",
        "CAMPAIGNS",
        "BROWSING",
        "RETURNS",
        "TENURE",
    )
    assert [code.name for code in CODES if not code.actionable] == ["REGULARITY", "CHANNEL", "TIMING", "TENURE"]


# Sums


@pytest.mark.parametrize("name", ["churn-xgboost", "churn-lightgbm"])
@pytest.mark.parametrize("exact", [False, True])
def test_base_and_codes_add_up_to_the_logit_of_the_raw_score(
    predictors: Scorers, with_gaps: np.ndarray, name: str, *, exact: bool
) -> None:
    model = predictors[name].model
    if isinstance(model.booster, xgboost.Booster):
        margin = model.booster.predict(xgboost.DMatrix(with_gaps, nthread=1), output_margin=True)
    else:
        margin = np.asarray(model.booster.predict(with_gaps, raw_score=True, num_threads=1))
    found = explain(predictors[name], with_gaps, exact=exact)

    np.testing.assert_allclose(found.logit, margin, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.logit, logit(model.predict(with_gaps)), rtol=0, atol=2e-5)  # of a float32


@pytest.mark.parametrize("exact", [False, True])
def test_reasons_of_a_tier_add_up_to_the_odds_of_its_side_of_the_border(
    predictors: Scorers, with_gaps: np.ndarray, *, exact: bool
) -> None:
    tier = predictors["tier"]
    assert isinstance(tier, TierPredictor)
    scores, found = tier.score(with_gaps), explain(tier, with_gaps, exact=exact)
    assert found.towards is not None
    assert found.against is not None
    row = np.arange(len(with_gaps))

    assert found.towards.tolist() == tier.likely_tier(scores).tolist()
    assert (found.against != found.towards).all()
    handed = explain(tier, with_gaps, exact=exact, scores=scores)
    assert handed.contributions.tobytes() == found.contributions.tobytes()
    third = 3 - found.towards - found.against
    assert (scores[row, found.against] >= scores[row, third]).all()
    up = found.towards > found.against
    gold, diamond = logit(scores[:, 1] + scores[:, 2]), logit(scores[:, 2])
    reached = np.where(np.where(up, found.towards, found.towards + 1) == 1, gold, diamond)
    np.testing.assert_allclose(found.logit, np.where(up, reached, -reached), rtol=0, atol=2e-4)  # of a float32


def test_tables_and_library_give_the_same_reasons(scorer: ChurnPredictor | TierPredictor, with_gaps: np.ndarray) -> None:
    quick, exact = (explain(scorer, with_gaps, exact=exact) for exact in (False, True))

    assert prepare(scorer)
    np.testing.assert_allclose(quick.contributions, exact.contributions, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(quick.base, exact.base)
    assert (quick.codes == exact.codes).mean() > 0.99  # two of one size may change places


def test_a_batch_is_explained_as_its_rows_are_one_by_one(scorer: ChurnPredictor | TierPredictor, made_up: Examples) -> None:
    whole = explain(scorer, made_up.matrix[:150])
    single = [explain(scorer, made_up.matrix[row : row + 1]) for row in range(150)]

    for name in ("codes", "contributions", "base"):
        assert np.concatenate([getattr(one, name) for one in single]).tobytes() == getattr(whole, name).tobytes()


def test_the_strongest_come_first_and_what_adds_nothing_is_left_out(predictors: Scorers, made_up: Examples) -> None:
    found = explain(predictors["churn-xgboost"], made_up.matrix, top=len(CODES))

    for codes, contributions in zip(found.codes, found.contributions, strict=True):
        named = codes[codes >= 0]
        sizes = np.abs(contributions[named])
        assert (np.diff(sizes) <= 0).all()
        assert sorted(named) == np.flatnonzero(contributions).tolist()
    assert explain(predictors["churn-xgboost"], made_up.matrix).codes.shape == (900, 3)


def test_calibration_changes_no_reason(predictors: Scorers, made_up: Examples) -> None:
    churn = predictors["churn-xgboost"]
    parameters = {**churn.manifest.parameters, "calibrator": {"slope": 2.0, "offset": 1.0}}
    other = replace(churn, manifest=replace(churn.manifest, parameters=parameters))

    assert explain(churn, made_up.matrix).logit.tobytes() == explain(other, made_up.matrix).logit.tobytes()


def test_trees_too_deep_for_tables_are_explained_by_the_library(predictors: Scorers, made_up: Examples) -> None:
    churn = predictors["churn-xgboost"]
    assert isinstance(churn, ChurnPredictor)
    given_ = {"objective": "binary:logistic", "max_depth": 14, "min_child_weight": 0, "lambda": 0, "nthread": 1}
    noise = np.random.default_rng(1).random(900) < 0.5
    deep = xgboost.train(given_, xgboost.DMatrix(made_up.matrix, label=noise, nthread=1), 4)
    predictor = replace(churn, model=TreeModel("xgboost", deep))
    found = explain(predictor, made_up.matrix[:50])

    assert not prepare(predictor)
    np.testing.assert_allclose(found.logit, logit(predictor.model.predict(made_up.matrix[:50])), atol=1e-4)


def test_a_model_nobody_holds_is_forgotten(predictors: Scorers, made_up: Examples) -> None:
    churn = predictors["churn-xgboost"]
    assert isinstance(churn, ChurnPredictor)
    copy = replace(churn, model=TreeModel.from_bytes("xgboost", churn.model.to_bytes()))
    before = len(module._kept)
    prepare(copy)
    assert len(module._kept) == before + 1

    del copy
    gc.collect()
    assert len(module._kept) == before


# Behaviour


def test_the_longest_silence_never_speaks_for_staying(predictors: Scorers, made_up: Examples) -> None:
    """By the definition: in a model that only rises with silence, the longest silence is never below the average."""
    churn = predictors["churn-xgboost"]
    assert isinstance(churn, ChurnPredictor)
    silence = np.flatnonzero(reason_of_feature(FEATURES) == CODE_NAMES.index("GAP_VS_OWN_RHYTHM"))
    constraints = "(" + ",".join(str(int(i in silence)) for i in range(len(FEATURES))) + ")"
    labels = made_up.matrix[:, silence].sum(axis=1) > np.nanmedian(made_up.matrix[:, silence].sum(axis=1))
    given_ = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1, "monotone_constraints": constraints}
    fitted = xgboost.train(given_, xgboost.DMatrix(made_up.matrix, label=labels, nthread=1), 30)
    predictor = replace(churn, model=TreeModel("xgboost", fitted))
    longest, shortest = made_up.matrix.copy(), made_up.matrix.copy()
    longest[:, silence], shortest[:, silence] = 1e6, -1e6

    code = CODE_NAMES.index("GAP_VS_OWN_RHYTHM")
    assert (explain(predictor, longest).contributions[:, code] > 0).all()
    assert (explain(predictor, shortest).contributions[:, code] < 0).all()


# Sentences


def values(**known: float) -> dict[str, float]:
    return {**dict.fromkeys(FEATURES, math.nan), **known}


SAID = [
    (
        "GAP_VS_OWN_RHYTHM",
        values(days_since_last_purchase=31, mean_gap_days=9.04),
        "31 days since the last visit; usual gap 9",
        "距上次到店31天，平时约9天一次",
    ),
    (
        "GAP_VS_OWN_RHYTHM",
        values(days_since_last_purchase=1),
        "1 day since the last visit; too few visits to know the usual gap",
        "距上次到店1天，到店次数太少，尚无规律",
    ),
    (
        "SPEND_LEVEL",
        values(spend_cents_90d=123_456, spend_cents_365d=1_000_000),
        "1,234.56 spent in 90 days, 10,000.00 in a year",
        "近90天消费1,234.56，近一年10,000.00",
    ),
    (
        "VISIT_FREQUENCY",
        values(purchases_90d=1, purchases_365d=12),
        "1 order in 90 days, 12 in a year",
        "近90天1单，近一年12单",
    ),
    (
        "RECENCY",
        values(days_since_last_purchase=40, recency_score=1),
        "last visit 40 days ago, among the fifth of members who stayed away longest",
        "上次到店在40天前，属于最久未到店的五分之一会员",
    ),
    (
        "TIMING",
        values(monday_share_180d=0.2, saturday_share_180d=0.62),
        "buys on Saturday more than on other days (62% of orders)",
        "多在周六购买（占订单62%）",
    ),
    ("BROWSING", values(days_since_open_cart=1, views_30d=3), "a cart left without a purchase 1 day ago", "1天前加购后未下单"),
    ("CHANNEL", values(online_share_180d=0.25), "25% of orders online", "25%的订单来自线上"),
    ("BASKET", values(), NOTHING_KNOWN["en"], NOTHING_KNOWN["zh"]),
]


@pytest.mark.parametrize(("code", "known", "english", "chinese"), SAID)
def test_sentences_tell_the_members_own_numbers(code: str, known: dict[str, float], english: str, chinese: str) -> None:
    assert sentence(code, known, "en") == english
    assert sentence(code, known, "zh") == chinese


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_number_that_nobody_gives_is_unknown(language: Language) -> None:
    """A model that lacks a feature says what it can without it."""
    known = values(days_since_last_purchase=1, mean_gap_days=9)
    features = ("purchases_90d", "days_since_last_purchase")
    row = [known[name] for name in features]

    assert teller("GAP_VS_OWN_RHYTHM", features, language)(row) == SAID[1][2 + LANGUAGES.index(language)]
    assert teller("TIMING", features, language)(row) == NOTHING_KNOWN[language]


def test_every_code_has_a_wording_of_features_that_exist() -> None:
    assert set(WORDINGS) == set(CODE_NAMES)
    for wordings in WORDINGS.values():
        for wording in wordings:
            assert {*wording.needs, *wording.largest} <= set(CONTRACT.feature_names)


@given(
    known=st.dictionaries(st.sampled_from(FEATURES), st.floats(-1e9, 1e9, width=32), max_size=40),
    code=st.sampled_from(CODE_NAMES),
    language=st.sampled_from(LANGUAGES),
)
def test_whatever_is_known_there_is_something_to_say(known: dict[str, float], code: str, language: Language) -> None:
    said = sentence(code, values(**known), language)

    assert said
    assert "nan" not in said
    assert "{" not in said


def test_reasons_carry_code_direction_and_what_can_be_done(predictors: Scorers, made_up: Examples) -> None:
    churn, matrix = predictors["churn-xgboost"], made_up.matrix[:40]
    found = explain(churn, matrix)
    told = reasons(found, matrix, FEATURES, "en")

    assert sentences(found, matrix, FEATURES, "en") == [[reason.sentence for reason in row] for row in told]
    for row, given_reasons in enumerate(told):
        for place, reason in enumerate(given_reasons):
            code = CODES[found.codes[row, place]]
            assert (reason.code, reason.actionable) == (code.name, code.actionable)
            assert reason.contribution == found.contributions[row, found.codes[row, place]]
            assert reason.direction == ("raises" if reason.contribution > 0 else "lowers")
