"""Members who refused marketing: read from the facts, kept online under a key each, and honoured with every answer."""

import numpy as np

from features.bulk_load import MemberIds, utf8
from features.facts import Facts


def opted_out_members(facts: Facts) -> MemberIds:
    """Members who refuse marketing by the newest facts, ascending; one refusal among several rows of a member suffices."""
    table = facts.query("SELECT member_id FROM members WHERE NOT marketing_consent GROUP BY member_id ORDER BY member_id")
    return utf8(np.asarray(table["member_id"].to_pylist(), dtype=np.str_))
