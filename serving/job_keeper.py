"""The child process that works through bulk jobs: started when there are some, and gone with its server."""

import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from features.settings import Settings
from serving.job_folder import JobFolders
from serving.job_runner import somebody_runs

ROOT = Path(__file__).parents[1]
logger = logging.getLogger("rapport.jobs")


class JobKeeper:
    """Sees to it that a process runs while there are jobs. Each worker has a keeper; the runner's lock lets one child work."""

    def __init__(self, settings: Settings, jobs: JobFolders) -> None:
        self._settings, self._jobs = settings, jobs
        self._child: subprocess.Popen[bytes] | None = None

    def wake(self) -> None:
        """Start a child if there are jobs and nobody works through them. Its standard input ends when this process does."""
        if self._child is not None and self._child.poll() is None:
            return
        self._forget_child()
        if not self._jobs.waiting() or somebody_runs(self._jobs.lock):
            return
        command = [sys.executable, "-m", "rapport", "jobs", "run", "--until-eof", "--json"]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        settings = replace(self._settings, api_keys=())  # it is asked nothing, so it needs none
        environment = {**os.environ, **settings.to_env(), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        self._child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        logger.info("jobs: process %d works through them", self._child.pid)

    def close(self) -> None:
        """Let the child go, and wait until it has ended."""
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()
            self._child.wait()
        self._child = None

    def _forget_child(self) -> None:
        if self._child is not None:
            if self._child.stdin is not None:
                self._child.stdin.close()
            logger.info("jobs: process %d ended with %d", self._child.pid, self._child.returncode)
        self._child = None
