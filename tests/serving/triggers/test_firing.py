"""Triggers at work behind the stream's worker, on a real store: what fires, what does not, and each once."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from features.errors import StoreUnavailable
from features.events.schema import Line
from features.live_state import Applied
from features.member_store import MemberStore
from features.store_keys import Keys
from serving.triggers.firing import Firing
from serving.triggers.gauges import trigger_text
from serving.triggers.message import Message
from serving.triggers.offers import Offers
from serving.triggers.store import TriggerStore
from tests.serving.killed_at_a_word import Killed, kill_after
from tests.serving.triggers.triggers_world import Shop

THREE_VIEWS = """
[trigger.viewed]
meaning = "viewed three times"
campaign = "try"
on = ["view"]
when = "count_views_item_1d >= 3 and purchases_item_1d = 0"
becomes = true
"""
CART = """
[trigger.cart_left]
on = ["cart"]
after = "30 minutes"
when = "purchases_item_1d = 0"
"""


def told(messages: list[Message]) -> list[tuple[str, str]]:
    return [(message.trigger, message.member_id) for message in messages]


def test_the_third_view_fires_and_neither_the_second_nor_the_fourth(shop: Shop) -> None:
    shop.declare(THREE_VIEWS)
    listening = shop.world.plain.pubsub()
    listening.subscribe(shop.keys.stream)
    views = [shop.event() for _ in range(4)]
    shop.come(*views[:2])
    assert shop.messages() == []

    work = shop.come(views[2])
    shop.come(views[3], *views)

    (message,) = shop.messages()
    member = str(shop.rows.member_ids[0])
    assert (message.trigger, message.campaign, message.arm, message.deliver) == ("viewed", "try", "offer", True)
    assert (message.member_id, message.meaning, message.items) == (member, "viewed three times", None)
    assert message.event == {
        "event_id": views[2].event_id,
        "type": "view",
        "occurred_at": shop.clock.moment.isoformat(),
        "item_id": "milk",
    }
    heard = [each["data"] for each in iter(lambda: listening.get_message(timeout=0.2), None) if each["type"] == "message"]
    assert len(heard) == 1
    assert work.outcomes["FIRED"] == 1
    listening.close()


def test_views_of_one_batch_count_one_after_the_other(shop: Shop) -> None:
    shop.declare(THREE_VIEWS.replace("becomes = true", 'cool_down = "0 seconds"'))
    shop.come(*(shop.event() for _ in range(3)), *(shop.event(item_id="tea") for _ in range(2)))
    assert len({message.id for message in shop.messages()}) == len(shop.messages())
    assert all(message.event and message.event["item_id"] == "milk" for message in shop.messages())


def test_what_was_bought_is_not_offered(shop: Shop) -> None:
    shop.declare(THREE_VIEWS)
    shop.come(shop.event("purchase", lines=(Line(net_cents=5, item_id="milk"),)))
    shop.come(*(shop.event() for _ in range(3)))
    assert shop.messages() == []


def test_the_message_brings_scores_of_now_with_their_passport(scored_shop: Shop) -> None:
    scored_shop.declare('[trigger.bought]\non = ["purchase"]\nwhen = "days_since_last_purchase = 0 and churn_probability >= 0"')
    member = str(scored_shop.rows.member_ids[np.nanargmax(scored_shop.rows.column("purchases_30d"))])
    scored_shop.come(scored_shop.event("purchase", member))
    (message,) = scored_shop.messages()
    assert message.scores is not None
    assert message.passport is not None
    assert (message.scores["member_id"], message.scores["status"]) == (member, "OK")
    assert 0 <= message.scores["churn"]["probability"] <= 1
    assert message.passport["models"]["churn"]["alias"] == "champion"
    assert message.passport["decision_id"] == message.id
    assert message.passport["moment"] == message.fired_at


def test_before_and_after_are_told_apart(scored_shop: Shop) -> None:
    member = str(scored_shop.rows.member_ids[np.nanargmax(scored_shop.rows.column("purchases_30d"))])
    silent = int(scored_shop.rows.column("days_since_last_purchase")[scored_shop.rows.member_ids.tolist().index(member)])
    assert silent > 0
    scored_shop.declare(f"""
