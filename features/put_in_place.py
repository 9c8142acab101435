"""Folders put in the place of others whole: whatever a run is killed at, what was there before or what is new stands there.

Between the two renames of a replacement the old folder stands beside its place. Whoever looks then puts it back, so that
nobody finds nothing; the one who replaces begins anew if that happens to be in its way.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path


def put_in_place(draft: Path, folder: Path) -> None:
    """Let a finished draft stand in the place of a folder, and remove what stood there."""
    old = old_folder(folder)
    recovered(folder)
    while True:
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            with suppress(FileNotFoundError):
                folder.rename(old)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.exists():
                raise
            continue  # a reader has just put the old one back
        break
    shutil.rmtree(old, ignore_errors=True)


def recovered(folder: Path) -> Path:
    """The folder, put back if a run was killed after it took the old one away and before it put the new one there."""
    old = old_folder(folder)
    if not folder.exists() and old.exists():
        with suppress(OSError):  # the new one has come meanwhile
            old.rename(folder)
    return folder


def old_folder(folder: Path) -> Path:
    """Where the folder of before stands for the moment in which it is replaced."""
    return folder.with_name(f"{folder.name}.old")


def synced(path: Path) -> Path:
    """The file or folder once the disk has what was written to it: a power cut does not take it back."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return path
