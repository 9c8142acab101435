"""What a report says in plain words: the question a model answers, what it is worth, whether it beats a simple rule."""

from dataclasses import dataclass

from training.evaluation.intervals import Interval
from training.evaluation.summary import Summary
from training.evaluation.tasks import FIGURES, HEADLINE, Task
from training.report.formats import Bar, between, money, named, number, of_hundred, percent
from training.report.list_words import further_worth, lists_finding, lists_question, rule_that_serves


@dataclass(frozen=True, slots=True)
class Story:
    """The first screen: for a marketer.

    Attributes
    ----------
    title, question
        What the model answers.
    finding
        One sentence: what was found among the members it put at the top.
    bars
        The two numbers of that sentence.
    worth
        Sentences about money, or about totals.
    verdict, tone
        Whether it beats its baselines, and good, even or bad for the colour.
    against
        One sentence on the best baseline.
    fresh
        How old this evidence is.
    """

    title: str
    question: str
    finding: str
    bars: list[Bar]
    worth: list[str]
    verdict: str
    tone: str
    against: str
    fresh: str


def story(summary: Summary, *, currency: str, facts_until: str) -> Story:
    """The first screen of a summary."""
    finding, bars = _FINDINGS[summary.task](summary, currency)
    verdict, tone = verdict_of(summary)
    return Story(
        title=_TITLES[summary.task],
        question=_question(summary),
        finding=finding,
        bars=bars,
        worth=_worth(summary, currency),
        verdict=verdict,
        tone=tone,
        against=_against(summary),
        fresh=_fresh(summary, facts_until),
    )


def verdict_of(summary: Summary) -> tuple[str, str]:
    """Whether the model beats every baseline in the headline figure, mean over the periods; and the tone of that."""
    if not summary.gains:
        return "Not compared with a simple rule", "even"
    serves = rule_that_serves(summary)
    if serves:
        return f"No gain shown over {named(serves)}, which answers", "even"
    shown = {name: gain.verdict for name, gain in summary.gains.items()}
    if all(verdict == "better" for verdict in shown.values()):
        return "Better than every simple rule", "good"
    worse = [name for name, verdict in shown.items() if verdict == "worse"]
    if worse:
        return f"Worse than {named(worse[0])}", "bad"
    even = next(name for name in (summary.best_baseline or "", *shown) if shown.get(name) == "no gain shown")
    return f"No gain shown over {named(even)}", "even"


_TITLES: dict[Task, str] = {
    "risk": "Who is about to leave",
    "tiers": "Which tier members are heading for",
    "amount": "What members will spend",
    "groups": "Which customer group members belong to",
    "lists": "What members will buy",
}


def _question(summary: Summary) -> str:
    days = summary.definition.get("horizon_days")
    if summary.task == "risk":
        active = summary.definition.get("active_days")
        who = f"each member who bought within the last {active} days" if active else "each member"
        return f"For {who}: how likely is it that they buy nothing in the next {days} days?"
    if summary.task == "tiers":
        return f"For each member: how likely is each tier, by what they will spend in the next {days} days?"
    if summary.task == "amount":
        return f"For each member: how much will they spend in the next {days} days, returns taken off?"
    if summary.task == "lists":
        return lists_question(days)
    return "For each member, also one who joined today: which of the customer groups fits their behaviour?"


def _risk_finding(summary: Summary, currency: str) -> tuple[str, list[Bar]]:
    tenth = _tenth(summary)
    sentence = (
        f"Of the tenth of members with the highest risk, {of_hundred(tenth.value)} really left; of all members, "
        f"{of_hundred(summary.observed)} did."
    )
    return sentence, _share_bars("tenth with the highest risk", tenth.value, summary.observed)


def _tier_finding(summary: Summary, currency: str) -> tuple[str, list[Bar]]:
    tenth, tiers = _tenth(summary), summary.definition.get("tiers", ())
    top = str(tiers[-1]) if tiers else "the top tier"
    sentence = (
        f"Of the tenth of members most likely to be {top}, {of_hundred(tenth.value)} were; of all members, "
        f"{of_hundred(summary.observed)}."
    )
    return sentence, _share_bars(f"tenth most likely {top}", tenth.value, summary.observed)


