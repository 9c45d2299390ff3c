"""config/alerts.yml asks for metrics that exist, fires when it should, and says what to type."""

import re
import subprocess
from pathlib import Path

import pytest
import typer
import yaml
from prometheus_client.parser import text_string_to_metric_families

from heygemd.cli import app
from heygemd.metrics import metrics_text
from tests.full_vitals import full_vitals

SELECTOR = re.compile(r"\b(heygemd_\w+|node_\w+)(\{[^}]*\})?")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
GROUPED = re.compile(r"\b(?:by|on) \(([^)]*)\)")
OF_NODE_EXPORTER = {"node_textfile_scrape_error"}
ROW = re.compile(r"^\| `(Heygemd\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
SEVERITIES = {"critical", "warning", "info"}


@pytest.fixture(scope="module")
def rules(repository: Path) -> list[dict]:
    told = yaml.safe_load((repository / "config" / "alerts.yml").read_text(encoding="utf-8"))
    assert set(told) == {"groups"}
    assert all(set(group) == {"name", "rules"} for group in told["groups"])
    return [rule for group in told["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def samples() -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(metrics_text(full_vitals()).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def is_matched(labels: dict[str, str], matcher: tuple[str, str, str]) -> bool:
    name, sign, wanted = matcher
    is_alike = re.fullmatch(wanted, labels[name]) is not None if "~" in sign else labels[name] == wanted
    return is_alike != sign.startswith("!")


def is_met(matcher: tuple[str, str, str], written: list[dict[str, str]]) -> bool:
    return matcher[0] in written[0] and any(is_matched(labels, matcher) for labels in written)


def faults_of(expr: str, samples: dict[str, list[dict[str, str]]]) -> list[str]:
    """Return what an expression asks for that is never written."""
    faults, labels = [], {"instance"}
    for name, braces in SELECTOR.findall(expr):
        if name in OF_NODE_EXPORTER:
            continue
        if name not in samples:
            faults.append(name)
            continue
        labels |= set(samples[name][0])
        matchers = MATCHER.findall(braces)
        faults += [f"{name}{{{''.join(each)}}}" for each in matchers if not is_met(each, samples[name])]
    grouped = {label.strip() for group in GROUPED.findall(expr) for label in group.split(",")}
    return faults + sorted(grouped - labels)


def test_every_alert_asks_for_what_is_written(rules, samples) -> None:
    assert {rule["alert"]: faults for rule in rules if (faults := faults_of(rule["expr"], samples))} == {}


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ("heygemd_gone > 0", "heygemd_gone"),
        ('heygemd_root_state{state="away"} == 1', "heygemd_root_state{state=away}"),
        ('heygemd_root_state{status="offline"} == 1', "heygemd_root_state{status=offline}"),
        ('increase(heygemd_failures_total{code=~"E9.."}[1h]) > 0', "heygemd_failures_total{code=~E9..}"),
        ("sum by (instance, film) (heygemd_paused)", "film"),
    ],
)
def test_what_is_never_written_is_noticed(samples, expr: str, fault: str) -> None:
    assert faults_of(expr, samples) == [fault]


def test_every_alert_is_complete(rules) -> None:
    names = [rule["alert"] for rule in rules]
    assert len(set(names)) == len(names)
    for rule in rules:
        assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert re.fullmatch(r"Heygemd[A-Z][A-Za-z]+", rule["alert"])
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0s"))
        assert set(rule["labels"]) == {"severity"}
        assert rule["labels"]["severity"] in SEVERITIES
        assert set(rule["annotations"]) == {"summary", "description"}
        assert "$labels.instance" in rule["annotations"]["summary"] or "absent(" in rule["expr"]


def test_every_alert_says_what_to_type_and_names_commands_that_exist(rules) -> None:
    known = set(typer.main.get_command(app).commands)
    for rule in rules:
        said = rule["annotations"]["description"]
        typed = re.findall(r"`([^`]+)`", said)
        assert typed, rule["alert"]
        ours = {words[1] for each in typed if (words := each.split())[0] == "heygemd"}
        assert ours <= known, rule["alert"]
        assert not re.search(r"heygemd (doctor|status|prune|retry|config)\b", re.sub(r"`[^`]+`", "", said))


def test_labels_in_a_text_are_those_of_the_alert(rules, samples) -> None:
    for rule in rules:
        used = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        metrics = [name for name, _ in SELECTOR.findall(rule["expr"])]
        assert used - {"instance"} <= {label for name in metrics for label in samples.get(name, [{}])[0]}, rule["alert"]


def test_the_page_lists_every_alert_and_nothing_else(rules, repository: Path) -> None:
    page = (repository / "docs" / "metrics.md").read_text(encoding="utf-8")
    told = {name: (severity, after.strip()) for name, severity, after, _, _ in ROW.findall(page)}
    assert told == {rule["alert"]: (rule["labels"]["severity"], rule.get("for", "at once")) for rule in rules}


def test_every_alert_fires_in_a_scenario(rules, repository: Path) -> None:
    scenarios = (repository / "tests" / "alerts" / "scenarios.yml").read_text(encoding="utf-8")
    assert set(re.findall(r'alertname="(\w+)"', scenarios)) == {rule["alert"] for rule in rules}


@pytest.mark.promtool
@pytest.mark.parametrize(
    "check", [("check", "rules", "config/alerts.yml"), ("test", "rules", "tests/alerts/scenarios.yml")]
)
def test_prometheus_itself_agrees(repository: Path, check: tuple[str, ...]) -> None:
    run = subprocess.run(["promtool", *check], cwd=repository, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.promtool
def test_prometheus_finds_nothing_to_mend_in_the_metrics() -> None:
    text = metrics_text(full_vitals())
    run = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
