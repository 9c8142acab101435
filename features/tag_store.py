"""Tags in the online store: bitmaps by generation, so that a reader sees one publish or the next and never a mixture."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from features.audience import CONSENT_UNKNOWN, OPTED_OUT, Chosen
from features.audience_language import All, Compared, Not, Selection, Tagged
from features.bitmaps import Bitmap, TagTable, count, positions_in
from features.errors import CorruptRecord, NothingPublished, StoreUnavailable
from features.member_index import CHUNK, chunks_of, unpack_ids
from features.online_store import RedisStore
from features.store_errors import translated

BATCH_BYTES = 4_000_000
"""Bitmaps are written in pipelines of about this size."""
ATTEMPTS = 5
"""How often a reader starts again because a publish took the generation away under it."""
_REMEDY = 'publish again: "rapport publish"'


@dataclass(frozen=True, slots=True)
class TagStamp:
    """What a generation of tags holds.

    Attributes
    ----------
    index, size
        The member index the bitmaps are over, and how many positions they have.
    members
        How many of the positions have a member.
    counts
        Every tag there is, with the number of members who have it; those with none have no key.
    """

    generation: str
    index: str
    size: int
    members: int
    as_of: str
    published_at: str
    facts_hash: str
    contract: str
    counts: dict[str, int]

    def to_bytes(self) -> bytes:
        """The stamp as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, value: bytes) -> TagStamp:
        """The stamp from JSON; CorruptRecord if it is none."""
        try:
            stamp = cls(**json.loads(value))
            datetime.fromisoformat(stamp.as_of)
            dict[str, int](stamp.counts)
        except (ValueError, TypeError) as error:
            raise CorruptRecord("the stamp of the tags cannot be read", remedy=_REMEDY) from error
        return stamp

    @property
    def as_of_moment(self) -> datetime:
        """`as_of` as an aware moment."""
        return datetime.fromisoformat(self.as_of)


@dataclass(frozen=True)
class StoredTags:
    """Some tags of one generation."""

    stamp: TagStamp
    population: Bitmap
    tags: Mapping[str, Bitmap]


@dataclass
class _Algebra:
    """A selection as BITOP commands over the bitmaps of one generation, with temporary keys of its own.

    A tag nobody has is no key, and BITOP reads that as zeros. `not x` is `members XOR x`, as x lies within the members;
    BITOP NOT would set bits beyond them, and would make nothing of a key that is not there.
    """

    pipeline: Any
    members: str
    tag: Callable[[str], str]
    scratch: str
    made: list[str] = field(default_factory=list)

    def key_of(self, selection: Selection) -> str:
        """The key that holds the selection, once the commands queued so far have run."""
        if isinstance(selection, Tagged):
            return self.tag(selection.tag)
        if isinstance(selection, Compared):
            raise TypeError(f"{selection.feature} is no bitmap: features are compared outside the store")
        if isinstance(selection, Not):
            return self.combined("XOR", self.members, self.key_of(selection.operand))
        return self.combined("AND" if isinstance(selection, All) else "OR", *map(self.key_of, selection.operands))

    def combined(self, operation: str, *keys: str) -> str:
        """A temporary key with the result of an operation."""
        self.made.append(f"{self.scratch}:{len(self.made)}")
        self.pipeline.bitop(operation, self.made[-1], *keys)
        return self.made[-1]


