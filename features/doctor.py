"""The data doctor's first half: what a shop's facts tell, since when, and which features stay missing for want of it."""

from collections import Counter
from dataclasses import dataclass
from datetime import date

from features.capabilities import CAPABILITIES, capability, silent
from features.contract import CONTRACT, Contract
from features.days import calendar_day, day_of, moment_of
from features.declarations import Aggregate
from features.facts import Facts


@dataclass(frozen=True, slots=True)
class CapabilityCheck:
    """One thing facts may tell. `since` is the local day from which these do; None if they never do."""

    name: str
    meaning: str
    since: date | None
    evidence: str
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FamilyCheck:
    """One family of features: how many there are, and which are missing for everyone, for want of which capabilities."""

    family: str
    features: int
    missing: tuple[str, ...]
    wanting: tuple[str, ...]


def check_capabilities(facts: Facts, contract: Contract = CONTRACT) -> list[CapabilityCheck]:
    """Every capability with the evidence, and the features that are missing for everyone without it."""
    return [
        CapabilityCheck(
            c.name, c.meaning, _since(facts, c.name), _evidence(facts, c.name), features_without(contract, {c.name})
        )
        for c in CAPABILITIES
    ]


def check_families(facts: Facts, contract: Contract = CONTRACT) -> list[FamilyCheck]:
    """Every family of features as of the end of the facts."""
    absent = facts.absent(facts.manifest.until_day)
    missing = set(features_without(contract, absent))
    sizes = Counter(feature.family for feature in contract.features)
    found = []
    for family, size in sizes.items():
        gone = tuple(f.name for f in contract.features if f.family == family and f.name in missing)
        wanting = tuple(sorted(name for name in absent if set(gone) & set(features_without(contract, {name}))))
        found.append(FamilyCheck(family, size, gone, wanting))
    return found


def features_without(contract: Contract, absent: set[str] | frozenset[str]) -> tuple[str, ...]:
    """Names of the features that rest on an aggregate which says nothing without these capabilities."""
    silenced = set(silent(contract.aggregates, frozenset(absent)))
    return tuple(f.name for f in contract.features if any(s in silenced for s in f.sources() if isinstance(s, Aggregate)))


def _since(facts: Facts, name: str) -> date | None:
    moment = facts.manifest.since.get(name)
    return None if moment is None else calendar_day(day_of(moment_of(moment), facts.zone))


def _evidence(facts: Facts, name: str) -> str:
    known = capability(name)
    rows = facts.manifest.rows.get(known.table, 0)
    if not rows:
        return f"no rows in {known.table}"
    if facts.manifest.since.get(name) is None:
        return f"none of {rows:,} rows in {known.table} tells" + (f", nor items.{known.catalogue}" if known.catalogue else "")
    return f"{rows:,} rows in {known.table}"
