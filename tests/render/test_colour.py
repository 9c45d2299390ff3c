import cv2
import numpy as np
import pytest

from heygemd.jobs.job import ColourTags
from heygemd.render.colour import LUMA_WEIGHTS, Region, coding_of, read_bgr, region_around, write_bgr

WIDTH, HEIGHT = 70, 46
EVERY_CODING = [(matrix, range_) for matrix in [*LUMA_WEIGHTS, None] for range_ in ("tv", "pc", None)]


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT * 3 // 2, WIDTH), dtype=np.uint8)


def coding(matrix: str | None = None, range_: str | None = None, size: tuple[int, int] = (WIDTH, HEIGHT)):
    return coding_of(ColourTags(matrix=matrix, range=range_), width_px=size[0], height_px=size[1])


def grey(luma: int, u: int = 128, v: int = 128) -> np.ndarray:
    planes = np.full((HEIGHT * 3 // 2, WIDTH), luma, np.uint8)
    chroma = planes[HEIGHT:].reshape(2, -1)
    chroma[0], chroma[1] = u, v
    return planes


@pytest.mark.parametrize(("matrix", "range_"), EVERY_CODING)
def test_every_plane_value_survives_the_way_to_bgr_and_back(matrix, range_):
    planes, region = noise(), Region(x=2, y=4, width=60, height=40)
    result = planes.copy()
    code = coding(matrix, range_)
    write_bgr(result, region, code, read_bgr(planes, region, code), np.ones((40, 60), bool))
    assert np.array_equal(result, planes)


def test_white_and_black_lie_at_the_ends_of_the_range():
    region = Region(x=0, y=0, width=WIDTH, height=HEIGHT)
    for range_, black, white in (("tv", 16, 235), ("pc", 0, 255), (None, 16, 235)):
        for luma, level in ((black, 0), (white, 255)):
            assert read_bgr(grey(luma), region, coding("bt709", range_)) == pytest.approx(level, abs=0.01)


@pytest.mark.parametrize(
    ("matrix", "red"), [("bt709", (63, 102, 240)), ("smpte170m", (81, 90, 240)), ("bt2020nc", (74, 97, 240))]
)
def test_pure_red_has_the_code_of_its_matrix(matrix, red):
    bgr = read_bgr(grey(*red), Region(x=0, y=0, width=8, height=8), coding(matrix, "tv"))[0, 0]
    assert bgr == pytest.approx([0, 0, 255], abs=2.5)


@pytest.mark.parametrize("bgr", [(40, 90, 200), (200, 120, 60), (90, 160, 90), (128, 128, 128)])
def test_bt601_agrees_with_opencv(bgr):
    planes = cv2.cvtColor(np.full((HEIGHT, WIDTH, 3), bgr, np.uint8), cv2.COLOR_BGR2YUV_I420)
    ours = read_bgr(planes, Region(x=0, y=0, width=WIDTH, height=HEIGHT), coding("smpte170m", "tv"))
    assert np.abs(ours - np.array(bgr)).max() < 2


def test_a_picture_without_a_tag_is_read_by_its_size():
    small, large = coding(size=(640, 480)), coding(size=(1280, 720))
    tall = coding(size=(576, 768))
    assert np.array_equal(small.to_bgr, coding("smpte170m").to_bgr)
    assert np.array_equal(large.to_bgr, coding("bt709").to_bgr)
    assert np.array_equal(tall.to_bgr, coding("bt709").to_bgr)
    assert np.array_equal(coding("unknown", size=(640, 480)).to_bgr, small.to_bgr)


def test_only_masked_luma_and_its_chroma_blocks_are_written():
    planes, region = noise(2), Region(x=10, y=6, width=20, height=16)
    mask = np.zeros((16, 20), bool)
    mask[5, 7] = True
    result = planes.copy()
    code = coding("bt709", "tv")
    painted = read_bgr(planes, region, code)
    write_bgr(result, region, code, np.where(mask[..., None], 255 - painted, painted).astype(np.float32), mask)
    expected = np.zeros_like(planes, dtype=bool)
    expected[6 + 5, 10 + 7] = True
    chroma = expected[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
    chroma[:, (6 + 5) // 2, (10 + 7) // 2] = True
    assert np.array_equal(result[~expected], planes[~expected])
    assert (result[expected] != planes[expected]).any()


def test_colours_out_of_range_are_clipped_not_wrapped():
    planes, region = grey(128), Region(x=0, y=0, width=8, height=8)
    for value, luma in ((400.0, 255), (-200.0, 0)):
        result = planes.copy()
        write_bgr(result, region, coding("bt709", "pc"), np.full((8, 8, 3), value, np.float32), np.ones((8, 8), bool))
        assert (result[:8, :8] == luma).all()


def test_a_height_that_four_does_not_divide_keeps_its_planes_apart():
    # 362 / 2 = 181 rows of chroma: V begins in the middle of a row of the I420 array.
    planes = np.full((362 * 3 // 2, 642), 100, np.uint8)
    planes[362:].reshape(2, -1)[1] = 200
    code = coding("bt709", "tv", (642, 362))
    region = Region(x=0, y=354, width=642, height=8)
    bgr = read_bgr(planes, region, code)
    assert np.ptp(bgr, axis=(0, 1)) == pytest.approx([0, 0, 0], abs=1e-3)


def test_a_region_is_even_and_cut_off_at_the_borders():
    points = np.array([[-20.3, 5.2], [13.7, 41.0]])
    region = region_around(points, margin_px=3, width_px=WIDTH, height_px=HEIGHT)
    assert region is not None
    assert (region.x, region.y) == (0, 2)
    assert region.x + region.width >= 13.7 + 3
    assert region.y + region.height == HEIGHT
    assert not any(edge % 2 for edge in (region.x, region.y, region.width, region.height))


def test_no_region_is_left_outside_the_picture():
    points = np.array([[-90.0, 5.0], [-40.0, 30.0]])
    assert region_around(points, margin_px=3, width_px=WIDTH, height_px=HEIGHT) is None
