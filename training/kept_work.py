"""Work of a training run kept on disk until the run has ended, so that a killed run goes on where it was.

    data/retrain/{key}/state.json               what the run is for, and its steps so far
    data/retrain/{key}/snapshots/17532.npz      members, aggregates and edges as of a midnight
    data/retrain/{key}/fitted/churn-xgboost/    bundle/, figures.json, evidence.npz, examples.npz, files/

The key stands for facts, contract, code and settings: whatever lies under it is what the run would make again. Each file or
folder appears whole or not at all.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features.build import FeatureRows, feature_rows
from features.contract import CONTRACT
from features.errors import BundleRefused
from features.facts import Facts
from training.artifacts import MANIFEST, read_arrays, sha256_of
from training.datasets import Examples, Snapshots
from training.evidence_files import EVIDENCE, evidence_bytes, read_evidence
from training.predictors import load_bundle
from training.trained import Trained

STATE, FIGURES, BUNDLE, EXAMPLES = "state.json", "figures.json", "bundle", "examples.npz"
WORK = ("snapshots", "fitted")
"""Parts of a run that only help to go on."""
NAMED_BYTES = ("plots", "files")
"""Parts of what was trained that are files by name."""


class KeptWork:
    """The folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def state(self) -> dict[str, Any]:
        """The run's steps so far; empty for a run that has just begun."""
        try:
            content = json.loads((self.folder / STATE).read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def write_state(self, state: dict[str, Any]) -> None:
        """Keep how far the run is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f".{STATE}"
        draft.write_text(json.dumps(state, indent=2))
        draft.replace(self.folder / STATE)

    def snapshots(self, snapshots: Snapshots, days: Sequence[int]) -> tuple[int, int]:
        """Have the snapshots of these days ready; returns how many were built and how many lay there."""
        folder = self.folder / "snapshots"
        folder.mkdir(parents=True, exist_ok=True)
        there = [day for day in days if (folder / f"{day}.npz").exists()]
        for day in there:
            snapshots.put(_read_rows(folder / f"{day}.npz", snapshots.facts, day))
        missing = sorted(set(days) - set(there))
        for day in snapshots.prepare(missing):
            _write_rows(folder / f"{day}.npz", snapshots.at(day))
        return len(missing), len(there)

    def fitted(self, model: str, engine: str) -> Trained | None:
        """What was trained for a step; None if nothing was, or it cannot be read."""
        folder = self._fitted(model, engine)
        try:
            content = json.loads((folder / FIGURES).read_text())
            examples = Examples(**read_arrays(folder / EXAMPLES)) if (folder / EXAMPLES).exists() else None
            evidence = read_evidence(folder / EVIDENCE) if (folder / EVIDENCE).exists() else None
            predictor = load_bundle(folder / BUNDLE)
        except (OSError, ValueError, TypeError, BundleRefused):
            return None
        plots, files = (_read_bytes(folder / part) for part in NAMED_BYTES)
        return Trained(predictor, **content, plots=plots, files=files, examples=examples, evidence=evidence)

    def keep_fitted(self, model: str, engine: str, trained: Trained) -> None:
        """Keep what was trained for a step."""
        folder = self._fitted(model, engine)
        draft = folder.with_name(f"{folder.name}.writing")
        for old in (draft, folder):
            shutil.rmtree(old, ignore_errors=True)
        trained.predictor.save(_made(draft) / BUNDLE)
        content = {name: dict(getattr(trained, name)) for name in ("metrics", "baselines", "parameters")}
        (draft / FIGURES).write_text(json.dumps(content, default=_plain))
        for part in NAMED_BYTES:
            for name, written in getattr(trained, part).items():
                (_made((draft / part / name).parent) / Path(name).name).write_bytes(written)
        if trained.evidence is not None:
            (draft / EVIDENCE).write_bytes(evidence_bytes(trained.evidence))
        if trained.examples is not None:
            examples = trained.examples
            arrays = {name: getattr(examples, name) for name in ("member_ids", "days", "matrix", "labels")}
            np.savez(draft / EXAMPLES, allow_pickle=False, **arrays)
        draft.rename(folder)

    def fitted_hash(self, model: str, engine: str) -> str:
        """The sha256 of the manifest of the bundle that was trained for a step."""
        return sha256_of(self._fitted(model, engine) / BUNDLE / MANIFEST)

    def anything_left(self) -> bool:
        """Whether work that only helps to go on lies there."""
        return any((self.folder / name).exists() for name in WORK)

    def drop_work(self) -> None:
        """Remove what only helps to go on; the state stays as the record of the run."""
        for name in WORK:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _fitted(self, model: str, engine: str) -> Path:
        return self.folder / "fitted" / f"{model}-{engine}"


def _write_rows(path: Path, rows: FeatureRows) -> None:
    draft = path.with_name(f".{path.name}")
    names = np.array(list(rows.edges), dtype=np.str_)
    values = np.array(list(rows.edges.values()), dtype=np.float64)
    with draft.open("wb") as file:
        np.savez(file, allow_pickle=False, member_ids=rows.member_ids, records=rows.records, names=names, values=values)
    draft.replace(path)


def _read_rows(path: Path, facts: Facts, day: int) -> FeatureRows:
    arrays = read_arrays(path)
    known = dict(zip(arrays["names"].tolist(), arrays["values"].tolist(), strict=True))
    moment = facts.midnight(day)
    return feature_rows(
        facts, CONTRACT, as_of=moment, member_ids=arrays["member_ids"], records=arrays["records"], scalars=known
    )


def _made(folder: Path) -> Path:
    """The folder, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _read_bytes(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path in it; none if there is no folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _plain(value: Any) -> Any:
    """Numbers of numpy as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} does not go into JSON")
