"""Who is who: the rules one by one, all of them against a naive reading, and the same answer in whatever order."""

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sightings import (
    KEY,
    TIGHT,
    WHO_IS_WHO,
    alias_of,
    anonymous,
    is_member,
    members_of,
    observations,
    observed,
    policies,
    reasons_of,
    rows_of,
    table_of,
)

from features.errors import ConfigurationError, FactsMissing, SourceError
from features.identifiers import key_check
from features.identity import (
    ALIASES_FILE,
    IDENTITIES_FILE,
    REVIEW_FILE,
    canonical,
    extend,
    moves,
    read_resolution,
    require_same_key,
    resolve,
    write_resolution,
)
from features.identity_policy import IdentityPolicy


def who(*texts: str, policy: IdentityPolicy | None = None) -> dict[str, str]:
    """Each identifier, as written, to its member."""
    found = members_of(resolve(observed(*texts), policy))
    return {word: found[alias_of(word)] for word in " ".join(texts).split()}


def for_review(*texts: str, policy: IdentityPolicy | None = None) -> dict[str, str]:
    """Identifiers for review, as written, to their reasons."""
    found = reasons_of(resolve(observed(*texts), policy))
    return {word: found[alias_of(word)] for word in " ".join(texts).split() if alias_of(word) in found}


def merged(sets: list[set[str]], links: list[set[str]]) -> list[set[str]]:
    """Sets that any link touches become one, slowly."""
    for link in links:
        touched = [group for group in sets if group & link]
        sets = [group for group in sets if not group & link] + ([set().union(*touched)] if touched else [])
    return sets


def believed(text: str, policy: IdentityPolicy) -> set[str]:
    """What an observation links: nothing if it holds too much."""
    words = set(text.split())
    many = len(words) > policy.identifiers_per_observation or sum(map(is_member, words)) > policy.members_per_identifier
    return set() if many else words


def slowly(texts: list[str], policy: IdentityPolicy) -> tuple[dict[str, str], dict[str, str]]:
    """Members and reasons by the words of docs/identity.md, with sets and loops alone."""
    every = {word for text in texts for word in text.split()}
    strong = {word for word in every if word.partition(":")[0] in policy.strong}
    held = [words for words in map(believed, texts, [policy] * len(texts)) if words]
    crowded = set()
    for word in every:
        others = {other for words in held if word in words for other in words} - {word}
        limit = policy.members_per_identifier if word in strong else policy.identifiers_per_weak
        counted = [other for other in others if is_member(other)] if word in strong else others
        if not is_member(word) and len(counted) > limit:
            crowded.add(word)
    held = [words - crowded for words in held]

    persons = merged([{word} for word in strong], [words & strong for words in held])
    registered = [person for person in persons if any(map(is_member, person))]
    owners = {
        word: {number for number, person in enumerate(registered) for words in held if word in words and words & person}
        for word in every - strong
    }
    shared = {word for word, found in owners.items() if len(found) > 1}
    unknown = [words - shared for words in held if not any(words & person for person in registered)]
    clusters = merged(
        [{word} for word in every - strong - shared] + [person for person in persons if person not in registered], unknown
    )
    groups, chained = [*registered, *({word} for word in shared)], set()
    for cluster in clusters:
        claims = {owner for word in cluster for owner in owners.get(word, ())}
        if not claims:
            groups.append(cluster)
        elif len(claims) == 1:
            registered[claims.pop()].update(cluster)
        else:
            chained |= cluster - strong
            groups += [{word} for word in cluster - strong] + [person for person in persons if person <= cluster]
    members = {}
    for group in groups:
        ids = sorted(word.partition(":")[2] for word in group if is_member(word))
        members |= {alias_of(word): ids[0] if ids else anonymous(*group) for word in group}
    reasons = {**dict.fromkeys(shared, "shared"), **dict.fromkeys(chained, "chained"), **dict.fromkeys(crowded, "crowded")}
    return members, {alias_of(word): reason for word, reason in reasons.items()}


