"""The catalogue of the simulated grocer: departments, categories and items, laid out so that an item's row can be computed.

A cell is a category and a brand slot and holds `RANKS` items: row = (category * SLOTS + slot) * RANKS + rank. Slot 0 is the
shop's own brand; slots 1 to 7 are the makers of the department. Rank modulo 3 is the subcategory.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SLOTS = 8
RANKS = 9
OWN_SLOT = 0
OWN_BRAND = "simulated own"
CATALOGUE = {
    "produce": {
        "fruit": ("apples", "bananas", "berries"),
        "vegetables": ("roots", "cabbages", "tomatoes"),
        "salad": ("leaves", "sprouts", "dressings"),
        "herbs": ("fresh herbs", "dried herbs", "potted herbs"),
    },
    "dairy": {
        "milk": ("whole milk", "low-fat milk", "oat drinks"),
        "cheese": ("hard cheese", "soft cheese", "grated cheese"),
        "yoghurt": ("plain yoghurt", "fruit yoghurt", "curd"),
        "eggs and butter": ("eggs", "butter", "margarine"),
    },
    "meat and fish": {
        "poultry": ("chicken", "turkey", "duck"),
        "beef and pork": ("mince", "steak", "roast"),
        "sausage": ("cold cuts", "ham", "grill sausage"),
        "fish": ("white fish", "salmon", "shellfish"),
    },
    "bakery": {
        "bread": ("white bread", "rye bread", "crispbread"),
        "rolls": ("plain rolls", "seeded rolls", "buns"),
        "cake": ("cream cake", "dry cake", "tarts"),
        "biscuits": ("plain biscuits", "filled biscuits", "wafers"),
    },
    "pantry": {
        "pasta and rice": ("pasta", "rice", "grains"),
        "sauces": ("tomato sauce", "soy sauce", "mustard"),
        "canned food": ("canned beans", "canned fish", "soups"),
        "breakfast": ("muesli", "jam", "honey"),
    },
    "snacks": {
        "chocolate": ("bars", "pralines", "spreads"),
        "sweets": ("gums", "drops", "liquorice"),
        "crisps": ("potato crisps", "corn crisps", "pretzels"),
        "nuts": ("peanuts", "almonds", "mixed nuts"),
    },
    "drinks": {
        "water": ("still water", "sparkling water", "flavoured water"),
        "soft drinks": ("cola", "lemonade", "energy drinks"),
        "coffee and tea": ("coffee", "black tea", "herbal tea"),
        "beer and wine": ("beer", "red wine", "white wine"),
    },
    "frozen": {
        "frozen meals": ("pizza", "pan dishes", "frozen soups"),
        "frozen vegetables": ("peas", "spinach", "frozen mixes"),
        "ice cream": ("tubs", "cones", "sorbet"),
        "frozen fish": ("fish fingers", "fillets", "prawns"),
    },
    "household": {
        "cleaning": ("all-purpose cleaner", "washing-up liquid", "sponges"),
        "laundry": ("washing powder", "softener", "stain remover"),
        "paper": ("toilet paper", "kitchen paper", "tissues"),
        "pets": ("cat food", "dog food", "litter"),
    },
    "care": {
        "hair and skin": ("shampoo", "soap", "cream"),
        "teeth": ("toothpaste", "toothbrushes", "mouthwash"),
        "baby": ("nappies", "baby food", "wipes"),
        "health": ("vitamins", "plasters", "cold remedies"),
    },
}
CATEGORY_NAMES = tuple(category for categories in CATALOGUE.values() for category in categories)
CATEGORIES = len(CATEGORY_NAMES)
CELLS = CATEGORIES * SLOTS
ITEMS = CELLS * RANKS
BY_MEASURE = ("fruit", "vegetables", "beef and pork", "fish")
"""Of these categories, the items of slots 1 and 2 are sold by weight."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every item, row by row. `price_cents` is that of one piece, or of one kilogram where `by_measure`."""

    item_id: tuple[str, ...]
    department: tuple[str, ...]
    category: tuple[str, ...]
    subcategory: tuple[str, ...]
    brand: tuple[str, ...]
    own_brand: NDArray[np.bool_]
    price_cents: NDArray[np.int64]
    cost_cents: NDArray[np.int64]
    by_measure: NDArray[np.bool_]
    available: NDArray[np.bool_]
    popularity: NDArray[np.float64]  # of the categories, ascending sums that end at 1


def draw_catalogue(rng: np.random.Generator) -> Catalogue:
    """Prices, costs and popularity; names and layout are the same for every seed."""
    rows = np.arange(ITEMS)
    cell = rows // RANKS
    slot, category = cell % SLOTS, cell // SLOTS
    level = rng.lognormal(np.log(260), 0.45, CATEGORIES)[category] * rng.lognormal(0.0, 0.18, ITEMS)
    price = np.maximum(39, np.rint(level * np.where(slot == OWN_SLOT, 0.75, 1.0) / 10) * 10 - 1).astype(np.int64)
    share = rng.dirichlet(np.full(CATEGORIES, 3.0))
    measured = np.isin(category, [CATEGORY_NAMES.index(name) for name in BY_MEASURE]) & np.isin(slot, (1, 2))
    names = [(department, category) for department, categories in CATALOGUE.items() for category in categories]
    return Catalogue(
        item_id=tuple(f"i{row:05d}" for row in range(ITEMS)),
        department=tuple(names[c][0] for c in category),
        category=tuple(names[c][1] for c in category),
        subcategory=tuple(CATALOGUE[names[c][0]][names[c][1]][row % RANKS % 3] for row, c in enumerate(category)),
        brand=tuple(brand_name(int(c), int(s)) for c, s in zip(category, slot, strict=True)),
        own_brand=slot == OWN_SLOT,
        price_cents=price,
        cost_cents=np.rint(price * rng.uniform(0.55, 0.8, ITEMS)).astype(np.int64),
        by_measure=measured,
        available=rng.random(ITEMS) < 0.97,
        popularity=np.cumsum(share) / share.sum(),
    )


def brand_name(category: int, slot: int) -> str:
    """The brand that a slot stands for in the department of a category."""
    return OWN_BRAND if slot == OWN_SLOT else f"simulated {list(CATALOGUE)[category // 4]} {slot}"
