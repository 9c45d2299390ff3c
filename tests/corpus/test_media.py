"""Media of strangers through a real inbox: playlists in disguise, bombs, damage, mistakes, and what is odd but good.

Here is what takes little; `make corpus` runs every case, and measures each.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.corpus import media
from tests.corpus.bytework import MIB
from tests.corpus.canaries import Canaries
from tests.corpus.case import (
    MAX_RSS_BYTES,
    Case,
    Ending,
    Seen,
    disagreement,
    ignores,
    rejects,
    renders,
    survives,
    waits,
)
from tests.corpus.inbox import Inbox, through_inbox
from tests.corpus.kit import Kit
from tests.corpus.measured import run_alone

pytestmark = pytest.mark.ffmpeg

LIMIT_S = 400.0
"""Many times what it takes on an idle machine."""
OFTEN = [
    "hls-as-mp4",
    "hls-as-wav-sound",
    "hls-as-mts",
    "dash-as-jpg",
    "ffconcat-as-mxf",
    "sdp-as-mp3-sound",
    "svg-as-mp4",
    "gab2-hls",
    "mov-dref",
    "hls-behind-ftyp",
    "png-gigapixel",
    "png-profile-bomb",
    "png-in-mov",
    "film-five-hours",
    "avi-lies",
    "avi-grows",
    "mp4-depth",
    "65-streams-mkv",
    "mp4-samples-3m",
    "mp3-cover-bomb",
    "mkv-named-mp4",
    "jpeg-named-mp4",
    "film-named-wav-sound",
    "zeros-named-mp4",
    "heic-named-jpg",
    "empty-mp4",
    "mdat-alone",
    "wav-silence",
    "cut-faststart-50",
    "cut-faststart-95",
    "cut-jpg-50",
    "cut-opus-50",
    "cut-mkv-50",
    "cut-flac-50",
    "flip-mkv-40",
    "rotated-90",
    "hevc-10-bit",
    "mxf-mpeg2",
    "odd-size",
    "sar-mp4",
    "full-range",
    "jpeg-exif-6",
    "amr",
    "mp3-cover",
]
PATIENCE_S = 30.0
ATTACKS = ("hls", "hls-call", "hls-key", "hls-map", "hls-master", "dash", "ffconcat", "ffconcat-options")
"""Cases that open a secret in an ffmpeg that nobody guards."""


@pytest.fixture(scope="module")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canaries]:
    canaries = Canaries.make(tmp_path_factory.mktemp("secrets"))
    yield canaries
    canaries.close()


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, canaries: Canaries) -> Kit:
    return Kit(tmp_path_factory.mktemp("goods"), canaries.folder)


@pytest.fixture(scope="module")
def cases(kit: Kit) -> dict[str, Case]:
    return {case.name: case for case in media.cases(kit)}


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory, cases: dict[str, Case], canaries: Canaries) -> Inbox:
    """One daemon over all that is chosen here."""
    chosen = [cases[name] for name in OFTEN]
    inbox = through_inbox(tmp_path_factory.mktemp("inbox"), chosen, limit_s=LIMIT_S, meanwhile=canaries.hide)
    inbox.troubles += [f"reached {name}" for name in canaries.revealed()]
    return inbox


def test_every_case_has_a_name_of_its_own_that_can_be_a_folder(kit: Kit) -> None:
    names = [case.name for case in media.cases(kit)]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalnum() and name.isascii() and name.islower() for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("name", OFTEN)
def test_what_is_dropped_ends_as_it_should(name: str, cases: dict[str, Case], visited: Inbox) -> None:
    assert disagreement(cases[name], visited.seen[name]) is None


@pytest.mark.slow
def test_nothing_was_reached_and_the_daemon_met_no_fault(visited: Inbox, canaries: Canaries) -> None:
    if not canaries.is_telling:
        pytest.skip("this file system keeps no access times")
    assert visited.troubles == []


@pytest.mark.parametrize("kind", ATTACKS)
def test_an_unguarded_ffmpeg_falls_for_it(kind: str, cases: dict[str, Case], canaries: Canaries, tmp_path) -> None:
    """Else the cases would show nothing."""
    if not canaries.is_telling:
        pytest.skip("this file system keeps no access times")
    case = cases.get(kind) or cases[f"{kind}-as-mp4"]
    case.drop(tmp_path)
    canaries.hide()
    file = next(path for path in tmp_path.iterdir() if path.suffix in (".mp4", ".avi"))
    inputs = ["-protocol_whitelist", "file,http,tcp,concat,subfile,crypto", "-i", str(file)]
    unsafe = ["-f", "concat", "-safe", "0"] if "concat" in kind else []
    argv = ["ffmpeg", "-v", "error", "-nostdin", *unsafe, *inputs, "-map", "0", "-t", "1", "-f", "null", "-"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        ends_s = time.monotonic() + PATIENCE_S
        revealed = canaries.revealed()
        while not revealed and child.poll() is None and time.monotonic() < ends_s:
            time.sleep(0.05)
            revealed = canaries.revealed()
        child.kill()
    assert revealed or canaries.revealed()


@pytest.mark.parametrize("name", ["png-text-bomb", "png-gigapixel", "mp4-lies"])
@pytest.mark.slow
def test_a_bomb_costs_little(name: str, cases: dict[str, Case], tmp_path) -> None:
    seen = run_alone(cases[name], tmp_path / "alone")
    shutil.rmtree(tmp_path / "alone")
    assert disagreement(cases[name], seen) is None
    assert seen.rss_bytes is not None
    assert 20 * MIB < seen.rss_bytes < MAX_RSS_BYTES


def a_case(answer) -> Case:
    return Case(name="x", group="x", story="x", drop=lambda folder: None, answer=answer)


RENDERED = Seen(ending=Ending.RENDER, films=frozenset({"take.mp4"}), facts={"fps": "25"})
REFUSED = Seen(ending=Ending.REJECT, codes=frozenset({"E110"}))


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (renders(), RENDERED),
        (renders("take.mp4", fps="25"), RENDERED),
        (rejects("E101", "E110"), REFUSED),
        (survives("E110"), REFUSED),
        (survives("E105"), RENDERED),
        (waits(), Seen(ending=Ending.WAIT)),
        (ignores(), Seen(ending=Ending.IGNORE)),
    ],
)
def test_what_is_right_is_right(answer, seen: Seen) -> None:
    assert disagreement(a_case(answer), seen) is None


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (renders(), REFUSED),
        (renders("other.mp4"), RENDERED),
        (renders(fps="30"), RENDERED),
        (renders(), Seen(ending=Ending.RENDER, films=frozenset({"a.mp4", "b.mp4"}))),
        (renders(codes=("E127",)), RENDERED),
        (rejects("E110"), RENDERED),
        (rejects("E101"), REFUSED),
        (rejects("E110"), Seen(ending=Ending.REJECT)),
        (survives("E105"), REFUSED),
        (survives("E110"), Seen(ending=Ending.RENDER)),
        (waits(), Seen(ending=Ending.IGNORE)),
        (ignores(), Seen(ending=Ending.WAIT)),
        (rejects("E110"), Seen(ending=Ending.REJECT, codes=frozenset({"E110"}), troubles=("a fault",))),
        (renders(), Seen(ending=Ending.RENDER, films=frozenset({"a.mp4"}), wall_s=61.0)),
        (renders(), Seen(ending=Ending.RENDER, films=frozenset({"a.mp4"}), rss_bytes=MAX_RSS_BYTES + 1)),
    ],
)
def test_what_is_wrong_is_told(answer, seen: Seen) -> None:
    assert disagreement(a_case(answer), seen)
