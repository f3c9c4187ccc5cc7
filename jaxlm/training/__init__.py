"""From an experiment to a trained model: objective, optimiser, step, devices, checkpoints, loop."""

from jaxlm.io import damage, write_digests
from jaxlm.models import Evaluation, LevelSummary, SequenceEvaluation
from jaxlm.training._causal import causal_lm_loss, prepare_next, shift_batch
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
from jaxlm.training._initial import begin_from, initial_params
from jaxlm.training._joint import JointTask, JointTasks
from jaxlm.training._labels import Examples, batch_examples, prepare_labels
from jaxlm.training._loop import train
from jaxlm.training._loss import HeadCall, LossFunction, LossInputs, loss_function, named_rng
from jaxlm.training._loss_config import LossConfig
from jaxlm.training._masked import Masking, make_masking, mask_batch, masked_lm_loss, prepare_masked
from jaxlm.training._metrics import read_metrics
from jaxlm.training._objective import READS, Objective
from jaxlm.training._objectives import OBJECTIVES, as_objective, objective_of
from jaxlm.training._optimizer import OptimizerConfig, decays, make_optimizer
from jaxlm.training._run_config import RunConfig
from jaxlm.training._run_folder import load_experiment
from jaxlm.training._schedule import learning_rate_schedule, warmup_steps
from jaxlm.training._sequence import (
    class_evaluation,
    class_loss,
    classification_loss,
    regression_loss,
    sequence_outputs,
    smoothed_cross_entropy,
    value_loss,
)
from jaxlm.training._setting import Setting, Split, position_options
from jaxlm.training._signals import StopRequest
from jaxlm.training._span_corruption import (
    Spans,
    make_spans,
    prepare_spans,
    shifted,
    span_corruption_loss,
    take_out,
    target_room,
)
from jaxlm.training._step import TrainState, init_state, make_train_step
from jaxlm.training._summaries import label_summary, token_summary
from jaxlm.training._task import Task, evaluation_setting, make_split, make_task, model_config, setting_of
from jaxlm.training._token_loss import token_evaluation, token_loss, token_loss_function
from jaxlm.training._token_metrics import TokenSummary, summarize_tokens, token_metrics
from jaxlm.training._token_plan import TokenPlan
from jaxlm.training._trainer import TrainingError
from jaxlm.training._unread import unread_fields

__all__ = [
    "OBJECTIVES",
    "READS",
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
    "HeadCall",
    "JointTask",
    "JointTasks",
    "LevelSummary",
    "LossConfig",
    "LossFunction",
    "LossInputs",
    "Masking",
    "Noted",
    "Objective",
    "OptimizerConfig",
    "Progress",
    "RunConfig",
    "Saved",
    "SequenceEvaluation",
    "Setting",
    "Spans",
    "Split",
    "Started",
    "StopRequest",
    "Stopped",
    "Task",
    "TokenPlan",
    "TokenSummary",
    "TrainState",
    "TrainingError",
    "Warned",
    "as_objective",
    "batch_examples",
    "begin_from",
    "causal_lm_loss",
    "checkpoints",
    "class_evaluation",
    "class_loss",
    "classification_loss",
    "damage",
    "decays",
    "ensemble_step",
    "evaluate",
    "evaluation_setting",
    "hold",
    "init_ensemble",
    "init_state",
    "initial_params",
    "label_summary",
    "last_good",
    "last_layers",
    "learning_rate_schedule",
    "load_arrays",
    "load_experiment",
    "log_frequencies",
    "loss_function",
    "make_eval_step",
    "make_masking",
    "make_optimizer",
    "make_shared_body_step",
    "make_spans",
    "make_split",
    "make_task",
    "make_train_step",
    "mask_batch",
    "masked_lm_loss",
    "member_rngs",
    "model_config",
    "named_rng",
    "objective_of",
    "position_options",
    "prepare_labels",
    "prepare_masked",
    "prepare_next",
    "prepare_spans",
    "read_metrics",
    "regression_loss",
    "sequence_outputs",
    "setting_of",
    "shift_batch",
    "shifted",
    "smoothed_cross_entropy",
    "span_corruption_loss",
    "stack_batches",
    "summarize",
    "summarize_sequences",
    "summarize_tokens",
    "take_out",
    "target_room",
    "token_evaluation",
    "token_loss",
    "token_loss_function",
    "token_metrics",
    "token_summary",
    "train",
    "unigram_log_probs",
    "unread_fields",
    "value_loss",
    "warmup_steps",
    "write_digests",
]
