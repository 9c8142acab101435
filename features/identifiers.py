"""Identifiers of people, such as phones, cards and cookies, brought into one form and hashed with the shop's key.

Facts hold hashes only. The kind is part of what is hashed: the same text as a cookie and as a device gives two hashes.
"""

import hmac
import re
import unicodedata

from features.errors import ConfigurationError

MEMBER = "member"
"""The kind of the shop's own ids. These stand as they are."""
SHORTEST_KEY = 16
HASH_PATTERN = "[0-9a-f]{64}"
_SYNONYMS = {
    "e_mail": "email",
    "mail": "email",
    "mobile": "phone",
    "tel": "phone",
    "telephone": "phone",
    "openid": "open_id",
    "unionid": "union_id",
    "member_id": MEMBER,
}
_DOMESTIC_DIGITS = 10
"""Digits that follow a country's prefix where a number is written with the prefix but without a plus."""


def canonical_kind(kind: str) -> str:
    """One spelling a kind: `E-Mail`, `e_mail` and `mail` are `email`; any other kind in lower case, words joined by `_`."""
    plain = re.sub(r"\W+", "_", kind.strip().casefold()).strip("_")
    return _SYNONYMS.get(plain, plain)


def normalised(kind: str, value: str, *, country: str = "") -> str:
    """The form of an identifier in which two ways of writing it are equal; empty where nothing is left.

    Parameters
    ----------
    country
        The shop's own calling code, such as `86`: phone numbers without a prefix are taken to be of that country.
    """
    match canonical_kind(kind):
        case "phone":
            return _phone(unicodedata.normalize("NFKC", value), country)
        case "email":
            return unicodedata.normalize("NFKC", value).strip().casefold()
    return value.strip()


def _phone(text: str, country: str) -> str:
    """Digits with the country's prefix, and without the zero that is dialled only from within the country."""
    text = text.replace("(0)", "").strip()
    digits = "".join(str(int(sign)) for sign in text if sign.isdecimal())
    if not digits.strip("0"):
        return ""  # no number, but somebody's way to get past the form
    if text.startswith("+"):
        return _without_trunk_zero(digits, country)
    if digits.startswith("00"):
        return _without_trunk_zero(digits[2:], country)
    if not country:
        return digits
    if digits.startswith(country) and len(digits) - len(country) >= _DOMESTIC_DIGITS:
        return _without_trunk_zero(digits, country)
    return country + digits.lstrip("0")


def _without_trunk_zero(digits: str, country: str) -> str:
    return country + digits.removeprefix(country).lstrip("0") if country and digits.startswith(country) else digits


def identity_key(text: str) -> bytes:
    """The shop's key from its setting.

    Raises
    ------
    ConfigurationError
        It is not set, or too short to keep phone numbers from being guessed.
    """
    if len(text.encode()) < SHORTEST_KEY:
        state = f"is shorter than {SHORTEST_KEY} bytes" if text else "is not set"
        raise ConfigurationError(
            f"RAPPORT_IDENTITY_KEY {state}: identifiers are kept as keyed hashes only",
            remedy="make one with: openssl rand -hex 32; keep it secret, and keep it: other keys give other hashes",
        )
    return text.encode()


def key_check(key: bytes) -> str:
    """16 hexadecimal digits that tell whether hashes were made with this key, and nothing else about it."""
    return hmac.digest(key, b"rapport: which key is this", "sha256").hex()[:16]


def hash_identifier(kind: str, value: str, key: bytes, *, country: str = "") -> str:
    """HMAC-SHA256 (RFC 2104) of a normalised identifier: 64 hexadecimal digits; empty where nothing is left of it.

    An identifier of kind `member` stands as it is, trimmed.
    """
    plain = normalised(kind, value, country=country)
    if not plain or canonical_kind(kind) == MEMBER:
        return plain
    return hmac.digest(key, f"{canonical_kind(kind)}\0{plain}".encode(), "sha256").hex()
