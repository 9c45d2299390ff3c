"""Turn a still portrait in the public domain into a gently moving clip: the presenter of the demo.

The portrait is NASA's official one of astronaut Eileen Collins, which ships with scikit-image. It is read from the
installed package: `skimage.data.astronaut()` gives the same picture, but wants a cache in the home directory. Nobody
moves in it; the camera does, as if it were held by hand: slow drift, breath of zoom, a touch of roll, each a sum of
sines that closes after one round, so the clip may be looped or played there and back. The same call gives the same
frames every time.

    python scripts/demo/make_presenter.py OUTPUT.mp4
"""

import argparse
import math
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import skimage
from numpy.typing import NDArray

FPS = 25
FRAME_COUNT = 150
SIZE_PX = 720

CENTRE_X_PX, CENTRE_Y_PX = 227.0, 132.0
"""What the camera looks at: between nose and chin of the 512 × 512 portrait; eyes lie at (202, 100) and (247, 103)."""
VIEW_PX = 254.0
"""Side of the square that is seen; 720 / 254 puts the eyes about 130 px apart."""

SHARPEN = 0.3
GRAIN_LEVELS = 1.6
GRAIN_SEED = 1969


def camera(frame: int) -> tuple[float, float, float, float]:
    """Return shift x, shift y (portrait pixels), zoom and roll (radians) of the hand-held camera at `frame`."""
    turn = 2 * math.pi * frame / FRAME_COUNT
    shift_x = 2.6 * math.sin(turn) + 0.8 * math.sin(2 * turn + 1.1) + 0.25 * math.sin(5 * turn + 0.4)
    shift_y = 1.7 * math.sin(turn + 2.0) + 0.6 * math.sin(3 * turn + 0.3) + 0.20 * math.sin(4 * turn + 2.2)
    zoom = 1.012 + 0.010 * math.sin(turn - 0.9) + 0.002 * math.sin(2 * turn)
    roll = math.radians(0.55) * math.sin(turn + 0.7) + math.radians(0.15) * math.sin(3 * turn)
    return shift_x, shift_y, zoom, roll


def view(frame: int) -> NDArray[np.float64]:
    """Return the 2 × 3 matrix that takes picture coordinates to portrait coordinates."""
    shift_x, shift_y, zoom, roll = camera(frame)
    scale = VIEW_PX / SIZE_PX / zoom
    along, across = scale * math.cos(roll), scale * math.sin(roll)
    half = (SIZE_PX - 1) / 2
    return np.array(
        [
            [along, -across, CENTRE_X_PX + shift_x - half * (along - across)],
            [across, along, CENTRE_Y_PX + shift_y - half * (across + along)],
        ]
    )


def read_portrait() -> NDArray[np.uint8]:
    """Return the still picture, uint8[512, 512, 3] BGR."""
    file = Path(skimage.__file__).parent / "data" / "astronaut.png"
    return np.asarray(cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR), np.uint8)


def frames() -> Iterator[NDArray[np.uint8]]:
    """Yield the clip, uint8[720, 720, 3] BGR each."""
    portrait = read_portrait().astype(np.float32)
    random = np.random.default_rng(GRAIN_SEED)
    for frame in range(FRAME_COUNT):
        picture = cv2.warpAffine(
            portrait,
            view(frame),
            (SIZE_PX, SIZE_PX),
            flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        picture += SHARPEN * (picture - cv2.GaussianBlur(picture, (0, 0), 3.0))
        grain = cv2.GaussianBlur(random.standard_normal((SIZE_PX, SIZE_PX), dtype=np.float32), (0, 0), 0.8)
        picture += (GRAIN_LEVELS / float(grain.std())) * grain[:, :, None]
        yield np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def write(path: Path) -> None:
    """Encode the clip as H.264, 4:2:0, limited range, tagged BT.709."""
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
    command += ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{SIZE_PX}x{SIZE_PX}", "-r", str(FPS), "-i", "pipe:0"]
    command += ["-vf", "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int,format=yuv420p"]
    command += ["-c:v", "libx264", "-crf", "16", "-preset", "medium", "-threads", "1"]
    command += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
    command += ["-movflags", "+faststart", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-f", "mp4", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:  # leaving the block closes the pipe and waits
        assert encoder.stdin is not None
        for picture in frames():
            encoder.stdin.write(picture.tobytes())
    if encoder.returncode:
        raise SystemExit(f"ffmpeg ended with status {encoder.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the presenter clip of the demo.")
    parser.add_argument("output", type=Path)
    write(parser.parse_args().output)


if __name__ == "__main__":
    main()
