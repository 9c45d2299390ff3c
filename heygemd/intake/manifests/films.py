"""What the film of a row is called, and in which folder of the outbox it lies. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from heygemd.intake import names
from heygemd.intake.manifests.globs import folded
from heygemd.intake.manifests.paths import check_path
from heygemd.intake.manifests.tree import FlawError
from heygemd.intake.manifests.values import nearest, shown

FILM_SUFFIX = ".mp4"
PLACEHOLDERS = ("stem", "name", "id", "number")
_FILE_SUFFIX = re.compile(r"[^.].*(?P<suffix>\.[A-Za-z0-9]{1,5})", re.DOTALL)
_BRACES = re.compile(r"\{([^{}]*)\}|[{}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """Where a film goes, relative to the outbox."""

    folder: str
    name: str
    """Without suffix."""

    @property
    def key(self) -> str:
        """What two films have in common that people would take for one."""
        return folded(f"{self.folder}/{self.name}")


def film_of_output(output: str, folder: str, at: int | None = None) -> Film:
    """Return the film that `output` asks for, below `folder`; raises FlawError E124 or E126."""
    check_path(output, "output", at)
    parts, _, name = output.rpartition("/")
    match = _FILE_SUFFIX.fullmatch(name)
    if match and match["suffix"].lower() != FILM_SUFFIX:
        raise FlawError("E124", f"output {shown(output)} ends in {FILM_SUFFIX}, or has no suffix", at)
    stem = name[: -len(FILM_SUFFIX)] if match else name
    if not stem.replace(".", "").strip():
        raise FlawError("E126", f"output {shown(output)}: nothing but blanks and dots is left as a name", at)
    return Film(folder="/".join(part for part in (folder, parts) if part), name=stem)


def check_placeholders(output: str, at: int | None = None) -> None:
    """Raise FlawError E124 when a row with a pattern has braces that mean nothing."""
    for match in _BRACES.finditer(output):
        word = match[1]
        if word not in PLACEHOLDERS:
            known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            hint = nearest(word, PLACEHOLDERS) if word else ""
            raise FlawError("E124", f"output has {shown(match[0])}, but knows only {known}{hint}", at)


def filled(output: str, values: Mapping[str, str]) -> str:
    """Put the values in place of the placeholders that `check_placeholders` allowed; a value is never read again."""
    return _BRACES.sub(lambda match: values[match[1]], output)


def stem(path: str) -> str:
    """Return the name of a file without folders and suffix."""
    return names.stem_of(path.rsplit("/", 1)[-1])


class SoundNames:
    """Names films after their sounds; a sound that several rows use is told apart by its picture."""

    def __init__(self, sounds: Iterable[str]) -> None:
        self._uses = Counter(folded(stem(sound)) for sound in sounds)

    def name_of(self, video: str, audio: str) -> str:
        """Return `<stem of the audio>`, or `<stem of the audio>-<stem of the video>`."""
        name = stem(audio)
        return f"{name}-{stem(video)}" if self._uses[folded(name)] > 1 else name
