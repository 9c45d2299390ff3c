"""Everything that strangers may drop, and what becomes of it: runs the whole corpus and writes its table.

    python scripts/corpus.py [--table FILE] [--cases FILE] [--only WORD …] [--no-inbox] [--no-measures] [--keep FOLDER]

Media go twice: through a real inbox, and one by one in a process of their own whose time and memory are measured.
Names, special files, folders and manifests go through inboxes of their own; weights through the converter. Exits 1
when anything is not as it should be.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.corpus import checkpoints, folders, manifests, media, names, specials
from tests.corpus.canaries import Canaries
from tests.corpus.case import MAX_RSS_BYTES, MAX_WALL_S, Case, Ending, Seen, disagreement
from tests.corpus.conversions import convert_all
from tests.corpus.inbox import Inbox, through_inbox
from tests.corpus.kit import Kit
from tests.corpus.measured import run_alone
from tests.corpus.strangers import StrangersInbox

AT_ONCE = 60
"""Cases in one inbox: the status names at most fifty waiting files, and what goes wrong stays in its part."""
LIMIT_S = 1800.0
STRANGERS = {"names": names, "special files": specials, "folders": folders, "manifests": manifests}
LATE_NOTICE_S = 3600.0
MIB = 1 << 20
HEAD = """# The corpus of odd and hostile files

Written by `make corpus`. Each case is dropped into a real inbox; each pair of media, and each file of weights, is also
taken by itself, with its time and the memory that all of its processes held together (limits: {limits}). Where a case
goes through an inbox only, the memory is that of the whole daemon with all its children. A good file that is refused
counts as a failure, like a bad one that gets through.

