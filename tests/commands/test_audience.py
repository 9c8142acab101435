"""`rapport audience` from publish to CSV: Redis and facts agree, and files are safe to open and to leave lying."""

import csv
import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rapport
from commands.audience import AudienceJob, harmless, publish_tags, write_ids
from features.build import FeatureRows
from features.errors import AudienceUnreadable, ConfigurationError, NothingPublished
from features.facts import Facts
from features.published_tags import INDEX, published_folder
from features.settings import Settings

WORDS = "(tier in (gold, diamond) or bought:cheese_30d) and not silent_21d"
COMPARED = f"{WORDS} and spend_cents_90d between 10000 and 90000 and basket_lines != single"


@pytest.fixture(scope="module")
def shop(facts_folder: Path, facts: Facts, rows: FeatureRows, store_url: str) -> Settings:
    """Settings of a shop with published tags."""
    made = Settings(data_dir=facts_folder.parent, redis_url=store_url, key_prefix="test-audience-job")
    publish_tags(made, store_url, facts, rows)
    return made


def ask(shop: Settings, text: str, **given: object) -> dict:
    options = {"as_of": None, "offline": False, "include_opted_out": False, "out": None, "count_only": False}
    return AudienceJob(shop, as_json=True).run(text, **{**options, **given})


@pytest.mark.parametrize("text", [WORDS, COMPARED, "not tier=gold", "days_since_last_purchase < 3", "not bought:cheese_180d"])
def test_redis_and_facts_agree(text: str, shop: Settings) -> None:
    online = ask(shop, text)
    offline = ask(shop, text, offline=True, as_of="end-of-facts")

    assert online["source"].startswith("tags")
    assert offline["source"] == "facts"
    assert sorted(online["member_ids"]) == sorted(offline["member_ids"])
    assert online["members"] == len(online["member_ids"]) > 0
    assert online["as_of"] == offline["as_of"]


def test_features_that_are_not_kept_are_built_again(shop: Settings) -> None:
    expected = ask(shop, COMPARED)
    for path in published_folder(shop.data_dir).glob("tag_features-*"):
        path.rename(path.with_suffix(".away"))
    try:
        found = ask(shop, COMPARED)
    finally:
        for path in published_folder(shop.data_dir).glob("tag_features-*.away"):
            path.rename(path.with_suffix(".parquet"))

    assert found["source"] == "facts"
    assert sorted(found["member_ids"]) == sorted(expected["member_ids"])


def test_publishing_again_keeps_the_index_and_one_file_of_features(
    shop: Settings, facts: Facts, rows: FeatureRows, store_url: str
) -> None:
    before = (published_folder(shop.data_dir) / INDEX).read_bytes()
    ids = ask(shop, WORDS)["member_ids"]

    publish_tags(shop, store_url, facts, rows)

    assert (published_folder(shop.data_dir) / INDEX).read_bytes() == before
    assert len(list(published_folder(shop.data_dir).glob("tag_features-*"))) == 1
    assert ask(shop, WORDS)["member_ids"] == ids


def test_a_moment_is_asked_for_and_never_assumed(shop: Settings, facts: Facts) -> None:
    with pytest.raises(ConfigurationError, match="needs a moment"):
        ask(shop, WORDS, offline=True)
    earlier = facts.midnight(facts.manifest.until_day - 30) + timedelta(hours=5)

    assert ask(shop, WORDS, as_of=earlier.isoformat(), count_only=True)["source"] == "facts"


def test_a_csv_holds_the_ids_for_its_owner_only(shop: Settings, tmp_path: Path) -> None:
    out = tmp_path / "members.csv"
    out.write_text("of last week")
    out.chmod(0o644)

    found = ask(shop, WORDS, out=out)

    with out.open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["member_id"]
    assert [row[0] for row in rows] == ask(shop, WORDS)["member_ids"]
    assert found["members"] == len(rows)
    assert "member_ids" not in found
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["members.csv"]
    with pytest.raises(ConfigurationError, match="no folder"):
        ask(shop, WORDS, out=tmp_path / "nowhere" / "members.csv")


@pytest.mark.parametrize("member", ["=cmd|' /C calc'!A0", "+1", "-2", "@SUM(1)", "\t=1", "\r=1"])
def test_a_spreadsheet_runs_no_id(member: str, tmp_path: Path) -> None:
    write_ids(tmp_path / "ids.csv", [member, "00123", "会员一", 'a"b,c'])

    with (tmp_path / "ids.csv").open(newline="", encoding="utf-8") as file:
        assert [row[0] for row in csv.reader(file)] == ["member_id", f"'{member}", "00123", "会员一", 'a"b,c']
    assert harmless("a=b") == "a=b"


def test_the_command_line_answers_in_json(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in shop.to_env().items():
        monkeypatch.setenv(name, value)

    answer = CliRunner().invoke(rapport.app, ["audience", WORDS, "--count", "--json"])

    assert answer.exit_code == 0
    found = json.loads(answer.stdout)
    assert found["members"] == ask(shop, WORDS)["members"]
    assert set(found) == {"audience", "members", "opted_out", "consent_unknown", "as_of", "source"}
    refused = CliRunner().invoke(rapport.app, ["audience", "teir=gold"])
    assert isinstance(refused.exception, AudienceUnreadable)
    assert refused.exception.exit_code == 2


def test_without_a_publish_there_is_a_remedy(shop: Settings) -> None:
    with pytest.raises(NothingPublished) as refused:
        ask(Settings(data_dir=shop.data_dir, redis_url=shop.redis_url, key_prefix="empty"), WORDS)

    assert "rapport publish" in refused.value.remedy
