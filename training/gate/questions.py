"""Further questions that a recipe was judged by, such as lists of new items: none may be lost to a baseline or the champion."""

import numpy as np

from training.evidence import Evidence
from training.gate.comparison import asked_again, beside, beside_baseline, best_baseline, quality
from training.gate.contender import Limits
from training.gate.hearing import Hearing
from training.gate.measures import Measure
from training.predictors.list_order import RANKED
from training.verdict import Difference, Reason


def further_beside_baselines(hearing: Hearing, evidence: Evidence, measure: Measure) -> None:
    """Each further question beside its best baseline: what speaks against it goes into the hearing, and every figure.

    Where the question is answered by a rule because nothing shows a gain over it, only a loss that is shown counts.
    """
    for other in evidence.further:
        asked = _asked(other)
        if any(not np.isfinite(judged.answer).all() for judged in other.judged):
            hearing.against(Reason.NOT_A_NUMBER, f"Among them are answers to the question {asked}.")
            continue
        name = best_baseline(other, measure)
        if name is None:
            continue
        difference = _of(quality(beside_baseline(other, name), measure, name), asked)
        hearing.differences.append(difference)
        if difference.high < 0 or difference.gain < -allowed_loss(other, hearing.limits):
            hearing.against(Reason.WORSE_THAN_BASELINE, f"{difference}.")


def further_beside_champion(hearing: Hearing, evidence: Evidence, champion: Evidence | None, measure: Measure, of: str) -> str:
    """What a further question shows over the champion, in words; empty if none does. A loss goes into the hearing."""
    shown = []
    known = {_asked(other): other for other in champion.further} if champion is not None else {}
    for mine in evidence.further:
        theirs = known.get(_asked(mine))
        pairs = (beside(mine, theirs) if theirs is not None else ()) or asked_again(mine, of)
        if not pairs:
            hearing.notes.append(f"Not checked: {_asked(mine)} beside {of}, as they were judged on other rows.")
            continue
        difference = _of(quality(pairs, measure, of), _asked(mine))
        hearing.differences.append(difference)
        if difference.high < 0:
            hearing.against(Reason.QUESTION_LOST, f"{difference}.")
        elif difference.low > 0:
            shown.append(str(difference))
    return "; ".join(shown)


def allowed_loss(evidence: Evidence, limits: Limits) -> float:
    """How far below the best baseline the mean may lie without that being shown; a rule that serves has nothing to prove."""
    return limits.baseline_margin if evidence.definition.get("serves", RANKED) == RANKED else np.inf


def _asked(evidence: Evidence) -> str:
    return str(evidence.definition.get("question", evidence.model))


def _of(difference: Difference, asked: str) -> Difference:
    """The same, with the question in its name."""
    return Difference(
        f"{difference.name} {asked}", difference.beside, difference.value, difference.other, difference.low, difference.high
    )
