"""Audiences over HTTP: tags in words, combined as bitmaps by the store, with ids page by page. POST /v1/audience."""

import re
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from features.audience import Chosen, features_needed, vocabulary_of
from features.audience_language import Selection, parse
from features.bitmaps import Bitmap, positions_in
from features.errors import AudienceUnreadable
from features.settings import Settings
from features.tag_store import TagStamp, TagStore
from features.tags import TAGS
from serving.desk import Desk
from serving.members import age_seconds
from serving.parsing import parse as parse_request
from serving.problems import ApiError, answer_json
from serving.schemas_members import AudienceRequest

_QUOTED = re.compile(r"""(['"]).*\1""", re.DOTALL)
_PLACE = re.compile(r", at character (\d+)\n")


class Audiences:
    """The handler, on one store."""

    def __init__(self, settings: Settings, store: TagStore, desk: Desk) -> None:
        self._settings, self._store, self._desk = settings, store, desk

    async def choose(self, request: Request) -> Response:
        """POST /v1/audience."""
        asked = parse_request(await request.body(), request.headers.get("content-type", ""), AudienceRequest)
        return answer_json(await self._desk.run(lambda: self._choose(asked)))

    def _choose(self, asked: AudienceRequest) -> dict[str, Any]:
        stamp, chosen = self._store.choose(
            lambda newest: selection_of(asked.expression, newest), include_opted_out=asked.include_opted_out
        )
        page, more = page_of(chosen.members, begin_of(asked.cursor, stamp), asked.limit)
        return {
            **counts_of(chosen),
            "as_of": stamp.as_of,
            "age_seconds": age_seconds(self._settings.clock(), stamp.as_of_moment),
            "member_ids": self._store.read_ids(stamp, page) if asked.limit else [],
            "next_cursor": f"{stamp.generation}-{more}" if more is not None else None,
        }


def counts_of(chosen: Chosen) -> dict[str, int]:
    """How many there are."""
    return {"count": chosen.count, "opted_out": chosen.opted_out, "consent_unknown": chosen.consent_unknown}


def selection_of(expression: str, stamp: TagStamp) -> Selection:
    """The tree of an expression over the tags there are.

    Raises
    ------
    ApiError
        It cannot be read, and where; or it compares features, which no bitmap holds.
    """
    try:
        selection = parse(expression, vocabulary_of({**TAGS, **stamp.counts}))
    except AudienceUnreadable as error:
        raise unreadable(error) from None
    names = features_needed(selection)
    if names:
        detail = f"features are compared in jobs only (POST /v1/jobs): {', '.join(names)}; use a tag here"
        raise ApiError("audience_needs_features", detail)
    return selection


def unreadable(error: AudienceUnreadable) -> ApiError:
    """What is wrong and where, without the words that were sent: a phone number might be among them."""
    text = str(error)
    place = _PLACE.search(text)
    what = _QUOTED.sub("this", text[: place.start()] if place else text)
    where = f" at character {place.group(1)}" if place else ""
    problem = f"{what}{where}; {error.remedy}" if error.remedy else f"{what}{where}"
    return ApiError(
        "audience_unreadable", f"the expression cannot be read{where}", errors=[{"pointer": "/expression", "problem": problem}]
    )


def begin_of(cursor: str | None, stamp: TagStamp) -> int:
    """The position a page begins with; ApiError if tags were published since the page before."""
    if cursor is None:
        return 0
    generation, _, position = cursor.rpartition("-")
    if generation != stamp.generation:
        raise ApiError("cursor_outdated", "tags were published since the page before: begin again without a cursor")
    return min(int(position), stamp.size)


def page_of(members: Bitmap, begin: int, limit: int) -> tuple[Bitmap, int | None]:
    """The next so many members from a position on, and where the page after begins; None if there is none."""
    positions = positions_in(members)
    rest = positions[np.searchsorted(positions, begin) :]
    bits = np.zeros(len(members) * 8, dtype=np.uint8)
    bits[rest[:limit]] = 1
    more = int(rest[limit]) if limit and len(rest) > limit else None
    return np.packbits(bits), more