class TagStore(RedisStore):
    """The store as publishing and choosing audiences see it."""

    def publish_tags(self, table: TagTable, *, generation: str, contract: str) -> TagStamp:
        """Write a generation of tags, let readers use it, and delete the one before. Killed anywhere, it can be run again.

        Parameters
        ----------
        generation
            A name never used before.
        """
        previous = self.read_tag_stamp()
        self._delete_unused()
        stamp = TagStamp(
            generation=generation,
            index=table.index.identity,
            size=len(table.index),
            members=count(table.population),
            as_of=table.as_of.isoformat(),
            published_at=datetime.now(UTC).isoformat(),
            facts_hash=table.facts_hash,
            contract=contract,
            counts={name: count(bitmap) for name, bitmap in table.tags.items()},
        )
        with translated():
            self._client.set(self._keys.unused_tags, json.dumps(self._keys_of(stamp, kept=previous)))
        self._write_index(table, previous)
        self._write_bitmaps(stamp, table)
        with translated(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.set(self._keys.tag_generation(generation), stamp.to_bytes())
            pipeline.set(self._keys.current_tags, generation)
            pipeline.set(self._keys.unused_tags, json.dumps(self._keys_of(previous, kept=stamp) if previous else []))
            pipeline.execute()
        self._delete_unused()
        return stamp

    def read_tag_stamp(self) -> TagStamp | None:
        """The generation in use; None if no tags were published."""
        for _ in range(ATTEMPTS):
            with translated():
                generation = self._client.get(self._keys.current_tags)
                if generation is None:
                    return None
                value = self._client.get(self._keys.tag_generation(generation.decode()))
            if value is not None:
                return TagStamp.from_bytes(value)
        raise CorruptRecord("the generation of tags in use has no stamp", remedy=_REMEDY)

    def read_tags(self, choose: Callable[[TagStamp], Iterable[str]]) -> StoredTags:
        """Tags of one generation, all of the same publish.

        Parameters
        ----------
        choose
            Names the tags wanted, given what there is.

        Raises
        ------
        NothingPublished
            No tags were published.
        """
        for _ in range(ATTEMPTS):
            stamp = self._stamp_in_use()
            names = [name for name in dict.fromkeys(choose(stamp)) if stamp.counts.get(name)]
            with translated(), self._client.pipeline(transaction=True) as pipeline:
                pipeline.exists(self._keys.tag_generation(stamp.generation))
                pipeline.get(self._keys.tag_members(stamp.generation))
                for name in names:
                    pipeline.get(self._keys.tag(stamp.generation, name))
                there, population, *bitmaps = pipeline.execute()
            if there:
                values = dict(zip(names, (self._bitmap(value, stamp) for value in bitmaps), strict=True))
                return StoredTags(stamp, self._bitmap(population, stamp), values)
        raise StoreUnavailable("tags were published again and again while they were read", remedy="ask again")

    def choose(self, read: Callable[[TagStamp], Selection], *, include_opted_out: bool = False) -> tuple[TagStamp, Chosen]:
        """Members in a selection of tags alone, combined by the server in one transaction; see `features.audience.choose`.

        Parameters
        ----------
        read
            Gives the selection, told what tags there are.
        """
        for _ in range(ATTEMPTS):
            stamp = self._stamp_in_use()
            selection = read(stamp)
            with translated(), self._client.pipeline(transaction=True) as pipeline:
                pipeline.exists(self._keys.tag_generation(stamp.generation))
                algebra = self._algebra(pipeline, stamp)
                fitting = algebra.key_of(selection)
                refused = algebra.combined("AND", fitting, algebra.tag(OPTED_OUT))
                chosen = fitting if include_opted_out else algebra.combined("XOR", fitting, refused)
                unknown = algebra.combined("AND", chosen, algebra.tag(CONSENT_UNKNOWN))
                pipeline.get(chosen)
                pipeline.bitcount(refused)
                pipeline.bitcount(unknown)
                pipeline.delete(*algebra.made)
                there, *_, value, opted_out, consent_unknown, _ = pipeline.execute()
            if there:
                nobody = bytes(-(-stamp.size // 8))
                return stamp, Chosen(self._bitmap(value or nobody, stamp), opted_out, consent_unknown)
        raise StoreUnavailable("tags were published again and again while they were read", remedy="ask again")

    def _algebra(self, pipeline: Any, stamp: TagStamp) -> _Algebra:
        return _Algebra(
            pipeline,
            members=self._keys.tag_members(stamp.generation),
            tag=lambda name: self._keys.tag(stamp.generation, name),
            scratch=self._keys.tag_scratch(uuid.uuid4().hex),
        )

    def _stamp_in_use(self) -> TagStamp:
        stamp = self.read_tag_stamp()
        if stamp is None:
            raise NothingPublished("no tags were published", remedy='publish first: "rapport publish --as-of …"')
        return stamp

    def read_ids(self, stamp: TagStamp, chosen: Bitmap) -> list[str]:
        """Ids of the members at the positions chosen, in the order of the index."""
        positions = positions_in(chosen)
        borders = np.searchsorted(positions, np.arange(chunks_of(stamp.size) + 1) * CHUNK)
        wanted = np.flatnonzero(np.diff(borders)).tolist()
        with translated(), self._client.pipeline(transaction=False) as pipeline:
            for number in wanted:
                pipeline.get(self._keys.tag_index(stamp.index, number))
            chunks = pipeline.execute()
        ids: list[str] = []
        for number, packed in zip(wanted, chunks, strict=True):
            if packed is None:
                raise CorruptRecord("a part of the member index is not in the store", remedy=_REMEDY)
            try:
                places = positions[borders[number] : borders[number + 1]] - number * CHUNK
                ids += unpack_ids(packed, places)
            except ValueError as error:
                raise CorruptRecord("a part of the member index cannot be read", remedy=_REMEDY) from error
        return ids

    @staticmethod
    def _bitmap(value: bytes | None, stamp: TagStamp) -> Bitmap:
        if value is None or len(value) != -(-stamp.size // 8):
            raise CorruptRecord("a bitmap of the tags is missing or of another size", remedy=_REMEDY)
        return np.frombuffer(value, dtype=np.uint8)

    def _write_index(self, table: TagTable, previous: TagStamp | None) -> None:
        """Ids that the store does not have yet; chunks only grow, so readers of the last generation are not disturbed."""
        same = previous is not None and previous.index == table.index.identity
        first = previous.size // CHUNK if previous is not None and same else 0
        for number in range(first, chunks_of(len(table.index))):
            with translated():
                self._client.set(self._keys.tag_index(table.index.identity, number), table.index.chunk(number))

    def _write_bitmaps(self, stamp: TagStamp, table: TagTable) -> None:
        values = {self._keys.tag(stamp.generation, name): table.tags[name] for name, n in stamp.counts.items() if n}
        values[self._keys.tag_members(stamp.generation)] = table.population
        for names in batches(list(values), max(1, BATCH_BYTES // max(1, len(table.population)))):
            with translated(), self._client.pipeline(transaction=False) as pipeline:
                for name in names:
                    pipeline.set(name, values[name].tobytes())
                pipeline.execute()

    def _keys_of(self, stamp: TagStamp, *, kept: TagStamp | None) -> list[str]:
        """Every key of a generation, its stamp first; its index only if the generation kept has another."""
        keys = [self._keys.tag_generation(stamp.generation), self._keys.tag_members(stamp.generation)]
        keys += [self._keys.tag(stamp.generation, name) for name, members in stamp.counts.items() if members]
        if kept is None or kept.index != stamp.index:
            keys += [self._keys.tag_index(stamp.index, number) for number in range(chunks_of(stamp.size))]
        return keys

    def _delete_unused(self) -> None:
        """Delete the keys of a generation that was replaced or never finished."""
        with translated():
            value = self._client.get(self._keys.unused_tags)
            if value is None:
                return
            for keys in batches(json.loads(value), 500):
                self._client.unlink(*keys)
            self._client.delete(self._keys.unused_tags)


def batches(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The names in runs of at most this many."""
    for start in range(0, len(names), size):
        yield names[start : start + size]