@WHO_IS_WHO
@given(texts=observations, policy=policies)
def test_the_answer_is_that_of_a_naive_reading(texts: list[str], policy: IdentityPolicy) -> None:
    found = resolve(observed(*texts), policy)

    members, reasons = slowly(texts, policy)
    assert members_of(found) == members
    assert reasons_of(found) == reasons


@WHO_IS_WHO
@given(texts=observations, policy=policies)
def test_the_day_of_a_link_is_the_first_by_which_the_member_can_be_reached(texts: list[str], policy: IdentityPolicy) -> None:
    """Observations are a day apart: those up to a day either lead from the identifier to the member, or not yet."""
    found = resolve(observed(*texts), policy)
    members, reviewed = members_of(found), reasons_of(found)
    linked = dict(zip(found.aliases["alias"].to_pylist(), found.aliases["linked_day"].to_pylist(), strict=True))
    for word in {word for text in texts for word in text.split()}:
        home = f"member:{members[alias_of(word)]}"
        person = {other for text in texts for other in text.split() if members[alias_of(other)] == members[alias_of(word)]}
        person = {other for other in person if alias_of(other) not in reviewed}
        links = [believed(text, policy) & person for text in texts]
        reached = [merged([{other} for other in person], links[: day + 1]) for day in range(len(texts))]
        days = [day for day, groups in enumerate(reached) if any({word, home} <= group for group in groups)]
        assert linked[alias_of(word)] == (days[0] if days and word != home else None)


@WHO_IS_WHO
@given(texts=observations, policy=policies, seed=st.integers(0, 2**32))
def test_order_repetition_and_division_change_nothing(texts: list[str], policy: IdentityPolicy, seed: int) -> None:
    chance = random.Random(seed)
    rows = rows_of(texts)
    again = [*rows, *chance.choices(rows, k=3)]
    chance.shuffle(again)
    cut = chance.randrange(len(again) + 1)

    whole = resolve(table_of(rows), policy)
    parts = resolve([table_of(again[:cut]), table_of(again[cut:])], policy)

    assert parts.aliases.equals(whole.aliases)
    assert parts.review.equals(whole.review)
    assert parts.counts() == whole.counts()


@WHO_IS_WHO
@given(texts=observations, policy=policies, seed=st.integers(0, 2**32))
def test_bit_by_bit_is_as_all_at_once_and_moves_lead_there(texts: list[str], policy: IdentityPolicy, seed: int) -> None:
    chance = random.Random(seed)
    rows = rows_of(texts)
    chance.shuffle(rows)
    cuts = sorted(chance.randrange(len(rows) + 1) for _ in range(2))

    state = resolve(table_of(rows[: cuts[0]]), policy)
    for start, end in ((cuts[0], cuts[1]), (cuts[1], len(rows))):
        before = members_of(state)
        state, changes = extend(state, table_of(rows[start:end]))
        whole = {row["old_member_id"]: row["new_member_id"] for row in changes.whole.to_pylist()}
        splits = {row["alias"]: row["new_member_id"] for row in changes.splits.to_pylist()}
        after = members_of(state)
        moved = {alias: whole.get(old) or splits.get(alias) or old for alias, old in before.items()}
        assert moved == {alias: after[alias] for alias in before}

    at_once = resolve(table_of(rows), policy)
    assert state.aliases.equals(at_once.aliases)
    assert state.review.equals(at_once.review)


def test_identifiers_seen_together_are_one_person_through_any_number_of_steps() -> None:
    found = who("member:ann phone:1", "phone:1 email:a@x", "email:a@x cookie:a", "cookie:a device:d", "device:d cookie:b")

    assert set(found.values()) == {"ann"}


def test_a_chain_of_ten_thousand_cookies_is_one_person() -> None:
    links = [f"cookie:{step} cookie:{step + 1}" for step in range(10_000)]

    found = resolve(observed(*links, "member:ann cookie:5000"))

    assert set(found.aliases["member_id"].to_pylist()) == {"ann"}


