"""Training's side of the registry: runs, evidence, registered versions and aliases in MLflow under `mlruns/`."""

import logging
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.numpy_dataset import from_numpy
from mlflow.entities import Metric
from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array
from sqlalchemy.exc import OperationalError

from features.errors import RegistryUnavailable
from training.datasets import Examples
from training.evidence_files import EVIDENCE, evidence_bytes
from training.gate.measures import figures
from training.predictors import Recommender
from training.registry import ARTIFACTS, BUNDLE, DATABASE, HASH_TAG, RegisteredModel, version_of
from training.run_page import answers, describe
from training.trained import Trained
from training.verdict import Verdict

CODE = Path(__file__).with_name("pyfunc_model.py")
EVIDENCE_FOLDER = "evidence"
MLFLOW_RUN_NOTE = MLFLOW_EXPERIMENT_NOTE = "mlflow.note.content"
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


def record(mlruns: Path, trained: Trained, *, alias: str | None = None) -> RegisteredModel:
    """Log a run with all its evidence and register the bundle as a new version. Who becomes champion, the gate says.

    Parameters
    ----------
    alias
        A name of the reader's own to point to it, never champion or challenger unless a test wants that.

    Returns
    -------
    The registered version, read back.

    Raises
    ------
    RegistryUnavailable
        Another program holds the database.
    """
    with _told(mlruns):
        client = open_registry(mlruns)
        manifest = trained.predictor.manifest
        _set_experiment(client, mlruns, manifest.name)
        with tempfile.TemporaryDirectory() as scratch, mlflow.start_run(run_name=f"{manifest.name}, {manifest.engine}"):
            folder = Path(scratch) / BUNDLE
            sha256 = trained.predictor.save(folder)
            _log_evidence(client, trained, Path(scratch))
            model_version = _log_model(client, trained, folder)
        client.set_model_version_tag(manifest.name, model_version, HASH_TAG, sha256)
        client.update_model_version(manifest.name, model_version, describe(trained))
        if alias is not None:
            client.set_registered_model_alias(manifest.name, alias, model_version)
    return version_of(mlruns, manifest.name, model_version)


def record_verdict(mlruns: Path, registered: RegisteredModel, verdict: Verdict, trained: Trained) -> None:
    """Write what the gate said where people look: on the run, and in the description of the version."""
    with _told(mlruns):
        client = open_registry(mlruns)
        client.log_dict(registered.run_id, verdict.as_dict(), "verdict.json")
        client.set_tag(registered.run_id, "gate", verdict.code)
        text = describe(trained, verdict)
        client.set_tag(registered.run_id, MLFLOW_RUN_NOTE, text)
        client.update_model_version(registered.name, registered.version, text)


@contextmanager
def _told(mlruns: Path) -> Iterator[None]:
    """Let a database that is held by another program be RegistryUnavailable."""
    try:
        yield
    except (MlflowException, OperationalError) as error:
        if "database is locked" not in str(error):
            raise
        raise RegistryUnavailable(
            f"the registry in {mlruns} is held by another program",
            remedy="wait for it to end, and run the command again",
        ) from error


def _set_experiment(client: mlflow.MlflowClient, mlruns: Path, name: str) -> None:
    if client.get_experiment_by_name(name) is None:
        location = (mlruns.resolve() / ARTIFACTS / name).as_uri()
        client.create_experiment(name, artifact_location=location, tags={MLFLOW_EXPERIMENT_NOTE: answers(name)})
    mlflow.set_experiment(name)


def _log_evidence(client: mlflow.MlflowClient, trained: Trained, scratch: Path) -> None:
    manifest = trained.predictor.manifest
    mlflow.log_params(dict(trained.parameters))
    run_id = mlflow.active_run().info.run_id  # type: ignore[union-attr] # inside start_run
    client.log_batch(run_id, metrics=_metrics(trained))
    mlflow.set_tags({"engine": manifest.engine, "contract_hash": manifest.contract_hash})
    mlflow.set_tags({name: str(value) for name, value in manifest.lineage.items()} | {MLFLOW_RUN_NOTE: describe(trained)})
    mlflow.log_dict(manifest.lineage, "lineage.json")
    files = {f"plots/{name}": content for name, content in trained.plots.items()}
    files |= {f"report/{name}": content for name, content in trained.files.items()}
    if trained.evidence is not None:
        files[f"{EVIDENCE_FOLDER}/{EVIDENCE}"] = evidence_bytes(trained.evidence)
    for name, content in files.items():
        path = scratch / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        mlflow.log_artifact(str(path), str(Path(name).parent))
    if trained.examples is not None:
        _log_dataset(trained.examples, manifest.lineage)


def _metrics(trained: Trained) -> list[Metric]:
    """Figures by name, and those of each baseline; where there is evidence, quality and calibration of every period.

    The step is the number of the period, oldest first; the figures of the model as a whole stand at the newest.
    """
    now, by_name = round(time.time() * 1000), dict[tuple[str, int], float]()
    periods = trained.evidence.judged if trained.evidence else ()
    for step, judged in enumerate(periods, start=1):
        by_name |= {(name, step): value for name, value in figures(trained.predictor.manifest.name, judged).items()}
    whole = {name: float(value) for name, value in trained.metrics.items()}
    for baseline, values in trained.baselines.items():
        whole |= {f"{baseline}.{name}": float(value) for name, value in values.items()}
    by_name |= {(name, max(1, len(periods))): value for name, value in whole.items()}
    return [Metric(name, value, now, step) for (name, step), value in by_name.items()]


def _log_dataset(examples: Examples, lineage: Mapping[str, Any]) -> None:
    """The rows it was fitted on, by name, digest, shape and the facts they were made from."""
    source = CodeDatasetSource({"facts_hash": lineage.get("facts_hash"), "facts_source": lineage.get("facts_source")})
    rows = from_numpy(examples.matrix, source=source, targets=examples.labels, name="training window")
    mlflow.log_input(rows, context="training")


def _log_model(client: mlflow.MlflowClient, trained: Trained, folder: Path) -> str:
    """Log the bundle as an MLflow model and register it; the client does so silently, unlike `mlflow.register_model`."""
    manifest = trained.predictor.manifest
    if not client.search_registered_models(filter_string=f"name = '{manifest.name}'"):
        client.create_registered_model(manifest.name, description=answers(manifest.name))
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
    """Names and types of a request to the model and of its answer, and a request."""
    if isinstance(trained.predictor, Recommender):
        schema = Schema([ColSpec(Array(DataType.string), "item_ids")])
        listed = Schema([ColSpec(Array(DataType.string))])
        return ModelSignature(inputs=schema, outputs=listed), pd.DataFrame(
            {"item_ids": [trained.predictor.item_ids[:3].tolist()]}
        )
    names = list(trained.predictor.manifest.features)
    rows = pd.DataFrame(trained.predictor.golden[1:3].astype(np.float64), columns=names)
    answer = trained.predictor.score(trained.predictor.golden[1:3])
    outputs = Schema([TensorSpec(answer.dtype, (-1, *answer.shape[1:]))])
    return ModelSignature(inputs=Schema([ColSpec(DataType.double, name) for name in names]), outputs=outputs), rows


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
