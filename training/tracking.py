"""Training's side of the registry: runs, evidence, registered versions and aliases in MLflow under `mlruns/`."""

import logging
import sqlite3
import tempfile
import warnings
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.data.numpy_dataset import from_numpy
from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array

from training.predictors import Recommender
from training.registry import ARTIFACTS, BUNDLE, DATABASE, HASH_TAG, RegisteredModel, registered_models
from training.trained import Trained

CODE = Path(__file__).with_name("pyfunc_model.py")
REQUIREMENTS = ("lightgbm", "mlflow", "numpy", "rapport", "scipy", "xgboost-cpu")
_LOCATED = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


def open_registry(mlruns: Path) -> mlflow.MlflowClient:
    """MLflow's client on `mlruns`, created if need be, with its recorded locations brought up to date after a move."""
    mlruns.mkdir(parents=True, exist_ok=True)
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)  # type: ignore[no-untyped-call] # MLflow has no types here
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    root = mlruns.resolve()
    uri = f"sqlite:///{root / DATABASE}"
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = mlflow.MlflowClient(uri, uri)
    client.search_experiments(max_results=1)
    _follow_move(root)
    return client


def record(mlruns: Path, trained: Trained, *, alias: str) -> RegisteredModel:
    """Log a run with all its evidence, register the bundle as a new version, and point the alias to it.

    Returns
    -------
    The registered version, read back.
    """
    client = open_registry(mlruns)
    manifest = trained.predictor.manifest
    _set_experiment(client, mlruns, manifest.name)
    with tempfile.TemporaryDirectory() as scratch, mlflow.start_run(run_name=f"{manifest.name}, {manifest.engine}"):
        folder = Path(scratch) / BUNDLE
        sha256 = trained.predictor.save(folder)
        _log_evidence(trained, Path(scratch))
        model_version = _log_model(client, trained, folder)
    client.set_model_version_tag(manifest.name, model_version, HASH_TAG, sha256)
    client.update_model_version(manifest.name, model_version, _description(trained))
    client.set_registered_model_alias(manifest.name, alias, model_version)
    return next(model for model in registered_models(mlruns) if (model.name, model.version) == (manifest.name, model_version))


def recorded_figures(mlruns: Path, model: RegisteredModel) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Metrics of a registered version and of its baselines, as they were recorded when it was trained."""
    metrics: dict[str, float] = {}
    baselines: dict[str, dict[str, float]] = {}
    for name, value in open_registry(mlruns).get_run(model.run_id).data.metrics.items():
        baseline, _, figure = name.rpartition(".")
        (baselines.setdefault(baseline, {}) if baseline else metrics)[figure] = value
    return metrics, baselines


def _set_experiment(client: mlflow.MlflowClient, mlruns: Path, name: str) -> None:
    if client.get_experiment_by_name(name) is None:
        client.create_experiment(name, artifact_location=(mlruns.resolve() / ARTIFACTS / name).as_uri())
    mlflow.set_experiment(name)


def _log_evidence(trained: Trained, scratch: Path) -> None:
    manifest = trained.predictor.manifest
    mlflow.log_params(dict(trained.parameters))
    mlflow.log_metrics({name: float(value) for name, value in trained.metrics.items()})
    mlflow.log_metrics(
        {f"{baseline}.{name}": value for baseline, figures in trained.baselines.items() for name, value in figures.items()}
    )
    mlflow.set_tags({"contract_hash": manifest.contract_hash, **{k: str(v) for k, v in manifest.lineage.items()}})
    mlflow.log_dict(manifest.lineage, "lineage.json")
    for name, content in trained.plots.items():
        path = scratch / name
        path.write_bytes(content)
        mlflow.log_artifact(str(path), "plots")
    if trained.examples is not None:
        dataset = from_numpy(trained.examples.matrix, targets=trained.examples.labels, name="training window")
        mlflow.log_input(dataset, context="training")


def _log_model(client: mlflow.MlflowClient, trained: Trained, folder: Path) -> str:
    """Log the bundle as an MLflow model and register it; the client does so silently, unlike `mlflow.register_model`."""
    manifest = trained.predictor.manifest
    if not client.search_registered_models(filter_string=f"name = '{manifest.name}'"):
        client.create_registered_model(manifest.name)
    signature, example = _signature(trained)
    with warnings.catch_warnings():
        # MLflow 3.17 asks for type hints that only fit models without named columns.
        warnings.filterwarnings("ignore", message=".*Add type hints to the `predict` method.*")
        info = mlflow.pyfunc.log_model(
            name=manifest.name,
            python_model=str(CODE),
            artifacts={BUNDLE: str(folder)},
            signature=signature,
            input_example=example,
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
        )
    version_made = client.create_model_version(manifest.name, info.model_uri, info.run_id, model_id=info.model_id)
    return str(version_made.version)


def _signature(trained: Trained) -> tuple[ModelSignature, pd.DataFrame]:
    """Column names and types of a request to the model, and a request."""
    if isinstance(trained.predictor, Recommender):
        schema = Schema([ColSpec(Array(DataType.string), "item_ids")])
        return ModelSignature(inputs=schema), pd.DataFrame({"item_ids": [trained.predictor.item_ids[:3].tolist()]})
    names = list(trained.predictor.manifest.features)
    rows = pd.DataFrame(trained.predictor.golden[1:3].astype(np.float64), columns=names)
    return ModelSignature(inputs=Schema([ColSpec(DataType.double, name) for name in names])), rows


def _description(trained: Trained) -> str:
    definition = ", ".join(f"{name} {value}" for name, value in trained.predictor.manifest.definition.items())
    figures = ", ".join(f"{name} {value:.4g}" for name, value in trained.metrics.items())
    return f"{definition}. On the test window: {figures}."


def _follow_move(root: Path) -> None:
    """MLflow records absolute locations. Where the folder now stands elsewhere, they are rewritten, all at once."""
    with closing(sqlite3.connect(root / DATABASE, timeout=30)) as database, database:
        location = database.execute(
            "SELECT artifact_location FROM experiments WHERE artifact_location LIKE ? LIMIT 1", [f"%/{ARTIFACTS}/%"]
        ).fetchone()
        recorded = location[0].rsplit(f"/{ARTIFACTS}/", 1)[0] if location else root.as_uri()
        if recorded != root.as_uri():
            for table, column in _LOCATED:
                database.execute(
                    f"UPDATE {table} SET {column} = replace({column}, ?, ?) WHERE {column} LIKE ?",  # noqa: S608 # names from _LOCATED
                    [recorded, root.as_uri(), f"{recorded}/%"],
                )
