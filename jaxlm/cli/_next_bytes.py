"""`jaxlm next --unit byte`: the likeliest next bytes, and the probability of a text and its continuation."""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from jaxlm import reports, tokenizers
from jaxlm.cli._byte_models import argument_bytes, check_begun, open_byte_model, warn_of_specials
from jaxlm.cli._failures import UsageError
from jaxlm.cli._models import DType
from jaxlm.cli._output import show
from jaxlm.decoding.bytes import ByteLogProbs, ByteModel, score_bytes, tree_state

PROBABILITIES = {
    "stem": "P_stem, of texts that begin so; all tokens but the last are the tokenizer's",
    "canonical": "P_canonical, of texts that begin so; all tokens are the tokenizer's",
}


class ByteAnswer(NamedTuple):
    """The next byte of a text.

    Attributes:
      text: the bytes before it.
      view: the log-probs of each next byte, and of the text's end.
      log_prob: of the text, in nats.
      dropped: the share of the probability that was left out.
      name: of the probability.
      target: a continuation.
      target_log_probs: of each byte of the continuation; None without one.
    """

    text: bytes
    view: ByteLogProbs
    log_prob: float
    dropped: float
    name: str
    target: bytes = b""
    target_log_probs: tuple[float, ...] | None = None

    @property
    def target_loss(self) -> float:
        """Minus the mean log-prob of the continuation's bytes, in nats."""
        own = self.target_log_probs or ()
        return -math.fsum(own) / len(own) if own else math.nan


def show_next_bytes(
    model: str,
    requests: Iterable[tuple[str, str | None]],
    *,
    top_k: int,
    dtype: DType | None,
    opening: str | None,
    as_json: bool,
) -> None:
    """Prints the likeliest next bytes of each text.

    Args:
      model: a folder or a name.
      requests: texts, each with a continuation or None.
      top_k: how many bytes.
      dtype: type of the parameters and of the computation.
      opening: text before every text, as for `open_byte_model`.
      as_json: prints JSON objects, one a line.

    Raises:
      UsageError: if the request cannot be met.
    """
    byte_model, tokenizer = open_byte_model(model, dtype=dtype, opening=opening)
    for number, answer in enumerate(_answers(model, byte_model, tokenizer, requests)):
        if as_json:
            print(json.dumps(next_bytes_as_json(answer, top_k), ensure_ascii=False))
        else:
            print("\n" * (number > 0) + answer.text.decode(errors="backslashreplace"))
            show(reports.next_bytes_table(answer.view, top_k))
            _show_totals(answer)
    if not as_json:
        print(f"P is {PROBABILITIES[byte_model.settings.probability]}")


def next_bytes_as_json(answer: ByteAnswer, top_k: int) -> dict[str, Any]:
    """Returns the next bytes of a text as JSON values; 256 stands for the end of the text.

    Args:
      answer: what follows a text.
      top_k: how many bytes.
    """
    top = answer.view.top(top_k)
    values = {
        "sentence": answer.text.decode(errors="replace"),
        "sentence_bytes": list(answer.text),
        "probabilities": [math.exp(log_prob) for log_prob in top.values()],
        "top_bytes": list(top),
        "log_prob": answer.log_prob,
        "probability": answer.name,
        "dropped": answer.dropped,
    }
    if answer.target_log_probs is None:
        return values
    return values | {
        "target_bytes": list(answer.target),
        "target_log_probs": list(answer.target_log_probs),
        "loss": answer.target_loss,
        "bits_per_byte": answer.target_loss / math.log(2.0),
    }


def _answers(
    model: str,
    byte_model: ByteModel,
    tokenizer: tokenizers.Tokenizer,
    requests: Iterable[tuple[str, str | None]],
) -> Iterator[ByteAnswer]:
    first = tree_state(byte_model)
    for text, target in requests:
        before, after = argument_bytes(text), argument_bytes(target or "")
        check_begun(model, byte_model, [before])
        warn_of_specials("jaxlm next", tokenizer, [before])
        state = first.prefill(before)
        own = None
        if after:
            (scores,) = score_bytes(byte_model, [before + after])
            own = tuple(scores.log_probs[len(before) :].tolist())
        log_prob, view = state.log_prob, state.logp_next()
        if not math.isfinite(view.log_probs.max()):
            raise UsageError(
                f"no byte can follow {before[-20:]!r}: the model gives the text the probability 0"
            )
        name = byte_model.settings.probability
        yield ByteAnswer(before, view, log_prob, state.dropped, name, after, own)


def _show_totals(answer: ByteAnswer) -> None:
    """Prints the probability of the text in words, and that of the continuation."""
    size = len(answer.text)
    if size:
        bits = -answer.log_prob / math.log(2.0) / size
        count = "1 byte" if size == 1 else f"{size:,} bytes"
        print(f"log P of the text: {answer.log_prob:.4f} nats, {count}, {bits:.3f} bits a byte")
    if answer.dropped:
        print(f"{answer.dropped:.1e} of P is left out")
    if answer.target_log_probs is not None:
        loss = answer.target_loss
        print(f"target: {loss:.4f} nats a byte, {loss / math.log(2.0):.3f} bits a byte")
