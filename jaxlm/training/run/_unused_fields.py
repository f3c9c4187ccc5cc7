"""Fields of an experiment that have no effect in it, each with the reason."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from jaxlm import io
from jaxlm.corruption import NoiseConfig
from jaxlm.training.objectives import OBJECTIVES, Objective
from jaxlm.training.run._experiment import Experiment

# Fields of the model that only a language model's head uses.
OUTPUT_FIELDS = (
    "tie_embeddings",
    "head",
    "head.",
    "head_bias",
    "output_scale",
    "logit_softcap",
)


class _Rule(NamedTuple):
    """Fields that have an effect only under a condition; a name that ends with a dot is a whole section."""

    fields: tuple[str, ...]
    is_read: Callable[[Experiment], bool]
    why: str


def unused_fields(experiment: Experiment) -> dict[str, str]:
    """Returns the fields of an experiment that do not affect what it computes, each with the reason.

    Returns:
      A mapping from the dotted name of a field, such as "head.pooling", to the reason.

    Example:
      >>> from jaxlm.training import Experiment, unused_fields
      >>> unread = unused_fields(Experiment())
      >>> unread["spans.rate"]
      "it is of objective='seq2seq_lm', and that is 'masked_lm'"
      >>> "input_noise.mask_share" in unread, "input_noise.temperature" in unread
      (False, True)
    """
    flat = io.flat_fields(experiment.to_dict())
    # "model.position.kind" is the value of "model.position" itself; "tokenizer.kind" is a field of its own.
    names = [name.removesuffix(".kind") if name.count(".") > 1 else name for name in flat]
    # A field that holds a record of a single class, such as "model.decoder", is a field like those in it.
    names += [name.rpartition(".")[0] for name in names if name.count(".") > 1]
    unread: dict[str, str] = {}
    for rule in _rules(experiment):
        if not rule.is_read(experiment):
            covered = [name for name in names if name.startswith(_sections(rule)) or name in rule.fields]
            unread = dict.fromkeys(covered, rule.why) | unread
    return unread


def _sections(rule: _Rule) -> tuple[str, ...]:
    return tuple(field for field in rule.fields if field.endswith("."))


def _rules(experiment: Experiment) -> Iterator[_Rule]:
    """Yields the rules in order: where several exclude a field, the first gives the reason."""
    yield from _of_objectives(f"and that is {experiment.resolved_objective.name!r}")
    yield from _of_data()
    yield from _of_models()
    for name in ("input_noise", "target_noise"):
        yield from _of_noise(name, getattr(experiment, f"resolved_{name}"))
    yield _Rule(
        ("optimizer.final_fraction",),
        lambda experiment: experiment.optimizer.decay != "constant",
        "optimizer.decay='constant' leaves the learning rate where it is",
    )
    yield _Rule(
        ("optimizer.cooldown",),
        lambda experiment: experiment.optimizer.decay.startswith("wsd"),
        "it is of optimizer.decay='wsd' and 'wsd-sqrt'",
    )


def _of_objectives(but: str) -> Iterator[_Rule]:
    def of(fields: tuple[str, ...], is_read: Callable[[Objective], bool], more: str = "") -> _Rule:
        """Returns the rule of fields that only some objectives use; the reason names ours that do."""
        names = [repr(name) for name, objective in OBJECTIVES.items() if is_read(objective)]
        listed = " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
        why = f"it is of objective={listed}, {but}{more}"
        return _Rule(fields, lambda experiment: is_read(experiment.resolved_objective), why)

    def by_noise(objective: Objective) -> bool:
        return "input_noise" in objective.reads

    yield of(("head.",), lambda objective: objective.kind.sequence_outputs)
    yield _Rule(("head.center", "head.scale"), lambda experiment: False, "the labels decide it")
    yield of(("spans.",), lambda objective: "spans" in objective.reads)
    yield of(("input_noise.",), by_noise, "; see spans.rate")
    yield of(("input_noise.final_rate",), lambda objective: objective.kind.fill)
    yield of(("target_noise.",), lambda objective: "target_noise" in objective.reads)
    yield _Rule(("target_noise.final_rate",), lambda experiment: False, "only the rate of masks changes")
    yield of(("loss.z_loss",), lambda objective: "z_loss" in objective.reads)
    yield of(("loss.label_smoothing",), lambda objective: "label_smoothing" in objective.reads)
    labels = ("data.label_pattern", "data.label_field", "data.label_kind")
    yield of(labels, lambda objective: objective.labels is not None)
    yield of(
        tuple(f"model.{name}" for name in OUTPUT_FIELDS), lambda objective: objective.kind.head == "tokens"
    )
    decoder = ("model.decoder", "model.decoder.")
    yield of(decoder, lambda objective: objective.kind.encoder)


def _of_data() -> Iterator[_Rule]:
    def trains(experiment: Experiment) -> bool:
        return experiment.tokenizer.path is None and experiment.tokenizer.kind not in ("bytes", "residues")

    yield _Rule(
        ("data.corpus",),
        lambda experiment: not experiment.data.paths,
        "data.paths take the embedded corpus's place",
    )
    of_files = ("data.document", "data.field")
    yield _Rule(
        of_files,
        lambda experiment: bool(experiment.data.paths),
        "it is of files, and there are no data.paths",
    )
    yield _Rule(
        ("data.field",),
        lambda experiment: experiment.data.format not in ("text", "fasta", "traces"),
        "data.format is one without fields",
    )
    yield _Rule(
        ("data.document",),
        lambda experiment: experiment.data.format in (None, "text"),
        "data.format is one with documents of its own",
    )
    yield _Rule(
        ("data.similarity",),
        lambda experiment: experiment.data.split == "similarity",
        "it is of data.split='similarity'",
    )
    yield _Rule(
        ("tokenizer.vocab_size",), trains, "no vocabulary is trained: tokenizer.path or kind brings one"
    )
    yield _Rule(
        ("tokenizer.rows",),
        lambda experiment: experiment.tokenizer.path is not None,
        "it is of a tokenizer.path, and there is none",
    )


def _of_models() -> Iterator[_Rule]:
    windows = ("model.layer_pattern", "model.position.window_base")
    yield _Rule(
        windows,
        lambda experiment: experiment.model.window is not None,
        "it is of a model.window, and there is none",
    )
    yield _Rule(
        ("model.norm_bias",), lambda experiment: experiment.model.norm == "layer", "an RMSNorm has no bias"
    )
    yield _Rule(
        ("model.mask_id",), lambda experiment: experiment.model.token_dropout, "it is of model.token_dropout"
    )


def _of_noise(name: str, noise: NoiseConfig) -> Iterator[_Rule]:
    """Yields the rules of one of the two noises, whose rate is known."""

    def rule(holds: bool, why: str, *fields: str) -> _Rule:
        return _Rule(tuple(f"{name}.{field}" for field in fields), lambda experiment: holds, why)

    is_drawn = noise.schedule != "constant"
    yield rule(not is_drawn, f"{name}.schedule={noise.schedule!r} draws the share of each example", "rate")
    constant = f"{name}.schedule='constant' draws no timesteps"
    yield rule(is_drawn, constant, "time", "timesteps", "beta_a", "beta_b")
    yield rule(noise.timesteps == "beta", f"it is of {name}.timesteps='beta'", "beta_a", "beta_b")
    shares = ("mask_share", "random_share", "substitute_share", "keep_share")
    substitution = ("substitution", "temperature", "keep_diagonal", "background")
    none = f"{name}.rate is 0: nothing is corrupted; raise it too"
    corrupts = is_drawn or bool(noise.rate or noise.final_rate)
    yield rule(corrupts, none, "count", "unit", *shares, *substitution)
    yield rule(noise.substitute_share > 0, f"{name}.substitute_share is 0; raise it too", *substitution)
    is_blosum = noise.substitution == "blosum62"
    yield rule(is_blosum, f"it is of {name}.substitution='blosum62'", *substitution[1:])
