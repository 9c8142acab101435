"""The folder a trained model is kept in: files in native text, JSON and npz, each hashed, and golden rows to check it by.

    manifest.json    name, kind, contract, features, definition, lineage, and the sha256 of every other file
    model.json       XGBoost, or model.txt for LightGBM, or factors.npz for a recommender
    golden.npz       inputs and the scores they gave when the model was made

Nothing here is pickled, and nothing is read before its hash is checked.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import BundleRefused

MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
FORMAT = 1
GOLDEN_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """What a bundle is.

    Attributes
    ----------
    kind
        How to load it: "churn", "tier", "segments" or "recommender".
    engine
        The library that made the model.
    contract_hash, features
        What the rows must be: all columns, in this order, of that contract.
    definition
        What the answer means, for example the horizon in days.
    parameters
        Numbers the predictor needs beside the model files, for example a calibrator.
    lineage
        Where it came from: facts, code, settings, seed.
    """

    name: str
    kind: str
    engine: str
    contract_hash: str
    features: tuple[str, ...]
    definition: dict[str, Any]
    parameters: dict[str, Any]
    lineage: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT


def write_bundle(
    folder: Path, manifest: BundleManifest, files: Mapping[str, bytes], golden: Mapping[str, NDArray[np.generic]]
) -> str:
    """Write a bundle into a new folder; returns the sha256 of its manifest, which stands for all of it."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    np.savez(folder / GOLDEN, allow_pickle=False, **golden)
    hashes = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    whole = asdict(manifest) | {"files": hashes}
    (folder / MANIFEST).write_text(json.dumps(whole, indent=2, sort_keys=True))
    return sha256_of(folder / MANIFEST)


def read_manifest(folder: Path, *, sha256: str | None = None) -> BundleManifest:
    """The manifest of a bundle, after every file's hash was found right.

    Parameters
    ----------
    sha256
        Hash the manifest itself must have, from the registry; None skips that.

    Raises
    ------
    BundleRefused
        A file is missing, was altered, or stands in the folder without being listed.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleRefused(f"{folder.name} holds no {MANIFEST}", remedy=_RETRAIN)
    if sha256 is not None and sha256_of(path) != sha256:
        raise BundleRefused(f"{MANIFEST} is not the one that was registered", remedy=_RETRAIN)
    try:
        content = json.loads(path.read_text())
        manifest = BundleManifest(**content | {"features": tuple(content["features"])})
    except (ValueError, TypeError, KeyError) as error:
        raise BundleRefused(f"{MANIFEST} cannot be read", remedy=_RETRAIN) from error
    if manifest.format != FORMAT:
        raise BundleRefused(f"bundle format {manifest.format} is not the {FORMAT} read here", remedy=_RETRAIN)
    present = {entry.name for entry in folder.iterdir()} - {MANIFEST}
    if present != set(manifest.files):
        odd = ", ".join(sorted(present ^ set(manifest.files)))
        raise BundleRefused(f"files missing from the bundle or not listed in it: {odd}", remedy=_RETRAIN)
    for name, expected in manifest.files.items():
        if sha256_of(folder / name) != expected:
            raise BundleRefused(f"{name} was altered after the bundle was made", remedy=_RETRAIN)
    return manifest


_RETRAIN = 'train it again ("rapport train"), or point the alias at another version'


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of an npz file; pickled ones are refused."""
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def check_golden(name: str, expected: NDArray[np.generic], found: NDArray[np.generic]) -> None:
    """Raise BundleRefused unless the golden rows give the scores they gave when the model was made, to 1e-6."""
    same = expected.shape == found.shape and np.allclose(
        found.astype(np.float64), expected.astype(np.float64), rtol=0, atol=GOLDEN_TOLERANCE, equal_nan=True
    )
    if not same:
        raise BundleRefused(
            f"{name}: golden rows do not give the scores they gave when the model was made",
            remedy="serve with the library versions it was trained with, or train it again",
        )


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
