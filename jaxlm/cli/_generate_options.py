"""The options of `jaxlm generate`, and which of them are for tokens or for bytes alone."""

import dataclasses
from collections.abc import Iterable
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxlm.cli._byte_models import Unit
from jaxlm.cli._failures import UsageError
from jaxlm.cli._models import DType

# Options that say nothing about bytes, with what can be given instead.
OF_TOKENS = {
    "--max-new-tokens": "use --max-new-bytes",
    "--num-beams": "a beam over bytes is --num-candidates",
    "--repetition-penalty": "every text repeats its bytes; leave it out",
    "--no-repeat-ngram-size": "every text repeats its bytes; leave it out",
    "--min-new-tokens": "leave it out",
    "--length-penalty": "leave it out",
    "--early-stopping": "leave it out",
}
OF_BYTES = (
    "--max-new-bytes",
    "--byte-temperature",
    "--byte-top-k",
    "--byte-top-p",
    "--byte-min-p",
    "--valid-utf8",
    "--num-candidates",
    "--prune-threshold",
    "--opening",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generate:
    """Continue a text: with the likeliest token each time, with draws (--temperature), or by beam search.

    Example: jaxlm generate ./gpt2 "Once upon a time" --temperature 0.8 --top-p 0.95

    An encoder-decoder reads it and writes another: jaxlm generate ./t5 "translate English to German: Thanks!"

    Byte by byte, behind a text that may end inside a token: jaxlm generate ./gpt2 "def f(x" --unit byte

    Attributes:
      model: a run folder that jaxlm train wrote, or a Hugging Face folder or name
      text: one text or several, or none if the model has a token that begins texts; - reads one a line
      unit: token, or byte for a causal model: the next byte is chosen from the model's distribution of bytes
      max_new_tokens: the most tokens to write
      temperature: divides the logits before each draw; 0 takes the likeliest token
      top_k: draw among this many of the likeliest tokens
      top_p: draw among the likeliest tokens whose probabilities add up to this
      min_p: draw among the tokens with at least this share of the likeliest token's probability
      repetition_penalty: above 1 makes tokens less likely that the text has already
      no_repeat_ngram_size: never repeat a sequence of this many tokens; 0: repetition is allowed; None: as
        the model's files say
      min_new_tokens: the fewest tokens to write; None: as the model's files say
      num_beams: keep this many continuations and write the best one
      length_penalty: for beams: above 0 favours long texts, below 0 short ones; None: 1
      early_stopping: for beams: stop as soon as num_beams are finished (yes), when a better one is unlikely
        (no), or when none is possible (never); None: no
      stop: strings that end the text
      max_new_bytes: the most bytes to write
      byte_temperature: divides the log-probabilities of bytes before each draw; 0 takes the likeliest byte;
        None: 1 if tokens have a temperature, else 0
      byte_top_k: draw among this many of the likeliest bytes
      byte_top_p: draw among the likeliest bytes whose probabilities add up to this
      byte_min_p: draw among the bytes with at least this share of the likeliest byte's probability
      valid_utf8: write only bytes that keep the text valid UTF-8
      num_candidates: of bytes: follow this many ways to divide the text into tokens, a beam; the options
        --temperature, --top-k, --top-p and --min-p then change its distribution of tokens; None: follow the
        tokenizer's own way, exactly
      prune_threshold: for a beam: leave out what has a smaller share of the probability; None: nothing
      opening: of bytes: text before each text, in which special tokens are read as such; None: the tokens
        that begin texts
      seed: of the draws; None: 0
      dtype: type of the parameters and of the computation; None: the run's, and float32 for a Hugging Face
        folder
      json: print one JSON object a line, one for each text; bytes are lists of numbers
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    text: Annotated[Positional[tuple[str, ...]], arg(metavar="TEXT")] = ()
    unit: Unit = "token"
    max_new_tokens: Annotated[int, arg(aliases=["-n"])] = 128
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    min_new_tokens: int | None = None
    num_beams: int = 1
    length_penalty: float | None = None
    early_stopping: Literal["yes", "no", "never"] | None = None
    stop: tuple[str, ...] = ()
    max_new_bytes: int = 256
    byte_temperature: float | None = None
    byte_top_k: int | None = None
    byte_top_p: float | None = None
    byte_min_p: float | None = None
    valid_utf8: FlagCreatePairsOff[bool] = False
    num_candidates: int | None = None
    prune_threshold: float | None = None
    opening: str | None = None
    seed: int | None = None
    dtype: DType | None = None
    json: FlagCreatePairsOff[bool] = False


def refuse_options_of_bytes(given: Iterable[str]) -> None:
    """Refuses options that are for bytes alone.

    Args:
      given: the full names of the options that were given.

    Raises:
      UsageError: names the first of them.
    """
    name = next((name for name in given if name in OF_BYTES), None)
    if name is not None:
        raise UsageError(f"{name} is for bytes: add --unit byte, or leave {name} out")


def refuse_options_of_tokens(given: Iterable[str]) -> None:
    """Refuses options that are for tokens alone.

    Args:
      given: the full names of the options that were given.

    Raises:
      UsageError: names the first of them, and what can be given instead.
    """
    name = next((name for name in given if name in OF_TOKENS), None)
    if name is not None:
        raise UsageError(f"{name} is for tokens, and --unit byte writes bytes: {OF_TOKENS[name]}")


def given_options(options: Generate, *names: str) -> list[str]:
    """Returns which of some options have a value, as the command line spells them.

    Args:
      options: of the command line.
      names: of the fields, which are None by default.
    """
    return [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]


def checked_seed(options: Generate) -> int:
    """Returns the seed of the draws.

    Args:
      options: of the command line.

    Raises:
      UsageError: if it is out of range.
    """
    if not 0 <= (options.seed or 0) < 2**32:
        raise UsageError(f"--seed is from 0 and below 2**32: got {options.seed}")
    return options.seed or 0
