"""A model for EleutherAI's lm-evaluation-harness, by the name `jaxlm`."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from jaxlm import data, decoding, pretrained
from jaxlm.scoring._conditional import Conditional
from jaxlm.scoring._engine_config import EngineConfig, filled
from jaxlm.scoring._log_likelihood_measure import LogLikelihood
from jaxlm.scoring._measure import Measure, ScoreError
from jaxlm.scoring._scorer import Scorer

NAME, CONTEXT = "jaxlm", "context"
# What the harness calls the most tokens that are written.
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
ARGUMENTS = ("dtype", "max_length", "batch_size")
# What its command line adds by itself; devices are JAX's own choice.
HARNESS_ARGUMENTS = ("device", "max_batch_size")
SAMPLED = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


class HarnessModel:
    """What the harness asks of a model, answered in the conventions of its own `hf` model.

    An empty context is the opening token, which a text has in front only if the tokenizer's own file puts it
    there; what is too long loses its beginning, the opening token first; rolling windows are disjoint but for
    the last, which is full. Where the tokenizer has no such token, a text's first token is not scored.
    What the vocabulary cannot write is scored as its unknown token.

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
        opens = self._opens()
        has_ends = self.loaded.tokenizer.specials.ends is not None
        bos = "document" if opens else "empty" if has_ends else "none"
        self._conditional = Conditional(context=CONTEXT, bos=bos, long="last", unknown="score")
        first = "document" if has_ends else "none"
        self._rolling = LogLikelihood(bos=first, context=1, unknown="score")
        self._scorers: dict[str, Scorer] = {}
        self._batch_size = batch_size
        self._longest = max_length or self.loaded.config.max_length

    def log_likelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """Returns `log p(continuation | context)` and whether it is what the model would write, a pair."""
        records = [
            data.Record(str(number), continuation, {CONTEXT: context})
            for number, (context, continuation) in enumerate(pairs)
        ]
        rows = self._scorer(self._conditional, records)(records)
        return [(row["log_likelihood"], row["is_greedy"]) for row in _scored(rows)]

    def rolling(self, texts: Sequence[str]) -> list[float]:
        """Returns the log-likelihood of each text, the first token given the opening one."""
        records = [data.Record(str(number), text, {}) for number, text in enumerate(texts)]
        rows = self._scorer(self._rolling, records)(records)
        return [row["log_likelihood"] for row in _scored(rows)]

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

    def _scorer(self, measure: Measure, records: Sequence[data.Record]) -> Scorer:
        """A scorer with rows that hold all of these records, or what the model reads of the longest."""
        # Rows of a model's whole reach would be more than memory holds where it is far and no text is long.
        texts = [measure.texts(record)[-1] for record in records]
        longest = max(map(len, self.loaded.tokenizer.encode_batch(texts)), default=0) + 1
        known = self._scorers.get(measure.name)
        length = known.engine.config.row_length if known else filled(None, self.loaded).row_length
        while length < min(longest, self._longest):
            length *= 2
        length = min(length, self._longest)
        if known is None or known.engine.config.row_length < length:
            known = Scorer(self.loaded, measure, EngineConfig(row_length=length))
            self._scorers[measure.name] = known
        return known

    def _continued(self, contexts: Sequence[str], options: dict[str, Any]) -> list[str]:
        length = next((options[name] for name in LENGTHS if options.get(name) is not None), 256)
        room = self._longest - length
        if room < 1:
            raise ScoreError(f"{length} tokens are to be written by a model that reads {self._longest}")
        until = options.get("until") or []
        stops = [until] if isinstance(until, str) else list(until)
        sampled = bool(options.get("do_sample", False)) and options.get("temperature") != 0
        changes = {name: options[name] for name in SAMPLED if sampled and options.get(name) is not None}
        config = decoding.GenerationConfig(
            max_new_tokens=length,
            sampling=decoding.Sampling(**changes),
            stop_strings=tuple(stop for stop in stops if stop),
        )
        loaded = self.loaded
        prompts = [self._prompt(context)[-room:] for context in contexts]
        rng = jax.random.key(0) if sampled else None
        written = decoding.generate(loaded.model, loaded.params, loaded.tokenizer, prompts, config, rng=rng)
        return [one.text for one in written]

    def _prompt(self, context: str) -> Any:
        ends = self.loaded.tokenizer.specials.ends
        opening = [ends[0]] if ends is not None and (self._opens() or not context) else []
        return [*opening, *self.loaded.tokenizer.encode(context).tolist()]

    def _opens(self) -> bool:
        """Whether the tokenizer's own file puts a token in front of every text."""
        if self.loaded.tokenizer is None:
            raise ScoreError("there is no tokenizer beside this model: texts cannot be scored")
        backend = self.loaded.tokenizer.backend
        with_them, without = (backend.encode("a", add_special_tokens=add).ids for add in (True, False))
        return with_them[:1] != without[:1]


def register_harness() -> None:
    """Makes the harness know the model `jaxlm`: `--model jaxlm --model_args pretrained=FOLDER`.

    Raises:
      ValueError: if the harness is not installed.

    Example:
      >>> register_harness()  # doctest: +SKIP
    """
    try:
        # Its own models, which it looks for only where it knows none.
        importlib.import_module("lm_eval.models")
        from lm_eval.api.registry import MODEL_REGISTRY, register_model
    except ImportError as error:
        raise ValueError(
            f"lm-evaluation-harness is not installed ({error}): pip install 'jaxlm[lm-eval]'"
        ) from error
    if NAME not in MODEL_REGISTRY:
        register_model(NAME)(_adapter())


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
            f"model_args: {NAME} has no {', '.join(unknown)}; there are pretrained, {', '.join(ARGUMENTS)}"
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


def _scored(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows with a score: the harness averages, and a request left out would change what."""
    for number, row in enumerate(rows):
        if "error" in row:
            raise ScoreError(f"request {number}: {row['error']}")
        yield row
