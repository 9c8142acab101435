"""Stored values: whatever bits a record holds come back, and whatever is no record of ours is refused by its name."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.codec import (
    MAGIC,
    NARROW_MAGIC,
    PACKED_ROWS,
    columns_of,
    decode,
    empty_records,
    encode,
    is_readable,
    missing_value,
    pack,
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


NARROW_SIZE = stored_dtype(CONTRACT, narrow=True).itemsize
BOTH = pytest.mark.parametrize("wide", [False, True], ids=["narrow", "wide"])


def one_value(*, wide: bool = False) -> bytes:
    """The stored value of a member without facts; the wide one has a count that takes 17 bits."""
    records = empty_records(CONTRACT, 1)
    if wide:
        records["purchases_365d"] = 2**16
    return encode(CONTRACT, records, as_of=NOON, written_at=NOON)[0]


@settings(max_examples=200)
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


@BOTH
def test_header_stands_where_the_description_says(wide: bool) -> None:
    value = one_value(wide=wide)

    assert (MAGIC, NARROW_MAGIC) == (b"R1", b"N1")
    assert value[:2] == (MAGIC if wide else NARROW_MAGIC)
    assert value[2:10].hex() == CONTRACT.hash[:16]
    assert int.from_bytes(value[10:18], "little") == microseconds(NOON)
    assert int.from_bytes(value[18:26], "little") == microseconds(NOON)
    assert len(value) == (HEADER + SIZE if wide else NARROW_SIZE)
    assert NARROW_SIZE < 0.65 * (HEADER + SIZE)


@pytest.mark.parametrize("length", [0, 1, 2, 9, 10, HEADER, NARROW_SIZE - 1, NARROW_SIZE, HEADER + SIZE - 1])
def test_a_cut_value_is_corrupt(length: int) -> None:
    for whole in (one_value(), one_value(wide=True)):
        cut = whole[: min(length, len(whole) - 1)]

        assert not is_readable(CONTRACT, cut)
        with pytest.raises((CorruptRecord, ContractMismatch)) as refused:
            decode(CONTRACT, [whole, cut])
        assert isinstance(refused.value, CorruptRecord) or 2 <= length < 10  # too short even to name its contract


@BOTH
def test_a_padded_value_is_corrupt(wide: bool) -> None:
    size = len(one_value(wide=wide))
    padded = one_value(wide=wide) + b"\x00"

    assert not is_readable(CONTRACT, padded)
    with pytest.raises(CorruptRecord, match=f"{size + 1} bytes instead of {size}"):
        decode(CONTRACT, [padded])


def edge_values(dtype: str, narrow: str) -> list[int]:
    """Values about the ends of the narrow dtype, and the lowest and highest of the wide one."""
    small, large = np.iinfo(narrow), np.iinfo(dtype)
    return [small.min - 1, small.min, small.min + 1, -1, small.max, small.max + 1, large.min, large.min + 1, large.max]


@pytest.mark.parametrize(
    ("name", "narrow", "fitting"),
    [("purchases_365d", "int16", 4), ("spend_cents_365d", "int32", 4), ("decayed_spend_cents_h30d", "int64", 9)],
)
def test_values_that_do_not_fit_take_a_wide_row(name: str, narrow: str, fitting: int) -> None:
    """The lowest value of a dtype stands for a missing one: the narrow lowest is no fit, the wide lowest is."""
    dtype = record_dtype(CONTRACT)[name]
    values = edge_values(dtype.name, narrow) if narrow != "int64" else edge_values("int64", "int32")
    records = empty_records(CONTRACT, len(values))
    records[name] = values

    stored = encode(CONTRACT, records, as_of=NOON, written_at=NOON)

    assert decode(CONTRACT, stored).records.tobytes() == records.tobytes()
    assert sum(len(value) == NARROW_SIZE for value in stored) == fitting


def test_narrow_and_wide_rows_among_many_keep_their_places() -> None:
    records = empty_records(CONTRACT, 2 * PACKED_ROWS + 7)
    records["purchases_365d"] = np.arange(len(records)) * 5 - 3
    values = encode(CONTRACT, records, as_of=NOON, written_at=NOON)

    groups = list(pack(CONTRACT, records, as_of=NOON, written_at=NOON))

    assert sorted(row for group in groups for row in group.rows) == list(range(len(records)))
    assert {len(value) for value in values} == {NARROW_SIZE, HEADER + SIZE}
    for group in groups:
        assert [value.tobytes() for value in group.values[:3]] == [values[row] for row in group.rows[:3]]
    assert decode(CONTRACT, values).records.tobytes() == records.tobytes()


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


@settings(max_examples=200)
@given(
    value=st.one_of(
        st.binary(max_size=HEADER + SIZE + 2),
        st.integers(0, NARROW_SIZE + 2).map(lambda n: (one_value() + b"\x00\x00")[:n]),
        st.integers(0, HEADER + SIZE + 2).map(lambda n: (one_value(wide=True) + b"\x00\x00")[:n]),
        st.integers(0, NARROW_SIZE - 1).map(lambda i: one_value()[:i] + b"\xaa" + one_value()[i + 1 :]),
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