def test_a_strong_identifier_merges_two_members_and_the_other_id_becomes_an_alias() -> None:
    found = resolve(observed("member:bob phone:1", "member:ann phone:1"))

    assert members_of(found) == {"member:ann": "ann", "member:bob": "ann", alias_of("phone:1"): "ann"}
    assert canonical(found, pa.array(["bob", "ann", "cid"])).to_pylist() == ["ann", "ann", "cid"]
    assert found.review.num_rows == 0


def test_a_tablet_of_two_members_belongs_to_neither_and_their_own_cookies_stay() -> None:
    texts = ("member:ann cookie:a device:tablet", "member:bob cookie:b device:tablet", "device:tablet")

    assert who(*texts) == {
        "member:ann": "ann",
        "cookie:a": "ann",
        "device:tablet": anonymous("device:tablet"),
        "member:bob": "bob",
        "cookie:b": "bob",
    }
    (question,) = resolve(observed(*texts)).review.to_pylist()
    assert question["reason"] == "shared"
    assert question["candidates"] == ["ann", "bob"]
    assert question["members"] == 2


def test_a_chain_of_weak_identifiers_between_two_members_joins_neither() -> None:
    texts = ("member:ann cookie:a", "cookie:a device:d", "device:d cookie:b", "cookie:b member:bob")

    assert for_review(*texts) == dict.fromkeys(("cookie:a", "device:d", "cookie:b"), "chained")
    assert who(*texts)["member:ann"] == "ann"
    assert who(*texts)["member:bob"] == "bob"
    assert who(*texts)["device:d"] == anonymous("device:d")


def test_a_phone_between_two_weak_identifiers_of_different_members_stays_its_own_person() -> None:
    found = who("member:ann cookie:a", "cookie:a phone:1 email:e@x", "phone:1 cookie:b", "cookie:b member:bob")

    assert found["phone:1"] == found["email:e@x"] == anonymous("phone:1", "email:e@x")
    assert found["cookie:a"] == anonymous("cookie:a")


def test_two_members_who_are_one_by_phone_may_share_a_cookie() -> None:
    texts = ("member:ann cookie:a", "member:bob cookie:a", "member:ann phone:1", "phone:1 member:bob")

    assert set(who(*texts).values()) == {"ann"}
    assert for_review(*texts) == {}


def test_an_anonymous_history_moves_to_the_member_once_it_is_linked() -> None:
    visits = resolve(observed("cookie:a device:d", "device:d cookie:b"))
    visitor = anonymous("cookie:a", "cookie:b", "device:d")
    assert set(members_of(visits).values()) == {visitor}

    now, changes = extend(visits, table_of([{**row, "observation_id": "login"} for row in rows_of(["member:ann cookie:b"])]))

    assert changes.whole.to_pylist() == [{"old_member_id": visitor, "new_member_id": "ann"}]
    assert changes.splits.num_rows == 0
    assert canonical(now, pa.array([visitor])).to_pylist() == ["ann"]


def test_members_that_merge_later_move_as_a_whole() -> None:
    before = resolve(observed("member:bob phone:1", "member:bob cookie:b"))
    later = [{**row, "observation_id": "later"} for row in rows_of(["member:ann phone:1"])]

    _, changes = extend(before, table_of(later))

    assert changes.whole.to_pylist() == [{"old_member_id": "bob", "new_member_id": "ann"}]


def test_the_day_of_a_link_is_the_latest_of_the_earliest_chain() -> None:
    rows = rows_of(["cookie:a phone:1", "phone:1 email:e", "member:ann email:e", "member:ann phone:1", "cookie:b member:ann"])
    days = {"o0": 10, "o1": 40, "o2": 20, "o3": 30, "o4": None}

    found = resolve(table_of([{**row, "local_day": days[str(row["observation_id"])]} for row in rows]))

    assert {row["alias"]: row["linked_day"] for row in found.aliases.to_pylist()} == {
        "member:ann": None,
        alias_of("email:e"): 20,
        alias_of("phone:1"): 30,
        alias_of("cookie:a"): 30,
        alias_of("cookie:b"): None,
    }


