"""Erased members taken out of facts, identities, kept scores and the index of tags; and what the front door does of it."""

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commands.members import MemberJobs
from features.build import build
from features.erase_files import erase_from_files, members_in
from features.erasures import Erasures
from features.facts import Facts
from features.manifest import read_manifest
from features.member_index import MemberIndex
from features.member_store import MemberStore
from features.published_tags import load_index, published_folder, save_index
from features.settings import Settings

AT = datetime(2018, 1, 1, 5, tzinfo=UTC)


@pytest.fixture
def data(facts_folder: Path, tmp_path: Path) -> Path:
    """A data folder with the slice, a kept night and an index of tags."""
    shutil.copytree(facts_folder, tmp_path / "data" / "facts")
    members = ["1", "10", "nobody"]
    (tmp_path / "data" / "scores").mkdir()
    for day in ("2018-01-01", "2018-01-02"):
        table = pa.table({"member_id": members[: 1 if day.endswith("2") else 3]}).replace_schema_metadata({b"rapport": b"{}"})
        pq.write_table(table, tmp_path / "data" / "scores" / f"{day}.parquet")
    (tmp_path / "data" / "features").mkdir()
    save_index(published_folder(tmp_path / "data"), MemberIndex("one", np.array(members)))
    return tmp_path / "data"


def rows_of(folder: Path, member: str) -> int:
    found = 0
    for path in folder.rglob("*.parquet"):
        table = pq.read_table(path)
        for name in {"member_id", "identifier"} & set(table.column_names):
            found += table[name].to_pylist().count(member)
    return found


def test_an_erased_member_is_in_no_file_and_everybody_else_is_as_before(data: Path) -> None:
    before = read_manifest(data / "facts")
    theirs, others = rows_of(data / "facts", "10"), rows_of(data / "facts", "1")
    assert theirs > 3
    erased = erase_from_files(data, ["10"])

    assert rows_of(data, "10") == 0
    assert rows_of(data / "facts", "1") == others
    assert sum(erased.rows.values()) == theirs
    assert (erased.score_files, erased.indexed) == (1, 1)
    after = read_manifest(data / "facts")
    assert after.rows["purchases"] == before.rows["purchases"] - erased.rows["purchases"]
    assert after.rows["items"] == before.rows["items"]
    assert after.hash != before.hash
    assert after.first_day == before.first_day
    assert not (data / "features").exists(), "sums that held the member are built anew"
    assert pq.read_schema(data / "scores" / "2018-01-01.parquet").metadata[b"rapport"] == b"{}"
    index = load_index(published_folder(data))
    assert index.positions(np.array(["1", "10", "nobody"])).tolist() == [0, -1, 2]
    assert (data / "facts" / "cleaning.json").exists()
    assert "10" not in members_in(data / "facts")


def test_features_of_the_others_are_the_same_to_the_bit(data: Path, facts: Facts) -> None:
    erase_from_files(data, ["10"])
    left = Facts.open(data / "facts")
    day = facts.midnight(facts.manifest.until_day)
    one, other = build(facts, as_of=day), build(left, as_of=day)
    stay = one.member_ids != "10"
    assert one.member_ids[stay].tolist() == other.member_ids.tolist()
    for name in one.records.dtype.names or ():
        np.testing.assert_array_equal(one.records[name][stay], other.records[name], err_msg=name)


def test_again_and_without_anything_to_erase_nothing_changes(data: Path, tmp_path: Path) -> None:
    erase_from_files(data, ["10"])
    before = read_manifest(data / "facts")
    again = erase_from_files(data, ["10", "never there"])
    assert not again.anything
    assert read_manifest(data / "facts") == before
    assert not erase_from_files(tmp_path / "empty", ["1"]).anything


def test_the_front_door_does_what_is_owed_and_erases_again_whom_an_old_file_brings_back(
    data: Path, facts_folder: Path, store_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    prefix = "test-" + re.sub(r"\W", "-", request.node.name)
    settings = Settings(data_dir=data, mlruns_dir=tmp_path / "mlruns", redis_url=store_url, key_prefix=prefix, now=AT)
    store = MemberStore(store_url, prefix=prefix)
    store.write_aggregates(["10"], [b"packed"])
    Erasures(data).request("10", at=AT, by="operator")
    jobs = MemberJobs(settings, as_json=True)

    found = jobs.erase(None)
    assert (found["online"], found["members"], found["score_files"]) == (1, 1, 1)
    assert found["rows"] > 3
    assert store.read_aggregates(["10"]) == [None]
    (kept,) = Erasures(data).all()
    assert (kept.member_id, bool(kept.online_at), bool(kept.files_at)) == ("", True, True)
    assert jobs.erase(None) == {"online": 0, "members": 0, "rows": 0, "score_files": 0}

    shutil.rmtree(data / "facts")
    shutil.copytree(facts_folder, data / "facts")
    store.write_aggregates(["10"], [b"packed"])
    assert jobs.sweep(store_url, ["1", "10"]) == 1
    assert store.read_aggregates(["10"]) == [None]
    assert jobs.erase_owed()["members"] == 1
    assert rows_of(data / "facts", "10") == 0
    store.close()
