"""Commands for many members at once: written as arrays of bytes, a few thousand at a time, and sent over redis-py's connection.

Members whose ids, values and fields have equal lengths have commands of one length, so that numpy writes them column by
column. That costs a hundredth of what a client spends that formats each command by itself (benchmarks/publish.py).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.codec import Packed

MSET_MEMBERS = 100
MemberIds: TypeAlias = NDArray[np.bytes_]
"""Member ids in UTF-8."""

_Column: TypeAlias = NDArray[np.bytes_] | NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole commands back to back, and how many replies they are answered with."""

    commands: NDArray[np.void]
    replies: int


def utf8(texts: NDArray[np.str_]) -> MemberIds:
    """Texts in UTF-8; fast where all of them are ASCII."""
    if not len(texts):
        return np.empty(0, dtype="S1")
    points = np.ascontiguousarray(texts).view(np.uint32).reshape(len(texts), -1)
    if points.max(initial=0) < 128:
        return points.astype(np.uint8).view(f"S{points.shape[1]}")[:, 0]
    return np.char.encode(texts, "utf-8")


def msets(before: str, member_ids: MemberIds, packed: Iterable[Packed]) -> Iterator[Chunk]:
    """MSET commands that store each value under the key `before`id`}`."""
    for group in packed:
        size = group.values.dtype.itemsize
        ids = member_ids[group.rows]
        for (length,), rows in _alike([ids]):
            key = _key(before, length)
            pairs = _side_by_side([key, ids[rows].astype(f"S{length}"), b"}\r\n$%d\r\n" % size, group.values[rows], b"\r\n"])
            whole = len(pairs) - len(pairs) % MSET_MEMBERS
            for part, members in ((pairs[:whole], MSET_MEMBERS), (pairs[whole:], len(pairs) - whole)):
                if len(part):
                    head = b"*%d\r\n$4\r\nMSET\r\n" % (1 + 2 * members)
                    commands = _side_by_side([head, part.view(f"V{members * pairs.dtype.itemsize}")])
                    yield Chunk(commands, len(commands))


def hsets(before: str, member_ids: MemberIds, fields: NDArray[np.void]) -> Iterator[Chunk]:
    """HSET commands that set the fields of a structured array of texts in the Hash under the key `before`id`}`."""
    names = fields.dtype.names or ()
    head = b"*%d\r\n$4\r\nHSET\r\n" % (2 + 2 * len(names))
    for lengths, rows in _alike([member_ids, *(fields[name] for name in names)]):
        parts: list[bytes | _Column] = [head + _key(before, lengths[0]), member_ids[rows].astype(f"S{lengths[0]}"), b"}\r\n"]
        for name, length in zip(names, lengths[1:], strict=True):
            parts.append(b"$%d\r\n%s\r\n$%d\r\n" % (len(name.encode()), name.encode(), length))
            if length:
                parts.append(fields[name][rows].astype(f"S{length}"))
            parts.append(b"\r\n")
        commands = _side_by_side(parts)
        yield Chunk(commands, len(commands))


def send(connection: Any, chunks: Iterable[Chunk]) -> None:
    """Send all commands and read their replies; the server works on one chunk while the next is written.

    Parameters
    ----------
    connection
        A connection of redis-py's pool: its socket, its TLS, its login.

    Raises
    ------
    redis.RedisError
        The first error among the replies, or trouble on the way. Replies may then be left unread: drop the connection.
    """
    waiting = 0
    for chunk in chunks:
        connection.send_packed_command([chunk.commands.view(np.uint8).data])
        _read(connection, waiting)
        waiting = chunk.replies
    _read(connection, waiting)


def _read(connection: Any, replies: int) -> None:
    for _ in range(replies):
        connection.read_response()


def _key(before: str, length: int) -> bytes:
    """The beginning of a key's bulk string, up to the member id of that length."""
    start = before.encode()
    return b"$%d\r\n%s" % (len(start) + length + 1, start)


def _alike(columns: Sequence[NDArray[np.bytes_]]) -> Iterator[tuple[list[int], NDArray[np.intp]]]:
    """Rows grouped by the lengths of their texts: the lengths, one a column, and the positions of the rows."""
    lengths = np.stack([np.strings.str_len(column) for column in columns], axis=1)
    if not len(lengths):
        return
    spans = lengths.max(axis=0) + 1
    shape = np.zeros(len(lengths), dtype=np.int64)
    for column, span in zip(lengths.T, spans, strict=True):
        shape = shape * span + column
    order = np.argsort(shape, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(shape[order])) + 1):
        yield lengths[rows[0]].tolist(), rows


def _side_by_side(parts: Sequence[bytes | _Column]) -> NDArray[np.void]:
    """One row of bytes for each row of the columns; bytes stand in every row as they are."""
    dtypes = [f"V{len(part)}" if isinstance(part, bytes) else part.dtype for part in parts]
    rows = next(len(part) for part in parts if not isinstance(part, bytes))
    whole = np.empty(rows, dtype=np.dtype([(f"part{i}", dtype) for i, dtype in enumerate(dtypes)]))
    for i, part in enumerate(parts):
        whole[f"part{i}"] = np.void(part) if isinstance(part, bytes) else part
    return whole
