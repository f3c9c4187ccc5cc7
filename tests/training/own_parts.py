"""A kind of model and an objective that no table of jaxlm has, as a user writes them.

A tagger says of each byte whether it is a vowel; vowels weigh a half, and weights shrink with the steps.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm import data, models, tokenizers, training

VOWELS = tuple(b"aeiou")
STEPS = {"steps": 8, "batch_size": 8, "eval_every": 4, "save_every": 2, "log_every": 2}


class Tagger(nn.Module):
    config: models.TransformerConfig

    def setup(self):
        self.body, self.tag = models.Transformer(self.config), nn.Dense(1)

    def __call__(self, inputs, **options):
        output = self.body(inputs, **options)
        self.scores(output.hidden[:, :1])  # makes its parameters
        return output

    def scores(self, hidden):
        return self.tag(hidden)[..., 0]


def make_tagger(config, head):
    del head
    return Tagger(config)


def prepare(rng, batch, step, setting):
    """In training a fifth of the bytes is hidden, at every step another, and weights shrink."""
    tokens = read = jnp.asarray(batch.tokens)
    is_vowel = jnp.isin(tokens, jnp.asarray(VOWELS, jnp.int32))
    weights = jnp.where(is_vowel, jnp.float32(0.5), jnp.float32(1.0))
    if not setting.is_evaluation:
        hidden = jax.random.bernoulli(jax.random.fold_in(rng, step), 0.2, tokens.shape)
        read = jnp.where(hidden, 0, tokens)
        # Sums of weights below 1 are divided by like any other.
        weights = weights / (1.0 + 100.0 * jnp.asarray(step, jnp.float32))
    is_real = jnp.asarray(batch.segments) > 0
    return training.LossInputs(read, is_vowel.astype(jnp.float32), jnp.where(is_real, weights, 0.0))


def loss(head, inputs, config):
    del config
    scores = head("scores", head.hidden)
    losses = nn.softplus(scores) - inputs.targets * scores
    hits = ((scores > 0) == (inputs.targets > 0)) & (inputs.weights > 0)
    return {"loss_sum": (inputs.weights * losses).sum(), "correct": hits.sum(dtype=jnp.int32)}


KIND = models.ModelKind(
    name="tagger", make=make_tagger, head="own", reference="tests.training.own_parts:KIND"
)
OBJECTIVE = training.Objective(
    name="vowel_tags", kind=KIND, prepare=prepare, loss=loss, reference="tests.training.own_parts:OBJECTIVE"
)


def make_experiment(path, objective=OBJECTIVE, **run):
    """A run of a few steps on a file of text."""
    return training.Experiment(
        objective=objective,
        data=data.DataConfig(paths=(str(path),), row_length=32, validation_share=0.2, test_share=0.2),
        tokenizer=tokenizers.TokenizerConfig(kind="bytes"),
        model=models.TransformerConfig(width=16, depth=1, num_heads=2, max_length=32, position="rotary"),
        optimizer=training.OptimizerConfig(learning_rate=1e-2, warmup=0),
        run=training.RunConfig(**STEPS | run),
    )
