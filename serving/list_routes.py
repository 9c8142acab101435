"""The HTTP routes about lists: what they ask of registry, store and rules, and how answers are put together."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request

from features.rules.compiled import CompiledRules, compile_rules
from features.rules.declared import Rules
from features.rules.shelf import Shelf
from features.settings import Settings
from features.shop_store import ShopReader
from serving.bundle import ModelSet
from serving.candidates import Asked, Below, Member, Row
from serving.cashier import CONSIDERED, worth_saying
from serving.list_members import ListMembers
from serving.list_parsing import parse_recommend
from serving.list_reading import ListReader
from serving.list_schemas import CashierRequest, SimilarRequest
from serving.metrics import Meter
from serving.offered import Offered
from serving.parsing import parse
from serving.problems import ApiError
from serving.quick_rows import QuickRules, quick_row
from serving.recommending import recommend_members, step_of
from serving.rules_in_force import REFRESH_S, RulesInForce, Ruling, version_of
from serving.similar import goes_with

decisions = logging.getLogger("rapport.decisions")
Passport = Callable[[str, ModelSet, datetime], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Found:
    """What a request is answered by: nothing of it changes while the request runs."""

    models: ModelSet
    moment: datetime
    ruling: Ruling
    rules: Rules
    members: list[Member]
    below: Below
    compiled: CompiledRules


class ListRoutes:
    """What answers requests for lists.

    Parameters
    ----------
    reader
        Stored lists of members, whether each refused marketing, and what they did since the night.
    models
        The models that a request begins with, and keeps.
    passport
        The passport of an answer to a request, by its id, as far as models and moment go.
    """

    def __init__(
        self,
        settings: Settings,
        reader: ListReader,
        models: Callable[[], ModelSet],
        passport: Passport,
        *,
        meter: Meter | None = None,
        refresh_s: float = REFRESH_S,
    ) -> None:
        self._settings, self._models, self._passport = settings, models, passport
        self._meter = meter or Meter()
        self._shop = ShopReader(settings.redis_url, prefix=settings.key_prefix, timeout_ms=settings.redis_timeout_ms)
        self.rules = RulesInForce(settings.rules_dir, self._shop, refresh_s=refresh_s)
        self.members = ListMembers(reader, stale_after_s=settings.max_staleness_h * 3600.0)
        self._offered = Offered()
        self._quick: tuple[Ruling | None, dict[int, QuickRules]] = (None, {})

    async def recommend(self, body: bytes, content_type: str, request_id: str) -> bytes:
        """POST /v1/recommend, without HTTP: a body in, a body out."""
        asked = parse_recommend(body, content_type)
        found = await self._found(
            asked.member_ids, placement=asked.placement, store=asked.store, context=asked.context, adult=asked.adult
        )
        wanted = Asked(asked.k, frozenset(asked.exclude), tuple(asked.context), asked.dry_run, request_id)
        rows = self._rows(found, wanted)
        passport = msgspec.json.encode(self._ordered_passport(request_id, found))
        return b'{"passport":%b,"rows":[%b]}' % (passport, b",".join(rows))

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
        member, below = Member("", None, standing), Below(with_context=alike)
        compiled = self._compiled(ruling, rules, [member], below, store=asked.store, adult=asked.adult)
        (row,) = recommend_members([member], wanted, below, compiled)
        kept: dict[str, Any] = {name: row[name] for name in ("status", "reason", "items", "removed")}
        found = _Found(models, moment, ruling, rules, [member], below, compiled)
        return {"passport": self._list_passport(_id_of(request), found), "unknown_items": unknown, **kept}

    async def cashier(self, request: Request) -> dict[str, Any]:
        """POST /v1/cashier. What is said at the till are not the places of a list: none is left to chance."""
        asked = await self._parsed(request, CashierRequest)
        found = await self._found(
            [asked.member_id], placement=asked.placement, store=asked.store, context=asked.basket, adult=asked.adult
        )
        wanted = Asked(CONSIDERED, context=tuple(asked.basket))
        (row,) = recommend_members(found.members, wanted, found.below, found.compiled)
        kept = {name: row[name] for name in ("status", "reason", "fallback", "list_model", "as_of", "age_seconds", "live")}
        passport = self._ordered_passport(_id_of(request), found)
        return {"passport": passport, **kept, "things": worth_saying(row["items"], things=asked.things)}

    async def in_bulk(self, member_ids: Sequence[str], *, k: int, moment: datetime, placement: str | None = None) -> list[Row]:
        """A list a member as /v1/recommend answers without store or context; no place is left to chance."""
        found = await self._found(member_ids, placement=placement, moment=moment)
        return recommend_members(found.members, Asked(k), found.below, found.compiled)

    async def close(self) -> None:
        """Let what is under way end, and give the connections back."""
        await self.members.close()
        await self._shop.close()

    async def _found(
        self,
        member_ids: Sequence[str],
        *,
        placement: str | None = None,
        store: str | None = None,
        context: Sequence[str] = (),
        adult: bool = False,
        moment: datetime | None = None,
    ) -> _Found:
        models, moment = self._models(), moment or self._settings.clock()
        ruling = await self.rules.now()
        rules = self._rules(ruling, placement)
        members = await self.members.of(member_ids, models, moment)
        below = self._offered.below(models, context, store)
        compiled = self._compiled(ruling, rules, members, below, store=store, adult=adult)
        return _Found(models, moment, ruling, rules, members, below, compiled)

    def _rows(self, found: _Found, wanted: Asked) -> list[bytes]:
        """The rows as JSON: most of them the quick way, others the long one."""
        quick = self._quick_rules(found)
        rows = [quick_row(member, wanted, found.below, quick) for member in found.members]
        for member, row in zip(found.members, rows, strict=True):
            if row is not None:
                self._count(member.standing["status"], step_of(member, found.below))
        left = [place for place, row in enumerate(rows) if row is None]
        if left:
            slow = recommend_members([found.members[place] for place in left], wanted, found.below, found.compiled)
            self._log_chance(wanted.decision_id, found.rules, slow)
            for place, told in zip(left, slow, strict=True):
                self._count(told["status"], told["fallback"])
                rows[place] = msgspec.json.encode(told)
        return [row for row in rows if row is not None]

    def _quick_rules(self, found: _Found) -> QuickRules:
        """The compiled rules as the quick way reads them, kept as long as the ruling stands."""
        if self._quick[0] is not found.ruling:
            self._quick = (found.ruling, {})
        known = self._quick[1].get(id(found.compiled))  # an entry holds what it was made of: no id comes twice
        if known is None:
            known = QuickRules.of(found.compiled)
            if found.ruling.keeps(found.compiled):
                self._quick[1][id(found.compiled)] = known
        return known

    def _count(self, status: str, step: str) -> None:
        self._meter.add("rapport_rows_total", "recommend", status)
        self._meter.add("rapport_ladder_total", "recommend", step)

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
        others = [
            item for scored in (below.with_context, below.in_store, below.popular, *below.in_groups) for item, _ in scored
        ]
        return compile_rules(rules, Shelf.of_ids([*rules.pinned, *own, *others]), adult=adult)

    def _list_passport(self, request_id: str, found: _Found) -> dict[str, Any]:
        stock = found.ruling.stock
        return {
            **self._passport(request_id, found.models, found.moment),
            "rules": {
                "name": found.rules.name,
                "version": version_of(found.rules),
                "items_version": stock.version if stock is not None else None,
                "stock_checked": stock is not None and len(stock.shelf) > 0,
                "stock_age_seconds": found.ruling.age_seconds(),
            },
        }

    def _ordered_passport(self, request_id: str, found: _Found) -> dict[str, Any]:
        """The passport of lists of members' own: it says, too, what puts these in order."""
        return {**self._list_passport(request_id, found), "order": found.models.list_order}

    def _log_chance(self, decision_id: str, rules: Rules, rows: Sequence[Mapping[str, Any]]) -> None:
        """One line a list that was left to chance: what stood where by which probability; outcomes join by decision and row."""
        for number, row in enumerate(rows):
            if rules.exploration.share and row["items"] and row["items"][0]["propensity"] is not None:
                shown = [[i["item_id"], i["place"], i["propensity"], i["list_propensity"]] for i in row["items"]]
                decisions.info(json.dumps({"decision_id": decision_id, "row": number, "rules": rules.name, "shown": shown}))

    async def _parsed(self, request: Request, schema: type[Any]) -> Any:
        return parse(await request.body(), request.headers.get("content-type", ""), schema)


def _id_of(request: Request) -> str:
    return str(request.scope["rapport.request_id"])
