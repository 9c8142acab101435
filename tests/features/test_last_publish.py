"""What was published last: kept whole or not at all, and compared as a dictionary would compare it."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.last_publish import PublishedRows, changes_since, everything, forget_others, positions

RECORD = np.dtype([("day", "<i4"), ("weight", "<f8")])
PROFILE = np.dtype([("stage", "S5")])

members = st.dictionaries(
    st.sampled_from(["ann", "bob", "cid", "dee", "007", "7", "会员一", "会员二"]),
    st.tuples(st.integers(0, 2), st.sampled_from([0.0, -0.0, float("nan")]), st.sampled_from(["new", "loyal", ""])),
)
Members = dict[str, tuple[int, float, str]]


def rows_of(shop: Members, *, ordered: bool = True) -> PublishedRows:
    names = sorted(shop) if ordered else list(shop)
    return PublishedRows(
        np.array([name.encode() for name in names], dtype=np.bytes_ if names else "S1"),
        np.array([shop[name][:2] for name in names], dtype=RECORD),
        np.array([(shop[name][2].encode(),) for name in names], dtype=PROFILE),
    )


@given(before=members, now=members)
def test_changes_are_those_that_a_dictionary_shows(before: Members, now: Members) -> None:
    found = changes_since(rows_of(before, ordered=False), rows_of(now))

    written = {name: (np.array(value[:2], dtype=np.float64).tobytes(), value[2]) for name, value in before.items()}
    for place, name in enumerate(sorted(now)):
        record, profile = np.array(now[name][:2], dtype=np.float64).tobytes(), now[name][2]
        assert found.records[place] == (name not in before or written[name][0] != record)
        assert found.profiles[place] == (name not in before or written[name][1] != profile)
    assert {name.decode() for name in found.vanished.tolist()} == set(before) - set(now)


def test_rows_of_another_shape_have_all_changed() -> None:
    rows = rows_of({"ann": (1, 0.0, "new")})
    wider = PublishedRows(rows.member_ids, rows.records, rows.profiles.astype([("stage", "S6")]))

    found = changes_since(rows, wider)

    assert (found.records.tolist(), found.profiles.tolist()) == ([False], [True])


def test_everything_is_every_row() -> None:
    found = everything(rows_of({"ann": (1, 0.0, "new"), "bob": (1, 0.0, "new")}), np.array([b"cid"]))

    assert found.records.all()
    assert found.profiles.all()
    assert found.vanished.tolist() == [b"cid"]


@pytest.mark.parametrize(
    ("wanted", "among", "expected"),
    [
        ([b"a", b"c"], [b"c", b"b"], [-1, 0]),
        ([b"a"], [], [-1]),
        ([], [b"a"], []),
        ([b"aa", b"a"], [b"a", b"aaa"], [-1, 0]),
        ([b"z", b"0"], [b"b"], [-1, -1]),
    ],
)
def test_positions(wanted: list[bytes], among: list[bytes], expected: list[int]) -> None:
    assert positions(np.array(wanted, dtype=np.bytes_), np.array(among, dtype=np.bytes_)).tolist() == expected


def test_rows_come_back_under_their_generation_only(tmp_path: Path) -> None:
    rows = rows_of({"ann": (1, float("nan"), "new"), "会员一": (2, -0.0, "")})
    rows.keep(tmp_path, "first")
    rows_of({}).keep(tmp_path, "second")

    found = PublishedRows.read(tmp_path, "first")

    assert found is not None
    assert found.member_ids.tolist() == rows.member_ids.tolist()
    assert (found.records.tobytes(), found.profiles.tobytes()) == (rows.records.tobytes(), rows.profiles.tobytes())
    assert not changes_since(found, rows).records.any()
    assert PublishedRows.read(tmp_path, "third") is None
    forget_others(tmp_path, "second")
    assert [path.name for path in tmp_path.iterdir()] == ["second"]
    forget_others(tmp_path / "not there", "second")


@pytest.mark.parametrize("name", ["member_ids", "records", "profiles"])
@pytest.mark.parametrize("damage", ["removed", "truncated", "emptied", "of other rows", "an object array"])
def test_damaged_rows_count_as_none(tmp_path: Path, name: str, damage: str) -> None:
    rows_of({"ann": (1, 0.0, "new"), "bob": (1, 0.0, "new")}).keep(tmp_path, "first")
    path = tmp_path / "first" / f"{name}.npy"
    if damage == "removed":
        path.unlink()
    elif damage == "an object array":
        np.save(path, np.array([{"a": 1}, {}], dtype=object), allow_pickle=True)
    elif damage == "of other rows":
        np.save(path, np.load(path)[:1])
    else:
        path.write_bytes(path.read_bytes()[: -3 if damage == "truncated" else 0])

    assert PublishedRows.read(tmp_path, "first") is None


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = np.save

    def full(path: Path, *arguments: Any, **more: Any) -> None:
        if path.name == "records.npy":
            raise OSError(errno.ENOSPC, "No space left on device")
        save(path, *arguments, **more)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space"):
        rows_of({"ann": (1, 0.0, "new")}).keep(tmp_path, "first")

    assert list(tmp_path.iterdir()) == []