[trigger.came_back]
on = ["purchase"]
when = "days_since_last_purchase = 0 and before.days_since_last_purchase = {silent}"
cool_down = "0 seconds"
[trigger.score_moved]
on = ["purchase"]
when = "churn_probability >= 0 and before.churn_probability >= 0 and event_net_cents = 500 and event_lines = 1"
[trigger.never]
on = ["purchase"]
when = "before.days_since_last_purchase = 0 and before.purchases_7d = 0"
""")
    scored_shop.come(scored_shop.event("purchase", member))
    scored_shop.come(scored_shop.event("purchase", member))
    assert told(scored_shop.messages()) == [("came_back", member), ("score_moved", member)]


def test_who_refused_is_not_addressed_and_who_is_not_known_may_be(shop: Shop) -> None:
    shop.declare('[trigger.seen]\non = ["visit"]\nwhen = "event_channel = app"')
    shop.world.accept(shop.event("visit", "ann"), shop.event("visit", "newcomer"), shop.event("visit", "bob", channel="web"))
    shop.world.plain.set(Keys(shop.settings.key_prefix).opted_out("ann"), b"told")  # after the event was accepted
    work = shop.drain()
    assert told(shop.messages()) == [("seen", "newcomer")]
    assert work.outcomes == {"FIRED": 1, "OPTED_OUT": 1}


def test_consent_given_is_a_published_tag(shop: Shop) -> None:
    shop.declare('[trigger.seen]\non = ["visit"]\nwhen = "event_channel = app"\nconsent = "given"')
    work = shop.come(shop.event("visit"))  # no tags were published, so nobody is known to have agreed
    assert (shop.messages(), work.outcomes) == ([], {"NO_CONSENT": 1})


def test_an_event_that_comes_late_fires_nothing(shop: Shop) -> None:
    shop.declare('[trigger.seen]\non = ["visit"]\nwhen = "event_channel = app"\nwithin = "5 minutes"')
    hour = timedelta(hours=1)
    work = shop.come(shop.event("visit", at=shop.clock.moment - hour), shop.event("visit", at=shop.clock.moment - hour / 20))
    assert (len(shop.messages()), work.outcomes) == (1, {"FIRED": 1, "LATE": 1})


def test_a_cart_is_looked_at_when_half_an_hour_has_passed(shop: Shop) -> None:
    shop.declare(CART)
    ann, bob = (str(member) for member in shop.rows.member_ids[:2])
    shop.come(shop.event("cart", ann), shop.event("cart", bob))
    shop.pass_time(timedelta(minutes=29))
    shop.come(shop.event("purchase", bob))
    assert shop.messages() == []

    work = shop.pass_time(timedelta(minutes=1))
    assert told(shop.messages()) == [("cart_left", ann)]
    assert work.outcomes == {"FIRED": 1, "OVER": 1}
    shop.pass_time(timedelta(minutes=30))
    assert len(shop.messages()) == 1
    assert not shop.world.plain.exists(shop.keys.due, shop.keys.held)


def test_what_is_due_and_cannot_be_looked_at_keeps_no_other_back(shop: Shop) -> None:
    shop.declare(CART)
    ann, bob = (str(member) for member in shop.rows.member_ids[:2])
    first = shop.event("cart", ann)
    shop.come(first, shop.event("cart", bob))
    shop.world.plain.hset(Keys(shop.settings.key_prefix).live_items(ann, first.local_day), "p:milk", "not a number")

    work = shop.pass_time(timedelta(minutes=30))
    assert told(shop.messages()) == [("cart_left", bob)]
    assert work.outcomes == {"FIRED": 1, "FAILED": 1}
    assert not shop.world.plain.exists(shop.keys.due, shop.keys.held)


def test_offers_wait_for_a_store_that_is_busy_for_a_moment(shop: Shop) -> None:
    offers = Offers(replace(shop.settings, redis_timeout_ms=50), shop.url)
    shop.world.plain.execute_command("CLIENT", "PAUSE", 300, "ALL")
    assert offers._runner.run(offers._reader.read_list_stamp()) is None
    offers.close()


@pytest.mark.parametrize("then", ["hold", "drop"])
def test_quiet_hours_hold_or_drop(shop: Shop, then: str) -> None:
    shop.declare(
        f'[trigger.seen]\non = ["visit"]\nwhen = "days_since_last_purchase > 0"\nquiet = "05:00-06:30"\nquiet_then = "{then}"'
    )
    ann, bob = (str(member) for member in shop.rows.member_ids[:2])
    shop.clock.moment = shop.rows.as_of + timedelta(hours=5, minutes=1)
    shop.come(shop.event("visit", ann), shop.event("visit", bob))
    assert shop.messages() == []
    shop.clock.moment = shop.rows.as_of + timedelta(hours=6)
    shop.come(shop.event("purchase", bob))
    shop.pass_time(timedelta(minutes=29, seconds=59))
    assert shop.messages() == []
    shop.pass_time(timedelta(seconds=1))
    assert told(shop.messages()) == ([("seen", ann)] if then == "hold" else [])


def test_what_is_due_in_quiet_hours_is_held_once_more(shop: Shop) -> None:
    shop.declare(CART + 'quiet = "10:15-11:00"')
    shop.come(shop.event("cart"))
    shop.pass_time(timedelta(minutes=30))
    assert shop.messages() == []
    shop.pass_time(timedelta(minutes=30))
    assert len(shop.messages()) == 1


def test_what_is_due_is_dropped_where_nobody_looked_in_time(shop: Shop) -> None:
    shop.declare(CART)
    shop.come(shop.event("cart"))
    work = shop.pass_time(timedelta(hours=3))
    assert shop.messages() == []
    assert work.outcomes["LATE"] == 1


def test_arms_caps_and_limits(shop: Shop) -> None:
    shop.declare("""
