"""What the store knows of the shop beside its members: the item table, and what is sold out.

Keys, with `Keys` of features.store_keys:

    rapport:shelf                String   publish        the item table as arrays: features.rules.shelf
    rapport:shelf:version        String   publish        its hash; readers fetch the table when it changes
    rapport:sold_out             Set      stock          items that cannot be sold now, whatever the item table says
    rapport:sold_out:stores      Set      stock          stores that have a set of their own
    rapport:sold_out:at:<store>  Set      stock          items that this store has none of
    rapport:sold_out:version     String   stock          counts every change; readers fetch the sets when it moves

None of them expires. Any program may write what is sold out: SADD and INCR of the version, in one transaction.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import redis
import redis.asyncio
from numpy.typing import NDArray
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.online_store import JOB_TIMEOUT_S
from features.rules.shelf import Shelf
from features.store_errors import address_checked, translated


@dataclass(frozen=True, slots=True)
class ShopKeys:
    """The names of these keys."""

    prefix: str

    @property
    def shelf(self) -> str:
        """The item table."""
        return f"{self.prefix}:shelf"

    @property
    def shelf_version(self) -> str:
        """The hash of the item table."""
        return f"{self.prefix}:shelf:version"

    @property
    def sold_out_version(self) -> str:
        """How often what is sold out has changed."""
        return f"{self.prefix}:sold_out:version"

    @property
    def stores(self) -> str:
        """Stores that say what they have none of."""
        return f"{self.prefix}:sold_out:stores"

    def sold_out(self, store: str | None = None) -> str:
        """Items sold out: at a store, or everywhere."""
        return f"{self.prefix}:sold_out" if store is None else f"{self.prefix}:sold_out:at:{store}"


@dataclass(frozen=True, slots=True)
class Stock:
    """The shelf as it is now. `sold_out` has a mask over its rows for each store that says something of its stock."""

    shelf: Shelf
    sold_out: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    version: str = ""


class ShopStore:
    """These keys as jobs see them: blocking, patient, without blind retries."""

    def __init__(self, url: str, *, prefix: str, timeout_s: float = JOB_TIMEOUT_S) -> None:
        self._keys = ShopKeys(prefix)
        with address_checked():
            self._client: Any = redis.Redis.from_url(
                url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
            )

    def write_shelf(self, shelf: Shelf) -> bool:
        """Replace the item table; returns whether it had changed."""
        version = shelf.version.encode()
        with translated():
            if self._client.get(self._keys.shelf_version) == version:
                return False
            self._client.mset({self._keys.shelf: shelf.to_bytes(), self._keys.shelf_version: version})
        return True

    def mark_sold_out(self, item_ids: Sequence[str], *, store: str | None = None) -> None:
        """Take items off the shelf, of one store or of all, until they are back."""
        self._mark("sadd", item_ids, store)

    def mark_back(self, item_ids: Sequence[str], *, store: str | None = None) -> None:
        """Put items back; those that the item table calls unavailable stay so."""
        self._mark("srem", item_ids, store)

    def _mark(self, command: str, item_ids: Sequence[str], store: str | None) -> None:
        with translated(), self._client.pipeline(transaction=True) as pipeline:
            if item_ids:
                getattr(pipeline, command)(self._keys.sold_out(store), *item_ids)
            if store is not None:
                pipeline.sadd(self._keys.stores, store)
            pipeline.incr(self._keys.sold_out_version)
            pipeline.execute()

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()


class ShopReader:
    """These keys as serving sees them: asynchronous, impatient, without retries."""

    def __init__(self, url: str, *, prefix: str, timeout_ms: int) -> None:
        self._keys = ShopKeys(prefix)
        self._shelf: Shelf | None = None
        self._shelf_version = b""
        with address_checked():
            self._client: Any = redis.asyncio.Redis.from_url(
                url, socket_timeout=timeout_ms / 1000, socket_connect_timeout=timeout_ms / 1000, retry=None
            )

    async def read_stock(self, known: Stock | None) -> Stock | None:
        """The shelf as it is now; `known` itself if nothing has changed, None if no item table was ever published.

        Raises
        ------
        StoreUnavailable
            Redis does not answer.
        CorruptRecord
            The item table cannot be read.
        """
        with translated():
            versions = await self._client.mget([self._keys.shelf_version, self._keys.sold_out_version])
        version = b".".join(each or b"0" for each in versions).decode()
        if known is not None and known.version == version:
            return known
        shelf = await self._read_shelf(versions[0])
        return None if shelf is None else await self._stock(shelf, version)

    async def _read_shelf(self, version: bytes | None) -> Shelf | None:
        if self._shelf is None or version != self._shelf_version:
            with translated():
                value = await self._client.get(self._keys.shelf)
            if value is None:
                return None
            self._shelf = await asyncio.to_thread(Shelf.from_bytes, value)  # a large table would hold up other requests
            self._shelf_version = version or b""
        return self._shelf

    async def _stock(self, shelf: Shelf, version: str) -> Stock:
        with translated():
            stores = sorted(store.decode() for store in await self._client.smembers(self._keys.stores))
            async with self._client.pipeline(transaction=False) as pipeline:
                for store in (None, *stores):
                    pipeline.smembers(self._keys.sold_out(store))
                everywhere, *by_store = await pipeline.execute()
        available = shelf.available & ~_mask(shelf, everywhere)
        masks = {store: _mask(shelf, items) for store, items in zip(stores, by_store, strict=True)}
        return Stock(replace(shelf, available=available), masks, version)

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()


def _mask(shelf: Shelf, item_ids: Sequence[bytes]) -> NDArray[np.bool_]:
    mask = np.zeros(len(shelf), dtype=np.bool_)
    rows = [shelf.row_of[item] for item in map(bytes.decode, item_ids) if item in shelf.row_of]
    mask[rows] = True
    return mask
