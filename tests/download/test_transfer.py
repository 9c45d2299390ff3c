"""A download is whole and right, whatever the line does."""

import hashlib
import os

import pytest
import structlog

from heygemd.download.transfer import Transfer, Wanted
from tests import webserver
from tests.download.conftest import HASTY, PIECE
from tests.webserver import MODEL, cut, say, serve


def test_a_file_comes_whole_with_its_hash_and_its_progress(fetch, web):
    assert fetch() == web.sha256
    assert fetch.part.read_bytes() == MODEL
    assert fetch.heard[0] == (0, len(MODEL))
    assert fetch.heard[-1] == (len(MODEL), len(MODEL))
    assert web.requests[0]["Accept-Encoding"] == "identity"


def test_a_broken_line_is_taken_up_where_it_broke(fetch, web):
    web.behaviours = [cut(200_000), cut(100_000)]
    assert fetch() == web.sha256
    assert fetch.part.read_bytes() == MODEL
    assert web.ranges == [None, "bytes=200000-", "bytes=300000-"]
    assert [request.get("If-Range") for request in web.requests] == [None, '"first"', '"first"']
    assert fetch.rests == [1.0, 1.0]  # each brought something: the rests do not grow


def test_rests_grow_while_nothing_comes_and_end(fetch, web):
    web.behaviours = [cut(0)] * 3
    error = fetch.refusal()
    assert error.code == "E408"
    assert "tried 3 times" in error.message
    assert fetch.rests == [1.0, 2.0]


def test_a_silent_server_is_given_up(fetch, web):
    web.behaviours = [webserver.stall(150_000)]
    assert fetch() == web.sha256
    assert web.ranges == [None, "bytes=150000-"]


def test_a_server_that_only_drips_counts_as_broken(fetch, web):
    web.behaviours = [webserver.drip]
    pieces = iter(range(0, 100_000, 7))

    class Clock:
        def __call__(self):
            return float(next(pieces))

    fd = os.open(fetch.part, os.O_RDWR | os.O_CREAT)
    transfer = Transfer(
        Wanted(url=web.url(), most_bytes=10**7, sha256=web.sha256), fd, fetch.bookmark,
        manner=HASTY, rest=fetch.rests.append, clock=Clock(),
    )  # fmt: skip
    with structlog.testing.capture_logs() as captured:
        assert transfer.fetch() == web.sha256
    os.close(fd)
    assert "bytes came in 60 s" in captured[0]["reason"]


def test_what_an_earlier_command_left_is_taken_up_and_hashed(fetch, web):
    web.behaviours = [cut(250_000), cut(0), cut(0), cut(0)]
    assert fetch.refusal().code == "E408"
    assert fetch.part.stat().st_size == 250_000
    assert fetch() == web.sha256
    assert web.ranges[-1] == "bytes=250000-"
    assert fetch.transfer.was_resumed


def test_a_part_that_is_whole_already_needs_no_request(fetch, web):
    fetch()
    asked = len(web.requests)
    assert fetch() == web.sha256
    assert len(web.requests) == asked


def test_without_a_known_length_a_whole_part_is_recognised_by_the_refused_range(fetch, web):
    web.behaviours = [webserver.without_length]
    web.etag = ""
    fetch(listed=False, sha256=web.sha256)
    assert fetch(listed=False, sha256=web.sha256) == web.sha256
    assert web.ranges == [None, f"bytes={len(MODEL)}-"]


def test_a_part_that_is_longer_than_the_file_is_begun_anew(fetch, web):
    web.behaviours = [webserver.without_length]
    web.etag = ""
    fetch(listed=False, sha256=web.sha256)
    web.content = MODEL[:1000]
    assert fetch(listed=False, sha256=web.sha256) == web.sha256
    assert fetch.part.read_bytes() == MODEL[:1000]


def test_a_server_without_ranges_begins_anew(fetch, web):
    web.behaviours = [cut(200_000), webserver.whole]
    assert fetch() == web.sha256
    assert fetch.part.read_bytes() == MODEL