limit = "3 per 1 day"
[trigger.a]
on = ["visit"]
when = "event_channel = app"
campaign = "spring"
cool_down = "0 seconds"
cap = "2 per 1 day"
arms = {control = 1.0}
[trigger.b]
on = ["visit"]
when = "event_channel = app"
cool_down = "0 seconds"
""")
    outcomes = shop.come(*(shop.event("visit") for _ in range(3))).outcomes
    assert [(m.trigger, m.arm, m.deliver) for m in shop.messages()] == [
        ("a", "control", False),
        ("b", "offer", True),
        ("a", "control", False),
    ]
    assert outcomes == {"FIRED": 3, "CAPPED": 3}


def test_what_triggers_came_to_is_told_in_metrics(shop: Shop) -> None:
    shop.declare('[trigger.seen]\non = ["visit"]\nwhen = "event_channel = app"\narms = {control = 1}')
    shop.come(shop.event("visit", at=shop.clock.moment - timedelta(seconds=3)), shop.event("visit")).close()
    shop.opened.clear()
    lines = trigger_text(shop.world.plain.hgetall(Keys(shop.settings.key_prefix).trigger_tally)).splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        'rapport_triggers_total{outcome="COOLING"} 1',
        'rapport_triggers_total{outcome="FIRED"} 1',
        'rapport_triggers_fired_total{trigger="seen",arm="control"} 1',
        "rapport_trigger_seconds_sum 3.000000",
        "rapport_trigger_seconds_count 1",
    ]
    assert trigger_text({}) == ""


def scene(shop: Shop) -> None:
    """Something of everything: at once, put off, due."""
    shop.declare(THREE_VIEWS + CART + '[trigger.came]\non = ["visit"]\nwhen = "event_channel = app"\nquiet = "10:00-10:30"\n')


@pytest.mark.parametrize("reply_is_lost", [False, True])
def test_killed_at_every_word_to_redis(shop: Shop, monkeypatch: pytest.MonkeyPatch, reply_is_lost: bool) -> None:
    """Before each command is sent, and after each was done but before its reply is read: each fires, and fires once."""
    scene(shop)
    work, begin = shop.at_work(), shop.clock.moment
    expected: list[tuple[str, str]] = []
    for at in range(200):
        member = f"member {at}"
        applied = shop.applied(
            *(shop.event("view", member) for _ in range(3)), shop.event("cart", member), shop.event("visit", member)
        )
        expected += [("viewed", member), ("cart_left", member), ("came", member)]
        ended = []
        for moment, again in ((begin, False), (begin, True), (begin + timedelta(minutes=31), False)):
            handed = [replace(each, again=again) for each in applied] if moment == begin else None
            for killed in (True, False):
                firing = shop.another(work)
                with monkeypatch.context() as patched:
                    if killed:
                        kill_after(patched, at, reply_is_lost=reply_is_lost)
                    outcome = done(firing, handed, moment)
                if killed:
                    ended.append(outcome)
        if sum(ended) == 3:
            break

    assert at > 5
    assert sorted(told(shop.messages())) == sorted(expected)
    assert not shop.world.plain.exists(shop.keys.due, shop.keys.held)


def test_what_was_decided_is_published_though_its_condition_no_longer_holds(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene(shop)
    work, later = shop.at_work(), shop.clock.moment + timedelta(minutes=30)
    views = shop.applied(*(shop.event() for _ in range(3)))
    carts = shop.applied(shop.event("cart", item_id="tea"))
    work.firing.after(carts, shop.clock.moment)
    with monkeypatch.context() as patched:  # killed when the decisions were made
        patched.setattr(TriggerStore, "publish", _away)
        with pytest.raises(StoreUnavailable):
            work.firing.after(views, shop.clock.moment)
        with pytest.raises(StoreUnavailable):
            work.firing.due(later)
    shop.applied(shop.event("purchase", lines=(Line(net_cents=5, item_id="milk"), Line(net_cents=5, item_id="tea"))))
    assert shop.messages() == []

    for _ in range(2):
        shop.another(work).after([replace(each, again=True) for each in views], shop.clock.moment)
        shop.another(work).due(later)

    assert [message.trigger for message in shop.messages()] == ["viewed", "cart_left"]


def done(firing: Firing, applied: list[Applied] | None, moment: datetime) -> bool:
    """Whether it came to an end."""
    try:
        if applied is None:
            firing.due(moment)
        else:
            firing.after(applied, moment)
    except Killed:
        return False
    return True


def test_a_store_that_is_away_is_told_and_events_come_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.declare(THREE_VIEWS)
    work = shop.at_work()
    with monkeypatch.context() as patched:
        patched.setattr(work.firing._store, "decide", _away)
        with pytest.raises(StoreUnavailable):
            shop.come(*(shop.event() for _ in range(3)), work=work)
    shop.drain()
    assert len(shop.messages()) == 1


def _away(*args: object, **more: object) -> object:
    raise StoreUnavailable("the online store does not answer", remedy="see that it runs")


def test_a_member_whose_keys_are_not_ours_holds_up_nobody(shop: Shop) -> None:
    shop.declare('[trigger.seen]\non = ["view"]\nwhen = "count_views_item_1d > 0"')
    ann, bob = (str(member) for member in shop.rows.member_ids[:2])
    shop.world.plain.rpush(shop.keys.state(ann), b"not ours")
    work = shop.come(shop.event("view", ann), shop.event("view", bob))
    assert told(shop.messages()) == [("seen", bob)]
    assert work.outcomes == {"FIRED": 1, "UNREADABLE": 1}
    assert shop.world.waiting() == 0


def test_a_file_that_becomes_unusable_leaves_what_was_in_force(shop: Shop) -> None:
    shop.declare('[trigger.seen]\non = ["visit"]\nwhen = "event_channel = app"\ncool_down = "0 seconds"')
    work = shop.come(shop.event("visit"))
    shop.declare('[trigger.seen]\non = ["visit"]\nwhen = "event_chanel = app"')
    work.firing._in_force._refresh_s = 0.0
    shop.come(shop.event("visit"), work=work)
    assert len(shop.messages()) == 2
    assert "did you mean event_channel" in str(work.firing._in_force.refused)


def test_everything_of_a_member_is_forgotten(shop: Shop) -> None:
    scene(shop)
    ann, bob = (str(member) for member in shop.rows.member_ids[:2])
    for member in (ann, bob):
        shop.come(*(shop.event("view", member) for _ in range(3)), shop.event("cart", member))
    MemberStore(shop.url, prefix=shop.settings.key_prefix).erase(ann)
    assert told(shop.messages()) == [("viewed", bob)]
    assert shop.world.plain.zcard(shop.keys.due) == 1
    assert not shop.world.plain.exists(shop.keys.state(ann))
    assert shop.world.plain.exists(shop.keys.state(bob))


def test_the_stream_forgets_what_is_old_and_a_subscriber_who_was_away_catches_up(shop: Shop) -> None:
    shop.declare('[trigger.seen]\non = ["visit"]\nwhen = "event_channel = app"\ncool_down = "0 seconds"')
    shop.world.plain.xgroup_create(shop.keys.stream, "push", id="0", mkstream=True)
    work = shop.come(*(shop.event("visit", f"m{number}") for number in range(3)))
    read = shop.world.plain.xreadgroup("push", "one", {shop.keys.stream: ">"})
    assert len(read[0][1]) == 3
    server = shop.world.plain.time()[0]
    now = shop.clock.moment.fromtimestamp(server, tz=shop.clock.moment.tzinfo)
    assert work.firing.trim(now, timedelta(hours=1)) == 0
    assert work.firing.trim(now + timedelta(hours=2), timedelta(hours=1)) == 3
