"""Folders of runs that live and of runs that are dead; and what counts as a full disk."""

import errno
import os
import subprocess
import sys
from pathlib import Path

from features.disk import disk_full
from features.scratch import scratch_folder, spill_folder


def test_a_folder_of_a_living_run_stays_and_one_of_a_dead_run_goes(tmp_path: Path) -> None:
    dead = tmp_path / "facts.scratch-dead"
    dead.mkdir()
    (dead / "rows.parquet").write_text("half")
    other = tmp_path / "facts.staging-of-another-kind"
    other.mkdir()

    with scratch_folder(tmp_path, "facts.scratch") as one, scratch_folder(tmp_path, "facts.scratch") as two:
        assert one != two
        assert {path.name for path in tmp_path.iterdir()} == {one.name, two.name, other.name}
    assert [path.name for path in tmp_path.iterdir()] == [other.name]


def test_spilled_files_go_with_the_process_that_made_them(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    own = spill_folder(tmp_path)
    own.mkdir()
    of_dead = own.with_name(own.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-"))
    of_dead.mkdir()
    elsewhere = tmp_path / f"spill-another_host-{ended.pid}-1"
    elsewhere.mkdir()

    next_one = spill_folder(tmp_path)

    assert next_one not in (own, of_dead)
    assert {path.name for path in tmp_path.iterdir()} == {own.name, elsewhere.name}


def test_a_full_disk_is_told_from_other_errors() -> None:
    during = ValueError("closed")
    during.__context__ = OSError(errno.ENOSPC, "No space left on device")

    assert disk_full(during) is not None
    assert disk_full(RuntimeError('IO Error: Could not write file "facts": File too large')) is not None
    assert disk_full(OSError(errno.EACCES, "Permission denied")) is None
    assert disk_full(ValueError("no space between words")) is None
