"""Which bytes of this file were hit by a flipped bit? `jaxlm train experiments/prototype/prototype.py`"""

import flax.linen as nn

from jaxlm import corruption, data, models, tokenizers, training


def flip(words, tokens):  # a corruption: what a chosen byte becomes, by the word drawn for it
    return tokens ^ (1 << (words >> 29)).astype(tokens.dtype)


class Detector(nn.Module):  # a model: a body, and a head that scores each position
    config: models.TransformerConfig

    @nn.compact
    def __call__(self, inputs, **options):
        output = models.Transformer(self.config, name="body")(inputs, **options)
        return output._replace(hidden=nn.Dense(1, name="head")(output.hidden)[..., 0])


def prepare(rng, batch, step, given):  # an objective: what is read, what is asked, and by what weight
    noisy = corruption.corrupt_batch(rng, batch, given.noise(given.input_noise)._replace(replacement=flip))
    hit, real = (flags.astype("float32") for flags in (noisy.loss_mask, batch.segments > 0))
    return training.LossInputs(noisy.tokens, hit, real)


def loss(head, inputs, config):  # sums, which are divided by the sum of the weights last
    return {"loss_sum": (inputs.weights * (nn.softplus(head.hidden) - inputs.targets * head.hidden)).sum()}


KIND = models.ModelKind(name="detector", make=lambda config, head: Detector(config), head="own")
FLIPS = training.Objective(name="flips", kind=KIND, prepare=prepare, loss=loss, noise_rate=0.15)
CORPUS = data.DataConfig(paths=(__file__,), format="text", row_length=64)
MODEL = models.TransformerConfig(width=64, depth=2, num_heads=4, position="rotary")
SHARED = {"data": CORPUS, "model": MODEL, "tokenizer": tokenizers.TokenizerConfig(kind="bytes")}


def get_experiment():
    return training.Experiment(objective=FLIPS, run=training.RunConfig(steps=200, batch_size=8), **SHARED)
