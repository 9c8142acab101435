"""Which rows of a file a table takes, where one file holds several kinds: a log of views and purchases, postage lines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from features.errors import SourceError
from features.sql_text import text

EXAMPLE = 'write, for example, only = { event = "purchase" }, or without = { sku = ["POST", "FEE"] }'


@dataclass(frozen=True, slots=True)
class Texts:
    """What stands in a column: one of some texts, or a match of a regular expression; "" is a blank."""

    words: tuple[str, ...] = ()
    matches: str = ""

    def holds(self, sql: str) -> str:
        """The condition in SQL over a column's text, which may be NULL."""
        bare = f"trim(coalesce({sql}, ''))"
        if self.matches:
            return f"regexp_matches({bare}, {text(self.matches)})"
        return f"{bare} IN ({', '.join(map(text, self.words))})"


@dataclass(frozen=True, slots=True)
class RowChoice:
    """The rows that a table takes: in every column of `only` one of its texts, in no column of `without` one of them."""

    only: Mapping[str, Texts] = field(default_factory=dict)
    without: Mapping[str, Texts] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, str]:
        """The option that names each column that is looked at."""
        return {**dict.fromkeys(self.without, "without"), **dict.fromkeys(self.only, "only")}

    def taken(self, text_of: Callable[[str], str]) -> str:
        """The condition in SQL on the rows that are taken; empty where all are.

        Parameters
        ----------
        text_of
            From a column's name to SQL for its text.
        """
        kept = [texts.holds(text_of(column)) for column, texts in self.only.items()]
        kept += [f"NOT {texts.holds(text_of(column))}" for column, texts in self.without.items()]
        return " AND ".join(kept)


def choice_of(only: object, without: object, *, table: str) -> RowChoice:
    """The rows that a table of a mapping takes.

    Raises
    ------
    SourceError
        An option is no table of columns, or names no text.
    """
    return RowChoice(_texts_by_column(only, f"{table}.only"), _texts_by_column(without, f"{table}.without"))


def _texts_by_column(content: object, where: str) -> dict[str, Texts]:
    if not isinstance(content, dict):
        raise SourceError(f"{where} is a table of columns", remedy=EXAMPLE)
    return {str(column): _texts(found, f"{where}.{column}") for column, found in content.items()}


def _texts(content: object, where: str) -> Texts:
    if isinstance(content, dict) and set(content) == {"matches"} and isinstance(content["matches"], str):
        return Texts(matches=content["matches"])
    several = content if isinstance(content, list) else [content]
    if not several or not all(isinstance(word, str | int | float) for word in several):
        raise SourceError(f"{where} is a text, a list of texts, or {{ matches = a regular expression }}", remedy=EXAMPLE)
    return Texts(tuple(str(word).lower() if isinstance(word, bool) else str(word) for word in several))
