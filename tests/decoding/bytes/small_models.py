"""Small byte models of each kind of tokenizer, and the same models as the enumeration asks them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import tokenizers as hf

from jaxlm import models, pretrained, tokenizers
from jaxlm.decoding.bytes import make_byte_model
from tests.decoding.bytes import oracle
from tests.tokenizers.byte_kinds import kind

MERGES = ((b"a", b"b"), (b"ab", b"a"), (b"b", b"b"), (b"c", b"ab"))
CONFIG = models.TransformerConfig(
    vocab_size=8, width=16, depth=2, num_heads=4, mlp_width=32, max_length=64, causal=True, init_std=0.4
)


def merges_tokenizer(alphabet=b"abc", merges=MERGES):
    """A tokenizer of merges alone, that divides no text into words; its last id begins and ends texts."""
    tokens, _ = oracle.bpe(alphabet, merges)
    vocab = {token.decode(): id for id, token in enumerate(tokens)}
    pairs = [(left.decode(), right.decode()) for left, right in merges]
    backend = hf.Tokenizer(hf.models.BPE(vocab, pairs))
    backend.add_special_tokens(["<|endoftext|>"])
    return tokenizers.Tokenizer.from_json(backend.to_str())


def loaded_model(tokenizer, **options):
    config = dataclasses.replace(CONFIG, **{"vocab_size": tokenizer.vocab_size} | options)
    return pretrained.Loaded(config, "causal_lm", *_model(config), tokenizer, {})


@functools.cache
def _model(config):
    model = models.build(config, "causal_lm")
    params = jax.jit(model.init)(jax.random.key(3), jnp.zeros((1, 4), jnp.int32))["params"]
    return model, params


@functools.cache
def byte_model(name="merges", *, window=None, **options):
    """The byte model of a kind of tokenizer, see `byte_kinds`."""
    own = {"merges": merges_tokenizer, "residues": tokenizers.residue_tokenizer}
    tokenizer = own[name]() if name in own else kind(name)[0]
    # One size of vocabulary for all kinds, so that they share the programs of the model.
    vocab_size = tokenizer.vocab_size if name == "merges" else 512
    loaded = loaded_model(tokenizer, max_length=512, vocab_size=vocab_size, window=window)
    return make_byte_model(loaded, **options)


class AskedModel(oracle.SmallLM):
    """A byte model as the enumeration asks it: a forward pass of each context by itself."""

    def log_probs(self, context):
        return _asked(self, tuple(context))


def asked(byte_model):
    number = next((number for number, model in _MODELS.items() if model is byte_model), len(_MODELS))
    _MODELS[number] = byte_model
    return AskedModel(byte_model.token_bytes, byte_model.eos_ids, byte_model.opening_ids, seed=number)


_MODELS = {}


@functools.cache
def _asked(lm, context):
    byte_model = _MODELS[lm.seed]
    tokens = np.zeros((1, 32), np.int32)
    row = (*lm.opening, *context)
    if not row:
        return byte_model.first_log_probs.astype(np.float64)
    tokens[0, : len(row)] = row
    logits = np.asarray(_logits(byte_model.model, byte_model.params, tokens), np.float64)[0, len(row) - 1]
    return logits - np.logaddexp.reduce(logits)


@functools.partial(jax.jit, static_argnames="model")
def _logits(model, params, tokens):
    hidden = model.apply({"params": params}, tokens).hidden
    return model.apply({"params": params}, hidden, method="logits")
