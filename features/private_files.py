"""Files that hold ids of people: for their owner alone, whole or not there at all, and on the disk when written."""

import os
import secrets
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Put a file in its place, or in the place of the one before."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def private_folder(path: Path) -> Path:
    """The folder, made for its owner alone if it is not there."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
