"""Observations in short: `observed("member:ann phone:1", "phone:1 cookie:a")` is two of them, hashed as an import would."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
from hypothesis import Phase, settings
from hypothesis import strategies as st

from features.fact_tables import arrow_schema
from features.identifiers import MEMBER, hash_identifier
from features.identity import Resolution
from features.identity_policy import IdentityPolicy
from features.sources.schema import IDENTITIES

KEY = b"a key for tests alone, 0123456789"
WHO_IS_WHO = settings(max_examples=15, phases=(Phase.explicit, Phase.reuse, Phase.generate))
"""Without shrinking, as in random_shops."""
TIGHT = IdentityPolicy(members_per_identifier=2, identifiers_per_weak=3, identifiers_per_observation=4)
"""Limits that small examples do reach."""

_words = st.sampled_from(
    [f"{kind}:{value}" for kind, values in {"member": "1234", "phone": "123", "cookie": "abcd", "device": "xyz"}.items()
     for value in values]
)  # fmt: skip
observations = st.lists(st.lists(_words, min_size=1, max_size=5, unique=True).map(" ".join), min_size=1, max_size=14)
"""Some observations of four members, three phones, four cookies and three devices."""
policies = st.sampled_from((IdentityPolicy(), TIGHT))


def alias_of(word: str) -> str:
    """The alias that `kind:value` becomes."""
    kind, _, value = word.partition(":")
    return f"{kind}:{hash_identifier(kind, value, KEY)}"


def anonymous(*words: str) -> str:
    """The id of an anonymous person with these identifiers."""
    return "anon-" + min(alias_of(word).partition(":")[2] for word in words)[:16]


def rows_of(texts: Sequence[str]) -> list[dict[str, object]]:
    """One row an identifier; observations are numbered from 0."""
    rows = []
    for number, text in enumerate(texts):
        for word in text.split():
            kind, _, identifier = alias_of(word).partition(":")
            rows.append(
                {"observation_id": f"o{number}", "identifier_kind": kind, "identifier": identifier, "local_day": number}
            )
    return rows


def table_of(rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """Rows as the fact table."""
    return pa.Table.from_pylist(list(rows), schema=arrow_schema(IDENTITIES))


def observed(*texts: str) -> pa.Table:
    """Observations in short as the fact table."""
    return table_of(rows_of(texts))


def members_of(resolution: Resolution) -> dict[str, str]:
    """Alias to member id."""
    return dict(zip(resolution.aliases["alias"].to_pylist(), resolution.aliases["member_id"].to_pylist(), strict=True))


def reasons_of(resolution: Resolution) -> dict[str, str]:
    """Alias to the reason why it is for review."""
    return {f"{row['identifier_kind']}:{row['identifier']}": row["reason"] for row in resolution.review.to_pylist()}


def is_member(word: str) -> bool:
    """Whether `kind:value` is one of the shop's own ids."""
    return word.startswith(f"{MEMBER}:")
