"""What answers queries about the bytes of texts: a byte model instead of rows of packed tokens."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jaxlm.decoding.bytes import ByteModel, ByteScores, score_bytes
from jaxlm.errors import JaxlmError, ScoreError
from jaxlm.scoring.engine import EngineConfig, EngineSettings, Query

# Texts that are scored in one call, and bytes that end such a call early.
TEXTS_OF_A_CALL, BYTES_OF_A_CALL = 256, 1 << 17


class ByteEngine:
    """A byte model that answers queries: each is a text, and its answer are the scores of its bytes.

    The tokens of such a query are the numbers of the text's bytes. The answer to a text that cannot be scored
    is the error that says why.

    Attributes:
      config: how many queries are asked together.
      work: None, because positions are those of trees of stems, which are not counted.

    Args:
      byte_model: from `make_byte_model`.
      config: of the tokens' engine.
      asked: the config that the user gave.
      windows: how long texts are read, as `score_bytes` takes it.

    Raises:
      ScoreError: if the user gave sizes of rows, which are of tokens.
      UsageError: if windows are out of range.
    """

    def __init__(
        self,
        byte_model: ByteModel,
        config: EngineSettings,
        asked: EngineConfig | None,
        windows: Mapping[str, Any] | None = None,
    ) -> None:
        for name in ("row_length", "rows", "buffer", "tile"):
            if getattr(asked, name, None) is not None:
                raise ScoreError(
                    f"{name} is of rows of tokens, and bytes are scored without them: leave it out"
                )
        self.config, self.work = config, None
        self._byte_model = byte_model
        devices = None if asked is None else asked.devices
        self._options: dict[str, Any] = {**(windows or {}), "devices": devices}
        score_bytes(byte_model, [], **self._options)  # which checks the options

    @property
    def description(self) -> dict[str, Any]:
        """The ids that open a text, and those that end it."""
        return {
            "opening_ids": list(self._byte_model.opening_ids),
            "eos_ids": list(self._byte_model.eos_ids),
        }

    def __call__(self, queries: Iterable[Query]) -> Iterator[ByteScores | JaxlmError]:
        """Yields the scores of each text, in order, or the error that says why it has none.

        Args:
          queries: whose tokens are the numbers of bytes.
        """
        texts: list[bytes] = []
        size = 0
        for query in queries:
            texts.append(query.tokens.astype("uint8").tobytes())
            size += len(texts[-1])
            if len(texts) >= TEXTS_OF_A_CALL or size >= BYTES_OF_A_CALL:
                yield from self._scores(texts)
                texts, size = [], 0
        yield from self._scores(texts)

    def _scores(self, texts: Sequence[bytes]) -> Sequence[ByteScores | JaxlmError]:
        """The scores of some texts: where one of them cannot be scored, halves tell which."""
        try:
            return score_bytes(self._byte_model, texts, **self._options) if texts else []
        except JaxlmError as error:
            if len(texts) == 1:
                return [error]
        half = len(texts) // 2
        return [*self._scores(texts[:half]), *self._scores(texts[half:])]
