"""Strangers' files lead nobody anywhere: no other file, no socket, no program. Seen by strace, of every process."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.corpus.canaries import Canaries
from tests.corpus.kit import Kit
from tests.corpus.media_playlists import texts
from tests.isolation.fooled import DEMUXERS
from tests.isolation.law import Realm, breaches, decoders, inputs
from tests.isolation.trace import read_trace, traced
from tests.isolation.watched import corpus, watch

pytestmark = [
    pytest.mark.ffmpeg,
    pytest.mark.slow,
    pytest.mark.strace,
]

QUICK = frozenset(
    {
        *("hls-as-mp4", "hls-key-as-mp4", "hls-as-jpg", "ffconcat-as-mp4", "sdp-as-mp4", "dash-as-mp4"),
        *("hls-concat-as-mp4", "hls-as-wav-sound", "gab2-hls", "gab2-ffconcat", "mov-dref", "hls-behind-ftyp"),
        *("hls-behind-id3", "special-fifo", "special-link", "special-folder-link", "special-link-descriptor"),
        *("special-manifest-link", "special-job-folder-link"),
    }
)
"""Whoever follows one of these is seen; the whole corpus takes many minutes (`python -m tests.isolation.watched`)."""
FILMS = 3
"""Of the quick cases, at least so many are good films beside their trick."""
LIARS = ("hls-concat", "ffconcat", "dash")


@pytest.fixture(scope="module")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canaries]:
    canaries = Canaries.make(tmp_path_factory.mktemp("canaries"))
    yield canaries
    canaries.close()


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, canaries: Canaries) -> Kit:
    return Kit(tmp_path_factory.mktemp("kit"), canaries.folder)


def test_hostile_files_lead_a_daemon_nowhere(tmp_path: Path, kit: Kit, canaries: Canaries) -> None:
    cases = [case for case in corpus(kit) if case.name in QUICK]
    assert {case.name for case in cases} == QUICK
    seen = watch(tmp_path / "watched", cases, canaries)
    assert set(seen.breaches) == set()
    assert seen.revealed == ()
    assert seen.disagreements == ()
    assert seen.decoders >= FILMS * 8, "a film takes as many decoders: somebody was not watched"
    assert seen.inputs >= FILMS * 2


def test_a_demuxer_that_meets_what_it_does_not_know_opens_nothing_else(
    tmp_path: Path, kit: Kit, canaries: Canaries
) -> None:
    """The second wall: what would happen if the first bytes had named the wrong demuxer."""
    realm = Realm(root=tmp_path / "root", state=tmp_path, never=(canaries.folder,), scratch=tmp_path / "scratch")
    (tmp_path / "scratch").mkdir()
    files = []
    for kind in LIARS:
        file = realm.root / "processing" / kind / "take.mp4"
        file.parent.mkdir(parents=True)
        file.write_text(texts(kit)[kind][0])
        files.append(str(file))
    fooled = Path(__file__).with_name("fooled.py")
    canaries.hide()
    done = subprocess.run(
        traced([sys.executable, "-P", str(fooled), *files], tmp_path / "trace"),
        cwd=realm.scratch, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    calls = read_trace(tmp_path / "trace")
    assert set(breaches(calls, realm)) == set(), done.stdout
    assert canaries.revealed() == []
    assert inputs(calls, realm) == set(files)
    assert len(decoders(calls)) >= len(files) * len(DEMUXERS)
    assert len(done.stdout.splitlines()) == len(files) * len(DEMUXERS)
