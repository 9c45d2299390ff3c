"""The folders of one root, by name. Pure: looks at no disk."""

import json
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

PROTOCOL = 1
"""Of the folders of a root; its sentinel names it."""


@dataclass(frozen=True, slots=True)
class Root:
    """A folder people share: `path` and the uuid that its sentinel must carry."""

    path: Path
    uuid: str

    @property
    def inbox(self) -> Path:
        """People write here."""
        return self.path / "inbox"

    @property
    def outbox(self) -> Path:
        """Finished films only."""
        return self.path / "outbox"

    @property
    def processing(self) -> Path:
        """Claimed inputs, one folder a job."""
        return self.path / "processing"

    @property
    def failed(self) -> Path:
        """Inputs of failed jobs, with the reason."""
        return self.path / "failed"

    @property
    def done(self) -> Path:
        """Originals of finished jobs."""
        return self.path / "done"

    @property
    def status(self) -> Path:
        """What people read to see how things stand."""
        return self.path / "status"

    @property
    def private(self) -> Path:
        """Sentinel, claim records and temporary files; same file system as the rest."""
        return self.path / ".heygemd"

    @property
    def sentinel(self) -> Path:
        """Proves that this is the root, and not an empty mount point."""
        return self.private / "root.json"

    @property
    def shared(self) -> Path:
        """Private copies of inputs that several jobs need, named by their sha256."""
        return self.private / "shared"

    @property
    def batches(self) -> Path:
        """One record per open batch."""
        return self.private / "batches"

    @property
    def claims(self) -> Path:
        """One record per claim, written before the first rename."""
        return self.private / "claims"


def uuid_told(sentinel: bytes) -> str:
    """Return the uuid in the content of a root's sentinel; raises ValueError that says why it is none of ours."""
    try:
        told = json.loads(sentinel)
        protocol, uuid = told["protocol"], str(UUID(told["uuid"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("its content is not what heygemd wrote") from None
    if protocol != PROTOCOL:
        raise ValueError(f"it was made by another heygemd (protocol {protocol})")
    return uuid
