"""Fixtures of the training tests: predictors trained in a moment on made-up rows, and a registry to change at will."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import lightgbm
import numpy as np
import pytest
import xgboost
from shops import Line, shop

from features.contract import CONTRACT
from features.facts import Facts
from tests.training.registered import answered
from training.artifacts import BundleManifest
from training.boosting import Recipe, native
from training.churn import BANDS, OBJECTIVES
from training.datasets import Examples, Snapshots
from training.forecast import OBJECTIVES as SPEND_OBJECTIVES
from training.lists.als import AlsSettings
from training.lists.catalogues import SourceSettings
from training.lists.ranker import RankerSettings
from training.lists.settings import ListSettings, period_of_today
from training.predictors import (
    AmountTable,
    BgNbd,
    BgNbdPredictor,
    Calibrator,
    ChurnPredictor,
    Engine,
    IntervalTable,
    Recommender,
    SegmentPredictor,
    TierOdds,
    TierPredictor,
    TreeModel,
    ValuePredictor,
)
from training.predictors.segment_space import axes_told
from training.recommender import workshop
from training.segment_fit import fit_groups
from training.tier import TierDefinition
from training.trained import Trained, golden_rows

Predictors = dict[str, ChurnPredictor | BgNbdPredictor | TierPredictor | ValuePredictor | SegmentPredictor | Recommender]
INTERVAL = IntervalTable((0.1, 0.5, 0.8), (0.02, 0.41, 0.7), (0.17, 0.6, 0.93), level=0.9, group=200)
SMALL_LISTS = ListSettings(
    SourceSettings(AlsSettings(factors=4, alpha=2.0, regularization=0.5), penalty=5.0), RankerSettings(trees=10, depth=3)
)


@pytest.fixture(scope="session")
def made_up() -> Examples:
    """Rows of numbers with gaps, and a class 0, 1 or 2 that depends on some of them."""
    generator = np.random.default_rng(12)
    matrix = generator.gamma(1.0, 30.0, (900, len(CONTRACT.model_features))).astype(np.float32)
    labels = np.digitize(matrix[:, 0] + matrix[:, 5] + generator.normal(0, 10, 900), [50, 90])
    matrix[generator.random(matrix.shape) < 0.1] = np.nan
    return Examples(np.array([f"m{i}" for i in range(900)]), np.zeros(900, dtype=np.int32), matrix, labels)


@pytest.fixture(scope="session")
def predictors(made_up: Examples) -> Predictors:
    """One predictor of each kind and engine."""
    return {
        "churn-xgboost": _churn("xgboost", made_up),
        "churn-lightgbm": _churn("lightgbm", made_up),
        "churn-bgnbd": _bgnbd(made_up),
        "tier": _tier(made_up),
        "segments": _segments(made_up),
        "value-xgboost": _value("xgboost", made_up),
        "value-lightgbm": _value("lightgbm", made_up),
        "recommender": _recommender(),
    }


@pytest.fixture(scope="session")
def snapshots(facts: Facts) -> Snapshots:
    """Snapshots of the slice of Complete Journey, each built when first asked for."""
    return Snapshots(facts)


@pytest.fixture
def registry(mlruns: Path, tmp_path: Path) -> Path:
    """A registry of the slice's models that the test may change."""
    return Path(shutil.copytree(mlruns, tmp_path / "mlruns"))


