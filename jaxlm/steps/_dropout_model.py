"""The model that is run under dropout: the model itself, or another one of its kind."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, pretrained
from jaxlm.errors import UsageError
from jaxlm.io import matches_type
from jaxlm.steps._encoded_texts import model_kind
from jaxlm.steps._layout import EncodedPair
from jaxlm.steps._table import StepFunction


def choose_dropout_model(
    rows: Sequence[StepFunction],
    loaded: pretrained.Loaded,
    aux_model: Any,
    n_mcd_steps: int,
) -> pretrained.Loaded | None:
    """Returns the model that is run under dropout; None if no function needs one.

    Args:
      rows: step functions.
      loaded: the model itself.
      aux_model: another model, as `pretrained.load` returns it; None: the model itself is used.
      n_mcd_steps: how often it is run under dropout.

    Raises:
      UsageError: if an `aux_model` is given that no function needs, it is of another kind or has another
        vocabulary, the model that is used has no dropout, or `n_mcd_steps` is below 1.
      TypeError: if `aux_model` is not a `pretrained.Loaded`.
    """
    asking = [row for row in rows if "noisy_logits" in row.needs]
    if not asking:
        if aux_model is not None:
            names = ", ".join(row.name for row in rows)
            raise UsageError(f"an aux_model is given, and none of {names} runs a model under dropout")
        return None
    if not matches_type(n_mcd_steps, int) or n_mcd_steps < 1:
        raise UsageError(f"n_mcd_steps is a whole number from 1: got {n_mcd_steps!r}")
    noisy = loaded if aux_model is None else aux_model
    if aux_model is not None:
        _check_alike(loaded, aux_model)
    if not any(getattr(noisy.config, rate) for rate in models.DROPOUTS):
        who = "the model" if aux_model is None else "the aux_model"
        raise UsageError(
            f"{asking[0].name} runs a model under dropout, and {who} has none: all of "
            f"{', '.join(models.DROPOUTS)} are 0"
        )
    return noisy


def as_key(rng: Any) -> jax.Array | None:
    """Returns a typed PRNG key, also for a raw key of `jax.random.PRNGKey`; None for None.

    Raises:
      UsageError: if it is not one key.

    Example:
      >>> from jaxlm.steps import as_key
      >>> as_key(0)
      Traceback (most recent call last):
      jaxlm.errors.UsageError: rng is one PRNG key, jax.random.key(seed): got 0
    """
    if rng is None:
        return None
    shape, kind = getattr(rng, "shape", None), getattr(rng, "dtype", None)
    if kind is not None and shape == () and jnp.issubdtype(kind, jax.dtypes.prng_key):
        return rng
    if kind == np.uint32 and shape == jax.random.key_data(jax.random.key(0)).shape:
        return jax.random.wrap_key_data(rng)
    got = repr(rng)[:60] if kind is None or shape is None else f"{kind}{list(shape)}"
    raise UsageError(f"rng is one PRNG key, jax.random.key(seed): got {got}")


def check_dropout_model(
    noisy: pretrained.Loaded | None, loaded: pretrained.Loaded, pairs: Sequence[EncodedPair]
) -> None:
    """Checks that another model that is run under dropout can read texts of these lengths.

    Args:
      noisy: the model that is run under dropout, or None.
      loaded: the model itself.
      pairs: the encoded texts.

    Raises:
      UsageError: if a text is too long; the message has both lengths.
    """
    if noisy is None or noisy is loaded or not pairs:
        return
    longest, most = models.longest_text(noisy.config), max(pair.length for pair in pairs)
    if most > longest:
        raise UsageError(f"the aux_model reads at most {longest} tokens: got a text of {most}")


def _check_alike(loaded: pretrained.Loaded, aux_model: Any) -> None:
    if not isinstance(aux_model, pretrained.Loaded):
        raise TypeError(f"an aux_model is what pretrained.load returns: got {type(aux_model).__name__}")
    kinds = model_kind(loaded), model_kind(aux_model)
    if kinds[0] != kinds[1]:
        raise UsageError(f"an aux_model is of the model's kind, {kinds[0]}: got {kinds[1]}")
    sizes = loaded.config.vocab_size, aux_model.config.vocab_size
    if sizes[0] != sizes[1]:
        raise UsageError(f"an aux_model has the model's vocabulary of {sizes[0]} tokens: got {sizes[1]}")
    ours, theirs = loaded.tokenizer, aux_model.tokenizer
    if ours is not None and theirs is not None and ours.fingerprint != theirs.fingerprint:
        different = next(
            (id for id in range(ours.vocab_size) if _token(ours, id) != _token(theirs, id)), None
        )
        if different is not None:
            here, there = (_token(tokenizer, different) for tokenizer in (ours, theirs))
            raise UsageError(
                f"an aux_model has the model's vocabulary: id {different} is {here!r} here, {there!r} there"
            )


def _token(tokenizer: Any, id: int) -> str | None:
    return tokenizer.token(id) if id < tokenizer.vocab_size else None
