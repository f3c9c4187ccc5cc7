"""Models whose weights are written by hand, so that what moves their predictions is known.

The residual stream of every model is one-hot blocks of features: the token, the position, two notes that
attention writes, and the answer, which the head reads. Norms are the identity: their epsilon is so large that
their divisor is constant. Attention is sharp: a key that matches gets all of it.

- copier: predicts the token two places before. The truth is that token.
- induction: in "A B ... A" it predicts B. The truth is B, which is copied, and both A, by which B is found.
- gate: predicts the second token if the first is the open gate. The truth is both: one alone gives nothing.
- backup: predicts what the first token or the second says. The truth is both, of which one is enough.
- fill: a masked model that puts the right neighbour's token at the mask. The truth is that token.
- translator: an encoder-decoder whose n-th prediction is the n-th token of the source, which is the truth.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import attribution, models

# Ids, positions, and features: of the token, of the position, of two notes, and of the answer.
V, P = 10, 12
TOKEN, POSITION, NOTE, OTHER, ANSWER = 0, V, V + P, 2 * V + P, 3 * V + P
WIDTH, OPEN, MASK = 4 * V + P, 9, 8
SHARP, LOUD, EPSILON = 30.0, 4.0, 1e8
SIZE = {
    "vocab_size": V,
    "width": WIDTH,
    "depth": 2,
    "num_heads": 2,
    "head_width": P,
    "mlp_width": 2 * V,
    "max_length": P,
    "norm": "rms",
    "norm_epsilon": EPSILON,
    "final_norm": True,
    "activation": "relu",
    "attention_scale": 1.0,
    "tie_embeddings": False,
    "head": "linear",
    "head_bias": False,
}


class Planted(NamedTuple):
    """A model, two padded texts, and which tokens each prediction depends on.

    Attributes:
      kind: "causal", "masked" or "seq2seq".
      predictions: with a contrast, an id that nothing in the text speaks for.
      truth: `Bool[B L M]`, True = the prediction depends on the token.
      source_truth: `Bool[B S M]`, of the encoder's row; None for other models.
    """

    kind: str
    model: object
    params: dict
    inputs: models.Inputs
    predictions: attribution.Predictions
    truth: np.ndarray
    source_truth: np.ndarray | None = None


class Head(NamedTuple):
    """An attention head: which feature a query looks for in which feature of the keys, and what it copies.

    Attributes:
      seek: `(first feature of the query, first feature of the key, size, shift)`: the query's feature n looks
        for the key's feature n + shift. A shift of None with a number: every query looks for that position.
      write: the block of features to which the token is copied.
    """

    seek: tuple
    write: int


def copier():
    texts = ([3, 7, 2, 5, 1, 6], [4, 1, 6, 3])
    asked = [[(i, text[i - 2], [i - 2]) for i in range(2, len(text))] for text in texts]
    return _causal({0: [Head((POSITION, POSITION, P, -2), ANSWER)]}, texts, asked)


def induction():
    texts = ([7, 5, 3, 2, 1, 5], [6, 1, 4, 8, 2, 7, 3, 1])
    asked = [[(5, 3, [1, 2, 5])], [(7, 4, [1, 2, 7])]]
    heads = {0: [Head((POSITION, POSITION, P, -1), NOTE)], 1: [Head((TOKEN, NOTE, V, 0), ANSWER)]}
    return _causal(heads, texts, asked)


def gate():
    texts = ([OPEN, 3, 7, 2, 1], [OPEN, 6, 4, 8, 2, 7, 1])
    asked = [[(i, text[1], [0, 1]) for i in (3, 4)] for text in texts]
    heads = {0: [Head((POSITION, POSITION, 1, None), NOTE), Head((POSITION, POSITION, 0, None), OTHER)]}
    up, bias, down = np.zeros((2 * V, WIDTH)), np.zeros(2 * V), np.zeros((WIDTH, 2 * V))
    for id in range(V):  # the second token is `id` and the first is the open gate
        up[id, [NOTE + id, OTHER + OPEN]], bias[id], down[ANSWER + id, id] = 1, -1, 1
    return _causal(heads, texts, asked, (up, bias, down))


def backup():
    texts = ([3, 3, 7, 2, 1], [6, 6, 4, 8, 2, 7, 1])
    asked = [[(i, text[1], [0, 1]) for i in (3, 4)] for text in texts]
    heads = {0: [Head((POSITION, POSITION, 1, None), NOTE), Head((POSITION, POSITION, 0, None), OTHER)]}
    up, bias, down = np.zeros((2 * V, WIDTH)), np.zeros(2 * V), np.zeros((WIDTH, 2 * V))
    for id in range(V):  # min(1, how many say `id`) = 1 - relu(1 - that)
        up[id, [NOTE + id, OTHER + id]], bias[id], down[ANSWER + id, id] = -1, 1, -1
    return _causal(heads, texts, asked, (up, bias, down))


def fill():
    texts = ([3, MASK, 7, 2, 5], [4, 1, 6, MASK, 2, MASK, 3])
    asked = [[(i, text[i + 1], [i + 1]) for i, id in enumerate(text) if id == MASK] for text in texts]
    params = _written({0: [Head((POSITION, POSITION, P, 1), ANSWER)]}, None)
    return _planted("masked", params, texts, asked)


def translator():
    sources, written = ([3, 7, 2, 5, 1], [4, 1, 6]), ([0, 3, 7, 2], [0, 4, 1])
    asked = [
        [(i, source[i], []) for i in range(len(text))] for source, text in zip(sources, written, strict=True)
    ]
    config = models.TransformerConfig(**SIZE, decoder=models.DecoderConfig(start_id=0))
    model, params = _zeros(config, "seq2seq_lm")
    for side in ("encoder", "decoder"):
        _embed(params[side])
    _embed_tokens(params["encoder"])
    block = params["decoder"]["block_00"]
    query, key, value, output = _head_kernels(Head((POSITION, POSITION, P, 0), ANSWER))
    cross = block["cross_attention"]
    cross["query"]["kernel"][:P] = query
    cross["memory"]["kernel"][:P], cross["memory"]["kernel"][2 * P : 3 * P] = key, value
    cross["output"]["kernel"][:, :P] = output
    planted = _planted_rows("seq2seq", model, params, written, asked)
    source_truth = np.zeros((2, P, planted.truth.shape[2]), bool)
    for row, one in enumerate(asked):
        for number in range(len(one)):
            source_truth[row, number, number] = True
    encoder = _rows(sources)
    return planted._replace(inputs=planted.inputs._replace(encoder=encoder), source_truth=source_truth)


PLANTED = {
    function.__name__: functools.cache(function)
    for function in (copier, induction, gate, backup, fill, translator)
}


def _causal(heads, texts, asked, neurons=None):
    return _planted("causal", _written(heads, neurons, causal=True), texts, asked)


def _planted(kind, written, texts, asked):
    return _planted_rows(kind, *written, texts, asked)


def _planted_rows(kind, model, params, texts, asked):
    most = max(map(len, asked))
    positions, targets = np.full((2, most), -1, np.int32), np.zeros((2, most), np.int32)
    truth = np.zeros((2, P, most), bool)
    for row, one in enumerate(asked):
        for number, (position, target, causes) in enumerate(one):
            positions[row, number], targets[row, number] = position, target
            truth[row, causes, number] = True
    # Nothing is 0 in the texts, so that no token speaks for the contrast.
    others = jnp.zeros((2, most), jnp.int32)
    predictions = attribution.Predictions(jnp.asarray(positions), jnp.asarray(targets), others)
    params = jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), params)
    return Planted(kind, model, params, _rows(texts), predictions, truth)


def _rows(texts):
    tokens, segments = np.zeros((2, P), np.int32), np.zeros((2, P), np.int32)
    for row, text in enumerate(texts):
        tokens[row, : len(text)], segments[row, : len(text)] = text, 1
    return models.Inputs(tokens=jnp.asarray(tokens), segments=jnp.asarray(segments))


def _written(heads, neurons, **changes):
    """A model of one body and its parameters, from the heads of each layer and the first layer's neurons."""
    config = models.TransformerConfig(**SIZE, **changes)
    model, params = _zeros(config, "causal_lm" if config.causal else "masked_lm")
    body = params["body"]
    _embed(body)
    _embed_tokens(body)
    for layer, several in heads.items():
        attention = body[f"block_{layer:02d}"]["attention"]
        for number, head in enumerate(several):
            query, key, value, output = _head_kernels(head)
            for part, kernel in enumerate((query, key, value)):
                start = (2 * part + number) * P
                attention["qkv"]["kernel"][start : start + P] = kernel
            attention["output"]["kernel"][:, number * P : (number + 1) * P] = output
    if neurons is not None:
        mlp = body["block_00"]["mlp"]
        mlp["up"]["kernel"][:], mlp["up"]["bias"][:], mlp["down"]["kernel"][:] = neurons
    return model, params


