"""Does this library train nanoGPT's small character model to the loss that nanoGPT publishes?

    python experiments/shakespeare_char/run.py tinyshakespeare.txt

trains nanoGPT's setting for CPUs on nanoGPT's own feed: the text's 65 characters, its last tenth held out,
windows of 64 characters from anywhere. The same model on this library's own feed, bytes, a line a document:

    jaxlm train shakespeare-char --data tinyshakespeare.txt

Hardware: 2 CPU cores. Time: about 2 minutes. Expected: a validation loss of about 1.88 nats a character with
    run.py; about 2 with `jaxlm train`, where no line sees the lines before it.
"""

from jaxlm import data, models, tokenizers, training

WINDOW = 64  # predictions of a row; a row holds one token more, the last one's target


def get_experiment() -> training.Experiment:
    """Returns nanoGPT's setting for CPUs: 4 layers, 4 heads, width 128, context 64, batch 12, 2,000 steps."""
    return training.Experiment(
        objective="causal_lm",
        data=data.DataConfig(paths=("tinyshakespeare.txt",), row_length=WINDOW + 1, ends=True),
        tokenizer=tokenizers.TokenizerConfig(kind="bytes"),
        model=gpt_config(width=128, depth=4, num_heads=4, max_length=WINDOW + 1),
        optimizer=training.OptimizerConfig(
            learning_rate=1e-3,
            warmup=100,
            decay="cosine",
            final_fraction=0.1,
            beta1=0.9,
            beta2=0.99,
            weight_decay=0.1,
            clip_norm=1.0,
        ),
        run=training.RunConfig(steps=2000, batch_size=12, eval_every=250, save_every=1000, seed=1337),
    )


def gpt_config(
    *, width: int, depth: int, num_heads: int, max_length: int, dropout: float = 0.0, dtype: str = "float32"
) -> models.TransformerConfig:
    """Returns GPT-2's architecture as nanoGPT trains it: no biases, exact GELU, the output tied."""
    return models.TransformerConfig(
        width=width,
        depth=depth,
        num_heads=num_heads,
        max_length=max_length,
        causal=True,
        position="learned",
        norm_bias=False,
        use_bias=False,
        head="linear",
        head_bias=False,
        embedding_dropout=dropout,
        attention_dropout=dropout,
        attention_output_dropout=dropout,
        mlp_dropout=dropout,
        dtype=dtype,
    )
