"""Changes to a copied registry that keep its hashes right, so that what refuses it is not the hash."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from training.predictors import Recommender
from training.predictors.catalogue import Catalogue
from training.registry import DATABASE, HASH_TAG, load, resolve


def put_in_place(mlruns: Path, name: str, predictor: Any) -> None:
    """Make a predictor the files of a champion."""
    model = resolve(mlruns, name)
    shutil.rmtree(model.bundle)
    sha256 = predictor.save(model.bundle)
    with closing(sqlite3.connect(mlruns / DATABASE)) as database, database:
        changed = database.execute(
            "UPDATE model_version_tags SET value = ? WHERE name = ? AND version = ? AND key = ?",
            [sha256, name, int(model.version), HASH_TAG],
        )
        assert changed.rowcount == 1


def change_champion(mlruns: Path, name: str, **manifest: Any) -> None:
    """Save a champion again with another manifest, hashed and registered as if it had been trained so."""
    model = resolve(mlruns, name)
    predictor = load(model)
    put_in_place(mlruns, name, replace(predictor, manifest=replace(predictor.manifest, **manifest)))


def shrink_catalogue(mlruns: Path, items: int) -> list[str]:
    """Save the recommender again with only its first items; returns those, most popular first."""
    recommender = load(resolve(mlruns, "recommender"))
    assert isinstance(recommender, Recommender)
    small = replace(recommender, catalogue=first_items(recommender.catalogue, items))
    put_in_place(mlruns, "recommender", small)
    return small.popular_items(items)


def first_items(catalogue: Catalogue, items: int) -> Catalogue:
    """A catalogue of nothing but its first items."""
    cut = {}
    for name, values in catalogue.arrays().items():
        by_item = values.shape[:1] == (len(catalogue),)
        cut[name] = values[:items] if by_item else values[:, :items] if name in ("store_share", "group_share") else values
    for rows, strengths in (("neighbours", "similarities"), ("leads", "effects")):
        gone = cut[rows] >= items
        cut[rows] = np.where(gone, -1, cut[rows]).astype(np.int32)
        cut[strengths] = np.where(gone, 0, cut[strengths]).astype(np.float32)
    return Catalogue.of(cut)


def forget(mlruns: Path, *names: str) -> None:
    """Take the champion alias away from models."""
    with closing(sqlite3.connect(mlruns / DATABASE)) as database, database:
        for name in names:
            database.execute("DELETE FROM registered_model_aliases WHERE name = ?", [name])