"""
GROUPS = "| group | cases | as expected | not | longest, s | most memory, MiB |\n|---|---|---|---|---|---|\n"
CASES = "| case | what it is | right | as expected | s | MiB |\n|---|---|---|---|---|---|\n"


@dataclass
class Survey:
    """What was found so far."""

    cases: list[Case] = field(default_factory=list)
    inbox: dict[str, Seen] = field(default_factory=dict)
    alone: dict[str, Seen] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    daemons: dict[str, int] = field(default_factory=dict)
    """Group → most memory of a daemon that took cases of it, in bytes."""

    def wrong(self) -> dict[str, str]:
        """Cases that did not end as they should."""
        found = {}
        for case in self.cases:
            told = [disagreement(case, seen[case.name]) for seen in (self.inbox, self.alone) if case.name in seen]
            if any(told):
                found[case.name] = " / ".join(filter(None, told))
        return found

    def visit_inbox(self, inbox: Inbox, cases: Sequence[Case]) -> None:
        """Note what an inbox showed."""
        self.inbox |= inbox.seen
        for group in {case.group for case in cases}:
            self.daemons[group] = max(inbox.most_bytes, self.daemons.get(group, 0))
        self.troubles += inbox.judge() if isinstance(inbox, StrangersInbox) else inbox.troubles
        for case in cases:
            if told := disagreement(case, inbox.seen[case.name]):
                print(f"  {case.name}: {told}", flush=True)


def main() -> int:
    args = read_arguments()
    began_s, survey = time.monotonic(), Survey()
    with tempfile.TemporaryDirectory(prefix="corpus-") as scratch:
        folder = Path(args.keep or scratch).absolute()
        canaries = Canaries.make(folder / "secrets")
        if not canaries.is_telling:
            print("this file system keeps no access times: calls are seen, readings of secrets are not")
        kit = Kit(folder / "goods", canaries.folder)
        chosen = [case for case in media.cases(kit) if is_chosen(case, args.only)]
        survey.cases += chosen
        if not args.no_inbox:
            drop_media(survey, chosen, folder, canaries)
            drop_others(survey, folder, args.only)
        if not args.no_measures:
            measure(survey, chosen, folder / "alone", canaries)
            convert(survey, folder / "weights", args.only)
        canaries.close()
    if args.table:
        Path(args.table).write_text(table(survey, time.monotonic() - began_s), encoding="utf-8")
    if args.cases:
        Path(args.cases).write_text(long_table(survey), encoding="utf-8")
    print(summary(survey, time.monotonic() - began_s))
    for trouble in survey.troubles:
        print(f"trouble: {trouble}")
    for name, told in survey.wrong().items():
        print(f"wrong: {name}: {told}")
    return 1 if survey.troubles or survey.wrong() else 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", help="Where the table of groups goes, as Markdown.")
    parser.add_argument("--cases", help="Where a table of every case goes.")
    parser.add_argument("--only", nargs="*", default=[], help="Cases whose name or group contains one of the words.")
    parser.add_argument("--no-inbox", action="store_true")
    parser.add_argument("--no-measures", action="store_true")
    parser.add_argument("--keep", help="Work in this folder and leave it.")
    return parser.parse_args()


def is_chosen(case: Case, words: Sequence[str]) -> bool:
    """Tell whether a case is asked for."""
    return not words or any(word in case.name or word in case.group for word in words)


def drop_media(survey: Survey, cases: Sequence[Case], folder: Path, canaries: Canaries) -> None:
    """Drop the media into inboxes, some at a time."""
    for number, begin in enumerate(range(0, len(cases), AT_ONCE)):
        part = cases[begin : begin + AT_ONCE]
        print(f"inbox {number}: {len(part)} cases", flush=True)
        place = folder / f"inbox{number}"
        inbox = through_inbox(place, part, limit_s=LIMIT_S, meanwhile=canaries.hide, is_weighed=True)
        survey.visit_inbox(inbox, part)
        survey.troubles += [f"inbox {number} reached {name}" for name in canaries.revealed()]
        shutil.rmtree(inbox.folder, ignore_errors=True)


def drop_others(survey: Survey, folder: Path, words: Sequence[str]) -> None:
    """Drop what is not about media."""
    for group, module in STRANGERS.items():
        cases = [case for case in module.cases() if is_chosen(case, words)]
        if not cases:
            continue
        print(f"inbox of {group}: {len(cases)} cases", flush=True)
        notice_s = LATE_NOTICE_S if group == "manifests" else 0.5
        inbox = StrangersInbox(folder / group.replace(" ", "-"), notice_s=notice_s, is_weighed=True)
        inbox.prepare()
        inbox.drop(cases)
        inbox.run(cases, limit_s=LIMIT_S)
        survey.cases += cases
        survey.visit_inbox(inbox, cases)


def measure(survey: Survey, cases: Sequence[Case], folder: Path, canaries: Canaries) -> None:
    """Make each by itself."""
    for case in cases:
        seen = run_alone(case, folder / case.name)
        shutil.rmtree(folder / case.name, ignore_errors=True)
        survey.alone[case.name] = seen
        told = disagreement(case, seen) or ""
        print(
            f"{case.name:32} {seen.ending:7} {seen.wall_s or 0:6.1f} s {(seen.rss_bytes or 0) // MIB:5} MiB {told}",
            flush=True,
        )
    survey.troubles += [f"reached {name}" for name in canaries.revealed()]


def convert(survey: Survey, folder: Path, words: Sequence[str]) -> None:
    """Read weights from strangers, each in a process of its own."""
    cases = [case for case in checkpoints.cases() if is_chosen(case, words)]
    print(f"weights: {len(cases)} cases", flush=True)
    survey.cases += cases
    survey.alone |= convert_all(folder, cases)


def summary(survey: Survey, wall_s: float) -> str:
    """Say in one line how it went."""
    alone = survey.alone.values()
    longest = max((seen.wall_s or 0 for seen in alone), default=0)
    largest = max((seen.rss_bytes or 0 for seen in alone), default=0) // MIB
    costs = f"longest {longest:.1f} s, most memory {largest} MiB; " if alone else ""
    return (
        f"{len(survey.cases)} cases, {len(survey.inbox)} through an inbox, {len(survey.alone)} by themselves; "
        f"{len(survey.cases) - len(survey.wrong())} as expected, {len(survey.wrong())} not; "
        f"{costs}{len(survey.troubles)} troubles; {wall_s:.0f} s"
    )


def table(survey: Survey, wall_s: float) -> str:
    """Write a line for each group, and name what is not as it should be."""
    limits = f"{MAX_WALL_S:.0f} s, {MAX_RSS_BYTES // MIB} MiB"
    wrong, rows = survey.wrong(), [HEAD.format(limits=limits), GROUPS]
    rows += [group_row(survey, name, wrong) for name in dict.fromkeys(case.group for case in survey.cases)]
    rows += ["\n", summary(survey, wall_s), "\n"]
    told = [*survey.troubles, *(f"{name}: {text}" for name, text in wrong.items())]
    rows += ["\n## Not as it should be\n\n", *(f"* {plain(line)}\n" for line in told)] if told else []
    return "".join(rows)


def group_row(survey: Survey, group: str, wrong: Mapping[str, str]) -> str:
    """Write the line of one group."""
    members = [case for case in survey.cases if case.group == group]
    alone = [survey.alone[case.name] for case in members if case.name in survey.alone]
    bad = sum(case.name in wrong for case in members)
    longest = f"{max(seen.wall_s or 0 for seen in alone):.1f}" if alone else "–"
    most_bytes = max((seen.rss_bytes or 0 for seen in alone), default=survey.daemons.get(group, 0))
    return f"| {group} | {len(members)} | {len(members) - bad} | {bad} | {longest} | {most_bytes // MIB} |\n"


def long_table(survey: Survey) -> str:
    """Write a line for each case."""
    wrong, rows = survey.wrong(), []
    for group in dict.fromkeys(case.group for case in survey.cases):
        members = [case for case in survey.cases if case.group == group]
        rows += [f"\n## {group.capitalize()}\n\n", CASES]
        rows += [row(case, survey.alone.get(case.name), wrong.get(case.name)) for case in members]
    return "".join(rows).lstrip("\n")


def row(case: Case, alone: Seen | None, wrong: str | None) -> str:
    """Write the line of one case."""
    right = f"{case.answer.ending} {' '.join(sorted(case.answer.codes))}".strip()
    if case.answer.may_render:
        right = f"{Ending.RENDER} or {right}"
    cost = ("", "") if alone is None else (f"{alone.wall_s or 0:.1f}", str((alone.rss_bytes or 0) // MIB))
    cells = (f"`{case.name}`", plain(case.story), right, plain(wrong) if wrong else "yes", *cost)
    return f"| {' | '.join(cells)} |\n"


def plain(text: str) -> str:
    """Text that neither ends a cell nor is read as a tag."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return shown.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.exit(main())
