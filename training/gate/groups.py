"""The gate for customer groups: no outcome says which group is right, so they are judged by agreement, size and staying put."""

import numpy as np

from features.derive import model_columns
from training.evidence import Evidence
from training.gate.comparison import beside_baseline, best_baseline, mean_quality, quality
from training.gate.contender import Contender
from training.gate.hearing import Hearing
from training.gate.measures import Measure
from training.gate.provenance import training_rows
from training.gate.soundness import broken
from training.predictors import SegmentPredictor
from training.registry import load
from training.verdict import Reason, Verdict

LEAST_AGREEMENT = 0.9
"""Least share of held-out members put where the nearest centre is. The goal is .95; small shops have fewer to learn from."""
SMALLEST, LARGEST = 0.005, 0.6
"""Shares of members between which every group lies."""
CHANGED_UNMOVED = 0.1
"""Most of those who did nothing new may change their group from one retraining of the recipe to the next."""
CHANGED_BY_MODEL = 0.1
"""Most of all members may change their group because this version takes the champion's place, on the very same rows."""


def by_groups(hearing: Hearing, measure: Measure) -> Verdict:
    """The decision on a version whose bundle loads and is quick enough."""
    evidence, champion = hearing.contender.evidence, hearing.champion
    if evidence is None or not evidence.judged:
        hearing.against(Reason.NO_EVIDENCE, "Nobody was held out to see whether the classifier agrees with the centres.")
        return hearing.verdict()
    hearing.findings += broken(evidence)
    if hearing.has(Reason.NOT_A_NUMBER, Reason.CONSTANT):
        return hearing.verdict()
    _origin(hearing)
    agreement = _agreement(hearing, evidence, measure)
    _sizes(hearing, evidence)
    _recipe_stays_put(hearing, evidence)
    if champion is None:
        return hearing.verdict(f"The first champion: {agreement}.")
    return hearing.verdict(_beside(hearing, champion, agreement))


def _origin(hearing: Hearing) -> None:
    if hearing.ground is None or hearing.contender.examples is None:
        hearing.notes.append("Not checked: the rows it was fitted on against the facts, as these are not both at hand.")
    else:
        hearing.findings += training_rows(hearing.contender.examples, hearing.ground)


def _agreement(hearing: Hearing, evidence: Evidence, measure: Measure) -> str:
    """Agreement of classifier and centres in words; what speaks against it goes into the hearing."""
    rules = best_baseline(evidence, measure)
    pairs = beside_baseline(evidence, rules) if rules else ()
    mine = mean_quality(pairs, measure)[0] if rules else float("nan")
    hearing.figures["agreement"] = mine
    told = f"{mine:.1%} of held-out members are put where the nearest centre is"
    if not mine >= LEAST_AGREEMENT:
        hearing.against(Reason.GROUPS_DISAGREE, f"{told}; {LEAST_AGREEMENT:.0%} is the least.")
    if rules:
        difference = quality(pairs, measure, rules)
        hearing.differences.append(difference)
        if difference.high < 0:
            hearing.against(Reason.WORSE_THAN_BASELINE, f"{difference}.")
    return told


def _sizes(hearing: Hearing, evidence: Evidence) -> None:
    notes = evidence.judged[-1].notes
    smallest, largest = float(notes.get("smallest_share", 0)), float(notes.get("largest_share", 1))
    hearing.figures |= {"smallest_share": smallest, "largest_share": largest}
    if smallest < SMALLEST or largest > LARGEST:
        text = f"The smallest holds {smallest:.2%} of the members, the largest {largest:.0%}"
        hearing.against(Reason.GROUPS_UNEVEN, f"{text}; between {SMALLEST:.1%} and {LARGEST:.0%} is allowed.")


def _recipe_stays_put(hearing: Hearing, evidence: Evidence) -> None:
    found = [judged.notes["changed_unmoved_share"] for judged in evidence.judged if "changed_unmoved_share" in judged.notes]
    if not found:
        hearing.notes.append("Not checked: who changes from one month to the next, as there is one test period only.")
        return
    share = float(np.mean(found))
    hearing.figures["changed_unmoved_share"] = share
    if share > CHANGED_UNMOVED:
        text = f"From one retraining to the next {share:.1%} of those who did nothing new change their group"
        hearing.against(Reason.UNSTABLE, f"{text}; {CHANGED_UNMOVED:.0%} is the most.")


def _beside(hearing: Hearing, champion: Contender, agreement: str) -> str:
    """What speaks for a version in the champion's place: later facts, or groups that the champion does not know."""
    label = champion.registered.label
    mine, theirs = (set(one.manifest.definition["groups"]) for one in (hearing.contender, champion))
    if mine != theirs:
        hearing.notes.append(f"Not checked: who would change their group, as {label} has other groups.")
        return f"It has {len(mine)} groups, {label} has {len(theirs)}; {agreement}."
    _stays_put(hearing, champion)
    fresher = hearing.contender.trained_until - champion.trained_until
    hearing.figures["fresher_days"] = float(fresher)
    if fresher < hearing.limits.fresher_days:
        text = f"Its facts reach {fresher} days further than those of {label}; {hearing.limits.fresher_days} are asked for."
        hearing.against(Reason.NO_GAIN_SHOWN, text)
    return f"Trained on facts that reach {fresher} days further than those of {label}; {agreement}."


def _stays_put(hearing: Hearing, champion: Contender) -> None:
    """How many would change their group by the change of model alone, on the newest rows it was fitted on."""
    examples = hearing.contender.examples
    if hearing.ground is not None:
        day = int(hearing.contender.manifest.lineage["cutoffs"]["test"])
        snapshots = hearing.ground.snapshots
        matrix = snapshots.at(day).matrix[:, model_columns(snapshots.contract)]
    elif examples is not None:
        matrix = examples.matrix[examples.days == examples.days.max()]
    else:
        hearing.notes.append("Not checked: who would change their group, as there are no rows at hand.")
        return
    mine, theirs = load(hearing.contender.registered), load(champion.registered)
    if not (isinstance(mine, SegmentPredictor) and isinstance(theirs, SegmentPredictor)):
        return
    names = [np.array(one.names)[one.assign(matrix)] for one in (mine, theirs)]
    share = float((names[0] != names[1]).mean())
    hearing.figures["moved_share"] = share
    if share > CHANGED_BY_MODEL:
        hearing.against(Reason.UNSTABLE, f"{share:.1%} would change their group; {CHANGED_BY_MODEL:.0%} is the most.")
