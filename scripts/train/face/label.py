"""Step 1 and 4: what MediaPipe's FaceMesh sees in pictures. Runs in the labeller's environment (make_labeller.sh).

    python -m scripts.train.face.label stills FACES_MIT PHOTOS... --out FOLDER
    python -m scripts.train.face.label drawn FOLDER
    python -m scripts.train.face.label mesh FOLDER
    python -m scripts.train.face.label clips CLIP... --out FOLDER [--frames 60]

`stills` cuts every face to 256 x 256, labels it with 478 points and leaves out what must not be learned: faces that
the labeller and the corner points of the set disagree about, repeats, and the edges of captions. It writes

    pictures.npy   uint8[n, 256, 256, 3], BGR
    labels.npz     points float32[n, 478, 3] (pixels; z in the same scale), names str[n]

`drawn` reads the pictures that draw_mouths.py made (drawn.npy) and writes what the labeller sees in them:

    read.npy       float32[m, 478, 3], NaN where it sees no face

`mesh` writes the triangles of the labeller's own mesh:

    triangles.npy  int16[852, 3]

`clips` labels the first frames of films, by which the nets are judged and never trained, into FOLDER/<name>.npz:

    points         float32[n, 478, 3], NaN where it sees no face
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SIDE_PX = 256
PHOTO_PX = 512
"""A photograph is labelled at this length of its longer side, to find the face in it."""
PHOTO_MARGIN = 1.9
"""Side of a cut-out in lengths of the face."""

DRAWN_ON = ("landmarks_segmentation", "DALLE3", "bring_to_life")
"""Figures whose pictures carry drawings or come from elsewhere."""
FIVE_POINTS = ((33, 133), (263, 362), (1,), (61,), (291,))
"""Eyes, tip of the nose and corners of the mouth, as the set's own detector gives them: mesh indexes."""
MOST_DISAGREEMENT = (0.10, 0.22)
"""Mean and largest distance of the five points, in faces; beyond it one of the two is wrong."""
FOREHEAD, CHIN = 10, 152

DARK, BRIGHT, BAR_SHARE = 16, 238, 0.55
"""A row in which so many pixels are darker or brighter than these is the edge of a caption or a frame."""
LEAST_LEFT_PX = 60

THUMBNAIL_PX = 20
REPEAT_LIKENESS = 0.948
"""Correlation of aligned thumbnails above which two pictures show one picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One picture of a set."""

    path: Path
    name: str
    corners: np.ndarray | None
    """float64[5, 2] of the set's own detector, or None for a photograph that has not been cut yet."""


class Labeller:
    """FaceMesh on single pictures, or tracking through the frames of a film."""

    def __init__(self, least_belief: float, *, tracking: bool = False) -> None:
        import mediapipe  # noqa: PLC0415  # the rest of this module works without it

        self._mesh = mediapipe.solutions.face_mesh.FaceMesh(
            static_image_mode=not tracking,
            max_num_faces=1,
            refine_landmarks=True,
            min_detection_confidence=least_belief,
        )

    def forget(self) -> None:
        """End a film."""
        self._mesh.reset()

    def __call__(self, picture: np.ndarray) -> np.ndarray | None:
        """Label uint8[h, w, 3] BGR: float32[478, 3] in pixels, or None."""
        height, width = picture.shape[:2]
        found = self._mesh.process(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)).multi_face_landmarks
        if not found:
            return None
        points = [(point.x * width, point.y * height, point.z * width) for point in found[0].landmark]
        return np.array(points, np.float32)


def sources(faces: Path | None, photos: list[Path]) -> Iterator[Source]:
    """List the pictures of the crops' folder (with meta.json) and of folders of photographs."""
    if faces is not None:
        for entry in json.loads((faces / "meta.json").read_text()):
            if not any(word in entry["src"] for word in DRAWN_ON):
                corners = np.array(entry["pts5"])
                yield Source(path=faces / entry["file"], name=f"{faces.name}/{entry['file']}", corners=corners)
    for folder in photos:
        for path in sorted(folder.glob("*.jpg")):
            yield Source(path=path, name=f"{folder.name}/{path.name}", corners=None)