def _amount_finding(summary: Summary, currency: str) -> tuple[str, list[Bar]]:
    tenth = _tenth(summary)
    texts = [money(cents / 100, currency) for cents in (tenth.value, summary.observed)]
    sentence = (
        f"The tenth of members with the highest forecast spent {texts[0]} each, all members {texts[1]}; that tenth holds "
        f"{percent(_caught10(summary))} of all money."
    )
    share = summary.observed / tenth.value if tenth.value > 0 else 0.0
    return sentence, [Bar("tenth with the highest forecast", 1.0, texts[0]), Bar("all members", max(0.0, share), texts[1])]


def _groups_finding(summary: Summary, currency: str) -> tuple[str, list[Bar]]:
    right = summary.headline.value
    sentence = (
        f"{of_hundred(right)} members whom the model had never seen were put into the very group that the whole grouping "
        "gives them."
    )
    bars = [Bar("this model", right, of_hundred(right))]
    if summary.best_baseline:
        rule = summary.baselines[summary.best_baseline]["accuracy"]
        bars.append(Bar(named(summary.best_baseline), rule, of_hundred(rule)))
    return sentence, bars


_FINDINGS = {
    "risk": _risk_finding,
    "tiers": _tier_finding,
    "amount": _amount_finding,
    "groups": _groups_finding,
    "lists": lists_finding,
}


def _worth(summary: Summary, currency: str) -> list[str]:
    if summary.money is not None:
        return _worth_of_contacts(summary, currency)
    if summary.task == "amount":
        bias = summary.figures["total_bias"]
        side = "more" if bias > 0 else "less"
        said = [f"All together, the forecast was {percent(abs(bias), 1)} {side} than what was really spent."]
        if "coverage" in summary.figures:
            said.append(f"What was spent lay in the interval given for {percent(summary.figures['coverage'])} of members.")
        return said
    if summary.task == "lists":
        return [f"{of_hundred(summary.figures['hit20'])} lists named something that was bought.", *further_worth(summary)]
    if summary.task == "tiers":
        return [f"{of_hundred(summary.figures['accuracy'])} members were in the tier that was named as theirs."]
    return []


def _worth_of_contacts(summary: Summary, currency: str) -> list[str]:
    assert summary.money is not None  # noqa: S101 # asked only where there is money
    plan, campaign = summary.money.plan, summary.money.campaign
    if plan.share == 0:
        return [
            f"No risk reaches {percent(campaign.break_even)}, from which on a contact pays as assumed below: contact nobody."
        ]
    net = plan.net
    outcome = f"{money(net.value, currency)} after costs ({between(net)})"
    shown = "" if not net.covers_zero else "; no gain shown, as that covers 0"
    limit = (
        f"the {percent(plan.share)} of members whose risk is above {percent(campaign.break_even)}"
        if plan.share < campaign.capacity
        else f"the {percent(plan.share)} that can be contacted"
    )
    contacted, catches = round(plan.contacted), round(plan.catches.value)
    reached = (
        f"Of those {contacted} contacts, {catches} reach somebody who would have left and "
        f"{contacted - catches} somebody who would have stayed anyway."
    )
    hindsight = f"In hindsight the best share was {percent(summary.money.curve.best)}."
    return [f"Contact {limit}. For every 1,000 members that brings {outcome}{shown}.", reached, hindsight]


def _against(summary: Summary) -> str:
    best = summary.best_baseline
    if best is None:
        return ""
    figure, gain = FIGURES[HEADLINE[summary.task]], summary.gains[best]
    mine, theirs = summary.headline.value, summary.baselines[best][figure.name]
    return (
        f"{figure.label} ({figure.meaning}): {number(mine)} against {number(theirs)} by {named(best)}, the best simple rule. "
        f"Difference {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}): {gain.verdict}."
    )


def _fresh(summary: Summary, facts_until: str) -> str:
    newest, periods = summary.periods[-1], len(summary.periods)
    times = "once" if periods == 1 else f"{periods} times"
    until = f" Purchases are known until {facts_until}." if facts_until else ""
    return (
        f"Held {times} against what really happened after the forecast, the last time from {newest.test_from} to "
        f"{newest.test_to} ({newest.rows:,} members).{until}"
    )


def _share_bars(label: str, top: float, everyone: float) -> list[Bar]:
    longest = max(top, everyone, 1e-9)
    return [Bar(label, top / longest, of_hundred(top)), Bar("all members", everyone / longest, of_hundred(everyone))]


def _tenth(summary: Summary) -> Interval:
    return next(one.observed for one in summary.top if one.share == 0.1)


def _caught10(summary: Summary) -> float:
    return next(one.caught for one in summary.top if one.share == 0.1)
