"""Stored values: whatever bits a record holds come back, and whatever is no record of ours is refused by its name."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.codec import (
    MAGIC,
    columns_of,
    decode,
    empty_records,
    encode,
    is_readable,
    missing_value,
    record_dtype,
    stored_dtype,
)
from features.contract import CONTRACT, Contract
from features.days import microseconds, moment_of
from features.errors import ContractMismatch, CorruptRecord

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
SIZE = record_dtype(CONTRACT).itemsize
HEADER = 26
OTHER = Contract(CONTRACT.aggregates, CONTRACT.features[:-1], CONTRACT.quintiles)
FLOATS = [a.name for a in CONTRACT.aggregates if a.dtype == "float64"]
EXTREMES = {
    "int32": (-(2**31), 2**31 - 1, 0, -1),
    "int64": (-(2**63), 2**63 - 1, 0, -1),
    "float64": (float("nan"), float("inf"), float("-inf"), -0.0, 5e-324),
}


def one_value() -> bytes:
    return encode(CONTRACT, empty_records(CONTRACT, 1), as_of=NOON, written_at=NOON)[0]


@settings(max_examples=200, deadline=None)
@given(raw=st.lists(st.binary(min_size=SIZE, max_size=SIZE), max_size=4), seconds=st.integers(-(10**9), 10**10))
@example(raw=[b"\xff" * SIZE, b"\x00" * SIZE, b"\x80" + b"\x00" * (SIZE - 1)], seconds=0)
def test_any_bits_come_back(raw: list[bytes], seconds: int) -> None:
    records = np.frombuffer(b"".join(raw), dtype=record_dtype(CONTRACT))
    as_of = datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds, microseconds=123_457)

    values = encode(CONTRACT, records, as_of=as_of, written_at=NOON)
    found = decode(CONTRACT, values)

    assert found.records.tobytes() == records.tobytes()
    assert [moment_of(m) for m in found.as_of] == [as_of] * len(raw)
    assert [moment_of(m) for m in found.written_at] == [NOON] * len(raw)
    assert all(is_readable(CONTRACT, value) for value in values)


@pytest.mark.parametrize("position", range(5))
def test_extreme_values_come_back(position: int) -> None:
    records = empty_records(CONTRACT, 1)
    for aggregate in CONTRACT.aggregates:
        values = EXTREMES[aggregate.dtype]
        records[aggregate.name] = values[position % len(values)]

    found = decode(CONTRACT, encode(CONTRACT, records, as_of=NOON, written_at=NOON)).records

    assert found.tobytes() == records.tobytes()
    for name in FLOATS:
        assert np.signbit(found[name][0]) == np.signbit(records[name][0])


def test_moments_are_exact_to_the_microsecond() -> None:
    moment = NOON + timedelta(microseconds=1)

    assert microseconds(moment) - microseconds(NOON) == 1
    assert moment_of(microseconds(moment)) == moment


def test_header_stands_where_the_description_says() -> None:
    value = one_value()

    assert value[:2] == MAGIC == b"R1"
    assert value[2:10].hex() == CONTRACT.hash[:16]
    assert int.from_bytes(value[10:18], "little") == microseconds(NOON)
    assert int.from_bytes(value[18:26], "little") == microseconds(NOON)
    assert len(value) == HEADER + SIZE == stored_dtype(CONTRACT).itemsize


@pytest.mark.parametrize("length", [0, 1, 2, 9, 10, HEADER, HEADER + SIZE - 1])
def test_a_cut_value_is_corrupt(length: int) -> None:
    cut = one_value()[:length]

    assert not is_readable(CONTRACT, cut)
    with pytest.raises((CorruptRecord, ContractMismatch)) as refused:
        decode(CONTRACT, [one_value(), cut])
    assert isinstance(refused.value, CorruptRecord) or 2 <= length < 10  # too short even to name its contract


def test_a_padded_value_is_corrupt() -> None:
    padded = one_value() + b"\x00"

    assert not is_readable(CONTRACT, padded)
    with pytest.raises(CorruptRecord, match=f"{HEADER + SIZE + 1} bytes instead of {HEADER + SIZE}"):
        decode(CONTRACT, [padded])


@pytest.mark.parametrize("foreign", [b"", b'{"json": true}', b"R2" + b"\x00" * (HEADER + SIZE - 2), b"\x00" * (HEADER + SIZE)])
def test_what_is_no_record_of_ours_is_corrupt(foreign: bytes) -> None:
    assert not is_readable(CONTRACT, foreign)
    with pytest.raises(CorruptRecord, match="not a Rapport record"):
        decode(CONTRACT, [foreign])


def test_a_value_of_another_contract_names_both_contracts() -> None:
    assert OTHER.hash != CONTRACT.hash
    value = encode(OTHER, empty_records(OTHER, 1), as_of=NOON, written_at=NOON)[0]

    assert not is_readable(CONTRACT, value)
    with pytest.raises(ContractMismatch, match=OTHER.hash[:16]) as refused:
        decode(CONTRACT, [value])
    assert CONTRACT.hash[:16] in str(refused.value)


@settings(max_examples=200, deadline=None)
@given(
    value=st.one_of(
        st.binary(max_size=HEADER + SIZE + 2),
        st.integers(0, HEADER + SIZE + 2).map(lambda n: (one_value() + b"\x00\x00")[:n]),
        st.integers(0, HEADER + SIZE - 1).map(lambda i: one_value()[:i] + b"\xaa" + one_value()[i + 1 :]),
    )
)
def test_is_readable_and_decode_agree(value: bytes) -> None:
    try:
        decode(CONTRACT, [value])
        decoded = True
    except (CorruptRecord, ContractMismatch):
        decoded = False

    assert is_readable(CONTRACT, value) == decoded


def test_missing_values_become_nan_and_nothing_else_does() -> None:
    records = empty_records(CONTRACT, 2)
    for name in records.dtype.names or ():
        records[name][0] = missing_value(records.dtype[name])
        records[name][1] = 0

    for name, column in columns_of(records).items():
        assert np.isnan(column[0]), name
        assert column[1] == 0, name


def test_an_empty_record_says_zero_for_sums_and_missing_for_days() -> None:
    empty = {name: column[0] for name, column in columns_of(empty_records(CONTRACT, 1)).items()}

    assert empty["spend_cents_30d"] == 0
    assert empty["purchases_365d"] == 0
    assert np.isnan(empty["first_purchase_day"])
    assert np.isnan(empty["largest_basket_cents_180d"])
