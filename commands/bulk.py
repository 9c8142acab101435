"""The process behind bulk jobs: it writes CSV and Parquet and may load what a serving worker must not."""

from __future__ import annotations

import csv
import itertools
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.errors import ConfigurationError, MissingDependency
from features.member_store import MemberStore
from features.settings import Settings
from serving.bulk_answers import BulkAnswers, models_for
from serving.job_folder import JobFolders
from serving.job_members import Everybody
from serving.job_plan import Plan
from serving.job_run import Format, JobRun, Means
from serving.job_runner import work_through
from serving.job_tables import Cell, TableColumn, harmless

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 10_000
NICENESS = 10
"""Answers to requests come first."""
NAMES = {"text": "string", "number": "float64", "integer": "int64"}


def run_jobs(settings: Settings, *, until_eof: bool) -> int:
    """Work through the jobs of the data folder; returns how many ended.

    Parameters
    ----------
    until_eof
        End at once when standard input does: the server that started this process is gone, and its jobs can wait.
    """
    if until_eof:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        os.nice(NICENESS)
    if not settings.redis_url:
        raise ConfigurationError("REDIS_URL is not set", remedy='set it: jobs read the store that "rapport serve" uses')
    known = Everybody(lambda text: audience(settings, text), lambda: everyone(settings))
    means = Means(settings.clock, lambda plan: opened(settings, plan), known, format_of)
    kept = timedelta(hours=settings.jobs_kept_h)
    return work_through(JobFolders(settings.data_dir), lambda job: JobRun(job, means).run(), kept=kept)


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(75)  # a job may be ended anywhere: it goes on with the part it was at


@contextmanager
def opened(settings: Settings, plan: Plan | None) -> Iterator[BulkAnswers]:
    """Models and store for one job."""
    answers = BulkAnswers(settings, models_for(settings.mlruns_dir, plan))
    try:
        yield answers
    finally:
        answers.close()


def audience(settings: Settings, text: str) -> list[str]:
    """Ids of an audience, features compared too; members who refused marketing are left out."""
    from commands.audience import AudienceJob

    try:
        return AudienceJob(settings, as_json=True).members(text)
    except ImportError as error:
        raise MissingDependency(
            "an audience that compares features needs more than this installation has", remedy="install rapport[train]"
        ) from error


def everyone(settings: Settings) -> list[str]:
    """Every member with published features, by id."""
    store = MemberStore(settings.redis_url, prefix=settings.key_prefix)
    try:
        found = list(store.stored_members())
    finally:
        store.close()
    return [member.decode() for member in np.unique(np.concatenate(found)).tolist()] if found else []


def format_of(name: str) -> Format:
    """The format of that name; MissingDependency if this installation cannot write it."""
    return Csv() if name == "csv" else Parquet()


class Csv:
    """CSV in UTF-8 with a heading, no cell of which a spreadsheet would run."""

    def part(self, path: Path, columns: Sequence[TableColumn], rows: Iterator[tuple[Cell, ...]]) -> int:
        """Write a part, without the heading; returns its rows."""
        count = 0
        with _private(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            for row in rows:
                count += 1
                writer.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in row])
        return count

    def whole(self, path: Path, columns: Sequence[TableColumn], parts: Sequence[Path]) -> None:
        """The heading, and the parts one after another."""
        with _private(path) as draft, draft.open("wb") as file:
            file.write((",".join(column.name for column in columns) + "\n").encode())
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, file)


class Parquet:
    """Parquet, typed: texts, doubles and int64."""

    def __init__(self) -> None:
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise MissingDependency("pyarrow is not installed", remedy='ask for "csv", or install rapport[train]') from error
        self._pa: Any = pyarrow
        self._pq: Any = pyarrow.parquet

    def part(self, path: Path, columns: Sequence[TableColumn], rows: Iterator[tuple[Cell, ...]]) -> int:
        """Write a part; returns its rows."""
        schema, count = self._schema(columns), 0
        with _private(path) as draft, self._pq.ParquetWriter(draft, schema, compression="zstd") as writer:
            while block := list(itertools.islice(rows, ROWS_AT_ONCE)):
                arrays = [
                    self._pa.array(cells, kind) for cells, kind in zip(zip(*block, strict=True), schema.types, strict=True)
                ]
                writer.write_table(self._pa.Table.from_arrays(arrays, schema=schema))
                count += len(block)
        return count

    def whole(self, path: Path, columns: Sequence[TableColumn], parts: Sequence[Path]) -> None:
        """The row groups of the parts one after another."""
        with _private(path) as draft, self._pq.ParquetWriter(draft, self._schema(columns), compression="zstd") as writer:
            for part in parts:
                with self._pq.ParquetFile(part) as source:
                    for group in range(source.num_row_groups):
                        writer.write_table(source.read_row_group(group))

    def _schema(self, columns: Sequence[TableColumn]) -> pa.Schema:
        return self._pa.schema([(column.name, getattr(self._pa, NAMES[column.kind])()) for column in columns])


@contextmanager
def _private(path: Path) -> Iterator[Path]:
    """A draft to write, for the owner alone, that stands under the name once the block has ended well."""
    draft = path.with_name(f".{path.name}.writing")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    yield draft
    draft.replace(path)
