"""What a publish of tags leaves on disk: the member index, and the features of that moment by position."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.build import FeatureRows
from features.member_index import MemberIndex
from features.tagging import feature_columns

INDEX = "tag_index.parquet"
IDENTITY = b"identity"


def published_folder(data_dir: Path) -> Path:
    """Where publishing keeps what the next one builds on."""
    return data_dir / "published"


def new_index() -> MemberIndex:
    """An index without members."""
    return MemberIndex(uuid.uuid4().hex[:16], np.zeros(0, dtype=np.str_))


def load_index(folder: Path) -> MemberIndex:
    """The index of the last publish; a new one if there was none."""
    path = folder / INDEX
    if not path.exists():
        return new_index()
    table = pq.read_table(path)
    identity = (table.schema.metadata or {})[IDENTITY].decode()
    return MemberIndex(identity, np.asarray(table["member_id"].to_pylist(), dtype=np.str_))


def save_index(folder: Path, index: MemberIndex) -> None:
    """Keep the index for the next publish."""
    table = pa.table({"member_id": index.ids.tolist()}).replace_schema_metadata({IDENTITY: index.identity.encode()})
    _replace(folder / INDEX, table)


def save_features(folder: Path, rows: FeatureRows, index: MemberIndex, *, generation: str) -> None:
    """Keep all features by position, so that audiences can compare them without building them again."""
    columns = feature_columns(rows, index, rows.contract.feature_names)
    _replace(_features_path(folder, generation), pa.table({name: pa.array(values) for name, values in columns.items()}))


def load_features(folder: Path, names: Sequence[str], *, generation: str) -> dict[str, NDArray[np.float32]] | None:
    """Some features by position, of a generation of tags; None if they are not kept here."""
    path = _features_path(folder, generation)
    if not path.exists():
        return None
    table = pq.read_table(path, columns=list(names))
    return {name: table[name].combine_chunks().to_numpy(zero_copy_only=False) for name in names}


def forget_features(folder: Path, *, but: str) -> None:
    """Delete the features of all generations but one."""
    for path in folder.glob("tag_features-*.parquet"):
        if path != _features_path(folder, but):
            path.unlink()


def _features_path(folder: Path, generation: str) -> Path:
    return folder / f"tag_features-{generation}.parquet"


def _replace(path: Path, table: pa.Table) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.writing")
    pq.write_table(table, draft, compression="zstd")
    draft.replace(path)
