"""The alias and its record move together: one of two wins, what others move is noticed, the way back is by the record."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from features.errors import BundleRefused, ChampionMoved, ModelMissing, RegistryUnavailable
from training import audit, registry
from training.audit import Signed, entries, keep_champion, last_verdict, move_champion, roll_back
from training.registry import CHALLENGER, CHAMPION, DATABASE, HASH_TAG, registered_models, resolve
from training.tracking import open_registry

AT = datetime(2026, 3, 1, 6, tzinfo=UTC)
REPOSITORY = Path(__file__).parents[2]


def signed(reason: str = "better", *, minutes: int = 0) -> Signed:
    return Signed("ann", AT + timedelta(minutes=minutes), reason, "e" * 64, {"code": "PROMOTED"})


def promote(mlruns: Path, *versions: str) -> None:
    """One version after the other becomes champion."""
    before = None
    for version in versions:
        move_champion(mlruns, "churn", expected=before, to=version, signed=signed())
        before = version


def champion(mlruns: Path) -> str:
    return resolve(mlruns, "churn").version


def test_a_promotion_moves_the_alias_and_leaves_a_record(churns: Path) -> None:
    entry = move_champion(churns, "churn", expected=None, to="1", signed=signed("the first"))

    assert champion(churns) == "1"
    assert str(open_registry(churns).get_model_version_by_alias("churn", CHAMPION).version) == "1"
    assert entries(churns) == [entry]
    assert (entry.at, entry.who, entry.reason) == ("2026-03-01T06:00:00.000+00:00", "ann", "the first")
    assert (entry.action, entry.before, entry.after, entry.evidence_sha256) == ("promoted", None, "1", "e" * 64)
    assert open_registry(churns).get_model_version("churn", "1").tags["gate"] == "promoted: the first"


def test_a_refused_version_becomes_challenger_and_loses_that_name_when_promoted(churns: Path) -> None:
    promote(churns, "1")
    keep_champion(churns, "churn", refused="2", signed=signed("no gain shown"))
    assert (champion(churns), resolve(churns, "churn", CHALLENGER).version) == ("1", "2")
    assert entries(churns, "churn")[-1].action == "kept"

    move_champion(churns, "churn", expected="1", to="2", signed=signed())
    assert resolve(churns, "churn").aliases == (CHAMPION,)
    assert last_verdict(churns, "churn", "2") == entries(churns)[-1]
    assert last_verdict(churns, "churn", "3") is None


def test_a_decision_against_another_champion_is_told_and_changes_nothing(churns: Path) -> None:
    promote(churns, "1")
    before = entries(churns)

    for expected in (None, "2"):
        with pytest.raises(ChampionMoved, match="champion is version 1 by now") as caught:
            move_champion(churns, "churn", expected=expected, to="3", signed=signed())
        assert caught.value.exit_code == 75
    assert (champion(churns), entries(churns)) == ("1", before)


def test_of_two_processes_at_once_one_wins_and_the_other_is_told(churns: Path) -> None:
    promote(churns, "1")
    script = (
        "import sys; from datetime import datetime, UTC; from pathlib import Path\n"
        "from features.errors import ChampionMoved\n"
        "from training.audit import Signed, move_champion\n"
        "sys.stdin.read()\n"  # both wait here until both are ready
        "try:\n"
        f"    move_champion(Path({str(churns)!r}), 'churn', expected='1', to=sys.argv[1], "
        "signed=Signed('p' + sys.argv[1], datetime(2026, 3, 1, tzinfo=UTC), 'both'))\n"
        "    print('won')\n"
        "except ChampionMoved as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", script]
    both = [
        subprocess.Popen([*command, version], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for version in ("2", "3")
    ]
    time.sleep(1)
    for process in both:
        assert process.stdin is not None
        process.stdin.close()
    said = [process.stdout.read().strip() for process in both if process.stdout is not None]
    assert [process.wait(60) for process in both] == [0, 0]
    for process in both:
        assert process.stdout is not None
        process.stdout.close()

    winner = "2" if said[0] == "won" else "3"
    assert sorted(text == "won" for text in said) == [False, True]
    assert f"the champion is version {winner} by now, not version 1" in next(text for text in said if text != "won")
    assert champion(churns) == winner
    assert [entry.after for entry in entries(churns)] == ["1", winner]


def test_rolling_back_goes_one_champion_back_each_time(churns: Path) -> None:
    promote(churns, "1", "3", "2")
    for version in ("3", "1"):
        entry = roll_back(churns, "churn", signed=signed("scores look wrong"))
        assert (entry.action, entry.after, champion(churns)) == ("rolled back", version, version)

    with pytest.raises(ModelMissing, match="churn@1 is the first champion on record"):
        roll_back(churns, "churn", signed=signed())
    assert champion(churns) == "1"
    move_champion(churns, "churn", expected="1", to="3", signed=signed())
    assert roll_back(churns, "churn", signed=signed()).after == "1"


def test_a_champion_that_comes_again_is_not_gone_back_to_for_ever(churns: Path) -> None:
    promote(churns, "1", "2", "1")

    assert [roll_back(churns, "churn", signed=signed()).after for _ in range(2)] == ["2", "1"]
    with pytest.raises(ModelMissing, match="first champion on record"):
        roll_back(churns, "churn", signed=signed())


def test_an_alias_moved_on_mlflows_page_is_noticed(churns: Path) -> None:
    promote(churns, "1", "2")
    open_registry(churns).set_registered_model_alias("churn", CHAMPION, "3")

    with pytest.raises(ChampionMoved, match="version 3 by now, not version 2"):
        move_champion(churns, "churn", expected="2", to="1", signed=signed())
    assert roll_back(churns, "churn", signed=signed()).after == "2"
    moved = entries(churns)[-2]
    assert (moved.action, moved.who, moved.before, moved.after) == ("moved elsewhere", "unknown", "2", "3")


def test_nothing_to_roll_back_is_said(churns: Path) -> None:
    with pytest.raises(ModelMissing, match="churn has no champion"):
        roll_back(churns, "churn", signed=signed())
    open_registry(churns).set_registered_model_alias("churn", CHAMPION, "3")
    with pytest.raises(ModelMissing, match="first champion on record"):
        roll_back(churns, "churn", signed=signed())
    with pytest.raises(ModelMissing, match="no registry"):
        roll_back(churns / "nowhere", "churn", signed=signed())
    assert entries(churns / "nowhere") == []


def test_a_deleted_version_is_not_promoted_and_not_gone_back_to(churns: Path) -> None:
    promote(churns, "1", "2")
    open_registry(churns).delete_model_version("churn", "1")

    for act in (
        lambda: roll_back(churns, "churn", signed=signed()),
        lambda: move_champion(churns, "churn", expected="2", to="1", signed=signed()),
        lambda: move_champion(churns, "churn", expected="2", to="9", signed=signed()),
        lambda: keep_champion(churns, "churn", refused="1", signed=signed()),
    ):
        with pytest.raises(ModelMissing, match="is not in the registry, or was deleted"):
            act()
    assert (champion(churns), len(entries(churns))) == ("2", 2)


def test_an_alias_to_a_deleted_version_says_so(churns: Path) -> None:
    promote(churns, "1", "2")
    with closing(sqlite3.connect(churns / DATABASE)) as database, database:
        database.execute("UPDATE model_versions SET current_stage = 'Deleted_Internal' WHERE version = 2")

    with pytest.raises(ModelMissing, match="the champion of churn is version 2, which was deleted") as caught:
        resolve(churns, "churn")
    assert "rapport models rollback churn" in caught.value.remedy
    assert roll_back(churns, "churn", signed=signed()).after == "1"
    assert champion(churns) == "1"


def test_an_alias_to_a_version_that_nobody_signed_says_so(churns: Path) -> None:
    promote(churns, "1")
    open_registry(churns).delete_model_version_tag("churn", "1", HASH_TAG)

    with pytest.raises(BundleRefused, match=f"churn@1 carries no {HASH_TAG}"):
        resolve(churns, "churn")


@pytest.mark.parametrize("change", ["UPDATE rapport_promotions SET who = 'nobody'", "DELETE FROM rapport_promotions"])
def test_the_record_is_not_changed(churns: Path, change: str) -> None:
    promote(churns, "1")
    with closing(sqlite3.connect(churns / DATABASE)) as database, pytest.raises(sqlite3.IntegrityError, match="record"):
        database.execute(change)
    assert [entry.who for entry in entries(churns)] == ["ann"]


def test_a_registry_that_another_program_holds_is_unavailable_and_unchanged(
    churns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(churns, "1")
    monkeypatch.setattr(audit, "WAIT_S", 0.05)
    monkeypatch.setattr(registry, "WAIT_S", 0.05)
    with closing(sqlite3.connect(churns / DATABASE, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        for act in (
            lambda: move_champion(churns, "churn", expected="1", to="2", signed=signed()),
            lambda: roll_back(churns, "churn", signed=signed()),
            lambda: entries(churns),
            lambda: registered_models(churns),
        ):
            with pytest.raises(RegistryUnavailable, match="database is locked") as caught:
                act()
            assert caught.value.exit_code == 75
        holder.execute("ROLLBACK")
    assert champion(churns) == "1"


def test_a_file_that_is_no_database_is_unavailable(churns: Path) -> None:
    (churns / DATABASE).write_bytes(b"not a database" * 1000)

    with pytest.raises(RegistryUnavailable, match="not a database") as caught:
        registered_models(churns)
    assert "restore" in caught.value.remedy


def test_a_moment_without_a_zone_is_refused(churns: Path) -> None:
    with pytest.raises(ValueError, match="time zone"):
        move_champion(churns, "churn", expected=None, to="1", signed=Signed("ann", datetime(2026, 1, 1), ""))  # noqa: DTZ001
    assert entries(churns) == []


def test_the_record_loads_nothing_heavy() -> None:
    unwanted = "{'mlflow', 'duckdb', 'ibis', 'xgboost', 'scipy', 'redis', 'numpy'}"
    script = f"import sys, commands.models, training.trial; print(sorted({unwanted} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
