"""The registry, read without MLflow and held against MLflow's own client: versions, aliases, evidence, a folder that moves."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from shops import Line, shop

from features.build import FeatureRows
from features.contract import CONTRACT
from features.derive import model_columns
from features.errors import BundleRefused, ModelMissing
from features.facts import Facts
from training.artifacts import read_manifest
from training.datasets import Snapshots
from training.pipeline import steps, unchanged
from training.predictors import ChurnPredictor, Recommender, SegmentPredictor, TierPredictor, ValuePredictor
from training.predictors.histories import bought_once
from training.registry import (
    CHALLENGER,
    CHAMPION,
    DATABASE,
    HASH_TAG,
    RegisteredModel,
    load,
    recorded_figures,
    registered_models,
    resolve,
    version_of,
)
from training.tracking import open_registry, record
from training.trained import Trained

REPOSITORY = Path(__file__).parents[2]
NAMES = ("churn", "recommender", "segments", "tier", "value")


def as_the_client_sees(mlruns: Path) -> dict[tuple[str, str], tuple[tuple[str, ...], str, str]]:
    """Aliases, bundle hash and run of each version, by MLflow's own client."""
    client = open_registry(mlruns)
    found = {}
    for model in client.search_registered_models():
        aliases = client.get_registered_model(model.name).aliases
        for version in client.search_model_versions(f"name = '{model.name}'"):
            mine = tuple(sorted(alias for alias, target in aliases.items() if str(target) == str(version.version)))
            found[model.name, str(version.version)] = (mine, version.tags[HASH_TAG], version.run_id)
    return found


def as_we_see(mlruns: Path) -> dict[tuple[str, str], tuple[tuple[str, ...], str, str]]:
    return {(m.name, m.version): (m.aliases, m.sha256, m.run_id) for m in registered_models(mlruns)}


def inputs(rows: FeatureRows) -> np.ndarray:
    return rows.matrix[:, model_columns(rows.contract)]


@pytest.fixture(autouse=True)
def _no_run_left_open() -> Iterator[None]:
    yield
    assert mlflow.active_run() is None


def test_versions_and_aliases_are_those_of_mlflow(mlruns: Path) -> None:
    assert as_we_see(mlruns) == as_the_client_sees(mlruns)
    twice = {(name, version) for name in ("churn", "value") for version in ("1", "2")}
    assert set(as_we_see(mlruns)) == twice | {("recommender", "1"), ("segments", "1"), ("tier", "1")}
    assert resolve(mlruns, "churn").version == "1"
    assert resolve(mlruns, "churn", CHALLENGER).version == "2"
    assert resolve(mlruns, "churn").label == "churn@1"
    for name in NAMES:
        assert CHAMPION in resolve(mlruns, name).aliases


def test_an_alias_moved_by_mlflow_is_seen(registry: Path) -> None:
    client = open_registry(registry)
    client.set_registered_model_alias("churn", CHAMPION, "2")
    client.set_registered_model_alias("tier", "last-good", "1")
    client.delete_registered_model_alias("recommender", CHAMPION)

    assert as_we_see(registry) == as_the_client_sees(registry)
    assert resolve(registry, "churn").version == "2"
    assert resolve(registry, "churn").aliases == (CHALLENGER, CHAMPION)
    assert resolve(registry, "tier", "last-good").version == "1"
    with pytest.raises(ModelMissing, match="no champion of recommender") as caught:
        resolve(registry, "recommender")
    assert "rapport train" in caught.value.remedy


def test_a_version_deleted_by_mlflow_is_gone(registry: Path) -> None:
    client = open_registry(registry)
    client.delete_model_version("churn", "1")

    assert as_we_see(registry) == as_the_client_sees(registry)
    assert [m.label for m in registered_models(registry) if m.name == "churn"] == ["churn@2"]
    with pytest.raises(ModelMissing):
        resolve(registry, "churn")

    client.delete_registered_model("churn")
    assert {m.name for m in registered_models(registry)} == {"recommender", "segments", "tier", "value"}


def test_nothing_is_registered_where_nothing_was_trained(tmp_path: Path) -> None:
    assert registered_models(tmp_path) == []
    assert registered_models(tmp_path / "nowhere") == []
    with pytest.raises(ModelMissing, match="no champion of churn"):
        resolve(tmp_path, "churn")
    assert list(tmp_path.iterdir()) == []


