"""Reasons of list items: every source has a code and words in both languages, made of what is known and never of more."""

from pathlib import Path

import pytest

from training.predictors import SOURCES
from training.predictors.list_reasons import REASONS, Known, sentences


def test_every_source_of_the_recommender_has_a_reason() -> None:
    assert set(SOURCES) <= set(REASONS)
    codes = [reason.code for reason in REASONS.values()]
    assert len(set(codes)) == len(codes)
    assert all(reason.wordings[-1].needs == () for reason in REASONS.values())


def test_the_rhythm_is_said_in_both_languages() -> None:
    assert sentences("due_again", Known(times=5, days_ago=13, gap_days=12.2)) == (
        "DUE_AGAIN",
        "you usually buy this every 12 days; last time 13 days ago",
        "您通常每12天买一次，上次在13天前",
    )


@pytest.mark.parametrize(
    ("source", "known", "english", "chinese"),
    [
        (
            "due_again",
            Known(times=2, days_ago=1, gap_days=0.4),
            "you buy this nearly every day; last time 1 day ago",
            "您几乎每天都买，上次在1天前",
        ),
        ("due_again", Known(times=1, days_ago=9), "you bought this once, 9 days ago", "您在9天前买过一次"),
        ("bought_before", Known(times=1, days_ago=0), "you bought this once, today", "您在今天买过一次"),
        ("due_again", Known(), "you bought this before", "您以前买过"),
        ("bought_before", Known(times=20, days_ago=30), "you bought this 20 times, last 30 days ago", "上次在30天前"),
        ("bought_before", Known(days_ago=0), "you bought this today", "您在今天买过"),
        ("bought_before", Known(times=3, days_ago=0), "you bought this 3 times, last today", "您买过3次，上次在今天"),
        (
            "due_again",
            Known(times=3, days_ago=0, gap_days=2),
            "you usually buy this every 2 days; last time today",
            "上次在今天",
        ),
        ("goes_with_context", Known(item_id="42"), "often bought together with 42", "常与42一起购买"),
        ("goes_with_context", Known(), "often bought together with these items", "常与这些商品一起购买"),
        ("category", Known(category="CHEESE"), "a favourite in CHEESE, where you often buy", "CHEESE"),
    ],
)
def test_words_say_what_is_known(source: str, known: Known, english: str, chinese: str) -> None:
    _, said, spoken = sentences(source, known)
    assert said == english
    assert chinese in spoken


def test_no_sentence_has_an_open_place_and_both_languages_name_the_same() -> None:
    whole = Known(times=4, days_ago=3, gap_days=2.0, category="C", item_id="i")
    for source, reason in REASONS.items():
        for wording in reason.wordings:
            for name in wording.needs:
                assert f"{{{name}}}" in wording.english, (source, name)
                assert f"{{{name}}}" in wording.chinese, (source, name)
        for known in (whole, Known()):
            assert not {"{", "}"} & set("".join(sentences(source, known)))


def test_the_page_lists_every_source_and_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
    for source, reason in REASONS.items():
        assert f"| `{source}` | `{reason.code}` | {reason.meaning} |" in page
