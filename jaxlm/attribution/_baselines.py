"""Baselines: what replaces the tokens of a text, by name, as another text, or as vectors.

Letters: `L` positions of a row, `D` width.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlm import models, pretrained, steps
from jaxlm.attribution._predictions import Sides
from jaxlm.errors import JaxlmError, UsageError

# A vector of zeros, the embedding of a special token, or the mean over the vocabulary's embeddings.
BASELINES = ("zero", "pad", "mask", "unk", "mean")


class Baseline(NamedTuple):
    """What replaces the tokens of each side of an encoder-decoder.

    Each field is what the argument `baseline` of `attribute` is for other models: a name of `BASELINES`, a
    text for each text (of as many tokens), ids, or vectors.

    Attributes:
      texts: for what the encoder reads.
      targets: for what the decoder reads.

    Example:
      >>> from jaxlm.attribution import Baseline
      >>> Baseline(texts="pad").targets
      'zero'
    """

    texts: Any = "zero"
    targets: Any = "zero"


def read_baselines(
    reader: steps.TextReader,
    loaded: pretrained.Loaded,
    baseline: Any,
    rows: Sequence[steps.EncodedText],
    *,
    is_prompted: bool,
) -> list[Sides]:
    """Returns for each text what replaces its tokens: ids `Int32[L]`, or vectors `Float32[L D]` or `[D]`.

    Args:
      reader: encodes texts.
      loaded: the model.
      baseline: as for `attribute`.
      rows: the encoded texts.
      is_prompted: whether the texts are a causal model's prompts with targets.

    Raises:
      UsageError: if a name is unknown, the model has no such token, or a baseline has another length than its
        text.
    """
    has_source = reader.kind == "seq2seq"
    if not isinstance(baseline, Baseline):
        is_for_both = not has_source or (isinstance(baseline, str) and baseline in BASELINES)
        baseline = Baseline(baseline, baseline) if is_for_both else Baseline(baseline)
    elif not has_source:
        raise UsageError("a Baseline has two sides, for an encoder-decoder: got one; give its texts alone")
    given = baseline.targets if has_source else baseline.texts
    targets = _of_side(reader, loaded, given, rows, is_prompted=is_prompted, is_target=has_source)
    if not has_source:
        return [Sides(target) for target in targets]
    sources = _of_side(reader, loaded, baseline.texts, rows, is_prompted=False, is_target=False)
    return [Sides(*sides) for sides in zip(targets, sources, strict=True)]


def _of_side(
    reader: steps.TextReader,
    loaded: pretrained.Loaded,
    given: Any,
    rows: Sequence[steps.EncodedText],
    *,
    is_prompted: bool,
    is_target: bool,
) -> list[np.ndarray]:
    is_source = reader.kind == "seq2seq" and not is_target
    read = [row.source if is_source and row.source is not None else row.tokens for row in rows]
    if isinstance(given, str) and given in BASELINES:
        if given in ("zero", "mean"):
            vector = np.zeros(1, np.float32) if given == "zero" else mean_embedding(loaded)
            return [vector] * len(rows)
        token = _special_id(loaded, given)
        return [np.full(len(ids), token, np.int32) for ids in read]
    if getattr(given, "dtype", None) is not None and np.issubdtype(np.asarray(given).dtype, np.floating):
        return [_vectors(given, len(ids), loaded.config.width) for ids in read]
    texts = _one_each(given, len(rows))

    def of(number: int) -> np.ndarray:
        text, ids = texts[number], read[number]
        if getattr(text, "dtype", None) is not None and np.issubdtype(np.asarray(text).dtype, np.floating):
            return _vectors(text, len(ids), loaded.config.width)
        other = reader.read_ids(text, is_prompt=is_prompted, is_target=is_target)
        # The last token of a causal text, and of what a decoder writes, is predicted and not read.
        if is_target:
            other = np.concatenate([ids[:1], other]).astype(np.int32)
        is_whole = reader.kind != "masked" and not is_source and len(other) == len(ids) + 1
        if len(other) != len(ids) and not is_whole:
            named = f", or a name: {', '.join(BASELINES)}" if isinstance(text, str) else ""
            raise UsageError(
                f"a baseline has as many tokens as its text, {len(ids)}{named}: got {text!r:.60}, "
                f"{len(other)} tokens"
            )
        return other[: len(ids)]

    return [_with_number(number, of) for number in range(len(rows))]


def _with_number(number: int, of: Any) -> np.ndarray:
    try:
        return of(number)
    except JaxlmError as error:
        raise UsageError(f"baseline of text {number}: {error}") from error


def _one_each(given: Any, num: int) -> list[Any]:
    """A baseline for each text: one text or row of ids counts for all of them."""
    if isinstance(given, str):
        return [given] * num
    if not isinstance(given, Iterable):
        raise UsageError(
            f"a baseline is one of {', '.join(BASELINES)}, a text, ids or vectors: got {given!r:.60}"
        )
    listed = list(given)
    if listed and not isinstance(listed[0], str) and np.ndim(listed[0]) == 0:
        return [np.asarray(listed)] * num
    if len(listed) != num:
        raise UsageError(f"baselines: expected one for each of {num} texts, got {len(listed)}")
    return listed


def _vectors(given: Any, length: int, width: int) -> np.ndarray:
    vectors = np.asarray(given, np.float32)
    if vectors.shape not in ((width,), (length, width)):
        raise UsageError(
            f"a baseline's vectors have the shape {(width,)} or {(length, width)}: got {vectors.shape}"
        )
    return vectors


def _special_id(loaded: pretrained.Loaded, name: str) -> int:
    tokenizer = loaded.tokenizer
    own = None if tokenizer is None else getattr(tokenizer.specials, name)
    if own is None and name == "mask":
        own = loaded.config.mask_id
    if own is None:
        raise UsageError(
            f"baseline {name!r} is this model's {name} token, and it has none; give another of "
            f"{', '.join(BASELINES)}"
        )
    return own


def mean_embedding(loaded: pretrained.Loaded) -> np.ndarray:
    """Returns the mean of all token embeddings, `Float32[D]`.

    Args:
      loaded: the model.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained
      >>> from jaxlm.attribution._baselines import mean_embedding
      >>> config = models.TransformerConfig(vocab_size=9, width=8, depth=1, num_heads=2)
      >>> model = models.build(config)
      >>> params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> mean_embedding(pretrained.Loaded(config, "masked_lm", model, params, None, {})).shape
      (8,)
    """
    tokens = jnp.arange(loaded.config.required_vocab_size(), dtype=jnp.int32)
    vectors = models.apply_token_vectors(loaded.model, loaded.params, tokens[:, None])
    return np.asarray(vectors.astype(jnp.float32).mean((0, 1)))
