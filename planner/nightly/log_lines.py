"""What libraries report, as lines of the service's log."""

import logging

from planner.nightly.events import EventLog


def route_logs(name: str, log: EventLog, event: str) -> None:
    """Write the errors that a library reports, defects with their traceback included, to the service's log.

    name: of its logger. event: of the lines.

    What it reports below that is left out: at each minute of a long night APScheduler would warn that it is still being
    run, and uvicorn of whatever connects and sends no request.
    """

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
            log(event, level=record.levelname.lower(), message=record.getMessage(), traceback=trace)

    logger = logging.getLogger(name)
    logger.setLevel(logging.ERROR)
    logger.handlers = [Lines()]
    logger.propagate = False
