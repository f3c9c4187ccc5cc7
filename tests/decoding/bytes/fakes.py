"""The oracle's small models behind the methods of a `CachedLM`: a beam over them can be enumerated."""

import threading
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np

from jaxlm import models
from jaxlm.decoding import CachedLM
from jaxlm.decoding.bytes import BeamSettings, ByteModel, beam_state, make_byte_trie
from jaxlm.tokenizers import TokenBytes
from tests.decoding.bytes.oracle import SmallLM


class Context:
    """A node of the tree of contexts."""

    def __init__(self, parent=None, token=-1):
        self.parent, self.token, self.children = parent, token, {}
        self.depth = 0 if parent is None else parent.depth + 1

    def path(self):
        node = self
        while node.parent is not None:
            yield node
            node = node.parent


class OracleLM(CachedLM):
    """Counts its calls, and the contexts of each."""

    def __init__(self, lm: SmallLM, max_length: int = 1000):
        self.lm, self.root, self.batches = lm, Context(), []
        self.model = SimpleNamespace(config=models.TransformerConfig(vocab_size=2, max_length=max_length))
        self.names = threading.Lock()

    def node(self, context, after=None):
        node = self.root if after is None else after
        with self.names:
            for token in context:
                node = node.children.setdefault(token, Context(node, token))
        return node

    def log_probs(self, nodes):
        self.batches.append(len(nodes))
        rows = []
        for node in nodes:
            tokens = [ancestor.token for ancestor in node.path()][::-1]
            rows.append(self.lm.log_probs(tokens[len(self.lm.opening) :]).astype(np.float32))
        return rows

    def log_probs_batch(self, nodes):
        return jnp.asarray(np.stack(self.log_probs(nodes)))


class OracleModel(ByteModel):
    """What a beam reads of a byte model, without a model."""

    def __init__(self, lm: SmallLM, prefix: bytes = b""):
        text_bytes = [None if id in lm.eos_ids else data for id, data in enumerate(lm.token_bytes)]
        fields = {
            "trie": make_byte_trie(text_bytes),
            "token_bytes": tuple(text_bytes),
            "opening_ids": lm.opening,
            "eos_ids": lm.eos_ids,
            "encoder": SimpleNamespace(table=TokenBytes(lm.token_bytes, prefix)),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)


def oracle_beam(lm: SmallLM, max_length: int = 1000, prefix: bytes = b"", **settings):
    """The first state of a beam over a small model."""
    settings = {"num_candidates": 32, **settings}
    return beam_state(OracleModel(lm, prefix), BeamSettings(**settings), lm=OracleLM(lm, max_length))
