"""Another program's command beside ours: words with places for file names, runs, and what they came to."""

import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.clips import facts_of
from bench.sums import Extrapolation, extrapolate, fit_line, medians, ratio
from bench.tables import NOTHING, Sheet, mb, ms, s, times
from bench.tree import run

PLACES = ("video", "audio", "out")
ORDER = PEER, COLD, WARM = "peer", "ours, cold", "ours, warm"
TAIL_LINES = 15


def fill(template: str, **files: Path) -> list[str]:
    """Split a command as a shell would and put files in its places; raises ValueError for a place that is missing."""
    missing = [name for name in PLACES if f"{{{name}}}" not in template]
    if missing:
        raise ValueError(f"the command has no {', '.join(f'{{{name}}}' for name in missing)}")
    words = shlex.split(template)
    for name, path in files.items():
        words = [word.replace(f"{{{name}}}", str(path)) for word in words]
    return words


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One film by somebody."""

    who: str
    clip: str
    wanted_frames: int
    frames: int
    """In the film that came out."""
    film_s: float
    cpu_s: float
    wall_s: float
    pss_bytes: int
    rss_bytes: int


def play(
    who: str,
    words: Sequence[str],
    out: Path,
    *,
    clip: str,
    wanted_frames: int,
    env: Mapping[str, str],
    cwd: Path | None = None,
) -> Outcome:
    """Run a command that makes `out`; exits with its last words when it fails or makes nothing."""
    out.unlink(missing_ok=True)
    log = out.with_suffix(".log")
    taken = run(words, cwd=cwd, env=env, log=log)
    if taken.exit_status or not out.is_file():
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:])
        raise SystemExit(
            f"{who} ended with {taken.exit_status} and made {'a' if out.is_file() else 'no'} film:\n{tail}"
        )
    made = facts_of(out)
    return Outcome(
        who=who, clip=clip, wanted_frames=wanted_frames, frames=made.frames, film_s=made.seconds,
        cpu_s=taken.cpu_s, wall_s=taken.wall_s, pss_bytes=taken.pss_bytes, rss_bytes=taken.rss_bytes,
    )  # fmt: skip


FIGURES = ("frames", "film_s", "cpu_s", "wall_s", "pss_bytes", "rss_bytes")


def _medians(outcomes: Sequence[Outcome]) -> dict[str, float]:
    return medians([{name: getattr(outcome, name) for name in FIGURES} for outcome in outcomes])


Foretold = Mapping[str, Mapping[str, Extrapolation]]
"""Clip → figure (`cpu_s`, `wall_s`) → what the peer would take of it; empty for a peer that made whole films."""


def foretell(outcomes: Sequence[Outcome]) -> dict[str, Extrapolation]:
    """Draw the line through short runs on one clip, of two lengths; medians where there are several of one length."""
    wanted = sorted({outcome.wanted_frames for outcome in outcomes})
    few, many = (
        _medians([outcome for outcome in outcomes if outcome.wanted_frames == frames])
        for frames in (wanted[0], wanted[-1])
    )
    return {
        name: extrapolate((round(few["frames"]), few[name]), (round(many["frames"]), many[name]))
        for name in ("cpu_s", "wall_s")
    }


def compared(outcomes: Sequence[Outcome], foretold: Foretold) -> list[dict[str, Any]]:
    """Medians by clip and length, and how many times ours the peer takes."""
    groups: defaultdict[tuple[str, int], defaultdict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        groups[outcome.clip, outcome.wanted_frames][outcome.who].append(outcome)
    rows = []
    for (clip, wanted), by_who in groups.items():
        found = {who: _medians(row) for who, row in by_who.items()}
        if clip in foretold:
            found[PEER] = {"frames": wanted, **{name: line.of(wanted) for name, line in foretold[clip].items()}}
        rows += [
            {
                "clip": clip,
                "wanted_frames": wanted,
                "who": who,
                "is_extrapolated": clip in foretold and who == PEER,
                **found[who],
                "peer_cpu_ratio": ratio(found[PEER]["cpu_s"], found[who]["cpu_s"]) if PEER in found else None,
                "peer_wall_ratio": ratio(found[PEER]["wall_s"], found[who]["wall_s"]) if PEER in found else None,
            }
            for who in ORDER
            if who in found
        ]
    return rows


def marginals(outcomes: Sequence[Outcome], foretold: Foretold) -> list[dict[str, Any]]:
    """CPU seconds of one more frame of each clip for everybody; nothing for films of one length.

    By the frames that came out: a program that leaves the end away has not worked on it.
    """
    rows = []
    for clip in dict.fromkeys(outcome.clip for outcome in outcomes):
        lines = {PEER: foretold[clip]["cpu_s"].line} if clip in foretold else {}
        for who in ORDER:
            points = [(o.frames, o.cpu_s) for o in outcomes if (o.clip, o.who) == (clip, who)]
            if len({frames for frames, _ in points}) >= 2:
                lines[who] = fit_line(points)
        rows += [
            {
                "clip": clip,
                "who": who,
                "is_extrapolated": clip in foretold and who == PEER,
                "per_frame_s": line.per_frame,
                "fixed_s": line.fixed,
                "peer_ratio": ratio(lines[PEER].per_frame, line.per_frame) if PEER in lines else None,
            }
            for who, line in lines.items()
        ]
    return rows


def sheets(result: Mapping[str, Any]) -> list[Sheet]:
    """Every table of a result, as `main` of `bench_peer.py` wrote it."""
    note = f"≈ {result['foretold']}; the peer made no whole film." if result["foretold"] else ""
    films = [
        (
            f"{row['clip']}, {row['wanted_frames']} frames", row["who"], _about(row, s(row["cpu_s"])),
            _about(row, s(row["wall_s"])), _realtime(row), mb(row.get("pss_bytes")), mb(row.get("rss_bytes")),
            NOTHING if row["is_extrapolated"] else f"{row['frames']:.0f}",
            _ratio(row, "peer_cpu_ratio"), _ratio(row, "peer_wall_ratio"),
        )
        for row in result["films"]
    ]  # fmt: skip
    frames = [
        (row["clip"], row["who"], _about(row, ms(row["per_frame_s"])), s(row["fixed_s"]), _ratio(row, "peer_ratio"))
        for row in result["marginals"]
    ]
    film_head = (
        "film",
        "by",
        "CPU s",
        "wall s",
        "real time ×",
        "PSS MB",
        "RSS MB",
        "frames",
        "peer ÷ it, CPU",
        "peer ÷ it, wall",
    )
    frame_head = ("clip", "by", "CPU ms a frame", "besides, CPU s", "peer ÷ it")
    found = [
        Sheet(title="Whole films", head=film_head, rows=films, note=note),
        Sheet(title="One more frame", head=frame_head, rows=frames, note=note),
    ]
    return [sheet for sheet in found if sheet.rows]


def _about(row: Mapping[str, Any], text: str) -> str:
    return f"≈ {text}" if row["is_extrapolated"] else text


def _realtime(row: Mapping[str, Any]) -> str:
    """Wall time as a share of what came out; nothing of a film that never did."""
    return f"{row['wall_s'] / row['film_s']:.2f}" if row.get("film_s") else NOTHING


def _ratio(row: Mapping[str, Any], name: str) -> str:
    return NOTHING if row["who"] == PEER else times(row[name])
