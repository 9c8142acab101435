"""Settings: from the environment and back, secrets out of sight, and errors that name the variable."""

from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import ConfigurationError
from features.jobs import open_facts
from features.settings import Settings, parse_moment, variable_of

words = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","), min_size=1, max_size=20)
days = st.integers(1, 400)
any_settings = st.builds(
    Settings,
    data_dir=words.map(Path),
    mlruns_dir=words.map(Path),
    redis_url=st.one_of(st.just(""), words),
    redis_timeout_ms=st.integers(1, 10_000),
    key_prefix=words,
    host=words,
    port=st.integers(1, 65_535),
    workers=st.integers(1, 64),
    api_keys=st.lists(words, max_size=3).map(tuple),
    identity_key=st.one_of(st.just(""), words),
    now=st.one_of(st.none(), st.datetimes(min_value=datetime(1990, 1, 1), timezones=st.just(UTC))),  # noqa: DTZ001 # zone beside
    max_staleness_h=st.integers(1, 1000),
    churn=st.lists(
        st.builds("{}/{}".format, st.integers(1, 400), st.integers(1, 400)), min_size=1, max_size=3, unique=True
    ).map(tuple),
    tuning_trials=st.integers(0, 200),
    spend_tiers=st.sets(st.integers(1, 10**9), max_size=3).map(lambda amounts: tuple(sorted(amounts))),
    points=st.dictionaries(st.from_regex("[a-z_]+", fullmatch=True), st.floats(0, 100), max_size=3).map(
        lambda chosen: tuple(chosen.items())
    ),
    thresholds=st.dictionaries(
        st.from_regex("[a-z_]+", fullmatch=True), st.floats(allow_nan=False, allow_infinity=False), max_size=3
    ).map(lambda chosen: tuple(chosen.items())),
)


@given(settings=any_settings)
def test_a_child_process_gets_the_same_settings(settings: Settings) -> None:
    assert Settings.from_env(settings.to_env()) == settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()
    assert Settings.from_env({variable_of(field.name): "" for field in fields(Settings)}) == Settings()


def test_variables_of_others_are_left_alone() -> None:
    assert Settings.from_env({"PORT": "1", "WORKERS": "x", "HOME": "/root"}) == Settings()


def test_redis_url_is_understood_and_our_own_variable_wins() -> None:
    assert Settings.from_env({"REDIS_URL": "redis://a"}).redis_url == "redis://a"
    assert Settings.from_env({"REDIS_URL": "redis://a", "RAPPORT_REDIS_URL": "redis://b"}).redis_url == "redis://b"


def test_keys_are_separated_by_commas_and_blanks_are_dropped() -> None:
    assert Settings.from_env({"RAPPORT_API_KEYS": " one, two,, three ,"}).api_keys == ("one", "two", "three")


def test_thresholds_are_pairs_separated_by_commas() -> None:
    chosen = Settings.from_env({"RAPPORT_THRESHOLDS": " dormant_days = 120, gold_score=9.5, "}).thresholds

    assert dict(chosen) == {"dormant_days": 120.0, "gold_score": 9.5}


def test_churn_is_one_or_more_definitions() -> None:
    assert Settings.from_env({"RAPPORT_CHURN": "28/84, 60/180"}).churn == ("28/84", "60/180")
    assert Settings().churn == ("28/84",)


def test_a_threshold_that_no_feature_has_is_refused_when_facts_are_opened(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, thresholds=(("dormant_day", 120.0),))

    with pytest.raises(ConfigurationError, match="dormant_day") as refused:
        open_facts(settings)
    assert "dormant_days" in refused.value.remedy


def test_secrets_are_not_shown() -> None:
    settings = Settings(redis_url="redis://:hunter2@store:6379/0", api_keys=("sesame",), identity_key="swordfish")

    assert "hunter2" not in repr(settings) + str(settings)
    assert "sesame" not in repr(settings) + str(settings)
    assert "swordfish" not in repr(settings) + str(settings)
    assert "port=3000" in repr(settings)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("RAPPORT_PORT", "three thousand"),
        ("RAPPORT_WORKERS", "1.5"),
        ("RAPPORT_REDIS_TIMEOUT_MS", "50ms"),
        ("RAPPORT_MAX_STALENESS_H", "26h"),
        ("RAPPORT_NOW", "yesterday"),
        ("RAPPORT_THRESHOLDS", "dormant_days"),
        ("RAPPORT_THRESHOLDS", "dormant_days=ninety"),
        ("RAPPORT_THRESHOLDS", "dormant_days=nan"),
        ("RAPPORT_THRESHOLDS", "dormant_days=inf"),
        ("RAPPORT_THRESHOLDS", "dormant_days=90,dormant_days=120"),
        ("RAPPORT_NOW", "2018-01-01T05:00:00"),
        ("RAPPORT_TUNING_TRIALS", "many"),
        ("RAPPORT_CHURN", "28"),
        ("RAPPORT_CHURN", "28/0"),
        ("RAPPORT_CHURN", "28/84,28/84"),
        ("RAPPORT_CHURN", "-28/84"),
        ("RAPPORT_CHURN", ","),
    ],
)
def test_a_value_that_cannot_be_used_names_its_variable(variable: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=variable) as refused:
        Settings.from_env({variable: text, "RAPPORT_API_KEYS": "sesame", "REDIS_URL": "redis://:hunter2@store"})

    assert "sesame" not in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert refused.value.exit_code == 2


def test_moments_need_a_zone_and_become_utc() -> None:
    assert parse_moment("2018-01-01T00:00:00-05:00") == datetime(2018, 1, 1, 5, tzinfo=UTC)
    assert parse_moment("2018-01-01T00:00:00-05:00").tzinfo is UTC
    with pytest.raises(ValueError, match="time zone"):
        parse_moment("2018-01-01T00:00:00")


def test_the_clock_is_the_moment_set_or_the_real_one() -> None:
    moment = datetime(2018, 1, 1, tzinfo=UTC)
    before = datetime.now(UTC)

    assert Settings(now=moment).clock() == moment
    assert before <= Settings().clock() <= datetime.now(UTC)


def test_every_setting_says_what_it_means() -> None:
    assert all(field.metadata["meaning"] for field in fields(Settings))
