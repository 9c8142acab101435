"""Made-up evidence whose qualities are known: how well the model ranks, that it is calibrated, that its baseline is worse."""

from dataclasses import replace

import numpy as np
import pytest

from training.evidence import Evidence, Judged
from training.periods import Period

FIRST_TEST = 19_700
HORIZON = 28


def period(number: int, *, horizon_days: int = HORIZON) -> Period:
    """One of three periods, a horizon apart."""
    test = FIRST_TEST + number * horizon_days
    return Period(horizon_days, (test - 3 * horizon_days,), test - 2 * horizon_days, test - horizon_days, test)


def risk_judged(number: int, *, rows: int = 900, seed: int = 1) -> Judged:
    """Calibrated risks of the same members, moving a little; `recency` ranks worse, `bgnbd` is a worse probability."""
    generator = np.random.default_rng(seed)
    own = generator.normal(-1.7, 1.4, rows)
    generator = np.random.default_rng(seed + 100 * number)
    logit = own + generator.normal(0, 0.3, rows)
    risk = 1 / (1 + np.exp(-logit))
    blurred = logit + generator.normal(0, 1.2, rows)
    return Judged(
        period(number),
        np.array([f"m{row:04}" for row in range(rows)]),
        generator.random(rows) < risk,
        risk,
        {"recency": 40 + 10 * blurred, "bgnbd": 1 / (1 + np.exp(-blurred))},
        {
            "tier": np.array(["regular", "gold", "diamond"])[np.searchsorted([0.6, 0.9], np.arange(rows) / rows)],
            "stage": np.where(own > -1, "at_risk", "loyal"),
        },
        notes={"trees": 100 + number},
    )


def tier_judged(number: int, *, rows: int = 900) -> Judged:
    """Probabilities of three tiers around a spend whose last value is `persistence`."""
    generator = np.random.default_rng(number)
    centre = generator.normal(0.7, 0.8, rows)
    weights = np.exp(-((np.arange(3)[None, :] - centre[:, None]) ** 2))
    answer = weights / weights.sum(axis=1, keepdims=True)
    truth = (generator.random((rows, 1)) > np.cumsum(answer, axis=1)).sum(axis=1)
    before = np.clip(np.rint(centre + generator.normal(0, 0.9, rows)), 0, 2)
    ids = np.array([f"m{row:04}" for row in range(rows)])
    return Judged(
        period(number, horizon_days=90), ids, truth, answer, {"persistence": before}, {"stage": np.full(rows, "loyal")}
    )


def value_judged(number: int, *, rows: int = 900) -> Judged:
    """Amounts in cents, a fifth of them 0, with 80 % intervals."""
    generator = np.random.default_rng(number)
    expected = np.exp(generator.normal(9, 1, rows))
    truth = np.where(generator.random(rows) < 0.2, 0, expected * 1.25 * np.exp(generator.normal(-0.125, 0.5, rows)))
    past = expected * np.exp(generator.normal(0, 0.8, rows))
    ids = np.array([f"m{row:04}" for row in range(rows)])
    stages = np.where(generator.random(rows) < 0.5, "loyal", "new")
    return Judged(
        period(number, horizon_days=90), ids, truth.astype(np.int64), expected, {"past_spend": past}, {"stage": stages},
        low=np.zeros(rows), high=expected * 2,
    )  # fmt: skip


def segments_judged(number: int, *, rows: int = 900) -> Judged:
    """Eight groups, of which the classifier finds nearly all."""
    generator = np.random.default_rng(number)
    truth = generator.integers(0, 8, rows)
    said = np.where(generator.random(rows) < 0.96, truth, generator.integers(0, 8, rows))
    answer = np.full((rows, 8), 0.02)
    answer[np.arange(rows), said] = 0.86
    return Judged(
        period(number), np.array([f"m{row:04}" for row in range(rows)]), truth, answer,
        {"nearest_centroid": np.where(generator.random(rows) < 0.9, truth, 0).astype(float)},
        {"stage": np.full(rows, "loyal")},
    )  # fmt: skip


def lists_judged(number: int, *, mine: float = 0.2, theirs: float = 0.15, rows: int = 900) -> Judged:
    """Recall of a list a member, beside that of popularity; long histories have better lists."""
    generator = np.random.default_rng(number)
    wanted = generator.integers(1, 12, rows)
    groups = np.where(np.arange(rows) % 3 == 0, "1-4", "5-19")
    level = np.where(groups == "1-4", 0.8, 1.1)
    found = [generator.binomial(wanted, (mean * level).clip(0, 1)) / wanted for mean in (mine, theirs)]
    alike = {name: {"categories": 9.5, "price_gap": 0.25} for name in ("list", "popularity")}
    notes = {
        "items": 400, "members": rows, "variety": alike,
        "variety_novel": {"list": {"categories": 9.0, "price_gap": float("nan")}},
        "coverage": {"list": 0.4, "popularity": 0.05}, "coverage_novel": {"list": 0.3, "popularity": 0.06},
        "caps": {"2": {"recall20": 0.19, "categories": 12.0, "coverage": 0.41}},
        "candidate_recall": {"together": {"repeats": 0.5, "novel": 0.2, "per_member": 80.0}},
    }  # fmt: skip
    ids = np.array([f"m{row:04}" for row in range(rows)])
    return Judged(period(number), ids, wanted, found[0], {"popularity": found[1]}, {"history": groups}, notes=notes)


def lists_evidence() -> Evidence:
    """Lists judged by three questions; of new items the model knows no more than popularity, which serves."""
    levels = {"repeats": (0.2, 0.15), "basket": (0.3, 0.2), "novel": (0.05, 0.05)}
    first, *others = (
        evidence_of(
            "recommender",
            {"horizon_days": 28, "question": question, "serves": "popularity" if question == "novel" else "ranked"},
            tuple(lists_judged(number, mine=mine, theirs=theirs) for number in range(3)),
        )
        for question, (mine, theirs) in levels.items()
    )
    return replace(first, further=tuple(others))


def evidence_of(model: str, definition: dict[str, object], judged: tuple[Judged, ...]) -> Evidence:
    return Evidence(model, "xgboost", definition, judged, {"seed": 7, "trials": 40})


@pytest.fixture(scope="session")
def risk_evidence() -> Evidence:
    """Churn over three periods."""
    return evidence_of("churn", {"horizon_days": 28, "active_days": 84}, tuple(risk_judged(number) for number in range(3)))


@pytest.fixture(scope="session")
def every_evidence(risk_evidence: Evidence) -> dict[str, Evidence]:
    """One of each kind of answer."""
    tiers = {"horizon_days": 90, "tiers": ("regular", "gold", "diamond")}
    return {
        "churn": risk_evidence,
        "tier": evidence_of("tier", tiers, tuple(tier_judged(number) for number in range(3))),
        "value": evidence_of("value", {"horizon_days": 90}, tuple(value_judged(number) for number in range(3))),
        "recommender": lists_evidence(),
        "segments": evidence_of("segments", {"groups": 8}, tuple(segments_judged(number) for number in range(3))),
    }
