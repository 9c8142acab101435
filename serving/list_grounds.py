"""What answers with lists are made by: models, rules on the shop's shelf, and the passport that tells of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from features.rules.compiled import CompiledRules, compile_rules
from features.rules.declared import Rules
from features.rules.shelf import Shelf
from serving.bundle import ModelSet
from serving.candidates import Below, Member
from serving.item_texts import ItemTexts
from serving.problems import ApiError
from serving.quick_rows import QuickRules
from serving.rules_in_force import RulesInForce, Ruling, version_of

Passport = Callable[[str, ModelSet, datetime], dict[str, Any]]


class ListGrounds:
    """The same for all requests of a worker, kept as long as it stands.

    Parameters
    ----------
    passport
        The passport of an answer to a request, by its id, as far as models and moment go.
    """

    def __init__(self, rules: RulesInForce, passport: Passport) -> None:
        self.rules, self._passport = rules, passport
        self._quick: tuple[Ruling | None, dict[int, QuickRules]] = (None, {})
        self._texts: ItemTexts | None = None
        self._written: tuple[ModelSet | None, Ruling | None, int | None] = (None, None, None)
        self._passports: dict[str, bytes] = {}

    def rules_of(self, ruling: Ruling, placement: str | None) -> Rules:
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

    def compiled(
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

    def quick(self, ruling: Ruling, compiled: CompiledRules) -> QuickRules:
        """The compiled rules as the quick way reads them, kept as long as rules and stock are the same."""
        kept = self._quick[0]
        if kept is None or kept.rules is not ruling.rules or kept.stock is not ruling.stock:
            self._quick = (ruling, {})
        known = self._quick[1].get(id(compiled))  # an entry holds what it was made of: no id comes twice
        if known is None:
            if self._texts is None or not self._texts.are_of(compiled.shelf):
                self._texts = ItemTexts(compiled.shelf)
            known = QuickRules.of(compiled, self._texts)
            if ruling.keeps(compiled):
                self._quick[1][id(compiled)] = known
        return known

    def passport(self, request_id: str, models: ModelSet, moment: datetime, ruling: Ruling, rules: Rules) -> dict[str, Any]:
        """The passport of lists, as `list_schemas.ListPassport`."""
        stock = ruling.stock
        return {
            **self._passport(request_id, models, moment),
            "rules": {
                "name": rules.name,
                "version": version_of(rules),
                "items_version": stock.version if stock is not None else None,
                "stock_checked": stock is not None and len(stock.shelf) > 0,
                "stock_age_seconds": ruling.age_seconds(),
            },
        }

    def ordered_passport(
        self, request_id: str, models: ModelSet, moment: datetime, ruling: Ruling, rules: Rules
    ) -> dict[str, Any]:
        """The passport of lists of members' own: it says, too, what puts these in order."""
        return {**self.passport(request_id, models, moment, ruling, rules), "order": models.list_order}

    def written_passport(self, models: ModelSet, moment: datetime, ruling: Ruling, rules: Rules) -> bytes:
        """The same as JSON from behind id and moment on, written once for all answers of a second."""
        now = (models, ruling, ruling.age_seconds())
        if now[0] is not self._written[0] or now[1] is not self._written[1] or now[2] != self._written[2]:
            self._written = now
            self._passports.clear()
        text = self._passports.get(rules.name)
        if text is None:
            passport = self.ordered_passport("", models, moment, ruling, rules)
            del passport["decision_id"], passport["moment"]
            text = self._passports[rules.name] = msgspec.json.encode(passport)[1:]
        return text
