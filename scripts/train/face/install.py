"""Put weights that are good enough into the package, and their size and sha256 into its catalogue.

    python -m scripts.train.face.install FILE...

A file replaces the shipped one of the same name; entries of the catalogue are changed, never added.
"""

import argparse
import hashlib
import re
from pathlib import Path

from heygemd.modellist import CATALOGUE_FILE, PACKAGE
from heygemd.render.faces.networks import WEIGHTS_DIR


def listed(catalogue: str, name: str, content: bytes) -> str:
    """Return the catalogue's text with the size and hash of the shipped file `name` replaced."""
    inside = (WEIGHTS_DIR / name).relative_to(PACKAGE).as_posix()
    entry = re.compile(rf'file = "{re.escape(inside)}"\nsize_bytes = \d+\nsha256 = "[0-9a-f]+"')
    digest = hashlib.sha256(content).hexdigest()
    changed, count = entry.subn(f'file = "{inside}"\nsize_bytes = {len(content)}\nsha256 = "{digest}"', catalogue)
    if count != 1:
        raise SystemExit(f"{CATALOGUE_FILE} has {count} entries with the file {inside}")
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    arguments = parser.parse_args()
    for file in arguments.files:
        content = file.read_bytes()
        CATALOGUE_FILE.write_text(listed(CATALOGUE_FILE.read_text(), file.name, content))
        (WEIGHTS_DIR / file.name).write_bytes(content)
        # safetensors writes files that only their owner may read.
        (WEIGHTS_DIR / file.name).chmod(0o644)
        print(f"installed {file.name}, {len(content)} bytes")


if __name__ == "__main__":
    main()