def test_every_registered_model_loads_and_is_what_it_says(mlruns: Path) -> None:
    kinds = {
        "churn": ChurnPredictor,
        "tier": TierPredictor,
        "value": ValuePredictor,
        "segments": SegmentPredictor,
        "recommender": Recommender,
    }
    for model in registered_models(mlruns):
        predictor = load(model)
        assert type(predictor) is kinds[model.name]
        assert predictor.manifest.contract_hash == CONTRACT.hash
        assert predictor.manifest.features == (() if model.name == "recommender" else CONTRACT.model_features)
    engines = [load(resolve(mlruns, "churn", alias)).manifest.engine for alias in (CHAMPION, CHALLENGER)]
    assert engines == ["xgboost", "lightgbm"]


def test_an_altered_file_is_refused_under_the_models_name(registry: Path) -> None:
    model = resolve(registry, "tier")
    path = model.bundle / "model.json"
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))

    with pytest.raises(BundleRefused, match=r"tier@1: model\.json was altered"):
        load(model)


def test_a_version_kept_elsewhere_is_refused_by_name(registry: Path) -> None:
    with closing(sqlite3.connect(registry / DATABASE)) as database, database:
        database.execute("UPDATE model_versions SET storage_location = 's3://bucket/models/1' WHERE name = 'tier'")

    with pytest.raises(BundleRefused, match="tier: its files are not kept under"):
        registered_models(registry)


def test_a_moved_folder_still_resolves_and_loads(registry: Path, mlruns: Path, rows: FeatureRows) -> None:
    moved = registry.parent / "another place" / "runs"
    moved.parent.mkdir()
    shutil.move(registry, moved)

    assert as_we_see(moved) == as_we_see(mlruns)
    for name in ("churn", "tier"):
        model = resolve(moved, name)
        assert moved in model.bundle.parents
        there, here = load(model), load(resolve(mlruns, name))
        assert isinstance(there, ChurnPredictor | TierPredictor)
        assert isinstance(here, ChurnPredictor | TierPredictor)
        assert there.score(inputs(rows)).tobytes() == here.score(inputs(rows)).tobytes()


def test_mlflow_loads_from_a_moved_folder_what_we_load(registry: Path, rows: FeatureRows) -> None:
    moved = registry.parent / "another place" / "runs"
    moved.parent.mkdir()
    shutil.move(registry, moved)
    open_registry(moved)
    frame = pd.DataFrame(inputs(rows).astype(np.float64), columns=list(CONTRACT.model_features))

    for name in ("churn", "tier"):
        predictor = load(resolve(moved, name))
        assert isinstance(predictor, ChurnPredictor | TierPredictor)
        loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
        assert np.asarray(loaded.predict(frame)).tobytes() == predictor.score(inputs(rows)).tobytes()
        assert np.array_equal(loaded.predict(frame[frame.columns[::-1]]), predictor.score(inputs(rows)))  # columns by name


def test_no_recorded_location_is_left_behind_by_a_move(registry: Path, mlruns: Path, tmp_path: Path) -> None:
    open_registry(registry)

    old, new = mlruns.resolve().as_uri(), registry.resolve().as_uri()
    with closing(sqlite3.connect(registry / DATABASE)) as database:
        dump = "\n".join(line for line in database.iterdump() if "artifact" in line)
    assert f"{old}/" not in dump
    assert f"{new}/" in dump
    artifacts = open_registry(registry).list_artifacts(resolve(registry, "churn").run_id)
    assert {"plots", "lineage.json"} <= {artifact.path for artifact in artifacts}


def test_new_versions_after_a_move_stand_beside_the_old(registry: Path, mlruns: Path) -> None:
    shutil.move(registry, registry.with_name("moved"))
    moved = registry.with_name("moved")
    trained = Trained(load(resolve(moved, "tier")), metrics={"qwk": 0.5}, baselines={}, parameters={"trees": 3})

    registered = record(moved, trained, alias=CHAMPION)

    assert registered.label == "tier@2"
    assert moved.resolve() in registered.bundle.resolve().parents
    assert resolve(moved, "tier") == registered
    assert as_we_see(moved) == as_the_client_sees(moved)
    assert resolve(mlruns, "tier").version == "1"
    assert not registry.exists()


def test_the_tenth_version_comes_after_the_ninth(registry: Path) -> None:
    with closing(sqlite3.connect(registry / DATABASE)) as database, database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(model_versions)") if row[1] != "version"]
        names = ", ".join(columns)
        for version in range(2, 12):
            database.execute(
                f"INSERT INTO model_versions (version, {names}) SELECT ?, {names} FROM model_versions "
                "WHERE name = 'tier' AND version = 1",
                [version],
            )
            database.execute(
                "INSERT INTO model_version_tags (name, version, key, value) VALUES ('tier', ?, ?, 'x')", [version, HASH_TAG]
            )

    assert [m.version for m in registered_models(registry) if m.name == "tier"] == [str(n) for n in range(1, 12)]


