"""A day replayed says what the day itself would have fired: a real one, through streams and workers and by replay."""

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import rapport
from commands.triggers import find_at_night
from features.build import FeatureRows, build
from features.days import calendar_day, moment_of
from features.events.from_facts import events_of_day
from features.facts import Facts
from features.published_tags import new_index
from features.tag_store import TagStore
from features.tagging import evaluate_tags
from serving.triggers.at_work import TriggersAtWork
from tests.serving.triggers.triggers_world import Shop, shop_of

DECLARED = """
limit = "2 per 1 day"
[trigger.back_after_days]
on = ["purchase"]
when = "before.days_since_last_purchase >= 4"
campaign = "spring"
cap = "1 per 1 day"
arms = {offer = 0.5, control = 0.5}
[trigger.bought_much]
on = ["purchase", "return"]
when = "event_net_cents >= 2000 and purchases_7d >= 1"
after = "30 minutes"
quiet = "17:00-18:10"
campaign = "spring"
[trigger.bought_little]
on = ["purchase"]
when = "event_lines <= 5 and not stage=loyal"
quiet = "13:00-15:00"
quiet_then = "drop"
cool_down = "3 hours"
[trigger.twice_today]
on = ["purchase"]
when = "purchases_7d >= 2 and purchases_30d < 9"
becomes = true
[trigger.silent]
on = ["time"]
when = "days_since_last_purchase >= 10 and purchases_90d >= 2"
becomes = true
quiet = "20:00-10:00"
arms = {coupon = 0.6, control = 0.4}
"""


@pytest.fixture(scope="module")
def late_day(facts: Facts) -> FeatureRows:
    return build(facts, as_of=facts.midnight(facts.manifest.until_day - 3))


@pytest.fixture
def day_shop(store_url: str, late_day: FeatureRows, facts_folder: Path, tmp_path: Path) -> Shop:
    made = shop_of(store_url, late_day, tmp_path / "mlruns", tmp_path)
    made.settings = replace(made.settings, data_dir=facts_folder.parent, now=late_day.as_of)
    made.declare(DECLARED)
    return made


def advance(shop: Shop, until: datetime, work: TriggersAtWork) -> None:
    """The clock goes to a moment; whatever falls due on the way is looked at when it does."""
    while first := shop.world.plain.zrange(shop.keys.due, 0, 0, withscores=True):
        due = moment_of(int(first[0][1]) * 1000)
        if due > until:
            break
        shop.clock.moment = due
        work._look_at = 0.0
        work.look()
    shop.clock.moment = until


def test_a_real_day_fires_what_its_replay_says(
    day_shop: Shop, late_day: FeatureRows, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = evaluate_tags(facts, late_day, new_index())
    tags = TagStore(day_shop.url, prefix=day_shop.settings.key_prefix)
    tags.publish_tags(table, generation="tonight", contract=late_day.contract.hash)
    shop, work = day_shop, day_shop.at_work()
    shop.clock.moment = late_day.as_of
    found = find_at_night(shop.settings, shop.url, facts, late_day.day, [(late_day.member_ids, late_day.records)])
    again = find_at_night(shop.settings, shop.url, facts, late_day.day, [(late_day.member_ids, late_day.records)])
    assert found == again == {"silent": shop.world.plain.zcard(shop.keys.due)}
    events = events_of_day(facts, late_day.day)
    for event in events:
        advance(shop, event.occurred_at, work)
        work.after(shop.applied(event))
    advance(shop, facts.midnight(late_day.day + 1) - timedelta(microseconds=1), work)

    told = replayed(shop, late_day, monkeypatch)
    fired = Counter((message.trigger, message.arm) for message in shop.messages())
    assert {(name, arm): number for name, arms in told["fired"].items() for arm, number in arms.items()} == fired
    assert told["events"] == len(events) > 30
    assert {name for name, _ in fired} == {"back_after_days", "bought_much", "bought_little", "twice_today", "silent"}
    shop.close()


def replayed(shop: Shop, rows: FeatureRows, monkeypatch: pytest.MonkeyPatch) -> dict:  # type: ignore[type-arg] # JSON
    result = run(
        shop,
        monkeypatch,
        "check",
        str(shop.settings.triggers_dir / "shop.toml"),
        "--replay",
        str(calendar_day(rows.day)),
        "--json",
    )
    assert result.exit_code == 0, result.output
    found: dict = json.loads(result.stdout)["replay"]  # type: ignore[type-arg] # JSON
    return found


def run(shop: Shop, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    for name, value in shop.settings.to_env().items():
        monkeypatch.setenv(name, value)
    return CliRunner().invoke(rapport.app, ["triggers", *words])


def test_the_front_door(day_shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shop = day_shop
    shown = run(shop, monkeypatch, "check", str(shop.settings.triggers_dir / "shop.toml"))
    assert shown.exit_code == 0, shown.output
    assert "Members are in these arms of spring: offer 50%, control 50% (recorded, not delivered)." in shown.output
    assert "All triggers together address a member at most 2 times in 1 day." in shown.output

    shop.clock.moment = shop.rows.as_of + timedelta(hours=9)
    shop.come(shop.event("purchase", "newcomer"))
    listed = json.loads(run(shop, monkeypatch, "list", "--json").stdout)
    assert {t["name"]: t["fired"] for t in listed["triggers"] if t["fired"]} == {"bought_little": {"offer": 1}}
    assert listed["put_off"] == 0
    assert json.loads(run(shop, monkeypatch, "due", "--json").stdout) == {"due": 0, "outcomes": {}}

    (tmp_path / "bad.toml").write_text(DECLARED.replace("event_lines", "event_line"))
    for words in (("check", str(tmp_path / "bad.toml")), ("check", "--replay", "2011-01-01", str(tmp_path / "bad.toml"))):
        assert run(shop, monkeypatch, *words).exception is not None
    shop.close()


def test_the_ten_examples_can_be_used(day_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(run(day_shop, monkeypatch, "check", "deploy/triggers/examples.toml", "--json").stdout)
    assert len(found["triggers"]) == 10
    assert [t["attention"] for t in found["triggers"]] == [[]] * 10
    day_shop.close()
