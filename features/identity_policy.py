"""Which kinds of identifiers prove who somebody is, which only hint at it, and how much is too much to believe."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from features.errors import SourceError
from features.identifiers import MEMBER, canonical_kind

STRONG = frozenset({MEMBER, "card", "phone", "email", "open_id", "union_id"})
WEAK = frozenset({"cookie", "device", "fingerprint", "ip", "ad_id"})
LIMITS = ("members_per_identifier", "identifiers_per_weak", "identifiers_per_observation")


@dataclass(frozen=True, slots=True)
class IdentityPolicy:
    """The rules by which identifiers become members. A kind in neither set is weak; `member` is always strong.

    Attributes
    ----------
    members_per_identifier
        A strong identifier seen with more different member ids than this is a placeholder (the till's own phone number)
        and links nobody; nor does an observation that holds more.
    identifiers_per_weak
        A weak identifier seen with more different identifiers than this is a place (the address of a café) and links nobody.
    identifiers_per_observation
        An observation with more identifiers than this is no sighting of one person and links nobody.
    country
        The shop's calling code, such as `86`, for phone numbers written without one.
    """

    strong: frozenset[str] = STRONG
    weak: frozenset[str] = WEAK
    members_per_identifier: int = 5
    identifiers_per_weak: int = 50
    identifiers_per_observation: int = 50
    country: str = ""

    def __post_init__(self) -> None:
        both = self.strong & self.weak
        if both:
            raise SourceError(f"[identity] {', '.join(sorted(both))} cannot be strong and weak", remedy="leave one of the two")
        if MEMBER not in self.strong:
            raise SourceError("[identity] strong lacks member", remedy="the shop's own ids are always strong: add it")
        if min(self.members_per_identifier, self.identifiers_per_weak, self.identifiers_per_observation) < 1:
            raise SourceError(f"[identity] {', '.join(LIMITS)} are counts of at least 1")
        if self.country and not (self.country.isascii() and self.country.isdecimal()):
            raise SourceError("[identity] country is not a calling code", remedy='write digits alone, for example "86"')

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "IdentityPolicy":
        """The policy that a mapping's section `[identity]` describes; what it leaves out is as by default.

        Raises
        ------
        SourceError
            A name is unknown, a list is none, a kind stands in both lists, or a count is none.
        """
        known = ("strong", "weak", *LIMITS, "country")
        for name in content:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                remedy = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
                raise SourceError(f"[identity] {name!r} is unknown", remedy=remedy)
        strong, weak = (_kinds(content, name) for name in ("strong", "weak"))
        counts = {name: _count(content[name], name) for name in LIMITS if name in content}
        return cls(
            strong=(strong if strong is not None else STRONG - (weak or frozenset())) | {MEMBER},
            weak=weak if weak is not None else WEAK - (strong or frozenset()),
            country=str(content.get("country", "")).removeprefix("+"),
            **counts,
        )

    def to_content(self) -> dict[str, Any]:
        """The section that `of` makes this policy from, ready for JSON."""
        return {
            "strong": sorted(self.strong),
            "weak": sorted(self.weak),
            **{name: getattr(self, name) for name in LIMITS},
            "country": self.country,
        }


def _kinds(content: Mapping[str, Any], name: str) -> frozenset[str] | None:
    if name not in content:
        return None
    given = content[name]
    if not isinstance(given, list | tuple) or not all(isinstance(kind, str) for kind in given):
        raise SourceError(f"[identity] {name} is not a list of kinds", remedy=f'for example: {name} = ["phone", "card"]')
    return frozenset(canonical_kind(kind) for kind in given)


def _count(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SourceError(f"[identity] {name} is not a whole number")
    return value
