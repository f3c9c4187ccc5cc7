"""From an experiment to a trained model: objective, optimiser, step, devices, checkpoints, loop."""

from jaxlm.training._checkpoints import Checkpoint, CheckpointWriter, checkpoints, last_good, load_arrays
from jaxlm.training._compilation import enable_compilation_cache
from jaxlm.training._digests import damage, write_digests
from jaxlm.training._evaluation import Evaluation, log_frequencies, summarize, unigram_log_probs
from jaxlm.training._evaluator import Evaluator, evaluate, make_eval_step
from jaxlm.training._events import (
    Evaluated,
    Event,
    Finished,
    Noted,
    Progress,
    Saved,
    Started,
    Stopped,
    Warned,
)
from jaxlm.training._experiment import Experiment
from jaxlm.training._loop import train
from jaxlm.training._memory import keep_memory
from jaxlm.training._metrics import read_metrics
from jaxlm.training._objective import Masked, Masking, Objective, mask_batch, masked_lm_objective, named_rng
from jaxlm.training._optimizer import OptimizerConfig, decays, make_optimizer
from jaxlm.training._placement import divide, fetch, parallel, replicate
from jaxlm.training._run_config import RunConfig
from jaxlm.training._run_folder import load_experiment
from jaxlm.training._schedule import learning_rate_schedule, warmup_steps
from jaxlm.training._signals import StopRequest
from jaxlm.training._step import TrainState, init_state, make_train_step
from jaxlm.training._task import Split, Task, make_masking, make_objective, make_task, model_config
from jaxlm.training._trainer import TrainingError

__all__ = [
    "Checkpoint",
    "CheckpointWriter",
    "Evaluated",
    "Evaluation",
    "Evaluator",
    "Event",
    "Experiment",
    "Finished",
    "Masked",
    "Masking",
    "Noted",
    "Objective",
    "OptimizerConfig",
    "Progress",
    "RunConfig",
    "Saved",
    "Split",
    "Started",
    "StopRequest",
    "Stopped",
    "Task",
    "TrainState",
    "TrainingError",
    "Warned",
    "checkpoints",
    "damage",
    "decays",
    "divide",
    "enable_compilation_cache",
    "evaluate",
    "fetch",
    "init_state",
    "keep_memory",
    "last_good",
    "learning_rate_schedule",
    "load_arrays",
    "load_experiment",
    "log_frequencies",
    "make_eval_step",
    "make_masking",
    "make_objective",
    "make_optimizer",
    "make_task",
    "make_train_step",
    "mask_batch",
    "masked_lm_objective",
    "model_config",
    "named_rng",
    "parallel",
    "read_metrics",
    "replicate",
    "summarize",
    "train",
    "unigram_log_probs",
    "warmup_steps",
    "write_digests",
]
