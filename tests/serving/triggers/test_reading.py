"""Files of triggers: what can be said is read, and what cannot is refused with key, value and remedy."""

from datetime import timedelta
from pathlib import Path

import pytest

from features.errors import TriggersRefused
from serving.triggers.declared import Arm, Cap, Quiet
from serving.triggers.reading import parse_triggers, read_all, read_triggers

TAGS = ("tier=gold", "tier=diamond", "consent=yes", "birthday_this_month", "silent_30d")
WHOLE = """
describes = "What the shop says at once"
limit = "3 per 7 days"

[trigger.viewed_three_times]
meaning = "looked at one item three times and did not buy it"
campaign = "try_in_store"
on = ["view"]
when = "count_views_item_1d >= 3 and purchases_item_1d = 0 and not event_category='frozen pizza'"
becomes = true
after = "30 minutes"
within = "10 minutes"
cool_down = "7 days"
cap = "2 per 30 days"
quiet = "21:00-09:00"
quiet_then = "drop"
consent = "given"
arms = {coupon = 0.45, reminder = 0.45, control = 0.1}
placement = "push"
items = 5
valid_for = "12 hours"

[trigger.gold_and_silent]
on = ["time"]
when = "tier=gold and days_since_last_purchase >= 30 and before.days_since_last_purchase < 30"
"""


def test_every_key_is_read() -> None:
    found = parse_triggers(WHOLE, TAGS, source="shop.toml")
    first, second = found.triggers
    assert found.limit == Cap(3, timedelta(days=7))
    assert (first.name, first.campaign, first.on) == ("viewed_three_times", "try_in_store", ("view",))
    assert (first.becomes, first.after, first.within) == (True, timedelta(minutes=30), timedelta(minutes=10))
    assert (first.cool_down, first.cap) == (timedelta(days=7), Cap(2, timedelta(days=30)))
    assert (first.quiet, first.consent) == (Quiet(21 * 60, 9 * 60, "drop"), "given")
    assert first.arms == (Arm("coupon", 0.45), Arm("reminder", 0.45), Arm("control", 0.1))
    assert (first.placement, first.items, first.valid_for) == ("push", 5, timedelta(hours=12))
    assert (second.campaign, second.by_time, second.quiet, second.cap) == ("gold_and_silent", True, None, None)
    assert found.by_time == (second,)
    assert found.on("view") == (first,)


def only(line: str, *, without: tuple[str, ...] = ()) -> str:
    """A file of one trigger with one line more."""
    base = ["[trigger.one]", 'on = ["view"]', 'when = "views_1d >= 3"']
    return "\n".join([*(text for text in base if text.split(" ")[0] not in without), line])


WRONG = {
    only('on = ["vieuw"]', without=("on",)): "trigger.one.on = ['vieuw'] cannot be: write a list of purchase, return, view",
    only('on = ["time", "view"]', without=("on",)): "trigger.one.on = ['time', 'view'] cannot be",
    only("", without=("on",)): "trigger.one.on is missing",
    only("", without=("when",)): "trigger.one.when is missing",
    only('when = "vews_1d >= 3"', without=("when",)): "did you mean views_1d",
    only('when = "views_1d >="', without=("when",)): "where a value is expected",
    only('when = "event_item"', without=("when",)): "event_item=…",
    only('when = "churn_band=hihg"', without=("when",)): "write low, medium or high",
    only('cooldown = "1 day"'): "trigger.one.cooldown is no key: did you mean cool_down?",
    only('cool_down = "a week"'): "trigger.one.cool_down = 'a week' cannot be: write a span such as \"30 minutes\"",
    only("cool_down = 7"): "trigger.one.cool_down = 7 cannot be",
    only('cool_down = "401 days"'): "cool_down = '401 days' cannot be",
    only('cap = "0 per 7 days"'): "cap = '0 per 7 days' cannot be",
    only('cap = "51 per 7 days"'): "at most 50 times",
    only('quiet = "9-21"'): "quiet = '9-21' cannot be",
    only('quiet = "09:00-09:00"'): "cannot be",
    only('quiet_then = "later"'): 'write "hold" or "drop"',
    only('consent = "yes"'): 'write "not_refused" or "given"',
    only("arms = {offer = 0.5, control = 0.4}"): "add up to 1",
    only("arms = {offer = true}"): "add up to 1",
    only("items = 51"): "a whole number from 0 to 50",
    only('placement = "push"'): "items = 0",
    only('campaign = "A b"'): "a name of a-z",
    only('becomes = "yes"'): "write true or false",
    only('becomes = true\nwhen = "before.views_1d < 3"', without=("when",)): "becomes = true and when speaks of before",
    only('on = ["time"]\nwhen = "count_views_item_1d > 2"', without=("on", "when")): (
        "when speaks of count_views_item_1d, which a night does not know"
    ),
    only('on = ["purchase"]\nwhen = "purchases_item_1d > 2"', without=("on", "when")): ("purchase has no single item"),
    only('on = ["time"]\nafter = "5 minutes"', without=("on",)): "after waits for nothing at night",
    "limit = 3\n" + only(""): "limit = 3 cannot be",
    "limits = 3\n" + only(""): "limits is no key: did you mean limit?",
    "": "there is no trigger",
    "[trigger]\n": "sections such as [trigger.viewed_three_times]",
    "trigger = 1": "trigger = 1 cannot be",
    '[trigger."A b"]\non = ["view"]\nwhen = "views_1d > 1"': "trigger.'A b' cannot be",
    "[trigger.one": "this is no TOML",
}


@pytest.mark.parametrize("text", WRONG, ids=[f"{place}" for place in range(len(WRONG))])
def test_what_cannot_be_said_is_refused(text: str) -> None:
    with pytest.raises(TriggersRefused) as refused:
        parse_triggers(text, TAGS, source="shop.toml")
    assert str(refused.value).startswith("shop.toml cannot be used:")
    assert WRONG[text] in str(refused.value)


def test_all_problems_come_at_once() -> None:
    text = only('cool_down = "x"\ncap = "y"\nnothing = 1').replace("views_1d", "vews_1d")
    with pytest.raises(TriggersRefused) as refused:
        parse_triggers(text, TAGS, source="shop.toml")
    assert len(refused.value.problems) == 4


def test_files_together_say_nothing_twice(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text('limit = "3 per day"\n' + only(""))
    two.write_text(only("").replace("one", "two"))
    assert [trigger.name for trigger in read_all([one, two], TAGS).triggers] == ["one", "two"]
    assert read_all([one, two], TAGS).limit == Cap(3, timedelta(days=1))

    two.write_text('limit = "1 per day"\n' + only(""))
    with pytest.raises(TriggersRefused) as refused:
        read_all([one, two], TAGS)
    assert refused.value.problems == (
        "trigger.one stands in one.toml as well: give one of them another name",
        "limit stands in one.toml as well: it is over all triggers, so write it once",
    )


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(TriggersRefused, match="UTF-8"):
        read_triggers(tmp_path / "bad.toml", TAGS)
