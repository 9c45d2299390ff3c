"""Files that no case may reach, and a port that nothing may call; both tell when somebody did.

A file tells by its access time: the kernel sets it at the first reading after a change, where the mount allows that
(`is_telling`).
"""

import os
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

LONG_AGO_S = 1_000_000_000
PORT_NAME = "port"


@dataclass(slots=True)
class Canaries:
    """A folder with a film, a piece of one, a sound, a picture and a text; and a port on this machine."""

    folder: Path
    is_telling: bool = False
    _listener: socket.socket = field(default_factory=socket.socket)

    @classmethod
    def make(cls, folder: Path) -> "Canaries":
        """Write the files and open the port."""
        folder.mkdir(parents=True, exist_ok=True)
        picture = ["-f", "lavfi", "-i", "color=red:s=64x64:r=25:d=1"]
        sound = ["-f", "lavfi", "-i", "sine=frequency=999:duration=1"]
        for name, words in (
            ("secret.ts", [*picture, "-c:v", "mpeg2video"]),
            ("secret.mp4", [*picture, "-c:v", "mpeg4"]),
            ("secret.wav", sound),
            ("secret.png", [*picture, "-frames:v", "1"]),
        ):
            argv = ["ffmpeg", "-v", "error", "-nostdin", "-y", *words, str(folder / name)]
            subprocess.run(argv, check=True)
        (folder / "secret.txt").write_text("root:x:0:0\n" * 400)
        secrets = cls(folder)
        secrets._listener.bind(("127.0.0.1", 0))
        secrets._listener.listen(64)
        secrets._listener.setblocking(False)
        (folder / PORT_NAME).write_text(str(secrets._listener.getsockname()[1]))
        secrets._try()
        secrets.hide()
        return secrets

    def hide(self) -> None:
        """Forget what was read so far."""
        for path in self._files():
            os.utime(path, (LONG_AGO_S, time.time()))

    def revealed(self) -> list[str]:
        """Names of the files that were read since, and `port` for a call."""
        found = [path.name for path in self._files() if path.stat().st_atime > LONG_AGO_S]
        try:
            while True:
                self._listener.accept()[0].close()
                found.append(PORT_NAME)
        except BlockingIOError:
            return found

    def close(self) -> None:
        """Close the port."""
        self._listener.close()

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.name.startswith("secret."))

    def _try(self) -> None:
        self.hide()
        (self.folder / "secret.txt").read_bytes()
        self.is_telling = self.revealed() == ["secret.txt"]


def port_of(folder: Path) -> int:
    """The port that was opened for the secrets of this folder; 9 (discard) where there are none."""
    try:
        return int((folder / PORT_NAME).read_text())
    except FileNotFoundError:
        return 9
