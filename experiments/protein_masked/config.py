"""What does a small masked LM learn of natural protein families?

    jaxlm train protein-masked --data protein_families.fasta

Without --data it takes every FASTA file of the working folder. Records are divided by similarity, so that no
near-duplicate of a held-out protein is trained on. Of the chosen residues 80 % are masked, 10 % become a
residue that evolution would put there (BLOSUM62) and 10 % stay; compare.py tells what that is worth.

Hardware: 2 CPU cores. Time: about 2 minutes. Expected: below the frequencies of residues, on held-out
    proteins; README.md has the table.
"""

from jaxlm import corruption, data, models, tokenizers, training


def get_experiment() -> training.Experiment:
    """Returns a rotary, gated, RMS-normed encoder over residues."""
    return training.Experiment(
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
            norm="rms",
            position="rotary",
            activation="swiglu",
            use_bias=False,
            embedding_norm=True,
            init_std=0.08,
        ),
        input_noise=corruption.NoiseConfig(
            rate=0.15,
            mask_share=0.8,
            random_share=0.0,
            substitute_share=0.1,
            keep_share=0.1,
            substitution="blosum62",
        ),
        optimizer=training.OptimizerConfig(learning_rate=2e-3, warmup=0.05, weight_decay=0.05),
        run=training.RunConfig(steps=2000, batch_size=4, eval_every=400, save_every=400),
    )
