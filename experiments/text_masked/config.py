"""What does a small masked LM learn of a text of your own?

    jaxlm train text-masked --data "books/*.txt"

Without --data it takes every text file of the working folder. A line is a document; `--document file` makes
it a file.

Hardware: 2 CPU cores. Time: minutes for a text of a megabyte. Expected: a loss below the unigram baseline
    on held-out lines of a text of that size.
"""

from jaxlm import data, models, tokenizers, training


def get_experiment() -> training.Experiment:
    """Returns a rotary, gated, RMS-normed encoder over subwords of the text."""
    return training.Experiment(
        data=data.DataConfig(paths=("*.txt",), row_length=128),
        tokenizer=tokenizers.TokenizerConfig(kind="subwords", vocab_size=2048),
        model=models.TransformerConfig(
            width=128,
            depth=4,
            num_heads=4,
            max_length=128,
            norm="rms",
            position="rotary",
            activation="swiglu",
            use_bias=False,
            mlp_dropout=0.1,
        ),
        optimizer=training.OptimizerConfig(learning_rate=2e-3, warmup=0.05, weight_decay=0.05),
        run=training.RunConfig(steps=1500, batch_size=32, eval_every=250, save_every=250),
    )
