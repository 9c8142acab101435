"""Whether an event is of somebody who was erased: looked up in the requests on disk, read again only when they change."""

from pathlib import Path

from features.erasures import Erasures, Receipts


class ErasedMembers:
    """The erasures of a data folder, for a question an event."""

    def __init__(self, data_dir: Path) -> None:
        self._erasures = Erasures(data_dir)
        self._read_at = 0
        self._receipts = Receipts()

    def refresh(self) -> Receipts:
        """The receipts as they are now; costs one look at the folder where nothing has changed."""
        changed_at = self._erasures.changed_at()
        if changed_at != self._read_at:
            self._receipts, self._read_at = self._erasures.receipts(), changed_at
        return self._receipts
