"""One file over HTTP into an open descriptor: goes on where it stopped, and believes no length, name or redirect.

    part      what came so far; hashed from its first byte, also when it is taken up again
    bookmark  beside it, of which thing it is: the server is asked for the rest of only that (If-Range), and anything
              else begins anew

Proxies are those of the environment (`https_proxy`, `no_proxy`). This is the only module that asks another machine.
"""

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import structlog
import urllib3

from heygemd import __version__
from heygemd.download.addresses import redirected, refuse_address, shown
from heygemd.download.bookmark import Bookmark, length_past_end, range_begin
from heygemd.errors import SetupError
from heygemd.modelform import HEAD_BYTES, impostor

log = structlog.get_logger(__name__)

PIECE_BYTES = 1 << 17
MOST_REDIRECTS = 8
RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
ENOUGH_BYTES = 1 << 16
"""A try that brought so much counts as a success of the line: the failures before it are forgotten."""
PAGE_TYPES = ("text/html", "application/xhtml")
BAD_CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to fetch, and what it must be."""

    url: str
    most_bytes: int
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How patient to be."""

    tries: int = 5
    """In a row that bring nothing."""
    most_tries: int = 500
    connect_s: float = 15.0
    read_s: float = 30.0
    """Silence after which a connection is given up."""
    window_s: float = 60.0
    least_bytes_s: int = 256
    """A line that is slower over a whole window counts as broken."""
    rest_first_s: float = 1.0
    rest_longest_s: float = 30.0


class _Broken(Exception):  # no fault of anybody: worth another try
    """The line broke, or the server has no time."""

    def __init__(self, reason: str, rest_s: float = 0.0) -> None:
        super().__init__(reason)
        self.rest_s = rest_s


