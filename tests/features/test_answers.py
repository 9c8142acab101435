"""Packed answers: what goes in comes out, and nothing is read with another run's words."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.answers import CODE, NUMBER, AnswerEdition, AnsweringModel, AnswerStamp, pack_answers, read_answers
from features.errors import CorruptRecord

EDITION = AnswerEdition(
    run=7,
    as_of=datetime(2018, 1, 1, 5, tzinfo=UTC).isoformat(),
    published_at=datetime(2018, 1, 1, 6, tzinfo=UTC).isoformat(),
    contract="c",
    members=2,
    models=(AnsweringModel("tier", "tier", "tier@3", "ab", {"horizon_days": 90}, ("regular", "gold")),),
    columns=(("tier.gold", NUMBER), ("tier.likely", CODE)),
    fields=("next_tier",),
)


def stored(edition: AnswerEdition, numbers: list[float], codes: list[int]) -> list[bytes]:
    columns = {"tier.gold": np.array(numbers, dtype=np.float32), "tier.likely": np.array(codes, dtype=np.int16)}
    return [value.tobytes() for value in pack_answers(edition, columns)]


@given(st.lists(st.tuples(st.floats(width=32, allow_nan=False), st.integers(-1, 300)), min_size=1))
def test_what_is_packed_is_read(rows: list[tuple[float, int]]) -> None:
    numbers, codes = [number for number, _ in rows], [code for _, code in rows]

    found = read_answers(AnswerStamp(EDITION), stored(EDITION, numbers, codes))

    assert [answer.values for answer in found if answer] == [{"tier.gold": n, "tier.likely": c} for n, c in rows]


def test_a_stamp_survives_its_bytes() -> None:
    stamp = AnswerStamp(EDITION, (replace(EDITION, run=8),))

    assert AnswerStamp.from_bytes(stamp.to_bytes()) == stamp
    assert AnswerStamp.from_bytes(AnswerStamp().to_bytes()) == AnswerStamp()
    assert stamp.fields == {"next_tier"}


def test_a_record_is_read_with_its_own_run() -> None:
    begun = replace(EDITION, run=8, columns=(("tier.gold", NUMBER),))
    stamp = AnswerStamp(EDITION).begun(begun)
    new = [value.tobytes() for value in pack_answers(begun, {"tier.gold": np.array([0.5], dtype=np.float32)})]
    forgotten = stored(replace(EDITION, run=1), [0.5], [1])

    found = read_answers(stamp, [*stored(EDITION, [0.25], [1]), *new, *forgotten, None])

    assert [answer and answer.edition.run for answer in found] == [7, 8, None, None]
    assert found[1] is not None
    assert found[1].values == {"tier.gold": 0.5}
    assert read_answers(None, new) == [None]


@pytest.mark.parametrize("value", [b"", b"A1", b"N1" + bytes(40), b"x" * 40])
def test_what_is_no_record_is_refused(value: bytes) -> None:
    with pytest.raises(CorruptRecord):
        read_answers(AnswerStamp(EDITION), [value])


def test_a_record_of_another_length_is_refused() -> None:
    (value,) = stored(EDITION, [0.5], [1])
    with pytest.raises(CorruptRecord, match="length"):
        read_answers(AnswerStamp(EDITION), [value + b"\0"])


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"current": {}, "pending": []}', b'{"current": null, "pending": 3}'])
def test_a_stamp_that_is_none_is_refused(value: bytes) -> None:
    with pytest.raises(CorruptRecord):
        AnswerStamp.from_bytes(value)
