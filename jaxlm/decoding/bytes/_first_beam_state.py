"""The state of a beam before the first byte of a text."""

import numpy as np

from jaxlm.decoding import CachedLM
from jaxlm.decoding.bytes._beam_engine import BeamEngine
from jaxlm.decoding.bytes._beam_settings import BeamSettings
from jaxlm.decoding.bytes._beam_state import BeamByteState, SharedBeam
from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._trie import ByteTrie, make_byte_trie
from jaxlm.errors import UsageError


def beam_state(
    byte_model: ByteModel, settings: BeamSettings | None = None, *, lm: CachedLM | None = None
) -> BeamByteState:
    """Returns the state before the first byte of a text.

    Args:
      byte_model: a model and the bytes of its tokens, as `make_byte_model` returns them.
      settings: of the beam; None: five candidates.
      lm: another cache of the same model; None: the one that all states of the byte model share.

    Raises:
      UsageError: if its tokens cannot write the bytes that its tokenizer puts in front of a text.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding.bytes import BeamSettings, beam_state, make_byte_model
      >>> size = dict(vocab_size=260, width=8, depth=1, num_heads=2, causal=True, max_length=32)
      >>> config, tokenizer = models.TransformerConfig(**size), tokenizers.bytes_tokenizer()
      >>> model = models.build(config, "causal_lm")
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> state = beam_state(make_byte_model(loaded), BeamSettings(num_candidates=3))
      >>> [candidate.partial for candidate in (state << ord("t")).candidates], state.context
      ([b't'], b'')
    """
    settings = BeamSettings(num_candidates=5) if settings is None else settings
    engine = BeamEngine(
        byte_model.lm if lm is None else lm,
        _trie_with_ends(byte_model),
        settings,
        opening_ids=byte_model.opening_ids,
        eos_ids=byte_model.eos_ids,
        first_log_probs=None if byte_model.opening_ids else byte_model.first_log_probs,
    )
    step = engine.first_step()
    for byte in byte_model.prefix:
        (step,) = engine.advance([step], [byte])
    if step.log_prob == -np.inf:
        raise UsageError(
            f"no token of this model can write {byte_model.prefix!r}, with which its texts begin"
        )
    # Texts are those after the prefix: what came before is certain.
    return BeamByteState(SharedBeam(engine), step._replace(log_prob=0.0, log_kept=0.0), None)


def _trie_with_ends(byte_model: ByteModel) -> ByteTrie:
    """The trie of the model's bytes, those of ids that end a text included: a prompt may hold them."""
    known = byte_model.encoder.table.values
    values = {id: known[id] for id in byte_model.eos_ids if id < len(known) and known[id]}
    if not values:
        return byte_model.trie
    return make_byte_trie([values.get(id, data) for id, data in enumerate(byte_model.token_bytes)])
