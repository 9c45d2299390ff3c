"""No address and no redirect takes us where bytes could be changed on the way, or into this machine."""

import pytest

from heygemd.download.addresses import redirected, refuse_address, shown
from heygemd.errors import SetupError

SAFE = [
    "https://a.example/x",
    "https://a.example:8443/x",
    "http://127.0.0.1:8000/x",
    "http://localhost/x",
    "http://[::1]/x",
]
UNSAFE = ["http://a.example/x", "http://127.0.0.1.a.example/x", "http://192.168.1.5/x"]
IMPOSSIBLE = [
    "file:///etc/passwd", "ftp://a.example/x", "a.example/x", "", "https://", "https:///x", "https://[::1/x",
    "https://a.example:port/x", "javascript:alert(1)", "HTTPS//a.example",
]  # fmt: skip


@pytest.mark.parametrize("url", SAFE)
def test_https_and_this_machine_may_be_asked(url):
    refuse_address(url, is_checked=False)


@pytest.mark.parametrize("url", UNSAFE)
def test_plain_http_only_where_the_hash_is_known(url):
    with pytest.raises(SetupError) as refused:
        refuse_address(url, is_checked=False)
    assert refused.value.code == "E408"
    refuse_address(url, is_checked=True)


@pytest.mark.parametrize("url", IMPOSSIBLE)
def test_anything_else_is_refused(url):
    with pytest.raises(SetupError):
        refuse_address(url, is_checked=True)


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("https://a.example/x", "/y", "https://a.example/y"),
        ("https://a.example/x", "https://b.example/y", "https://b.example/y"),
        ("http://127.0.0.1/x", "https://b.example/y", "https://b.example/y"),
        ("http://127.0.0.1/x", "http://localhost/y", "http://localhost/y"),
        ("http://nas.example/x", "http://nas.example/x/", "http://nas.example/x/"),
    ],
)
def test_redirects_that_are_followed(url, location, target):
    assert redirected(url, location, is_checked=True) == target


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://a.example/x", "http://a.example/x"),
        ("https://a.example/x", "http://127.0.0.1/x"),
        ("http://nas.example/x", "http://127.0.0.1:631/admin"),
        ("http://nas.example/x", "file:///etc/passwd"),
        ("https://a.example/x", "https://[bad/"),
    ],
)
def test_redirects_that_are_not(url, location):
    with pytest.raises(SetupError) as refused:
        redirected(url, location, is_checked=True)
    assert refused.value.code == "E408"


def test_an_unchecked_file_is_not_followed_to_plain_http():
    with pytest.raises(SetupError):
        redirected("http://127.0.0.1/x", "http://a.example/x", is_checked=False)


def test_what_is_shown_holds_no_secret_and_no_second_line():
    assert shown("https://me:word@a.example/x?token=t#f") == "https://a.example/x?…"
    assert shown("https://a.example/x\n\x1b[31m") == "https://a.example/x%1B[31m"
    assert "[" in shown("https://[bad")
