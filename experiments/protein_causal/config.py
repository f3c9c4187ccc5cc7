"""What does a small causal LM learn of natural protein families?

    jaxlm train protein-causal --data protein_families.fasta

Without --data it takes every FASTA file of the working folder. Records are divided by similarity, so that no
near-duplicate of a held-out protein is trained on. One residue in twenty that the model reads is exchanged
for one that evolution would put there (BLOSUM62), what it predicts is clean; `--input-noise.rate 0` reads
clean residues, and compare.py tells what the noise is worth.

Hardware: 2 CPU cores. Time: about 2 minutes. Expected: below the frequencies of residues, on held-out
    proteins; README.md has the table.
"""

from jaxlm import corruption, data, models, tokenizers, training


def get_experiment() -> training.Experiment:
    """Returns a rotary, gated, RMS-normed decoder over residues."""
    return training.Experiment(
        objective="causal_lm",
        data=data.DataConfig(
            paths=("*.fasta",),
            row_length=192,
            ends=True,
            split="similarity",
            validation_share=0.1,
            test_share=0.1,
        ),
        tokenizer=tokenizers.TokenizerConfig(kind="residues"),
        model=models.TransformerConfig(
            width=128,
            depth=4,
            num_heads=4,
            max_length=448,
            causal=True,
            norm="rms",
            position="rotary",
            activation="swiglu",
            use_bias=False,
            embedding_norm=True,
            init_std=0.08,
        ),
        input_noise=corruption.NoiseConfig(
            rate=0.05,
            mask_share=0.0,
            random_share=0.0,
            substitute_share=1.0,
            keep_share=0.0,
            substitution="blosum62",
        ),
        optimizer=training.OptimizerConfig(learning_rate=2e-3, warmup=0.05, weight_decay=0.05),
        run=training.RunConfig(steps=2000, batch_size=4, eval_every=400, save_every=400),
    )
