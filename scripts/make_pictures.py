"""Make the pictures of docs/pictures anew from a real run: a daemon with some short films in a temporary folder.

    python scripts/make_pictures.py [--out docs/pictures] [--patience-s 900]

    top.svg, status.svg   what `heygemd top` and `heygemd status` show while films are being made
    page.png              the status page at the same moment, in Chromium
    contact-sheet.jpg     of one of the films: NASA's portrait of Eileen Collins, which is in the public domain

Nothing in them is invented: the films are those of the demo (scripts/demo/README.md says where portrait and voices
come from), cut to several lengths; beside them lie a clip without a face, which fails, and a lone sound, which waits.
As root the daemon gets a host name of its own, so that the pictures do not show that of the machine.
"""

import argparse
import html
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.cells import cell_len
from rich.console import Console
from rich.terminal_theme import TerminalTheme

from heygemd.jobs.states import JobState
from heygemd.lookout import Glance, Place, Standing
from heygemd.settings import Settings
from heygemd.status.reading import read_status
from heygemd.status.showing import show_status
from heygemd.top.films import lists_of
from heygemd.top.observer import Observer
from heygemd.top.screen import Screen
from heygemd.top.view import draw

DEMO = Path(__file__).resolve().parent / "demo"
TOP_CELLS, TOP_LINES, STATUS_CELLS = 112, 34, 112
PAGE_PX = "1280,1000"
MOST_BYTES = 300_000
HOST = "studio"
FONTS = '"DejaVu Sans Mono", Menlo, Consolas, "Noto Sans Mono CJK SC", monospace'
FFMPEG = ("ffmpeg", "-v", "error", "-nostdin", "-y")
THEME = TerminalTheme(
    (24, 26, 31), (208, 212, 220),
    [(24, 26, 31), (224, 108, 117), (126, 188, 110), (219, 176, 98), (97, 160, 230), (198, 120, 221), (86, 182, 194),
     (208, 212, 220)],
    [(112, 119, 133), (240, 113, 120), (152, 205, 134), (235, 203, 139), (130, 180, 240), (210, 140, 230),
     (120, 200, 210), (240, 242, 246)],
)  # fmt: skip


_TEXT = re.compile(
    r'<text(?P<style>[^>]*?)x="(?P<x>[0-9.]+)"(?P<y>[^>]*?)textLength="(?P<length>[0-9.]+)"(?P<rest>[^>]*>)'
    r"(?P<words>[^<]*)</text>"
)


@dataclass(frozen=True)
class Film:
    """One pair to drop."""

    folder: str
    name: str
    voice: str
    start_s: float
    length_s: float


FILMS = (
    Film("", "welcome", "en", 0.0, 3.0), Film("", "你好", "zh", 0.0, 4.0), Film("lesson 1", "part 1", "en", 2.0, 6.0),
    Film("lesson 1", "part 2", "zh", 2.0, 7.0), Film("lesson 1", "part 3", "en", 0.5, 8.0),
    Film("客户 A", "第一课", "zh", 0.5, 8.5), Film("客户 A", "第二课", "zh", 1.0, 5.0),
    Film("", "goodbye", "en", 4.0, 4.0),
    Film("lesson 2", "part 1", "en", 1.0, 5.5), Film("lesson 2", "part 2", "zh", 3.0, 6.0),
    Film("", "thank you all for coming", "zh", 0.0, 6.5),
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "pictures")
    parser.add_argument("--patience-s", type=float, default=900.0, help="give up after this time")
    words = parser.parse_args()
    words.out.mkdir(parents=True, exist_ok=True)
    os.environ.update(LANG="C.UTF-8", LC_ALL="", TZ="UTC")
    time.tzset()
    with tempfile.TemporaryDirectory(prefix="heygemd-pictures-") as folder:
        place = Path(folder)
        root, state = place / "films", place / "state"
        run(sys.executable, "-m", "heygemd", "init-root", str(root))
        drop_everything(root, place)
        with (place / "daemon.log").open("wb") as log:
            daemon = start_daemon(root, state, log)
            try:
                photograph(root, state, words.out, time.monotonic() + words.patience_s)
            except TimeoutError as error:
                print(f"{error}; the daemon's log ends:\n{(place / 'daemon.log').read_text()[-2000:]}")
                return 1
            finally:
                with suppress(ProcessLookupError):
                    daemon.send_signal(signal.SIGTERM)
                daemon.wait()
    sizes = {file.name: file.stat().st_size for file in sorted(words.out.iterdir())}
    print("\n".join(f"{size:8} {name}" for name, size in sizes.items()))
    return int(any(size > MOST_BYTES for size in sizes.values()))


