"""Ids of requests are all different, also beyond those that were fetched together."""

import re

from serving.request_ids import TOGETHER, RequestIds


def test_ids_are_hexadecimal_and_never_come_twice() -> None:
    ids, others = RequestIds(), RequestIds()
    given = [ids.new() for _ in range(3 * TOGETHER)] + [others.new() for _ in range(TOGETHER)]
    assert len(set(given)) == len(given)
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in given)
