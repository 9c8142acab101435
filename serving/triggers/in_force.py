"""Which triggers are in force: the files of a folder, looked at again every few seconds."""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from features.errors import TriggersRefused
from serving.triggers.declared import Trigger, Triggers
from serving.triggers.ledger import Terms, kept_ms, terms_of
from serving.triggers.names import tags_in
from serving.triggers.reading import read_all

logger = logging.getLogger("rapport")
REFRESH_S = 2.0
AGAIN_S = 30.0
"""How often files that were refused are read again: they may speak of a tag that is published only now."""


@dataclass(frozen=True)
class InForce:
    """Triggers, and what is worked out of them once."""

    triggers: Triggers = field(default_factory=Triggers)

    @cached_property
    def terms(self) -> dict[str, Terms]:
        """On what terms each may fire, by its name."""
        return {trigger.name: terms_of(trigger, self.triggers) for trigger in self.triggers.triggers}

    @cached_property
    def kept_ms(self) -> int:
        """How long a member's firings have to be kept."""
        return kept_ms(self.triggers)

    @cached_property
    def types(self) -> frozenset[str]:
        """Types of events that some trigger looks at."""
        return frozenset(kind for trigger in self.triggers.triggers for kind in trigger.on)

    @cached_property
    def tags(self) -> frozenset[str]:
        """Published tags that conditions and consents speak of."""
        return tags_of(self.triggers.triggers)


def tags_of(triggers: Collection[Trigger]) -> frozenset[str]:
    """Published tags that some triggers speak of."""
    named = frozenset[str]().union(*(tags_in(trigger.condition) for trigger in triggers))
    return named | {AGREED} if any(trigger.consent == "given" for trigger in triggers) else named


AGREED = "consent=yes"
"""The tag of members who said yes to marketing."""


class TriggersInForce:
    """The triggers of a folder. Where a file becomes unusable, all stay in force as they were, and the log says why."""

    def __init__(
        self,
        folder: Path,
        tags: Callable[[], Collection[str]],
        *,
        refresh_s: float = REFRESH_S,
        again_s: float = AGAIN_S,
    ) -> None:
        self._folder, self._tags, self._refresh_s, self._again_s = folder, tags, refresh_s, again_s
        self._checked = self._read_at = float("-inf")
        self._files: dict[Path, tuple[int, int]] = {}
        self._current = InForce()
        self.refused: TriggersRefused | None = None

    def now(self) -> InForce:
        """What is in force now."""
        if time.monotonic() - self._checked >= self._refresh_s:
            found = {path: _written(path) for path in sorted(self._folder.glob("*.toml"))} if self._folder.is_dir() else {}
            again = self.refused is not None and time.monotonic() - self._read_at >= self._again_s
            if found != self._files or again:
                self._read(list(found))
                self._files, self._read_at = found, time.monotonic()
            self._checked = time.monotonic()
        return self._current

    def _read(self, paths: list[Path]) -> None:
        try:
            self._current = InForce(read_all(paths, self._tags()) if paths else Triggers())
            self.refused = None
        except TriggersRefused as error:
            if str(error) != str(self.refused):  # said once, not with every look
                logger.error("%s", error)
            self.refused = error


def _written(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
