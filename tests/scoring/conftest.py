"""Small models, what they say of one sequence alone, and rows of measures over one compiled engine."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import data, models, pretrained, scoring, tokenizers

LONGEST = 32
CORPUS = ["the souvenir of the traveler was lost", "a traveler lost the souvenirs there"] * 3


def small_lm(tokenizer, objective="masked_lm", *, seed=0, **options):
    """A model with weights large enough to have opinions."""
    config = models.TransformerConfig(
        vocab_size=tokenizer.vocab_size,
        width=16,
        depth=1,
        num_heads=2,
        max_length=LONGEST,
        position="learned",
        init_std=0.4,
    )
    config = dataclasses.replace(config, **options)
    model = models.build(config, objective)
    params = jax.jit(model.init)(jax.random.key(seed), jnp.zeros((1, 4), jnp.int32))["params"]
    return pretrained.Loaded(config, objective, model, params, tokenizer, {})


@pytest.fixture(scope="session")
def protein_lm():
    return small_lm(tokenizers.residue_tokenizer())


@pytest.fixture(scope="session")
def causal_protein_lm():
    return small_lm(tokenizers.residue_tokenizer(), "causal_lm", seed=3, causal=True)


@pytest.fixture(scope="session")
def word_lm():
    """Of text in pieces of words: "souvenir" is several."""
    return small_lm(tokenizers.train_subwords(CORPUS, vocab_size=275), seed=1)


@pytest.fixture(scope="session")
def trace_lm():
    traces = ["mov rax rbx [NEXT] add rax 42 [NEXT] ret", "xor eax eax [NEXT] pop rbp [NEXT] ret"]
    tokenizer = tokenizers.train_instructions(traces, vocab_size=600)
    return small_lm(tokenizer, seed=2, position=models.Instruction(next_id=tokenizer.specials.next))


@jax.jit
def _log_softmax(logits):
    return jax.nn.log_softmax(logits, axis=-1)


@pytest.fixture(scope="session")
def log_probs_of():
    """Of a model and one sequence of ids: all log-probabilities, `[n V]`, from the sequence alone."""
    compiled = {}

    def found(loaded, tokens):
        if id(loaded) not in compiled:

            def forward(params, tokens, segments):
                hidden = loaded.model.apply(
                    {"params": params}, models.Inputs(tokens=tokens, segments=segments)
                ).hidden
                return _log_softmax(loaded.model.apply({"params": params}, hidden, method="logits"))

            compiled[id(loaded)] = jax.jit(forward)
        tokens = np.asarray(tokens, np.int32)
        padding = (0, LONGEST - len(tokens))
        rows = (np.pad(tokens, padding)[None], np.pad(np.ones_like(tokens), padding)[None])
        return np.asarray(compiled[id(loaded)](loaded.params, *rows))[0, : len(tokens)].astype(np.float64)

    return found


@pytest.fixture(scope="session")
def rows_of():
    """Rows of texts or records by a measure, or the reason why there is none; engines are compiled once."""
    engines = {}

    def rows(loaded, measure, records, *, row_length=None):
        planned, found = [], []
        context = context_of(loaded, row_length)
        measure = measure.resolved(context)
        forward = measure.forward(context)
        key = (id(loaded), forward, row_length)
        if key not in engines:
            config = scoring.EngineConfig(row_length=row_length, rows=2, devices=(jax.devices()[0],))
            engines[key] = scoring.Engine(loaded, config, forward)
        for number, record in enumerate(records):
            record = data.Record(str(number), record, {}) if isinstance(record, str) else record
            try:
                planned.append(measure.start(context, record))
            except scoring.ScoreError as error:
                planned.append(str(error))
        answers = engines[key](piece for one in planned if not isinstance(one, str) for piece in one.queries)
        for one in planned:
            if isinstance(one, str):
                found.append(one)
            else:
                found.append(measure.advance(one.state, [next(answers) for _ in range(len(one.queries))]))
        names = {field.name for field in measure.columns(context)}
        assert all(isinstance(row, str) or set(row) == names for row in found)
        return found

    return rows


def context_of(loaded, row_length=None):
    return scoring.Context(
        loaded.config,
        loaded.kind,
        loaded.tokenizer,
        min(row_length or LONGEST, LONGEST),
        loaded.ends,
        loaded.tokenizer.encode,
        loaded.extra,
    )


@pytest.fixture(scope="session")
def context():
    return context_of
