"""Folders for what a run needs on disk only while it lasts: gone with it, and those of a run that was killed, with the next."""

import fcntl
import os
import re
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder `name-…` below `parent` for the length of the block; those of runs that were killed are removed first.

    A run holds a lock on its folder, which ends with the run however that ends: by it the living are told from the dead.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{name}-*"):
        _remove_abandoned(left)
    folder, lock = _held(parent, name)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def spill_folder(parent: Path) -> Path:
    """Where a database of this process may put what does not fit in memory; DuckDB makes it when it must, and removes it.

    Each has its own: DuckDB, at its end, removes whatever files of its kind are there. Those of dead processes are removed.
    """
    host = re.sub(r"\W", "_", socket.gethostname())
    for left in parent.glob(f"spill-{host}-*"):
        process = left.name.rsplit("-", 2)[-2]
        if process.isdecimal() and not _alive(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    return parent / f"spill-{host}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _held(parent: Path, name: str) -> tuple[Path, int]:
    """A new folder and the lock on it; made anew if another run took it for abandoned before it was locked."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=f"{name}-"))
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _remove_abandoned(folder: Path) -> None:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # it is gone, or no folder
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass  # somebody works in it
    finally:
        os.close(lock)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
