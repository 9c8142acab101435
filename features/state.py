"""Aggregates of everyone as of a midnight, on disk bucket by bucket: what the next night starts from.

    FOLDER/state.json                      contract, moment, and the files of facts that went in
    FOLDER/03.members    bucket 3: member ids, sorted; a record each; and a bit for each fact table in which they have facts
    FOLDER/03.tiles      what members did with each item, category and so on, column by column: `features.tiles`
    FOLDER/items.parquet the catalogue of that night

Arrays in numpy's own format one after the other, read without pickle. A folder is written whole or not at all.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureRows, feature_rows, scalars, together
from features.compile import SUMMARISED
from features.contract import Contract
from features.declarations import KEYED_KINDS
from features.derive import BLOCK
from features.facts import Facts
from features.manifest import hash_probe
from features.narrow import Members, Narrow, Records
from features.put_in_place import put_in_place, recovered
from features.slices import Tiling, tilings
from features.tiles import Tile, fill_keyed, lasting, tiles_since

STATE = "state.json"
FORMAT = 3
Present = NDArray[np.uint8]
BIT_OF = {table.name: np.uint8(1 << position) for position, table in enumerate(SUMMARISED)}


@dataclass(frozen=True, slots=True)
class BucketState:
    """Members of one bucket, sorted by id; a record each; in which fact tables they have facts (`BIT_OF`); and their tiles.

    Row n is that of member n of the tiles, which are by name of the tiling.
    """

    member_ids: Members
    records: Records
    present: Present
    tiles: dict[str, Tile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StateManifest:
    """What a state was made from. `day` is the local day that begins at `as_of`; `absent` are missing capabilities.

    `hash_probe` is what the hash function made of a known text: keys of tiles are such hashes.
    """

    contract: str
    as_of: str
    day: int
    facts_hash: str
    files: dict[str, str]
    buckets: int
    absent: list[str]
    hash_probe: str
    format: int = FORMAT


class State:
    """A folder of aggregates as of a midnight."""

    def __init__(self, folder: Path, manifest: StateManifest) -> None:
        self.folder, self.manifest = folder, manifest

    @classmethod
    def open(cls, folder: Path, contract: Contract) -> "State | None":
        """The state in a folder; None if there is none that this contract can go on from."""
        path = recovered(folder) / STATE
        if not path.exists():
            return None
        content = json.loads(path.read_text())
        if content.get("format") != FORMAT or content.get("contract") != contract.hash:
            return None
        return cls(folder, StateManifest(**content))

    def bucket(self, number: int) -> BucketState:
        """What it holds of one bucket."""
        with (self.folder / f"{number:02d}.members").open("rb") as file:
            return BucketState(*(np.load(file, allow_pickle=False) for _ in range(3)))

    def tiles(self, number: int, contract: Contract) -> dict[str, Tile]:
        """The tiles of one bucket, by name of the tiling."""
        with (self.folder / f"{number:02d}.tiles").open("rb") as file:
            return {tiling.name: _tile(file, tiling) for tiling in tilings(contract)}

    def buckets(self) -> Iterator[BucketState]:
        """What it holds, bucket by bucket."""
        for number in range(self.manifest.buckets):
            yield self.bucket(number)

    def rows(self, facts: Facts, contract: Contract) -> FeatureRows:
        """Feature rows of everyone as of the state's moment, sorted by member id."""
        known = self.scalars(facts, contract)
        members, records = together((part.member_ids, part.records) for part in self.buckets())
        return feature_rows(facts, contract, as_of=self.as_of, member_ids=members, records=records, scalars=known)

    def scalars(self, facts: Facts, contract: Contract) -> dict[str, float]:
        """Thresholds and population edges as of the state's moment, read some members at a time."""
        parts = (part.records[start : start + BLOCK] for part in self.buckets() for start in range(0, len(part.records), BLOCK))
        return scalars(contract, parts, day=self.manifest.day, thresholds=facts.thresholds)

    def blocks(
        self, facts: Facts, contract: Contract, known: Mapping[str, float], *, block: int
    ) -> Iterator[Callable[[], FeatureRows]]:
        """Feature rows of everyone, some members at a time, in no order; each is derived when it is called for.

        Parameters
        ----------
        known
            `scalars` of this state.
        """
        for part in self.buckets():
            for start in range(0, len(part.member_ids), block):
                chosen = slice(start, start + block)
                yield partial(
                    feature_rows,
                    facts,
                    contract,
                    as_of=self.as_of,
                    member_ids=part.member_ids[chosen],
                    records=part.records[chosen],
                    scalars=known,
                )

    @property
    def as_of(self) -> datetime:
        """The midnight it is as of, aware."""
        return datetime.fromisoformat(self.manifest.as_of)


