"""The fields of each canonical table that a mapping may name, and in which form each is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Form = Literal["text", "integer", "rounded", "quantity", "money", "moment", "day", "month", "boolean"]

STATES = ("items", "members")
"""Tables of what is known now: the last file that names a key wins, and one field that cannot be read does not cost the row."""
TYPES: Mapping[Form, str] = {
    "text": "VARCHAR",
    "integer": "INTEGER",
    "rounded": "INTEGER",
    "quantity": "INTEGER",
    "money": "BIGINT",
    "moment": "TIMESTAMP",
    "day": "INTEGER",
    "month": "INTEGER",
    "boolean": "BOOLEAN",
}
"""What DuckDB keeps a field as."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a canonical table as a mapping may name it.

    Attributes
    ----------
    firm
        A blank is unreadable where the mapping names the field, although it need not.
    column
        The canonical column that it fills; empty is the one of the same name.
    """

    name: str
    form: Form
    required: bool = False
    default: str | int | None = None
    firm: bool = False
    column: str = ""

    @property
    def target(self) -> str:
        """The canonical column that the field fills."""
        return self.column or self.name


_PLACE = (Field("channel", "text", default="store"), Field("store_id", "text"))
_WHEN = Field("occurred_at", "moment", required=True)

FIELDS: Mapping[str, tuple[Field, ...]] = {
    "purchases": (
        Field("order_id", "text"),
        Field("line_no", "integer", firm=True),
        Field("member_id", "text"),
        Field("item_id", "text"),
        Field("quantity", "quantity"),
        Field("net", "money", default=0, firm=True, column="net_cents"),
        Field("discount", "money", default=0, column="discount_cents"),
        Field("coupon", "money", default=0, column="coupon_cents"),
        *_PLACE,
        Field("kind", "text"),
        _WHEN,
        Field("recorded_at", "moment"),
    ),
    "items": (
        Field("item_id", "text", required=True),
        Field("department", "text"),
        Field("category", "text"),
        Field("subcategory", "text"),
        Field("brand", "text"),
        Field("own_brand", "boolean"),
        Field("pack_size", "text"),
        Field("price", "money", column="price_cents"),
        Field("cost", "money", column="cost_cents"),
        Field("sold_by_measure", "boolean"),
        Field("available", "boolean"),
    ),
    "members": (
        Field("member_id", "text", required=True),
        Field("registered", "day", column="registered_day"),
        Field("birth_month", "month"),
        Field("gender", "text"),
        Field("region", "text"),
        Field("home_store", "text"),
        Field("age_band", "text"),
        Field("household_size", "text"),
        Field("children", "text"),
        Field("marketing_consent", "boolean"),
    ),
    "events": (
        Field("event_id", "text"),
        Field("member_id", "text"),
        Field("event_type", "text", required=True),
        Field("item_id", "text"),
        Field("session_id", "text"),
        Field("duration_s", "rounded"),
        Field("channel", "text", default="web"),
        Field("store_id", "text"),
        _WHEN,
        Field("recorded_at", "moment"),
    ),
    "exposures": (
        Field("member_id", "text", required=True),
        Field("campaign_id", "text", required=True),
        Field("campaign_kind", "text"),
        Field("arm", "text"),
        Field("cost", "money", column="cost_cents"),
        Field("until", "day", column="until_day"),
        _WHEN,
    ),
    "redemptions": (
        Field("member_id", "text", required=True),
        Field("campaign_id", "text"),
        Field("coupon_id", "text", required=True),
        _WHEN,
    ),
    "identities": (
        Field("observation_id", "text"),
        Field("identifier_kind", "text"),
        Field("identifier", "text"),
        Field("seen", "day", column="local_day"),
    ),
}
WITH_IDENTIFIERS = ("purchases", "members", "events", "identities")
"""Tables whose rows may name identifiers of the person, such as a phone or a cookie."""
