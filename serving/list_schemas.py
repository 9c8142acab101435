"""The public API of lists: what to offer next, what is like an item, and what a cashier might say."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from serving.schemas import MAX_EXCLUDED, MAX_K, MAX_MEMBERS, Identifier, Passport, Reason, Status, Strict

MAX_CONTEXT = 100
MAX_DRY_RUN = 20
Placement = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9_-]+$")]
Items = Annotated[list[Identifier], Field(max_length=MAX_EXCLUDED)]
Context = Annotated[list[Identifier], Field(max_length=MAX_CONTEXT)]
Source = Literal[
    "due_again", "bought_before", "viewed", "goes_with", "goes_with_context", "similar_taste", "category", "trending",
    "popular_in_store", "popular_in_group", "popular", "pinned",
]  # fmt: skip
Kind = Literal["shop", "due_again", "goes_with_basket", "discovery", "bought_before", "popular"]
Step = Literal["none", "item_item", "popular_in_store", "popular_in_group", "popular"]
STEP_MEANING = {
    "none": "the member's own list",
    "item_item": "items that go with those of the request",
    "popular_in_store": "what sells well in the store of the request",
    "popular_in_group": "what sells well in the member's buying group",
    "popular": "what most members buy",
}

By = Literal["ranked", "own_frequency_decayed", "popularity", "als", "ease"]
ORDER_MEANING = {
    "ranked": "the ranker, which was shown to gain over own repeats and popularity",
    "own_frequency_decayed": "what the member bought most of late, a baseline: no model passed the comparison with it",
    "popularity": "what most members buy, a baseline: no model passed the comparison with it",
    "als": "taste (ALS) alone, shown to gain over the baselines; the ranker was not, or is worse",
    "ease": "what goes with own purchases (EASE) alone, shown to gain over the baselines; the ranker was not, or is worse",
}


class RecommendRequest(Strict):
    """Whom to recommend to, how much, where, and under which rules."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"member_ids": ["1"], "k": 5, "exclude": ["1029743"]},
                {"member_ids": ["1"], "k": 3, "store": "367", "context": ["1082185"], "dry_run": True},
            ]
        }
    )

    member_ids: list[Identifier] = Field(
        min_length=1, max_length=MAX_MEMBERS, description="members, answered in this order; one id may stand twice"
    )
    k: int = Field(default=10, ge=1, le=MAX_K, description="longest list wanted; rules and a small catalogue may leave less")
    exclude: Items = Field(default=[], description="items never to return; unknown or repeated ones do no harm")
    placement: Placement | None = Field(
        default=None, description="name of the rules file to obey, of a placement or a campaign; without it, the default rules"
    )
    store: Identifier | None = Field(
        default=None, description="where the list is shown: what that store has none of is left out"
    )
    context: Context = Field(
        default=[], description="items in the basket or on the page: others that go with them are offered, these are not"
    )
    adult: bool = Field(default=False, description="whether the member is known to be of age; without it no restricted items")
    dry_run: bool = Field(
        default=False,
        description=f"say which rule took which item away; nothing is left to chance; at most {MAX_DRY_RUN} members",
    )

    @model_validator(mode="after")
    def _few_enough(self) -> "RecommendRequest":
        if self.dry_run and len(self.member_ids) > MAX_DRY_RUN:
            raise ValueError(f"dry_run is for at most {MAX_DRY_RUN} members")
        return self


class SimilarRequest(Strict):
    """What to find similar items to: all of these together."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item_ids": ["1082185"], "k": 5}]})

    item_ids: list[Identifier] = Field(min_length=1, max_length=MAX_CONTEXT, description="items; those unknown do no harm")
    k: int = Field(default=10, ge=1, le=MAX_K, description="longest list wanted")
    exclude: Items = Field(default=[], description="items never to return")
    placement: Placement | None = Field(default=None, description="name of the rules file to obey")
    store: Identifier | None = Field(default=None, description="where the list is shown")
    adult: bool = Field(default=False, description="whether it may show items for adults only")
    dry_run: bool = Field(default=False, description="say which rule took which item away")


class CashierRequest(Strict):
    """Who stands at the till, and what lies on the belt so far."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"member_id": "1", "basket": ["1082185"], "store": "367"}]})

    member_id: Identifier = Field(description="the member")
    basket: Context = Field(default=[], description="items rung up so far; none of them is proposed")
    things: int = Field(default=3, ge=1, le=5, description="how many things to say, at most")
    placement: Placement | None = Field(default=None, description="name of the rules file to obey")
    store: Identifier | None = Field(default=None, description="the store of the till")
    adult: bool = Field(default=False, description="whether the member is known to be of age")


class ItemReason(Strict):
    """Why an item is offered. Act on `code`; the sentences may change."""

    code: str = Field(description="stable code: docs/rules.md lists them")
    en: str = Field(description="to be said to the member, in English")
    zh: str = Field(description="the same in Chinese")


class Item(Strict):
    """One item of a list."""

    item_id: str
    place: int = Field(ge=1, description="place in the list, from 1")
    source: Source = Field(description="where it came from")
    score: float | None = Field(description="by which the source ranked it; comparable within one source of one list")
    reason: ItemReason
    explored: bool = Field(default=False, description="whether chance put it here")
    propensity: float | None = Field(
        default=None,
        description="probability that this item came to this place; null where the placement leaves nothing to chance",
    )
    list_propensity: float | None = Field(default=None, description="probability that this item came into this list at all")


