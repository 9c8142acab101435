"""An erased member taken out of what events left in Redis: their entries in every stream, and their keys by day."""

import json
import re
from typing import Any

from features.events.keys import EVENT_FIELD, RAW_FIELD, EventKeys
from features.store_errors import translated
from features.store_keys import Keys

READ_TOGETHER = 1000
SCANNED_TOGETHER = 5000


def forget(client: Any, prefix: str, member_id: str) -> int:
    """Delete a member's entries, acknowledged or not, and every key of theirs that has a day; returns how many.

    Looks through the streams and the keys, as neither has an index by member: seconds for millions of them.
    """
    with translated():
        found = _forget_keys(client, prefix, member_id) + _forget_triggers(client, prefix, member_id)
        count = client.get(EventKeys(prefix).partition_count)
        if count is None:
            return found
        keys = EventKeys(prefix, int(count))
        return found + sum(
            _forget_entries(client, name, member_id)
            for name in (keys.stream(keys.partition_of(member_id)), keys.quarantine, keys.dead)
        )


def forget_visitor(client: Any, prefix: str, visitor: str) -> int:
    """Delete what the stream keeps of a visitor under their anonymous id, who was an erased member; returns how many keys."""
    with translated():
        return int(client.delete(Keys(prefix).live(visitor))) + _forget_keys(client, prefix, visitor)


def _forget_keys(client: Any, prefix: str, member_id: str) -> int:
    pattern = f"{_literal(prefix)}:*:{{{_literal(member_id)}}}:*"
    found = list(client.scan_iter(match=pattern, count=SCANNED_TOGETHER))
    return int(client.unlink(*found)) if found else 0


def _forget_triggers(client: Any, prefix: str, member_id: str) -> int:
    """When triggers fired for a member, what is put off for them, and what fired (keys of `serving.triggers.store`)."""
    stream = f"{prefix}:{{triggers}}"
    found = int(client.delete(Keys(prefix).triggered(member_id)))
    put_off = [name for name, entry in client.hscan_iter(f"{stream}:held", count=READ_TOGETHER) if _names(entry, member_id)]
    if put_off:
        client.zrem(f"{stream}:due", *put_off)
        client.hdel(f"{stream}:held", *put_off)
    return found + len(put_off) + _forget_entries(client, stream, member_id)


def _forget_entries(client: Any, stream: str, member_id: str) -> int:
    deleted, start = 0, "-"
    while entries := client.xrange(stream, start, "+", count=READ_TOGETHER):
        theirs = [entry_id for entry_id, fields in entries if _is_of(fields, member_id)]
        deleted += int(client.xdel(stream, *theirs)) if theirs else 0
        start = b"(" + entries[-1][0]
    return deleted


def _is_of(fields: dict[bytes, bytes], member_id: str) -> bool:
    """Whether an entry names the member, whichever of our fields it has."""
    return any(name in fields and _names(fields[name], member_id) for name in (EVENT_FIELD, RAW_FIELD, b"event", b"message"))


def _names(text: bytes, member_id: str) -> bool:
    try:
        content = json.loads(text)
    except ValueError:
        return member_id.encode() in text  # it cannot be read, and might be theirs
    if not isinstance(content, dict):
        return False
    inner = content.get("content")
    return member_id in (content.get("member_id"), inner.get("member_id") if isinstance(inner, dict) else None)


def _literal(text: str) -> str:
    r"""A text as a pattern of keys that means it: `a*b` as `a\*b`."""
    return re.sub(r"([\\*?\[\]^-])", r"\\\1", text)
