"""The three ways to submit, and names as the clients of other systems write them, over a real share."""

import unicodedata

import pytest

from tests.share.media import pair, picture, sound

pytestmark = [pytest.mark.samba, pytest.mark.ffmpeg, pytest.mark.slow]


TREE = ("客户 A/第一集", "客户 A/deeper/two")
TALKS = ("一", "two")
MANIFEST = "id,video,audio\nep01,anna.mp4,one.wav\nep02,anna.mp4,../../secret.wav\n"


@pytest.fixture(scope="module")
def everything(premises, tmp_path_factory):
    """All folders of this file, dragged into Anna's inbox at once, and a `meeting` of everybody; returns Anna."""
    anna, folder = premises.people["anna"], tmp_path_factory.mktemp("desktop")
    files = {f"{stem}.mp4": pair(stem).video for stem in TREE} | {f"{stem}.wav": pair(stem).audio for stem in TREE}
    gala = pair("gala")
    files |= {"gala 2025.job/clip from phone.mp4": gala.video, "gala 2025.job/Voice 003.wav": gala.audio}
    files |= {"talks.job/anna.mp4": picture("batch")} | {f"talks.job/{name}.wav": sound(name) for name in TALKS}
    files |= {"daily/_default.mp4": picture("presenter"), "daily/monday.wav": sound("monday")}
    files |= {"season/anna.mp4": picture("season"), "season/one.wav": sound("season 1")}
    files |= {"season/season.heygem.csv": b"\xef\xbb\xbf" + MANIFEST.encode()}
    for path, data in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    anna.smb(f'lcd "{folder}"', "cd inbox", "recurse ON", "prompt OFF", "mput *")
    for suffix in ("mp4", "wav"):
        for person in premises.people.values():
            mine = pair(f"meeting of {person.name}")
            person.put(mine.video if suffix == "mp4" else mine.audio, f"inbox/meeting.{suffix}")
    return anna


def test_an_uploaded_folder_tree_is_mirrored_in_the_outbox(everything, sums):
    for stem in TREE:
        assert everything.film(stem).sums == sums(pair(stem))


def test_a_job_folder_becomes_one_film_of_its_name(everything, sums):
    assert everything.film("gala 2025").sums == sums(pair("gala"))
    assert not (everything.root.inbox / "gala 2025.job").exists()


def test_a_job_folder_with_many_sounds_becomes_a_batch(everything):
    for name in TALKS:
        assert everything.film(f"talks/{name}").report["inputs"]["audio"]["name"] == f"{name}.wav"


def test_the_default_presenter_is_everybodys_partner_and_stays(everything):
    assert everything.film("daily/monday").report["inputs"]["video"]["name"] == "_default.mp4"
    assert (everything.root.inbox / "daily" / "_default.mp4").exists()


def test_a_manifest_orders_the_good_rows_and_names_the_bad_ones(everything):
    assert everything.film("season/season/ep01").report["state"] == "done"
    reports = everything.root.status / "manifests"
    report = everything.wait_for(lambda: next(reports.rglob("season*.report.csv"), None))
    text = everything.wait_for(lambda: "E126" in (found := report.read_text(encoding="utf-8-sig")) and found)
    (bad,) = [line for line in text.splitlines() if "E126" in line]
    assert "ep02" in bad


def test_two_people_with_the_same_name_get_their_own_films(everything, people, sums):
    for person in people:
        assert person.film("meeting").sums == sums(pair(f"meeting of {person.name}"))


STEMS = ("你好,世界", "Übung Ärger", "각하", "が ぎ")


def test_names_of_mac_and_windows_are_the_same_name(anna, sums):
    """macOS decomposes (NFD), Windows composes (NFC)."""
    mine = {stem: pair(stem, is_refused=True) for stem in STEMS}
    with anna.wire() as wire:
        for stem, data in mine.items():
            assert not unicodedata.is_normalized("NFC", unicodedata.normalize("NFD", stem)) or stem == STEMS[0]
            anna.put(data.video, f"inbox/{unicodedata.normalize('NFD', stem)}.MP4")
            file = wire.open(f"inbox/{unicodedata.normalize('NFC', stem)}.wav")
            file.write(data.audio, 0)
            file.close()
    for stem, data in mine.items():
        assert anna.failure(unicodedata.normalize("NFC", stem)).sums == sums(data)


BLANKS = {
    "take 1 .mp4": "take 1.wav",
    "take 2.mp4": "take 2. .wav",
    "take 3...mp4": "TAKE 3.wav",
    "take 4 \u3000.mp4": "take 4.wav",
}


def test_blanks_and_dots_before_the_suffix_do_not_part_a_pair(anna):
    mine = {video: pair(video, is_refused=True) for video in BLANKS}
    for video, audio in BLANKS.items():
        anna.put(mine[video].video, f"inbox/{video}")
        anna.put(mine[video].audio, f"inbox/{audio}")
    for video, audio in BLANKS.items():
        folder = anna.wait_for(lambda video=video: next(anna.root.failed.glob(f"*__*/{video}"), None)).parent
        assert ((folder / video).read_bytes(), (folder / audio).read_bytes()) == (mine[video].video, mine[video].audio)


def test_nobody_sees_the_share_of_another(premises):
    run = premises.samba.run("bert", "ls", user="anna")
    assert run.returncode != 0
    assert "NT_STATUS_ACCESS_DENIED" in run.stdout + run.stderr
