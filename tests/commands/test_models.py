"""`heygemd models …` as people call it: what is shown, what is asked, and how it ends."""

import json
import os
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from heygemd import modellist
from heygemd.catalogue import LEAST_WEIGHTS_BYTES
from heygemd.commands import models as group
from heygemd.modellist import Model, models
from heygemd.models import pulling
from heygemd.render.wav2lip.untrained import save_published, untrained_network
from tests import webserver
from tests.webserver import MODEL


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("LC_ALL", "LC_MESSAGES"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def web():
    with webserver.running() as web:
        yield web


@pytest.fixture
def small(web, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A catalogue of what ships and of one small model, served on loopback."""
    model = Model.model_construct(
        name="small", engine="faces", file="small.pth", licence="research only", commercial_use="no", source="S.",
        size_bytes=len(MODEL), sha256=web.sha256, vram_mib=0, url=web.url(), converts_to=None, shipped=False,
    )  # fmt: skip
    entries = (*models(), model)
    modellist.models.cache_clear()
    monkeypatch.setattr(modellist, "read_catalogue", lambda file: entries)
    yield model
    modellist.models.cache_clear()


def heygemd(*args: str, **environment: str):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    group.register(app)
    return CliRunner().invoke(app, ["models", *args], env=environment)


def test_list_shows_every_model_and_what_auto_takes(tmp_path: Path) -> None:
    shown = heygemd("list", "--dir", str(tmp_path))
    assert shown.exit_code == 0
    assert all(model.name in shown.stdout for model in models())
    assert "auto takes atlas" in shown.stdout
    assert "shipped" in shown.stdout
    assert max(len(line) for line in shown.stdout.splitlines()[:-1]) <= 80


def test_list_marks_the_weights_that_auto_takes(tmp_path: Path) -> None:
    (tmp_path / "wav2lip.pth").write_bytes(b"\x80")
    os.truncate(tmp_path / "wav2lip.pth", LEAST_WEIGHTS_BYTES)
    shown = heygemd("list", "--dir", str(tmp_path))
    assert "wav2lip*" in shown.stdout
    assert "wav2lip.pth is the first usable file" in shown.stdout


def test_list_speaks_chinese(tmp_path: Path) -> None:
    shown = heygemd("list", "--dir", str(tmp_path), LANG="zh_CN.UTF-8")
    assert "随附" in shown.stdout
    assert "auto 使用 atlas" in shown.stdout


def test_list_as_json_is_english_and_complete(tmp_path: Path) -> None:
    told = json.loads(heygemd("list", "--json", "--dir", str(tmp_path), LANG="zh_CN.UTF-8").stdout)
    assert told["auto"] == {"engine": "atlas", "model": None}
    assert [row["name"] for row in told["models"]] == [model.name for model in models()]
    wanted = {"state", "licence", "commercial_use", "vram_mib", "path", "sha256", "listed_sha256"}
    assert wanted <= told["models"][0].keys()


def test_the_folder_comes_from_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(f'models_dir = "{tmp_path}/mine"\n')
    told = json.loads(heygemd("list", "--json", "--config", str(tmp_path / "c.toml")).stdout)
    assert told["models_dir"] == f"{tmp_path}/mine"


def test_verify_is_content_with_what_ships(tmp_path: Path) -> None:
    shown = heygemd("verify", "--dir", str(tmp_path))
    assert shown.exit_code == 0
    assert shown.stdout.count("ok ") == sum(model.shipped for model in models())
    assert heygemd("verify", "mouth", "--dir", str(tmp_path)).exit_code == 0


def test_verify_ends_with_78_when_a_file_is_wrong_and_says_how_to_mend_it(tmp_path: Path) -> None:
    (tmp_path / "s3fd-619a316812.pth").write_bytes(b"<html><title>No</title>")
    shown = heygemd("verify", "--dir", str(tmp_path))
    assert shown.exit_code == 78
    assert "!! s3fd: wrong (a web page" in shown.stdout
    assert "heygemd models pull s3fd" in shown.stdout


def test_verify_of_a_missing_model_by_name_ends_with_78(tmp_path: Path) -> None:
    shown = heygemd("verify", "wav2lip", "--dir", str(tmp_path))
    assert shown.exit_code == 78
    assert "bring it" in shown.stdout
    told = json.loads(heygemd("verify", "wav2lip", "--json", "--dir", str(tmp_path)).stdout)
    assert [(row["name"], row["state"], row["is_good"]) for row in told["models"]] == [("wav2lip", "absent", False)]


def test_unknown_names_meet_the_nearest_one(tmp_path: Path) -> None:
    for command in ("verify", "pull"):
        shown = heygemd(command, "s3fx", "--dir", str(tmp_path))
        assert shown.exit_code == 2
        assert "did you mean s3fd?" in shown.stderr


@pytest.mark.parametrize(
    "words", [(), ("s3fd", "--all-of", "faces"), ("mouth",), ("--all-of", "noses"), ("--all-of", "speech"),
              ("--all-of", "faces", "--url", "https://a.example/x")],
)  # fmt: skip
def test_pull_without_sense_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    assert heygemd("pull", *words, "--dir", str(tmp_path)).exit_code == 2


def test_pull_asks_for_consent_to_a_licence_that_forbids_business(small: Model, tmp_path: Path, web) -> None:
    shown = heygemd("pull", "small", "--dir", str(tmp_path / "m"))
    assert shown.exit_code == 2
    assert "research only" in shown.stderr
    assert "--accept-licence" in shown.stderr
    assert web.requests == []


def test_pull_puts_the_model_into_its_place(small: Model, tmp_path: Path, web) -> None:
    shown = heygemd("pull", "small", "--accept-licence", "--dir", str(tmp_path / "m"))
    assert shown.exit_code == 0, shown.output
    assert (tmp_path / "m" / "small.pth").read_bytes() == MODEL
    assert "the sha256 is the listed one" in shown.stderr
    again = heygemd("pull", "small", "--accept-licence", "--dir", str(tmp_path / "m"))
    assert "is there already" in again.stderr
    assert len(web.requests) == 1


def test_pull_tells_json_on_stdout_alone(small: Model, tmp_path: Path, web) -> None:
    shown = heygemd("pull", "small", "--accept-licence", "--json", "--dir", str(tmp_path / "m"))
    (pulled,) = json.loads(shown.stdout)["pulled"]
    assert (pulled["model"], pulled["sha256"], pulled["state"]) == ("small", web.sha256, "verified")


def test_pull_from_an_address_of_ones_own(small: Model, tmp_path: Path, web) -> None:
    words = ("pull", "fan4", "--url", web.url(), "--dir", str(tmp_path / "m"))
    shown = heygemd(*words, "--json")
    assert shown.exit_code == 78
    assert json.loads(shown.stdout)["error"]["code"] == "E409"
    assert list((tmp_path / "m").iterdir()) == []


def test_pull_of_what_has_no_address_tells_where_it_comes_from(tmp_path: Path) -> None:
    shown = heygemd("pull", "wav2lip", "--accept-licence", "--dir", str(tmp_path))
    assert shown.exit_code == 78
    assert "E402" in shown.stderr
    assert "--url" in shown.stderr


def test_pull_that_fails_has_its_code_and_advice(small: Model, tmp_path: Path, web) -> None:
    web.behaviours = [webserver.say(404)]
    shown = heygemd("pull", "small", "--accept-licence", "--dir", str(tmp_path))
    assert shown.exit_code == 78
    assert "E408" in shown.stderr
    assert "404" in shown.stderr


def test_ctrl_c_says_that_the_part_is_kept(small: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: object, model: Model, url: str | None = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pulling.Pull, "fetch", interrupted)
    shown = heygemd("pull", "small", "--accept-licence", "--dir", str(tmp_path))
    assert shown.exit_code == 130
    assert "is kept" in shown.stderr


def test_all_models_of_an_engine_are_fetched(small: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def remembered(self: pulling.Pull, model: Model, url: str | None = None) -> pulling.Pulled:
        fetched.append(model.name)
        return pulling.Pulled(
            model=model, path=tmp_path / model.file, size_bytes=1, sha256="0" * 64, state=pulling.State.VERIFIED
        )

    monkeypatch.setattr(pulling.Pull, "fetch", remembered)
    assert heygemd("pull", "--all-of", "faces", "--accept-licence", "--dir", str(tmp_path)).exit_code == 0
    assert fetched == ["s3fd", "fan4", "fan4-torchscript", "blazeface", "blazeface-anchors", "small"]


def test_a_checkpoint_is_pulled_converted_and_used(tmp_path: Path, web, monkeypatch: pytest.MonkeyPatch) -> None:
    save_published(untrained_network().state_dict(), tmp_path / "published.pth", prefix="module.")
    web.content = (tmp_path / "published.pth").read_bytes()
    words = (
        "pull",
        "wav2lip",
        "--accept-licence",
        "--convert",
        "--half",
        "--url",
        web.url(),
        "--dir",
        str(tmp_path / "m"),
    )
    shown = heygemd(*words)
    assert shown.exit_code == 0, shown.output
    assert "the catalogue lists none" in shown.stderr
    assert {path.name for path in (tmp_path / "m").iterdir()} == {"wav2lip.pth", "wav2lip.safetensors"}
    told = json.loads(heygemd("list", "--json", "--dir", str(tmp_path / "m")).stdout)
    assert told["auto"] == {"engine": "wav2lip", "model": "wav2lip-safetensors"}
    for path in (*(tmp_path / "m").iterdir(), tmp_path / "published.pth"):
        path.unlink()


def test_convert_refuses_what_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "own.pth").mkdir()
    shown = heygemd("convert", str(tmp_path / "own.pth"))
    assert shown.exit_code == 78
    assert "E405" in shown.stderr
    missing = heygemd("convert", "wav2lip", "--dir", str(tmp_path))
    assert missing.exit_code == 78
    assert str(tmp_path / "wav2lip.pth") in missing.stderr
    assert heygemd("convert", "own.pth", "--output", "own.bin").exit_code == 2
