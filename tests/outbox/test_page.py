import base64
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.intake.pairing import Why
from heygemd.jobs.states import JobState
from heygemd.naming import is_invisible, printable
from heygemd.outbox.page import MARK_BYTES, REWRITE_S, href_of, is_due, page_of

NOON = "2025-01-31T12:00:00.000Z"
LATER = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)
HOSTILE = [
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "<!--<script>",
    "javascript:alert(1)", "]]>", "{{script}}", "&lt;b&gt;", "\u2028\u2029", "\u202eexe.4pm\u2066", "a\x00b\x1b[31m",
    "\\u003c/script\\u003e", "\udcff", "名" * 85,
]  # fmt: skip


def told(**fields):
    """What `status.json` says of a root where nothing happens."""
    return {
        "schema": 2, "written_at": NOON, "pid": 1, "host": "here", "version": "0",
        "root": {"path": "/srv/share", "uuid": "u", "state": "online", "reason": None, "code": None},
        "counts": dict.fromkeys(JobState, 0), "running": [], "queue": [], "waiting": [], "results": [],
        "waiting_count": 0, "batches": [], "batch_count": 0, "problems": [], "queue_ends_at": None, "advice": {},
    } | fields  # fmt: skip


def film(**fields):
    return {"job": "j", "name": "anna", "folder": "", "state": "done", "finished_at": NOON} | fields


