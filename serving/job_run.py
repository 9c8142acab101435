"""One bulk job from what was asked to its files, some members at a time; killed anywhere and run again, it goes on.

Everything that could differ between two runs is decided once and written down in the plan: the moment, the version of each
model, the ids and their order. A part counts once it is whole; only what no part holds yet is worked out.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from features.private_files import private_folder, write_private
from serving.bulk_answers import BulkAnswers
from serving.job_folder import Cancelled, Job, sha256_of
from serving.job_members import Everybody, read_members, write_members
from serving.job_plan import Plan
from serving.job_tables import Cell, TableColumn, by_item, cells_of


class Format(Protocol):
    """How rows become a file, and files of parts one file."""

    def part(self, path: Path, columns: Sequence[TableColumn], rows: Iterator[tuple[Cell, ...]]) -> int:
        """Write a part; returns its rows."""
        ...

    def whole(self, path: Path, columns: Sequence[TableColumn], parts: Sequence[Path]) -> None:
        """Write the parts one after another, with what a file of its kind begins and ends with."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What a run works with.

    Attributes
    ----------
    answers
        Opens the models that a plan fixes, or the champions of now if there is none, and the store.
    writing
        The format of a job's files, by its name.
    """

    clock: Callable[[], datetime]
    answers: Callable[[Plan | None], AbstractContextManager[BulkAnswers]]
    known: Everybody
    writing: Callable[[str], Format]


class JobRun:
    """One job, from wherever it was left."""

    def __init__(self, job: Job, means: Means) -> None:
        self._job, self._means = job, means
        self._asked: dict[str, Any] = job.begin()["asked"]
        self._format = means.writing(self._asked["format"])

    def run(self) -> None:
        """Plan, work out the parts that are missing, and put the files together.

        Raises
        ------
        Cancelled
            Nobody wants it any longer; what is there stays.
        """
        plan = self._planned()
        with self._means.answers(plan) as answers:
            plan = plan or self._plan(answers)
            members = read_members(self._job)
            private_folder(self._job.parts)
            for number in range(-(-plan.members // plan.part)):
                if self._job.cancelled:
                    raise Cancelled
                if not self._stats(number).exists():
                    ids = members[number * plan.part : (number + 1) * plan.part]
                    self._part(number, ids, plan, answers)
        self._finish(plan)

    def _planned(self) -> Plan | None:
        content = self._job.read("plan")
        return Plan(**content | {"tiers": tuple(content["tiers"])}) if content is not None else None

    def _plan(self, answers: BulkAnswers) -> Plan:
        refused = write_members(self._job, self._asked["members"], self._means.known)
        plan = Plan(
            moment=self._means.clock().isoformat(),
            members=len(read_members(self._job)),
            refused_lines=refused,
            models=dict(answers.versions),
            sha256=dict(answers.hashes),
            tiers=answers.tiers,
            part=self._job.begin()["part"],
            list_order=answers.list_order if "lists" in self._asked["outputs"] else None,
        )
        self._job.write("plan", asdict(plan))
        return plan

    def _part(self, number: int, ids: list[str], plan: Plan, answers: BulkAnswers) -> None:
        moment = datetime.fromisoformat(plan.moment)
        found: dict[str, Any] = {"members": len(ids), "rows": {}, "counts": {}}
        for output in self._asked["outputs"]:
            counts: Counter[str] = Counter()
            if output == "scores":
                rows = _counted(answers.scores(ids, moment=moment), counts)
            else:
                rows = by_item(_counted(answers.lists(ids, k=self._asked["k"], moment=moment), counts))
            columns = plan.columns(output)
            flat = map(cells_of(columns), rows)
            found["rows"][output] = self._format.part(self._path(output, number), columns, flat)
            found["counts"][output] = dict(counts)
        write_private(self._stats(number), json.dumps(found).encode())

    def _finish(self, plan: Plan) -> None:
        numbers = range(-(-plan.members // plan.part))
        stats = [json.loads(self._stats(number).read_bytes()) for number in numbers]
        files = []
        for output in self._asked["outputs"]:
            path = self._job.folder / f"{output}.{self._asked['format']}"
            self._format.whole(path, plan.columns(output), [self._path(output, number) for number in numbers])
            rows = sum(part["rows"][output] for part in stats)
            files.append({"name": path.name, "rows": rows, "bytes": path.stat().st_size, "sha256": sha256_of(path)})
        first = self._asked["outputs"][0]
        counts: Counter[str] = Counter()
        for part in stats:
            counts.update(part["counts"][first])
        self._job.write("manifest", {**asdict(plan), "counts": dict(sorted(counts.items())), "files": files})
        shutil.rmtree(self._job.parts, ignore_errors=True)
        for draft in self._job.folder.glob(".*"):  # what a killed run left half written
            draft.unlink()

    def _stats(self, number: int) -> Path:
        return self._job.parts / f"{number:06d}.json"

    def _path(self, output: str, number: int) -> Path:
        return self._job.parts / f"{output}-{number:06d}.{self._asked['format']}"


def _counted(rows: Iterator[dict[str, Any]], counts: Counter[str]) -> Iterator[dict[str, Any]]:
    for row in rows:
        counts[row["status"]] += 1
        yield row
