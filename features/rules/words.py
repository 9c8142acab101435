"""Rules in plain words, one sentence each: what a file means, for people who did not write it."""

from collections.abc import Iterator, Sequence

from features.rules.declared import Band, Named, Rules

SHOWN_NAMES = 5


def in_words(rules: Rules) -> list[str]:
    """Every rule in force as a sentence, in the order in which they are looked at."""
    return [*_shown(rules), *_stock(rules), *_figures(rules), *_named(rules), *_members(rules), *_exploration(rules)]


def _shown(rules: Rules) -> Iterator[str]:
    if rules.pinned:
        yield f"First come {_names(rules.pinned)}, where the other rules let them."
    if rules.min_length:
        yield f"A list of fewer than {rules.min_length} items is not shown."


def _stock(rules: Rules) -> Iterator[str]:
    yield "Only items of the shop's item table, or sold of late, as published last."
    if rules.withdrawn:
        yield f"Withdrawn: {_names(rules.withdrawn)}."
    yield "Only what can be sold now." if rules.in_stock else "Also what cannot be sold now."
    if rules.in_store:
        yield "Where the request names a store: only what it has."


def _figures(rules: Rules) -> Iterator[str]:
    if _limits(rules.price):
        yield f"Price {_band(rules.price, 'cents')}; items without a price are {_unknown(rules.price)}."
    for band, unit in ((rules.margin_share, "of the price"), (rules.margin_cents, "cents")):
        if _limits(band):
            yield f"Margin {_band(band, unit)}; items without a price or cost are {_unknown(band)}."


def _named(rules: Rules) -> Iterator[str]:
    yield from _of_names("category", "department, category or subcategory", rules.level, rules.category)
    yield from _of_names("brand", "brand", "brand", rules.brand)
    restricted = [*rules.adult_categories, *rules.adult_items]
    if restricted:
        yield f"For adults only: {_names(restricted)}; the request must say that the member is one."


def _of_names(noun: str, where: str, counted: str, named: Named) -> Iterator[str]:
    if named.include:
        yield f"Only items whose {where} is {_names(named.include, ' or ')}."
    if named.exclude:
        yield f"No items whose {where} is {_names(named.exclude, ' or ')}."
    if named.cap is not None:
        yield f"At most {named.cap} items of one {counted} in a list."
    for name, cap in named.caps:
        yield f"At most {cap} of the {counted} {name}."


def _members(rules: Rules) -> Iterator[str]:
    if rules.bought_within_days is not None:
        unless = ", unless by their own rhythm they are due again" if rules.unless_due else ""
        yield f"Not what the member bought within {rules.bought_within_days} days{unless}."
    shown = {"generic": "the list that everybody would get", "empty": "no list"}[rules.opted_out]
    yield f"Members who refused marketing get {shown}."


def _exploration(rules: Rules) -> Iterator[str]:
    drawn = rules.exploration
    if drawn.share:
        yield (
            f"Each place is left to chance with probability {drawn.share:g}: "
            f"an item drawn from the next {drawn.pool} that all rules allow."
        )


def _limits(band: Band) -> bool:
    return band.least is not None or band.most is not None


def _band(band: Band, unit: str) -> str:
    if band.least is not None and band.most is not None:
        return f"from {band.least:g} to {band.most:g} {unit}"
    return f"at least {band.least:g} {unit}" if band.least is not None else f"at most {band.most:g} {unit}"


def _unknown(band: Band) -> str:
    return "left out" if band.unknown == "remove" else "kept"


def _names(names: Sequence[str], last: str = ", ") -> str:
    shown = [f'"{name}"' for name in names[:SHOWN_NAMES]]
    more = len(names) - len(shown)
    return (", ".join(shown) if last == ", " or more else last.join(shown)) + (f" and {more} more" if more else "")