class Elements(HTMLParser):
    """The elements of a page as a browser would see them, and the contents of its scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.contents, self.attributes = [], {}, []
        self.inside = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside = tag
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside in ("script", "style"):
            self.contents.setdefault(self.inside, []).append(data)


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="told">(.*?)</script>', page, re.DOTALL)[1])


@pytest.fixture(scope="module")
def files():
    folder = resources.files("heygemd.outbox").joinpath("page_files")
    return {one.name: one.read_text(encoding="utf-8") for one in folder.iterdir() if one.is_file()}


def test_page_holds_what_the_status_says():
    page = page_of(told(results=[film(film_s=2.5)], counts=dict.fromkeys(JobState, 0) | {"done": 7}))
    data = data_of(page)
    assert data["counts"]["done"] == 7
    assert data["results"][0] == {"job": "j", "name": "anna", "state": "done", "finished_at": NOON, "film_s": 2.5}
    assert "reason" not in data["root"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_can_end_the_script_or_add_an_element(name):
    plain = Elements(page_of(told(results=[film()])))
    entry = film(name=name, folder=name, error_message=name, film=f"outbox/{name}/x.mp4")
    root = told()["root"] | {"path": f"/srv/{name}", "reason": name}
    page = page_of(told(results=[entry], root=root, host=name, version=name))
    assert Elements(page).tags == plain.tags
    assert not any(is_invisible(char) for char in page if char != "\n")


@given(st.text(max_size=30))
def test_any_name_comes_back_as_printable_text(name):
    page = page_of(told(results=[film(name=name, film=f"outbox/{name}.mp4")], host=name))
    shown = data_of(page)["results"][0]
    assert "<" not in re.search(r'id="told">(.*?)</script>', page, re.DOTALL)[1]
    assert shown.get("name", "") == printable(name)
    assert shown["film_href"].startswith("../outbox/")
    assert shown["film_href"].isascii()


@pytest.mark.parametrize(
    ("path", "href"),
    [
        ("outbox/客户/a b.mp4", "../outbox/%E5%AE%A2%E6%88%B7/a%20b.mp4"),
        ("outbox/50%#1?.jpg", "../outbox/50%25%231%3F.jpg"),
        ("javascript:alert(1)", "../javascript%3Aalert%281%29"),
        ("outbox/\udcff.mp4", "../outbox/%FF.mp4"),
    ],
)
def test_links_are_relative_and_encoded(path, href):
    assert href_of(path) == href


def test_links_are_made_from_names_as_they_lie_on_the_disk():
    (shown,) = data_of(page_of(told(results=[film(film="outbox/a\u202eb.mp4")])))["results"]
    assert shown["film_href"] == "../outbox/a%E2%80%AEb.mp4"
    assert shown["film"] == "outbox/a%E2%80%AEb.mp4"


def test_only_our_own_script_and_style_are_allowed():
    found = Elements(page_of(told()))
    (policy,) = [a["content"] for tag, a in found.attributes if a.get("http-equiv") == "Content-Security-Policy"]
    style, script = found.contents["style"][0], found.contents["script"][1]
    for name, text in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_page_names_no_address_outside_the_share(files):
    page = page_of(told(results=[film(film="outbox/x.mp4", sheet="outbox/x.jpg")]))
    assert set(re.findall(r"\b(?:https?:|wss?:)?//[\w.]+", page)) <= {
        "http://www.w3.org"
    }  # the name of SVG, fetched by nobody
    sources = [value for _, a in Elements(page).attributes for key, value in a.items() if key in ("src", "href")]
    assert sources == ["data:,", "status.json"]


def test_data_never_becomes_markup(files):
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "srcdoc"):
        assert word not in files["page.js"]


def test_both_languages_say_the_same_things(files):
    english, chinese = files["words.js"].split("\n  zh: {")
    form = re.compile(r"^ {4,6}(\w+): (.*)$", re.MULTILINE)
    first, second = dict(form.findall(english)), dict(form.findall(chinese))
    assert first.keys() == second.keys()
    for key, words in first.items():
        assert set(re.findall(r"\{(\w+)\}", words)) == set(re.findall(r"\{(\w+)\}", second[key])), key
        assert words.count('", "') == second[key].count('", "'), key


def test_every_word_that_is_said_exists(files):
    known = set(re.findall(r"^ {4}(\w+): ", files["words.js"], re.MULTILINE))
    said = set(re.findall(r'\bsay\(\s*"(\w+)"', files["page.js"]))
    assert said - known == {"says_", "stage_", "kind_"}
    moods = {"working", "idle", "arriving", "queued", "paused", "offline", "stopped"}
    assert moods | {f"says_{mood}" for mood in moods} <= known


def test_every_reason_to_wait_is_told_in_both_languages(files):
    for words in files["words.js"].split("\n  zh: {"):
        assert {why.name for why in Why} <= set(re.findall(r"^ {6}([A-Z_]+): \[", words, re.MULTILINE))


def test_without_a_script_the_main_numbers_are_there():
    page = page_of(told(counts=dict.fromkeys(JobState, 0) | {"done": 41, "failed": 3}))
    visible = re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", "", page, flags=re.DOTALL)
    for line in ("share: online / 在线", "Finished / 已完成: 41", "Failed / 失败: 3", NOON):
        assert line in visible


def test_what_the_summary_says_is_escaped():
    root = told()["root"] | {"path": "/srv/<b>share", "state": "paused", "reason": '<img src="x">'}
    page = page_of(told(root=root))
    assert "&lt;b&gt;share: paused / 已暂停 — &lt;img src=&quot;x&quot;&gt;" in page


def mark(**fields):
    return page_of(told(**fields)).encode()[:MARK_BYTES]


def at(seconds):
    return (LATER + timedelta(seconds=seconds)).isoformat()


def test_a_page_that_says_the_same_is_kept_for_a_while():
    assert not is_due(told(), mark())
    assert not is_due(told(written_at=at(REWRITE_S - 1)), mark())
    assert is_due(told(written_at=at(REWRITE_S)), mark())


@pytest.mark.parametrize(
    "beginning",
    [b"", b"\xff" * MARK_BYTES, b"<!doctype html>\n<!--heygemd nonsense-->", mark(host="another")],
    ids=range(4),
)
def test_a_page_that_says_something_else_is_replaced(beginning):
    assert is_due(told(), beginning)


@pytest.mark.parametrize("written", [at(30), "2025-99-99", "2025-01-31"])
def test_a_mark_that_somebody_forged_holds_nothing_up(written):
    forged = re.sub(rb"2025-01-31T[0-9:.]+Z", written.encode(), mark())
    assert is_due(told(written_at=at(1)), forged)


def test_an_empty_page_is_small():
    assert len(page_of(told()).encode()) < 45_000
