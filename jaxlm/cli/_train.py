"""`jaxlm train [EXPERIMENT] [--options]`: from an experiment to a run folder."""

import contextlib
import importlib.metadata
import importlib.util
import shlex
from collections.abc import Sequence
from pathlib import Path

from jaxlm import io, training
from jaxlm.cli._experiments import experiment_lines
from jaxlm.cli._failures import FAILED, RERUN_HINT, say
from jaxlm.cli._progress import TrainDisplay
from jaxlm.cli._samples import can_write, write_sample
from jaxlm.cli._signals import defers_signals, describe_command, exit_if_signalled, register_cleanup
from jaxlm.cli._train_report import report
from jaxlm.cli._train_request import PROGRAM, Request, asks_for_list, read_request
from jaxlm.devices import enable_compilation_cache, keep_memory


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    if asks_for_list(arguments):
        print("\n".join(experiment_lines()))
        return 0
    request = read_request(arguments)
    if _is_cpu_only():
        keep_memory()
    enable_compilation_cache()
    register_cleanup(lambda: _remove_if_empty(request.folder))
    try:
        first, event = _trained(request)
    except io.WriteError as error:
        if not (request.folder / "experiment.json").exists():
            error.add_note(RERUN_HINT)
        raise
    finally:
        _remove_if_empty(request.folder)
    match event:
        case training.Finished():
            exit_if_signalled()
            more, as_json = request.report, request.json
            report(event, request.experiment, first=first, as_json=as_json, more=more)
            return 0
        case training.Stopped():
            return _leave(request, event)
    say(PROGRAM, "failed: the run ended without a final event, a bug")
    return FAILED


def _trained(request: Request) -> tuple[int, training.Event | None]:
    """Trains; returns the step at which this process began, and the last event."""
    first, event = 0, None
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(TrainDisplay())
        tracker = None
        if request.tracker is not None:
            tracker = training.open_tracker(request.tracker, request.folder, request.experiment)
            stack.callback(tracker.close)
        events = training.train(
            request.experiment,
            request.folder,
            resume=request.resume,
            write_sample=write_sample if request.samples and can_write(request.experiment) else None,
        )
        for event in events:
            match event:
                case training.Started():
                    first = event.step
                    describe_command(PROGRAM, f"; go on: {_again(request)}")
                    if request.changed_defaults:
                        display.line(f"  {request.changed_defaults}")
                case training.Compiled():
                    # Before this a signal ends the process at once: there is nothing to save.
                    stack.enter_context(defers_signals())
            display.show(event)
            if tracker is not None:
                tracker.track(event)
    return first, event


def _leave(request: Request, event: training.Stopped) -> int:
    steps = request.experiment.run.steps
    line = f"stopped at step {event.step} of {steps}, saved; go on: {_again(request)}"
    # This ends the process without the interpreter's own end, in which a working compiler would crash.
    exit_if_signalled(f"{PROGRAM}: {line}", event.signal)
    say(PROGRAM, line)
    return 128 + event.signal


def _again(request: Request) -> str:
    return f"{PROGRAM} --resume --out {shlex.quote(str(request.folder))}"


def _remove_if_empty(folder: Path) -> None:
    """Removes the folder of a run that was refused or stopped before it began."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _is_cpu_only() -> bool:
    """Returns whether no accelerator's plug-in is installed, without JAX, which would start its threads."""
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return not plugins and importlib.util.find_spec("libtpu") is None