@dataclass(slots=True)
class Transfer:
    """One download; clock and rest are passed in for tests."""

    wanted: Wanted
    fd: int
    """Open for reading and writing; what it holds is taken up when the bookmark allows it."""
    bookmark_file: Path
    manner: Manner = Manner()
    heard: Callable[[int, int | None], None] = lambda done, total: None
    """Told the bytes that are there, and how many there will be."""
    clock: Callable[[], float] = time.monotonic
    rest: Callable[[float], None] = time.sleep
    done_bytes: int = 0
    was_resumed: bool = False
    """Some of it came by another request than the last."""
    tried: int = 0
    _bookmark: Bookmark | None = None
    _hash: Any = None

    def fetch(self) -> str:
        """Bring the file and return its sha256, which the caller compares.

        Raises SetupError E408 when it cannot be had (what came so far stays), E409 when it is something else, OSError
        when it cannot be written.
        """
        refuse_address(self.wanted.url, is_checked=self.wanted.sha256 is not None)
        self._take_up()
        failures = 0
        with requests.Session() as session:
            session.headers.update({"Accept-Encoding": "identity", "User-Agent": f"heygemd/{__version__}"})
            while True:
                before_bytes, self.tried = self.done_bytes, self.tried + 1
                try:
                    self._once(session)
                    break
                except _Broken as broken:
                    failures = 1 if self.done_bytes - before_bytes >= ENOUGH_BYTES else failures + 1
                    self._rest_or_give_up(failures, broken)
        self._refuse_impostor()
        return str(self._hash.hexdigest())

    def begin_anew(self) -> None:
        """Forget what came so far."""
        if self.done_bytes:
            log.info("download.begun_anew", url=shown(self.wanted.url), lost_bytes=self.done_bytes)
        os.ftruncate(self.fd, 0)
        self.bookmark_file.unlink(missing_ok=True)
        self.done_bytes, self.was_resumed, self._bookmark = 0, False, None
        self._hash = hashlib.sha256()

    def _refuse_impostor(self) -> None:
        if why := impostor(os.pread(self.fd, HEAD_BYTES, 0)):
            self.begin_anew()
            raise SetupError("E409", f"{shown(self.wanted.url)}: {why}")

    def _take_up(self) -> None:
        """Go on with an earlier part if it is of the same address and can be checked, else begin anew."""
        self._hash = hashlib.sha256()
        self._bookmark = Bookmark.read(self.bookmark_file)
        asked = Bookmark.of(self.wanted.url, {}).address_sha256
        if self._bookmark is None or self._bookmark.address_sha256 != asked or not self._can_be_joined():
            self.begin_anew()
            return
        while piece := os.pread(self.fd, PIECE_BYTES, self.done_bytes):
            self._hash.update(piece)
            self.done_bytes += len(piece)
        if self.done_bytes > self._limit():
            self.begin_anew()
        elif self.done_bytes:
            self.was_resumed = True
            log.info("download.resumed", url=shown(self.wanted.url), done_bytes=self.done_bytes)

    def _can_be_joined(self) -> bool:
        """Whether a rest that does not belong to the part would be noticed."""
        return self.wanted.sha256 is not None or bool(self._bookmark and self._bookmark.validator)

    def _rest_or_give_up(self, failures: int, broken: _Broken) -> None:
        address = shown(self.wanted.url)
        if failures >= self.manner.tries or self.tried >= self.manner.most_tries:
            said = f"{address}: {broken}; tried {self.tried} times, {self.done_bytes} bytes are kept"
            raise SetupError("E408", said) from broken
        rest_s = max(self.manner.rest_first_s * 2.0 ** (failures - 1), broken.rest_s)
        rest_s = min(rest_s, self.manner.rest_longest_s)
        log.warning("download.broken", url=address, reason=str(broken), done_bytes=self.done_bytes, rest_s=rest_s)
        self.rest(rest_s)

    def _once(self, session: requests.Session) -> None:
        """Ask for what is missing and take what comes; returns when the file is whole."""
        if self.done_bytes and self.done_bytes == self._expected():
            return
        if self.done_bytes and not self._can_be_joined():
            self.begin_anew()
        headers = {}
        if self.done_bytes:
            self.was_resumed = True
            headers["Range"] = f"bytes={self.done_bytes}-"
            if self._bookmark and self._bookmark.validator:
                headers["If-Range"] = self._bookmark.validator
        try:
            with self._ask(session, headers) as response:
                if self._begin(response):
                    self._copy(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _Broken(_reason(error)) from error

    def _ask(self, session: requests.Session, headers: dict[str, str]) -> requests.Response:
        """Send the request and follow redirects by hand: each is judged."""
        url = self.wanted.url
        timeout = (self.manner.connect_s, self.manner.read_s)
        for _ in range(MOST_REDIRECTS + 1):
            try:
                response = session.get(url, headers=headers, stream=True, allow_redirects=False, timeout=timeout)
            except ValueError as error:  # an address, or a redirect that requests looks at before we do
                raise SetupError("E408", f"{shown(url)} cannot be asked: {_reason(error)}") from error
            except requests.exceptions.SSLError as error:
                if BAD_CERTIFICATE not in str(error):
                    raise
                raise SetupError("E408", f"{shown(url)}: its certificate is not accepted: {_reason(error)}") from error
            if not response.is_redirect:
                return response
            response.close()
            url = redirected(url, response.headers["Location"], is_checked=self.wanted.sha256 is not None)
        raise SetupError("E408", f"{shown(self.wanted.url)} redirects more than {MOST_REDIRECTS} times")

    def _begin(self, response: requests.Response) -> bool:
        """Judge the answer and where it belongs; False: there is nothing to copy, all is there."""
        address, status = shown(self.wanted.url), response.status_code
        if status in RETRIED_STATUSES:
            raise _Broken(f"the server answers {status} {response.reason}", _retry_after_s(response))
        if status == requests.codes.requested_range_not_satisfiable and self.done_bytes:
            if length_past_end(response.headers) == self.done_bytes and self._expected() is None:
                return False
            self.begin_anew()
            raise _Broken("what came so far is longer than the file")
        if status not in (requests.codes.ok, requests.codes.partial_content):
            raise SetupError("E408", f"{address}: the server answers {status} {response.reason}")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise SetupError("E408", f"{address}: the server sends it compressed, though asked not to")
        found = Bookmark.of(self.wanted.url, response.headers)
        self._refuse_answer(response, found.total_bytes)  # before a page of some portal costs what came so far
        if status == requests.codes.partial_content:
            if range_begin(response.headers) != self.done_bytes or not (self._bookmark or found).is_same(found):
                self.begin_anew()
                raise _Broken("the server sent another part, or a part of something else")
        elif self.done_bytes:
            self.begin_anew()
        if self._bookmark is None:
            found.write(self.bookmark_file)
            self._bookmark = found
        return True

    def _refuse_answer(self, response: requests.Response, total_bytes: int | None) -> None:
        """Refuse a web page, and a file of another size, by what the server says of it."""
        address, listed = shown(self.wanted.url), self.wanted.size_bytes
        is_page = response.headers.get("Content-Type", "").lower().startswith(PAGE_TYPES)
        is_size = total_bytes is None or (total_bytes <= self.wanted.most_bytes and listed in (None, total_bytes))
        if is_size and not is_page:
            return
        if why := impostor(response.raw.read(HEAD_BYTES, decode_content=False)):
            raise SetupError("E409", f"{address}: {why}")
        if is_size:
            raise SetupError("E409", f"{address}: the server calls it a web page")
        limit = f"at most {self.wanted.most_bytes}" if listed is None else f"{listed}"
        raise SetupError("E409", f"{address}: the server offers {total_bytes} bytes; expected: {limit}")

    def _copy(self, response: requests.Response) -> None:
        """Take what comes until it ends; raises _Broken when that is too early, and E409 when it never ends."""
        self.heard(self.done_bytes, self._expected())
        window_ends_s, window_bytes = self.clock() + self.manner.window_s, 0
        while piece := response.raw.read1(PIECE_BYTES, decode_content=False):
            if self.done_bytes + len(piece) > (limit := self._limit()):
                self.begin_anew()
                raise SetupError("E409", f"{shown(self.wanted.url)} sends more than {limit} bytes")
            _write(self.fd, piece, self.done_bytes)
            self._hash.update(piece)
            self.done_bytes += len(piece)
            self.heard(self.done_bytes, self._expected())
            window_bytes += len(piece)
            if self.clock() >= window_ends_s:
                if window_bytes < self.manner.least_bytes_s * self.manner.window_s:
                    raise _Broken(f"only {window_bytes} bytes came in {self.manner.window_s:.0f} s")
                window_ends_s, window_bytes = self.clock() + self.manner.window_s, 0
        expected = self._expected()
        if expected is not None and self.done_bytes < expected:
            raise _Broken(f"the connection ended after {self.done_bytes} of {expected} bytes")

    def _expected(self) -> int | None:
        return self.wanted.size_bytes or (self._bookmark.total_bytes if self._bookmark else None)

    def _limit(self) -> int:
        return self._expected() or self.wanted.most_bytes


def _retry_after_s(response: requests.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _reason(error: Exception) -> str:
    """Say in one line what the libraries say in nested ones."""
    inner = error.args[0] if error.args else error
    inner = getattr(inner, "reason", None) or inner
    return " ".join(str(inner).split())[:300] or type(error).__name__


def _write(fd: int, piece: bytes, at: int) -> None:
    view = memoryview(piece)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written
