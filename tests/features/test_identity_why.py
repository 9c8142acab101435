"""Why two ids are one member: chains whose every step can be looked up."""

from itertools import combinations, pairwise

from hypothesis import given
from sightings import (
    WHO_IS_WHO,
    alias_of,
    anonymous,
    members_of,
    observations,
    observed,
    policies,
    reasons_of,
)

from features.identity import resolve
from features.identity_policy import IdentityPolicy
from features.identity_why import Explanation, why

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
