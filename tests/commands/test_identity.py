"""`rapport identity`: who is who, asked by a person or a program, without an identifier being shown."""

import json
from pathlib import Path

import pyarrow.parquet
import pytest
from sightings import KEY, alias_of, observed
from typer.testing import CliRunner, Result

from features.errors import ConfigurationError, FactsMissing
from features.identifiers import key_check
from features.identity import IDENTITIES_FILE, resolve, write_resolution
from rapport import app

TABLET = ("member:ann phone:1 device:tablet", "member:bob device:tablet", "cookie:a email:cid@example.org")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with identities."""
    facts = tmp_path / "facts"
    facts.mkdir()
    pyarrow.parquet.write_table(observed(*TABLET), facts / IDENTITIES_FILE)
    write_resolution(facts, resolve(facts / IDENTITIES_FILE, key_check=key_check(KEY)))
    return tmp_path


def run(data: Path, *words: str, key: str = KEY.decode()) -> Result:
    return CliRunner().invoke(app, ["identity", *words], env={"RAPPORT_DATA_DIR": str(data), "RAPPORT_IDENTITY_KEY": key})


def test_the_command_explains_and_shows_no_identifier(data: Path) -> None:
    done = run(data, "why", "email: Cid@Example.org", "cookie:a")

    assert done.exit_code == 0
    assert "One member" in done.output
    assert "o2" in done.output
    assert "example" not in done.output.casefold()


def test_a_program_gets_the_chain(data: Path) -> None:
    done = run(data, "why", "ann", "bob", "--json")

    found = json.loads(done.stdout)
    assert found["reason"] == "review"
    assert [step["kind"] for step in found["chain"]] == ["member", "device", "member"]


def test_an_identifier_never_seen_is_not_repeated(data: Path) -> None:
    done = run(data, "why", "ann", "phone:13800138000")

    assert done.exit_code == 0
    assert "second id" in done.output
    assert "13800138000" not in done.output


def test_review_lists_what_joins_nobody(data: Path) -> None:
    shown, found = run(data, "review"), json.loads(run(data, "review", "--json").stdout)

    assert alias_of("device:tablet").partition(":")[2][:16] in shown.output
    assert "several registered members" in shown.output
    assert (found["members"], found["anonymous"], found["shared"]) == (2, 2, 1)
    assert found["review"][0]["candidates"] == ["ann", "bob"]


def test_raw_identifiers_need_the_key_and_ids_do_not(data: Path) -> None:
    assert run(data, "why", "ann", "bob", key="").exit_code == 0
    assert run(data, "why", alias_of("phone:1"), "ann", key="").exit_code == 0
    for key in ("", "a key that is not the one"):
        refused = run(data, "why", "ann", "phone:13800138000", key=key)
        assert isinstance(refused.exception, ConfigurationError)
        assert "13800138000" not in str(refused.exception) + refused.exception.remedy


def test_without_identities_there_is_nothing_to_ask(tmp_path: Path) -> None:
    assert isinstance(run(tmp_path, "review").exception, FactsMissing)


def test_ids_that_look_like_markup_are_shown_as_they_are(tmp_path: Path) -> None:
    facts = tmp_path / "facts"
    facts.mkdir()
    pyarrow.parquet.write_table(observed("member:[/red] device:d", "member:[bold]x device:d"), facts / IDENTITIES_FILE)
    write_resolution(facts, resolve(facts / IDENTITIES_FILE))

    assert "[/red]" in run(tmp_path, "why", "[/red]", "[bold]x").output
    assert "[bold]x" in run(tmp_path, "review").output
