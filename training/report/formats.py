"""How a report writes what it says: numbers, shares, amounts, intervals, the names of baselines, and bars."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from training.evaluation.intervals import Interval

BASELINES = {
    "recency": "days since the last purchase",
    "rfm_logistic": "a regression on recency, frequency and spend",
    "bgnbd": "the BG/NBD formula",
    "bgnbd_gamma_gamma": "the BG/NBD and Gamma-Gamma formulas",
    "persistence": "“everybody stays in their tier”",
    "rfm_quantiles": "the RFM score cut into tiers",
    "past_spend": "what they spent in the last such period",
    "nearest_centroid": "the nearest group centre",
    "popularity": "what sells best",
    "own_frequency": "what each member bought most often",
    "own_frequency_decayed": "what each member bought most often of late",
    "als_default": "ALS as its library sets it up",
    "als": "ALS alone",
    "ease": "EASE alone",
    "item_item": "what is bought by the same members",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A quantity beside another: its label, its part of the longest bar from 0 to 1, and how it is written."""

    label: str
    length: float
    text: str


def named(baseline: str) -> str:
    """A baseline in words."""
    return BASELINES.get(baseline, baseline.replace("_", " "))


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many digits after the point; a dash for an unknown one."""
    return "-" if value is None or not isfinite(value) else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 0) -> str:
    """A share as a percentage."""
    return "-" if value is None or not isfinite(value) else f"{value:.{digits}%}".replace("%", "\u202f%")


def of_hundred(share: float) -> str:
    """A share as so many of 100."""
    return f"{100 * share:.0f} of 100" if share >= 0.1 or share == 0 else f"{100 * share:.1f} of 100"


def money(value: float | None, currency: str, digits: int = 0) -> str:
    """An amount with its currency behind it."""
    return f"{number(value, digits)} {currency}".strip()


def plain(value: object) -> str:
    """A parameter or note as text: four digits of a number, lists and tables in one line, a dash for nothing."""
    if isinstance(value, float):
        return f"{value:.4g}" if isfinite(value) else "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(one)}" for name, one in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(plain(one) for one in value) or "-"
    return "-" if value is None or value == "" else str(value)


def between(interval: Interval, digits: int = 0) -> str:
    """The two ends of an interval in words."""
    return f"between {number(interval.low, digits)} and {number(interval.high, digits)}"
