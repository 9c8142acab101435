"""What serves each question: the ranker where its gain over simple rules is shown, or else the baseline it does not beat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluation.intervals import Interval
from training.lists.evidence import Proof, gains
from training.lists.proof import QUESTIONS, Question
from training.predictors.list_order import ALS, EASE, OWN_FREQUENCY, POPULARITY, RANKED

SIMPLE = {"own_frequency": OWN_FREQUENCY, "own_frequency_decayed": OWN_FREQUENCY, "popularity": POPULARITY}
"""Rules that a bundle can answer by where nothing beats them, and by what."""
LEARNED = (ALS, EASE)
"""Models alone that a bundle can answer by where they are better than the ranker."""
LOST = 0.01
"""By so much a ranker may lie below a baseline on average, where few members make that prove nothing: the gate's own margin
(`Limits.baseline_margin`), so that what serves is what the gate lets through."""


@dataclass(frozen=True, slots=True)
class Served:
    """What answers lists with repeats, by which the next basket is answered too, and lists of new items; and why, in words."""

    mixed: str
    mixed_why: str
    new: str
    new_why: str

    def by_question(self) -> Mapping[Question, str]:
        """The same by question."""
        return {question: self.new if question == "novel" else self.mixed for question in QUESTIONS}

    def record(self) -> dict[str, str]:
        """As a run and a bundle record it."""
        return {"serves": self.mixed, "serves_why": self.mixed_why, "serves_new": self.new, "serves_new_why": self.new_why}


def what_serves(proofs: Sequence[Proof], *, seed: int) -> Served:
    """What is to answer, by paired intervals over members and periods.

    A ranker that gains in repeats but loses the next basket does not serve.
    """
    mixed, why = _chosen(proofs, "repeats", seed)
    if mixed != POPULARITY and mixed != OWN_FREQUENCY:
        over = gains(proofs, "basket", seed=seed, of=mixed)
        able = {**SIMPLE, **{model: model for model in LEARNED if mixed == RANKED}}
        name = min((name for name in able if name in over), key=lambda name: over[name].value)
        if over[name].high < 0 or (mixed == RANKED and over[name].value < -LOST):
            mixed, why = able[name], f"{name} serves: the next basket is lost to it, {_said(over[name])}."
    new, new_why = _chosen(proofs, "novel", seed)
    return Served(mixed, why, new, new_why)


def _chosen(proofs: Sequence[Proof], question: Question, seed: int) -> tuple[str, str]:
    over = gains(proofs, question, seed=seed)
    name, shown = _best_rule(over)
    if not np.isfinite(shown.value):
        return SIMPLE[name], f"Nobody bought what could be judged: {name} serves."
    for model in sorted((model for model in LEARNED if model in over), key=lambda model: over[model].value):
        alone = gains(proofs, question, seed=seed, of=model)[name]
        better = alone.low > 0 and (over[model].high < 0 or shown.low <= 0)
        if better or (shown.low > 0 and over[model].value < -LOST):
            said = f"recall@20 {_said(alone)} beside {name}; the ranker {_said(over[model])} beside it"
            return model, f"{model} alone: {said}."
    if shown.low > 0:
        return RANKED, f"The ranker: recall@20 {_said(shown)} beside {name}."
    return SIMPLE[name], f"No gain shown over {name}, which serves: recall@20 {_said(shown)} beside {name}."


def _best_rule(over: Mapping[str, Interval]) -> tuple[str, Interval]:
    """The simple rule over which the gain is smallest, and that gain."""
    name = min((name for name in SIMPLE if name in over), key=lambda name: over[name].value)
    return name, over[name]


def _said(gain: Interval) -> str:
    return f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
