"""What the passing of time sets off: found by the night, due in the morning, once, also when nights were missed."""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from commands.night import TO_LOOK_AT
from commands.nightly import NightlyJob
from commands.triggers import find_at_night
from features.build import FeatureRows
from features.facts import Facts
from tests.serving.triggers.triggers_world import Shop, shop_of

SILENT = """
[trigger.silent]
on = ["time"]
when = "days_since_last_purchase >= 10 and purchases_90d >= 2"
becomes = true
quiet = "20:00-10:00"
"""


@pytest.fixture
def night_shop(store_url: str, rows: FeatureRows, facts_folder: Path, tmp_path: Path) -> Shop:
    """A shop at one in the morning after its facts end, before the night."""
    shutil.copytree(facts_folder, tmp_path / "facts")
    made = shop_of(store_url, rows, tmp_path / "mlruns", tmp_path)
    made.settings = replace(made.settings, now=rows.as_of + timedelta(hours=1))
    made.declare(SILENT)
    return made


def silent(rows: FeatureRows, *, at_least: int, at_most: int) -> set[str]:
    days, often = rows.column("days_since_last_purchase"), rows.column("purchases_90d") >= 2
    chosen: set[str] = set(rows.member_ids[(days >= at_least) & (days <= at_most) & often].tolist())
    return chosen


def test_the_nightly_job_finds_them_and_the_morning_tells_them(night_shop: Shop, rows: FeatureRows) -> None:
    shop = night_shop
    expected = silent(rows, at_least=10, at_most=10)
    assert expected
    first = NightlyJob(shop.settings, as_json=True).run(None)
    again = NightlyJob(shop.settings, as_json=True).run(None)
    for report in (first, again):
        (step,) = [step for step in report["steps"] if step["name"] == "triggers"]
        assert step["found"] == {"silent": len(expected)}

    shop.clock.moment = rows.as_of + timedelta(hours=9, minutes=30)
    back = min(expected)
    shop.come(shop.event("purchase", back))
    assert shop.messages() == []
    shop.pass_time(timedelta(minutes=30))
    assert {message.member_id for message in shop.messages()} == expected - {back}
    assert all(message.event is None for message in shop.messages())

    shop.declare("[trigger.silent")
    broken = NightlyJob(shop.settings, as_json=True).run(None)
    assert broken["exit_code"] == TO_LOOK_AT
    assert "this is no TOML" in broken["warnings"][-1]["what"]
    shop.close()


def test_nights_that_were_missed_are_made_up_for(night_shop: Shop, rows: FeatureRows, facts: Facts) -> None:
    shop = night_shop
    store = shop.at_work().firing._store
    store.looked(rows.day - 5, rows.day - 4)
    assert found(shop, rows, facts) == len(silent(rows, at_least=10, at_most=13))
    assert store.nights() == (rows.day - 4, rows.day)
    assert found(shop, rows, facts) == len(silent(rows, at_least=10, at_most=13))
    assert shop.world.plain.zcard(shop.keys.due) == len(silent(rows, at_least=10, at_most=13))
    shop.close()


def found(shop: Shop, rows: FeatureRows, facts: Facts) -> int:
    halves = np.array_split(np.arange(len(rows.member_ids)), 2)
    parts = [(rows.member_ids[half], rows.records[half]) for half in halves]
    return find_at_night(shop.settings, shop.url, facts, rows.day, parts)["silent"]


def test_a_night_of_old_facts_does_not_look(night_shop: Shop, rows: FeatureRows) -> None:
    settings = replace(night_shop.settings, now=rows.as_of + timedelta(days=3))
    report = NightlyJob(settings, as_json=True).run(None)
    (step,) = [step for step in report["steps"] if step["name"] == "triggers"]
    assert "silence of the import" in str(step)
    night_shop.close()
