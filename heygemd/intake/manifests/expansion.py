"""From the rows of a manifest and the files of an inbox to the rows of a batch, one for each film. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from heygemd.intake.manifests.films import Film, SoundNames, filled, film_of_output
from heygemd.intake.manifests.films import stem as stem_of_path
from heygemd.intake.manifests.formats import ManifestKind, kind_of_manifest, stem_of_manifest
from heygemd.intake.manifests.globs import Files, below, fits, natural, pattern_below
from heygemd.intake.manifests.model import Declared, Manifest, ManifestRow
from heygemd.intake.manifests.paths import is_pattern
from heygemd.intake.manifests.rows import pattern_flaw
from heygemd.intake.manifests.tree import FlawError
from heygemd.intake.manifests.values import shown
from heygemd.jobs.batch import Row, RowError, Wanted
from heygemd.jobs.job import RenderOptions

__all__ = ["ManifestKind", "expand", "fits", "kind_of_manifest", "patterns_of", "stem_of_manifest"]


@dataclass(slots=True)
class _Draft:
    """A row of the batch while it is made."""

    said: ManifestRow
    row_id: str | None
    video: str | None
    audio: str | None
    match: str | None = None
    """The file that a pattern gave, relative to the manifest."""
    error: RowError | None = None
    film: Film | None = None

    def fail(self, flaw: FlawError) -> None:
        self.error = RowError(code=flaw.code, message=flaw.message, line=self.said.line, column=self.said.column)


def patterns_of(manifest: Manifest, folder: str) -> tuple[str, ...]:
    """Return every pattern of the good rows once, relative to the inbox; `globs.fits` understands them."""
    paths = (path for row in manifest.rows if row.error is None for path in (row.video, row.audio) if path)
    return tuple(dict.fromkeys(pattern_below(folder, path) for path in paths if is_pattern(path)))


def expand(
    manifest: Manifest, *, stem: str, folder: str, files: Collection[str], options: RenderOptions, priority: int
) -> tuple[Row, ...]:
    """Return one row for each film.

    `stem`: the manifest's name without `.heygem.<suffix>`. `folder`: where it lies below the inbox. `files`: all media
    files below the inbox. `options` and `priority`: those of the folder, laid under what the manifest says. A row
    whose files are not there yet keeps the paths as they are written.
    """
    known = Files([path for path in files if path.startswith(below(folder, ""))])
    drafts: list[_Draft] = []
    for following, row in zip(reversed(range(len(manifest.rows))), manifest.rows, strict=True):
        drafts.extend(_drafts(row, folder, known, manifest.max_rows - len(drafts) - following))
    sound_names = SoundNames(draft.audio for draft in drafts if draft.audio)
    for number, draft in enumerate(drafts, 1):
        _name(draft, number, folder, stem, sound_names)
    _refuse_twins(drafts)
    if manifest.strict:
        _refuse_all(drafts)
    return tuple(_row(draft, number, options, priority) for number, draft in enumerate(drafts, 1))


def _drafts(row: ManifestRow, folder: str, known: Files, room: int) -> list[_Draft]:
    """Resolve the pattern of a row, if it has one; `room` is how many rows there may still be."""
    paths = {"video": row.video, "audio": row.audio}
    found = {role: _place(path, folder, known) for role, path in paths.items()}
    draft = _Draft(row, row.row_id, found["video"], found["audio"], error=row.error)
    open_roles = [role for role, path in paths.items() if path and found[role] is None]
    try:
        if row.error is None and open_roles:
            return _resolved(draft, open_roles, folder, known, room)
    except FlawError as flaw:
        draft.fail(flaw)
    return [draft]


def _place(path: str | None, folder: str, known: Files) -> str | None:
    """Return the path below the inbox, as the share writes it; None for a pattern that is not the name of a file."""
    if path is None:
        return None
    whole = below(folder, path)
    return known.named(whole) or (None if is_pattern(path) else whole)


def _resolved(draft: _Draft, open_roles: list[str], folder: str, known: Files, room: int) -> list[_Draft]:
    row = draft.said
    if len(open_roles) > 1:
        raise FlawError("E124", "only one of video and audio may be a pattern")
    flaw = pattern_flaw(row)
    if flaw is not None:
        raise flaw
    (role,) = open_roles
    pattern = (row.video if role == "video" else row.audio) or ""
    found = known.fitting(pattern_below(folder, pattern), role)
    if known.is_exhausted:
        raise FlawError("E125", "this manifest has too many patterns for so many files: name files, or write fewer")
    if not found:
        raise FlawError("E127", f"no {role} file fits {shown(pattern)}")
    if len(found) > room:
        message = f"{shown(pattern)} fits {len(found)} files, which makes more rows than are allowed"
        raise FlawError("E125", f"{message} (intake.max_manifest_rows)")
    drafts = []
    for path in sorted(found, key=natural):
        match = path.removeprefix(below(folder, ""))
        one = replace(draft, match=match, row_id=f"{row.row_id}/{match}" if row.row_id else None)
        setattr(one, role, path)
        drafts.append(one)
    return drafts


def _name(draft: _Draft, number: int, folder: str, stem: str, sound_names: SoundNames) -> None:
    """Give the draft its film."""
    row = draft.said
    if draft.error is not None or draft.video is None or draft.audio is None:
        return
    try:
        if row.output:
            draft.film = film_of_output(_output(draft, number), folder)
        else:
            draft.film = Film(folder=below(folder, stem), name=_plain_name(draft, sound_names))
    except FlawError as flaw:
        draft.fail(flaw)


def _output(draft: _Draft, number: int) -> str:
    output = draft.said.output or ""
    if draft.match is None:
        return output
    name = draft.match.rsplit("/", 1)[-1]
    values = {"stem": stem_of_path(name), "name": name, "id": draft.said.row_id or "", "number": str(number)}
    return filled(output, values)


def _plain_name(draft: _Draft, sound_names: SoundNames) -> str:
    row_id = draft.said.row_id
    if row_id is None:
        return sound_names.name_of(draft.video or "", draft.audio or "")
    return row_id if draft.match is None else f"{row_id}-{stem_of_path(draft.match)}"


def _refuse_twins(drafts: list[_Draft]) -> None:
    """Give E128 to every row whose id or film an earlier row has."""
    ids: dict[str, int] = {}
    films: dict[str, int] = {}
    for number, draft in enumerate(drafts, 1):
        if draft.error is not None or draft.film is None:
            continue
        first_of_id = ids.setdefault(draft.row_id, number) if draft.row_id else number
        first_of_film = films.setdefault(draft.film.key, number)
        if first_of_id != number:
            draft.fail(FlawError("E128", f"row {first_of_id} has the id {shown(draft.row_id or '')} already"))
        elif first_of_film != number:
            draft.fail(FlawError("E128", f"row {first_of_film} makes the film {shown(draft.film.name)} already"))


def _refuse_all(drafts: list[_Draft]) -> None:
    bad = [number for number, draft in enumerate(drafts, 1) if draft.error is not None]
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        for draft in drafts:
            if draft.error is None:
                draft.fail(FlawError("E129", f"the manifest is strict, and row {bad[0]}{more} cannot be used"))


def _row(draft: _Draft, number: int, options: RenderOptions, priority: int) -> Row:
    row = draft.said
    return Row(
        number=number,
        line=row.line,
        row_id=draft.row_id,
        video=_wanted(draft.video, row.video_declared),
        audio=_wanted(draft.audio, row.audio_declared),
        film_folder=draft.film.folder if draft.film else "",
        film_name=draft.film.name if draft.film else "",
        options=row.options.over(options),
        priority=priority if row.priority is None else row.priority,
        error=draft.error,
    )


def _wanted(path: str | None, declared: Declared) -> Wanted | None:
    return Wanted(path=path, size_bytes=declared.size_bytes, sha256=declared.sha256) if path else None