@functools.cache
def _shapes(config, kind):
    model = models.build(config, kind)
    return model, jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]


def _zeros(config, kind):
    """A model and its parameters, all 0 but for norms that are the identity and the head."""
    model, shapes = _shapes(config, kind)

    def start(path, leaf):
        is_scale = path[-1].key == "scale"
        return np.full(leaf.shape, np.sqrt(EPSILON) if is_scale else 0.0)

    params = jax.tree_util.tree_map_with_path(start, shapes)
    params["head"]["decode"]["kernel"][np.arange(V), ANSWER + np.arange(V)] = LOUD
    return model, params


def _embed(body):
    table = body["embeddings"]["position"]["embedding"]
    table[np.arange(P), POSITION + np.arange(P)] = 1


def _embed_tokens(body):
    body["embeddings"]["token"]["embedding"][np.arange(V), TOKEN + np.arange(V)] = 1


def _head_kernels(head):
    """The kernels of a head: query, key and value `[H D]`, output `[D H]`."""
    first, second, size, shift = head.seek
    query, key, value, output = (np.zeros((P, WIDTH)) for _ in range(4))
    if shift is None:  # every query looks for position `size`
        query[size, POSITION : POSITION + P] = SHARP
        size = P
    else:
        for n in range(size):
            if 0 <= n + shift < size:
                query[n + shift, first + n] = SHARP
    key[np.arange(size), second + np.arange(size)] = 1
    value[np.arange(V), TOKEN + np.arange(V)] = 1
    output = np.zeros((WIDTH, P))
    output[head.write + np.arange(V), np.arange(V)] = 1
    return query, key, value, output
