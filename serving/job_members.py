"""Whom a bulk job is for, as ids in a file of their own: from a list, a file that was sent, an audience, or everyone."""

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from features.private_files import write_private
from serving.job_folder import Job
from serving.job_tables import as_sent
from serving.schemas import Identifier

HEADING = "member_id"
_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)


class UnreadableFile(Exception):
    """A file that was sent is not as files of members are; the text says how, without its content."""


@dataclass(frozen=True, slots=True)
class Everybody:
    """Where ids come from that are not in the request: by an expression, or all there are."""

    audience: Callable[[str], list[str]]
    everyone: Callable[[], list[str]]


def write_members(job: Job, members: dict[str, object], known: Everybody) -> int:
    """Write the ids of a job, a line each; returns how many lines of the file hold no id."""
    refused = 0
    if members.get("ids"):
        ids: list[str] = list(members["ids"])  # type: ignore[call-overload] # the schema let only a list pass
    elif members.get("file"):
        ids, refused = ids_in(job.folder / "members.csv")
    elif members.get("audience"):
        ids = known.audience(str(members["audience"]))
    else:
        ids = known.everyone()
    write_private(job.folder / "members.txt", "".join(f"{member}\n" for member in ids).encode())
    return refused


def read_members(job: Job) -> list[str]:
    """The ids of a job, in order."""
    return (job.folder / "members.txt").read_bytes().decode().split("\n")[:-1]


def ids_in(path: Path) -> tuple[list[str], int]:
    """Ids of a file of members, and how many lines hold none.

    A file with one column may or may not have the heading member_id; one with several needs it. Blank lines do not count.

    Raises
    ------
    UnreadableFile
        It is no CSV in UTF-8, or has several columns of which none is the member's.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _ids_of(csv.reader(file, strict=True))
    except UnicodeDecodeError:
        raise UnreadableFile("the file is no text in UTF-8") from None
    except csv.Error:
        raise UnreadableFile("the file is no CSV: a quote without its end, or a field that is too long") from None


def _ids_of(lines: Iterable[list[str]]) -> tuple[list[str], int]:
    rows = (line for line in lines if any(cell.strip() for cell in line))
    first = next(iter(rows), None)
    if first is None:
        return [], 0
    names = [cell.strip().lower() for cell in first]
    if HEADING not in names and len(first) > 1:
        raise UnreadableFile(f"the file has several columns, and none is headed {HEADING}")
    place = names.index(HEADING) if HEADING in names else 0
    return _checked(_cells(rows if HEADING in names else _before(first, rows), place))


def _before(first: list[str], rows: Iterable[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rows


def _cells(rows: Iterable[list[str]], place: int) -> Iterator[str]:
    for row in rows:
        yield as_sent(row[place].strip()) if place < len(row) else ""


def _checked(cells: Iterable[str]) -> tuple[list[str], int]:
    ids, refused = [], 0
    for cell in cells:
        try:
            ids.append(_IDENTIFIER.validate_python(cell))
        except ValidationError:
            refused += 1
    return ids, refused
