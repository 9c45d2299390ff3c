"""The configuration as it holds: every setting with its value and where that comes from, and whether it can work.

`check` raises what the daemon's start would raise; it looks at folders, but makes and changes nothing.
"""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from heygemd.errors import SetupError
from heygemd.intake.filesystems import is_local
from heygemd.intake.roots import refuse_nested
from heygemd.jobs.roots import Root
from heygemd.settings import Settings, load

PREFIX = "HEYGEMD_"
DEFAULT, FILE = "default", "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """One setting as it holds."""

    name: str
    """`render.crf`."""
    value: Any
    """Plain JSON."""
    source: str
    """`default`, `file`, or the name of the variable."""
    is_overridden: bool
    """The file says something else, and the variable holds."""
    default: Any
    description: str


@dataclass(frozen=True, slots=True)
class Mind:
    """Something that will surprise somebody."""

    english: str
    chinese: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check has found; a wrong configuration is raised instead."""

    file: Path | None
    settings: tuple[Effective, ...]
    warnings: tuple[Mind, ...]
    """What does not keep the daemon from starting, but will surprise somebody."""

    @property
    def variables(self) -> tuple[Effective, ...]:
        """Settings that a variable decides."""
        return tuple(one for one in self.settings if one.source not in (DEFAULT, FILE))


def check(file: Path | None, roots: Mapping[Path, Root | None]) -> Checked:
    """Say whether a daemon could start; raises SetupError E401 as its start does.

    `roots`: what was found at the configured paths; None where there is no root now.
    """
    settings = load(file)
    if not settings.roots:
        raise SetupError("E401", "no root is configured: give --root DIR, or roots = [...] in the configuration")
    refuse_nested([root for root in roots.values() if root is not None])
    state_dir = settings.state_dir
    for root in (root for root in roots.values() if root is not None):
        if state_dir is not None and state_dir.is_relative_to(root.path):
            raise SetupError("E401", f"the state directory {state_dir} must not lie inside the root {root.path}")
    if state_dir is not None and state_dir.is_dir() and not is_local(state_dir):
        raise SetupError("E401", f"the state directory {state_dir} must lie on a local disk, not on a network mount")
    if state_dir is None and "STATE_DIRECTORY" not in os.environ:
        for path, found in roots.items():  # such a daemon cannot wait for a root that is not mounted
            if found is None:
                hint = f"heygemd init-root {path}" if path.is_dir() else "mount it, or create it with heygemd init-root"
                raise SetupError("E401", f"{path} is no heygemd root (it has no .heygemd/root.json): {hint}")
    return Checked(
        file=file,
        settings=effective(settings, file),
        warnings=(*_about_roots(roots), *_about_folders(settings)),
    )


def effective(settings: Settings, file: Path | None) -> tuple[Effective, ...]:
    """Return every setting in the order of the file, with its value and where that comes from."""
    written = _written(file)
    plain = json.loads(settings.model_dump_json())
    found = []
    for name, field in _fields(Settings):
        variable, by_variable = _variable_of(name)
        is_written, in_file = _at(written, name)
        source = variable if variable is not None else FILE if is_written else DEFAULT
        value = _at(plain, name)[1]
        found.append(
            Effective(
                name=name,
                value=value,
                source=source,
                is_overridden=variable is not None and is_written and in_file != value and by_variable,
                default=_plain_default(field),
                description=field.description or "",
            )
        )
    return tuple(found)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the whole tree, for editors that check TOML (Taplo, VS Code)."""
    told = Settings.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "heygemd.toml"} | {
        key: value for key, value in told.items() if key != "title"
    }


def _fields(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _fields(inner, f"{above}{name}.")
        else:
            yield above + name, field


def _plain_default(field: Any) -> Any:  # noqa: ANN401  # of pydantic
    default = field.get_default(call_default_factory=True)
    return str(default) if isinstance(default, Path) else list(default) if isinstance(default, tuple) else default


def _variable_of(name: str) -> tuple[str | None, bool]:
    """Return the variable that decides a setting, and whether it is its own: one may also give a whole table."""
    table, _, leaf = name.rpartition(".")
    wanted = f"{PREFIX}{table}__{leaf}" if table else f"{PREFIX}{leaf}"
    for variable in os.environ:
        if variable.upper() == wanted.upper():
            return variable, True
    for variable, text in os.environ.items() if table else ():
        if variable.upper() == f"{PREFIX}{table}".upper():
            with suppress(ValueError):
                if leaf in json.loads(text):
                    return variable, True
    return None, False


def _written(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    with file.open("rb") as handle:
        return tomllib.load(handle)


def _at(tree: Mapping[str, Any], name: str) -> tuple[bool, Any]:
    """Return whether a nested mapping has something at `a.b`, and what."""
    value: Any = tree
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False, None
        value = value[part]
    return True, value


def _about_roots(roots: Mapping[Path, Root | None]) -> Iterator[Mind]:
    for path, found in roots.items():
        if found is not None:
            continue
        if path.is_dir():
            yield Mind(
                f"{path} is no root now: mount the share, or make it one with heygemd init-root {path}",
                f"{path} 当前不是根目录：请挂载共享，或运行 heygemd init-root {path}",
            )
        else:
            yield Mind(
                f"{path} does not exist: mount the share, or make it with heygemd init-root {path}",
                f"{path} 不存在：请挂载共享，或运行 heygemd init-root {path}",
            )


def _about_folders(settings: Settings) -> Iterator[Mind]:
    for name in ("state_dir", "models_dir"):
        folder: Path | None = getattr(settings, name)
        if folder is not None and not folder.is_absolute() and folder != Settings.model_fields[name].default:
            yield Mind(
                f"{name} = {folder} is relative: it depends on the directory in which the daemon is started",
                f"{name} = {folder} 是相对路径，取决于守护进程的启动目录",
            )
        if folder is not None and folder.exists() and not folder.is_dir():
            yield Mind(f"{name} = {folder} is not a folder", f"{name} = {folder} 不是文件夹")
    for name in ("log_file", "metrics_file"):
        file: Path | None = getattr(settings, name)
        if file is not None and not file.parent.is_dir():
            yield Mind(f"{name} = {file}: its folder does not exist", f"{name} = {file}：所在文件夹不存在")
