"""Job folders of an inbox: `anything.job/`, or a folder with an `error.json` of ours that a person has put back.

One picture and one sound make one job, claimed by one rename of the folder. One of the one and several of the other
make a batch. Several of both are left in place: which belongs to which is for a manifest to say.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from heygemd.errors import InputError
from heygemd.intake import names
from heygemd.intake.folderconfig import FolderConfig, FolderConfigs, read_job_options
from heygemd.intake.loose import strictest
from heygemd.intake.names import Kind
from heygemd.intake.offer import Offer
from heygemd.intake.pairing import Group, Why, why_of
from heygemd.intake.scan import Scan
from heygemd.intake.smallfile import read_small
from heygemd.intake.submission import Member, Role, Submission
from heygemd.intake.watch import Watch
from heygemd.jobs.batch import Batch, BatchKind, Row, Wanted
from heygemd.jobs.ids import id8_of, is_job_id, new_job_id
from heygemd.jobs.job import RenderOptions
from heygemd.jobs.roots import Root
from heygemd.naming import NAME_MAX_BYTES, job_folder

SUFFIX = ".job"
TICKET_NAME = "error.json"
OPTIONS_NAME = "job.toml"
MAX_TICKET_BYTES = 4 << 20
MAX_OPTIONS_BYTES = 64 << 10


@dataclass(slots=True)
class Folders:
    """What one look at the job folders came to."""

    offers: list[Offer] = field(default_factory=list)
    batches: list[tuple[Batch, str]] = field(default_factory=list)
    """Ready to be accepted, with the place of the folder."""
    groups: list[Group] = field(default_factory=list)
    """Folders that wait."""
    is_settling: bool = False
    """Some need only time: all their members are complete, but another one could still come."""


@dataclass(frozen=True, slots=True)
class _Ticket:
    """What `error.json` says about the job that failed; a stranger may have written it."""

    job_id: str
    name: str | None


class JobFolders:
    """The job folders of one inbox that are not claimed yet."""

    def __init__(self, root: Root, watch: Watch, configs: FolderConfigs, wall: Callable[[], datetime]) -> None:
        self._root, self._watch, self._configs, self._wall = root, watch, configs, wall
        self._since_s: dict[str, tuple[frozenset[str], float]] = {}

    @staticmethod
    def tops(seen: Scan) -> frozenset[str]:
        """Return the job folders that lie in no other one. A folder with a manifest is none: its rows say all."""
        with_manifest = {folder for folder, _ in seen.manifests}
        candidates = {
            folder
            for folder in seen.folders
            if folder and (_has_suffix(folder) or folder in seen.tickets) and folder not in with_manifest
        }
        return frozenset(folder for folder in candidates if not _lies_in_another(folder, candidates))

    def look(self, seen: Scan, tops: frozenset[str], now_s: float) -> Folders:
        """Judge every job folder."""
        found = Folders()
        members: dict[str, list[str]] = {top: [] for top in tops}
        for folder, name in self._watch.files:
            if folder in members and names.kind_of(name) is not None:
                members[folder].append(name)
        self._since_s = {top: since for top, since in self._since_s.items() if top in tops}
        for top, inside in members.items():
            self._judge(found, seen, top, sorted(inside), now_s)
        return found

    def _judge(self, found: Folders, seen: Scan, top: str, inside: list[str], now_s: float) -> None:
        pictures = [name for name in inside if names.kind_of(name) is not Kind.AUDIO]
        sounds = [name for name in inside if names.kind_of(name) is Kind.AUDIO]
        known = self._since_s.get(top)
        if known is None or known[0] != frozenset(inside):
            known = self._since_s[top] = (frozenset(inside), now_s)
        if len(pictures) > 1 and len(sounds) > 1:
            found.groups.append(_group(top, inside, Why.AMBIGUOUS))
        elif not self._is_whole(top, inside, now_s - known[1]):
            why = why_of(self._watch.files[top, name].hindrance for name in inside)
            found.groups.append(_group(top, inside, why))
            found.is_settling |= bool(inside) and self._are_settled(top, inside)
        elif not pictures or not sounds:
            timeout_s = self._configs.rules(top).orphan_timeout_s
            if inside and now_s - known[1] >= timeout_s:
                missing = "sound" if pictures else "picture"
                found.offers.append(self._offer(seen, top, inside, ("E102", f"no {missing} has come into the folder")))
            else:
                found.groups.append(_group(top, inside, Why.JOB_FOLDER))
        elif len(pictures) == len(sounds) == 1:
            found.offers.append(self._offer(seen, top, [*pictures, *sounds], None))
        elif self._choices(seen, top)[3] is not None:
            found.offers.append(self._offer(seen, top, inside, None))
        else:
            found.batches.append((self._batch(seen, top, pictures, sounds), top))

    def _is_whole(self, top: str, inside: list[str], unchanged_s: float) -> bool:
        """A folder does not say how many members it will have: it must have had the same ones for a while."""
        rule = self._configs.rules(top).rule
        return unchanged_s >= rule.settle_unsure_s and self._are_settled(top, inside)

    def _are_settled(self, top: str, inside: list[str]) -> bool:
        return all(self._watch.files[top, name].is_settled for name in inside)

    def _offer(self, seen: Scan, top: str, inside: list[str], error: tuple[str, str] | None) -> Offer:
        parent, _, name = top.rpartition("/")
        ticket = self._ticket(top) if top in seen.tickets else None
        options, priority, keep_days, complaint = self._choices(seen, top)
        roles: dict[Role, Member] = {}
        for member in inside:
            role = Role.AUDIO if names.kind_of(member) is Kind.AUDIO else Role.VIDEO
            evidence = self._watch.files[top, member].evidence
            roles.setdefault(role, Member(role=role, folder=top, name=member, evidence=evidence))
        members = tuple(roles[role] for role in (Role.VIDEO, Role.AUDIO) if role in roles)
        film_name = ticket.name if ticket and ticket.name else _film_name(name)
        submission = Submission(
            members=members,
            film_folder=parent,
            film_name=film_name,
            options=options,
            priority=priority,
            lane=self._configs.rules(top).lane,
            keep_days=keep_days,
            whole=top,
            retry_of=ticket.job_id if ticket else None,
            error=error or complaint,
        )
        places = [member.place for member in members]
        since_s = max(self._watch.files[place].first_s for place in places)
        return Offer(submission=submission, rule=strictest(self._watch, places), since_s=since_s)

    def _batch(self, seen: Scan, top: str, pictures: list[str], sounds: list[str]) -> Batch:
        parent, _, name = top.rpartition("/")
        now = self._wall()
        batch_id = new_job_id(now)
        film_folder = "/".join(filter(None, (parent, _film_name(name))))
        options, priority, _, _ = self._choices(seen, top)
        pairs = [(picture, sound) for picture in pictures for sound in sounds]
        varying = [names.stem_of(sound if len(pictures) == 1 else picture) for picture, sound in pairs]
        rows = tuple(
            Row(
                number=number,
                video=Wanted(path=picture),
                audio=Wanted(path=sound),
                film_folder=film_folder,
                film_name=stem if varying.count(stem) == 1 else (sound if len(pictures) == 1 else picture),
                options=options,
                priority=priority,
            )
            for number, ((picture, sound), stem) in enumerate(zip(pairs, varying, strict=True), start=1)
        )
        return Batch(
            id=batch_id,
            root=self._root.uuid,
            kind=BatchKind.FOLDER,
            name=_film_name(name),
            folder=parent,
            claim_dir=self._root.processing / job_folder(_film_name(name), id8_of(batch_id)),
            accepted_at=now,
            rows=rows,
        )

    def _choices(self, seen: Scan, top: str) -> tuple[RenderOptions, int, int | None, tuple[str, str] | None]:
        """Return options, priority and keeping time from `job.toml` over those of the folder, or why that is wrong."""
        rules = self._configs.rules(top)
        plain = (rules.options, rules.priority, rules.keep_days)
        if (top, OPTIONS_NAME) not in seen.extras:
            return *plain, None
        try:
            data = read_small(self._root.inbox / top / OPTIONS_NAME, MAX_OPTIONS_BYTES)
            chosen: FolderConfig = read_job_options(data)
        except InputError as error:
            return *plain, (error.code, f"{OPTIONS_NAME}: {error.message}")
        except (ValueError, OSError) as error:
            return *plain, ("E124", f"{OPTIONS_NAME}: {error}")
        return (
            chosen.options.over(rules.options),
            rules.priority if chosen.priority is None else chosen.priority,
            rules.keep_days if chosen.keep_days is None else chosen.keep_days,
            None,
        )

    def _ticket(self, top: str) -> _Ticket | None:
        """Read which job failed; None for anything that is no report of ours."""
        try:
            told = json.loads(read_small(self._root.inbox / top / TICKET_NAME, MAX_TICKET_BYTES))
        except (ValueError, OSError, RecursionError):
            return None
        if not isinstance(told, dict) or "heygemd_report" not in told:
            return None
        job_id, name = told.get("job"), told.get("name")
        if not isinstance(job_id, str) or not is_job_id(job_id):
            return None
        return _Ticket(job_id, name if isinstance(name, str) and _is_usable(name) else None)


def _is_usable(name: str) -> bool:
    """Tell whether a name that a stranger wrote can be that of a film."""
    if names.is_refused(name) or "/" in name or name in (".", ".."):
        return False
    return 0 < len(name.encode("utf-8", "replace")) <= NAME_MAX_BYTES and not names.is_blank(name + ".mp4")


def _has_suffix(folder: str) -> bool:
    name = folder.rpartition("/")[2]
    return name.casefold().endswith(SUFFIX) and bool(_film_name(name).strip(" ."))


def _film_name(name: str) -> str:
    return name[: -len(SUFFIX)] if name.casefold().endswith(SUFFIX) else name


def _lies_in_another(folder: str, tops: set[str]) -> bool:
    while folder := folder.rpartition("/")[0]:
        if folder in tops:
            return True
    return False


def _group(top: str, inside: list[str], why: Why) -> Group:
    parent, _, name = top.rpartition("/")
    return Group(folder=parent, key=f"/folder/{name}", names=(f"{name}/", *inside), why=why)