def _tile(file: BinaryIO, tiling: Tiling) -> Tile:
    """The tile that comes next in a file."""
    members, codes, keys, *columns = (np.load(file, allow_pickle=False) for _ in range(3 + len(tiling.fields)))
    return Tile(members, codes, keys, {field.name: column for field, column in zip(tiling.fields, columns, strict=True)})


class StateDraft:
    """A state in the making, put in the place of the old one whole."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, folder.with_name(f"{folder.name}.writing")
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)

    def write(self, number: int, part: BucketState, contract: Contract) -> None:
        """Keep one bucket."""
        tiles = [(part.tiles[tiling.name], tiling.fields) for tiling in tilings(contract)]
        columns: list[list[NDArray[Any]]] = [
            [t.members, t.codes, t.keys, *(t.columns[f.name] for f in fields)] for t, fields in tiles
        ]
        self._save(f"{number:02d}.members", (part.member_ids, part.records, part.present))
        self._save(f"{number:02d}.tiles", chain(*columns))

    def _save(self, name: str, arrays: Iterable[NDArray[Any]]) -> None:
        with (self.place / name).open("wb") as file:
            for array in arrays:
                np.save(file, array, allow_pickle=False)

    def finish(self, facts: Facts, contract: Contract, *, day: int) -> State:
        """Put it in place, and return it.

        Raises
        ------
        FactsReplaced
            Other facts were put in place meanwhile.
        """
        manifest = StateManifest(
            contract=contract.hash,
            as_of=facts.midnight(day).isoformat(),
            day=day,
            facts_hash=facts.manifest.hash,
            files=facts.manifest.sha256,
            buckets=facts.manifest.buckets,
            absent=sorted(facts.absent(day)),
            hash_probe=hash_probe(facts.connection.con),
        )
        if facts.folder is not None:
            os.link(facts.folder / "items.parquet", self.place / "items.parquet")
        (self.place / STATE).write_text(json.dumps(asdict(manifest)))
        facts.require_unchanged()
        put_in_place(self.place, self.folder)
        return State(self.folder, manifest)

    def discard(self) -> None:
        """Remove what was not put in place; nothing once it was."""
        shutil.rmtree(self.place, ignore_errors=True)


def full_bucket(facts: Facts, contract: Contract, number: int, *, day: int) -> BucketState:
    """Aggregates of one bucket as of the midnight at which a day begins, from all its facts."""
    narrow = Narrow(facts, number, contract, before=facts.midnight(day))
    found = summed_up(narrow, contract, as_of=facts.midnight(day), day=day)
    narrow.close()
    return found


def summed_up(narrow: Narrow, contract: Contract, *, as_of: datetime, day: int) -> BucketState:
    """Aggregates and tiles of the members that were read, those without facts known by then left out."""
    numbers, records, present = narrow.aggregates(as_of=as_of, day=day, leave_out=KEYED_KINDS)
    row_of = np.full(len(narrow.member_ids), -1, dtype=np.int64)
    row_of[numbers] = np.arange(len(numbers))
    tiles = tiles_since(narrow, contract, {}, as_of=as_of, day=day, row_of=row_of)
    tiles = {tiling.name: lasting(tiles[tiling.name], tiling, contract, day) for tiling in tilings(contract)}
    fill_keyed(records, contract, tiles, day=day)
    return BucketState(narrow.member_ids[numbers], records, bits_of(numbers, present), tiles)


def bits_of(numbers: NDArray[np.int64], present: dict[str, NDArray[np.int64]]) -> Present:
    """For each member the bits of the tables in which they are present; numbers ascending."""
    bits = np.zeros(len(numbers), dtype=np.uint8)
    for table, members in present.items():
        bits[np.searchsorted(numbers, members)] |= BIT_OF[table]
    return bits
