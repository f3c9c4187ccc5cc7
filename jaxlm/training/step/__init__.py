"""One step of training and of evaluation, as programs of devices."""

from jaxlm.training.step._compiled import DETERMINISTIC, compile_unless_cancelled
from jaxlm.training.step._ensemble import (
    ensemble_step,
    init_ensemble,
    make_shared_body_step,
    member_rngs,
    stack_batches,
)
from jaxlm.training.step._evaluator import (
    EvaluationResult,
    Evaluator,
    evaluate,
    make_eval_step,
    sample_rows_evenly,
)
from jaxlm.training.step._frozen import freeze, last_layers
from jaxlm.training.step._joint import JointTask, JointTasks
from jaxlm.training.step._optimizer import OptimizerConfig, decay_mask, make_optimizer
from jaxlm.training.step._schedule import cooldown_steps, learning_rate_schedule, warmup_steps
from jaxlm.training.step._step import TrainState, init_state, make_train_step

__all__ = [
    "DETERMINISTIC",
    "EvaluationResult",
    "Evaluator",
    "JointTask",
    "JointTasks",
    "OptimizerConfig",
    "TrainState",
    "compile_unless_cancelled",
    "cooldown_steps",
    "decay_mask",
    "ensemble_step",
    "evaluate",
    "freeze",
    "init_ensemble",
    "init_state",
    "last_layers",
    "learning_rate_schedule",
    "make_eval_step",
    "make_optimizer",
    "make_shared_body_step",
    "make_train_step",
    "member_rngs",
    "sample_rows_evenly",
    "stack_batches",
    "warmup_steps",
]
