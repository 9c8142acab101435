"""What a report says of lists in plain words: what they named, beside the best simple rule, question by question."""

from training.evaluation.summary import Summary
from training.predictors.list_order import RANKED
from training.report.formats import Bar, named

QUESTIONS = {
    "repeats": "everything that was bought",
    "novel": "items that were new to the member",
    "basket": "the next basket",
}


def further_worth(summary: Summary) -> list[str]:
    """A sentence on each further question: the figure beside the best baseline, and whether the difference is shown."""
    found = []
    for one in summary.further:
        best = max(one.baselines, key=lambda name: one.baselines[name]["recall20"], default=None)
        said = f"Of {QUESTIONS.get(one.question, one.question)}, {tenths(one.figures['recall20'])} were named"
        if best is not None:
            theirs, gain = one.baselines[best]["recall20"], one.gains[best]
            said += f", by {named(best)} {tenths(theirs)}: {gain.verdict}"
        found.append(f"{said}.")
    return found


def lists_finding(summary: Summary, currency: str) -> tuple[str, list[Bar]]:
    """The sentence of the first screen, and its bars."""
    mine = summary.headline.value
    sentence = f"Of the items that a member bought, the list of twenty named {tenths(mine)}"
    bars = [("this model", mine)]
    if summary.best_baseline:
        rule = summary.baselines[summary.best_baseline]["recall20"]
        sentence += f"; a list of {named(summary.best_baseline)}, {tenths(rule)}"
        bars.append((named(summary.best_baseline), rule))
    longest = max(*(value for _, value in bars), 1e-9)
    return f"{sentence}.", [Bar(label, value / longest, tenths(value)) for label, value in bars]


def lists_question(days: object) -> str:
    """What is asked."""
    return f"For each member twenty items of the whole catalogue: how much of what they buy in the next {days} days is named?"


def tenths(share: float) -> str:
    """A share as so many of 100, to a tenth: lists differ by little."""
    return f"{100 * share:.1f} of 100"


def rule_that_serves(summary: Summary) -> str:
    """The baseline that answers in the ranker's place; empty where the ranker does, and of other models."""
    serves = str(summary.definition.get("serves", RANKED)) if summary.task == "lists" else RANKED
    return "" if serves == RANKED else serves
