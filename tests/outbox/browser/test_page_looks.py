"""The page on small and large screens, by day and by night."""

import pytest

from tests.outbox.browser.samples import busy, hostile

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [320, 390, 1024, 3840])
def test_nothing_sticks_out_at_any_width(share, show, tab, width):
    tab.read_as(width=width)
    show(hostile(share, "w" * 255))
    assert tab.run("document.documentElement.scrollWidth") <= width
    size = tab.run("parseFloat(getComputedStyle(document.documentElement).fontSize)")
    assert size == pytest.approx(16, abs=2) if width < 1500 else size > 25


def test_dark_readers_get_a_dark_page(share, show, tab):
    paper = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    show(busy(share))
    assert min(tab.run(paper)) > 200
    tab.read_as(dark=True)
    assert max(tab.run(paper)) < 60


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_can_be_read_against_its_ground(share, show, tab, dark):
    tab.read_as(dark=dark)
    show(busy(share))
    assert tab.run(CONTRAST) >= 4.5  # WCAG 2.2, level AA


CONTRAST = """(() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const linear = (c) => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
    const light = (rgb) => rgb.slice(0, 3).map((c) => linear(c / 255)).reduce(
        (sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
    const ground = (one) => { const found = numbers(getComputedStyle(one).backgroundColor);
        return found[3] === 0 ? ground(one.parentElement) : found; };
    const written = [...document.querySelectorAll('#page *')].filter((one) => one.checkVisibility()
        && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
    return Math.min(...written.map((one) => {
        const [low, high] = [light(numbers(getComputedStyle(one).color)), light(ground(one))].sort((a, b) => a - b);
        return (high + .05) / (low + .05); }));
})()"""


PICTURES = {
    "en-light": {"languages": "en-US,en"},
    "zh-dark": {"languages": "zh-CN,zh", "dark": True},
    "phone": {"languages": "en-GB,en", "width": 390, "height": 844},
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_the_page_for_people_to_judge(share, show, tab, repository, name):
    tab.read_as(**PICTURES[name])
    show(busy(share))
    assert len(tab.photograph(repository / "build" / "status-page" / f"{name}.png")) > 20_000
