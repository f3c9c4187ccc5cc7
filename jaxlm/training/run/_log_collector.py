"""What the rooms below say through Python's logging, collected to be told as events."""

import logging
from types import TracebackType

LOGGER = logging.getLogger("jaxlm")


class LogCollector(logging.Handler):
    """Collects what is logged under `jaxlm` while it is entered, from level INFO on.

    Where nobody asked for that level it goes nowhere else.

    Example:
      >>> from jaxlm.training.run._log_collector import LOGGER, LogCollector
      >>> with LogCollector() as said:
      ...     LOGGER.info("attention: %s", "xla")
      ...     said.take()
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
        """Keeps a record."""
        self._records.append(record)

    def take(self, *, without: tuple[str, ...] = ()) -> list[tuple[int, str]]:
        """Returns level and message of what was said since the last call.

        Args:
          without: rooms whose messages are dropped, such as "jaxlm.ops".
        """
        records, self._records = self._records, []
        rooms = tuple(f"{room}." for room in without)
        return [(one.levelno, one.getMessage()) for one in records if not one.name.startswith(rooms)]
