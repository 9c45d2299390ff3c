"""The page when names are attacks, in a real browser."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from heygemd.outbox.status import write_status
from tests.outbox.browser.chromium import Tab
from tests.outbox.browser.samples import busy, hostile

pytestmark = pytest.mark.browser

ATTACKS = [
    "<script>attack(1)</script>", "</script><script>attack(2)</script>", '"><img src=x onerror=attack(3)>',
    "<!--<script>", "javascript:attack(4)", "' onmouseover=attack(5) '", "{{script}}", "&lt;b&gt;bold&lt;/b&gt;",
    "\u202egpj.exe", "\udcff\u2028", "a\nb", "名" * 85,
]  # fmt: skip


@pytest.fixture(scope="module")
def innocent(browser, tmp_path_factory) -> list[str]:
    """The elements of a page with harmless names."""
    share = tmp_path_factory.mktemp("innocent")
    for name in ("outbox", "failed", "status"):
        (share / name).mkdir()
    write_status(share / "status", hostile(share, "anna"))
    tab = Tab(browser)
    tab.read_as()
    tab.open(share / "status" / "index.html")
    elements = tab.run("[...document.querySelectorAll('*')].map((one) => one.tagName)")
    tab.close()
    return elements


@pytest.mark.parametrize("name", ATTACKS, ids=range(len(ATTACKS)))
def test_names_are_words_and_nothing_else(share, show, innocent, name):
    tab = show(hostile(share, name))
    assert tab.run("[...document.querySelectorAll('*')].map((one) => one.tagName)") == innocent
    assert tab.run("[...attacks, ...violations]") == []
    assert tab.run("document.title").startswith("Working · ")
    shown = tab.run("document.querySelector('#work .name').textContent")
    assert shown == name if name.isprintable() else "%" in shown
    links = tab.run("[...document.links].map((one) => one.href)")
    assert all(link.startswith(share.as_uri() + "/") for link in links)
    assert (
        tab.run("[...document.querySelectorAll('a, iframe, img')].some((one) => one.href?.startsWith?.('javascript'))")
        is False
    )


def test_a_script_that_got_in_all_the_same_would_not_run(share, show):
    tab = show(busy(share))
    tab.run("""(() => {
        const script = document.createElement('script'); script.textContent = 'attack(1)'; document.body.append(script);
        const image = document.createElement('img'); image.setAttribute('onerror', 'attack(2)'); image.src = 'data:,';
        document.body.append(image);
        return new Promise((done) => setTimeout(() => done(1), 100));
    })()""")
    assert tab.run("attacks") == []
    assert set(tab.run("violations")) == {"script-src-elem", "script-src-attr"}


def test_nothing_is_fetched_but_pictures_of_the_outbox(share, show):
    tab = show(busy(share))
    tab.let_time_pass(30)
    asked = [urlsplit(url) for url in tab.requests()]
    assert {url.scheme for url in asked} <= {"file", "data"}
    files = {Path(unquote(url.path)).relative_to(share) for url in asked if url.scheme == "file"}
    assert {file.parts[0] if file.suffix == ".jpg" else str(file) for file in files} <= {"outbox", "status/index.html"}
    assert tab.run("violations") == []
