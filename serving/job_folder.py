"""Bulk jobs on disk: each a folder below <data>/jobs whose files say how far it has come, so that a killed run can go on.

    <job_id>/job.json        what was asked for; written with the folder
    <job_id>/members.csv     the file that was sent, if one was
    <job_id>/members.txt     ids to answer for, a line each
    <job_id>/plan.json       moment, models and columns for all of the job; from here on it is begun
    <job_id>/parts/          answers of some members each; a part counts once its .json stands
    <job_id>/manifest.json   files, counts and hashes: it is done
    <job_id>/failed.json     why it never will be; with the code "cancelled" if somebody wanted it no longer
    uploads/<file_id>.csv    files that were sent and wait for a job

Every file is put in place whole. A job's id comes from its Idempotency-Key, if it has one, so that asked twice it is one.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from features.private_files import private_folder, write_private
from serving.job_plan import PART
from serving.schemas_jobs import JOB_ID

CANCELLED = "cancelled"
_ID = re.compile(JOB_ID)


@dataclass(frozen=True, slots=True)
class Job:
    """One job's folder."""

    folder: Path

    @property
    def job_id(self) -> str:
        """Its id, which is the folder's name."""
        return self.folder.name

    @property
    def parts(self) -> Path:
        """Where its parts are kept."""
        return self.folder / "parts"

    def read(self, name: str) -> dict[str, Any] | None:
        """One of its JSON files; None if it is not there."""
        try:
            content: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_bytes())
        except FileNotFoundError:
            return None
        return content

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Put one of its JSON files in place."""
        write_private(self.folder / f"{name}.json", json.dumps(content, allow_nan=False).encode())

    def begin(self) -> dict[str, Any]:
        """What was asked for."""
        return self.read("job") or {}

    @property
    def ended(self) -> bool:
        """Whether it is done or has failed."""
        return (self.folder / "manifest.json").exists() or (self.folder / "failed.json").exists()

    @property
    def cancelled(self) -> bool:
        """Whether somebody wanted it no longer before it was done."""
        failure = self.read("failed")
        return failure is not None and failure["code"] == CANCELLED and not (self.folder / "manifest.json").exists()

    def clear(self) -> None:
        """Remove whom it was for, and the parts that are done; what was asked for stays."""
        for name in ("members.csv", "members.txt"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.parts, ignore_errors=True)

    def parts_done(self) -> int:
        """How many parts are whole."""
        return sum(1 for _ in self.parts.glob("*.json")) if self.parts.is_dir() else 0


class JobFolders:
    """All jobs of one data folder."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir / "jobs"

    @property
    def lock(self) -> Path:
        """The lock that the one runner of this data folder holds."""
        return private_folder(self._root) / "runner.lock"

    def create(self, asked: dict[str, Any], *, key: str | None, at: datetime, part: int = PART) -> tuple[Job, bool]:
        """A job for a request, and whether it is the same request as before; the folder is there whole or not at all.

        Raises
        ------
        KeyUsedBefore
            The key was used for another request.
        FileNotFoundError
            The file it names was not sent, or is gone.
        """
        job_id = hashlib.sha256(key.encode()).hexdigest()[:32] if key is not None else secrets.token_hex(16)
        job = Job(private_folder(self._root) / job_id)
        if not job.folder.exists():
            draft = private_folder(self._root / f".{job_id}.{secrets.token_hex(4)}")
            try:
                Job(draft).write("job", {"asked": asked, "created_at": at.isoformat(), "part": part})
                if asked["members"].get("file"):
                    os.link(self._root / "uploads" / f"{asked['members']['file']}.csv", draft / "members.csv")
                with suppress(OSError):  # somebody was faster
                    draft.rename(job.folder)
                    return job, True
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        if job.begin().get("asked") != asked:
            raise KeyUsedBefore
        return job, False

    def find(self, job_id: str) -> Job | None:
        """The job of that id; None if there is none, or the text is no id."""
        job = Job(self._root / job_id) if _ID.fullmatch(job_id) else None
        return job if job is not None and (job.folder / "job.json").exists() else None

    def all(self) -> Iterator[Job]:
        """Every job, the oldest first."""
        found = (self.find(path.name) for path in self._root.iterdir()) if self._root.is_dir() else ()
        jobs = [job for job in found if job is not None]
        yield from sorted(jobs, key=lambda job: (job.begin()["created_at"], job.job_id))

    def waiting(self) -> list[Job]:
        """Jobs that have not ended, the oldest first."""
        return [job for job in self.all() if not job.ended]

    def cancel(self, job: Job) -> None:
        """Let a job that has not ended end now, and remove one that has. Whoever works on it sees it before the next part."""
        if job.ended:
            shutil.rmtree(job.folder, ignore_errors=True)
        else:
            job.write("failed", {"code": CANCELLED, "detail": "it was not wanted any longer"})

    def keep_upload(self, draft: Path, sha256: str) -> str:
        """Keep a file that was sent; returns its id."""
        file_id = sha256[:32]
        draft.replace(private_folder(self._root / "uploads") / f"{file_id}.csv")
        return file_id

    def upload_draft(self) -> Path:
        """Where a file is written while it arrives."""
        return private_folder(self._root / "uploads") / f".{secrets.token_hex(16)}"

    def forget(self, *, before: datetime, longest: timedelta) -> int:
        """Remove jobs that ended, and files that were sent, longer ago than that; returns how many jobs."""
        old = (before - longest).timestamp()
        gone = [job for job in self.all() if job.ended and ended_at(job) < old]
        for job in gone:
            shutil.rmtree(job.folder, ignore_errors=True)
        for path in (self._root / "uploads").glob("*") if (self._root / "uploads").is_dir() else ():
            if path.stat().st_mtime < old:
                path.unlink(missing_ok=True)
        return len(gone)


class Cancelled(Exception):
    """Nobody wants the job any longer."""


class KeyUsedBefore(Exception):
    """An Idempotency-Key came again with another request."""


def ended_at(job: Job) -> float:
    """When a job ended, as seconds since 1970: the real clock, even where the past is replayed."""
    name = "manifest.json" if (job.folder / "manifest.json").exists() else "failed.json"
    return (job.folder / name).stat().st_mtime


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
