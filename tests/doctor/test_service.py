"""The installed unit: how it is read, and how it is judged."""

from dataclasses import replace
from pathlib import Path

import pytest

from heygemd.doctor.finding import Level
from heygemd.doctor.service import Service, find_service, parse
from heygemd.doctor.unit import _is_open
from heygemd.errors import SetupError


def of_unit(studio):
    return studio.wrong("unit")


def test_a_unit_is_read_without_comments_and_with_long_lines_joined():
    assert parse("# a\n[Service]\nUser = anna\n;b\nReadWritePaths=/a \\\n  # in between\n  /b\n\nUMask=\n") == [
        ("Service", "User", "anna"), ("Service", "ReadWritePaths", "/a /b"), ("Service", "UMask", ""),
    ]  # fmt: skip


def test_drop_ins_lie_over_the_unit_and_an_empty_value_takes_back(studio):
    low, high = studio.made("lib/systemd/system/heygemd.service.d"), studio.made("etc/systemd/system/heygemd.service.d")
    (low / "20-b.conf").write_text("[Service]\nUser=low\n")
    (high / "20-b.conf").write_text("[Service]\nReadWritePaths=\nReadWritePaths=/mnt/x\n")
    (low / "10-a.conf").write_text("[Service]\nUser=first\n")
    service = find_service(studio.around)
    assert service.drop_ins == (low / "10-a.conf", high / "20-b.conf")
    assert (service.user, service.words("ReadWritePaths")) == ("first", ("/mnt/x",))
    assert service.config == studio.config


def test_a_unit_in_etc_hides_the_one_of_the_package(studio):
    own = studio.made("etc/systemd/system") / "heygemd.service"
    own.write_text("[Service]\nUser=other\n")
    assert find_service(studio.around).file == own


def test_no_unit_is_no_fault(studio):
    studio.unit.unlink()
    assert of_unit(studio) == []
    assert find_service(studio.around) == Service()


@pytest.mark.parametrize(
    ("values", "place", "is_open"),
    [
        ({"ProtectSystem": ("strict",)}, "/srv/a", False),
        ({"ProtectSystem": ("strict",), "ReadWritePaths": ("-/srv/a",)}, "/srv/a/b", True),
        ({"ProtectSystem": ("strict",), "StateDirectory": ("heygemd",)}, "/var/lib/heygemd/metrics", True),
        ({"ProtectSystem": ("full",)}, "/srv/a", True),
        ({"ProtectSystem": ("full",)}, "/etc/a", False),
        ({}, "/run/user/1000/films", True),
        ({"ProtectHome": ("yes",), "ReadWritePaths": ("/run/user/1000",)}, "/run/user/1000/films", False),
    ],
)
def test_a_sandbox_is_judged_as_systemd_does(values, place, is_open):
    assert _is_open(Service(file=Path("/x"), values=values), Path(place)) is is_open


@pytest.mark.parametrize(
    ("state", "subject", "code", "fix"),
    [
        ({"active": "inactive"}, "service", "E401", "systemctl start heygemd"),
        ({"restarts": 7}, "service", "E500", "journalctl -u heygemd"),
        ({"needs_reload": "yes"}, "unit", "E401", "systemctl daemon-reload"),
    ],
)
def test_the_state_of_the_service_is_judged(studio, state, subject, code, fix):
    studio.service_state = state
    (finding,) = of_unit(studio)
    assert (finding.subject, finding.code) == (subject, code)
    assert fix in finding.fix


def test_a_program_of_another_version_and_one_that_is_missing_are_told(studio):
    other = studio.program("heygemd", "#!/bin/sh\necho heygemd 0.0.1\n")
    studio.write_unit(program=other)
    studio.shipped.write_text(studio.unit.read_text())
    (finding,) = of_unit(studio)
    assert f"the service is heygemd 0.0.1 ({other})" in finding.message
    other.unlink()
    (finding,) = of_unit(studio)
    assert (finding.level, finding.message) == (Level.BAD, f"it starts {other}, which is not there")


def test_a_user_that_does_not_exist_is_told(studio):
    studio.write_unit(user="nobody-of-that-name")
    studio.shipped.write_text(studio.unit.read_text())
    (finding,) = of_unit(studio)
    assert (finding.code, "nobody-of-that-name" in finding.message) == ("E401", True)


def test_a_service_that_may_not_open_the_card_is_told(studio):
    studio.with_card()
    for line, count in (("PrivateDevices=yes", 1), ("DevicePolicy=closed", 1), ("DeviceAllow=char-nvidia rwm", 0)):
        studio.write_unit(user=f"{studio.user}\n{line}")
        studio.shipped.write_text(studio.unit.read_text())
        assert [finding.code for finding in of_unit(studio)] == ["E406"] * count, line


def test_a_systemd_that_hangs_stops_nothing(studio, monkeypatch):
    from heygemd.doctor import examination

    monkeypatch.setattr(examination, "UNIT_LIMIT_S", 0.2)
    settings = studio.settings()
    studio.program("systemctl", "#!/bin/sh\nsleep 60\n")
    found = examination.examine(settings, config=studio.config, around=studio.around)
    assert [finding.message for finding in found if finding.level is not Level.OK] == ["systemd does not answer"]


def test_a_wrong_configuration_is_told_beside_the_unit(studio):
    from heygemd.doctor.examination import examine

    studio.examine()
    error = SetupError("E401", f"{studio.config}: render.engin: no such key")
    found = examine(error, config=studio.config, around=replace(studio.around))
    assert [finding.group for finding in found if finding.level is not Level.OK] == ["settings"]
    assert any(finding.subject == "service" for finding in found)
