"""What the last publish wrote, kept on disk, so that the next one writes only what has changed since.

    data/published/{generation}/member_ids.npy  records.npy  profiles.npy

A folder appears whole or not at all. It counts only as long as the stamp in the store names the same generation.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.bulk_load import MemberIds
from features.codec import as_bytes

COMPARED_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class PublishedRows:
    """What is in the store of each member. Row i of `records` and of `profiles` belongs to member_ids[i], in UTF-8."""

    member_ids: MemberIds
    records: NDArray[np.void]
    profiles: NDArray[np.void]

    def keep(self, folder: Path, generation: str) -> None:
        """Write these rows as those of a generation. OSError where the disk does not take them; nothing is left then."""
        unfinished = folder / f"{generation}.unfinished"
        unfinished.mkdir(parents=True)
        try:
            for name in self.__slots__:
                np.save(unfinished / f"{name}.npy", getattr(self, name), allow_pickle=False)
            unfinished.rename(folder / generation)
        except OSError:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    @classmethod
    def read(cls, folder: Path, generation: str) -> "PublishedRows | None":
        """The rows of a generation, read as they are needed; None if they are not there or cannot be read."""
        try:
            found = cls(*(np.load(folder / generation / f"{name}.npy", mmap_mode="r") for name in cls.__slots__))
        except (OSError, ValueError, EOFError):
            return None
        return found if len(found.member_ids) == len(found.records) == len(found.profiles) else None


def forget_others(folder: Path, generation: str) -> None:
    """Remove what was kept of other generations, unfinished ones as well."""
    if folder.is_dir():
        for other in folder.iterdir():
            if other.name != generation and other.is_dir():
                shutil.rmtree(other, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Changes:
    """Which rows of a publish differ from what is in the store, and who is in the store but no longer among the rows."""

    records: NDArray[np.bool_]
    profiles: NDArray[np.bool_]
    vanished: MemberIds


def everything(now: PublishedRows, vanished: MemberIds) -> Changes:
    """As if nothing were known of the store but who is to be forgotten."""
    every = np.ones(len(now.member_ids), dtype=np.bool_)
    return Changes(every, every, vanished)


def changes_since(before: PublishedRows, now: PublishedRows) -> Changes:
    """Rows that are new or differ in any bit."""
    place = positions(now.member_ids, before.member_ids)
    gone = np.ones(len(before.member_ids), dtype=np.bool_)
    gone[place[place >= 0]] = False
    return Changes(
        records=_differ(before.records, now.records, place),
        profiles=_differ(before.profiles, now.profiles, place),
        vanished=before.member_ids[gone],
    )


def positions(wanted: MemberIds, among: MemberIds) -> NDArray[np.intp]:
    """For each wanted id its position among the others, -1 if it is not there. Each id stands once in `among`."""
    if len(wanted) == len(among) and np.array_equal(wanted, among):
        return np.arange(len(wanted))
    if not len(among):
        return np.full(len(wanted), -1)
    order = np.argsort(among, kind="stable")
    place = order[np.minimum(np.searchsorted(among, wanted, sorter=order), len(among) - 1)]
    return np.where(among[place] == wanted, place, -1)


def _differ(before: NDArray[np.void], now: NDArray[np.void], place: NDArray[np.intp]) -> NDArray[np.bool_]:
    differ = place < 0
    if before.dtype != now.dtype:
        return np.ones_like(differ)
    for start in range(0, len(now), COMPARED_ROWS):
        part = slice(start, start + COMPARED_ROWS)
        if len(before):
            differ[part] |= (as_bytes(before[place[part]]) != as_bytes(now[part])).any(axis=1)
    return differ
