"""The HTTP routes about lists: what they ask of registry, store and rules, and how answers are put together."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.requests import Request

from features.errors import StoreUnavailable
from features.rules.compiled import CompiledRules, compile_rules
from features.rules.declared import Rules
from features.rules.shelf import Shelf
from features.settings import Settings
from features.shop_store import ShopReader
from serving.bundle import ModelSet
from serving.candidates import Asked, Below, Member, Row, Scored, read_member
from serving.cashier import CONSIDERED, worth_saying
from serving.list_schemas import CashierRequest, RecommendRequest, SimilarRequest
from serving.parsing import parse
from serving.problems import ApiError
from serving.recommending import recommend_members
from serving.rules_in_force import REFRESH_S, RulesInForce, Ruling, version_of
from serving.similar import goes_with, popular, popular_in_store

decisions = logging.getLogger("rapport.decisions")
ReadLists = Callable[[Sequence[str]], Awaitable[tuple[Sequence[bytes | None], Sequence[bool]]]]
Passport = Callable[[Request, ModelSet, datetime], dict[str, Any]]


class ListRoutes:
    """What answers requests for lists.

    Parameters
    ----------
    read
        Stored lists of members, and whether each refused marketing.
    models
        The models that a request begins with, and keeps.
    passport
        The passport of an answer as far as models and moment go.
    """

    def __init__(
        self,
        settings: Settings,
        read: ReadLists,
        models: Callable[[], ModelSet],
        passport: Passport,
        *,
        refresh_s: float = REFRESH_S,
    ) -> None:
        self._settings, self._read, self._models, self._passport = settings, read, models, passport
        self._shop = ShopReader(settings.redis_url, prefix=settings.key_prefix, timeout_ms=settings.redis_timeout_ms)
        self.rules = RulesInForce(settings.rules_dir, self._shop, refresh_s=refresh_s)
        self._stale_after_s = settings.max_staleness_h * 3600.0
        self._popular: tuple[ModelSet | None, list[Scored]] = (None, [])
        self._in_store: dict[str, list[Scored]] = {}

    async def recommend(self, request: Request) -> dict[str, Any]:
        """POST /v1/recommend."""
        asked = await self._parsed(request, RecommendRequest)
        return await self._lists(request, asked, asked.member_ids, k=asked.k, context=asked.context, dry_run=asked.dry_run)

    async def similar(self, request: Request) -> dict[str, Any]:
        """POST /v1/similar."""
        asked = await self._parsed(request, SimilarRequest)
        models, moment = self._models(), self._settings.clock()
        ruling = await self.rules.now()
        rules = self._rules(ruling, asked.placement)
        alike, unknown = goes_with(models.recommender, asked.item_ids)
        if models.recommender is None:
            standing: Row = {"status": "PARTIAL", "reason": "model_missing"}
        elif unknown == len(asked.item_ids):
            standing = {"status": "COLD", "reason": "unknown_items"}
        else:
            standing = {"status": "OK", "reason": None}
        wanted = Asked(asked.k, frozenset(asked.exclude), tuple(asked.item_ids), asked.dry_run)
        member = Member("", None, standing)
        below = Below(with_context=alike)
        (row,) = recommend_members(
            [member], wanted, below, self._compiled(ruling, rules, [member], below, store=asked.store, adult=asked.adult)
        )
        found: dict[str, Any] = {name: row[name] for name in ("status", "reason", "items", "removed")}
        passport = self._list_passport(request, models, moment, ruling, rules)
        return {"passport": passport, "unknown_items": unknown, **found}

    async def cashier(self, request: Request) -> dict[str, Any]:
        """POST /v1/cashier."""
        asked = await self._parsed(request, CashierRequest)
        answer = await self._lists(request, asked, [asked.member_id], k=CONSIDERED, context=asked.basket, dry_run=False)
        (row,) = answer["rows"]
        kept = {name: row[name] for name in ("status", "reason", "fallback", "list_model", "as_of", "age_seconds")}
        return {"passport": answer["passport"], **kept, "things": worth_saying(row["items"], things=asked.things)}

    async def in_bulk(self, member_ids: Sequence[str], *, k: int, moment: datetime, placement: str | None = None) -> list[Row]:
        """A list a member as /v1/recommend answers without store or context; no place is left to chance."""
        ruling, members = await asyncio.gather(self.rules.now(), self._members(member_ids, moment))
        rules, below = self._rules(ruling, placement), self._below(self._models(), (), None)
        compiled = self._compiled(ruling, rules, members, below, store=None, adult=False)
        return recommend_members(members, Asked(k, frozenset(), (), False, ""), below, compiled)

    async def close(self) -> None:
        """Give the connections back."""
        await self._shop.close()

    async def _lists(
        self,
        request: Request,
        asked: RecommendRequest | CashierRequest,
        member_ids: Sequence[str],
        *,
        k: int,
        context: Sequence[str],
        dry_run: bool,
    ) -> dict[str, Any]:
        models, moment = self._models(), self._settings.clock()
        ruling, members = await asyncio.gather(self.rules.now(), self._members(member_ids, moment))
        rules = self._rules(ruling, asked.placement)
        below = self._below(models, context, asked.store)
        exclude = frozenset(asked.exclude) if isinstance(asked, RecommendRequest) else frozenset[str]()
        by_chance = isinstance(asked, RecommendRequest)  # what is said at the till are not the places of a list
        wanted = Asked(k, exclude, tuple(context), dry_run, _decision(request) if by_chance else "")
        compiled = self._compiled(ruling, rules, members, below, store=asked.store, adult=asked.adult)
        rows = recommend_members(members, wanted, below, compiled)
        self._log_chance(request, rules, rows)
        return {"passport": self._list_passport(request, models, moment, ruling, rules), "rows": rows}

    async def _members(self, member_ids: Sequence[str], moment: datetime) -> list[Member]:
        """The members with their stored lists; the same for everybody where the store does not answer."""
        lists: Sequence[bytes | None] = [None] * len(member_ids)
        refused: Sequence[bool] = [False] * len(member_ids)
        personal = True
        try:
            lists, refused = await self._read(member_ids)
        except StoreUnavailable:
            personal = False
        return [
            read_member(member, stored, refused=no, personal=personal, moment=moment, stale_after_s=self._stale_after_s)
            for member, stored, no in zip(member_ids, lists, refused, strict=True)
        ]

    def _below(self, models: ModelSet, context: Sequence[str], store: str | None) -> Below:
        if self._popular[0] is not models:
            self._popular, self._in_store = (models, popular(models.recommender)), {}
        with_context, _ = goes_with(models.recommender, context)
        return Below(with_context, self._selling_in(models, store), self._popular[1])

    def _selling_in(self, models: ModelSet, store: str | None) -> list[Scored]:
        """What sells well in a store, sorted once for each set of models."""
        if store is None:
            return []
        found = self._in_store.get(store) or popular_in_store(models.recommender, store)
        if found:
            self._in_store[store] = found  # only stores that the model knows: no client can make it grow
        return found

    def _rules(self, ruling: Ruling, placement: str | None) -> Rules:
        """The rules of a placement.

        Raises
        ------
        ApiError
            There are none of that name, or the file of that name cannot be used.
        """
        rules = ruling.named(placement)
        name = placement or "default"
        if name in self.rules.refused and name not in ruling.rules:  # no rules is not what it asked for
            raise ApiError("rules_refused", "the rules of this placement cannot be used; the server's log says why")
        if rules is None:
            there = {"pointer": "/placement", "problem": "no rules file has this name"}
            raise ApiError("invalid_request", "1 field is not as it should be", errors=[there])
        return rules

    def _compiled(
        self, ruling: Ruling, rules: Rules, members: Sequence[Member], below: Below, *, store: str | None, adult: bool
    ) -> CompiledRules:
        """The rules on the shelf; where nobody published one, on the items that may be offered, of which nothing is known."""
        compiled = ruling.compiled(rules, store=store, adult=adult)
        if compiled is not None and len(compiled.shelf):
            return compiled
        own = [item.item_id for member in members if member.own is not None for item in member.own.items]
        others = [item for scored in (below.with_context, below.in_store, below.popular) for item, _ in scored]
        return compile_rules(rules, Shelf.of_ids([*rules.pinned, *own, *others]), adult=adult)

    def _list_passport(
        self, request: Request, models: ModelSet, moment: datetime, ruling: Ruling, rules: Rules
    ) -> dict[str, Any]:
        stock = ruling.stock
        return {
            **self._passport(request, models, moment),
            "rules": {
                "name": rules.name,
                "version": version_of(rules),
                "items_version": stock.version if stock is not None else None,
                "stock_checked": stock is not None and len(stock.shelf) > 0,
                "stock_age_seconds": ruling.age_seconds(),
            },
        }

    def _log_chance(self, request: Request, rules: Rules, rows: Sequence[Mapping[str, Any]]) -> None:
        """One line a list that was left to chance: what stood where by which probability; outcomes join by decision and row."""
        for number, row in enumerate(rows):
            if rules.exploration.share and row["items"] and row["items"][0]["propensity"] is not None:
                shown = [[i["item_id"], i["place"], i["propensity"], i["list_propensity"]] for i in row["items"]]
                line = {"decision_id": _decision(request), "row": number, "rules": rules.name, "shown": shown}
                decisions.info(json.dumps(line))

    async def _parsed(self, request: Request, schema: type[Any]) -> Any:
        return parse(await request.body(), request.headers.get("content-type", ""), schema)


def _decision(request: Request) -> str:
    return str(request.scope["rapport.request_id"])
