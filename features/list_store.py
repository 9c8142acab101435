"""Everyone's lists into Redis: what stands there as it should is only kept alive, the rest is written in large portions."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from features.bulk_load import Chunk
from features.list_records import FINGERPRINT, RecommendationList

LIST_SECONDS = 2 * 24 * 3600
COMPARED_TOGETHER = 500
WRITTEN_TOGETHER = 50
"""Members of one transaction: the server answers nobody else while it works on one."""
KEEP = f"""
local kept = {{}}
for i = 1, #ARGV - 1 do
  local record, beside = KEYS[2 * i - 1], KEYS[2 * i]
  kept[i] = 0
  if redis.call('GETRANGE', record, 0, {FINGERPRINT - 1}) == ARGV[i] and redis.call('EXPIRE', beside, ARGV[#ARGV]) == 1 then
    redis.call('EXPIRE', record, ARGV[#ARGV])
    kept[i] = 1
  end
end
return kept
"""
"""Lets records live on whose fingerprint is the one given, if the key beside them is there too; says which."""


def kept(client: Any, pairs: Sequence[tuple[str, str]], records: Sequence[bytes]) -> list[bool]:
    """Which of the records stand already, by their fingerprints: these, and the keys beside them, live on.

    Parameters
    ----------
    client
        A client of redis-py.
    pairs
        For each record its key and the key beside it; twice the same where there is none.
    """
    script, found = client.register_script(KEEP), []
    for start in range(0, len(records), COMPARED_TOGETHER):
        part = slice(start, start + COMPARED_TOGETHER)
        names = [key for pair in pairs[part] for key in pair]
        prints = [record[:FINGERPRINT] for record in records[part]]
        found += script(keys=names, args=[*prints, LIST_SECONDS])
    return [bool(stands) for stands in found]


def lists_written(
    pairs: Sequence[tuple[str, str]], lists: Sequence[RecommendationList], records: Sequence[bytes]
) -> Iterator[Chunk]:
    """Commands that replace lists, packed and sorted form at once: whoever reads finds the old ones or the new ones."""
    commands = [
        _set(record_key, record) + _replaced(sorted_key, content)
        for (record_key, sorted_key), content, record in zip(pairs, lists, records, strict=True)
    ]
    sizes = [4 if content.items else 2 for content in lists]
    for start in range(0, len(commands), WRITTEN_TOGETHER):
        part = slice(start, start + WRITTEN_TOGETHER)
        yield _chunk([b"*1\r\n$5\r\nMULTI\r\n", *commands[part], b"*1\r\n$4\r\nEXEC\r\n"], 2 + sum(sizes[part]))


def records_written(keys: Sequence[str], records: Sequence[bytes]) -> Iterator[Chunk]:
    """Commands that replace records, each at once."""
    for start in range(0, len(keys), COMPARED_TOGETHER):
        part = slice(start, start + COMPARED_TOGETHER)
        commands = [_set(key, record) for key, record in zip(keys[part], records[part], strict=True)]
        yield _chunk(commands, len(commands))


def _set(key: str, record: bytes) -> bytes:
    return b"*5\r\n$3\r\nSET\r\n" + _bulk(key.encode()) + _bulk(record) + b"$2\r\nEX\r\n" + _number(LIST_SECONDS)


def _replaced(key: str, content: RecommendationList) -> bytes:
    """The sorted form made anew; an item that stands twice keeps its last score, as in ZADD."""
    name = _bulk(key.encode())
    parts = [b"*2\r\n$3\r\nDEL\r\n", name]
    if content.items:
        parts += [b"*%d\r\n$4\r\nZADD\r\n" % (2 + 2 * len(content.items)), name]
        for item in content.items:
            parts += (_number(item.score), _text(item.item_id))
        parts += [b"*3\r\n$6\r\nEXPIRE\r\n", name, _number(LIST_SECONDS)]
    return b"".join(parts)


def _chunk(commands: Sequence[bytes], replies: int) -> Chunk:
    return Chunk(np.frombuffer(b"".join(commands), dtype="V1"), replies)


def _bulk(value: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(value), value)


@lru_cache(maxsize=65_536)
def _text(value: str) -> bytes:
    return _bulk(value.encode())


@lru_cache(maxsize=1024)
def _number(value: float) -> bytes:
    return _bulk(repr(value).encode())
