"""Does a causal model learn all that there is to learn of a source whose entropy is known?

    python experiments/markov/data.py markov.txt
    jaxlm train markov --data markov.txt

The first command draws a text from a Markov chain and prints the chain's entropy rate: no model can do better
on average on text that it has not seen, and one that does sees the future. The second trains.

Hardware: 2 CPU cores. Time: about 1 minute. Expected: a held-out loss within 1 % of the entropy rate, 1.5727
    nats (80,000 held-out tokens: their own sampling is worth 0.2 %).
"""

from jaxlm import data, models, tokenizers, training


def get_experiment() -> training.Experiment:
    """Returns a small rotary decoder over bytes; a line, one walk along the chain, is a document."""
    return training.Experiment(
        objective="causal_lm",
        data=data.DataConfig(paths=("markov.txt",), row_length=64, validation_share=0.05, test_share=0.08),
        tokenizer=tokenizers.TokenizerConfig(kind="bytes"),
        model=models.TransformerConfig(
            width=64,
            depth=2,
            num_heads=4,
            max_length=64,
            causal=True,
            position="rotary",
            head="linear",
            head_bias=False,
        ),
        optimizer=training.OptimizerConfig(learning_rate=3e-3, warmup=0.05, weight_decay=0.01),
        run=training.RunConfig(steps=1000, batch_size=32, eval_every=250, save_every=250),
    )
