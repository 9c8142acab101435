"""A table of a TOML file that people write, taken key by key; what cannot be is noted, with what to write instead."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_SHOWN = 60


@dataclass(slots=True)
class TomlSection:
    """One table of a file, from which keys are taken one by one; what nobody takes is unknown.

    Attributes
    ----------
    name
        Where the table stands in the file; empty is the top of it.
    problems
        What was found wrong, one after the other; shared by all sections of a file.
    """

    name: str
    values: Mapping[str, Any]
    problems: list[str]
    known: list[str] = field(default_factory=list)

    def take(self, key: str, wanted: str, fits: Callable[[Any], bool], default: Any) -> Any:
        """The value of a key if it is what is wanted, else the default, and a problem noted."""
        self.known.append(key)
        if key not in self.values:
            return default
        value = self.values[key]
        if fits(value):
            return value
        self.problems.append(f"{self.of(key)} = {shown(value)} cannot be: write {wanted}")
        return default

    def of(self, key: str) -> str:
        """A key as messages name it."""
        return f"{self.name}.{key}" if self.name else key


def shown(value: object) -> str:
    """A value as messages show it."""
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}…"
