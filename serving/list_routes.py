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

from features.rules.compiled import CompiledRules
from features.rules.declared import Rules
from features.settings import Settings
from features.shop_store import ShopReader
from serving.bundle import ModelSet
from serving.candidates import Asked, Below, Member, Row
from serving.cashier import CONSIDERED, worth_saying
from serving.list_engine import ListEngine
from serving.list_grounds import ListGrounds, Passport
from serving.list_members import ListMembers
from serving.list_parsing import parse_recommend
from serving.list_reading import ListReader
from serving.list_schemas import CashierRequest, SimilarRequest
from serving.metrics import Meter
from serving.offered import Offered
from serving.parsing import parse
from serving.quick_rows import quick_row
from serving.recommending import recommend_members, step_of
from serving.rules_in_force import REFRESH_S, RulesInForce, Ruling
from serving.similar import goes_with

decisions = logging.getLogger("rapport.decisions")


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
        self._settings, self._models = settings, models
        self._meter = meter or Meter()
        self._shop = ShopReader(settings.redis_url, prefix=settings.key_prefix, timeout_ms=settings.redis_timeout_ms)
        self.rules = RulesInForce(settings.rules_dir, self._shop, refresh_s=refresh_s)
        stale_after_s = settings.max_staleness_h * 3600.0
        self.members = ListMembers(reader, stale_after_s=stale_after_s)
        self._grounds, self._offered = ListGrounds(self.rules, passport), Offered()
        self._engine = ListEngine(reader, self._grounds, models, settings.clock, stale_after_s=stale_after_s, meter=self._meter)

    async def recommend(self, body: bytes, content_type: str, request_id: str) -> bytes:
        """POST /v1/recommend, without HTTP: a body in, a body out."""
        asked = parse_recommend(body, content_type)
        told = await self._engine.ask(asked, request_id)
        if isinstance(told, bytes):
            return told
        models, moment = self._models(), self._settings.clock()
        members = await self.members.made_of(asked.member_ids, told, models, moment)
        found = await self._found(
            members, models, moment, placement=asked.placement, store=asked.store, context=asked.context, adult=asked.adult
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
        rules = self._grounds.rules_of(ruling, asked.placement)
        alike, unknown = goes_with(models.recommender, asked.item_ids)
        if models.recommender is None:
            standing: Row = {"status": "PARTIAL", "reason": "model_missing"}
        elif unknown == len(asked.item_ids):
            standing = {"status": "COLD", "reason": "unknown_items"}
        else:
            standing = {"status": "OK", "reason": None}
        wanted = Asked(asked.k, frozenset(asked.exclude), tuple(asked.item_ids), asked.dry_run)
        member, below = Member("", None, standing), Below(with_context=alike)
        compiled = self._grounds.compiled(ruling, rules, [member], below, store=asked.store, adult=asked.adult)
        (row,) = recommend_members([member], wanted, below, compiled)
        kept: dict[str, Any] = {name: row[name] for name in ("status", "reason", "items", "removed")}
        passport = self._grounds.passport(_id_of(request), models, moment, ruling, rules)
        return {"passport": passport, "unknown_items": unknown, **kept}

    async def cashier(self, request: Request) -> dict[str, Any]:
        """POST /v1/cashier. What is said at the till are not the places of a list: none is left to chance."""
        asked = await self._parsed(request, CashierRequest)
        models, moment = self._models(), self._settings.clock()
        members = await self.members.of([asked.member_id], models, moment)
        found = await self._found(
            members, models, moment, placement=asked.placement, store=asked.store, context=asked.basket, adult=asked.adult
        )
        wanted = Asked(CONSIDERED, context=tuple(asked.basket))
        (row,) = recommend_members(found.members, wanted, found.below, found.compiled)
        kept = {name: row[name] for name in ("status", "reason", "fallback", "list_model", "as_of", "age_seconds", "live")}
        passport = self._ordered_passport(_id_of(request), found)
        return {"passport": passport, **kept, "things": worth_saying(row["items"], things=asked.things)}

    async def in_bulk(self, member_ids: Sequence[str], *, k: int, moment: datetime, placement: str | None = None) -> list[Row]:
        """A list a member as /v1/recommend answers without store or context; no place is left to chance."""
        models = self._models()
        found = await self._found(await self.members.of(member_ids, models, moment), models, moment, placement=placement)
        return recommend_members(found.members, Asked(k), found.below, found.compiled)

    async def close(self) -> None:
        """Let what is under way end, and give the connections back."""
        await self._engine.close()
        await self.members.close()
        await self._shop.close()

    async def _found(
        self,
        members: list[Member],
        models: ModelSet,
        moment: datetime,
        *,
        placement: str | None = None,
        store: str | None = None,
        context: Sequence[str] = (),
        adult: bool = False,
    ) -> _Found:
        ruling = await self.rules.now()
        rules = self._grounds.rules_of(ruling, placement)
        below = self._offered.below(models, context, store)
        compiled = self._grounds.compiled(ruling, rules, members, below, store=store, adult=adult)
        return _Found(models, moment, ruling, rules, members, below, compiled)

    def _rows(self, found: _Found, wanted: Asked) -> list[bytes]:
        """The rows as JSON: most of them the quick way, others the long one."""
        quick = self._grounds.quick(found.ruling, found.compiled)
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

    def _count(self, status: str, step: str) -> None:
        self._meter.add("rapport_rows_total", "recommend", status)
        self._meter.add("rapport_ladder_total", "recommend", step)

    def _ordered_passport(self, request_id: str, found: _Found) -> dict[str, Any]:
        return self._grounds.ordered_passport(request_id, found.models, found.moment, found.ruling, found.rules)

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
