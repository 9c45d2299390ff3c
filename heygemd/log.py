"""The only logging set-up: structlog to stderr, coloured on a terminal, one JSON object a line elsewhere."""

import logging
import sys
from dataclasses import dataclass

import structlog


@dataclass(frozen=True, slots=True)
class LogChoice:
    """How this process logs; child processes are told to do the same."""

    json: bool | None = None
    """None: JSON unless stderr is a terminal."""
    level: str = "info"


def configure(choice: LogChoice) -> None:
    """Send every event at or above the level to stderr."""
    use_json = not sys.stderr.isatty() if choice.json is None else choice.json
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False) if use_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if use_json else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[choice.level.upper()]),
        # One write a line: those of several processes do not run into each other.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
