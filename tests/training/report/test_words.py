"""The first screen: what it says follows from the numbers, also where they are bad news."""

from dataclasses import replace

import numpy as np
import pytest

from training.evaluation.campaign import Campaign
from training.evaluation.intervals import Interval
from training.evaluation.summary import Summary, summarise
from training.evidence import Evidence
from training.report.formats import between, money, named, number, of_hundred, percent, plain
from training.report.words import story, verdict_of


def summary_of(evidence: Evidence, campaign: Campaign | None = None) -> Summary:
    return summarise(evidence, campaign=campaign, draws=60)


def against(evidence: Evidence, others: str) -> Summary:
    """The evidence beside a single baseline that is the model itself, or the model and more."""
    judged = []
    for one in evidence.judged:
        answers = {
            "same": one.answer,
            "noisy": one.others["bgnbd"],
            "oracle": np.where(one.truth, one.answer + 0.3, one.answer),
        }
        judged.append(replace(one, others={others: answers[others]}))
    return summary_of(replace(evidence, judged=tuple(judged)))


@pytest.mark.parametrize(
    ("model", "title", "words"),
    [
        ("churn", "Who is about to leave", "of 100 really left; of all members"),
        ("tier", "Which tier members are heading for", "most likely to be diamond"),
        ("value", "What members will spend", "of all money"),
        ("recommender", "What members will buy", "the list of twenty named"),
        ("segments", "Which customer group members belong to", "had never seen"),
    ],
)
def test_each_model_has_a_sentence_of_its_own(every_evidence: dict[str, Evidence], model: str, title: str, words: str) -> None:
    told = story(summary_of(every_evidence[model]), currency="EUR", facts_until="2024-03-01")

    assert told.title == title
    assert words in told.finding
    assert told.question.endswith("?")
    assert "2024-03-01" in told.fresh
    assert all(0 <= bar.length <= 1 for bar in told.bars)


def test_the_numbers_of_the_sentence_are_those_of_the_summary(risk_evidence: Evidence) -> None:
    summary = summary_of(risk_evidence)
    tenth = next(one for one in summary.top if one.share == 0.1)

    told = story(summary, currency="EUR", facts_until="")

    assert f"{100 * tenth.observed.value:.0f} of 100 really left" in told.finding
    assert told.bars[1].length == pytest.approx(summary.observed / tenth.observed.value)


def test_a_model_that_beats_everything(risk_evidence: Evidence) -> None:
    assert verdict_of(against(risk_evidence, "noisy")) == ("Better than every simple rule", "good")


def test_no_gain_is_said_in_those_words(risk_evidence: Evidence) -> None:
    summary = against(risk_evidence, "same")
    verdict, tone = verdict_of(summary)

    assert (verdict, tone) == ("No gain shown over same", "even")
    assert story(summary, currency="", facts_until="").against.endswith("no gain shown.")


def test_a_model_that_is_worse(risk_evidence: Evidence) -> None:
    assert verdict_of(against(risk_evidence, "oracle")) == ("Worse than oracle", "bad")


def test_without_baselines_nothing_is_claimed(risk_evidence: Evidence) -> None:
    alone = replace(risk_evidence, judged=tuple(replace(one, others={}) for one in risk_evidence.judged))
    told = story(summary_of(alone), currency="", facts_until="")

    assert told.verdict == "Not compared with a simple rule"
    assert told.against == ""


def test_the_plan_in_words(risk_evidence: Evidence) -> None:
    cheap, dear, limited = (
        story(summary_of(risk_evidence, campaign), currency="EUR", facts_until="").worth
        for campaign in (Campaign(), Campaign(contact_cost=100.0), Campaign(capacity=0.05))
    )

    assert "EUR after costs (between" in cheap[0]
    assert "risk is above" in cheap[0]
    assert dear == [next(iter(dear))]
    assert "contact nobody" in dear[0]
    assert "that can be contacted" in limited[0]


def test_a_plan_that_may_lose_shows_no_gain(risk_evidence: Evidence) -> None:
    barely = Campaign(contact_cost=1.0, kept_gain=10.5, success_rate=0.1)

    assert "no gain shown" in story(summary_of(risk_evidence, barely), currency="EUR", facts_until="").worth[0]


def test_numbers_as_people_write_them() -> None:
    assert [number(1234.5678, 1), number(None), number(float("nan"))] == ["1,234.6", "-", "-"]
    assert [percent(0.256), percent(0.256, 1)] == ["26\u202f%", "25.6\u202f%"]
    assert [of_hundred(0.517), of_hundred(0.012), of_hundred(0.0)] == ["52 of 100", "1.2 of 100", "0 of 100"]
    assert [money(12.0, "EUR"), money(12.0, "")] == ["12 EUR", "12"]
    assert between(Interval(2, 1, 3)) == "between 1 and 3"
    assert [plain(0.30240187), plain(float("nan")), plain(None), plain([])] == ["0.3024", "-", "-", "-"]
    assert plain({"cuts": [0.5, 1.5], "kind": "none"}) == "cuts 0.5, 1.5, kind none"
    assert named("some_rule") == "some rule"


def test_lists_tell_what_became_of_every_question(every_evidence: dict[str, Evidence]) -> None:
    summary = summary_of(every_evidence["recommender"])
    told = story(summary, currency="", facts_until="")

    assert told.verdict == "Better than every simple rule"
    assert told.worth[0].endswith("lists named something that was bought.")
    assert told.worth[1].startswith("Of the next basket, 30.2 of 100 were named, by what sells best 18.9 of 100: better")
    assert told.worth[2].startswith("Of items that were new to the member, ")
    assert told.worth[2].endswith(f"{summary.further[1].gains['popularity'].verdict}.")


def test_lists_that_a_rule_answers_are_not_called_better_than_it(every_evidence: dict[str, Evidence]) -> None:
    evidence = every_evidence["recommender"]
    served = replace(evidence, definition={**evidence.definition, "serves": "own_frequency_decayed"})

    assert verdict_of(summary_of(served)) == (
        "No gain shown over what each member bought most often of late, which answers",
        "even",
    )
