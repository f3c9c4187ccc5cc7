"""How well does a small causal LM compress source code, beside the compressors that everybody has?

    jaxlm train source-causal

The corpus is the source of this Python's own standard library: one record a module, some modules held out
whole. The model predicts every token of a module from up to 255 before it; at the end its bits per byte of
the held-out modules are printed beside those of `zlib` and `xz` at their best on the same text.

Hardware: 2 CPU cores. Time: about 10 minutes. Expected: about 1.28 bits per byte; `zlib -9` has 1.85, and
    `xz -9`, which is given all of the held-out text at once, 1.53.
"""

from jaxlm import data, models, tokenizers, training


def get_experiment() -> training.Experiment:
    """Returns a rotary, gated, RMS-normed decoder over subwords of the source."""
    return training.Experiment(
        objective="causal_lm",
        data=data.DataConfig(corpus="source", row_length=256, ends=True),
        tokenizer=tokenizers.TokenizerConfig(kind="subwords", vocab_size=4096),
        model=models.TransformerConfig(
            width=128,
            depth=4,
            num_heads=4,
            max_length=256,
            causal=True,
            norm="rms",
            position="rotary",
            activation="swiglu",
            use_bias=False,
            head="linear",
            head_bias=False,
        ),
        optimizer=training.OptimizerConfig(learning_rate=3e-3, warmup=0.05, beta2=0.95, weight_decay=0.1),
        run=training.RunConfig(steps=2500, batch_size=8, eval_every=500, save_every=500),
    )
