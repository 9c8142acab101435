"""Lists for a bulk job: those of the night, rules and all, by models fixed for the whole job.

What members did since is left out: a job that was killed and goes on has to write the same files.
"""

from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import Any

from features.online_reader import RedisReader, StoredLists
from features.settings import Settings
from serving.bundle import ModelSet
from serving.list_reading import ListReader
from serving.list_routes import ListRoutes

Row = dict[str, Any]


class BulkLists:
    """Lists of many members."""

    def __init__(self, settings: Settings, reader: RedisReader, models: ModelSet) -> None:
        self._routes = ListRoutes(settings, ListReader(reader, _as_it_is, live=False), lambda: models, lambda *_: {})

    async def rows(self, member_ids: Sequence[str], *, k: int, moment: datetime) -> list[Row]:
        """A row a member, in order, as `list_schemas.RecommendRow`."""
        return await self._routes.in_bulk(member_ids, k=k, moment=moment)

    async def close(self) -> None:
        """Give back what only lists need."""
        await self._routes.close()


async def _as_it_is(asking: Awaitable[StoredLists]) -> StoredLists:
    return await asking
