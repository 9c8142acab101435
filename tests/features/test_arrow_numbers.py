"""Arrow's columns as numbers, and that nothing on the way loads pandas."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.arrow_numbers import numbers_of, places_in

A_BUILD = """
import sys
from pathlib import Path
from features.build import build
from features.facts import Facts
facts = Facts.open(Path(sys.argv[1]))
build(facts, as_of=facts.midnight(facts.manifest.until_day))
print(sorted({"pandas", "numpy"} & sys.modules.keys()))
"""


@pytest.mark.parametrize("dtype", [pa.int8(), pa.int32(), pa.int64(), pa.uint64(), pa.float32(), pa.float64()])
def test_numbers_keep_their_width(dtype: pa.DataType) -> None:
    found = numbers_of(pa.chunked_array([[1, 2], [], [3]], dtype))

    assert found.tolist() == [1, 2, 3]
    assert found.dtype == dtype.to_pandas_dtype()


def test_a_piece_of_a_column_begins_where_it_begins() -> None:
    whole = pa.array([None, 1, 2, None, 4], pa.int32())

    assert numbers_of(whole[1:3]).tolist() == [1, 2]
    assert numbers_of(whole[2:], missing=-1).tolist() == [2, -1, 4]


def test_nulls_need_something_that_stands_for_them() -> None:
    column = pa.array([1, None], pa.int64())

    with pytest.raises(ValueError, match="nulls"):
        numbers_of(column)
    np.testing.assert_array_equal(numbers_of(column, missing=np.nan), [1.0, np.nan])
    assert numbers_of(column, missing=np.iinfo(np.int64).min).tolist() == [1, np.iinfo(np.int64).min]


def test_truths_and_moments_are_numbers_and_texts_are_not() -> None:
    moment = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC).replace(tzinfo=None)

    assert numbers_of(pa.array([True, False])).tolist() == [1, 0]
    assert numbers_of(pa.array([moment], pa.timestamp("us"))).tolist() == [1_000_000]
    assert numbers_of(pa.chunked_array([], pa.int32())).tolist() == []
    with pytest.raises(ValueError, match="string"):
        numbers_of(pa.array(["a"]))


def test_places_are_taken_from_a_column() -> None:
    assert pa.array(["a", "b", "c"]).take(places_in(np.array([2, 0], np.int32))).to_pylist() == ["c", "a"]


def test_a_build_does_not_load_pandas(facts_folder: Path) -> None:
    command = [sys.executable, "-c", A_BUILD, str(facts_folder)]

    told = subprocess.run(command, check=True, capture_output=True, text=True)

    assert told.stdout.strip() == "['numpy']"
