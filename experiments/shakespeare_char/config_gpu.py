"""The same question at nanoGPT's setting for GPUs, where dropout and size begin to matter.

    python experiments/shakespeare_char/run.py tinyshakespeare.txt --gpu

Hardware: one GPU. Time: minutes. Expected: a best validation loss of about 1.47 nats a character (nanoGPT
    publishes 1.4697).
"""

import dataclasses
import importlib.util
from pathlib import Path

from jaxlm import training

WINDOW = 256


def get_experiment() -> training.Experiment:
    """Returns 6 layers, 6 heads, width 384, context 256, batch 64, dropout 0.2, 5,000 steps in bfloat16."""
    cpu = _beside("config")
    experiment = cpu.get_experiment()
    return dataclasses.replace(
        experiment,
        data=dataclasses.replace(experiment.data, row_length=WINDOW + 1),
        model=cpu.gpt_config(
            width=384, depth=6, num_heads=6, max_length=WINDOW + 1, dropout=0.2, dtype="bfloat16"
        ),
        run=dataclasses.replace(experiment.run, steps=5000, batch_size=64),
    )


def _beside(name: str):
    """The module of a file in this folder, which is no package."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"shakespeare_char_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
