"""What is no answer, no model or no address to go to is refused, and said in words."""

import pytest

from tests import webserver
from tests.download.conftest import HASTY, PIECE
from tests.webserver import MODEL, cut, say


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again_as_late_as_it_wishes(fetch, web, status):
    web.behaviours = [say(status, Retry_After="7")]
    assert fetch() == web.sha256
    assert fetch.rests == [7.0]


def test_a_server_that_wishes_a_day_is_asked_again_sooner(fetch, web):
    web.behaviours = [say(503, Retry_After="86400")]
    fetch()
    assert fetch.rests == [HASTY.rest_longest_s]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418])
def test_a_refusal_is_final_and_says_what_and_where(fetch, web, status):
    web.behaviours = [say(status, b"<html>no</html>")] * 5
    error = fetch.refusal(web.url("/model.pth?token=secret"))
    assert error.code == "E408"
    assert f"answers {status}" in error.message
    assert "/model.pth?…" in error.message
    assert "secret" not in error.message
    assert len(web.requests) == 1


def test_a_web_page_is_no_model_and_its_title_is_told(fetch, web):
    page = b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"
    web.behaviours = [say(200, page, Content_Type="text/html; charset=utf-8")]
    error = fetch.refusal(listed=False)
    assert error.code == "E409"
    assert "Quota exceeded" in error.message


def test_a_page_of_a_portal_costs_nothing_of_what_came_before(fetch, web):
    web.behaviours = [cut(200_000), say(200, b"<html>log in</html>", Content_Type="text/html")]
    assert fetch.refusal().code == "E409"
    assert fetch() == web.sha256
    assert web.ranges[-1] == "bytes=200000-"


def test_a_git_lfs_pointer_is_recognised(fetch, web):
    web.behaviours = [say(200, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")]
    error = fetch.refusal()
    assert error.code == "E409"
    assert "git-lfs" in error.message


def test_a_text_without_a_length_is_recognised_at_its_end(fetch, web):
    web.content = b"quota exceeded, come back tomorrow\n"
    web.behaviours = [webserver.without_length]
    error = fetch.refusal(listed=False)
    assert error.code == "E409"
    assert "quota exceeded" in error.message
    assert fetch.part.stat().st_size == 0


def test_a_file_of_another_size_is_refused_before_it_is_fetched(fetch, web):
    error = fetch.refusal(size_bytes=5)
    assert error.code == "E409"
    assert f"offers {len(MODEL)} bytes; expected: 5" in error.message
    assert fetch.part.stat().st_size == 0


def test_a_file_beyond_the_limit_is_refused_before_it_is_fetched(fetch, web):
    assert "at most 1000" in fetch.refusal(listed=False, most_bytes=1000).message


def test_an_endless_stream_is_ended(fetch, web):
    web.behaviours = [webserver.endless]
    error = fetch.refusal(listed=False, most_bytes=1_000_000)
    assert error.code == "E409"
    assert "more than 1000000" in error.message
    assert fetch.part.stat().st_size == 0


def test_a_stream_that_ends_too_early_is_taken_up_by_the_listed_size(fetch, web):
    def short(answer, web):
        answer.close_connection = True
        answer.head(200, Connection="close", ETag=web.etag)
        answer.wfile.write(web.content[:PIECE])

    web.behaviours = [short]
    assert fetch() == web.sha256
    assert web.ranges == [None, f"bytes={PIECE}-"]


def test_a_compressed_answer_is_refused(fetch, web):
    web.behaviours = [say(200, b"\x1f\x8b" * 10, Content_Encoding="gzip")]
    assert "compressed" in fetch.refusal(listed=False).message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_on_the_same_machine_is_followed(fetch, web, status):
    web.behaviours = [say(status, Location="/elsewhere.pth")]
    assert fetch() == web.sha256
    assert web.requests[1]["path"] == "/elsewhere.pth"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/", "http://[bad/"])
def test_a_redirect_to_anything_but_http_is_refused(fetch, web, target):
    web.behaviours = [say(302, Location=target)]
    assert fetch.refusal().code == "E408"
    assert len(web.requests) == 1


def test_redirects_without_end_are_refused(fetch, web):
    web.behaviours = [say(302, Location="/again")] * 50
    assert "redirects more than 8 times" in fetch.refusal().message


def test_nobody_there_is_a_broken_line(fetch, web):
    with webserver.running() as other:
        closed = other.url()
    error = fetch.refusal(closed)
    assert error.code == "E408"
    assert "tried 3 times" in error.message
