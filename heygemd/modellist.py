"""What `catalog.toml` says of every model: those that ship, and those that users may bring. Opens no model.

Read by the control plane and by the workers alike: both check what they find against it.
"""

import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from heygemd.limits import DetectorName

PACKAGE = Path(__file__).parent
CATALOGUE_FILE = PACKAGE / "catalog.toml"

PLAIN_FAN_FROM = (1, 5)
"""Version of face-alignment from which on FAN is plain weights, and no TorchScript archive."""

Engine = Literal["wav2lip", "faces", "speech"]
CommercialUse = Literal["yes", "no", "unconfirmed"]


def _safe_address(url: str) -> str:
    if urlsplit(url).scheme != "https":
        raise ValueError("an address of the catalogue begins with https://")
    return url


def _path_inside(file: str) -> str:
    path = PurePosixPath(file)
    if path.is_absolute() or str(path) != file or not {".", ".."}.isdisjoint(path.parts):
        raise ValueError("a plain relative path is needed")
    return file


class Model(BaseModel):
    """One entry of the catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    engine: Engine
    """The part of heygemd that uses it."""
    file: Annotated[str, Field(min_length=1), AfterValidator(_path_inside)]
    """File name in the models directory; for a shipped model its path inside the package."""
    licence: Annotated[str, Field(min_length=1)]
    commercial_use: CommercialUse
    source: Annotated[str, Field(min_length=1)]
    """One sentence or two: where it comes from."""
    size_bytes: Annotated[int, Field(gt=0)] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    vram_mib: Annotated[int, Field(ge=0)] | None = None
    """Graphics memory of a worker that has it loaded; 0: it runs on the CPU. The file says how this is estimated."""
    url: Annotated[str, AfterValidator(_safe_address)] | None = None
    """Where the file itself can be had without a login or a question."""
    converts_to: str | None = None
    """Name of the entry that is its stripped form."""
    shipped: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.shipped:
            if self.size_bytes is None or self.sha256 is None or self.url is not None:
                raise ValueError(f"{self.name} ships: it has a size and a sha256, and no address")
        elif len(PurePosixPath(self.file).parts) != 1:
            raise ValueError(f"{self.name}: the file lies in the models directory itself")
        return self


class _Catalogue(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: list[Model]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = {entry.name for entry in self.model}
        if len(names) != len(self.model) or len({entry.file for entry in self.model}) != len(self.model):
            raise ValueError("every model has a name and a file of its own")
        if unknown := {entry.converts_to for entry in self.model if entry.converts_to} - names:
            raise ValueError(f"converts_to names no entry: {', '.join(sorted(unknown))}")
        return self


def read_catalogue(file: Path) -> tuple[Model, ...]:
    """Read a catalogue; raises ValueError when a key is unknown, missing or wrong."""
    return tuple(_Catalogue.model_validate(tomllib.loads(file.read_text(encoding="utf-8"))).model)


@cache
def models() -> tuple[Model, ...]:
    """Every entry, in order of preference."""
    return read_catalogue(CATALOGUE_FILE)


def models_of(engine: Engine) -> tuple[Model, ...]:
    """Entries for this engine that do not ship, in order of preference."""
    return tuple(model for model in models() if model.engine == engine and not model.shipped)


def tracker_models(detector: DetectorName) -> tuple[Model, ...]:
    """Entries that the installed face-alignment needs: of a detector, and of FAN, which finds the points."""
    names = {"s3fd": ("s3fd",), "blazeface": ("blazeface", "blazeface-anchors")}[detector]
    major, minor = (int(part) for part in metadata.version("face-alignment").split(".")[:2])
    fan = "fan4" if (major, minor) >= PLAIN_FAN_FROM else "fan4-torchscript"
    return tuple(model for model in models() if model.name in (*names, fan))


def model_named(name: str) -> Model | None:
    """Return the entry with this name, or with this file name; None when there is none."""
    return next((model for model in models() if name in (model.name, model.file)), None)


@cache
def listed_sha256s() -> frozenset[str]:
    """Every sha256 that the catalogue knows."""
    return frozenset(model.sha256 for model in models() if model.sha256)
