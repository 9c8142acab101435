"""What serves a question: the ranker only where the gate would let it, and always something, however few members there are."""

from collections.abc import Mapping

import numpy as np
import pytest

from training.gate.contender import Limits
from training.lists.evidence import Proof
from training.lists.proof import QUESTIONS, Recalls
from training.lists.served import LOST, what_serves
from training.periods import Period

LEVELS = {"ranked": 0.30, "own_frequency_decayed": 0.1, "popularity": 0.2, "als": 0.25, "ease": 0.25}


def proof(levels: Mapping[str, Mapping[str, float]], *, members: int, noise: float) -> Proof:
    """Recalls of members around a level by question and lists; all are noisy by themselves."""
    generator = np.random.default_rng(4)
    by_question = {}
    for question in QUESTIONS:
        own = {**LEVELS, **levels.get(question, {})}
        drawn = {name: level + noise * _centred(generator, members) for name, level in own.items()}
        baselines = {**drawn, "own_frequency": drawn["own_frequency_decayed"]}
        del baselines["ranked"]
        rows = np.arange(members)
        by_question[question] = Recalls(rows, np.ones(members, int), np.full(members, "5 to 19"), drawn, baselines)
    return Proof(Period(28, (0,), None, None, 100), np.array([f"m{n:04}" for n in range(members)]), by_question, {})


def _centred(generator: np.random.Generator, members: int) -> np.ndarray:
    drawn = generator.normal(0, 1, members)
    return drawn - drawn.mean()


def test_the_margin_is_the_gates() -> None:
    assert Limits().baseline_margin == LOST


def test_a_ranker_that_leads_serves() -> None:
    served = what_serves([proof({}, members=400, noise=0.05)], seed=1)

    assert set(served.by_question().values()) == {"ranked"}


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ({"novel": {"ease": 0.33}}, {"repeats": "ranked", "novel": "ease", "basket": "ranked"}),
        ({"novel": {"ease": 0.305}}, {"repeats": "ranked", "novel": "ranked", "basket": "ranked"}),
        ({"repeats": {"als": 0.33}}, {"repeats": "als", "novel": "ranked", "basket": "als"}),
        ({"basket": {"ease": 0.33}}, {"repeats": "ease", "novel": "ranked", "basket": "ease"}),
        ({"basket": {"popularity": 0.32}}, {"repeats": "popularity", "novel": "ranked", "basket": "popularity"}),
    ],
)
def test_few_members_prove_nothing_and_the_better_on_average_serves(
    levels: dict[str, dict[str, float]], expected: dict[str, str]
) -> None:
    """So noisy that no loss is shown, but large enough that the gate would let no ranker through."""
    served = what_serves([proof(levels, members=60, noise=0.2)], seed=1)

    assert dict(served.by_question()) == expected
