"""Bulk jobs by themselves: their folders, members and files, without any model."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from commands import bulk
from features.errors import BundleRefused, Busy, StoreUnavailable
from serving.job_folder import Job, JobFolders, KeyUsedBefore, sha256_of
from serving.job_members import UnreadableFile, ids_in
from serving.job_runner import ATTEMPTS, only_runner, somebody_runs, try_one, work_through
from serving.job_tables import as_sent, by_item, cells_of, harmless, list_columns, score_columns
from serving.jobs import job_view

AT = datetime(2018, 1, 1, 5, tzinfo=UTC)
ASKED: dict[str, Any] = {"members": {"ids": ["1", "2"]}, "outputs": ["scores"], "k": 10, "format": "csv"}
DAY = timedelta(hours=24)
ROW = {
    "member_id": "=cmd|'/c calc'!A0", "status": "OK", "reason": None, "fallback": "none", "as_of": "t", "age_seconds": 5,
    "churn": {"probability": 0.25, "band": "low"}, "tier": None, "lifecycle_stage": "new", "rfm_tier": None,
}  # fmt: skip


@pytest.fixture
def jobs(tmp_path: Path) -> JobFolders:
    return JobFolders(tmp_path)


def test_a_key_makes_the_same_request_the_same_job(jobs: JobFolders) -> None:
    job, new = jobs.create(ASKED, key="k", at=AT)
    again, also_new = jobs.create(ASKED, key="k", at=AT + DAY)

    assert (again, new, also_new) == (job, True, False)
    assert job.begin()["created_at"] == AT.isoformat()
    with pytest.raises(KeyUsedBefore):
        jobs.create({**ASKED, "k": 11}, key="k", at=AT)
    assert jobs.create(ASKED, key=None, at=AT)[0] != jobs.create(ASKED, key=None, at=AT)[0]
    assert len(list(jobs.all())) == 3


def test_folders_and_files_are_for_their_owner_alone(jobs: JobFolders, tmp_path: Path) -> None:
    jobs.create(ASKED, key="k", at=AT)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "jobs").rglob("*"))


@pytest.mark.parametrize("text", ["..", "../jobs", "", ".", "0" * 31, "0" * 33, "G" * 32, "runner.lock", "uploads", "0" * 32])
def test_only_ids_of_jobs_lead_to_one(jobs: JobFolders, text: str) -> None:
    jobs.create(ASKED, key="k", at=AT)
    assert jobs.find(text) is None


def test_ended_jobs_and_old_uploads_are_forgotten_after_their_time(jobs: JobFolders) -> None:
    ended, _ = jobs.create(ASKED, key="ended", at=AT)
    ended.write("manifest", {"files": [], "counts": {}})
    waiting, _ = jobs.create(ASKED, key="waiting", at=AT)
    draft = jobs.upload_draft()
    draft.write_text("1\n")
    jobs.keep_upload(draft, "a" * 64)
    now = datetime.now(UTC)

    assert jobs.forget(before=now, longest=DAY) == 0
    assert jobs.forget(before=now + DAY + timedelta(minutes=1), longest=DAY) == 1
    assert list(jobs.all()) == [waiting]
    with pytest.raises(FileNotFoundError):
        jobs.create({**ASKED, "members": {"file": "a" * 32}}, key=None, at=AT)
    assert not [path for path in (jobs.lock.parent).iterdir() if path.name.startswith(".")], "a draft was left behind"


FILES = [
    (b"member_id\n1\n00123\nNA\n", ["1", "00123", "NA"], 0),
    (b"1\r\n2\r\n\r\n3", ["1", "2", "3"], 0),
    ("\ufeffmember_id\n会员一\n".encode(), ["会员一"], 0),
    (b'name,Member_ID\n"a,b",7\nc,8\nonly\n', ["7", "8"], 1),
    (b'"1"\n"a{b"\n\x00\n', ["1"], 2),
    (b"'=1\n'abc\n", ["=1", "'abc"], 0),
    (b"member_id\n", [], 0),
    (b"1\n1\n2\n1\n", ["1", "1", "2", "1"], 0),
    (b"12345678901234567\n", ["12345678901234567"], 0),
]


@pytest.mark.parametrize(("content", "ids", "refused"), FILES)
def test_ids_of_a_file_are_kept_as_text_in_their_order(tmp_path: Path, content: bytes, ids: list[str], refused: int) -> None:
    path = tmp_path / "members.csv"
    path.write_bytes(content)
    assert ids_in(path) == (ids, refused)


@pytest.mark.parametrize("content", ["会员,a\n1,2\n".encode("gbk"), b"a,b\n1,2\n", b'"1\n'])
def test_a_file_that_is_no_list_of_members_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "members.csv"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile):
        ids_in(path)


def test_cells_that_a_spreadsheet_would_run_are_quoted_and_read_back(tmp_path: Path) -> None:
    columns = score_columns(("regular", "gold"))
    form = bulk.format_of("csv")
    form.part(tmp_path / "part", columns, map(cells_of(columns), iter([ROW])))
    form.whole(tmp_path / "whole", columns, [tmp_path / "part"])

    with (tmp_path / "whole").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["member_id"] == "'" + ROW["member_id"]
    assert as_sent(row["member_id"]) == ROW["member_id"]
    assert (row["churn_probability"], row["tier_gold"], row["lifecycle_stage"]) == ("0.25", "", "new")
    for cell in ("=1", "+1", "-1", "@x", "\tx", "'=1", "1", "", "'"):
        assert not harmless(cell).startswith(("=", "+", "-", "@", "\t"))
        assert as_sent(harmless(cell)) == cell or cell.startswith("'=")


def test_parquet_is_typed_and_empty_parts_are_no_trouble(tmp_path: Path) -> None:
    columns = list_columns()
    row = {**ROW, "items": [{"item_id": "007", "place": 1, "source": "popular"}, {"item_id": "8", "place": 2, "source": "x"}]}
    form = bulk.format_of("parquet")
    rows = [
        form.part(tmp_path / str(i), columns, map(cells_of(columns), by_item(given))) for i, given in enumerate(([row], []))
    ]
    form.whole(tmp_path / "whole", columns, [tmp_path / "0", tmp_path / "1"])

    table = pq.read_table(tmp_path / "whole")
    assert rows == [2, 0]
    assert table["item_id"].to_pylist() == ["007", "8"]
    assert {name: str(table.schema.field(name).type) for name in ("member_id", "place", "age_seconds")} == {
        "member_id": "string", "place": "int64", "age_seconds": "int64",
    }  # fmt: skip
    assert table["member_id"].to_pylist() == [ROW["member_id"]] * 2, "only CSV is opened by spreadsheets"


def test_a_member_with_an_empty_list_has_a_row() -> None:
    assert [row["item"] for row in by_item(iter([{**ROW, "items": []}]))] == [None]


def test_one_runner_at_a_time_and_it_looks_again_before_it_leaves(jobs: JobFolders) -> None:
    seen: list[str] = []
    late: list[Job] = []

    def run(job: Job) -> None:
        assert somebody_runs(jobs.lock)
        with pytest.raises(Busy), only_runner(jobs.lock):
            pass
        seen.append(job.job_id)
        job.write("manifest", {"files": [], "counts": {}})
        if not late:
            late.append(jobs.create(ASKED, key="late", at=AT)[0])

    first, _ = jobs.create(ASKED, key="first", at=AT)
    assert work_through(jobs, run, kept=DAY) == 2
    assert seen == [first.job_id, late[0].job_id]
    assert not somebody_runs(jobs.lock)
    assert jobs.waiting() == []


def failed(job: Job) -> Any:
    return json.loads((job.folder / "failed.json").read_text())


def test_a_job_that_cannot_be_done_says_why_and_the_next_one_is_done(jobs: JobFolders) -> None:
    def run(job: Job) -> None:
        if job == bad:
            raise BundleRefused("churn@1 was altered", remedy="restore it")
        job.write("manifest", {"files": [], "counts": {}})

    bad, _ = jobs.create(ASKED, key="bad", at=AT)
    good, _ = jobs.create(ASKED, key="good", at=AT + DAY)
    assert work_through(jobs, run, kept=DAY) == 2
    assert failed(bad) == {"code": "bundle_refused", "detail": "churn@1 was altered (restore it)"}
    assert job_view(good, kept=DAY)["status"] == "done"
    assert job_view(bad, kept=DAY)["status"] == "failed"


def test_what_is_a_fault_of_ours_is_not_told(jobs: JobFolders) -> None:
    job, _ = jobs.create(ASKED, key="k", at=AT)
    try_one(job, lambda job: 1 / 0)  # type: ignore[arg-type,return-value] # any exception at all
    assert failed(job)["code"] == "internal"
    assert "division" not in json.dumps(failed(job))


def test_a_store_that_is_away_fails_no_job_however_often(jobs: JobFolders) -> None:
    def run(job: Job) -> None:
        raise StoreUnavailable("away")

    job, _ = jobs.create(ASKED, key="k", at=AT)
    for _ in range(ATTEMPTS + 2):
        with pytest.raises(StoreUnavailable):
            work_through(jobs, run, kept=DAY)
    assert not job.ended


def test_a_job_that_always_takes_its_process_along_is_given_up_unless_it_gets_on(jobs: JobFolders) -> None:
    class Killed(BaseException):
        """Stands for the end of the process."""

    def run(job: Job) -> None:
        raise Killed

    job, _ = jobs.create(ASKED, key="k", at=AT)
    job.parts.mkdir()
    for attempt in range(ATTEMPTS + 1):
        if attempt == 2:
            (job.parts / "000000.json").write_text("{}")  # a part was done: the count begins anew
        with pytest.raises(Killed):
            try_one(job, run)
    with pytest.raises(Killed):
        try_one(job, run)
    try_one(job, run)
    assert failed(job)["code"] == "gave_up"


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