@pytest.fixture(scope="session")
def three_churns(predictors: Predictors, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with churn@1, churn@2 and churn@3 from made-up rows, without aliases; not to be changed."""
    from training.tracking import record  # MLflow takes seconds to import

    folder = tmp_path_factory.mktemp("three") / "mlruns"
    for number, kind in enumerate(("churn-xgboost", "churn-lightgbm", "churn-xgboost")):
        evidence = answered((0.5, 0.5, 0.2)[number], seed=number)
        record(folder, Trained(predictors[kind], {"auc": 0.7}, {"recency": {"auc": 0.6}}, {"seed": 1}, evidence=evidence))
    return folder


@pytest.fixture
def churns(three_churns: Path, tmp_path: Path) -> Path:
    """A copy of that registry, to change at will."""
    return Path(shutil.copytree(three_churns, tmp_path / "mlruns"))


def trees(engine: Engine, data: Examples, labels: np.ndarray, objective: Mapping[str, object]) -> TreeModel:
    """A few trees on one thread: enough to tell rows apart, and quick."""
    if engine == "lightgbm":
        parameters = {**native(Recipe(engine, objective, seed=0)), "num_threads": 1, "min_data_in_leaf": 10}
        return TreeModel(engine, lightgbm.train(parameters, lightgbm.Dataset(data.matrix, label=labels), 60))
    parameters = {**native(Recipe(engine, objective, seed=0)), "nthread": 1, "min_child_weight": 3}
    booster = xgboost.train(parameters, xgboost.DMatrix(data.matrix, label=labels, nthread=1), 60)
    return TreeModel.from_bytes(engine, bytes(booster.save_raw(raw_format="json")))


def manifest_of(name: str, engine: str, definition: dict[str, object], parameters: dict[str, object]) -> BundleManifest:
    return BundleManifest(
        name=name,
        kind=name,
        engine=engine,
        contract_hash=CONTRACT.hash,
        features=CONTRACT.model_features,
        definition=definition,
        parameters=parameters,
        lineage={"facts_hash": "made up", "seed": 1},
    )


def _churn(engine: Engine, data: Examples) -> ChurnPredictor:
    model = trees(engine, data, (data.labels > 0).astype(np.float32), OBJECTIVES[engine])
    calibrator = asdict(Calibrator(0.9, -0.1))
    manifest = manifest_of(
        "churn",
        engine,
        {"horizon_days": 28, "active_days": 84},
        {"bands": BANDS, "calibrator": calibrator, "interval": asdict(INTERVAL)},
    )
    return ChurnPredictor(manifest, model, golden_rows(data.matrix, seed=1))


def _bgnbd(data: Examples) -> BgNbdPredictor:
    calibrator = asdict(Calibrator(raw=(0.0, 0.3, 1.0), share=(0.0, 0.4, 1.0)))
    parameters = {"bands": BANDS, "calibrator": calibrator, "interval": asdict(INTERVAL)}
    manifest = manifest_of("churn", "bgnbd", {"horizon_days": 28, "active_days": 84}, parameters)
    model = BgNbd(r=0.8, alpha=20.0, a=0.9, b=3.0)
    return BgNbdPredictor(replace(manifest, kind=BgNbdPredictor.kind), model, golden_rows(data.matrix, seed=1))


def _tier(data: Examples) -> TierPredictor:
    """Classes stand for amounts; the borders lie between them."""
    model = trees("xgboost", data, data.labels.astype(np.float32), SPEND_OBJECTIVES["xgboost"])
    odds = TierOdds(slope=4.0, borders=(-2.0, 1.4), cuts=(0.5, 1.4))
    manifest = manifest_of("tier", "xgboost", asdict(TierDefinition(90, 50, 90)), {"odds": odds.numbers()})
    return TierPredictor(manifest, model, golden_rows(data.matrix, seed=1))


def _segments(data: Examples) -> SegmentPredictor:
    features = CONTRACT.model_features
    fitted = fit_groups(data.matrix, features, axes_told(data.matrix, features), seed=1)
    definition = {"groups": [group.name for group in fitted.groups], "axes": list(fitted.space.axes)}
    parameters = {"space": fitted.space.as_dict(), "centres": fitted.held.centres.tolist(), "profiles": []}
    manifest = manifest_of("segments", "xgboost", definition, parameters)
    return SegmentPredictor(manifest, fitted.model, golden_rows(data.matrix, seed=1))


def _value(engine: Engine, data: Examples) -> ValuePredictor:
    """Classes stand for amounts: 0, 1 or 2 units of 50."""
    model = trees(engine, data, data.labels.astype(np.float32), SPEND_OBJECTIVES[engine])
    table = AmountTable((20.0, 60.0, 90.0), (0.0, 40.0, 60.0), (30.0, 80.0, 120.0), level=0.8)
    manifest = manifest_of("value", engine, {"horizon_days": 90}, {"unit_cents": 5000.0, "interval": table.numbers()})
    return ValuePredictor(manifest, model, golden_rows(data.matrix, seed=1))


def _recommender() -> Recommender:
    """Forty-eight members, twelve items; everyone buys most items of the same remainder by three, and again."""
    lines = [
        Line(f"m{member:02}", float((member * 7 + item) % 20 + 20 * turn), item=f"i{item:02}")
        for member in range(48)
        for item in range(12)
        for turn in range(3)
        if item % 3 == member % 3 and (member + item + turn) % 7
    ]
    made = workshop(shop(lines), seed=1, engine="xgboost", search=None)
    small = replace(made, settings=SMALL_LISTS)
    today = period_of_today(made.facts, horizon_days=made.horizon_days)
    return small.recommender(small.at(today.test), today)
