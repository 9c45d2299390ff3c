"""How every model of the catalogue stands: shipped, verified, there but unknown, cut, wrong, or absent."""

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from heygemd import catalogue
from heygemd.errors import SetupError
from heygemd.jobs.job import EngineName
from heygemd.modelform import Form, form_of
from heygemd.modellist import PACKAGE, Model, listed_sha256s, models

PART_SUFFIX = ".part"
"""Of a download that is not finished."""


class State(StrEnum):
    """How a model stands."""

    SHIPPED = "shipped"
    """It lies in the package, with the bytes that the catalogue lists."""
    VERIFIED = "verified"
    """It lies in the models directory, with bytes that the catalogue lists."""
    UNLISTED = "unlisted"
    """It lies there, and looks whole; nobody has listed these bytes. They are used all the same."""
    CUT = "cut"
    """Its end is missing."""
    WRONG = "wrong"
    """It is not what its name says: other bytes than the listed ones, or no model at all."""
    UNREADABLE = "unreadable"
    """It cannot be read by this user."""
    ABSENT = "absent"


BAD = frozenset({State.CUT, State.WRONG, State.UNREADABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One model, as it was found."""

    model: Model
    path: Path
    state: State
    size_bytes: int | None = None
    sha256: str | None = None
    detail: str = ""
    """What is wrong, or worth knowing; English."""
    source_sha256: str | None = None
    """What a converted file says it was made from."""
    part_bytes: int = 0
    """Of a download that is not finished."""

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        facts = {name: value for name, value in asdict(self).items() if name not in ("model", "path", "state")}
        listed = self.model.model_dump(exclude={"sha256", "size_bytes"})
        own = {"listed_sha256": self.model.sha256, "listed_bytes": self.model.size_bytes}
        return {**listed, **own, "path": str(self.path), "state": self.state.value, **facts}


def look(models_dir: Path, wanted: Iterable[Model] | None = None) -> list[Standing]:
    """Hash what is there of the wanted models, by default of all; raises SetupError E407 when the folder is shut."""
    try:
        os.scandir(models_dir).close()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SetupError("E407", f"{models_dir} cannot be read by this user: {error.strerror}") from error
    return [standing_of(model, models_dir) for model in (models() if wanted is None else wanted)]


def standing_of(model: Model, models_dir: Path) -> Standing:
    """Tell how one model stands; reads its file whole."""
    path = PACKAGE / model.file if model.shipped else models_dir / model.file
    part_bytes = 0 if model.shipped else _size_of(path.with_name(path.name + PART_SUFFIX))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        state, detail = (State.WRONG, "it ships with heygemd and is missing") if model.shipped else (State.ABSENT, "")
        return Standing(model=model, path=path, state=state, detail=detail, part_bytes=part_bytes)
    except OSError as error:
        return Standing(model=model, path=path, state=State.UNREADABLE, detail=error.strerror or str(error))
    try:
        seen = os.fstat(fd)
        if not stat.S_ISREG(seen.st_mode):
            return Standing(model=model, path=path, state=State.WRONG, detail="it is no regular file")
        with os.fdopen(os.dup(fd), "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            form = form_of(file)
    except OSError as error:
        return Standing(model=model, path=path, state=State.UNREADABLE, detail=error.strerror or str(error))
    finally:
        os.close(fd)
    state, detail = _judge(model, seen.st_size, sha256, form)
    return Standing(
        model=model,
        path=path,
        state=state,
        size_bytes=seen.st_size,
        sha256=sha256,
        detail=detail,
        source_sha256=form.source_sha256,
        part_bytes=part_bytes,
    )


def _judge(model: Model, size_bytes: int, sha256: str, form: Form) -> tuple[State, str]:
    if model.shipped:
        is_right = sha256 == model.sha256
        return (State.SHIPPED, "") if is_right else (State.WRONG, "other bytes than those that ship")
    if sha256 in {model.sha256, *listed_sha256s()}:
        return State.VERIFIED, "" if sha256 == model.sha256 else "listed under another name"
    fault = catalogue.fault_in(model, size_bytes, sha256, form)
    if fault is not None:
        return (State.CUT if fault.is_cut else State.WRONG), fault.reason
    return State.UNLISTED, _origin(form)


def _origin(form: Form) -> str:
    if form.source_sha256 is None:
        return ""
    source = next((model.name for model in models() if model.sha256 == form.source_sha256), None)
    return f"says it was made from {source or form.source_sha256[:12] + '…'}"


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoChoice:
    """What a job with `engine = "auto"` gets today."""

    engine: EngineName
    model: Model | None
    """The weights, where the engine needs some."""


def auto_choice(models_dir: Path) -> AutoChoice:
    """Say what `auto` takes, and with which weights."""
    choice = catalogue.choose_engine(EngineName.AUTO, models_dir)
    name = choice.weights.name if choice.weights else None
    model = next((model for model in models() if model.file == name), None)
    return AutoChoice(engine=choice.name, model=model)
