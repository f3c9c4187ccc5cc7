"""A small GPT-2 of Python source, for benchmarks: jaxlm and transformers both open it.

    jaxlm train source-gpt2 --out runs/source-gpt2
    jaxlm convert runs/source-gpt2 source-gpt2        # the folder of transformers' kind

The corpus is the source of this Python's own standard library. The architecture is GPT-2's to the letter
(learned positions, norms before, the tanh GELU, tied embeddings, dropout everywhere), 6 layers of 256
features over 8,000 subwords, so that other libraries read what it becomes.

Hardware: 2 CPU cores. Time: 10 to 20 minutes. Expected: a held-out loss of 4.95 nats a token after its
    500 steps, where unigrams have 6.61; the model is there to be measured with, and stops while it still
    learns.
"""

from jaxlm import data, models, tokenizers, training


def get_experiment() -> training.Experiment:
    """Returns GPT-2's decoder over subwords of the source."""
    return training.Experiment(
        objective="causal_lm",
        data=data.DataConfig(corpus="source", row_length=256, ends=True),
        tokenizer=tokenizers.TokenizerConfig(kind="subwords", vocab_size=8000),
        model=models.TransformerConfig(
            width=256,
            depth=6,
            num_heads=4,
            max_length=256,
            causal=True,
            activation="gelu_tanh",
            head="linear",
            head_bias=False,
            embedding_dropout=0.1,
            attention_dropout=0.1,
            attention_output_dropout=0.1,
            mlp_dropout=0.1,
        ),
        optimizer=training.OptimizerConfig(learning_rate=2e-3, warmup=0.05, beta2=0.95, weight_decay=0.1),
        run=training.RunConfig(steps=500, batch_size=8, eval_every=250, save_every=250),
    )
