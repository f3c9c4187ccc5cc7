"""Collects what jaxlm's modules log, so that a run can yield it as events."""

import logging
from types import TracebackType

LOGGER = logging.getLogger("jaxlm")


class LogCollector(logging.Handler):
    """A context that collects the log records of `jaxlm`, from level INFO on.

    If the effective level is above INFO, the records go to no other handler.

    Example:
      >>> from jaxlm.training.run._log_collector import LOGGER, LogCollector
      >>> with LogCollector() as collector:
      ...     LOGGER.info("attention: %s", "xla")
      ...     collector.take()
      [(20, 'attention: xla')]
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._records: list[logging.LogRecord] = []
        self._before = LOGGER.level, LOGGER.propagate

    def __enter__(self) -> "LogCollector":
        self._before = LOGGER.level, LOGGER.propagate
        if LOGGER.getEffectiveLevel() > logging.INFO:
            LOGGER.setLevel(logging.INFO)
            LOGGER.propagate = False
        LOGGER.addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        LOGGER.removeHandler(self)
        level, LOGGER.propagate = self._before
        LOGGER.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Appends a record to those that `take` returns."""
        self._records.append(record)

    def take(self, *, without: tuple[str, ...] = ()) -> list[tuple[int, str]]:
        """Returns level and message of each record since the last call.

        Args:
          without: packages whose records are dropped, such as "jaxlm.ops".
        """
        records, self._records = self._records, []
        prefixes = tuple(f"{package}." for package in without)
        return [
            (record.levelno, record.getMessage())
            for record in records
            if not record.name.startswith(prefixes)
        ]
