"""The front door in processes of its own that do something to themselves at a named moment: killed, stopped, out of disk.

The moment is when Python is about to open, make or rename a file whose path holds a text.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

ROOT = Path(__file__).parents[1]
CHILD = """
import os, resource, signal, sys
deed, event, where = sys.argv[1:4]
sys.argv = ["rapport", *sys.argv[4:]]
done = False

def watch(name, details):
    global done
    if not done and name == event and any(where in str(detail) for detail in details):
        done = True
        if deed == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
        else:
            os.kill(os.getpid(), getattr(signal, deed))

sys.addaudithook(watch)
import rapport
rapport.main()
"""
Deed = Literal["SIGKILL", "SIGSTOP", "full"]
Process: TypeAlias = "subprocess.Popen[str]"


class Answer(NamedTuple):
    """How a run ended, and what it said to whom."""

    code: int
    out: str
    err: str


def start(folder: Path, deed: Deed, event: str, where: str, *arguments: str) -> Process:
    """A command in a process of its own, which at a moment does a deed to itself."""
    command = [sys.executable, "-c", CHILD, deed, event, where, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def ended(process: Process) -> Answer:
    out, err = process.communicate(timeout=200)
    assert "Traceback" not in err, err
    return Answer(process.returncode, out, err)


def stopped(process: Process) -> None:
    """Wait until a child has stopped itself."""
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), "it ended before it came to that moment"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
