"""Why two ids are one member: chains whose every step can be looked up, and commands that show no identifier."""

import json
from itertools import combinations, pairwise
from pathlib import Path

import pyarrow.parquet
import pytest
from hypothesis import given
from sightings import (
    KEY,
    WHO_IS_WHO,
    alias_of,
    anonymous,
    members_of,
    observations,
    observed,
    policies,
    reasons_of,
)
from typer.testing import CliRunner, Result

from features.errors import ConfigurationError, FactsMissing
from features.identifiers import key_check
from features.identity import IDENTITIES_FILE, resolve, write_resolution
from features.identity_policy import IdentityPolicy
from features.identity_why import Explanation, why
from rapport import app

TABLET = ("member:ann phone:1 device:tablet", "member:bob device:tablet", "cookie:a email:cid@example.org")


def explained(one: str, other: str, *texts: str, policy: IdentityPolicy | None = None) -> Explanation:
    return why(
        resolve(observed(*texts), policy),
        *(word.removeprefix("member:") if "member:" in word else alias_of(word) for word in (one, other)),
    )


def path_of(found: Explanation) -> list[tuple[str, str]]:
    """Kinds and observations along a chain."""
    return [(step.kind, step.observation_id) for step in found.chain]


def shown(alias: str) -> str:
    """An alias as chains show it: hashes by their first 16 digits."""
    kind, _, identifier = alias.partition(":")
    return f"{kind}:{identifier[:16]}"


@WHO_IS_WHO
@given(texts=observations, policy=policies)
def test_a_chain_is_made_of_observations_and_ends_where_it_should(texts: list[str], policy: IdentityPolicy) -> None:
    resolution = resolve(observed(*texts), policy)
    members, reviewed = members_of(resolution), {shown(alias): reason for alias, reason in reasons_of(resolution).items()}
    words = {shown(alias_of(word)): word for text in texts for word in text.split()}
    for one, other in list(combinations(sorted(members), 2))[:3]:
        found = why(resolution, one, other)
        chain = [f"{step.kind}:{step.identifier}" for step in found.chain]

        assert (found.reason == "linked") == (members[one] == members[other])
        if chain:
            assert (chain[0], chain[-1]) == (shown(one), shown(other))
        for (before, step), end in zip(pairwise(chain), found.chain[1:], strict=True):
            assert {words[before], words[step]} <= set(texts[int(end.observation_id[1:])].split())
        assert any(step.review for step in found.chain) == (found.reason == "review")
        assert [step.review for step in found.chain] == [reviewed.get(place, "") for place in chain]


def test_two_members_are_explained_by_what_is_strong() -> None:
    texts = ("member:ann cookie:a", "member:bob cookie:a", "member:ann phone:1", "phone:1 card:9", "card:9 member:bob")

    found = explained("member:ann", "member:bob", *texts)

    assert found.reason == "linked"
    assert path_of(found) == [("member", ""), ("phone", "o2"), ("card", "o3"), ("member", "o4")]


def test_the_shortest_chain_is_shown() -> None:
    texts = ("member:ann phone:1", "phone:1 card:1", "card:1 email:e", "email:e phone:1 card:2", "card:2 email:f", "email:f")

    assert path_of(explained("member:ann", "email:f", *texts)) == [
        ("member", ""),
        ("phone", "o0"),
        ("card", "o3"),
        ("email", "o4"),
    ]


def test_a_shared_tablet_is_named_as_the_reason() -> None:
    found = explained("member:ann", "member:bob", *TABLET)

    assert found.reason == "review"
    assert found.members == ("ann", "bob")
    assert [(step.kind, step.review) for step in found.chain] == [("member", ""), ("device", "shared"), ("member", "")]


def test_an_observation_of_too_many_is_no_link_of_a_chain() -> None:
    """The crowd saw ann with phone 2 as well; the chain goes the long way."""
    crowd = "member:ann phone:2 " + " ".join(f"cookie:{number}" for number in range(50))

    found = explained("member:ann", "phone:2", crowd, "member:ann phone:1", "phone:1 phone:2")

    assert path_of(found) == [("member", ""), ("phone", "o1"), ("phone", "o2")]
    assert explained("member:ann", "cookie:7", crowd).reason == "no_link"


def test_no_chain_and_no_such_id_are_told_apart() -> None:
    assert explained("member:ann", "cookie:a", *TABLET).reason == "no_link"
    assert explained("member:ann", "member:zoe", *TABLET) == Explanation("unknown", ("ann", ""))
    assert path_of(explained("member:ann", "member:ann", *TABLET)) == [("member", "")]


def test_an_anonymous_id_can_be_asked_for() -> None:
    resolution = resolve(observed(*TABLET))
    visitor = anonymous("cookie:a", "email:cid@example.org")

    assert why(resolution, visitor, alias_of("cookie:a")).reason == "linked"
    assert why(resolution, anonymous("phone:1"), "ann").reason == "linked"


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
