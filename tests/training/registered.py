"""A registry of made-up models, and evidence whose right verdict can be seen by eye."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evidence import Evidence, Judged
from training.periods import Period

DAYS = (17448, 17476, 17504)
MEMBERS = 600
DEFINITION = {"horizon_days": 28, "active_days": 84}


def period(day: int) -> Period:
    return Period(28, (day - 112, day - 98), day - 56, day - 28, day)


def truths(day: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Each member's risk, and who left by it."""
    generator = np.random.default_rng(day)
    risk = generator.beta(1.0, 3.0, MEMBERS)
    return risk, generator.random(MEMBERS) < risk


def answered(noise: float, *, seed: int, days: Sequence[int] = DAYS, **changes: Any) -> Evidence:
    """Evidence of a model that sees each member's risk through noise; a baseline sees it through a fixed, larger one."""
    judged = []
    for day in days:
        risk, left = truths(day)
        generator = np.random.default_rng((seed, day))
        tenure = np.where(np.arange(MEMBERS) % 3 == 0, "new", "old")
        judged.append(
            Judged(
                period(day),
                np.array([f"m{i:04}" for i in range(MEMBERS)]),
                left,
                seen(risk, noise, generator),
                {"recency": seen(risk, 1.5, np.random.default_rng(day + 1)) * 100},
                {"tenure": tenure},
            )
        )
    return replace(Evidence("churn", "xgboost", DEFINITION, tuple(judged)), **changes)


def seen(risk: NDArray[np.float64], noise: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """The risk with noise on its logit."""
    logit = np.log(risk / (1 - risk)) + generator.normal(0, noise, len(risk))
    return 1 / (1 + np.exp(-logit))


def with_answers(evidence: Evidence, change: Any) -> Evidence:
    """The same evidence with every period's answer changed."""
    return replace(evidence, judged=tuple(replace(j, answer=change(j)) for j in evidence.judged))


def same(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Whether arrays by name are equal."""
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)
