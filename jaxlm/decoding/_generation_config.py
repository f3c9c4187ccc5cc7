"""What a generation is asked for."""

import math
from dataclasses import dataclass
from typing import Literal

from jaxlm import tokenizers
from jaxlm.decoding._logits import UNCHANGED, Sampling
from jaxlm.errors import ConfigError
from jaxlm.io import check_numbers


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How much is written, how tokens are chosen, and what ends a text.

    Attributes:
      max_new_tokens: a text gets no more; nor more than the model's context holds, which has no end
        where positions are relative.
      sampling: what happens to the distribution before a token is chosen.
      stop_ids: ids that end a text; None: what closed texts in the model's training, else the tokenizer's
        end-of-sequence token, if it has one, and for an encoder-decoder else the one that closes texts.
      stop_strings: strings that end a text; a string is one of them.
      num_beams: how many continuations beam search keeps; 1: none, each token is chosen once and for all.
      length_penalty: beams are compared by `log-likelihood / length ** length_penalty`.
      early_stopping: True: beam search ends with `num_beams` ended continuations; False: when no open beam
        can be better at its present length; "never": at any length.
      forbidden_ids: ids that are never chosen; None: all may be, unless `with_defaults` knows of some.
      first_id: the id that every text begins with; None: any.
      last_id: the id that ends a text which is as long as it may be; None: any.
      forbidden_first_ids: ids that a text does not begin with, behind `first_id` if there is one.
      forbidden_words: rows of ids that never follow each other so, the prompt's last ones included.
      no_repeat_ngram_size: no row of so many ids stands twice in prompt and text, of an encoder-decoder in
        what its decoder reads; 0 or None: any may.
      min_new_tokens: nothing that ends a text is chosen before it has so many; 0 or None: it may be empty.
      min_length: the same of prompt and text together, of an encoder-decoder of what its decoder reads.

    Raises:
      ConfigError: if a value is out of range or two contradict each other.

    Example:
      >>> from jaxlm.decoding import GenerationConfig
      >>> GenerationConfig(max_new_tokens=0)
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: max_new_tokens is at least 1: got 0
    """

    max_new_tokens: int = 128
    sampling: Sampling = UNCHANGED
    stop_ids: tuple[int, ...] | None = None
    stop_strings: tuple[str, ...] | str = ()
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    forbidden_ids: tuple[int, ...] | None = None
    first_id: int | None = None
    last_id: int | None = None
    forbidden_first_ids: tuple[int, ...] | None = None
    forbidden_words: tuple[tuple[int, ...], ...] | None = None
    no_repeat_ngram_size: int | None = None
    min_new_tokens: int | None = None
    min_length: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop_strings", tuple(tokenizers.as_texts(self.stop_strings)))
        check_numbers(self)
        if not math.isfinite(self.length_penalty):
            raise ConfigError(f"length_penalty is a finite number: got {self.length_penalty}")
        for name in ("max_new_tokens", "num_beams"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is at least 1: got {getattr(self, name)}")
        for name in ("no_repeat_ngram_size", "min_new_tokens", "min_length"):
            if (getattr(self, name) or 0) < 0:
                raise ConfigError(f"{name} is at least 0: got {getattr(self, name)}")
        if (self.min_new_tokens or 0) > self.max_new_tokens:
            raise ConfigError(
                f"min_new_tokens is at most max_new_tokens, {self.max_new_tokens}: got {self.min_new_tokens}"
            )
        if () in (self.forbidden_words or ()):
            raise ConfigError("a forbidden word holds at least one id: got an empty one")
        if isinstance(self.stop_strings, str):
            raise ConfigError(f"stop_strings are a tuple of strings: got {self.stop_strings!r}")
        if "" in self.stop_strings:
            raise ConfigError("a stop string holds at least one character: got an empty one")
        self.sampling.checked()
        if self.num_beams > 1 and self.sampling != UNCHANGED:
            raise ConfigError(
                f"beam search takes the model's distribution as it is: got {self.sampling}; "
                "use num_beams=1 or leave the sampling out"
            )
        if self.num_beams > 1 and self.stop_strings:
            raise ConfigError("beam search ends at stop_ids only: got stop_strings too; leave them out")
