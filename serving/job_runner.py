"""The one process that works through the bulk jobs of a data folder, and what becomes of a job that cannot be done."""

import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from features.disk import disk_full
from features.errors import AudienceUnreadable, Busy, DiskFull, RapportError, RegistryUnavailable, StoreUnavailable
from serving.audiences import unreadable
from serving.job_folder import Cancelled, Job, JobFolders
from serving.job_members import UnreadableFile

PASSING = (StoreUnavailable, RegistryUnavailable, DiskFull)
"""What may be over in a minute: the job stays as it is, and goes on when somebody looks at it again."""
ATTEMPTS = 5
LOCK_TRIES, LOCK_WAIT_S = 10, 0.1
logger = logging.getLogger("rapport.jobs")


def work_through(jobs: JobFolders, run: Callable[[Job], None], *, kept: timedelta) -> int:
    """Run every job that has not ended, the oldest first; returns how many ended.

    Raises
    ------
    Busy
        Another process works through them. It looks again after it has let the lock go, so that none is forgotten.
    StoreUnavailable, RegistryUnavailable, DiskFull
        A job has to wait for something; nothing is lost.
    """
    ended = 0
    while True:
        with only_runner(jobs.lock):
            jobs.forget(before=datetime.now(UTC), longest=kept)
            while waiting := jobs.waiting():
                try_one(waiting[0], run)
                ended += 1
            for job in jobs.all():
                if job.cancelled:  # before it was its turn
                    job.clear()
        if not jobs.waiting():
            return ended


def try_one(job: Job, run: Callable[[Job], None]) -> None:
    """Run one job to its end, or write down why it has none."""
    if not _may_begin(job):
        _fail(job, "gave_up", f"the job ended its process {ATTEMPTS} times without getting on; the server's log may say why")
        return
    try:
        run(job)
    except Cancelled:
        job.clear()
    except PASSING:
        (job.folder / "attempt.json").unlink(missing_ok=True)
        raise
    except AudienceUnreadable as error:
        _fail(job, "audience_unreadable", unreadable(error).errors[0]["problem"])
    except UnreadableFile as error:
        _fail(job, "file_unreadable", str(error))
    except RapportError as error:
        _fail(job, error.code, f"{error} ({error.remedy})" if error.remedy else str(error))
    except Exception as error:  # the named edge of a job: what is wrong with one must not stop the others
        full = disk_full(error)
        if full is not None:
            raise full from error
        logger.exception("job %s failed", job.job_id)
        _fail(job, "internal", "a fault of ours; the server's log has it under the job's id")


@contextmanager
def only_runner(path: Path) -> Iterator[None]:
    """Hold the lock of the runner for the length of the block.

    Raises
    ------
    Busy
        Another process holds it, for longer than a look at it takes.
    """
    with path.open("a") as lock:
        for left in range(LOCK_TRIES, 0, -1):
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if left == 1:
                raise Busy("another process works through the jobs", remedy="wait for it to end")
            time.sleep(LOCK_WAIT_S)
        yield


def somebody_runs(path: Path) -> bool:
    """Whether a process holds the lock at this moment."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _may_begin(job: Job) -> bool:
    """Note an attempt; False for one too many since the last part that was done."""
    before, parts = job.read("attempt") or {"parts": -1, "number": 0}, job.parts_done()
    number = before["number"] + 1 if before["parts"] == parts else 1
    job.write("attempt", {"parts": parts, "number": number})
    return number <= ATTEMPTS


def _fail(job: Job, code: str, detail: str) -> None:
    job.write("failed", {"code": code, "detail": detail})
    logger.warning("job %s failed: %s", job.job_id, code)
