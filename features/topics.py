"""Which goods a tag speaks of: catalogue entries sorted into topics by their words, and into categories and brands."""

import re
from collections.abc import Mapping, Sequence
from functools import cache

from features.tag_families.declaring import Topic
from features.tag_families.latent_need import SENSITIVE

WORDS_OF = ("department", "category", "subcategory")
"""Columns of `items` in which words are looked for; a brand may be called anything."""


def topics_of(entry: Mapping[str, str | None], topics: Sequence[Topic]) -> list[str]:
    """Names of the topics that an entry of the catalogue belongs to."""
    text = " | ".join((entry[column] or "").lower() for column in WORDS_OF)
    return [t.name for t in topics if _pattern(t.words).search(text) and not (t.without and _pattern(t.without).search(text))]


def is_sensitive(value: str) -> bool:
    """Whether a category's name could tell of health, sexuality, religion, politics or origin."""
    return _pattern(SENSITIVE).search(value.lower()) is not None


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the words: Latin ones whole, with or without a plural ending; Chinese ones anywhere."""
    latin = "|".join(re.escape(word) for word in words if word.isascii())
    other = "|".join(re.escape(word) for word in words if not word.isascii())
    whole = rf"(?<![a-z])(?:{latin})(?:s|es)?(?![a-z])" if latin else ""
    return re.compile("|".join(part for part in (whole, other) if part))
