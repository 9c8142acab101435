"""What a rules file may say, as values. `features.rules.reading` makes them from TOML; docs/rules.md says what each is for."""

from dataclasses import dataclass, field
from typing import Literal

Level = Literal["department", "category", "subcategory"]
LEVELS: tuple[Level, ...] = ("department", "category", "subcategory")
WhenUnknown = Literal["remove", "keep"]
LATELY_DAYS = 60
"""How far back lists remember what a member bought: as far as rules may look."""
MOST_PINNED = 50
MOST_EXPLORED = 0.5


@dataclass(frozen=True, slots=True)
class Band:
    """Limits of a figure, both inclusive; None where there is none. `unknown` says what becomes of items without the figure."""

    least: float | None = None
    most: float | None = None
    unknown: WhenUnknown = "remove"


@dataclass(frozen=True, slots=True)
class Named:
    """Rules about the names of categories or brands.

    Attributes
    ----------
    include
        If not empty, only items of these.
    exclude
        No item of these.
    cap, caps
        The most items of one name in a list, for every name and for single ones; a single one counts where both are given.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    cap: int | None = None
    caps: tuple[tuple[str, int], ...] = ()

    @property
    def caps_anything(self) -> bool:
        """Whether some number is limited."""
        return self.cap is not None or bool(self.caps)


@dataclass(frozen=True, slots=True)
class Exploration:
    """How much of a list is left to chance, so that later lists can be judged without bias.

    Attributes
    ----------
    share
        Chance of each place to hold an item drawn by lot; 0 turns it off.
    pool
        How many of the next allowed candidates are drawn from, each as likely as the others.
    """

    share: float = 0.0
    pool: int = 20


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one placement or campaign. Those without a value take nothing away.

    Attributes
    ----------
    pinned
        Items that come first, in this order, where the other rules let them.
    min_length
        A shorter list is not shown at all.
    in_stock, in_store
        Only what can be sold now; only what the store named in the request has.
    price
        Shelf price in cents.
    margin_share, margin_cents
        Price less cost, as a share of the price and in cents.
    level
        The column that caps of categories count by; includes and excludes look at all three.
    bought_within_days, unless_due
        Not what the member bought within these days, unless by their own rhythm they are due again.
    withdrawn
        Items never to be shown, whatever the item table says.
    adult_categories, adult_items
        Only for requests that say that the member is an adult.
    opted_out
        What a member who refused marketing gets: the list that everybody would get, or none.
    """

    name: str
    describes: str = ""
    pinned: tuple[str, ...] = ()
    min_length: int = 0
    in_stock: bool = True
    in_store: bool = True
    price: Band = Band()
    margin_share: Band = Band()
    margin_cents: Band = Band()
    level: Level = "category"
    category: Named = Named()
    brand: Named = Named()
    bought_within_days: int | None = None
    unless_due: bool = True
    withdrawn: tuple[str, ...] = ()
    adult_categories: tuple[str, ...] = ()
    adult_items: tuple[str, ...] = ()
    opted_out: Literal["generic", "empty"] = "generic"
    exploration: Exploration = field(default_factory=Exploration)


DEFAULT = Rules("default", describes="Only what the shop's item table has, and what can be sold now.")
"""What is in force where no file says otherwise."""
