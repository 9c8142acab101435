"""The rules and the shop's items as this worker knows them: looked at again every few seconds, kept while Redis is away."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from features.errors import RapportError, RulesRefused
from features.rules.compiled import CompiledRules, compile_rules
from features.rules.declared import DEFAULT, Rules
from features.rules.reading import read_rules
from features.shop_store import ShopReader, Stock

logger = logging.getLogger("rapport")
REFRESH_S = 2.0
KEPT_COMPILED = 256
Compiled = dict[tuple[str, str | None, bool], CompiledRules]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What one request is answered by; nothing of it changes while the request runs.

    Attributes
    ----------
    rules
        By the name of their file.
    stock
        The shelf as it was confirmed last; None if nobody published one, or this worker never read it.
    confirmed
        When that was, by the monotonic clock.
    """

    rules: Mapping[str, Rules]
    stock: Stock | None
    confirmed: float | None
    _compiled: Compiled = field(default_factory=dict, repr=False, compare=False)

    def named(self, placement: str | None) -> Rules | None:
        """The rules of a placement, None if there are none of that name; without a name, the default ones."""
        if placement is None or placement == DEFAULT.name:
            return self.rules.get(DEFAULT.name, DEFAULT)
        return self.rules.get(placement)

    def compiled(self, rules: Rules, *, store: str | None, adult: bool) -> CompiledRules | None:
        """The rules on the shelf as it is; None without a shelf."""
        if self.stock is None:
            return None
        key = (rules.name, store if store in self.stock.sold_out else None, adult)
        if key not in self._compiled:
            if len(self._compiled) >= KEPT_COMPILED:
                self._compiled.clear()
            sold_out = self.stock.sold_out.get(store) if store is not None else None
            self._compiled[key] = compile_rules(rules, self.stock.shelf, sold_out=sold_out, adult=adult)
        return self._compiled[key]

    def keeps(self, compiled: CompiledRules) -> bool:
        """Whether these are rules that it compiled and will give again."""
        return any(kept is compiled for kept in self._compiled.values())

    def age_seconds(self) -> int | None:
        """Seconds since the stock was confirmed."""
        return None if self.confirmed is None else int(time.monotonic() - self.confirmed)


class RulesInForce:
    """Rules of a folder and the shop's stock, refreshed by the first request after `refresh_s`."""

    def __init__(self, folder: Path, reader: ShopReader, *, refresh_s: float = REFRESH_S) -> None:
        self._folder, self._reader, self._refresh_s = folder, reader, refresh_s
        self._files: dict[Path, tuple[int, int]] = {}
        self._refused: dict[str, RulesRefused] = {}
        self._checked = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._ruling = Ruling({}, None, None)

    @property
    def refused(self) -> Mapping[str, RulesRefused]:
        """Files that cannot be used, by name. Where an earlier version could be, it stays in force."""
        return self._refused

    async def now(self) -> Ruling:
        """What is in force now. Requests that come while it is looked at wait for the same look."""
        if self._looking is None and time.monotonic() - self._checked >= self._refresh_s:
            self._looking = asyncio.get_running_loop().create_task(self._refresh())
        if self._looking is not None:
            await asyncio.shield(self._looking)
        return self._ruling

    async def _refresh(self) -> None:
        rules, known = self._read_files(), self._ruling
        stock, confirmed = known.stock, known.confirmed
        try:
            stock = await self._reader.read_stock(stock)
            confirmed = time.monotonic()
        except RapportError as error:
            logger.warning("the stock could not be looked at: %s", error.code)
        same = stock is known.stock and rules is known.rules
        self._ruling = replace(known, confirmed=confirmed) if same else Ruling(rules, stock, confirmed)
        self._checked, self._looking = time.monotonic(), None

    def _read_files(self) -> Mapping[str, Rules]:
        """Rules by name; the very same mapping if no file has changed."""
        found = {path: _stamp(path) for path in sorted(self._folder.glob("*.toml"))} if self._folder.is_dir() else {}
        if found == self._files:
            return self._ruling.rules
        self._files, self._refused = found, {}
        rules = {}
        for path in found:
            try:
                rules[path.stem] = read_rules(path)
            except RulesRefused as error:
                self._refused[path.stem] = error
                logger.error("%s", error)
                if path.stem in self._ruling.rules:
                    rules[path.stem] = self._ruling.rules[path.stem]
        return rules


@lru_cache(maxsize=256)
def version_of(rules: Rules) -> str:
    """A hash of what the rules say."""
    return hashlib.sha256(repr(rules).encode()).hexdigest()[:16]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
