"""A web server on loopback that misbehaves as it is told: cuts, stalls, lies, redirects, streams for ever."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL = bytes(range(256)) * 1500
"""What is served: no text, some pieces of 128 KiB."""


class Answer(BaseHTTPRequestHandler):
    """One request; what is sent is up to the server's next behaviour."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        web = self.server.web
        web.requests.append(dict(self.headers) | {"path": self.path})
        behave = web.behaviours.pop(0) if web.behaviours else serve
        with suppress(BrokenPipeError, ConnectionResetError):
            behave(self, web)

    def log_message(self, *args):
        pass

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def hang_up(self):
        """Close the line in the middle."""
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(2)


class Web:
    """The server: what it has, how it behaves to the next requests, and what it was asked."""

    def __init__(self, server):
        self.server = server
        self.content = MODEL
        self.etag = '"first"'
        self.behaviours = []
        self.requests = []
        self.gone = threading.Event()
        """Set at the end of the test: ends what streams or stalls."""

    @property
    def port(self):
        return self.server.server_address[1]

    def url(self, path="/model.pth"):
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def sha256(self):
        return hashlib.sha256(self.content).hexdigest()

    @property
    def ranges(self):
        return [request.get("Range") for request in self.requests]


@contextmanager
def running() -> Iterator[Web]:
    """A server on a free port of loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    server.handle_error = lambda request, address: None  # a line that the other side broke
    server.web = Web(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.web
    finally:
        server.web.gone.set()
        server.shutdown()
        server.server_close()
        thread.join()


Behaviour = Callable[[Answer, Web], None]


def serve(answer, web, content=None):
    """Answer as a good server does: ranges, If-Range, 416."""
    content = web.content if content is None else content
    validator = {"ETag": web.etag} if web.etag else {}
    begin = int(answer.headers["Range"].removeprefix("bytes=").rstrip("-")) if "Range" in answer.headers else None
    if begin is not None and answer.headers.get("If-Range", web.etag) == web.etag:
        if begin >= len(content):
            answer.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
            return
        rest = content[begin:]
        span = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        answer.head(206, Content_Range=span, Content_Length=len(rest), **validator)
        answer.wfile.write(rest)
        return
    answer.head(200, Content_Length=len(content), **validator)
    answer.wfile.write(content)


def cut(count) -> Behaviour:
    """Promise everything, send `count` bytes of it, hang up."""

    def behave(answer, web):
        begin = int(answer.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        rest = web.content[begin:]
        total = len(web.content)
        if begin:
            answer.head(
                206, Content_Range=f"bytes {begin}-{total - 1}/{total}", Content_Length=len(rest), ETag=web.etag
            )
        else:
            answer.head(200, Content_Length=total, **({"ETag": web.etag} if web.etag else {}))
        answer.wfile.write(rest[:count])
        answer.hang_up()

    return behave


def whole(answer, web):
    """Know nothing of ranges."""
    answer.head(200, Content_Length=len(web.content), ETag=web.etag)
    answer.wfile.write(web.content)


def without_length(answer, web):
    """Say no length; the end of the line is the end of the file."""
    answer.close_connection = True
    answer.head(200, Connection="close")
    answer.wfile.write(web.content)


def say(status, body=b"", **headers) -> Behaviour:
    """Send just this."""

    def behave(answer, _web):
        answer.head(status, **{"Content_Length": len(body), **headers})
        answer.wfile.write(body)

    return behave


def stall(count) -> Behaviour:
    """Send the first bytes, then nothing more."""

    def behave(answer, web):
        answer.head(200, Content_Length=len(web.content), ETag=web.etag)
        answer.wfile.write(web.content[:count])
        answer.wfile.flush()
        web.gone.wait(20)
        answer.close_connection = True

    return behave


def endless(answer, web):
    """Stream on and on; ended after 40 MB, so that a reader without a limit fills no disk."""
    answer.close_connection = True
    answer.head(200, Connection="close")
    for _ in range(100):
        answer.wfile.write(MODEL)


def drip(answer, web):
    """Send a byte at a time, for ever."""
    answer.head(200, Content_Length=len(web.content), ETag=web.etag)
    for place in range(len(web.content)):
        answer.wfile.write(web.content[place : place + 1])
        answer.wfile.flush()
        if web.gone.wait(0.002):
            return