def drop_everything(root: Path, place: Path) -> None:
    """Put the films into the inbox as careful people do: under a name that is ignored, then renamed."""
    presenter = place / "presenter.mp4"
    run(sys.executable, str(DEMO / "make_presenter.py"), str(presenter))
    pattern, bars = place / "pattern.mp4", ("-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=3", "-pix_fmt", "yuv420p")
    run(*FFMPEG, *bars, str(pattern))
    for film in FILMS:
        voice = place / f"{film.name}.flac"
        cut = ("-ss", str(film.start_s), "-t", str(film.length_s), "-i", str(DEMO / f"voice_{film.voice}.flac"))
        run(*FFMPEG, *cut, str(voice))
        drop(presenter, root / "inbox" / film.folder / f"{film.name}.mp4")
        drop(voice, root / "inbox" / film.folder / f"{film.name}.flac")
    drop(pattern, root / "inbox" / "test pattern.mp4")
    drop(place / "welcome.flac", root / "inbox" / "test pattern.flac")
    drop(place / "goodbye.flac", root / "inbox" / "no picture yet.flac")


def drop(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    shutil.copyfile(file, part)
    part.rename(target)


def start_daemon(root: Path, state: Path, log: object) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "heygemd", "run", "--root", str(root), "--state-dir", str(state)]
    own_name = ["unshare", "--uts", "sh", "-c", f'hostname {HOST} && exec "$@"', "sh"]
    may_rename = (
        os.geteuid() == 0 and subprocess.run([*own_name, "true"], capture_output=True, check=False).returncode == 0
    )
    environment = os.environ | {"HEYGEMD_RENDER__WORKERS": "2", "HEYGEMD_INTAKE__ORPHAN_NOTICE_S": "5"}
    return subprocess.Popen(
        [*(own_name if may_rename else []), *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
    )  # type: ignore[call-overload]


def photograph(root: Path, state: Path, out: Path, ends_s: float) -> None:
    """Wait for a moment that shows everything, and make all pictures of it."""
    observer = Observer(Place(state_dir=state, roots=(root,)))
    try:
        while not shows_everything(glance := observer.look()):
            if time.monotonic() > ends_s:
                raise TimeoutError("there was no moment that shows everything")
            time.sleep(0.3)
    finally:
        observer.close()
    console = paper(TOP_CELLS)
    for line in draw(glance, Screen(at=0), lists_of(glance, Screen()), (TOP_CELLS, TOP_LINES)):
        console.print(line, no_wrap=True, overflow="crop", crop=True)
    save(console, "heygemd top", out / "top.svg")
    console = paper(STATUS_CELLS)
    show_status(read_status(Settings(roots=(root,), state_dir=state)), console)
    save(console, "heygemd status", out / "status.svg")
    photograph_page(root / "status" / "index.html", out / "page.png")
    sheets = sorted((root / "outbox").rglob("*.jpg"), key=lambda file: file.stat().st_mtime)
    shutil.copyfile(sheets[0], out / "contact-sheet.jpg")


def shows_everything(glance: Glance) -> bool:
    """Tell whether films run at several stages, others wait with a time, and some have ended well and badly."""
    vitals = glance.vitals
    if glance.standing is not Standing.RUNNING or vitals is None:
        return False
    rendering = [job for job in vitals.jobs if job.stage == "render" and job.fps and job.left_s]
    ended = [one.job.state for one in glance.ended]
    return (
        any(0.2 < job.frames_done / max(1, job.frames_total) < 0.9 for job in rendering)
        and len(vitals.jobs) > 1
        and ended.count(JobState.DONE) > 1
        and JobState.FAILED in ended
        and len([told for told in glance.queued.values() if told.starts_at]) > 1
        and any(root.needs_you for root in vitals.roots)
    )


def paper(cells: int) -> Console:
    return Console(
        record=True, width=cells, file=StringIO(), force_terminal=True, color_system="truecolor", legacy_windows=False
    )


def save(console: Console, title: str, file: Path) -> None:
    """Write the picture; it names no font that would have to be fetched from somewhere."""
    code = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    code = code.replace("Fira Code, monospace", FONTS).replace(
        "<!-- Generated with Rich https://www.textualize.io -->", ""
    )
    drawn = console.export_svg(title=title, theme=THEME, code_format=code)
    file.write_text(_TEXT.sub(_in_cells, drawn), encoding="utf-8")


def _in_cells(found: re.Match[str]) -> str:
    """Put each Chinese character, and each run of others, where a terminal has it: rich counts one cell for each."""
    words, cell_px = html.unescape(found["words"]), float(found["length"]) / max(1, len(html.unescape(found["words"])))
    x_px, drawn = float(found["x"]), ""
    for piece in re.findall(r"[\u2e80-\uffef]|[^\u2e80-\uffef]+", words):
        length_px = cell_px * cell_len(piece)
        size = f'x="{x_px:g}"{found["y"]}textLength="{length_px:g}"{found["rest"]}'
        drawn += f"<text{found['style']}{size}{html.escape(piece).replace(' ', '&#160;')}</text>"
        x_px += length_px
    return drawn


def photograph_page(page: Path, file: Path) -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        print("no Chromium: page.png is left as it was")
        return
    with tempfile.TemporaryDirectory(prefix="heygemd-chromium-") as profile:
        run(
            chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--lang=en-US",
            f"--user-data-dir={profile}", f"--window-size={PAGE_PX}", "--force-device-scale-factor=1",
            "--virtual-time-budget=1500", f"--screenshot={file}", page.as_uri(),
        )  # fmt: skip


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
