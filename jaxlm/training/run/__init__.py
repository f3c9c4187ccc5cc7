"""A run from an experiment to a folder: its settings, events, metrics and checkpoints."""

from jaxlm.training.run._checkpoints import Checkpoint, CheckpointWriter, checkpoints, last_good, load_arrays
from jaxlm.training.run._events import (
    Compiled,
    Evaluated,
    Event,
    Finished,
    Noted,
    Progress,
    Sampled,
    Saved,
    Started,
    Stopped,
    Warned,
)
from jaxlm.training.run._experiment import Experiment, causal_experiment
from jaxlm.training.run._initial import experiment_from_model, initial_params
from jaxlm.training.run._loop import train
from jaxlm.training.run._metrics import read_metrics
from jaxlm.training.run._run_config import RunConfig
from jaxlm.training.run._run_folder import load_experiment
from jaxlm.training.run._signals import StopRequest
from jaxlm.training.run._task import Task, evaluation_setting, make_split, make_task, model_config, setting_of
from jaxlm.training.run._trackers import Tracker, TrackerName, event_numbers, open_tracker
from jaxlm.training.run._trainer import TrainingError
from jaxlm.training.run._unused_fields import unused_fields

__all__ = [
    "Checkpoint",
    "CheckpointWriter",
    "Compiled",
    "Evaluated",
    "Event",
    "Experiment",
    "Finished",
    "Noted",
    "Progress",
    "RunConfig",
    "Sampled",
    "Saved",
    "Started",
    "StopRequest",
    "Stopped",
    "Task",
    "Tracker",
    "TrackerName",
    "TrainingError",
    "Warned",
    "causal_experiment",
    "checkpoints",
    "evaluation_setting",
    "event_numbers",
    "experiment_from_model",
    "initial_params",
    "last_good",
    "load_arrays",
    "load_experiment",
    "make_split",
    "make_task",
    "model_config",
    "open_tracker",
    "read_metrics",
    "setting_of",
    "train",
    "unused_fields",
]