class Removed(Strict):
    """A candidate that is not in the list, and the first rule against it."""

    item_id: str
    rule: str = Field(description="stable code of the rule: docs/rules.md lists them")
    meaning: str


class RulesPassport(Strict):
    """Which rules were obeyed, and on which item table."""

    name: str = Field(description="name of the rules file; `default` where none was asked for")
    version: str = Field(description="hash of what the rules say")
    items_version: str | None = Field(description="version of the item table and of the stock; null if none was ever read")
    stock_checked: bool = Field(description="whether stock could be looked at: not while no item table was published or read")
    stock_age_seconds: int | None = Field(description="seconds since the store last confirmed the stock")


class ListPassport(Passport):
    """What it takes to reproduce a list."""

    rules: RulesPassport


class Order(Strict):
    """What puts items in order."""

    by: By = Field(description="; ".join(f"`{by}`: {meaning}" for by, meaning in ORDER_MEANING.items()))
    baseline: bool = Field(description="whether that is a simple rule, as no model passed the comparison with it")
    meaning: str = Field(description="the same in words; they may change")


class ListOrder(Strict):
    """What the model of the passport puts lists in order by, found beside own repeats and popularity when it was trained."""

    lists: Order = Field(description="lists as they are answered, repeats and new items together")
    new_items: Order = Field(description="items that are new to a member, where a list keeps a fixed share of places for them")


class OrderedPassport(ListPassport):
    """What it takes to reproduce a list of a member's own."""

    order: ListOrder | None = Field(default=None, description="what puts own lists in order; null without a recommender")


class RecommendRow(Strict):
    """One member's list."""

    member_id: str
    status: Status
    reason: Reason | None = Field(description="why the status is not OK, where the status alone does not say")
    fallback: Step = Field(description="highest step of the ladder that the list could start from")
    list_model: str | None = Field(description="version that made the member's own list; null where there is none")
    as_of: str | None = Field(description="moment up to which purchases were known to the member's own list")
    age_seconds: int | None = Field(description="its age at `moment`")
    live: bool = Field(description="whether the list was made anew from what the member did since `as_of`")
    items: list[Item]
    removed: list[Removed] | None = Field(default=None, description="with dry_run: candidates taken away, in order")


class SimilarResponse(Strict):
    """Items that go with those asked for."""

    passport: ListPassport
    status: Status
    reason: Reason | None
    unknown_items: int = Field(ge=0, description="how many of the items asked for the model does not know")
    items: list[Item]
    removed: list[Removed] | None = None


class Thing(Strict):
    """One thing worth saying."""

    kind: Kind = Field(description="what sort of remark it is")
    item: Item


class CashierResponse(Strict):
    """Up to so many things worth saying, each of another kind as far as there are."""

    passport: OrderedPassport
    status: Status
    reason: Reason | None
    fallback: Step
    list_model: str | None
    as_of: str | None
    age_seconds: int | None
    live: bool
    things: list[Thing]


_ITEM_EXAMPLE: dict[str, Any] = {
    "item_id": "856942",
    "place": 1,
    "source": "due_again",
    "score": 1.73,
    "reason": {
        "code": "DUE_AGAIN",
        "en": "you usually buy this every 12 days; last time 13 days ago",
        "zh": "您通常每12天买一次，上次在13天前",
    },
    "explored": False,
    "propensity": None,
    "list_propensity": None,
}
_PASSPORT_EXAMPLE: JsonDict = {
    "decision_id": "339ecb604db14a1aa9b6ef2a6d193149",
    "moment": "2018-01-01T15:00:00+00:00",
    "contract_hash": "0ef92787057801718125ab04b69fefbd712a04468a0398e92f490496e33c79fc",
    "models": {
        "recommender": {
            "name": "recommender",
            "version": "1",
            "alias": "champion",
            "engine": "xgboost",
            "definition": {"horizon_days": 28},
        }
    },
    "features_as_of": None,
    "features_age_seconds": None,
    "rules": {
        "name": "default",
        "version": "5b0cf1e9a7d2f4c8",
        "items_version": "0f3a5c7e9b1d2f4a.12",
        "stock_checked": True,
        "stock_age_seconds": 1,
    },
}
_PASSPORT_EXAMPLE["order"] = {
    "lists": {"by": "ranked", "baseline": False, "meaning": ORDER_MEANING["ranked"]},
    "new_items": {"by": "popularity", "baseline": True, "meaning": ORDER_MEANING["popularity"]},
}
_ROW_EXAMPLE: JsonDict = {
    "member_id": "1",
    "status": "OK",
    "reason": None,
    "fallback": "none",
    "list_model": "recommender@1",
    "as_of": "2018-01-01T05:00:00+00:00",
    "age_seconds": 36000,
    "live": False,
    "items": [_ITEM_EXAMPLE],
    "removed": [{"item_id": "866211", "rule": "OUT_OF_STOCK", "meaning": "it cannot be sold now"}],
}


class RecommendResponse(Strict):
    """Lists in the order asked for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"passport": _PASSPORT_EXAMPLE, "rows": [_ROW_EXAMPLE]}]})

    passport: OrderedPassport
    rows: list[RecommendRow]
