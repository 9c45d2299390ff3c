"""What cases of media are made of: small films and voices by ffmpeg's own generators, each made once; good partners."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.corpus.case import Answer, Case

STEM = "take"
"""Of every file of a case of media: what names do is another part of the corpus."""

Content = Callable[[], bytes]
"""What a file holds; made when the case is dropped."""

QUICK = ("-preset", "ultrafast", "-pix_fmt", "yuv420p")


@dataclass(frozen=True, slots=True)
class Kit:
    """A folder in which goods are kept, and one of secrets that no case may reach (`tests/corpus/canaries.py`)."""

    folder: Path
    secrets: Path

    def made(self, name: str, *words: str) -> Path:
        """Run `ffmpeg WORDS NAME` the first time the name is asked for."""
        path = self.folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            argv = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-bitexact", *words, str(path)]
            done = subprocess.run(argv, check=False, capture_output=True, text=True)
            if done.returncode != 0:
                path.unlink(missing_ok=True)
                raise RuntimeError(f"{name} was not made: {done.stderr.strip()[-600:]}")
        return path

    def film(self, name: str, *words: str, size: str = "64x64", rate: str = "25", seconds: float = 0.4) -> Path:
        """A moving test picture; `words` are encoder and muxer options."""
        source = f"testsrc2=s={size}:r={rate}:d={seconds}"
        return self.made(name, "-f", "lavfi", "-i", source, *(words or ("-c:v", "libx264", *QUICK)))

    def voice(self, name: str, *words: str, rate_hz: int = 16000, seconds: float = 1.0, channels: int = 1) -> Path:
        """A sweeping tone; `words` are encoder and muxer options."""
        tone = "|".join(["0.3*sin(2*PI*(200+150*t)*t)"] * channels)
        return self.made(name, "-f", "lavfi", "-i", f"aevalsrc={tone}:s={rate_hz}:d={seconds}", *words)

    def drop_face(self, folder: Path, mark: str) -> None:
        """Write a good picture; `mark` makes its bytes differ from those of others."""
        box = (8 + len(mark)).to_bytes(4, "big") + b"free" + mark.encode()
        (folder / f"{STEM}.mp4").write_bytes(self.film("face.mp4").read_bytes() + box)

    def drop_voice(self, folder: Path, mark: str) -> None:
        """Write a good sound; `mark` makes its bytes differ from those of others."""
        text = mark.encode() + b"\0" * (2 - len(mark) % 2)
        chunk = b"mark" + len(text).to_bytes(4, "little") + text
        sound = self.voice("voice.wav").read_bytes() + chunk
        (folder / f"{STEM}.wav").write_bytes(sound[:4] + (len(sound) - 8).to_bytes(4, "little") + sound[8:])

    def picture(
        self, name: str, story: str, answer: Answer, suffix: str, content: Content, *, group: str, is_slow: bool = False
    ) -> Case:
        """A case of a strange picture and a good sound."""

        def drop(folder: Path) -> None:
            (folder / f"{STEM}.{suffix}").write_bytes(content())
            self.drop_voice(folder, name)

        return Case(name=name, group=group, story=story, drop=drop, answer=answer, is_slow=is_slow)

    def sound(
        self, name: str, story: str, answer: Answer, suffix: str, content: Content, *, group: str, is_slow: bool = False
    ) -> Case:
        """A case of a strange sound and a good picture."""

        def drop(folder: Path) -> None:
            (folder / f"{STEM}.{suffix}").write_bytes(content())
            self.drop_face(folder, name)

        return Case(name=name, group=group, story=story, drop=drop, answer=answer, is_slow=is_slow)
