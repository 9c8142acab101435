"""One member's history and candidates as a short record of bytes, so that a list can be made anew from it at any moment.

    fingerprint  16 hex digits of what happened, of the catalogue and of the model: it does not change from day to day by itself
    header       8 bytes of the catalogue's hash, day, entries, candidates, widths, trips, pace, store
    entries      item, times, first and last day as days before the header's, fast, slow, interest if any; column by column
    candidates   item, and which sources found it

Rows mean items only beside the catalogue they were made with: its hash is checked before anything is read. Nothing is rounded:
what comes back is what was packed, to the bit.
"""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import CorruptRecord
from training.predictors.catalogue import Catalogue
from training.predictors.histories import FAST_DAYS, Histories, Rows

FINGERPRINT = 16
HEADER = np.dtype(
    [
        ("hash", "S8"), ("day", "<i4"), ("entries", "<u4"), ("candidates", "<u2"), ("wide", "u1"), ("looked", "u1"),
        ("trips", "<f4"), ("pace", "<f4"), ("store", "<i4"),
    ]
)  # fmt: skip
COLUMNS = (("times", "<u2"), ("first_days", "<u2"), ("last_days", "<u2"), ("fast", "<f4"), ("slow", "<f4"))
MOST_DAYS = 65_535
NARROW = 65_536
"""Catalogues of up to so many items need two bytes for a row."""
_REMEDY = 'publish again: "rapport publish"'
Numbers64 = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Kept:
    """The best candidates of the night: rows of the catalogue, and which sources found each, as in `Candidates`."""

    items: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    found_by: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, dtype=np.uint8))


def hash_of(catalogue: Catalogue) -> bytes:
    """Eight bytes that tell catalogues apart: by their items and stores, in order. Takes long: ask once."""
    return _hash(catalogue.item_ids.tobytes(), catalogue.store_ids.tobytes())


@lru_cache(maxsize=8)
def _hash(items: bytes, stores: bytes) -> bytes:
    return hashlib.sha256(items + b"|" + stores).hexdigest()[:8].encode()


def pack(
    history: Histories, catalogue_hash: bytes, *, kept: Kept | None = None, fingerprint: bytes = b"0" * FINGERPRINT
) -> bytes:
    """The record of exactly one member; days before the last 179 years are cut.

    Raises
    ------
    ValueError
        There is not exactly one member.
    """
    if len(history) != 1:
        raise ValueError(f"a record holds one member's history, not {len(history)}")
    kept = kept or Kept()
    looked = bool(history.interest.any())
    wide = max(history.items.max(initial=0), kept.items.max(initial=0)) >= NARROW
    row = "<u4" if wide else "<u2"
    header = np.zeros(1, dtype=HEADER)
    header[0] = (
        catalogue_hash, history.day, len(history.items), len(kept.items), wide, looked, history.trips[0], history.pace[0],
        history.stores[0],
    )  # fmt: skip
    parts = [fingerprint, header.tobytes(), history.items.astype(row).tobytes()]
    for name, dtype in COLUMNS:
        values = getattr(history, name)
        if name.endswith("_days"):
            values = np.minimum(history.day - values, MOST_DAYS)
        parts.append(values.astype(dtype).tobytes())
    if looked:
        parts.append(history.interest.astype("<f4").tobytes())
    return b"".join([*parts, kept.items.astype(row).tobytes(), kept.found_by.tobytes()])


def unpack(record: bytes, catalogue_hash: bytes) -> tuple[Histories, Kept]:
    """The history and the candidates of a record.

    Raises
    ------
    CorruptRecord
        It is cut short, or was made with another catalogue.
    """
    start = FINGERPRINT + HEADER.itemsize
    if len(record) < start:
        raise CorruptRecord("a stored history cannot be read", remedy=_REMEDY)
    made_with, day, entries, candidates, wide, looked, trips, pace, store = np.frombuffer(
        record, dtype=HEADER, count=1, offset=FINGERPRINT
    )[0].item()
    row = "<u4" if wide else "<u2"
    columns = [("items", row, entries), *((name, dtype, entries) for name, dtype in COLUMNS)]
    columns += [("interest", "<f4", entries)] * bool(looked) + [("kept", row, candidates), ("found_by", "u1", candidates)]
    wanted = start + sum(int(dtype[-1]) * count for _, dtype, count in columns)
    if made_with != catalogue_hash or len(record) != wanted:
        raise CorruptRecord("a stored history is cut short or was made with another catalogue", remedy=_REMEDY)
    found: dict[str, Any] = {}
    for name, dtype, count in columns:
        found[name] = np.frombuffer(record, dtype=dtype, count=count, offset=start)
        start += int(dtype[-1]) * count
    return _history(found, day, entries, trips, pace, store), Kept(found["kept"].astype(np.int32), found["found_by"])


def _history(found: dict[str, Any], day: int, entries: int, trips: float, pace: float, store: int) -> Histories:
    return Histories(
        day=day,
        starts=np.array([0, entries], dtype=np.int64),
        items=found["items"].astype(np.int32),
        times=found["times"].astype(np.float32),
        first_days=day - found["first_days"].astype(np.int32),
        last_days=day - found["last_days"].astype(np.int32),
        fast=found["fast"].astype(np.float32),
        slow=found["slow"].astype(np.float32),
        interest=found["interest"].astype(np.float32) if "interest" in found else np.zeros(entries, dtype=np.float32),
        trips=np.array([trips], dtype=np.float32),
        pace=np.array([pace], dtype=np.float32),
        stores=np.array([store], dtype=np.int32),
    )


def fingerprints(histories: Histories, *, catalogue_hash: bytes, model: str) -> list[bytes]:
    """For each member 16 hex digits of what they did, which time alone does not change: neither days passing nor fading."""
    salt = int.from_bytes(hashlib.blake2b(catalogue_hash + model.encode(), digest_size=8).digest(), "big")
    with np.errstate(divide="ignore"):
        looks = np.where(histories.interest > 0, np.log2(histories.interest) + histories.day / FAST_DAYS, -1)
    entry = _mixed(histories.items.astype(np.uint64))
    for column in (histories.times, histories.first_days, histories.last_days, np.round(64 * looks)):
        entry = _mixed(entry ^ column.astype(np.int64).astype(np.uint64))
    upto = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(entry, dtype=np.uint64)])
    member = upto[histories.starts[1:]] - upto[histories.starts[:-1]] + np.uint64(salt)
    for column in (histories.trips, histories.stores):
        member = _mixed(member ^ column.astype(np.int64).astype(np.uint64))
    return [b"%016x" % number for number in member.tolist()]


def _mixed(numbers: Numbers64) -> Numbers64:
    """Each number spread over all bits (the finalizer of SplitMix64: Steele, Lea and Flood 2014)."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Numbers64 = numbers ^ (numbers >> np.uint64(31))
    return mixed
