"""An SMB client that does single steps, as Explorer and Finder do and smbclient cannot: size first, cut off, in place.

Every `Wire` is one connection; its calls are serialised, so threads may share it.
"""

import socket
import threading
import uuid
from datetime import UTC, datetime

from smbprotocol.connection import Connection
from smbprotocol.create_contexts import (
    CreateContextName,
    SMB2CreateContextRequest,
    SMB2CreateDurableHandleRequestV2,
    SMB2CreateRequestLease,
)
from smbprotocol.exceptions import ObjectNameNotFound, ObjectPathNotFound
from smbprotocol.file_info import (
    FileBasicInformation,
    FileEndOfFileInformation,
    FileRenameInformation,
    InfoType,
)
from smbprotocol.open import (
    CreateDisposition,
    FileAttributes,
    FilePipePrinterAccessMask,
    ImpersonationLevel,
    Open,
    RequestedOplockLevel,
    ShareAccess,
    SMB2SetInfoRequest,
)
from smbprotocol.session import Session
from smbprotocol.structure import Structure
from smbprotocol.tree import TreeConnect

from tests.share.samba import PASSWORD

_READ = FilePipePrinterAccessMask.GENERIC_READ
_WRITE = _READ | FilePipePrinterAccessMask.GENERIC_WRITE | FilePipePrinterAccessMask.DELETE
_SHARED = ShareAccess.FILE_SHARE_READ | ShareAccess.FILE_SHARE_WRITE | ShareAccess.FILE_SHARE_DELETE
_FILETIME_BEGAN_S = 11_644_473_600
"""From 1601 to 1970; a FILETIME counts 100 ns ([MS-DTYP] 2.3.3)."""
FULL_LEASE = 7
"""Read, handle and write caching ([MS-SMB2] 2.2.13.2.8)."""


class Wire:
    """One connection to one share."""

    def __init__(self, port: int, share: str) -> None:
        self.share, self.is_cut = share, False
        self.connection = Connection(uuid.uuid4(), "127.0.0.1", port)
        self.connection.connect()
        session = Session(self.connection, share, PASSWORD, require_encryption=False)
        session.connect()
        self.tree = TreeConnect(session, rf"\\127.0.0.1\{share}")
        self.tree.connect()
        self.lock = threading.Lock()

    def open(
        self,
        path: str,
        *,
        is_new: bool = True,
        is_reader: bool = False,
        oplock: int = RequestedOplockLevel.SMB2_OPLOCK_LEVEL_NONE,
        contexts: list[SMB2CreateContextRequest] | None = None,
    ) -> "WireFile":
        """Open `path` (with `/`) for writing; raises FileNotFoundError when it should be there and is not."""
        handle = Open(self.tree, path.replace("/", "\\"))
        disposition = CreateDisposition.FILE_OVERWRITE_IF if is_new else CreateDisposition.FILE_OPEN
        with self.lock:
            try:
                granted = handle.create(
                    ImpersonationLevel.Impersonation, _READ if is_reader else _WRITE,
                    FileAttributes.FILE_ATTRIBUTE_NORMAL, _SHARED, disposition, 0, contexts, oplock,
                )  # fmt: skip
            except (ObjectNameNotFound, ObjectPathNotFound) as error:
                raise FileNotFoundError(path) from error
        return WireFile(self, handle, [type(context).__name__ for context in granted or []])

    def cut(self) -> None:
        """Break the connection, as a pulled cable would; the server learns it at once."""
        self.is_cut = True
        self.connection.transport._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Log off; of a broken connection, only what is left of it is removed."""
        self.connection.disconnect(close=not self.is_cut)


class WireFile:
    """One open file."""

    def __init__(self, wire: Wire, handle: Open, granted: list[str]) -> None:
        self._wire, self._handle, self.granted = wire, handle, granted

    def write(self, data: bytes, offset: int) -> None:
        """Write in place."""
        step = self._wire.connection.max_write_size
        for start in range(0, len(data), step):
            with self._wire.lock:
                self._handle.write(data[start : start + step], offset + start)

    def set_size(self, size_bytes: int) -> None:
        """Set the end of the file."""
        info = FileEndOfFileInformation()
        info["end_of_file"] = size_bytes
        self._set(info)

    def set_mtime(self, year: int) -> None:
        """Set the time of the last write to the first day of a year."""
        info = FileBasicInformation()
        info["last_write_time"] = int(datetime(year, 1, 1, tzinfo=UTC).timestamp() + _FILETIME_BEGAN_S) * 10_000_000
        self._set(info)

    def rename(self, path: str, *, is_replacing: bool = False) -> None:
        """Give it another path; it stays open."""
        info = FileRenameInformation()
        info["replace_if_exists"] = is_replacing
        info["file_name"] = path.replace("/", "\\")
        self._set(info)

    def close(self) -> None:
        """Close it."""
        with self._wire.lock:
            self._handle.close()

    def _set(self, info: Structure) -> None:
        request = SMB2SetInfoRequest()
        request["info_type"] = InfoType.SMB2_0_INFO_FILE
        request["file_info_class"] = info.INFO_CLASS
        request["file_id"] = self._handle.file_id
        request["buffer"] = info
        session = self._wire.tree.session
        with self._wire.lock:
            sent = self._wire.connection.send(request, session.session_id, self._wire.tree.tree_connect_id)
            self._wire.connection.receive(sent)


def lease_request() -> SMB2CreateContextRequest:
    """Ask for a lease of everything, as Windows does."""
    lease = SMB2CreateRequestLease()
    lease["lease_key"] = uuid.uuid4().bytes
    lease["lease_state"] = FULL_LEASE
    return _context(CreateContextName.SMB2_CREATE_REQUEST_LEASE, lease)


def durable_request() -> SMB2CreateContextRequest:
    """Ask for a handle that outlives the connection."""
    durable = SMB2CreateDurableHandleRequestV2()
    durable["create_guid"] = uuid.uuid4()
    return _context(CreateContextName.SMB2_CREATE_DURABLE_HANDLE_REQUEST_V2, durable)


def _context(name: bytes, data: Structure) -> SMB2CreateContextRequest:
    context = SMB2CreateContextRequest()
    context["buffer_name"] = name
    context["buffer_data"] = data
    return context
