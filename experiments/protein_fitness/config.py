"""How well does a small transformer rank the variants of a protein at positions that it has not seen?

    jaxlm train protein-fitness --data beta_lactamase_variants.fasta

Each record is a variant with its measured fitness at the end of its header (`>index|name_R164K|0.25`). A
label is the mean of the records with the same sequence (the wild type is there many times), and all variants
at one position are in the same split. The model reads 41 residues around the exchange, of which in training
30 % are masked; compare.py tells what window, noise and pooling are worth. At its end the run tells
Spearman's rho on the held-out positions, with a bootstrap interval over positions, beside ridge regressions
on one-hot residues and on properties of amino acids.

Hardware: 2 CPU cores. Time: about 2 minutes. Expected: README.md has the table; on so few positions the
    intervals are wide.
"""

from pathlib import Path

from ranking import rank, table

from jaxlm import corruption, data, models, tokenizers, training


def get_experiment() -> training.Experiment:
    """Returns a regression on the mean of what a small encoder makes of each residue."""
    return training.Experiment(
        objective="regression",
        data=data.DataConfig(
            paths=("*.fasta",),
            row_length=88,
            window=41,
            center_pattern=r"_[A-Z](\d+)[A-Z]",
            ends=True,
            group_pattern=r"_[A-Z](\d+)[A-Z]",
            label_pattern=r"\|([^|]+)$",
            label_kind="number",
            validation_share=0.15,
            test_share=0.15,
        ),
        tokenizer=tokenizers.TokenizerConfig(kind="residues"),
        model=models.TransformerConfig(
            width=64,
            depth=2,
            num_heads=4,
            max_length=88,
            norm="rms",
            position="learned",
            activation="swiglu",
            use_bias=False,
            embedding_norm=True,
            init_std=0.08,
        ),
        head=models.HeadConfig(pooling="mean", hidden_layers=1),
        input_noise=corruption.NoiseConfig(rate=0.3, mask_share=1.0, random_share=0.0, keep_share=0.0),
        optimizer=training.OptimizerConfig(learning_rate=1e-3, warmup=0.05, weight_decay=0.05),
        run=training.RunConfig(steps=500, batch_size=32, eval_every=100, save_every=100),
    )


def report(folder: Path) -> str:
    """Returns what a finished run has to say: its rank correlation beside those of the baselines."""
    return "\n" + table(rank(training.load_experiment(folder).data, {"transformer": folder})) + "\n"
