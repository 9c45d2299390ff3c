"""The catalogue is read strictly: what is misspelt, missing or contradictory is refused."""

import math
from pathlib import Path

import pytest

from heygemd.jobs.job import EngineName
from heygemd.modellist import CATALOGUE_FILE, listed_sha256s, model_named, models, models_of, read_catalogue
from heygemd.planning.vram import (
    CONTEXT_MIB,
    FAN_FACE_MIB,
    FAN_MIB,
    MIB,
    S3FD_MIB,
    S3FD_PIXEL_BYTES,
    Kind,
    Load,
    MemoryModel,
)

GOOD = """
[[model]]
name = "thing"
engine = "wav2lip"
file = "thing.pth"
licence = "L"
commercial_use = "no"
source = "S."
"""
SHIPPED = GOOD + 'shipped = true\nsize_bytes = 5\nsha256 = "' + "0" * 64 + '"\n'


def read(tmp_path: Path, text: str):
    (tmp_path / "c.toml").write_text(text)
    return read_catalogue(tmp_path / "c.toml")


def test_a_good_entry_is_read(tmp_path: Path) -> None:
    (model,) = read(tmp_path, GOOD)
    assert (model.name, model.shipped, model.url, model.vram_mib) == ("thing", False, None, None)
    assert read(tmp_path, SHIPPED)[0].shipped


@pytest.mark.parametrize(
    "text",
    [
        GOOD + 'colour = "red"\n',
        GOOD.replace('licence = "L"\n', ""),
        GOOD.replace('"L"', '""'),
        GOOD.replace('"wav2lip"', '"wave2lip"'),
        GOOD.replace('"no"', '"perhaps"'),
        GOOD.replace('"thing"', '"A Thing"'),
        GOOD.replace('"thing.pth"', '"/etc/thing.pth"'),
        GOOD.replace('"thing.pth"', '"../thing.pth"'),
        GOOD.replace('"thing.pth"', '"deep/thing.pth"'),
        GOOD.replace('"thing.pth"', '"."'),
        GOOD + 'sha256 = "abc"\n',
        GOOD + f'sha256 = "{"A" * 64}"\n',
        GOOD + "size_bytes = 0\n",
        GOOD + "size_bytes = 1.5\n",
        GOOD + 'size_bytes = "5"\n',
        GOOD + "vram_mib = -1\n",
        GOOD + 'url = "http://a.example/x"\n',
        GOOD + 'url = "file:///x"\n',
        GOOD + 'converts_to = "nothing"\n',
        GOOD + 'shipped = "yes"\n',
        GOOD + "shipped = true\n",
        SHIPPED + 'url = "https://a.example/x"\n',
        GOOD + GOOD,
        GOOD + GOOD.replace('"thing"', '"other"'),
        GOOD + "[other]\n",
        "",
        "[[model]",
    ],
)
def test_a_wrong_catalogue_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read(tmp_path, text)


def test_the_catalogue_itself_is_good() -> None:
    assert read_catalogue(CATALOGUE_FILE) == models()
    assert listed_sha256s() == {model.sha256 for model in models()} - {None}
    assert all(model.vram_mib is not None for model in models())


def test_models_are_found_by_name_and_by_file() -> None:
    assert model_named("wav2lip_gan") is model_named("wav2lip_gan.pth")
    assert model_named("wav2lip_gan.PTH") is None
    assert [model.file for model in models_of("wav2lip")][:2] == ["wav2lip_gan.safetensors", "wav2lip_gan.pth"]


def test_every_checkpoint_of_wav2lip_can_be_converted() -> None:
    for model in models_of("wav2lip"):
        target = model_named(model.converts_to or "")
        assert model.file.endswith(".safetensors") or (target and target.file.endswith(".safetensors"))


def test_what_may_not_be_used_in_a_business_says_so() -> None:
    assert {model.commercial_use for model in models_of("wav2lip")} == {"no"}


def test_graphics_memory_follows_the_figures_of_the_planner() -> None:
    kind = Kind(engine=EngineName.WAV2LIP, precision="float16", device_name="", is_cuda=True)
    worker = MemoryModel.fit(kind, ()).estimate(Load(batch=16, width_px=1920, height_px=1080))
    wanted = {
        "wav2lip": math.ceil(worker.expected_bytes / MIB),
        "s3fd": math.ceil(CONTEXT_MIB + S3FD_MIB + S3FD_PIXEL_BYTES * 1920 * 1080 / MIB),
        "fan4": math.ceil(CONTEXT_MIB + FAN_MIB + FAN_FACE_MIB),
        "blazeface": math.ceil(CONTEXT_MIB) + 5,  # 0.4 MB of weights, pictures of 128 px
        "blazeface-anchors": 0,
    }
    for model in models():
        family = model.name.partition("_")[0].partition("-")[0]
        expected = 0 if model.shipped else wanted.get(model.name, wanted[family])
        assert model.vram_mib == expected, model.name
