"""The `.heygemd.toml` files of one inbox: which of them is in force where, and what is wrong with the others.

A file that cannot be used leaves its last good version in force. The state is that of one process: after a restart,
a folder whose file is wrong has the settings of the folder above until it is mended.
"""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from heygemd.errors import ADVICE, InputError
from heygemd.intake.manifests.foldertoml import (
    CONFIG_NAME,
    MAX_CONFIG_BYTES,
    FolderConfig,
    read_config,
    read_job_options,
)
from heygemd.intake.manifests.globs import below
from heygemd.intake.settle import SettleRule, Writer
from heygemd.intake.writers import OPEN_FLAGS, find_writer
from heygemd.jobs.job import Lane, RenderOptions

__all__ = [
    "ConfigProblem",
    "FolderConfig",
    "FolderConfigs",
    "FolderDefaults",
    "FolderRules",
    "read_config",
    "read_job_options",
]

log = structlog.get_logger(__name__)

PROBLEM_NAME = "CONFIG-ERROR.txt"
_NOT_OURS = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO})
_OWN_WORDS = {
    "E120": "文件无法按文本读取，或过大。",
    "E121": "文件不是有效的 TOML。",
    "E125": "文件嵌套过深。",
}
"""Where the advice of the code speaks of manifests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderDefaults:
    """What holds where no folder says anything: the daemon's settings."""

    options: RenderOptions
    rule: SettleRule
    orphan_timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderRules:
    """What holds in one folder."""

    options: RenderOptions
    priority: int
    rule: SettleRule
    orphan_timeout_s: float
    lane: Lane | None
    """Of the nearest folder that has a `concurrency`."""
    keep_days: int | None
    """None: as the settings say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigProblem:
    """A configuration that cannot be used."""

    folder: str
    code: str
    message: str

    @property
    def text(self) -> str:
        """What stands in `CONFIG-ERROR.txt`."""
        advice = ADVICE[self.code]
        title_zh = _OWN_WORDS.get(self.code, advice.title_zh)
        return "\r\n".join((
            f"heygemd cannot use {CONFIG_NAME} in this folder; what held before stays in force.",
            f"{self.message} ({self.code})",
            "",
            f"heygemd 无法使用本文件夹的 {CONFIG_NAME}，之前有效的设置继续生效。",
            f"{title_zh}({self.code}，位置和细节见上一行英文）",
            "",
            f"What to do: correct {CONFIG_NAME} and save it; this file then goes away by itself.",
            f"处理方法：更正并保存 {CONFIG_NAME}，本文件随后会自动消失。",
            "",
        ))  # fmt: skip


_Face = tuple[int, int, int, int]


@dataclass(slots=True)
class _Known:
    face: _Face
    good: FolderConfig | None
    problem: ConfigProblem | None


class FolderConfigs:
    """Remembers the configurations of one inbox from look to look."""

    def __init__(self, defaults: FolderDefaults) -> None:
        self._defaults = defaults
        self._known: dict[str, _Known] = {}
        self._rules: dict[str, FolderRules] = {}

    @property
    def problems(self) -> dict[str, str]:
        """Folder → text for the `CONFIG-ERROR.txt` that belongs there now; the caller writes and removes it."""
        return {folder: known.problem.text for folder, known in self._known.items() if known.problem is not None}

    def note(self, inbox: Path, configs: Mapping[str, os.stat_result]) -> tuple[ConfigProblem, ...]:
        """Take in what one look found: folder → status of its `.heygemd.toml`, links included.

        Reads only what changed. Returns the problems that are new or different. Never raises: a file that cannot be
        read now, because somebody writes it or the share fails, is left for the next look.
        """
        for folder in self._known.keys() - configs.keys():
            self._forget(folder)
        found = (self._renew(inbox, folder, _face(status)) for folder, status in configs.items())
        return tuple(problem for problem in found if problem is not None)

    def rules(self, folder: str) -> FolderRules:
        """Return what holds in a folder: its own words, then those of the folders above, then the defaults."""
        rules = self._rules.get(folder)
        if rules is None:
            rules = self._rules[folder] = self._laid_over(folder)
        return rules

    def _forget(self, folder: str) -> None:
        del self._known[folder]
        self._rules.clear()
        log.info("intake.config_removed", folder=folder)

    def _renew(self, inbox: Path, folder: str, face: _Face) -> ConfigProblem | None:
        """Read the file again if it changed; returns the problem if there is a new one."""
        before = self._known.get(folder)
        if before is not None and before.face == face:
            return None
        try:
            data = _content(inbox / below(folder, CONFIG_NAME), face)
            if data is None:
                return None  # still written, or changed since the look: the next one will tell
            known = _Known(face, read_config(data), None)
        except InputError as error:
            good = before.good if before is not None else None
            known = _Known(face, good, ConfigProblem(folder=folder, code=error.code, message=error.message))
        self._known[folder] = known
        self._rules.clear()
        if known.problem is None:
            log.info("intake.config_read", folder=folder)
        is_old = before is not None and before.problem == known.problem
        return None if is_old else known.problem

    def _laid_over(self, folder: str) -> FolderRules:
        config, lane = FolderConfig(), None
        for place in _from_top(folder):
            known = self._known.get(place)
            if known is None or known.good is None:
                continue
            config = known.good.over(config)
            if known.good.concurrency is not None:
                lane = Lane(folder=place, most=known.good.concurrency)
        return FolderRules(
            options=config.options.over(self._defaults.options),
            priority=config.priority or 0,
            rule=_rule(config, self._defaults.rule),
            orphan_timeout_s=config.orphan_timeout_s or self._defaults.orphan_timeout_s,
            lane=lane,
            keep_days=config.keep_days,
        )


def _rule(config: FolderConfig, rule: SettleRule) -> SettleRule:
    if config.settle_s is not None:
        rule = replace(rule, settle_s=config.settle_s)
    if config.settle_unsure_s is not None:
        rule = replace(rule, settle_unsure_s=config.settle_unsure_s)
    if config.require_commit is not None:
        rule = replace(rule, require_commit=config.require_commit)
    return rule


def _from_top(folder: str) -> Iterator[str]:
    """Yield ``, `a`, `a/b` for `a/b`."""
    yield ""
    at = folder.find("/")
    while at >= 0:
        yield folder[:at]
        at = folder.find("/", at + 1)
    if folder:
        yield folder


def _face(status: os.stat_result) -> _Face:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _content(path: Path, face: _Face) -> bytes | None:
    """Return what a regular file holds that nobody writes; None when it is not the one that was looked at any more.

    Raises InputError E120 when it must not or may not be read.
    """
    try:
        if find_writer(path, is_local=True) is Writer.BUSY:
            return None
        number = os.open(path, OPEN_FLAGS)
    except OSError as error:
        if error.errno in _NOT_OURS:
            raise InputError("E120", f"{CONFIG_NAME} cannot be opened: {_reason(error)}") from error
        return None
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise InputError("E120", f"{CONFIG_NAME} is no regular file")
        try:
            data = file.read(MAX_CONFIG_BYTES + 1)
        except OSError:
            return None
        return data if _face(os.fstat(number)) == face else None


def _reason(error: OSError) -> str:
    return "it is a link" if error.errno == errno.ELOOP else os.strerror(error.errno or 0).lower()
