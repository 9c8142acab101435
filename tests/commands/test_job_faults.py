"""Faults injected into real runs of the import and the feature jobs: killed, stopped, starved of disk, fed with odd files.

A child process runs the command line and does something to itself at a named moment: when Python is about to open, make or
rename a file whose path holds a text. What runs afterwards runs here, by the same front door.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from front_door import Answer, Deed, Process, content, ended, start, stopped
from mapped_shops import HEAD, PURCHASES, written

import rapport
from features.facts import Facts
from features.manifest import read_manifest
from features.put_in_place import put_in_place, recovered
from features.sources.mapped import import_mapped
from features.state import STATE

MAPPING = HEAD + PURCHASES.replace("sales.csv", "sales-*.csv")
MAY = "card,total,at\n" + "".join(f"m{n % 5},{n}.50,2024-05-{1 + n % 28:02d} 10:00\n" for n in range(30))
JUNE = "card,total,at\n" + "".join(f"m{n % 7},{n}.00,2024-06-{1 + n % 28:02d} 10:00\n" for n in range(30))
Child = Callable[..., Process]


Run = Callable[..., Answer]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shop's folder with a mapping and one file; `data` in it is the data folder."""
    monkeypatch.setenv("RAPPORT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RAPPORT_MLRUNS_DIR", str(tmp_path / "mlruns"))
    (tmp_path / "shop.toml").write_text(MAPPING)
    (tmp_path / "sales-1.csv").write_text(MAY)
    return tmp_path


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the data folder after undisturbed imports: of one file, `before`, and of another added to it, `data`."""
    folder = tmp_path_factory.mktemp("grown")
    import_mapped(folder / "data" / "facts", written(folder, MAPPING, {"sales-1.csv": MAY}))
    shutil.copytree(folder / "data", folder / "before")
    import_mapped(folder / "data" / "facts", written(folder, MAPPING, {"sales-2.csv": JUNE}))
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """The front door, in this process; what is no error of ours comes through and fails the test."""

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["rapport", *arguments])
        with pytest.raises(SystemExit) as ended:
            rapport.main()
        code = ended.value.code
        return Answer(code if isinstance(code, int) else 0, *capsys.readouterr())

    handler = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def child(shop: Path) -> Iterator[Child]:
    """The front door in a process of its own, which at a moment does a deed to itself; none outlives the test."""
    started: list[Process] = []

    def begin(deed: Deed, event: str, where: str, *arguments: str) -> Process:
        started.append(start(shop, deed, event, where, *arguments))
        return started[-1]

    yield begin
    for process in started:
        if process.returncode is None:
            process.kill()
            process.communicate()


def assert_nothing_left(data: Path) -> None:
    """Only what is meant to stay is in the data folder."""
    assert {path.name for path in data.iterdir()} <= {"facts", "features", "import.lock", "features.lock", "publish.lock"}


def imports(shop: Path) -> tuple[str, ...]:
    return ("import", "--mapping", str(shop / "shop.toml"))


REFRESH = ("features", "refresh", "--as-of", "end-of-facts")
MOMENTS = {
    "files are read": ("os.mkdir", "facts.staging-"),
    "rows are staged": ("os.mkdir", "facts.scratch-"),
    "the draft is begun": ("os.mkdir", "facts.writing"),
    "purchases are written": ("open", "facts.writing/purchases/"),
    "all but the manifest is written": ("open", "facts.writing/manifest.json"),
    "the old facts are about to go": ("os.rename", "facts.old"),
    "neither old nor new is there": ("os.rename", "facts.writing"),
}


@pytest.mark.parametrize("moment", list(MOMENTS))
def test_an_import_that_adds_is_killed_and_run_again(shop: Path, grown: Path, run: Run, child: Child, moment: str) -> None:
    shutil.copytree(grown / "before", shop / "data")
    undisturbed = content(grown / "data" / "facts")
    (shop / "sales-2.csv").write_text(JUNE)

    assert ended(child("SIGKILL", *MOMENTS[moment], *imports(shop))).code == -signal.SIGKILL
    assert read_manifest(shop / "data" / "facts").rows["purchases"] == 30
    assert run(*imports(shop)).code == 0

    assert content(shop / "data" / "facts") == undisturbed
    assert_nothing_left(shop / "data")
    assert "Nothing new" in run(*imports(shop)).out
    assert content(shop / "data" / "facts") == undisturbed


@pytest.mark.parametrize("moment", ["purchases are written", "neither old nor new is there"])
def test_a_first_import_is_killed_and_run_again(shop: Path, run: Run, child: Child, moment: str) -> None:
    assert run(*imports(shop)).code == 0
    undisturbed = content(shop / "data" / "facts")
    shutil.rmtree(shop / "data")

    assert ended(child("SIGKILL", *MOMENTS[moment], *imports(shop))).code == -signal.SIGKILL
    assert run("features", "refresh", "--as-of", "end-of-facts").code == 3
    assert run(*imports(shop)).code == 0

    assert content(shop / "data" / "facts") == undisturbed
    assert_nothing_left(shop / "data")


@pytest.mark.parametrize(
    ("event", "where"),
    [("open", "features.writing/00.tiles"), ("os.rename", "features.old"), ("os.rename", "features.writing")],
)
def test_a_refresh_is_killed_and_run_again(shop: Path, run: Run, child: Child, event: str, where: str) -> None:
    run(*imports(shop))
    assert run("features", "refresh", "--as-of", "2024-05-10").code == 0
    shutil.copytree(shop / "data" / "features", shop / "before")
    assert run(*REFRESH).code == 0
    undisturbed = content(shop / "data" / "features")
    shutil.rmtree(shop / "data" / "features")
    (shop / "before").rename(shop / "data" / "features")

    assert ended(child("SIGKILL", event, where, *REFRESH)).code == -signal.SIGKILL
    again = run(*REFRESH)

    assert (again.code, "Built anew" in again.out) == (0, False)
    assert content(shop / "data" / "features") == undisturbed
    assert run(*REFRESH).code == 0
    assert content(shop / "data" / "features") == undisturbed
    assert_nothing_left(shop / "data")


def test_of_two_imports_at_once_the_second_says_so(shop: Path, run: Run, child: Child) -> None:
    first = child("SIGSTOP", *MOMENTS["purchases are written"], *imports(shop))
    stopped(first)
    second = run(*imports(shop))
    os.kill(first.pid, signal.SIGCONT)

    assert (second.code, "another import is running" in second.err) == (75, True)
    assert ended(first).code == 0
    assert read_manifest(shop / "data" / "facts").rows["purchases"] == 30
    assert_nothing_left(shop / "data")


def test_facts_replaced_while_features_are_built(shop: Path, run: Run, child: Child) -> None:
    """Two jobs read, each stopped midway; an import replaces the facts; neither keeps anything of what it had made."""
    run(*imports(shop))
    assert run("features", "refresh", "--as-of", "2024-05-10").code == 0
    state = content(shop / "data" / "features")
    build = ("features", "build", "--as-of", "end-of-facts", "--out", str(shop / "features.parquet"))
    jobs = [
        child("SIGSTOP", "open", "features.writing/00.members", *REFRESH),
        child("SIGSTOP", "open", "0.members.npy", *build),
    ]
    for job in jobs:
        stopped(job)
    second = run(*REFRESH)
    (shop / "sales-1.csv").write_text(MAY + "m1,9.99,2024-05-20 10:00\n")
    assert run(*imports(shop), "--again").code == 0
    for job in jobs:
        os.kill(job.pid, signal.SIGCONT)
    answers = [ended(job) for job in jobs]

    assert (second.code, "another features is running" in second.err) == (75, True)
    assert [answer.code for answer in answers] == [75, 75]
    assert all("the facts were replaced" in answer.err for answer in answers)
    assert content(shop / "data" / "features") == state
    assert not list(shop.glob("*features.parquet*"))
    assert_nothing_left(shop / "data")


def test_a_reader_in_the_moment_of_replacement_finds_the_old_facts(shop: Path, run: Run, child: Child) -> None:
    run(*imports(shop))
    (shop / "sales-2.csv").write_text(JUNE)
    writer = child("SIGSTOP", *MOMENTS["neither old nor new is there"], *imports(shop))
    stopped(writer)
    seen = Facts.open(shop / "data" / "facts").manifest.rows["purchases"]
    os.kill(writer.pid, signal.SIGCONT)

    assert (seen, ended(writer).code) == (30, 0)
    assert read_manifest(shop / "data" / "facts").rows["purchases"] == 60
    assert_nothing_left(shop / "data")


@pytest.mark.parametrize("moment", ["files are read", "rows are staged", "purchases are written"])
def test_a_disk_that_is_full_stops_an_import_and_nothing_else(shop: Path, run: Run, child: Child, moment: str) -> None:
    run(*imports(shop))
    before = content(shop / "data" / "facts")
    (shop / "sales-2.csv").write_text(JUNE)

    answer = ended(child("full", *MOMENTS[moment], *imports(shop)))

    assert (answer.code, "the disk is full" in answer.err, "RAPPORT_DATA_DIR" in answer.err) == (74, True, True), answer.err
    assert content(shop / "data" / "facts") == before
    assert run(*imports(shop)).code == 0
    assert_nothing_left(shop / "data")


def test_a_disk_that_is_full_leaves_the_state_as_it_was(shop: Path, run: Run, child: Child) -> None:
    run(*imports(shop))
    run("features", "refresh", "--as-of", "2024-05-10")
    before = content(shop / "data" / "features")

    answer = ended(child("full", "os.mkdir", "features.writing", *REFRESH))

    assert (answer.code, "the disk is full" in answer.err) == (74, True)
    assert content(shop / "data" / "features") == before
    assert_nothing_left(shop / "data")


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("", 3, "sales-1.csv"),
        ("card,total,at\n", 3, "not a single purchase"),
        (MAY.replace("total", "sum"), 3, "no such column"),
        ("card,total,at\n" + "m1,paid,2024-05-01 10:00\n" * 20, 3, "nothing that can be read"),
        (MAY.replace("2024-", "1024-", 25), 3, "quarantine"),
    ],
    ids=["no bytes", "only a header", "a column renamed", "a column retyped", "wrong rows"],
)
def test_a_file_gone_wrong_is_told_and_the_facts_stay(shop: Path, run: Run, text: str, code: int, told: str) -> None:
    run(*imports(shop))
    before = content(shop / "data" / "facts")
    (shop / "sales-1.csv").write_text(text)

    answer = run(*imports(shop), "--again")

    assert answer.code == code
    assert told in answer.err
    assert content(shop / "data" / "facts") == before
    assert_nothing_left(shop / "data")


def test_yesterdays_file_gone_takes_nothing_away_unless_everything_is_read_again(shop: Path, run: Run) -> None:
    (shop / "sales-2.csv").write_text(JUNE)
    run(*imports(shop))
    (shop / "sales-1.csv").unlink()
    (shop / "sales-3.csv").write_text("card,total,at\nm1,1.00,2024-07-01 10:00\n")

    assert run(*imports(shop)).code == 0
    assert read_manifest(shop / "data" / "facts").rows["purchases"] == 61
    (shop / "sales-2.csv").unlink()
    again = run(*imports(shop), "--again")

    assert again.code == 0
    assert "1 purchases stand in place of 61" in again.out
    assert "not among the files now: sales-1.csv, sales-2.csv" in again.out


def test_a_replacement_broken_off_twice_loses_nothing(tmp_path: Path) -> None:
    """Killed between the renames, the next run ends before it has read anything: the old folder is what is there."""
    old, draft = tmp_path / "facts.old", tmp_path / "facts.writing"
    old.mkdir()
    (old / STATE).write_text("old")
    draft.mkdir()
    (draft / STATE).write_text("new")

    put_in_place(draft, tmp_path / "facts")

    assert content(tmp_path) == {f"facts/{STATE}": b"new"}
    (tmp_path / "facts").rename(old)
    assert content(recovered(tmp_path / "facts")) == {STATE: b"new"}
