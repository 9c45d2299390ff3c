"""Can the judge see anything? Small programs that break one rule each, and the guarded door, which breaks none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from heygemd.limits import Limits
from heygemd.media import ffmpeg
from tests.isolation import trace as traces
from tests.isolation.law import Breach, Realm, breaches, decoders, inputs
from tests.isolation.trace import Call, TraceError, read_trace, traced

pytestmark = [
    pytest.mark.ffmpeg,
    pytest.mark.strace,
]


@pytest.fixture
def realm(tmp_path: Path) -> Realm:
    """A root with two claimed jobs, a work directory, and a secret beside them."""
    realm = Realm(
        root=tmp_path / "root", state=tmp_path / "state", never=(tmp_path / "secrets",), scratch=tmp_path / "scratch"
    )
    for place in ("root/processing/anna__1", "root/processing/bert__2", "state/work/1", "secrets", "scratch"):
        (tmp_path / place).mkdir(parents=True)
    make = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=64x64:d=0.2", "-c:v", "mpeg2video"]
    for place in ("secrets/secret.ts", "root/processing/anna__1/a.ts", "root/processing/bert__2/b.ts"):
        subprocess.run([*make, str(tmp_path / place)], check=True)
    return realm


def run(realm: Realm, *argv: str) -> list[Call]:
    trace = realm.state / "trace"
    subprocess.run(traced(argv, trace), stdin=subprocess.DEVNULL, capture_output=True, check=False, cwd=realm.scratch)
    return read_trace(trace)


def python(realm: Realm, code: str) -> list[Call]:
    return run(realm, sys.executable, "-P", "-c", code)


def said(calls: list[Call], realm: Realm) -> set[str]:
    return {f"{breach.program} {breach.what}" for breach in breaches(calls, realm)}


def test_a_plain_ffprobe_follows_a_playlist_and_is_seen(realm: Realm) -> None:
    secret, playlist = realm.never[0] / "secret.ts", realm.root / "processing/anna__1/take.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n")
    found = said(run(realm, "ffprobe", "-v", "quiet", "-i", str(playlist)), realm)
    assert {
        f"ffprobe opens {secret}",
        f"ffprobe opens {playlist}",
        f" tells ffprobe the name {playlist}",
        "ffprobe runs in the group of its parent",
        "ffprobe began without limits of AS, CORE, CPU, FSIZE, NOFILE",
    } <= found


def test_a_decoder_that_writes_where_it_wants_is_seen(realm: Realm) -> None:
    film = realm.root / "processing/anna__1/a.ts"
    found = said(run(realm, "ffmpeg", "-v", "quiet", "-i", str(film), str(realm.state / "x.ts")), realm)
    assert f"ffmpeg opens {realm.state / 'x.ts'} to write" in found


def test_a_decoder_that_is_handed_files_of_two_jobs_is_seen(realm: Realm) -> None:
    code = (
        "import os, subprocess\n"
        f"one, two = (os.open(path, os.O_RDONLY) for path in {[str(p) for p in _films(realm)]!r})\n"
        "argv = ['ffmpeg', '-v', 'quiet', '-i', f'/dev/fd/{one}', '-i', f'/dev/fd/{two}', '-map', '0', '-map', '1',"
        " '-f', 'null', '-']\n"
        "subprocess.run(argv, pass_fds=(one, two), start_new_session=True, stdin=subprocess.DEVNULL)"
    )
    places = ", ".join(str(path.parent) for path in _films(realm))
    assert f"ffmpeg opened files of 2 jobs: {places}" in said(python(realm, code), realm)


def test_a_decoder_that_calls_a_machine_is_seen(realm: Realm) -> None:
    found = said(run(realm, "ffprobe", "-v", "quiet", "-i", "http://127.0.0.1:9/x"), realm)
    assert any(line.startswith("ffprobe calls socket(AF_INET") for line in found)


def test_what_our_own_programs_must_not_do_is_seen(realm: Realm) -> None:
    secret, elsewhere = realm.never[0] / "secret.ts", realm.state.parent / "elsewhere"
    code = (
        "import os, socket, subprocess\n"
        f"open({str(secret)!r}).close(); open({str(elsewhere)!r}, 'w').close(); os.unlink({str(elsewhere)!r})\n"
        f"os.symlink({str(secret)!r}, {str(realm.root / 'inbox')!r}); open({str(realm.root / 'inbox')!r}).close()\n"
        "socket.socket().close(); subprocess.run(['/bin/true'])"
    )
    found = said(python(realm, code), realm)
    me = Path(sys.executable).name
    assert {
        f"{me} opens {secret}", f"{me} openat {elsewhere}", f"{me} unlink {elsewhere}",
        f"{me} opens {realm.root / 'inbox'}", f"{me} executes /bin/true",
    } <= found  # fmt: skip
    assert any(line.startswith(f"{me} calls socket(AF_INET") for line in found)


def test_a_look_that_fails_is_a_look(realm: Realm) -> None:
    code = f"import contextlib\nwith contextlib.suppress(OSError): open({str(realm.never[0] / 'nothing')!r})"
    assert Breach(Path(sys.executable).name, f"opens {realm.never[0] / 'nothing'}") in breaches(
        python(realm, code), realm
    )


def test_threads_and_forked_children_are_their_program(realm: Realm) -> None:
    code = (
        "import os, threading\n"
        f"look = lambda: open({str(realm.never[0] / 'secret.ts')!r}).close()\n"
        "thread = threading.Thread(target=look); thread.start(); thread.join()\n"
        "if not os.fork(): look(); os._exit(0)\n"
        "os.wait()"
    )
    calls = [call for call in python(realm, code) if call.opened.endswith("secret.ts")]
    assert len({call.process for call in calls}) == 2
    assert {call.program for call in calls} == {sys.executable}


def test_the_guarded_door_keeps_every_rule(realm: Realm) -> None:
    code = (
        "from pathlib import Path\nfrom heygemd.limits import Limits\nfrom heygemd.media.probe import probe_video\n"
        f"print(probe_video(Path({str(_films(realm)[0])!r}), Limits()))"
    )
    calls = python(realm, code)
    assert breaches(calls, realm) == []
    assert len(decoders(calls)) >= 3
    assert inputs(calls, realm) == {str(_films(realm)[0])}


def test_a_door_that_sets_limits_late_is_seen(realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "from pathlib import Path\nfrom heygemd.limits import Limits\nfrom heygemd.media import child, ffmpeg, probe\n"
        "from dataclasses import replace\ntools = replace(ffmpeg.require_tools(), prlimit='')\n"
        "ffmpeg.require_tools = lambda: tools\n"
        f"probe.probe_video(Path({str(_films(realm)[0])!r}), Limits())"
    )
    found = said(python(realm, code), realm)
    assert "ffprobe began without limits of AS, CORE, CPU, FSIZE, NOFILE" in found


def test_a_trace_that_does_not_tell_of_every_end_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracer that was ended, or a process that outlives its daemon: what they did later nobody has seen."""
    monkeypatch.setattr(traces, "END_LIMIT_S", 0.0)
    file, ends = tmp_path / "trace", b"7 setsid() = 7\n7 +++ exited with 0 +++\n"
    with pytest.raises(TraceError, match="nothing was written"):
        read_trace(file)
    file.write_bytes(b"8 setsid() = 8\n" + ends)
    with pytest.raises(TraceError, match=r"8 setsid\(\)"):
        read_trace(file)
    file.write_bytes(ends)
    assert [call.name for call in read_trace(file)] == ["setsid"]


def test_this_machine_has_what_sets_limits_early() -> None:
    assert ffmpeg.require_tools().prlimit and ffmpeg.require_tools().leash
    assert Limits().memory_bytes and os.cpu_count()


def _films(realm: Realm) -> tuple[Path, Path]:
    return realm.root / "processing/anna__1/a.ts", realm.root / "processing/bert__2/b.ts"
