"""Features that Spark writes itself, as Parquet, without bringing them to one process; and read back for Redis."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet

from features.build import FeatureRows
from features.contract import CONTRACT, Contract
from features.errors import ConfigurationError, ContractMismatch
from features.spark import SparkFacts, literally, location, matrix_from, records_from

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS, STAMP = "rows.parquet", "stamp.json"


@dataclass(frozen=True, slots=True)
class Written:
    """What Spark wrote: the stamp beside the rows says the same."""

    out: str
    members: int
    contract_hash: str
    facts_hash: str
    as_of: str
    day: int
    time_zone: str
    edges: Mapping[str, float | None]


def write_on_spark(facts: SparkFacts, out: Path | str, *, as_of: datetime, contract: Contract = CONTRACT) -> Written:
    """Features of every member with a fact before `as_of`, written by Spark's executors.

    Under `out` two folders are made, or replaced if they are there: `rows.parquet`, one row per member, with `member_id`,
    each feature as float32 with NaN for missing, and each aggregate as `aggregate_<name>`; and `stamp.json`, which says what
    they are. The stamp is taken away first and written last, so that a run that was killed leaves none.

    Raises
    ------
    ValueError
        `as_of` has no time zone.
    """
    place = location(out)
    rows, edges = facts.rows(contract, as_of=as_of)
    _write_text("", f"{place}/{STAMP}", facts.session)
    rows.selectExpr("member_id", *_output_columns(contract)).write.mode("overwrite").parquet(f"{place}/{ROWS}")
    written = Written(
        out=str(out),
        members=facts.session.read.parquet(literally(f"{place}/{ROWS}")).count(),
        contract_hash=contract.hash,
        facts_hash=facts.manifest.hash,
        as_of=as_of.astimezone(UTC).isoformat(),
        day=facts.local_day(as_of),
        time_zone=facts.manifest.time_zone,
        edges={name: None if math.isnan(value) else value for name, value in edges.items()},
    )
    _write_text(json.dumps(as_stamp(written)), f"{place}/{STAMP}", facts.session)
    return written


def as_stamp(written: Written) -> dict[str, Any]:
    """Everything but the place, as JSON holds it."""
    names = ("members", "contract_hash", "facts_hash", "as_of", "day", "time_zone", "edges")
    return {name: getattr(written, name) for name in names}


def read_written(out: Path, *, contract: Contract = CONTRACT) -> FeatureRows:
    """What Spark wrote, from a folder this machine can see, for example to publish it. Takes the memory of all rows.

    Raises
    ------
    ConfigurationError
        The folder holds no finished output.
    ContractMismatch
        It was computed from other feature declarations.
    """
    stamp = _read_stamp(out)
    if stamp["contract_hash"] != contract.hash:
        raise ContractMismatch(f"the features in {out} are of another contract", remedy="build them again with this version")
    found = pyarrow.parquet.read_table(out / ROWS).sort_by("member_id")
    return FeatureRows(
        contract=contract,
        as_of=datetime.fromisoformat(stamp["as_of"]),
        day=stamp["day"],
        time_zone=stamp["time_zone"],
        facts_hash=stamp["facts_hash"],
        member_ids=np.asarray(found["member_id"].to_pylist(), dtype=np.str_),
        records=records_from({a.name: found[f"aggregate_{a.name}"] for a in contract.aggregates}, contract, found.num_rows),
        matrix=matrix_from([found[name] for name in contract.feature_names], found.num_rows),
        edges={name: float("nan") if value is None else value for name, value in stamp["edges"].items()},
    )


def _output_columns(contract: Contract) -> list[str]:
    features = (
        f"coalesce(CAST(`feature.{name}` AS FLOAT), CAST('NaN' AS FLOAT)) AS `{name}`" for name in contract.feature_names
    )
    return [*features, *(f"`{a.name}` AS `aggregate_{a.name}`" for a in contract.aggregates)]


def _write_text(text: str, place: str, session: SparkSession) -> None:
    session.sql("SELECT :text AS value", args={"text": text}).coalesce(1).write.mode("overwrite").text(place)


def _read_stamp(out: Path) -> dict[str, Any]:
    text = "".join(part.read_text() for part in (out / STAMP).glob("part-*")).strip()
    if not text:
        raise ConfigurationError(f"there is no finished output of Spark in {out}", remedy="run the build again")
    content: dict[str, Any] = json.loads(text)
    return content
