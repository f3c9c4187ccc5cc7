"""Which bytes of this file were hit by a flipped bit? `python experiments/prototype/prototype.py`"""

import flax.linen as nn
import jax

from jaxlm import corruption, data, models, tokenizers, training

CONFIG = models.TransformerConfig(vocab_size=260, width=64, depth=2, num_heads=4, position="rotary")
NOISE = corruption.make_noise(corruption.NoiseConfig(rate=0.15), tokenizers.bytes_tokenizer())


def flip_bit(words, tokens):  # a corruption: what a chosen byte becomes, by the word drawn for it
    return tokens ^ (1 << (words >> 29)).astype(tokens.dtype)


class Detector(nn.Module):  # a head: a score for each position
    @nn.compact
    def __call__(self, tokens, segments=None):
        hidden = models.Transformer(CONFIG, name="body")(models.Inputs(tokens, segments=segments)).hidden
        return nn.Dense(1, name="head")(hidden)[..., 0]


def detection(apply_fn, params, batch, rngs):  # an objective: sums, divided last
    noisy = corruption.corrupt_batch(rngs["mask"], batch, NOISE._replace(replacement=flip_bit))
    scores, real = apply_fn({"params": params}, noisy.tokens, batch.segments), batch.segments > 0
    losses = jax.nn.softplus(jax.numpy.where(noisy.loss_mask, -scores, scores))
    return losses.sum(where=real), real.sum(dtype=losses.dtype), {"tokens": real.sum()}


corpus = data.DataConfig(paths=(__file__,), format="text", row_length=64)
cache = data.prepare(corpus, tokenizers.TokenizerConfig(kind="bytes")).caches["train"]
batches = data.Batches(cache, data.plan_packing(cache.lengths, 64), batch_size=8, seed=0)
settings = training.OptimizerConfig(learning_rate=3e-3)
optimizer, rate = training.make_optimizer(settings, 200), settings.schedule(200)
step = jax.jit(training.make_train_step(detection, Detector().apply, optimizer, rate))
state = training.init_state(Detector(), optimizer, jax.random.key(0))
for number in range(200):
    state, metrics = step(state, batches[number])
    print(f"step {number}: {metrics['loss_sum'] / metrics['weight']:.3f} nats a byte")
