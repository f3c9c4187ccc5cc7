"""A model for EleutherAI's lm-evaluation-harness, by the name `jaxlm`."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from jaxlm import data, decoding, pretrained
from jaxlm.errors import UsageError
from jaxlm.scoring._harness_measure import PAIRS, TokenPairLikelihood
from jaxlm.scoring._harness_tokens import HarnessTokens, TokenPair
from jaxlm.scoring._scorer import Scorer
from jaxlm.scoring.engine import EngineConfig, complete_config
from jaxlm.scoring.measures import ScoreError

HARNESS = "jaxlm"
BATCH_SIZE = 16
# Each of these has a scorer of its own: continuations of contexts, and whole texts.
CONTINUATIONS, TEXTS = "conditional", "log-likelihood"
# The harness's names for the most tokens that are generated.
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
ARGUMENTS = ("dtype", "max_length", "batch_size")
# Added by the harness's command line, without effect: JAX chooses the devices.
HARNESS_ARGUMENTS = ("device", "max_batch_size")
SAMPLING_OPTIONS = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


class HarnessModel:
    """Answers the requests of lm-evaluation-harness by the conventions of the harness's own `hf` model.

    - Every text, and every context, is read with the tokens around it that the tokenizer's file puts there,
      unless the text itself begins with the opening token.
    - An empty context is replaced by the token bos, or by eos if the tokenizer has no bos.
    - A text that is too long loses its beginning, the opening token first.
    - Rolling windows do not overlap, except the last one, which is full; an empty document has no window.
    - If the tokenizer has neither bos nor eos, a text's first token is not scored.
    - Text that the vocabulary cannot write is scored as the unknown token.

    Args:
      folder: a run folder, or a Hugging Face folder or name; the harness calls it `pretrained`.
      dtype: the dtype of the parameters and of the computation.
      max_length: the largest number of tokens that are read at once; None: the model's own limit. Batches
        have shorter rows as long as no request needs the full length.
      batch_size: how many prompts are continued together.

    Raises:
      ScoreError: if the model is not a causal LM.
      UsageError: if the model has no tokenizer.
    """

    def __init__(
        self,
        folder: str,
        *,
        dtype: pretrained.DType | None = None,
        max_length: int | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self.loaded = pretrained.load(folder, dtype=dtype)
        self._tokens = HarnessTokens(self.loaded)
        self._scorers: dict[str, Scorer] = {}
        self._batch_size = batch_size
        self._longest = max_length or self.loaded.config.max_length

    def log_likelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """Returns for each pair `log p(continuation | context)` in nats, and whether it is greedy.

        A continuation is greedy if each of its tokens is the likeliest one.
        """
        rows = self._scored(
            TokenPairLikelihood(), CONTINUATIONS, [[pair] for pair in self._tokens.pairs(pairs)]
        )
        return [(row["log_likelihood"], row["is_greedy"]) for row in rows]

    def rolling(self, texts: Sequence[str]) -> list[float]:
        """Returns the log-likelihood of each text in nats, given the opening token; 0 for an empty text."""
        windows = [list(self._tokens.rolling(ids, self._longest)) for ids in self._tokens.texts(texts)]
        return [
            float(row["log_likelihood"])
            for row in self._scored(TokenPairLikelihood(shared=False), TEXTS, windows)
        ]

    def generate(self, requests: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
        """Returns the continuation of each context, up to the first stop string that its request names."""
        written: dict[int, str] = {}
        groups: dict[str, list[int]] = {}
        for number, (_, options) in enumerate(requests):
            groups.setdefault(repr(sorted(options.items())), []).append(number)
        for numbers in groups.values():
            for start in range(0, len(numbers), self._batch_size):
                chunk = numbers[start : start + self._batch_size]
                texts = self._continued([requests[index][0] for index in chunk], requests[chunk[0]][1])
                written.update(zip(chunk, texts, strict=True))
        return [written[number] for number in range(len(requests))]

    def _scored(
        self, measure: TokenPairLikelihood, kind: str, asked: Sequence[list[TokenPair]]
    ) -> list[dict[str, Any]]:
        records = [data.Record(str(number), "", {}, {PAIRS: pairs}) for number, pairs in enumerate(asked)]
        sizes = (len(context) + len(rest) - 1 for pairs in asked for context, rest in pairs)
        scorer = self._scorer(measure, kind, max(sizes, default=0))
        return list(_scores(scorer(records)))

    def _scorer(self, measure: TokenPairLikelihood, kind: str, longest: int) -> Scorer:
        """Returns a scorer whose rows have `longest` tokens or more, up to the most that the model reads."""
        # Rows of the model's `max_length` would fill the memory for nothing if all texts are short.
        scorer = self._scorers.get(kind)
        config = complete_config(None, self.loaded) if scorer is None else scorer.engine.config
        before = config.row_length or self._longest
        length = before
        while length < min(longest, self._longest):
            length *= 2
        length = min(length, self._longest)
        if scorer is None or before < length:
            scorer = self._scorers[kind] = Scorer(self.loaded, measure, EngineConfig(row_length=length))
        return scorer

    def _continued(self, contexts: Sequence[str], options: dict[str, Any]) -> list[str]:
        length = next((options[name] for name in LENGTHS if options.get(name) is not None), 256)
        capacity = self._longest - length
        if capacity < 1:
            raise ScoreError(f"{length} tokens are to be written by a model that reads {self._longest}")
        sampled = bool(options.get("do_sample", False)) and options.get("temperature") != 0
        changes = {
            name: options[name] for name in SAMPLING_OPTIONS if sampled and options.get(name) is not None
        }
        config = decoding.GenerationConfig(
            max_new_tokens=length,
            sampling=decoding.Sampling(**changes),
            stop_strings=tuple(self._stops(options)),
        )
        prompts = [ids[-capacity:] for ids in self._tokens.prompts(contexts)]
        rng = jax.random.key(0) if sampled else None
        return [written.text for written in decoding.generate(self.loaded, prompts, config, rng=rng)]

    def _stops(self, options: dict[str, Any]) -> list[str]:
        until = options.get("until") or []
        stops = [until] if isinstance(until, str) else list(until)
        return [stop for stop in stops if stop]


def register_harness() -> None:
    """Registers the model `jaxlm` with lm-evaluation-harness: `--model jaxlm --model_args pretrained=FOLDER`.

    Raises:
      UsageError: if the harness is not installed.

    Example:
      >>> from jaxlm.scoring import register_harness
      >>> register_harness()  # doctest: +SKIP
    """
    try:
        # The harness imports its own models only as long as no model is registered.
        importlib.import_module("lm_eval.models")
        from lm_eval.api.registry import MODEL_REGISTRY, register_model
    except ImportError as error:
        raise UsageError(
            f"lm-evaluation-harness is not installed ({error}): pip install 'jaxlm[lm-eval]'"
        ) from error
    if HARNESS not in MODEL_REGISTRY:
        register_model(HARNESS)(_adapter())


def refuse_unknown_arguments(options: Mapping[str, Any]) -> None:
    """Raises `ScoreError` for model_args that would have no effect.

    Args:
      options: model_args, by name.

    Raises:
      ScoreError: if there are any; the message names them and those that have an effect.

    Example:
      >>> from jaxlm.scoring._harness import refuse_unknown_arguments
      >>> refuse_unknown_arguments({"dtype": "float32", "device": "cpu"})
    """
    unknown = sorted(options.keys() - {*ARGUMENTS, *HARNESS_ARGUMENTS})
    if unknown:
        raise ScoreError(
            f"model_args: {HARNESS} has no {', '.join(unknown)}; it has pretrained, {', '.join(ARGUMENTS)}"
        )


def _adapter() -> type:
    """Returns a class of the harness's; made here, because its base class need not be installed."""
    from lm_eval.api.model import LM

    class JaxLM(LM):
        """A model of jaxlm's, opened by `pretrained=FOLDER`, with `dtype`, `max_length` and `batch_size`."""

        def __init__(self, pretrained: str | None = None, **options: Any) -> None:
            super().__init__()
            if pretrained is None:
                raise UsageError(
                    f"model_args names no model: add --model_args pretrained=MODEL, a run folder, or a "
                    f"Hugging Face folder or name (--model {HARNESS} --model_args pretrained=./gpt2)"
                )
            refuse_unknown_arguments(options)
            size = str(options.get("batch_size") or "")
            self.model = HarnessModel(
                pretrained,
                dtype=options.get("dtype"),
                max_length=options.get("max_length"),
                batch_size=int(size) if size.isdigit() else BATCH_SIZE,
            )

        @property
        def tokenizer_name(self) -> str:
            return self.model.loaded.text_tokenizer.fingerprint

        def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            return self.model.log_likelihoods([request.args for request in requests])

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
            return self.model.rolling([request.args[0] for request in requests])

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            return self.model.generate([request.args for request in requests])

    return JaxLM


def _scores(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields the rows; raises for one without a score, which would change the harness's averages unseen."""
    for number, row in enumerate(rows):
        if "error" in row:
            raise ScoreError(f"request {number}: {row['error']}")
        yield row
