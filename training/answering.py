"""How each kind of model answers for everyone: numbers to keep and to pack, and the texts that people read of them.

Adding a kind is adding a line to `ANSWERING`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureRows
from features.errors import BundleRefused
from training.predictors import Matrix
from training.predictors.reason_codes import CODE_NAMES
from training.predictors.reasons import explain
from training.predictors.tier import MOVES

Columns = Mapping[str, NDArray[Any]]
Texts = Mapping[str, NDArray[np.bytes_]]
REASONS = 3
"""Reasons kept with each score. Their names fit into 64 bytes, beyond which Redis keeps a Hash in a costlier form."""
DIGITS = np.frombuffer(b"0123456789", dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Answering:
    """How one kind of model answers for everyone.

    Attributes
    ----------
    numbers
        From predictor, rows and their model matrix to columns: floats with NaN for no answer, int16 codes with -1.
    texts
        From predictor and these columns to fields of the readable profile, empty where there is no answer.
    labels
        What the codes stand for.
    explained
        Whether its scores come with reasons.
    """

    numbers: Callable[[Any, FeatureRows, Matrix], Columns]
    texts: Callable[[Any, Columns], Texts]
    labels: Callable[[Any], tuple[str, ...]] = lambda predictor: ()
    explained: bool = False


class NotANumber(BundleRefused):
    """A model answers with something that is no number."""


def reasons(predictor: Any, matrix: Matrix, *, among: NDArray[np.bool_] | None = None) -> Columns:
    """The strongest reasons of each score: positions in `CODE_NAMES`, -1 where there are fewer, and what each adds in logits.

    Parameters
    ----------
    among
        Rows that have a score; all if None.
    """
    found = explain(predictor, matrix, top=REASONS)
    codes = found.codes if among is None else np.where(among[:, None], found.codes, -1)
    adds = np.take_along_axis(found.contributions, np.maximum(codes, 0), axis=1)
    columns: dict[str, NDArray[Any]] = {}
    for place in range(codes.shape[1]):
        columns[f"reason_{place + 1}"] = codes[:, place].astype(np.int16)
        columns[f"reason_{place + 1}_adds"] = np.where(codes[:, place] >= 0, adds[:, place], np.nan).astype(np.float32)
    return columns


def reason_texts(columns: Columns) -> NDArray[np.bytes_]:
    """Names of the reasons of each row, strongest first, each with + or - for what it does to the score, commas between."""
    names = np.array([name.encode() for name in CODE_NAMES] + [b""])
    told: NDArray[np.bytes_] = np.full(len(columns["reason_1"]), b"")
    for place in range(REASONS):
        codes = columns[f"reason_{place + 1}"]
        sign = np.where(columns[f"reason_{place + 1}_adds"] >= 0, b"+", b"-")
        before = np.where(codes < 0, b"", np.strings.add(b"," if place else b"", sign))
        told = np.strings.add(told, np.strings.add(before, names[codes]))
    return told


def fixed(values: NDArray[np.floating[Any]], decimals: int = 6) -> NDArray[np.bytes_]:
    """Numbers from 0 to 9 with so many decimals as text, empty for NaN; a hundred times as fast as formatting each."""
    known = ~np.isnan(values)
    scaled = np.rint(np.where(known, values, 0).astype(np.float64) * 10**decimals).astype(np.int64)
    texts = np.empty((len(values), decimals + 2), dtype=np.uint8)
    texts[:, 1] = ord(".")
    for place in range(decimals + 1, 1, -1):
        scaled, digit = np.divmod(scaled, 10)
        texts[:, place] = DIGITS[digit]
    texts[:, 0] = DIGITS[scaled]
    found: NDArray[np.bytes_] = texts.view(f"S{decimals + 2}")[:, 0]
    return np.where(known, found, b"")


def _numbers(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values, found to be numbers."""
    wrong = int((~np.isfinite(values)).sum())
    if wrong:
        raise NotANumber(
            f"{wrong:,} of {values.size:,} answers of {name} are no numbers",
            remedy=f'promote another version of {name}, or train it again: "rapport retrain --models {name}"',
        )
    return values


def _churn(predictor: Any, rows: FeatureRows, matrix: Matrix) -> Columns:
    probability = _numbers(predictor.manifest.name, predictor.score(matrix))
    active = rows.column("days_since_last_purchase") <= predictor.manifest.definition["active_days"]
    return {"probability": np.where(active, probability, np.nan)}


def _churn_texts(predictor: Any, columns: Columns) -> Texts:
    probability, name = columns["probability"], predictor.manifest.name
    bands = sorted(predictor.manifest.parameters["bands"].items(), key=lambda band: band[1])
    names = np.array([band.encode() for band, _ in bands] + [b"lapsed"])
    edges = np.array([edge for _, edge in bands], dtype=np.float64)
    place = np.maximum(np.searchsorted(edges, probability, side="right") - 1, 0)
    place[np.isnan(probability)] = len(bands)
    return {f"{name}_probability": fixed(probability), f"{name}_band": names[place]}


def _tier(predictor: Any, rows: FeatureRows, matrix: Matrix) -> Columns:
    chances = predictor.score(matrix)
    by_tier = _numbers(predictor.manifest.name, chances).T
    found: dict[str, NDArray[Any]] = dict(zip(predictor.tiers, by_tier, strict=True))
    found["likely"] = predictor.likely_tier(chances).astype(np.int16)
    found["now"] = predictor.tier_now(matrix).astype(np.int16)
    return found


def _tier_texts(predictor: Any, columns: Columns) -> Texts:
    name, likely = predictor.manifest.name, columns["likely"]
    moves = np.array([move.encode() for move in MOVES])
    return {
        f"next_{name}": np.array([tier.encode() for tier in predictor.tiers])[likely],
        f"{name}_move": moves[np.sign(likely - columns["now"]) + 1],
    }


def _value(predictor: Any, rows: FeatureRows, matrix: Matrix) -> Columns:
    cents = _numbers(predictor.manifest.name, predictor.score(matrix))
    low, high = predictor.interval_of(cents)
    return {"cents": cents, "low_cents": low, "high_cents": high}


def _value_texts(predictor: Any, columns: Columns) -> Texts:
    return {
        f"{predictor.manifest.name}_{name}": np.rint(values).astype(np.int64).astype("S20") for name, values in columns.items()
    }


def _segments(predictor: Any, rows: FeatureRows, matrix: Matrix) -> Columns:
    return {"group": predictor.assign(matrix).astype(np.int16)}


def _segments_texts(predictor: Any, columns: Columns) -> Texts:
    return {"segment": np.array([name.encode() for name in predictor.names] + [b""])[columns["group"]]}


ANSWERING: Mapping[str, Answering] = {
    "churn": Answering(_churn, _churn_texts, explained=True),
    "bgnbd": Answering(_churn, _churn_texts),
    "tier": Answering(_tier, _tier_texts, lambda predictor: predictor.tiers, explained=True),
    "value": Answering(_value, _value_texts),
    "segments": Answering(_segments, _segments_texts, lambda predictor: predictor.names),
}
"""By kind of predictor. Kinds that are not here answer nobody at night."""
