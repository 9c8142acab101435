"""The nightly scores as Parquet: a file a night below `data/scores`, kept to be held against what happened later.

    data/scores/2018-01-01.parquet    member_id and a column for each value that a model gave; metadata say by which models

A file stands under its name only once it is whole. Its metadata say what it was made from: the same again is not made again.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from features.answers import AnsweringModel
from features.days import calendar_day, day_number
from training.answers import BLOCK, ScoreBlock

METADATA = b"rapport"
FORMAT = 1
_NAME = re.compile(r"^(\d{4})-(\d{2})-(\d{2})\.parquet$")


@dataclass(frozen=True, slots=True)
class ScoreKey:
    """What scores were made from: equal keys, equal scores. `day` is the local day that begins at `as_of`.

    `explained` are the models whose scores come with reasons.
    """

    as_of: str
    day: int
    facts_hash: str
    contract: str
    thresholds: tuple[tuple[str, float], ...]
    models: tuple[AnsweringModel, ...]
    explained: tuple[str, ...] = ()
    format: int = FORMAT

    def to_json(self) -> str:
        """As it stands in a file's metadata."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def hash(self) -> str:
        """One hash for all of it."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> "ScoreKey":
        """The key from a file's metadata."""
        content = json.loads(text)
        models = tuple(AnsweringModel(**model | {"labels": tuple(model["labels"])}) for model in content["models"])
        thresholds = tuple((str(name), float(value)) for name, value in content["thresholds"])
        changed = {"models": models, "thresholds": thresholds, "explained": tuple(content["explained"])}
        return cls(**content | changed)


def path_of(folder: Path, day: int) -> Path:
    """The file of the scores as of the midnight at which a local day begins."""
    return folder / f"{calendar_day(day)}.parquet"


def write_scores(
    folder: Path, key: ScoreKey, blocks: Iterable[ScoreBlock], *, progress: Callable[[int], None] = lambda done: None
) -> int:
    """Write the scores of a night; returns the number of members. Killed, the file of before stands."""
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(folder, key.day)
    draft = path.with_name(f".{path.name}.writing")
    writer: Any = None
    members = 0
    try:
        for block in blocks:
            table = _table(block)
            writer = writer or pa.parquet.ParquetWriter(draft, _with_key(table.schema, key), compression="zstd")
            writer.write_table(table.cast(writer.schema))
            members += len(block.member_ids)
            progress(len(block.member_ids))
        if writer is not None:
            writer.close()
            draft.replace(path)
    finally:
        if writer is not None:
            writer.close()
        draft.unlink(missing_ok=True)
    return members


def key_of(path: Path) -> ScoreKey | None:
    """What the scores of a file were made from; None if there is no such file, or it cannot be read."""
    try:
        metadata = pa.parquet.read_schema(path).metadata or {}
        return ScoreKey.from_json(metadata[METADATA].decode())
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException):
        return None


def read_scores(path: Path, *, block: int = BLOCK) -> Iterator[ScoreBlock]:
    """The scores of a file, some members at a time."""
    with pa.parquet.ParquetFile(path) as source:
        for batch in source.iter_batches(batch_size=block):
            columns = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in batch.schema.names}
            members = columns.pop("member_id")
            yield ScoreBlock(np.asarray(members, dtype=np.str_), columns)


def kept_days(folder: Path) -> list[int]:
    """Local days of the nights whose scores are kept, ascending."""
    found = [_NAME.match(path.name) for path in folder.glob("*.parquet")] if folder.is_dir() else []
    return sorted(day_number(_date(match)) for match in found if match)


def forget_before(folder: Path, day: int) -> int:
    """Remove the scores of nights before a local day; returns how many."""
    old = [kept for kept in kept_days(folder) if kept < day]
    for kept in old:
        path_of(folder, kept).unlink()
    return len(old)


def _date(match: "re.Match[str]") -> Any:
    return np.datetime64(match[0].removesuffix(".parquet"), "D").item()


def _table(block: ScoreBlock) -> pa.Table:
    names = ["member_id", *block.columns]
    return pa.table([pa.array(block.member_ids.tolist(), pa.string()), *map(pa.array, block.columns.values())], names=names)


def _with_key(schema: pa.Schema, key: ScoreKey) -> pa.Schema:
    return schema.with_metadata({METADATA: key.to_json().encode()})