def test_another_thing_at_the_address_begins_anew(fetch, web):
    web.behaviours = [cut(200_000)]
    original = web.content

    def changed(answer, web):
        web.content, web.etag = original[::-1], '"second"'
        serve(answer, web)

    web.behaviours.append(changed)
    assert fetch(listed=False) == hashlib.sha256(original[::-1]).hexdigest()
    assert fetch.part.read_bytes() == original[::-1]


def test_a_rest_of_something_else_is_not_joined_though_the_server_says_206(fetch, web):
    def foreign(answer, web):
        rest = bytes(len(MODEL) - 200_000)
        span = f"bytes 200000-{len(MODEL) - 1}/{len(MODEL)}"
        answer.head(206, Content_Range=span, Content_Length=len(rest), ETag='"second"')
        answer.wfile.write(rest)

    web.behaviours = [cut(200_000), foreign]
    assert fetch(listed=False) == web.sha256
    assert web.ranges == [None, "bytes=200000-", None]


@pytest.mark.parametrize("span", ["bytes 0-9/384000", "bytes 200000-383999/*junk", "lines 1-2/3", ""])
def test_a_part_that_was_not_asked_for_is_not_joined(fetch, web, span):
    web.behaviours = [cut(200_000), say(206, b"x" * 100, Content_Range=span)]
    assert fetch() == web.sha256


def test_a_part_of_a_longer_file_is_refused(fetch, web):
    web.behaviours = [cut(200_000), say(206, b"\x80", Content_Range="bytes 200000-200000/999999")]
    error = fetch.refusal()
    assert error.code == "E409"
    assert "offers 999999 bytes" in error.message


def test_without_validator_and_hash_nothing_is_joined(fetch, web):
    web.etag = ""
    web.behaviours = [cut(200_000)]
    assert fetch(listed=False) == web.sha256
    assert web.ranges == [None, None]


def test_a_weak_validator_is_none(fetch, web):
    web.etag = 'W/"first"'
    web.behaviours = [cut(200_000)]
    assert fetch(listed=False) == web.sha256
    assert web.ranges == [None, None]


def test_a_part_of_another_address_is_not_taken_up(fetch, web):
    web.behaviours = [cut(250_000), cut(0), cut(0), cut(0)]
    fetch.refusal()
    assert fetch(web.url("/other.pth")) == web.sha256
    assert web.ranges[-1] is None


def test_ctrl_c_keeps_what_came(fetch, web):
    def interrupt(done, total):
        if done > PIECE:
            raise KeyboardInterrupt

    fd = os.open(fetch.part, os.O_RDWR | os.O_CREAT)
    wanted = Wanted(url=web.url(), most_bytes=10**7, sha256=web.sha256)
    with pytest.raises(KeyboardInterrupt):
        Transfer(wanted, fd, fetch.bookmark, manner=HASTY, heard=interrupt).fetch()
    os.close(fd)
    kept = fetch.part.stat().st_size
    assert kept > PIECE
    assert fetch() == web.sha256
    assert web.ranges[-1] == f"bytes={kept}-"


def test_the_proxy_of_the_environment_is_asked(fetch, web, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{web.port}")
    assert fetch("http://models.invalid/model.pth") == web.sha256
    assert web.requests[0]["path"] == "http://models.invalid/model.pth"


def test_no_proxy_is_honoured(fetch, web, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert fetch() == web.sha256


def test_a_password_in_the_address_reaches_no_message_and_no_file(fetch, web):
    web.behaviours = [cut(200_000), say(404)]
    url = web.url().replace("http://", "http://somebody:secret@")
    error = fetch.refusal(url)
    assert "secret" not in error.message
    assert "secret" not in fetch.bookmark.read_text()


def test_two_lengths_that_disagree_are_refused(fetch, web):
    def split(answer, _web):
        answer.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nabcdefg")
        answer.hang_up()

    web.behaviours = [split]
    assert fetch.refusal().code == "E408"


def test_nonsense_instead_of_http_is_a_broken_line(fetch, web):
    def babble(answer, _web):
        answer.wfile.write(b"\x00\x01 what?\r\n" * 10)
        answer.hang_up()

    web.behaviours = [babble]
    assert fetch() == web.sha256
