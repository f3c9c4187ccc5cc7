"""One small corpus, experiment and task for all tests of training, and compiled programs kept for them."""

import dataclasses
import random

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from jaxlm import training
from jaxlm.data import Batches, DataConfig
from jaxlm.devices import enable_compilation_cache
from jaxlm.models import TransformerConfig, build
from jaxlm.tokenizers import TokenizerConfig

OPCODES = ["mov", "add", "xor", "push", "pop", "ret", "call", "jmp"]
OPERANDS = ["rax", "rbx", "rcx", "rdx", "0", "1", "-8"]


@pytest.fixture(scope="module", autouse=True)
def _session_cache(tmp_path_factory):
    """Runs of the same programs, in this process or in a child, compile them once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.getbasetemp() / "cache"
        patch.setenv("JAXLM_CACHE", str(folder))
        before = jax.config.jax_compilation_cache_dir
        enable_compilation_cache(folder / "compiled")
        yield
        jax.config.update("jax_compilation_cache_dir", before)
        compilation_cache.reset_cache()


@pytest.fixture(scope="session")
def traces(tmp_path_factory):
    """A file of 80 traces."""
    draw = random.Random(0)

    def instruction():
        return " ".join([draw.choice(OPCODES), *draw.sample(OPERANDS, draw.randint(0, 2))])

    lines = [" [NEXT] ".join(instruction() for _ in range(draw.randint(3, 12))) for _ in range(80)]
    path = tmp_path_factory.mktemp("corpus") / "code.traces"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def experiment(traces):
    """A run of a few steps on one small model."""
    return training.Experiment(
        data=DataConfig(paths=(str(traces),), row_length=32, validation_share=0.2, test_share=0.2),
        tokenizer=TokenizerConfig(vocab_size=600),
        model=TransformerConfig(width=16, depth=1, num_heads=2, max_length=32, position="instruction"),
        run=training.RunConfig(steps=8, batch_size=8, eval_every=4, save_every=2, log_every=2),
    )


@pytest.fixture(scope="session")
def task(experiment):
    return training.make_task(experiment)


@pytest.fixture(scope="session")
def model(task):
    return build(task.config)


@pytest.fixture(scope="session")
def masking(experiment, task):
    """Of a whole batch on one device."""
    noise, rows = experiment.resolved_input_noise, experiment.run.batch_size
    return training.make_masking(noise, task.config, task.tokenizer, task.splits["train"], rows)


@pytest.fixture(scope="session")
def batches(experiment, task):
    split = task.splits["train"]
    return Batches(split.cache, split.plan, batch_size=experiment.run.batch_size, seed=0)


@pytest.fixture(scope="session")
def params(model):
    optimizer = training.make_optimizer(training.OptimizerConfig(), 10)
    return training.init_state(model, optimizer, jax.random.key(1)).params


@pytest.fixture
def changed(experiment):
    """Returns the experiment with fields of its run and its optimiser changed."""

    def change(*, optimizer=None, **run):
        return dataclasses.replace(
            experiment,
            run=dataclasses.replace(experiment.run, **run),
            optimizer=dataclasses.replace(experiment.optimizer, **(optimizer or {})),
        )

    return change