def test_a_second_login_takes_the_tablet_out_of_the_first_member() -> None:
    before = resolve(observed("member:ann device:tablet"))
    assert members_of(before)[alias_of("device:tablet")] == "ann"
    later = [{**row, "observation_id": "later"} for row in rows_of(["member:bob device:tablet"])]

    _, changes = extend(before, table_of(later))

    assert changes.whole.num_rows == 0
    assert changes.splits.to_pylist() == [
        {"alias": alias_of("device:tablet"), "old_member_id": "ann", "new_member_id": anonymous("device:tablet")}
    ]


def test_what_did_not_change_moves_nowhere() -> None:
    state = resolve(observed("member:ann phone:1", "cookie:a"))

    again, changes = extend(state, observed("member:ann phone:1"))

    assert again.aliases.equals(state.aliases)
    assert changes.whole.num_rows == changes.splits.num_rows == 0
    assert moves(again, state).whole.num_rows == 0


def test_a_till_s_own_phone_number_merges_nobody() -> None:
    texts = [f"member:{number} phone:4000" for number in range(6)]

    assert for_review(*texts) == {"phone:4000": "crowded"}
    assert who(*texts)["member:3"] == "3"
    assert set(who(*texts[:5]).values()) == {"0"}


def test_the_address_of_a_cafe_makes_its_guests_nobody_s() -> None:
    guests = [f"ip:cafe cookie:{number}" for number in range(51)]

    found = who("member:ann ip:cafe", *guests)

    assert found["cookie:7"] == anonymous("cookie:7")
    assert for_review("member:ann ip:cafe", *guests) == {"ip:cafe": "crowded"}
    assert who("member:ann ip:cafe", *guests[:49])["cookie:7"] == "ann"


def test_an_observation_of_everything_links_nothing() -> None:
    everything = " ".join(f"cookie:{number}" for number in range(51))
    many_members = " ".join(f"member:{number}" for number in range(6))

    found = resolve(observed(everything, many_members, "member:ann phone:1"))

    assert found.crowded_observations == 2
    assert found.counts()["anonymous"] == 51
    assert found.counts()["members"] == 7


def test_an_observation_without_an_id_links_nothing() -> None:
    rows = [{**row, "observation_id": ""} for row in rows_of(["member:ann phone:1"])]

    assert set(members_of(resolve(table_of(rows))).values()) == {"ann", anonymous("phone:1")}


def test_blank_and_missing_identifiers_are_none() -> None:
    blank = {"observation_id": "o0", "identifier_kind": "member", "identifier": "", "local_day": None}

    found = resolve(table_of([*rows_of(["cookie:a"]), blank, {**blank, "identifier": None}]))

    assert members_of(found) == {alias_of("cookie:a"): anonymous("cookie:a")}


def test_nothing_observed_is_nobody() -> None:
    found = resolve(observed())

    assert found.aliases.num_rows == found.review.num_rows == 0
    assert set(found.counts().values()) == {0}
    now, changes = extend(found, observed("member:ann phone:1"))
    assert set(members_of(now).values()) == {"ann"}
    assert changes.whole.num_rows == 0


def test_a_raw_identifier_is_refused_and_not_shown() -> None:
    raw = {"observation_id": "o", "identifier_kind": "phone", "identifier": "13800138000", "local_day": 0}

    with pytest.raises(SourceError, match="phone") as refused:
        resolve(table_of([*rows_of(["cookie:a"]), raw]))

    assert "13800138000" not in str(refused.value) + refused.value.remedy


def test_a_kind_in_another_spelling_would_be_weak_and_is_refused() -> None:
    rows = [{**row, "identifier_kind": "E-Mail"} for row in rows_of(["email:a"])]

    with pytest.raises(SourceError, match="'email'"):
        resolve(table_of(rows))


