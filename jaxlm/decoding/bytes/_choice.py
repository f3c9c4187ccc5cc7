"""How the next byte of many texts is chosen: the likeliest or a draw, and valid UTF-8 if that is asked for.

Letters: `B` texts.
"""

import functools
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.decoding import Sampling, warp_logits
from jaxlm.decoding.bytes._probs import NUM_BYTES
from jaxlm.decoding.bytes._utf8 import INVALID, MISSING, NEXT_STATES, START
from jaxlm.typing import Array, Bool, Float, Int, Key, UInt32

# In place of a symbol where none may be chosen.
NO_SYMBOL = -1


class ByteChoice(NamedTuple):
    """How bytes are chosen. All fields are arrays or None, so that other values compile nothing.

    Attributes:
      sampling: how the distribution of the next byte is changed before.
      rng: PRNG key of all draws; None: the likeliest byte is taken.
      names: `UInt32[B 2]` what the draws of a text depend on, besides the key and the offset.
      utf8: `Bool[]`, True = only bytes that keep the text valid UTF-8.
    """

    sampling: Sampling
    rng: Key[Array, ""] | None
    names: UInt32[Array, "B 2"]
    utf8: Bool[Array, ""]


def choose_bytes(
    log_probs: Float[Array, "B 257"],
    choice: ByteChoice,
    steps: Int[Array, " B"],
    bytes_left: Int[Array, " B"],
    utf8: Int[Array, " B"],
) -> tuple[Int[Array, " B"], Int[Array, " B"]]:
    """Returns a symbol of each text, -1 where none may be chosen, and the state of its characters after it.

    The draw is `argmax(log_probs + Gumbel noise)`. The noise is a function of the key, the text's name and
    its offset, so that a text draws the same in any batch.

    Args:
      log_probs: `Float[B 257]` of the next byte, or of the end.
      choice: how it is chosen.
      steps: `Int[B]` how many bytes were chosen before.
      bytes_left: `Int[B]` how many bytes a text may still get; a character that needs more is not begun.
      utf8: `Int[B]` the state of the characters.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding import Sampling
      >>> from jaxlm.decoding.bytes._choice import ByteChoice, choose_bytes
      >>> choice = ByteChoice(Sampling(), None, jnp.zeros((1, 2), jnp.uint32), jnp.array(True))
      >>> log_probs = jnp.full((1, 257), -5.0).at[0, 0xC3].set(-1.0).at[0, 0x62].set(-2.0)
      >>> one, two = jnp.array([1]), jnp.array([2])
      >>> [choose_bytes(log_probs, choice, one, left, 0 * one)[0].item() for left in (one, two)]
      [98, 195]
    """
    following = jnp.asarray(NEXT_STATES)[utf8]
    fits = (following != INVALID) & (jnp.asarray(MISSING)[following] < bytes_left[:, None])
    fits = jnp.concatenate([fits, (utf8 == START)[:, None]], axis=1)
    allowed = (log_probs > -jnp.inf) & (fits | ~choice.utf8)
    logits = warp_logits(jnp.where(allowed, log_probs, -jnp.inf), choice.sampling)
    rng = choice.rng
    if rng is not None:

        def noise(name: Array, step: Array) -> Array:
            key = functools.reduce(jax.random.fold_in, (name[0], name[1], step), rng)
            return jax.random.gumbel(key, logits.shape[1:], jnp.float32)

        logits = logits + jax.vmap(noise)(choice.names, steps.astype(jnp.uint32))
    symbols = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    symbols = jnp.where(allowed.any(1), symbols, NO_SYMBOL)
    letters = jnp.clip(symbols, 0, NUM_BYTES - 1)[:, None]
    after = jnp.take_along_axis(following, letters, axis=1)[:, 0]
    # A byte that fits nowhere begins a character, if it can.
    begun = jnp.asarray(NEXT_STATES)[START][letters[:, 0]]
    after = jnp.where(after == INVALID, jnp.where(begun == INVALID, np.int32(START), begun), after)
    return symbols, jnp.where(symbols == NUM_BYTES, utf8, after)


# Outside a loop that is compiled as a whole.
choose_bytes_now = jax.jit(choose_bytes)


def draw_names(texts: Sequence[bytes]) -> np.ndarray:
    """Returns what the draws of each text depend on: its bytes, and how many texts before have the same.

    Args:
      texts: prompts.
    """
    counts: Counter[bytes] = Counter()
    names = np.zeros((len(texts), 2), np.uint32)
    for row, text in enumerate(texts):
        digest = hashlib.blake2b(text + counts[text].to_bytes(8, "little"), digest_size=8).digest()
        names[row] = np.frombuffer(digest, np.uint32)
        counts[text] += 1
    return names
