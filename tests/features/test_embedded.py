"""The embedded store: shared while somebody uses it, gone when nobody does, its data kept."""

import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from features.embedded import embedded_store

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0
USER = """
import sys
from pathlib import Path
from features.embedded import embedded_store
with embedded_store(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def wait_until(condition: Callable[[], bool]) -> None:
    """Look again and again until it is so; fail after half a minute."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


@contextmanager
def client_of(url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(url)
    try:
        yield client
    finally:
        client.close()


def process_of(url: str) -> int:
    with client_of(url) as client:
        return int(client.info("server")["process_id"])


def runs(process: int) -> bool:
    """Whether the process is there and not merely waiting to be buried."""
    status = Path(f"/proc/{process}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_free(lock: Path) -> bool:
    with lock.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def user(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that uses the store until told to stop; and the address it was given."""
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def assert_all_gone(folder: Path, server: int, url: str) -> None:
    wait_until(lambda: not runs(server))
    wait_until(lambda: is_free(folder / "keeper.lock"))
    assert not Path(url.removeprefix("unix://")).exists()


pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="looks at processes through /proc")


def test_two_users_share_one_server_which_stops_after_the_last(tmp_path: Path) -> None:
    with embedded_store(tmp_path) as url:
        server = process_of(url)
        with user(tmp_path) as (process, same_url):
            assert same_url == url
            assert process_of(same_url) == server
            process.communicate("")
            assert process.returncode == 0
        assert process_of(url) == server  # one user left, the other stayed

    assert_all_gone(tmp_path, server, url)


def test_data_survive_a_restart(tmp_path: Path) -> None:
    with embedded_store(tmp_path) as url, client_of(url) as client:
        client.set("kept", b"\x00\xff")
        first = process_of(url)
    assert_all_gone(tmp_path, first, url)

    with embedded_store(tmp_path) as url, client_of(url) as client:
        assert client.get("kept") == b"\x00\xff"
        assert process_of(url) != first


def test_a_newcomer_right_after_the_last_user_gets_a_server_with_the_data(tmp_path: Path) -> None:
    for round_trip in range(3):
        with embedded_store(tmp_path) as url, client_of(url) as client:
            assert client.incr("rounds") == round_trip + 1


def test_a_killed_user_leaves_nothing_behind(tmp_path: Path) -> None:
    with user(tmp_path) as (process, url):
        server = process_of(url)
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert_all_gone(tmp_path, server, url)


def test_killing_the_user_who_started_it_does_not_take_the_server_from_the_others(tmp_path: Path) -> None:
    with user(tmp_path) as (first, url), embedded_store(tmp_path) as same_url:
        server = process_of(url)
        first.send_signal(signal.SIGKILL)
        first.wait()
        with client_of(same_url) as client:
            client.set("still", "here")
        assert process_of(same_url) == server

    assert_all_gone(tmp_path, server, url)


def test_two_folders_have_two_servers(tmp_path: Path) -> None:
    with embedded_store(tmp_path / "one") as one, embedded_store(tmp_path / "two") as two:
        assert one != two
        assert process_of(one) != process_of(two)


def test_a_long_path_with_blanks_will_do_and_the_socket_is_open_to_nobody_else(tmp_path: Path) -> None:
    deep = tmp_path / ("a long folder name " * 8)

    with embedded_store(deep) as url:
        socket = Path(url.removeprefix("unix://"))
        assert socket.parent.stat().st_mode & 0o077 == 0
        assert len(str(socket)) < 100
        with client_of(url) as client:
            client.set("kept", 1)
            client.save()
    assert (deep / "dump.rdb").exists()


def test_the_server_keeps_everything_it_is_given(tmp_path: Path) -> None:
    with embedded_store(tmp_path) as url, client_of(url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