def cut_photo(photo: np.ndarray, labeller: Labeller) -> np.ndarray | None:
    """Cut the face out of a photograph: uint8[256, 256, 3], or None where there is none."""
    scale = PHOTO_PX / max(photo.shape[:2])
    points = labeller(cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    if points is None:
        return None
    low, high = points[:, :2].min(axis=0) / scale, points[:, :2].max(axis=0) / scale
    centre, side = (low + high) / 2, float((high - low).max()) * PHOTO_MARGIN
    zoom = SIDE_PX / side
    if zoom < 1:
        photo = cv2.GaussianBlur(photo, (0, 0), 0.45 / zoom)
    to_cut = np.array([[zoom, 0, SIDE_PX / 2 - centre[0] * zoom], [0, zoom, SIDE_PX / 2 - centre[1] * zoom]])
    return cv2.warpAffine(photo, to_cut, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def agrees(points: np.ndarray, corners: np.ndarray) -> bool:
    """Tell whether the labeller means the face that the set's own detector means."""
    own = np.array([points[list(indexes), :2].mean(axis=0) for indexes in FIVE_POINTS])
    face = max(float(np.linalg.norm(points[FOREHEAD, :2] - points[CHIN, :2])) * 0.6, 1.0)
    distance = np.linalg.norm(own - corners, axis=1) / face
    return bool(distance.mean() <= MOST_DISAGREEMENT[0] and distance.max() <= MOST_DISAGREEMENT[1])


def without_bars(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Replace caption bars and frames at the edges by the nearest row or column; never into the face."""
    height, width = picture.shape[:2]
    extreme = (picture.max(axis=2) < DARK) | (picture.min(axis=2) > BRIGHT)
    low = np.maximum(np.floor(points[:, :2].min(axis=0)).astype(int) - 2, 0)
    high = np.ceil(points[:, :2].max(axis=0)).astype(int) + 3
    rows = extreme[:, low[0] : high[0]].mean(axis=1)
    columns = extreme[low[1] : high[1]].mean(axis=0)
    top, left = _bar(rows[: low[1]]), _bar(columns[: low[0]])
    bottom = height - _bar(rows[: max(high[1], 0) : -1] if high[1] < height else rows[:0])
    right = width - _bar(columns[: max(high[0], 0) : -1] if high[0] < width else columns[:0])
    if bottom - top <= LEAST_LEFT_PX or right - left <= LEAST_LEFT_PX:
        return picture
    inside = picture[top:bottom, left:right]
    return cv2.copyMakeBorder(inside, top, height - bottom, left, width - right, cv2.BORDER_REPLICATE)


def _bar(shares: np.ndarray) -> int:
    """Count the rows up to the innermost one that is mostly black or white."""
    bars = np.flatnonzero(shares > BAR_SHARE)
    return int(bars[-1]) + 1 if len(bars) else 0


def thumbnail(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Shrink the face itself to normalised grey float32[400]: equal pictures correlate, cut as they may be."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    zoom = THUMBNAIL_PX / float((high - low).max())
    shift = THUMBNAIL_PX / 2 - (low + high) / 2 * zoom
    to_thumbnail = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    small = cv2.warpAffine(cv2.GaussianBlur(picture, (0, 0), 3), to_thumbnail, (THUMBNAIL_PX, THUMBNAIL_PX))
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32).ravel()
    return (grey - grey.mean()) / max(float(grey.std()), 1.0)


def is_repeat(candidate: np.ndarray, known: list[np.ndarray]) -> bool:
    """Tell whether a thumbnail is one of the known ones."""
    return bool(known) and float((np.array(known) @ candidate).max()) / len(candidate) > REPEAT_LIKENESS


def label_stills(faces: Path | None, photos: list[Path], out: Path) -> None:
    labeller = Labeller(least_belief=0.4)
    kept: list[tuple[np.ndarray, np.ndarray, str]] = []
    thumbnails: list[np.ndarray] = []
    counts: Counter[str] = Counter()
    for source in sources(faces, photos):
        picture = cv2.imread(str(source.path))
        if source.corners is None:
            picture = cut_photo(picture, labeller)
        points = None if picture is None else labeller(picture)
        if picture is None or points is None:
            counts["no face"] += 1
            continue
        if source.corners is not None:
            if not agrees(points, source.corners):
                counts["disagreement"] += 1
                continue
            picture = without_bars(picture, points)
        small = thumbnail(picture, points)
        if source.corners is not None and is_repeat(small, thumbnails):
            counts["repeat"] += 1
            continue
        thumbnails.append(small)
        kept.append((picture, points, source.name))
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "pictures.npy", np.array([picture for picture, _, _ in kept]))
    np.savez(out / "labels.npz", points=np.array([one for _, one, _ in kept]), names=[name for _, _, name in kept])
    print(f"kept {len(kept)}; left out {dict(counts)}")


def label_drawn(folder: Path) -> None:
    labeller = Labeller(least_belief=0.3)
    pictures = np.load(folder / "drawn.npy", mmap_mode="r")
    read = np.full((len(pictures), 478, 3), np.nan, np.float32)
    for index, picture in enumerate(pictures):
        points = labeller(np.ascontiguousarray(picture))
        if points is not None:
            read[index] = points
    np.save(folder / "read.npy", read)
    print(f"read {int(np.isfinite(read[:, 0, 0]).sum())} of {len(pictures)}")


def label_clips(clips: list[Path], out: Path, frames: int) -> None:
    labeller = Labeller(least_belief=0.5, tracking=True)
    out.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        video = cv2.VideoCapture(str(clip))
        points = []
        while len(points) < frames:
            there, picture = video.read()
            if not there:
                break
            seen = labeller(picture)
            points.append(np.full((478, 3), np.nan, np.float32) if seen is None else seen)
        labeller.forget()
        np.savez(out / f"{clip.stem}.npz", points=np.array(points, np.float32), clip=str(clip))
        print(f"{clip.name}: {int(np.isfinite(np.array(points)[:, 0, 0]).sum())} of {len(points)} frames")


def write_triangles(folder: Path) -> None:
    """Read the triangles from the text of MediaPipe's list of edges: as a set it has lost their order."""
    from mediapipe.python.solutions import face_mesh_connections  # noqa: PLC0415

    text = Path(face_mesh_connections.__file__).read_text()
    listed = text[text.index("FACEMESH_TESSELATION = frozenset([") :]
    pairs = re.findall(r"\((\d+),\s*(\d+)\)", listed[: listed.index("])")])
    edges = np.array(pairs, np.int16).reshape(-1, 3, 2)
    if not (edges[:, :, 1] == np.roll(edges[:, :, 0], -1, axis=1)).all():
        raise SystemExit("the edges of this MediaPipe are not listed triangle by triangle")
    np.save(folder / "triangles.npy", edges[:, :, 0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    stills = commands.add_parser("stills")
    stills.add_argument("folders", type=Path, nargs="+", help="one with a meta.json holds crops, others photographs")
    stills.add_argument("--out", type=Path, required=True)
    for name in ("drawn", "mesh"):
        commands.add_parser(name).add_argument("folder", type=Path)
    clips = commands.add_parser("clips")
    clips.add_argument("clips", type=Path, nargs="+")
    clips.add_argument("--out", type=Path, required=True)
    clips.add_argument("--frames", type=int, default=60)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if arguments.command == "clips":
        label_clips(arguments.clips, arguments.out, arguments.frames)
        return
    if arguments.command == "drawn":
        label_drawn(arguments.folder)
        return
    if arguments.command == "mesh":
        write_triangles(arguments.folder)
        return
    crops = [folder for folder in arguments.folders if (folder / "meta.json").exists()]
    photos = [folder for folder in arguments.folders if folder not in crops]
    label_stills(crops[0] if crops else None, photos, arguments.out)


if __name__ == "__main__":
    main()