def test_mlflow_recommends_what_we_recommend(mlruns: Path) -> None:
    open_registry(mlruns)
    recommender = load(resolve(mlruns, "recommender"))
    assert isinstance(recommender, Recommender)
    bought = recommender.item_ids[[3, 8, 20]].tolist()
    histories = bought_once([np.array([3, 8, 20], dtype=np.int32), np.empty(0, dtype=np.int32)], day=1)

    found = mlflow.pyfunc.load_model("models:/recommender@champion").predict(
        pd.DataFrame({"item_ids": [bought, ["no such item"]]})
    )

    expected = recommender.lists(histories, k=20).items
    assert [list(items) for items in found] == recommender.item_ids[expected].tolist()
    assert found[1] == recommender.popular_items(20)


def test_runs_hold_the_evidence(mlruns: Path, facts: Facts) -> None:
    client = open_registry(mlruns)
    for model in registered_models(mlruns):
        run = client.get_run(model.run_id)
        manifest = read_manifest(model.bundle, sha256=model.sha256)
        assert run.info.status == "FINISHED"
        assert run.data.params["engine"] == manifest.engine
        assert run.data.params["seed"] == str(manifest.lineage["seed"])
        assert run.data.tags["contract_hash"] == CONTRACT.hash
        assert run.data.tags["facts_hash"] == facts.manifest.hash == manifest.lineage["facts_hash"]
        assert run.data.tags["code"] == manifest.lineage["code"]
        assert json.loads(Path(client.download_artifacts(model.run_id, "lineage.json")).read_text()) == manifest.lineage
        assert client.get_experiment(run.info.experiment_id).name == model.name
        version = client.get_model_version(model.name, model.version)
        assert "Made from facts" in version.description
        assert "On the test window" in version.description


def test_runs_of_scores_hold_metrics_baselines_plots_and_data(mlruns: Path) -> None:
    client = open_registry(mlruns)
    churn, tier = resolve(mlruns, "churn"), resolve(mlruns, "tier")

    metrics = client.get_run(churn.run_id).data.metrics
    assert {"auc", "brier", "calibration_error", "recency.auc", "rfm_logistic.auc", "bgnbd.auc"} <= set(metrics)
    assert {"qwk", "persistence.qwk"} <= set(client.get_run(tier.run_id).data.metrics)
    plots = {artifact.path for artifact in client.list_artifacts(churn.run_id, "plots")}
    assert plots == {"plots/reliability.png", "plots/importance.png"}
    for path in plots:
        assert Path(client.download_artifacts(churn.run_id, path)).read_bytes().startswith(b"\x89PNG")
    for model in (churn, tier):
        (data,) = client.get_run(model.run_id).inputs.dataset_inputs
        assert data.dataset.name == "training window"
        assert f"[-1, {len(CONTRACT.model_features)}]" in data.dataset.schema


def test_recorded_figures_are_the_metrics_and_baselines_of_the_run(mlruns: Path) -> None:
    model = resolve(mlruns, "churn")
    metrics, baselines = recorded_figures(mlruns, model)

    whole = open_registry(mlruns).get_run(model.run_id).data.metrics
    assert set(baselines) == {"recency", "rfm_logistic", "bgnbd"}
    assert metrics | {f"{b}.{name}": value for b, figures in baselines.items() for name, value in figures.items()} == whole
    assert not any("." in name for name in metrics)


def test_a_recorded_model_answers_as_before_it_was_recorded(registry: Path, rows: FeatureRows) -> None:
    predictor = load(resolve(registry, "churn", CHALLENGER))
    assert isinstance(predictor, ChurnPredictor)
    registered = record(
        registry, Trained(predictor, {"auc": 0.5}, {"naive": {"auc": 0.4}}, {"engine": "lightgbm"}), alias="tried"
    )

    again = load(registered)
    assert isinstance(again, ChurnPredictor)
    assert again.score(inputs(rows)).tobytes() == predictor.score(inputs(rows)).tobytes()
    assert (registered.label, registered.aliases) == ("churn@3", ("tried",))
    assert recorded_figures(registry, registered) == ({"auc": 0.5}, {"naive": {"auc": 0.4}})
    assert resolve(registry, "churn").label == "churn@1"


def test_what_has_not_changed_is_kept_with_its_evidence(mlruns: Path, snapshots: Snapshots, facts: Facts) -> None:
    every = [step for step in steps(snapshots) if not step.in_need]

    kept = unchanged(every, mlruns, facts)

    assert [outcome.step for outcome in kept] == every
    assert [o.registered.label for o in kept if o.registered] == [
        "churn@1",
        "churn@2",
        "tier@1",
        "value@1",
        "value@2",
        "segments@1",
        "recommender@1",
    ]
    assert all(outcome.trained is None and not outcome.refused for outcome in kept)
    assert kept[0].metrics["auc"] > 0.5
    assert "persistence" in kept[2].baselines


