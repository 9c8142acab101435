"""Ids as they may be shown: a phone number or an e-mail address is masked, any other id is left as it is."""

import re

_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{6,18}[0-9]")
_SHOWN, _DIGITS = 3, 4
_FEWEST_DIGITS, _MOST_DIGITS = 10, 15
"""Digits of phone numbers with area or country; card numbers and the shop's own numbers are mostly shorter or longer."""


def masked(member_id: str) -> str:
    """138****5678 for 13812345678, m***@example.org for an address, and other ids unchanged."""
    name, at, domain = member_id.partition("@")
    if at and name and "." in domain:
        return f"{name[0]}***@{domain}"
    digits = sum(character.isdecimal() for character in member_id)
    if _PHONE.fullmatch(member_id) and _FEWEST_DIGITS <= digits <= _MOST_DIGITS:
        return f"{member_id[:_SHOWN]}****{member_id[-_DIGITS:]}"
    return member_id
