"""Tags of members as published last, for the few tags that conditions name: kept in memory, read again after a publish."""

import time
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.bitmaps import positions_in
from features.errors import NothingPublished
from features.member_index import MemberIndex
from features.tag_store import TagStore
from serving.triggers.conditions import Bools

REFRESH_S = 2.0
Holders: TypeAlias = Mapping[str, Bools]


class TagsNow:
    """Who has which of some tags. A tag that was not published, and a member who was not, are false.

    The index of all members is in memory: some 20 bytes a member, and a bit for each tag.
    """

    def __init__(self, store: TagStore, *, refresh_s: float = REFRESH_S) -> None:
        self._store, self._refresh_s = store, refresh_s
        self._checked = float("-inf")
        self._names: frozenset[str] = frozenset()
        self._generation = ""
        self._index = MemberIndex("", np.empty(0, dtype=np.str_))
        self._has: dict[str, Bools] = {}

    def of(self, member_ids: Sequence[str], names: frozenset[str]) -> dict[str, Bools]:
        """For each name, which of the members have the tag.

        Raises
        ------
        StoreUnavailable, CorruptRecord
            The tags were published anew and cannot be read.
        """
        if not names:
            return {}
        if names != self._names or time.monotonic() - self._checked >= self._refresh_s:
            self._refresh(names)
        places = self._index.positions(np.array(member_ids, dtype=np.str_))
        return {name: self._holds(name, places) for name in names}

    def close(self) -> None:
        """Give the connections back."""
        self._store.close()

    def _holds(self, name: str, places: NDArray[np.int64]) -> Bools:
        if name not in self._has:
            return np.zeros(len(places), dtype=np.bool_)
        return np.where(places >= 0, self._has[name][places], False)

    def _refresh(self, names: frozenset[str]) -> None:
        stamp = self._store.read_tag_stamp()
        generation = "" if stamp is None else stamp.generation
        if generation != self._generation or names != self._names:
            self._load(names)
        self._generation, self._names, self._checked = generation, names, time.monotonic()

    def _load(self, names: frozenset[str]) -> None:
        """All members there are, and who of them has which tag."""
        try:
            stored = self._store.read_tags(lambda stamp: names)
        except NothingPublished:
            self._index, self._has = MemberIndex("", np.empty(0, dtype=np.str_)), {}
            return
        there = positions_in(stored.population)
        ids = np.array(self._store.read_ids(stored.stamp, stored.population), dtype=np.str_)
        self._index = MemberIndex(stored.stamp.index, ids)
        self._has = {name: np.unpackbits(bitmap)[there].astype(np.bool_) for name, bitmap in stored.tags.items()}
