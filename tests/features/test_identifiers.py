"""Identifiers: one form for every way of writing them, keyed hashes, a policy that names its mistakes."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sightings import KEY

from features.errors import ConfigurationError, SourceError
from features.identifiers import canonical_kind, hash_identifier, identity_key, key_check, normalised
from features.identity_policy import STRONG, WEAK, IdentityPolicy

FULL_WIDTH = "13800138000".translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)})


@pytest.mark.parametrize(
    "text",
    [
        "13800138000",
        "138 0013 8000",
        "+86 138-0013-8000",
        "0086 13800138000",
        "8613800138000",
        " (+86)13800138000",
        FULL_WIDTH,
    ],
)
def test_a_phone_number_has_one_form(text: str) -> None:
    assert normalised("phone", text, country="86") == "8613800138000"


@pytest.mark.parametrize(
    ("text", "country", "form"),
    [
        ("06 12 34 56 78", "33", "33612345678"),
        ("+33 (0)6 12 34 56 78", "33", "33612345678"),
        ("+33 06 12 34 56 78", "33", "33612345678"),
        ("+44 20 7946 0000", "33", "442079460000"),
        ("(555) 010-9999", "1", "15550109999"),
        ("06 12 34 56 78", "", "0612345678"),
        ("ask me", "33", ""),
        ("0000 000", "33", ""),
    ],
)
def test_phone_numbers_of_other_shops(text: str, country: str, form: str) -> None:
    assert normalised("phone", text, country=country) == form


def test_mail_addresses_are_alike_in_any_case_and_other_identifiers_are_not() -> None:
    assert normalised("E-Mail", "  Ann@Example.ORG ") == "ann@example.org"
    assert normalised("cookie", " aBc ") == "aBc"
    assert normalised("card", "00123") == "00123"


def test_kinds_have_one_spelling() -> None:
    assert [canonical_kind(kind) for kind in ("E-Mail", "e_mail", "mail", " Email ")] == ["email"] * 4
    assert canonical_kind("OpenID") == "open_id"
    assert canonical_kind("Taobao order: account") == "taobao_order_account"
    assert canonical_kind("手机") == "手机"


def test_the_hash_is_hmac_sha256_of_kind_and_form() -> None:
    expected = hmac.new(KEY, b"phone\x008613800138000", hashlib.sha256).hexdigest()

    assert hash_identifier("mobile", "+86 138 0013 8000", KEY) == expected
    assert hash_identifier("phone", "13800138000", KEY, country="86") == expected


def test_member_ids_stand_as_they_are_and_nothing_gives_nothing() -> None:
    assert hash_identifier("member", " 00123 ", KEY) == "00123"
    assert hash_identifier("phone", "n/a", KEY) == hash_identifier("cookie", "  ", KEY) == ""


@given(value=st.text(min_size=1), kind=st.sampled_from(["cookie", "device", "email", "phone"]))
def test_hashes_differ_by_key_and_by_kind(value: str, kind: str) -> None:
    found = hash_identifier(kind, value, KEY)
    if found:
        assert len(found) == 64
        assert found != hash_identifier(kind, value, KEY + b"!")
        assert found != hash_identifier(f"other {kind}", value, KEY)


def test_without_a_key_of_some_length_nothing_is_hashed() -> None:
    assert identity_key("0123456789abcdef") == b"0123456789abcdef"
    for text in ("", "hunter2"):
        with pytest.raises(ConfigurationError, match="RAPPORT_IDENTITY_KEY") as refused:
            identity_key(text)
        assert "openssl" in refused.value.remedy
        assert "hunter2" not in str(refused.value) + refused.value.remedy


def test_the_check_of_a_key_tells_keys_apart_and_shows_none() -> None:
    assert key_check(KEY) != key_check(KEY[:-1])
    assert len(key_check(KEY)) == 16


def test_an_empty_section_is_the_policy_by_default() -> None:
    assert IdentityPolicy.of({}) == IdentityPolicy()
    assert IdentityPolicy().strong == STRONG
    assert IdentityPolicy().weak == WEAK


def test_a_section_says_what_is_strong_and_what_is_weak() -> None:
    found = IdentityPolicy.of({"strong": ["Card", "device"], "weak": ["E-Mail"], "country": "+86", "identifiers_per_weak": 9})

    assert found.strong == {"member", "card", "device"}
    assert found.weak == {"email"}
    assert (found.country, found.identifiers_per_weak) == ("86", 9)
    assert IdentityPolicy.of({"weak": ["email"]}).strong == STRONG - {"email"}
    assert IdentityPolicy.of({"strong": ["device"]}).weak == WEAK - {"device"}


@given(
    strong=st.sets(st.sampled_from(["phone", "card", "手机"])),
    weak=st.sets(st.sampled_from(["cookie", "ip"])),
    count=st.integers(1, 100),
    country=st.sampled_from(["", "1", "86"]),
)
def test_a_policy_survives_being_written(strong: set[str], weak: set[str], count: int, country: str) -> None:
    policy = IdentityPolicy(frozenset(strong | {"member"}), frozenset(weak), members_per_identifier=count, country=country)

    assert IdentityPolicy.of(policy.to_content()) == policy


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"strng": ["phone"]}, "'strng' is unknown"),
        ({"strong": "phone"}, "strong is not a list"),
        ({"weak": [1]}, "weak is not a list"),
        ({"strong": ["phone"], "weak": ["phone"]}, "phone cannot be strong and weak"),
        ({"weak": ["member"]}, "member cannot be strong and weak"),
        ({"members_per_identifier": 0}, "at least 1"),
        ({"members_per_identifier": True}, "whole number"),
        ({"identifiers_per_weak": "9"}, "whole number"),
        ({"country": "France"}, "calling code"),
    ],
)
def test_a_wrong_section_is_answered_with_what_is_wrong(content: dict[str, object], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        IdentityPolicy.of(content)
