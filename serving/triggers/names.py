"""What the condition of a trigger may speak of: features, tags, scores, the event, and today's counts of its item."""

from collections.abc import Collection, Iterator, Mapping

from features.audience_language import Compared, Selection, Tagged, Vocabulary, leaves_of
from features.contract import CONTRACT, Contract
from features.lifecycle import RFM_TIERS
from features.sources.schema import CHANNELS
from serving.triggers.declared import EVENT_TYPES

BEFORE = "before."
"""Stands before the name of a feature or score as it was before the event, or at the last night's look."""
BANDS = ("low", "medium", "high")
SCORES: Mapping[str, tuple[str, ...]] = {
    "churn_probability": (),
    "churn_band": BANDS,
    "likely_tier": RFM_TIERS,
    "value_cents": (),
}
"""Scores, and the names of their values if they have any."""
OUTPUT_OF = {"churn_probability": "churn", "churn_band": "churn", "likely_tier": "tier", "value_cents": "value"}
"""What of `serving.outputs` has to be answered for a score."""
ITEM_COUNTS = ("count_views_item_1d", "count_carts_item_1d", "purchases_item_1d")
"""How often the member viewed, put into the cart, and bought the item of the event on the event's day, the event included."""
EVENT: Mapping[str, tuple[str, ...]] = {
    "event_type": EVENT_TYPES,
    "event_channel": CHANNELS,
    "event_hour": (),
    "event_net_cents": (),
    "event_lines": (),
    "event_quantity": (),
    "event_seconds": (),
}
EVENT_TEXTS = ("event_item", "event_store", "event_department", "event_category", "event_subcategory", "event_brand")
"""What of the event is compared as text: `event_category=FROZEN PIZZA`. Those after the store are of its item."""


class KnownTags(Collection[str]):
    """Tags that there are, and `event_category=<anything>` and the like, which only the event can tell."""

    def __init__(self, tags: Collection[str]) -> None:
        self._tags = tags

    def __contains__(self, name: object) -> bool:
        return name in self._tags or (isinstance(name, str) and is_event_text(name))

    def __iter__(self) -> Iterator[str]:
        yield from self._tags
        yield from (f"{name}=…" for name in EVENT_TEXTS)

    def __len__(self) -> int:
        return len(self._tags) + len(EVENT_TEXTS)


def is_event_text(tag: str) -> bool:
    """Whether a test of the tag kind is one of the event's texts."""
    name, sign, value = tag.partition("=")
    return bool(sign and value) and name in EVENT_TEXTS


def vocabulary(tags: Collection[str], contract: Contract = CONTRACT) -> Vocabulary:
    """Everything that may be said, given the tags there are."""
    known: dict[str, tuple[str, ...]] = {feature.name: feature.categories for feature in contract.features}
    known.update(SCORES)
    known.update({BEFORE + name: codes for name, codes in known.items()})
    known.update(EVENT)
    known.update(dict.fromkeys(ITEM_COUNTS, ()))
    return Vocabulary(KnownTags(tags), known)


def tags_in(selection: Selection) -> frozenset[str]:
    """Published tags that a condition rests on."""
    found = (leaf.tag for leaf in leaves_of(selection) if isinstance(leaf, Tagged))
    return frozenset(tag for tag in found if not is_event_text(tag))


def texts_in(selection: Selection) -> frozenset[str]:
    """Texts of the event that a condition rests on, with their values."""
    found = (leaf.tag for leaf in leaves_of(selection) if isinstance(leaf, Tagged))
    return frozenset(tag for tag in found if is_event_text(tag))


def numbers_in(selection: Selection) -> frozenset[str]:
    """Features, scores and numbers of the event that a condition rests on."""
    return frozenset(leaf.feature for leaf in leaves_of(selection) if isinstance(leaf, Compared))


def outputs_in(names: Collection[str]) -> frozenset[str]:
    """Which scores have to be answered for these names."""
    plain = (name.removeprefix(BEFORE) for name in names)
    return frozenset(OUTPUT_OF[name] for name in plain if name in OUTPUT_OF)


def needs_event(name: str) -> bool:
    """Whether only an event tells it."""
    return name in EVENT or name in ITEM_COUNTS or is_event_text(name)
