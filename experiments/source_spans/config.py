"""How well does a small encoder-decoder restore spans that were removed from source code?

    jaxlm train source-spans

The corpus is the source of this Python's own standard library, whole modules held out. In every text 15 % of
the tokens are removed, in spans of three. The encoder reads the rest, with a sentinel for each span, and the
decoder writes the removed tokens. The model is of T5 1.1's kind: relative positions, RMS norms, a gate, an
output kernel of its own.

Hardware: 2 CPU cores. Time: 5.1 million tokens, an hour and a half at the 900 tokens/s of two cores shared
    with much else. Expected: with a tied output (`--model.tie-embeddings`) 8.34 nats a written token at the
    first step and 5.92 after 120 steps; a whole run has not been measured.
"""

from jaxlm import corruption, data, models, tokenizers, training


def get_experiment() -> training.Experiment:
    """Returns T5 1.1's kind of model, small, over subwords of the source."""
    return training.Experiment(
        objective="seq2seq_lm",
        data=data.DataConfig(corpus="source", row_length=256),
        tokenizer=tokenizers.TokenizerConfig(kind="subwords", vocab_size=4096, sentinels=32),
        model=models.TransformerConfig(
            width=128,
            depth=3,
            num_heads=4,
            max_length=256,
            norm="rms",
            position="relative",
            attention_scale=1.0,
            activation="geglu_tanh",
            use_bias=False,
            head="linear",
            head_bias=False,
            tie_embeddings=False,
        ),
        spans=corruption.SpanConfig(rate=0.15, mean_span=3.0),
        optimizer=training.OptimizerConfig(learning_rate=3e-3, warmup=0.05, weight_decay=0.05),
        run=training.RunConfig(steps=2500, batch_size=8, eval_every=500, save_every=500),
    )
