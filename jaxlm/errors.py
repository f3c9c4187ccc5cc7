"""What a user did wrong, as one family of exceptions; whatever else is raised is a bug of jaxlm.

A function that meets a mistake of its user raises a `JaxlmError` with one line: what was expected, what came,
where, and the remedy. A contract between functions of jaxlm is a plain `ValueError` or `TypeError`: the
command line reports such an error as a bug, with the file and line that raised it.
"""


class JaxlmError(ValueError):
    """A user's mistake. The message is one line: what was expected, what came, where, and what to do.

    The command line prints the message and exits with status 2.

    Example:
      >>> from jaxlm.errors import ConfigError, JaxlmError
      >>> try:
      ...     raise ConfigError("run.steps is at least 1, got 0")
      ... except JaxlmError as error:
      ...     print(error)
      run.steps is at least 1, got 0
    """


class ConfigError(JaxlmError):
    """A configuration is refused: a field is out of range, or two fields contradict each other."""


class UsageError(JaxlmError):
    """A request is refused: an option, a text, a folder or another argument of a call."""


class ModelError(JaxlmError):
    """A model or its tokenizer cannot be opened, written or used: a file is damaged or not supported."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """There is no model, checkpoint or tokenizer at a path or under a name."""


class NotAFolderError(ModelError, NotADirectoryError):
    """A path that should be a model's folder is a file."""


class FolderTakenError(UsageError, FileExistsError):
    """A folder to be written already contains something, or another process is writing to it."""


class CorpusError(JaxlmError):
    """A corpus, its labels or the folder of its cache cannot be used.

    Example:
      >>> from jaxlm.errors import CorpusError
      >>> raise CorpusError("no file at 'tale.txt'; did you mean 'tales.txt'?")
      Traceback (most recent call last):
      jaxlm.errors.CorpusError: no file at 'tale.txt'; did you mean 'tales.txt'?
    """


class ScoreError(JaxlmError):
    """A document cannot be scored, or a measure cannot be asked of a model.

    Example:
      >>> from jaxlm.errors import ScoreError
      >>> raise ScoreError("no tokens: the text is empty")
      Traceback (most recent call last):
      jaxlm.errors.ScoreError: no tokens: the text is empty
    """


class WorkError(RuntimeError):
    """A right request failed while it was carried out. The message is one line that says how to go on.

    The class is not a `JaxlmError`, because the user did nothing wrong. The command line prints the message
    and exits with status 1.

    Example:
      >>> from jaxlm.errors import WorkError
      >>> raise WorkError("out was removed while the job ran: run the same command again")
      Traceback (most recent call last):
      jaxlm.errors.WorkError: out was removed while the job ran: run the same command again
    """
