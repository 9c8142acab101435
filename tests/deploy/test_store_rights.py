"""The rights of a Redis user that docs/operate.md lists are those that our code needs: every command it names is among them."""

import re
from pathlib import Path

import redis

ROOT = Path(__file__).parents[2]
WORDS_OF_PYTHON = frozenset(
    {
        "append",
        "command",
        "copy",
        "discard",
        "echo",
        "keys",
        "move",
        "rename",
        "save",
        "sort",
        "strlen",
        "subscribe",
        "type",
        "wait",
    }
)
"""Methods that are called as commands are, and are called here on other things than a store."""


def granted(page: str) -> set[str]:
    """Commands of the user that the operators' page describes."""
    begin = page.index("A user of its own needs")
    return set(re.findall(r"\+([a-z]+)", page[begin : page.index("on `~rapport", begin)]))


def named_in(text: str) -> set[str]:
    """Names that may be commands: methods that are called, and what scripts call."""
    methods = (name.replace("_", "") for name in re.findall(r"\.([a-z_]+)\(", text))
    return {*methods, *(name.lower() for name in re.findall(r"redis\.p?call\(\s*['\"]([A-Za-z]+)['\"]", text))}


def test_every_command_is_granted(store_url: str) -> None:
    with redis.Redis.from_url(store_url) as connection:
        commands = {name.decode().lower() for name in connection.command_list()}
    paths = [*(ROOT / "features").rglob("*.py"), *(ROOT / "serving").rglob("*.py"), *ROOT.glob("rapport*.py")]
    used = {name for path in paths for name in named_in(path.read_text())} & commands - WORDS_OF_PYTHON
    assert {"evalsha", "hexists", "mget", "pttl", "xadd", "zrangebyscore"} <= used, "methods and scripts are both found"
    assert used - granted((ROOT / "docs" / "operate.md").read_text()) == set()
