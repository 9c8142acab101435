"""The registry as serving sees it: which bundle an alias points to. Reads MLflow's own database, without importing MLflow.

MLflow stays the one place where versions and aliases are kept: an alias moved in its pages or by its client is seen here.
The handful of columns read have carried these names since MLflow 2.3; a test holds this module against MLflow's client.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import BundleRefused, ContractMismatch, ModelMissing, RegistryUnavailable

if TYPE_CHECKING:
    from training.predictors import AnyPredictor

DATABASE = "mlflow.db"
ARTIFACTS = "artifacts"
BUNDLE = "bundle"
HASH_TAG = "bundle_sha256"
CHAMPION, CHALLENGER = "champion", "challenger"
WAIT_S = 5.0
_INSIDE = re.compile(rf"/({ARTIFACTS}/[^/]+/models/[^/]+/artifacts)/?$")


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One registered version.

    Attributes
    ----------
    aliases
        Names that point to it now.
    bundle
        Folder of the bundle's files.
    sha256
        Hash of the bundle's manifest, as registered.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    bundle: Path
    sha256: str
    run_id: str

    @property
    def label(self) -> str:
        """Name and version, as answers carry them: churn@3."""
        return f"{self.name}@{self.version}"


def registered_models(mlruns: Path) -> list[RegisteredModel]:
    """Every version in the registry, by name and version; empty where nothing was ever trained."""
    if not (mlruns / DATABASE).exists():
        return []
    with _database(mlruns) as database:
        rows = database.execute(
            """
            SELECT v.name, v.version, v.storage_location, v.run_id, t.value,
                   (SELECT group_concat(a.alias) FROM registered_model_aliases a
                    WHERE a.name = v.name AND a.version = v.version)
            FROM model_versions v
            JOIN model_version_tags t ON t.name = v.name AND t.version = v.version AND t.key = ?
            WHERE v.current_stage != 'Deleted_Internal'
            ORDER BY v.name, v.version
            """,
            [HASH_TAG],
        ).fetchall()
    return [
        RegisteredModel(
            name=name,
            version=str(version),
            aliases=tuple(sorted(aliases.split(","))) if aliases else (),
            bundle=_inside(mlruns, name, location),
            sha256=sha256,
            run_id=run_id or "",
        )
        for name, version, location, run_id, sha256, aliases in rows
    ]


def resolve(mlruns: Path, name: str, alias: str = CHAMPION) -> RegisteredModel:
    """The version an alias points to.

    Raises
    ------
    ModelMissing
        Nothing is registered under that name and alias, or what is was deleted.
    BundleRefused
        The alias points to a version that Rapport did not register, so that nothing vouches for its files.
    RegistryUnavailable
        Another program holds the database.
    """
    for model in registered_models(mlruns):
        if model.name == name and alias in model.aliases:
            return model
    _explain(mlruns, name, alias)
    raise ModelMissing(f"there is no {alias} of {name} in {mlruns}", remedy='train one: "rapport train"')


def version_of(mlruns: Path, name: str, version: str) -> RegisteredModel:
    """One registered version by its number.

    Raises
    ------
    ModelMissing
        It is not registered by Rapport, or was deleted.
    """
    for model in registered_models(mlruns):
        if (model.name, model.version) == (name, version):
            return model
    raise ModelMissing(f"{name}@{version} is not in {mlruns}", remedy='see which there are: "rapport models"')


def run_file(mlruns: Path, model: RegisteredModel, name: str) -> Path:
    """Where a file of the run that made a version is kept, whether or not it is there."""
    return mlruns / ARTIFACTS / model.name / model.run_id / ARTIFACTS / name


def recorded_figures(mlruns: Path, model: RegisteredModel) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Metrics of a registered version and of its baselines, as they were recorded when it was trained; the newest period's."""
    with _database(mlruns) as database:
        rows = database.execute("SELECT key, value, is_nan FROM latest_metrics WHERE run_uuid = ?", [model.run_id]).fetchall()
    metrics: dict[str, float] = {}
    baselines: dict[str, dict[str, float]] = {}
    for name, value, is_nan in rows:
        baseline, _, figure = name.rpartition(".")
        (baselines.setdefault(baseline, {}) if baseline else metrics)[figure] = float("nan") if is_nan else value
    return metrics, baselines


def load(model: RegisteredModel) -> AnyPredictor:
    """The predictor of a registered version, after its hashes and golden rows were found right.

    Raises
    ------
    BundleRefused
        A file was altered, or the golden rows disagree.
    """
    from training.predictors import load_bundle  # the tree libraries take seconds: listing versions does without

    try:
        return load_bundle(model.bundle, sha256=model.sha256)
    except BundleRefused as error:
        raise BundleRefused(f"{model.label}: {error}", remedy=error.remedy) from error


def require_contract(predictor: AnyPredictor) -> None:
    """Raise ContractMismatch unless a model was trained on the features of this process, or sees none."""
    from features.contract import CONTRACT_HASH  # a rollback does without the declarations of all features

    manifest = predictor.manifest
    if manifest.features and manifest.contract_hash != CONTRACT_HASH:
        raise ContractMismatch(
            f"{manifest.name} was trained on contract {manifest.contract_hash[:8]}…, this process has {CONTRACT_HASH[:8]}…",
            remedy='train again ("rapport train"), or use the version it was trained with',
        )


def _explain(mlruns: Path, name: str, alias: str) -> None:
    """Raise what fits where an alias is there and yet leads to no version that can be served."""
    if not (mlruns / DATABASE).exists():
        return
    with _database(mlruns) as database:
        found = database.execute(
            """
            SELECT a.version, v.current_stage FROM registered_model_aliases a
            LEFT JOIN model_versions v ON v.name = a.name AND v.version = a.version
            WHERE a.name = ? AND a.alias = ?
            """,
            [name, alias],
        ).fetchone()
    if found is None:
        return
    version, stage = found
    if stage is None or stage == "Deleted_Internal":
        raise ModelMissing(
            f"the {alias} of {name} is version {version}, which was deleted",
            remedy=f'go back ("rapport models rollback {name}"), or promote another version',
        )
    raise BundleRefused(
        f"{name}@{version} carries no {HASH_TAG}: nothing vouches for its files",
        remedy="register it with rapport train, and let the gate promote it",
    )


def _inside(mlruns: Path, name: str, location: str | None) -> Path:
    """Where the files are now: the part of the recorded location below mlruns, so that the folder may have moved."""
    found = _INSIDE.search(location or "")
    if found is None:
        raise BundleRefused(f"{name}: its files are not kept under {mlruns}", remedy="register it with rapport train")
    return mlruns / found.group(1) / ARTIFACTS / BUNDLE


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Let what SQLite says of a database that is locked or broken be RegistryUnavailable."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        remedy = "wait for the other program (training, MLflow's page) to end, and try again"
        if not isinstance(error, sqlite3.OperationalError):
            remedy = "restore it from a copy"
        raise RegistryUnavailable(f"the registry {path} cannot be used: {error}", remedy=remedy) from error


@contextmanager
def _database(mlruns: Path) -> Iterator[sqlite3.Connection]:
    path = mlruns / DATABASE
    with told(path), closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=WAIT_S)) as connection:
        yield connection
