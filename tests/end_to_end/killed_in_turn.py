"""Run by a test in a process of its own: the front door in forks that kill or stop themselves at named moments, in turn.

    python killed_in_turn.py '[{"argv": ["retrain"], "deed": "SIGKILL", "event": "os.rename", "where": "fitted/"}, …]'

Forks share what this process has imported, so that each costs no start of its own. Prints how each ended, as JSON.
A fork that stops itself stays stopped while the next runs, and then goes on.
"""

import json
import os
import signal
import sys
from typing import Any

import commands.retrain
import rapport

assert commands.retrain  # imported before the forks: it takes seconds


def watch(deed: str, event: str, where: str, at: int) -> None:
    """Do a deed to this process the moment Python opens, makes or renames such a path for the at-th time."""
    seen = 0

    def hook(name: str, details: tuple[Any, ...]) -> None:
        nonlocal seen
        if name == event and any(where in str(detail) for detail in details):
            seen += 1
            if seen == at:
                os.kill(os.getpid(), getattr(signal, deed))

    sys.addaudithook(hook)


def begun(argv: list[str], shop: dict[str, str], deed: str = "", event: str = "", where: str = "", at: int = 1) -> int:
    """The number of a process that runs the front door on the folders that some variables of the environment name."""
    pid = os.fork()
    if pid == 0:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.environ.update(shop)
        sys.argv = ["rapport", *argv]
        if deed:
            watch(deed, event, where, at)
        try:
            rapport.main()
        except SystemExit as end:
            sys.stderr.flush()
            os._exit(end.code if isinstance(end.code, int) else 1)
        os._exit(99)
    return pid


def code_of(status: int) -> int:
    """As subprocess says it: minus the number of the signal, or the exit code."""
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    """Run every command in turn."""
    found: list[int | None] = []
    waiting: tuple[int, int] | None = None
    for place, told in enumerate(json.loads(sys.argv[1])):
        pid = begun(**told)
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            waiting = (place, pid)
            found.append(None)
            continue
        found.append(code_of(status))
        if waiting is not None:
            os.kill(waiting[1], signal.SIGCONT)
            found[waiting[0]] = code_of(os.waitpid(waiting[1], 0)[1])
            waiting = None
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
