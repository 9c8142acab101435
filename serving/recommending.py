"""Lists for many members from what the store holds, and what to offer where it holds nothing. Pure: no HTTP, no store."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from features.errors import CorruptRecord
from features.online_store import RecommendationList
from serving.bundle import ModelSet

Row = dict[str, Any]
POPULAR_DEPTH = 1200
"""Popular items kept at hand: the most a request may exclude, and a full list beyond."""


def recommend_members(
    member_ids: Sequence[str],
    lists: Sequence[bytes | None],
    *,
    popular: Sequence[str],
    k: int,
    exclude: frozenset[str],
    moment: datetime,
    stale_after_s: float,
) -> list[Row]:
    """One row per member, in the order asked for, as `schemas.RecommendRow`.

    Parameters
    ----------
    lists
        What was published for each member, as stored; None where there is nothing.
    popular
        Items to top lists up with and to offer to members without one, best first.
    """
    return [
        {"member_id": member, **_answer(stored, popular, k=k, exclude=exclude, moment=moment, stale_after_s=stale_after_s)}
        for member, stored in zip(member_ids, lists, strict=True)
    ]


def popular_for_everyone(member_ids: Sequence[str], *, popular: Sequence[str], k: int, exclude: frozenset[str]) -> list[Row]:
    """The same list for every member, for when the store does not answer."""
    items = _items([], popular, k=k, exclude=exclude)
    standing = {"status": "FALLBACK", "reason": "store_unavailable", "fallback": "popular", "as_of": None}
    return [{"member_id": member, **standing, "age_seconds": None, "items": items} for member in member_ids]


def popular_items(models: ModelSet) -> list[str]:
    """What the recommender knows to be popular, best first; empty without a recommender."""
    return models.recommender.popular_items(POPULAR_DEPTH) if models.recommender is not None else []


def _answer(
    stored: bytes | None,
    popular: Sequence[str],
    *,
    k: int,
    exclude: frozenset[str],
    moment: datetime,
    stale_after_s: float,
) -> Row:
    recommended, standing = _read(stored, moment, stale_after_s)
    own = [(item.item_id, item.source) for item in recommended.items] if recommended is not None else []
    items = _items(own, popular, k=k, exclude=exclude)
    if not items and (own or popular):
        standing = {**standing, "status": "PARTIAL", "reason": "all_excluded"}
    return {**standing, "items": items}


def _read(stored: bytes | None, moment: datetime, stale_after_s: float) -> tuple[RecommendationList | None, Row]:
    """A member's own list if there is one that can be read, and how the answer stands."""
    popular_only = {"fallback": "popular", "as_of": None, "age_seconds": None}
    if stored is None:
        return None, {"status": "COLD", "reason": "no_list", **popular_only}
    try:
        recommended = RecommendationList.from_bytes(stored)
    except CorruptRecord:
        return None, {"status": "FALLBACK", "reason": "record_unreadable", **popular_only}
    age = max(0, int((moment - datetime.fromisoformat(recommended.as_of)).total_seconds()))
    status = "STALE" if age > stale_after_s else "OK"
    return recommended, {
        "status": status, "reason": None, "fallback": "none", "as_of": recommended.as_of, "age_seconds": age,
    }  # fmt: skip


def _items(own: list[tuple[str, str]], popular: Sequence[str], *, k: int, exclude: frozenset[str]) -> list[dict[str, Any]]:
    """Up to k items: the member's own list without what is excluded, topped up with popular ones."""
    chosen: dict[str, str] = {}
    for item, source in (*own, *((item, "popular") for item in popular)):
        if len(chosen) == k:
            break
        if item not in exclude:
            chosen.setdefault(item, source)
    return [{"item_id": item, "place": place, "source": source} for place, (item, source) in enumerate(chosen.items(), start=1)]
