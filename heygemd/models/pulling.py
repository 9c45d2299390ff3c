"""Fetches a model of the catalogue into the models directory: whole, checked, and only then under its name."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from heygemd.catalogue import MOST_WEIGHTS_BYTES
from heygemd.download.addresses import shown
from heygemd.download.transfer import Manner, Transfer, Wanted
from heygemd.errors import ResourceError, SetupError
from heygemd.modelform import form_of
from heygemd.modellist import Model
from heygemd.models.landing import Landing, disk_troubles, landing, made
from heygemd.models.shelf import PART_SUFFIX, State, standing_of

log = structlog.get_logger(__name__)

SPARE_BYTES = 256 << 20
"""What must stay free on the disk of the models."""
BOOKMARK_SUFFIX = ".part.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """A model that lies in its place."""

    model: Model
    path: Path
    size_bytes: int
    sha256: str
    state: State
    """`verified`, or `unlisted` where the catalogue knows no sha256 to compare with."""
    was_there: bool = False
    """It lay there before; nothing was fetched."""
    requests: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """How to fetch; clock and rest are passed in for tests."""

    models_dir: Path
    replace: bool = False
    """Also what lies there unlisted gives way."""
    heard: Callable[[int, int | None], None] = lambda done, total: None
    manner: Manner = field(default_factory=Manner)
    clock: Callable[[], float] = time.monotonic
    rest: Callable[[float], None] = time.sleep
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free

    def fetch(self, model: Model, url: str | None = None) -> Pulled:
        """Bring one model; raises SetupError E402 (no address), E407, E408 or E409, ResourceError E202.

        After E408 what came so far stays, and the same call goes on with it.
        """
        address = url or model.url
        if address is None:
            raise SetupError("E402", f"no address of {model.name} is known: {model.source} Give one with --url.")
        with disk_troubles(self.models_dir):
            folder = made(self.models_dir)
            target = folder / model.file
            with landing(target.with_name(target.name + PART_SUFFIX)) as place:
                if found := self._already_there(model):
                    if os.fstat(place.fd).st_size == 0:
                        place.discard()
                    return found
                return self._bring(model, address, place, target)

    def _already_there(self, model: Model) -> Pulled | None:
        standing = standing_of(model, self.models_dir)
        is_good = standing.state is State.VERIFIED or (standing.state is State.UNLISTED and not self.replace)
        if not is_good or standing.size_bytes is None or standing.sha256 is None:
            return None
        return Pulled(
            model=model,
            path=standing.path,
            size_bytes=standing.size_bytes,
            sha256=standing.sha256,
            state=standing.state,
            was_there=True,
        )

    def _bring(self, model: Model, address: str, place: Landing, target: Path) -> Pulled:
        bookmark_file = target.with_name(target.name + BOOKMARK_SUFFIX)
        wanted = Wanted(url=address, most_bytes=MOST_WEIGHTS_BYTES, size_bytes=model.size_bytes, sha256=model.sha256)
        transfer = Transfer(
            wanted, place.fd, bookmark_file, manner=self.manner, clock=self.clock, rest=self.rest,
            heard=self._watched(target.parent),
        )  # fmt: skip
        sha256 = self._checked(model, transfer, place, bookmark_file)
        size_bytes = transfer.done_bytes
        place.name_it(target)
        bookmark_file.unlink(missing_ok=True)
        is_listed = model.sha256 is not None
        log.info(
            "models.pulled",
            model=model.name, path=str(target), url=shown(address), size_bytes=size_bytes, sha256=sha256,
            is_listed=is_listed, requests=transfer.tried,
        )  # fmt: skip
        return Pulled(
            model=model,
            path=target,
            size_bytes=size_bytes,
            sha256=sha256,
            state=State.VERIFIED if is_listed else State.UNLISTED,
            requests=transfer.tried,
        )

    def _checked(self, model: Model, transfer: Transfer, place: Landing, bookmark_file: Path) -> str:
        """Fetch until the content is right; what was put together from two requests gets a second chance, whole."""
        try:
            sha256 = transfer.fetch()
            if model.sha256 not in (None, sha256) and transfer.was_resumed:
                transfer.begin_anew()
                sha256 = transfer.fetch()
            self._refuse_wrong(model, transfer, sha256)
        except BaseException:
            if os.fstat(place.fd).st_size == 0:
                place.discard()
                bookmark_file.unlink(missing_ok=True)
            raise
        return sha256

    def _refuse_wrong(self, model: Model, transfer: Transfer, sha256: str) -> None:
        address = shown(transfer.wanted.url)
        if model.sha256 not in (None, sha256):
            transfer.begin_anew()
            raise SetupError(
                "E409", f"{address} is not {model.name}: its sha256 is {sha256}, the listed one {model.sha256}"
            )
        with os.fdopen(os.dup(transfer.fd), "rb") as file:
            form = form_of(file)
        if form.flaw:
            transfer.begin_anew()
            raise SetupError("E409", f"{address} is no model: {form.flaw}")

    def _watched(self, folder: Path) -> Callable[[int, int | None], None]:
        """Look at the free space once the size is known, then only pass on."""
        is_checked = False

        def hear(done_bytes: int, total_bytes: int | None) -> None:
            nonlocal is_checked
            if not is_checked and total_bytes is not None:
                is_checked = True
                needed, free = total_bytes - done_bytes, self.free_bytes(folder)
                if needed + SPARE_BYTES > free:
                    raise ResourceError(
                        "E202", f"{folder} has {free >> 20} MiB free; {needed + SPARE_BYTES >> 20} MiB are needed"
                    )
            self.heard(done_bytes, total_bytes)

        return hear
