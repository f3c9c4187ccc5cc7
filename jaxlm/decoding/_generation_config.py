"""The settings of a generation."""

import math
from dataclasses import dataclass
from typing import Literal

from jaxlm import tokenizers
from jaxlm.decoding._logits import UNCHANGED, Sampling
from jaxlm.errors import ConfigError
from jaxlm.io import check_numbers


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How many tokens a model writes, how it chooses them, and what ends a text.

    Where a field's default is None, None means the rule of the model's files, if the files have such a rule
    (see `with_defaults`); what is said of None below holds if they have none.

    Attributes:
      max_new_tokens: the largest number of new tokens. A text also ends where the model's context is full,
        except for a model with relative positions, which has no such limit.
      sampling: how the distribution is changed before a token is chosen; by default it is not changed.
      stop_ids: ids that end a text; None: the tokens that closed texts in the model's training, else the
        tokenizer's end-of-sequence token, else, for an encoder-decoder, the token that closes texts.
      stop_strings: strings that end a text; a single string is one stop string.
      num_beams: how many continuations (beams) beam search keeps; 1: no beam search.
      length_penalty: the exponent with which beams are compared, by `log-likelihood / length **
        length_penalty`; a larger exponent favours longer texts.
      early_stopping: when beam search ends. True: as soon as `num_beams` continuations have ended. False:
        when no open beam, scored at its present length, can be better than the ended ones. "never": when no
        open beam can be better at any length that it may still reach.
      forbidden_ids: ids that are never chosen; None: the forbidden ids of the model's files, if there are
        any.
      first_id: the id that must begin every text; None: any id may begin a text.
      last_id: the id that is forced at the last allowed position of a text; None: no id is forced.
      forbidden_first_ids: ids that may not begin a text, or may not follow `first_id` if `first_id` is set;
        None: any id may begin a text.
      forbidden_words: sequences of ids that may occur neither in a text nor across the border between prompt
        and text; None: no sequence is forbidden.
      no_repeat_ngram_size: n, if no sequence of n ids may occur twice in prompt and text together (for an
        encoder-decoder: in the text that its decoder reads); 0 or None: repetitions are allowed.
      min_new_tokens: the smallest number of new tokens before a text may end; 0 or None: a text may be empty.
      min_length: the smallest number of tokens of prompt and text together (for an encoder-decoder: of the
        text that its decoder reads) before a text may end; 0 or None: there is no such limit.

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
