"""Which addresses may be asked, and where a server may send us on. Pure.

https always; plain http on the machine itself, or where the sha256 of the file is known: then nobody on the way can
change it. A redirect never leaves https again, and no other machine sends us to a service of this one.
"""

import ipaddress
from urllib.parse import SplitResult, urljoin, urlsplit

from heygemd.errors import SetupError
from heygemd.naming import printable


def refuse_address(url: str, *, is_checked: bool) -> None:
    """Raise SetupError E408 unless the address may be asked; `is_checked`: the sha256 of the file is known."""
    parts = _split(url)
    if parts.scheme == "https" or (parts.scheme == "http" and (is_checked or _is_loopback(parts))):
        return
    if parts.scheme == "http":
        raise SetupError("E408", f"{shown(url)} is not safe: without a listed sha256 the address must be https")
    raise SetupError("E408", f"{shown(url)}: an address begins with https://")


def redirected(url: str, location: str, *, is_checked: bool) -> str:
    """Return where a redirect leads; raises SetupError E408 when it may not be followed."""
    try:
        target = urljoin(url, location)
    except ValueError as error:
        raise SetupError("E408", f"{shown(url)} redirects to something that is no address: {error}") from error
    before, after = _split(url), _split(target)
    if after.scheme != "https":
        is_downgrade = before.scheme == "https" or after.scheme != "http"
        if is_downgrade or (_is_loopback(after) and not _is_loopback(before)):
            raise SetupError("E408", f"{shown(url)} redirects to {shown(target)}, which is not followed")
    refuse_address(target, is_checked=is_checked)
    return target


def shown(url: str) -> str:
    """Return the address for messages and logs: without a password, and without the query, which may hold a token."""
    parts = urlsplit_or_empty(url)
    host = parts.netloc.rpartition("@")[2]
    return printable(f"{parts.scheme}://{host}{parts.path}" + ("?…" if parts.query else ""))


def urlsplit_or_empty(url: str) -> SplitResult:
    """Split an address; one that cannot be split is shown as a path."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", url, "", "")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise SetupError("E408", f"{shown(url)} is no address: {error}") from error
    if parts.scheme in ("http", "https") and not parts.hostname:
        raise SetupError("E408", f"{shown(url)} names no server")
    return parts


def _is_loopback(parts: SplitResult) -> bool:
    if parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
