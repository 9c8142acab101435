"""Lists for a bulk job: what /v1/recommend would answer, by models fixed for the whole job."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from features.online_store import RedisReader
from features.settings import Settings
from serving.bundle import ModelSet
from serving.recommending import popular_items, recommend_members

Row = dict[str, Any]


class BulkLists:
    """Lists of many members."""

    def __init__(self, settings: Settings, reader: RedisReader, models: ModelSet) -> None:
        self._reader = reader
        self._popular = popular_items(models)
        self._stale_after_s = settings.max_staleness_h * 3600.0

    async def rows(self, member_ids: Sequence[str], *, k: int, moment: datetime) -> list[Row]:
        """A row a member, in order, as `schemas.RecommendRow`."""
        return recommend_members(
            member_ids,
            await self._reader.read_lists(member_ids),
            popular=self._popular,
            k=k,
            exclude=frozenset(),
            moment=moment,
            stale_after_s=self._stale_after_s,
        )

    async def close(self) -> None:
        """Give back what only lists need."""