def test_other_facts_keep_nothing(mlruns: Path, snapshots: Snapshots) -> None:
    assert unchanged(steps(snapshots), mlruns, shop([Line("ann", 0.0)])) == []


@pytest.mark.parametrize("change", ["code", "contract"])
def test_a_model_of_other_code_or_features_is_not_kept(registry: Path, snapshots: Snapshots, facts: Facts, change: str) -> None:
    predictor = load(resolve(registry, "tier"))
    manifest = predictor.manifest
    other = (
        replace(manifest, lineage=manifest.lineage | {"code": "0" * 64})
        if change == "code"
        else replace(manifest, contract_hash="0" * 64)
    )
    record(registry, Trained(replace(predictor, manifest=other), {}, {}, {}), alias=CHAMPION)

    kept = [outcome.step.model for outcome in unchanged(steps(snapshots), registry, facts)]
    assert kept == ["churn", "churn", "value", "value", "segments", "recommender"]


def test_a_broken_version_is_not_kept_whoever_is_champion(registry: Path, snapshots: Snapshots, facts: Facts) -> None:
    open_registry(registry).set_registered_model_alias("churn", CHAMPION, "2")
    (resolve(registry, "tier").bundle / "golden.npz").unlink()

    kept = unchanged(steps(snapshots), registry, facts)

    assert [(o.step.model, o.step.engine) for o in kept] == [
        ("churn", "xgboost"),
        ("churn", "lightgbm"),
        ("value", "xgboost"),
        ("value", "lightgbm"),
        ("segments", "xgboost"),
        ("recommender", "xgboost"),
    ]
    assert [outcome.champion for outcome in kept] == [False, True, True, False, True, True]
    assert unchanged(steps(snapshots), registry.parent / "empty", facts) == []


def test_nothing_pickled_stands_in_the_registry(mlruns: Path) -> None:
    files = [path for path in (mlruns / "artifacts").rglob("*") if path.is_file()]

    assert len(files) > 20
    assert not [path for path in files if path.suffix in {".pkl", ".pickle", ".joblib", ".cloudpickle", ".ubj", ".bin"}]
    assert not [path for path in files if path.read_bytes()[:2] in {b"\x80\x04", b"\x80\x05"}]
    assert {path.name for path in mlruns.iterdir()} == {"artifacts", DATABASE}  # the record of promotions is in the database


def test_reading_the_registry_loads_no_tracker_and_no_trainer(mlruns: Path) -> None:
    unwanted = {"mlflow", "lightgbm", "implicit", "duckdb", "ibis", "matplotlib"}  # XGBoost itself loads pandas if it is there
    script = (
        "import sys; from pathlib import Path; from training.registry import load, resolve; "
        f"models = [load(resolve(Path({str(mlruns)!r}), name)) for name in ('churn', 'tier', 'segments', 'recommender')]; "
        f"print(sorted({unwanted} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


def test_a_new_version_has_no_alias_until_the_gate_gives_it_one(registry: Path) -> None:
    predictor = load(resolve(registry, "tier"))

    registered = record(registry, Trained(predictor, {"qwk": 0.5}, {}, {}))

    assert (registered.label, registered.aliases) == ("tier@2", ())
    assert version_of(registry, "tier", "2") == registered
    assert resolve(registry, "tier").label == "tier@1"


def test_the_same_model_recorded_twice_has_the_same_hash(registry: Path) -> None:
    predictor = load(resolve(registry, "churn"))
    hashes = {record(registry, Trained(predictor, {}, {}, {})).sha256 for _ in range(2)}

    assert hashes == {resolve(registry, "churn").sha256}


def test_the_gates_verdict_stands_on_the_run_and_on_the_version(mlruns: Path) -> None:
    client = open_registry(mlruns)
    for model in registered_models(mlruns):
        run = client.get_run(model.run_id)
        said = json.loads(Path(client.download_artifacts(model.run_id, "verdict.json")).read_text())
        version = client.get_model_version(model.name, model.version)
        assert run.data.tags["gate"] == said["code"]
        assert version.tags["gate"].startswith("promoted: " if said["promote"] else "kept: ")
        assert ("let through" if said["promote"] else f"refused: {said['code']}") in version.description
        assert said["promote"] is (not said["reasons"])


def test_a_registered_model_carries_its_label() -> None:
    assert RegisteredModel("churn", "12", (), Path("bundle"), "", "").label == "churn@12"
