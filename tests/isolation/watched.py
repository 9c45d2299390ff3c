"""Strangers' files through a real inbox whose daemon, with all that it starts, is watched by strace.

`python -m tests.isolation.watched [--batch 40] [GROUP …]` takes every case of the corpus, or of these groups. It prints
a line a batch, and every breach; and ends with status 1 when there is one.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from itertools import chain
from pathlib import Path

from tests.corpus.canaries import Canaries
from tests.corpus.case import Case, disagreement
from tests.corpus.inbox import Inbox
from tests.corpus.kit import Kit
from tests.corpus.specials import make_secrets
from tests.isolation.law import TRAP, Breach, Realm, breaches, decoders, inputs
from tests.isolation.trace import TraceError, read_trace

PROGRAM = Path(__file__).with_name("traced_daemon.py")
PLANTED = (
    *("torch.py", "numpy.py", "cv2.py", "json.py", "signal.py", "multiprocessing.py", "structlog.py"),
    *("libavformat.so.59", "libavutil.so.57", "libavcodec.so.59", "libc.so.6", "libm.so.6", "libcap-ng.so.0"),
)
"""Names of modules and libraries that every process of the daemon looks for somewhere."""
OTHERS = ("specials", "folders", "names", "manifests")
"""Modules of the corpus, beside those of media."""
BATCH = 40
CASE_LIMIT_S = 5.0
"""Most that a case may add to a batch: strace slows all that opens files."""
START_LIMIT_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was seen of one daemon."""

    breaches: tuple[Breach, ...]
    calls: int
    decoders: int
    inputs: int
    disagreements: tuple[str, ...]
    """Cases that did not end as they should, and troubles of the daemon: for whoever wants to know, no breach."""
    revealed: tuple[str, ...]
    """Secrets that somebody read, by another witness than strace."""


def corpus(kit: Kit) -> list[Case]:
    """Every case of the corpus that is for an inbox."""
    media = sorted(file.stem for file in (Path(__file__).parents[1] / "corpus").glob("media_*.py"))
    found: list[Case] = []
    for name in (*media, *OTHERS):
        module = import_module(f"tests.corpus.{name}")
        if hasattr(module, "cases"):
            found += module.cases(*([kit] if signature(module.cases).parameters else []))
    return found


def watch(folder: Path, cases: Sequence[Case], canaries: Canaries) -> Watched:
    """Let a daemon take the cases, and judge whatever any process of it asked of the kernel."""
    inbox = Inbox(folder, program=PROGRAM)
    inbox.prepare()
    trap = folder / TRAP
    trap.mkdir()
    for name in PLANTED:
        (trap / name).write_text("raise SystemExit('somebody imported a stranger')\n")
    secrets = make_secrets(inbox.root)
    inbox.drop(cases)
    canaries.hide()
    inbox.run(cases, limit_s=START_LIMIT_S + CASE_LIMIT_S * len(cases))
    calls = read_trace(folder / "trace")
    realm = Realm(
        root=inbox.root,
        state=folder / "state",
        also=(folder / "heygemd.toml",),
        never=(trap, secrets, canaries.folder),
    )
    wrong = (f"{case.name}: {said}" for case in cases if (said := disagreement(case, inbox.seen[case.name])))
    return Watched(
        breaches=tuple(breaches(calls, realm)),
        calls=len(calls),
        decoders=len(decoders(calls)),
        inputs=len(inputs(calls, realm)),
        disagreements=(*inbox.troubles, *wrong),
        revealed=tuple(canaries.revealed()) if canaries.is_telling else (),
    )


def _batches(cases: Sequence[Case], size: int) -> Iterator[Sequence[Case]]:
    return (cases[at : at + size] for at in range(0, len(cases), size))


def _last_words(folder: Path) -> str:
    """Of the daemon, which may not have come to life at all."""
    log = folder / "daemon.log"
    return repr(log.read_text(errors="backslashreplace")[-500:]) if log.exists() else "nothing"


def watch_all(groups: Iterable[str], size: int) -> int:
    """Watch every case of the corpus in batches; returns the number of breaches, and of batches without a trace."""
    count = 0
    with tempfile.TemporaryDirectory(prefix="watched-") as name:
        canaries = Canaries.make(Path(name) / "canaries")
        kit = Kit(Path(name) / "kit", canaries.folder)
        wanted = [case for case in corpus(kit) if not groups or case.group in groups]
        for number, cases in enumerate(_batches(wanted, size)):
            began_s, folder = time.monotonic(), Path(name) / f"batch-{number}"
            try:
                seen = watch(folder, cases, canaries)
            except TraceError as error:
                count += 1
                sys.stdout.write(f"{number * size + len(cases)} of {len(wanted)} cases: NOT WATCHED: {error}\n")
                sys.stdout.write(f"  {cases[0].name} … {cases[-1].name}; the daemon said {_last_words(folder)}\n")
                continue
            found = [*dict.fromkeys(seen.breaches)]
            count += len(found) + len(seen.revealed)
            sys.stdout.write(
                f"{number * size + len(cases)} of {len(wanted)} cases: {seen.calls} calls, {seen.decoders} decoders, "
                f"{seen.inputs} inputs, {len(found)} breaches, {len(seen.disagreements)} unexpected, "
                f"{time.monotonic() - began_s:.0f} s\n"
            )
            for line in chain(map(str, found), map("read: {}".format, seen.revealed), seen.disagreements):
                sys.stdout.write(f"  {line[:300]}\n")
            sys.stdout.flush()
            shutil.rmtree(folder)
        canaries.close()
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Watch a daemon take every case of the corpus.")
    parser.add_argument("groups", nargs="*", metavar="GROUP")
    parser.add_argument("--batch", type=int, default=BATCH)
    chosen = parser.parse_args()
    sys.exit(bool(watch_all(chosen.groups, chosen.batch)))
