"""One member's history as a short record of bytes, so that a list can be made anew from it at any moment.

    header   8 bytes of the catalogue's hash, day, entries, trips, pace, store
    entries  item, times, first and last day as days before the header's, fast, slow, interest; column by column

Rows mean items only beside the catalogue they were made with: its hash is checked before anything is read.
"""

import hashlib
from functools import lru_cache

import numpy as np

from features.errors import CorruptRecord
from training.predictors.catalogue import Catalogue
from training.predictors.histories import Histories

HEADER = np.dtype([("hash", "S8"), ("day", "<i4"), ("entries", "<u4"), ("trips", "<f4"), ("pace", "<f4"), ("store", "<i4")])
COLUMNS = (
    ("items", "<i4"), ("times", "<f2"), ("first_days", "<u2"), ("last_days", "<u2"), ("fast", "<f2"), ("slow", "<f2"),
    ("interest", "<f2"),
)  # fmt: skip
MOST_DAYS = 65_535
_REMEDY = 'publish again: "rapport publish"'


def hash_of(catalogue: Catalogue) -> bytes:
    """Eight bytes that tell catalogues apart: by their items and stores, in order."""
    return _hash(catalogue.item_ids.tobytes(), catalogue.store_ids.tobytes())


@lru_cache(maxsize=8)
def _hash(items: bytes, stores: bytes) -> bytes:
    return hashlib.sha256(items + b"|" + stores).hexdigest()[:8].encode()


def pack(history: Histories, catalogue_hash: bytes) -> bytes:
    """The record of exactly one member; counts keep three digits, days before the last 179 years none.

    Raises
    ------
    ValueError
        There is not exactly one member.
    """
    if len(history) != 1:
        raise ValueError(f"a record holds one member's history, not {len(history)}")
    header = np.zeros(1, dtype=HEADER)
    header[0] = (
        catalogue_hash, history.day, len(history.items), history.trips[0], history.pace[0], history.stores[0],
    )  # fmt: skip
    parts = [header.tobytes()]
    for name, dtype in COLUMNS:
        values = getattr(history, name)
        if name.endswith("_days"):
            values = np.minimum(history.day - values, MOST_DAYS)
        parts.append(values.astype(dtype).tobytes())
    return b"".join(parts)


def unpack(record: bytes, catalogue_hash: bytes) -> Histories:
    """The history of a record.

    Raises
    ------
    CorruptRecord
        It is cut short, or was made with another catalogue.
    """
    if len(record) < HEADER.itemsize:
        raise CorruptRecord("a stored history cannot be read", remedy=_REMEDY)
    header = np.frombuffer(record, dtype=HEADER, count=1)[0]
    entries, day = int(header["entries"]), int(header["day"])
    wanted = HEADER.itemsize + entries * sum(np.dtype(dtype).itemsize for _, dtype in COLUMNS)
    if header["hash"] != catalogue_hash or len(record) != wanted:
        raise CorruptRecord("a stored history is cut short or was made with another catalogue", remedy=_REMEDY)
    found, offset = {}, HEADER.itemsize
    for name, dtype in COLUMNS:
        found[name] = np.frombuffer(record, dtype=dtype, count=entries, offset=offset)
        offset += found[name].nbytes
    days = {name: (day - found.pop(name).astype(np.int32)).astype(np.int32) for name in ("first_days", "last_days")}
    return Histories(
        day=day,
        starts=np.array([0, entries], dtype=np.int64),
        items=found.pop("items").astype(np.int32),
        **days,
        **{name: values.astype(np.float32) for name, values in found.items()},
        trips=np.array([header["trips"]], dtype=np.float32),
        pace=np.array([header["pace"]], dtype=np.float32),
        stores=np.array([header["store"]], dtype=np.int32),
    )
