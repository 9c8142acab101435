"""Lists for a bulk job: what /v1/recommend would answer, rules and all, by models fixed for the whole job."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from features.online_store import RedisReader
from features.settings import Settings
from serving.bundle import ModelSet
from serving.list_routes import ListRoutes

Row = dict[str, Any]


class BulkLists:
    """Lists of many members."""

    def __init__(self, settings: Settings, reader: RedisReader, models: ModelSet) -> None:
        self._routes = ListRoutes(settings, reader.read_lists_and_refusals, lambda: models, lambda *_: {})

    async def rows(self, member_ids: Sequence[str], *, k: int, moment: datetime) -> list[Row]:
        """A row a member, in order, as `list_schemas.RecommendRow`."""
        return await self._routes.in_bulk(member_ids, k=k, moment=moment)

    async def close(self) -> None:
        """Give back what only lists need."""
        await self._routes.close()