def test_two_hundred_thousand_observations() -> None:
    """Fifty thousand persons with a cookie each and a device for two; every other one logs in."""
    person = np.arange(200_000) % 50_000
    cookies = [f"{number:064x}" for number in range(50_000)]
    devices = [f"{number + 2**64:064x}" for number in range(25_000)]
    parts = [("cookie", [cookies[p] for p in person]), ("device", [devices[p // 2] for p in person])]
    tables = [
        pa.table(
            {
                "observation_id": [f"o{number}" for number in range(200_000)],
                "identifier_kind": [kind] * 200_000,
                "identifier": values,
                "local_day": pa.array(person, pa.int32()),
            }
        )
        for kind, values in parts
    ]
    logins = table_of(
        [
            {"observation_id": f"o{number}", "identifier_kind": "member", "identifier": f"m{number}", "local_day": 0}
            for number in range(0, 50_000, 2)
        ]
    )

    found = resolve([*tables, logins])

    assert found.counts() == {
        "identifiers": 100_000,
        "members": 25_000,
        "anonymous": 0,
        "merged_member_ids": 0,
        "shared": 0,
        "chained": 0,
        "crowded": 0,
        "crowded_observations": 0,
    }
    assert members_of(found)[f"cookie:{cookies[4001]}"] == "m4000"


def test_what_was_written_can_be_read_and_extended(tmp_path: Path) -> None:
    identities = observed("member:ann device:tablet", "member:bob device:tablet", "cookie:a")
    pyarrow.parquet.write_table(identities, tmp_path / IDENTITIES_FILE)
    found = resolve(tmp_path / IDENTITIES_FILE, TIGHT, key_check=key_check(KEY))
    write_resolution(tmp_path, found)

    kept = read_resolution(tmp_path)

    assert kept.aliases.equals(found.aliases)
    assert kept.review.equals(found.review)
    assert (kept.policy, kept.key_check, kept.crowded_observations) == (TIGHT, key_check(KEY), 0)
    assert extend(kept, observed())[0].aliases.equals(resolve(identities, TIGHT).aliases)


def test_equal_identities_give_equal_bytes(tmp_path: Path) -> None:
    rows = rows_of(["member:ann device:tablet", "member:bob device:tablet cookie:a", "cookie:a phone:1"])
    for name, part in (("one", rows), ("other", rows[::-1])):
        (tmp_path / name).mkdir()
        write_resolution(tmp_path / name, resolve(table_of(part)))

    for name in (ALIASES_FILE, REVIEW_FILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_without_identities_the_remedy_is_an_import(tmp_path: Path) -> None:
    with pytest.raises(FactsMissing) as refused:
        read_resolution(tmp_path)

    assert "docs/identity.md" in refused.value.remedy


def test_no_raw_identifier_is_in_any_file(tmp_path: Path) -> None:
    texts = [
        "member:ann phone:13800138000 email:ann@example.org",
        "member:bob cookie:secret-cookie",
        "member:cid cookie:secret-cookie",
    ]
    pyarrow.parquet.write_table(observed(*texts), tmp_path / IDENTITIES_FILE)
    write_resolution(tmp_path, resolve(tmp_path / IDENTITIES_FILE, key_check=key_check(KEY)))

    assert len(list(tmp_path.iterdir())) == 3
    for path in tmp_path.iterdir():
        table = pyarrow.parquet.read_table(path)
        content = json.dumps(table.to_pylist()) + str(table.schema.metadata)
        for raw in ("13800138000", "ann@example.org", "example", "secret-cookie", KEY.decode()):
            assert raw not in content


def test_another_key_is_noticed() -> None:
    found = resolve(observed("member:ann phone:1"), key_check=key_check(KEY))

    require_same_key(found, KEY)
    require_same_key(resolve(observed("phone:1")), b"any key where none is known")
    with pytest.raises(ConfigurationError, match="RAPPORT_IDENTITY_KEY") as refused:
        require_same_key(found, b"quite another key 0123")
    assert KEY.decode() not in str(refused.value)
