"""Telling that a disk is full from the many ways in which libraries say so."""

import errno
from collections.abc import Iterator

from features.errors import DiskFull

_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WORDS = ("no space left on device", "disk quota exceeded", "file too large", "max_temp_directory_size")
"""What the system says, and DuckDB where what it may put aside on disk is used up."""


def disk_full(error: BaseException) -> DiskFull | None:
    """The error of ours that another one is, if it or what led to it says that nothing more can be written; else None."""
    if not any(_says_so(each) for each in _chain(error)):
        return None
    return DiskFull(
        "the disk is full, or a limit on the size of files is reached; what was there before is as it was",
        remedy="make room where RAPPORT_DATA_DIR lies, then run the command again",
    )


def _says_so(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _NUMBERS:
        return True
    return any(words in str(error).lower() for words in _WORDS)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those during or because of which it came."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
