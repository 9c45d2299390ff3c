"""The metrics file for the textfile collector of Prometheus' node_exporter, so that the daemon needs no network.

What is told stands in `measures.py`; this is the only module that knows prometheus_client.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from heygemd.measures import MEASURES, Measure
from heygemd.naming import percent
from heygemd.vitals import Vitals

FILE_MODE = 0o644
"""node_exporter runs as another user. Nothing in the file is secret: no film, no person."""
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def metrics_text(vitals: Vitals) -> bytes:
    """Return the file's content, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Moment(vitals))
    return generate_latest(registry)


def write_metrics(file: Path, vitals: Vitals) -> None:
    """Replace the file: node_exporter reads the old one or the new one. Not fsynced; raises OSError.

    Its folder must exist. A link of that name is replaced, never followed. The name of the part does not end in
    `.prom`, so node_exporter passes over it.
    """
    text = metrics_text(vitals)
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)  # of a daemon that was killed
    number = os.open(part, _WRITE, FILE_MODE)
    try:
        with os.fdopen(number, "wb") as handle:
            os.fchmod(number, FILE_MODE)  # whatever the umask is
            handle.write(text)
        part.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


class _Moment(Collector):
    """Hands one `Vitals` to the library."""

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    @override
    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        for measure in MEASURES:
            yield _family(measure, self._vitals)


def _family(measure: Measure, vitals: Vitals) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if measure.kind == "counter" else GaugeMetricFamily
    family = kind(measure.name, measure.meaning, labels=measure.labels)
    # Of two series that are named alike node_exporter complains at every scrape; the last one wins.
    readings = {tuple(map(_utf8, labels)): value for labels, value in measure.read(vitals)}
    for labels, value in readings.items():
        family.add_metric(labels, value)
    return family


def _utf8(label: str) -> str:
    """Write bytes that are no UTF-8 as %XX; quotes, backslashes and line ends are escaped by the library."""
    return "".join(percent(char) if "\ud800" <= char <= "\udfff" else char for char in label)
