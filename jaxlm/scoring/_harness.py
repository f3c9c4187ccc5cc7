"""A model for EleutherAI's lm-evaluation-harness, by the name `jaxlm`."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from jaxlm import data, decoding, pretrained
from jaxlm.errors import UsageError
from jaxlm.scoring._harness_measure import PAIRS, TokenPairLikelihood
from jaxlm.scoring._harness_tokens import HarnessTokens, Pair
from jaxlm.scoring._scorer import Scorer
from jaxlm.scoring.engine import EngineConfig, complete_config
from jaxlm.scoring.measures import ScoreError

HARNESS = "jaxlm"
# What is scored with a scorer of its own: continuations of contexts, and whole texts.
CONTINUATIONS, TEXTS = "conditional", "log-likelihood"
# What the harness calls the most tokens that are written.
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
ARGUMENTS = ("dtype", "max_length", "batch_size")
# What its command line adds by itself; devices are JAX's own choice.
HARNESS_ARGUMENTS = ("device", "max_batch_size")
SAMPLED_BY = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


class HarnessModel:
    """What the harness asks of a model, answered in the conventions of its own `hf` model.

    Every text, a context too, stands between what the tokenizer's own file puts around it, unless it spells
    the opening token itself; an empty context is bos, or else eos; what is too long loses its beginning, what
    opens it first; rolling windows are disjoint but for the last, which is full, and an empty document has
    none. Where the tokenizer has neither bos nor eos, a text's first token is not scored. What the vocabulary
    cannot write is scored as its unknown token.

    Args:
      folder: a run folder, or a Hugging Face folder or name; `pretrained` for the harness.
      dtype: what to keep parameters in and compute in.
      max_length: the most tokens that are read at once; None: the model's own. Rows are that long only where
        a request is.
      batch_size: prompts that are continued together.

    Raises:
      ScoreError: if the model is no causal LM with a tokenizer.
    """

    def __init__(
        self, folder: str, *, dtype: str | None = None, max_length: int | None = None, batch_size: int = 16
    ) -> None:
        self.loaded = pretrained.load(folder, dtype=dtype)
        if self.loaded.tokenizer is None:
            raise ScoreError("there is no tokenizer beside this model: texts cannot be scored")
        self._tokens = HarnessTokens(self.loaded)
        self._scorers: dict[str, Scorer] = {}
        self._batch_size = batch_size
        self._longest = max_length or self.loaded.config.max_length

    def log_likelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """Returns `log p(continuation | context)` and whether it is what the model would write, a pair."""
        rows = self._scored(
            TokenPairLikelihood(), CONTINUATIONS, [[pair] for pair in self._tokens.pairs(pairs)]
        )
        return [(row["log_likelihood"], row["is_greedy"]) for row in rows]

    def rolling(self, texts: Sequence[str]) -> list[float]:
        """Returns the log-likelihood of each text, its first token given what opens it; 0 of an empty one."""
        windows = [list(self._tokens.rolling(ids, self._longest)) for ids in self._tokens.texts(texts)]
        return [
            float(row["log_likelihood"])
            for row in self._scored(TokenPairLikelihood(shared=False), TEXTS, windows)
        ]

    def written(self, requests: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
        """Returns what the model writes after each context, up to the first of its stop strings."""
        found: dict[int, str] = {}
        groups: dict[str, list[int]] = {}
        for number, (_, options) in enumerate(requests):
            groups.setdefault(repr(sorted(options.items())), []).append(number)
        for numbers in groups.values():
            for start in range(0, len(numbers), self._batch_size):
                chunk = numbers[start : start + self._batch_size]
                texts = self._continued([requests[one][0] for one in chunk], requests[chunk[0]][1])
                found.update(zip(chunk, texts, strict=True))
        return [found[number] for number in range(len(requests))]

    def _scored(
        self, measure: TokenPairLikelihood, kind: str, asked: Sequence[list[Pair]]
    ) -> list[dict[str, Any]]:
        records = [data.Record(str(number), "", {PAIRS: pairs}) for number, pairs in enumerate(asked)]
        sizes = (len(context) + len(rest) - 1 for pairs in asked for context, rest in pairs)
        scorer = self._scorer(measure, kind, max(sizes, default=0))
        return list(_known(scorer(records)))

    def _scorer(self, measure: TokenPairLikelihood, kind: str, longest: int) -> Scorer:
        """A scorer with rows of so many tokens, or of as many as the model reads."""
        # Rows of a model's whole reach would be more than memory holds where it is far and no text is long.
        known = self._scorers.get(kind)
        length = known.engine.config.row_length if known else complete_config(None, self.loaded).row_length
        while length < min(longest, self._longest):
            length *= 2
        length = min(length, self._longest)
        if known is None or known.engine.config.row_length < length:
            known = self._scorers[kind] = Scorer(self.loaded, measure, EngineConfig(row_length=length))
        return known

    def _continued(self, contexts: Sequence[str], options: dict[str, Any]) -> list[str]:
        length = next((options[name] for name in LENGTHS if options.get(name) is not None), 256)
        room = self._longest - length
        if room < 1:
            raise ScoreError(f"{length} tokens are to be written by a model that reads {self._longest}")
        sampled = bool(options.get("do_sample", False)) and options.get("temperature") != 0
        changes = {name: options[name] for name in SAMPLED_BY if sampled and options.get(name) is not None}
        config = decoding.GenerationConfig(
            max_new_tokens=length,
            sampling=decoding.Sampling(**changes),
            stop_strings=tuple(self._stops(options)),
        )
        prompts = [ids[-room:] for ids in self._tokens.prompts(contexts)]
        rng = jax.random.key(0) if sampled else None
        return [one.text for one in decoding.generate(self.loaded, prompts, config, rng=rng)]

    def _stops(self, options: dict[str, Any]) -> list[str]:
        until = options.get("until") or []
        stops = [until] if isinstance(until, str) else list(until)
        return [stop for stop in stops if stop]


def register_harness() -> None:
    """Makes the harness know the model `jaxlm`: `--model jaxlm --model_args pretrained=FOLDER`.

    Raises:
      UsageError: if the harness is not installed.

    Example:
      >>> register_harness()  # doctest: +SKIP
    """
    try:
        # Its own models, which it looks for only where it knows none.
        importlib.import_module("lm_eval.models")
        from lm_eval.api.registry import MODEL_REGISTRY, register_model
    except ImportError as error:
        raise UsageError(
            f"lm-evaluation-harness is not installed ({error}): pip install 'jaxlm[lm-eval]'"
        ) from error
    if HARNESS not in MODEL_REGISTRY:
        register_model(HARNESS)(_adapter())


def refuse_unknown_arguments(options: Mapping[str, Any]) -> None:
    """Refuses model_args that would have no effect.

    Raises:
      ScoreError: names them, and those that there are.

    Example:
      >>> refuse_unknown_arguments({"dtype": "float32", "device": "cpu"})
    """
    unknown = sorted(options.keys() - {*ARGUMENTS, *HARNESS_ARGUMENTS})
    if unknown:
        raise ScoreError(
            f"model_args: {HARNESS} has no {', '.join(unknown)}; there are pretrained, {', '.join(ARGUMENTS)}"
        )


def _adapter() -> type:
    """The harness's own class around ours; made here, as its base is an import that need not be there."""
    from lm_eval.api.model import LM

    class JaxLM(LM):
        """A model of jaxlm's, opened by `pretrained=FOLDER`, with `dtype`, `max_length` and `batch_size`."""

        def __init__(self, pretrained: str, **options: Any) -> None:
            super().__init__()
            refuse_unknown_arguments(options)
            known = {name: options[name] for name in ("dtype", "max_length") if options.get(name) is not None}
            size = str(options.get("batch_size") or "")
            if size.isdigit():
                known["batch_size"] = int(size)
            self.model = HarnessModel(pretrained, **known)

        @property
        def tokenizer_name(self) -> str:
            return self.model.loaded.tokenizer.fingerprint

        def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            return self.model.log_likelihoods([request.args for request in requests])

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
            return self.model.rolling([request.args[0] for request in requests])

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            return self.model.written([request.args for request in requests])

    return JaxLM


def _known(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows with a score: the harness averages, and a request left out would change what."""
    for number, row in enumerate(rows):
        if "error" in row:
            raise ScoreError(f"request {number}: {row['error']}")
        yield row
