"""One line that says how the daemon stands: systemd's `STATUS=`, and the top of what people are shown. Pure."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta, tzinfo

from heygemd.naming import printable
from heygemd.vitals import Vitals

MOST_CHARS = 200
_NAME_CHARS, _PATH_CHARS, _REASON_CHARS = 24, 48, 80
_MOST_NAMED = 3
_SOON = timedelta(hours=20)
_DOES = {"analyse": "analysing", "finish": "joining", "publish": "handing over"}


def summary_line(vitals: Vitals, zone: tzinfo | None = None) -> str:
    """Return at most 200 printable characters, worst news first; times are those of `zone`, or of this machine."""
    return _short("; ".join((*_bad_news(vitals), *_work(vitals, zone))), MOST_CHARS)


def _bad_news(vitals: Vitals) -> Iterator[str]:
    if vitals.paused:
        yield f"paused: {_short(vitals.paused, _REASON_CHARS)}"
    yield from (f"{_short(device.label, _NAME_CHARS)} lost" for device in vitals.devices if device.is_lost)
    for state in ("offline", "paused"):
        roots = [root for root in vitals.roots if root.state == state]
        if roots:
            others = f" and {len(roots) - 1} more" if roots[1:] else ""
            reason = f": {_short(roots[0].reason, _REASON_CHARS)}" if roots[0].reason else ""
            yield f"root {_short(roots[0].path, _PATH_CHARS)}{others} {state}{reason}"
    if vitals.reload_error:
        yield f"config refused: {_short(vitals.reload_error, _REASON_CHARS)}"


def _work(vitals: Vitals, zone: tzinfo | None) -> Iterator[str]:
    counts, stuck = vitals.counts, sum(root.needs_you for root in vitals.roots)
    parts = [_films(vitals)] if vitals.jobs else ["nothing runs"] if counts.queued else ["idle"]
    if counts.queued:
        parts.append(f"{counts.queued} queued{_until(vitals, zone)}")
    parts += [f"{stuck} need{'s' if stuck == 1 else ''} you"] if stuck else []
    yield ", ".join(parts)
    if vitals.needs_restart:
        yield f"restart needed for {_short(', '.join(vitals.needs_restart), _PATH_CHARS)}"
    if vitals.jobs:
        yield from _cards(vitals)
    else:
        done = counts.ended.get("done", 0)
        yield f"{done} film{'' if done == 1 else 's'} done since start"


def _films(vitals: Vitals) -> str:
    jobs = vitals.jobs
    told = []
    for job in jobs[:_MOST_NAMED]:
        does = f" {_DOES[job.stage]}" if job.stage in _DOES else ""
        share = f" {min(100 * job.frames_done // job.frames_total, 100)} %" if job.frames_total > 0 else ""
        told.append(_short(job.name, _NAME_CHARS) + does + share)
    told += ["…"] if jobs[_MOST_NAMED:] else []
    return f"rendering {len(jobs)} film{'' if len(jobs) == 1 else 's'} ({', '.join(told)})"


def _until(vitals: Vitals, zone: tzinfo | None) -> str:
    if vitals.queue_ends_at is None:
        return ""
    end = vitals.queue_ends_at.astimezone(zone)
    is_soon = vitals.queue_ends_at - vitals.written_at < _SOON
    return f" until {end:%H:%M}" if is_soon else f" until {end:%Y-%m-%d %H:%M}"


def _cards(vitals: Vitals) -> Iterator[str]:
    """Tell what is held of each kind of card, by anybody; of the CPU when there are no cards."""
    there = [device for device in vitals.devices if not device.is_lost]
    shown = [device for device in there if device.label != "cpu"] or there
    for name, count in Counter(device.name for device in shown).items():
        total = sum(device.total_bytes for device in shown if device.name == name)
        free = sum(device.free_bytes for device in shown if device.name == name)
        several = f"{count} × " if count > 1 else ""
        yield f"{several}{_short(name, _NAME_CHARS)} {_gib(total - free)} of {_gib(total)} GiB"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.0f}"


def _short(text: str, most_chars: int) -> str:
    line = printable(text)
    return line if len(line) <= most_chars else line[: most_chars - 1] + "…"
