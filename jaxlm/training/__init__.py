"""From an experiment to a trained model: objective, optimiser, step, devices, checkpoints, loop."""

from jaxlm.io import damage, write_digests
from jaxlm.models import Evaluation, LevelSummary, SequenceEvaluation
from jaxlm.training._causal import Shifted, causal_lm_objective, shift_batch
from jaxlm.training._checkpoints import Checkpoint, CheckpointWriter, checkpoints, last_good, load_arrays
from jaxlm.training._ensemble import (
    ensemble_step,
    init_ensemble,
    make_shared_body_step,
    member_rngs,
    stack_batches,
)
from jaxlm.training._evaluation import (
    log_frequencies,
    summarize,
    summarize_sequences,
    unigram_log_probs,
)
from jaxlm.training._evaluator import Evaluator, evaluate, make_eval_step
from jaxlm.training._events import (
    Compiled,
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
from jaxlm.training._frozen import hold, last_layers
from jaxlm.training._goals import (
    evaluation_objective,
    make_masking,
    make_spans,
    position_options,
    training_objective,
)
from jaxlm.training._initial import begin_from, initial_params
from jaxlm.training._joint import JointTask, JointTasks
from jaxlm.training._loop import train
from jaxlm.training._loss_config import LossConfig
from jaxlm.training._metrics import read_metrics
from jaxlm.training._objective import Masked, Masking, Objective, mask_batch, masked_lm_objective, named_rng
from jaxlm.training._optimizer import OptimizerConfig, decays, make_optimizer
from jaxlm.training._run_config import RunConfig
from jaxlm.training._run_folder import load_experiment
from jaxlm.training._schedule import learning_rate_schedule, warmup_steps
from jaxlm.training._sequence import (
    classification_objective,
    regression_objective,
    smoothed_cross_entropy,
)
from jaxlm.training._sequence_inputs import (
    Examples,
    SequenceInputs,
    batch_examples,
    read_batch,
    sequence_outputs,
)
from jaxlm.training._signals import StopRequest
from jaxlm.training._span_corruption import (
    Spans,
    shifted,
    span_corruption_objective,
    take_out,
    target_room,
)
from jaxlm.training._step import TrainState, init_state, make_train_step
from jaxlm.training._task import Split, Task, make_split, make_task, model_config
from jaxlm.training._token_metrics import TokenSummary, summarize_tokens, token_metrics
from jaxlm.training._trainer import TrainingError
from jaxlm.training._unread import unread_fields

__all__ = [
    "Checkpoint",
    "CheckpointWriter",
    "Compiled",
    "Evaluated",
    "Evaluation",
    "Evaluator",
    "Event",
    "Examples",
    "Experiment",
    "Finished",
    "JointTask",
    "JointTasks",
    "LevelSummary",
    "LossConfig",
    "Masked",
    "Masking",
    "Noted",
    "Objective",
    "OptimizerConfig",
    "Progress",
    "RunConfig",
    "Saved",
    "SequenceEvaluation",
    "SequenceInputs",
    "Shifted",
    "Spans",
    "Split",
    "Started",
    "StopRequest",
    "Stopped",
    "Task",
    "TokenSummary",
    "TrainState",
    "TrainingError",
    "Warned",
    "batch_examples",
    "begin_from",
    "causal_lm_objective",
    "checkpoints",
    "classification_objective",
    "damage",
    "decays",
    "ensemble_step",
    "evaluate",
    "evaluation_objective",
    "hold",
    "init_ensemble",
    "init_state",
    "initial_params",
    "last_good",
    "last_layers",
    "learning_rate_schedule",
    "load_arrays",
    "load_experiment",
    "log_frequencies",
    "make_eval_step",
    "make_masking",
    "make_optimizer",
    "make_shared_body_step",
    "make_spans",
    "make_split",
    "make_task",
    "make_train_step",
    "mask_batch",
    "masked_lm_objective",
    "member_rngs",
    "model_config",
    "named_rng",
    "position_options",
    "read_batch",
    "read_metrics",
    "regression_objective",
    "sequence_outputs",
    "shift_batch",
    "shifted",
    "smoothed_cross_entropy",
    "span_corruption_objective",
    "stack_batches",
    "summarize",
    "summarize_sequences",
    "summarize_tokens",
    "take_out",
    "target_room",
    "token_metrics",
    "train",
    "training_objective",
    "unigram_log_probs",
    "unread_fields",
    "warmup_steps",
    "write_digests",
]
