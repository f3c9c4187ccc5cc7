"""The experiment: one record of everything that decides what a run computes."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from jaxlm import io, models
from jaxlm.corruption import NoiseConfig, SpanConfig
from jaxlm.data import DataConfig, EndTokens
from jaxlm.errors import ConfigError
from jaxlm.models import HeadConfig, TransformerConfig
from jaxlm.tokenizers import TokenizerConfig
from jaxlm.training.losses import LossConfig
from jaxlm.training.objectives import (
    MASKED_TOKENS,
    NEXT_TOKENS,
    OBJECTIVES,
    Objective,
    as_objective,
    named_objective,
)
from jaxlm.training.run._run_config import RunConfig
from jaxlm.training.step import OptimizerConfig


def _default_data() -> DataConfig:
    return DataConfig(row_length=128)


def _default_model() -> TransformerConfig:
    """Returns a model small enough for five minutes on two CPU cores.

    It has rotary positions: in so short a run, a model with tables of instruction positions learned little
    beyond token frequencies (4.7 against 3.2 nats on held-out text after 2 million tokens).
    """
    return TransformerConfig(
        width=128,
        depth=4,
        num_heads=4,
        max_length=512,
        position="rotary",
        embedding_norm=True,
        init_std=0.08,
    )


def _default_optimizer() -> OptimizerConfig:
    return OptimizerConfig(learning_rate=2e-3)


def _default_run() -> RunConfig:
    return RunConfig(steps=3000, batch_size=8, eval_every=500, save_every=500)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that decides what a run computes.

    The defaults are an experiment that needs no data from elsewhere: a masked LM of this Python's standard
    library, disassembled into traces of byte-code instructions, trained in about five minutes on two CPU
    cores.

    Attributes:
      objective: what is learned: an `Objective`, or the name of one in `OBJECTIVES`: "masked_lm" (predicts
        corrupted tokens), "causal_lm" (predicts each next token), "seq2seq_lm" (an encoder-decoder that
        predicts spans removed from a text), "classification" or "regression" (predict a record's label).
      data: which corpus is read, and how it is split and packed into rows.
      tokenizer: which tokenizer is used, or how one is trained.
      model: the config of the transformer; `vocab_size` and the `next_id` of instruction positions may be
        None, and are then taken from the tokenizer.
      head: pooling and layers of the head of a classifier or a regression.
      input_noise: the noise that corrupts what the model reads, not its targets; a masked LM predicts the
        corrupted positions. Its rate, if None, is 0.15 for a masked LM and 0 for others.
      target_noise: the noise that corrupts the targets of a language model, in training only, not what the
        model reads. Its rate, if None, is 0.
      spans: which share of an encoder-decoder's text is removed for the decoder to predict, and in how long
        spans.
      loss: label smoothing and z-loss of the training loss.
      optimizer: the options of AdamW and its learning rate.
      run: the length of the run, its intervals, and which checkpoints are kept.

    Raises:
      ConfigError: if two fields contradict each other.

    Example:
      >>> from jaxlm.training import Experiment, OptimizerConfig, RunConfig
      >>> Experiment(run=RunConfig(batch_size=6), optimizer=OptimizerConfig(accumulation=4))
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: run.batch_size is a multiple of optimizer.accumulation: got 6 rows in 4 ...
    """

    objective: Objective | str = MASKED_TOKENS
    data: DataConfig = dataclasses.field(default_factory=_default_data)
    tokenizer: TokenizerConfig = dataclasses.field(default_factory=TokenizerConfig)
    model: TransformerConfig = dataclasses.field(default_factory=_default_model)
    head: HeadConfig = dataclasses.field(default_factory=HeadConfig)
    input_noise: NoiseConfig = dataclasses.field(default_factory=NoiseConfig)
    target_noise: NoiseConfig = dataclasses.field(default_factory=NoiseConfig)
    spans: SpanConfig = dataclasses.field(default_factory=SpanConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=_default_optimizer)
    run: RunConfig = dataclasses.field(default_factory=_default_run)

    def __post_init__(self) -> None:
        object.__setattr__(self, "objective", as_objective(self.objective))
        rows, parts = self.run.batch_size, self.optimizer.accumulation
        if rows % parts:
            raise ConfigError(
                "run.batch_size is a multiple of optimizer.accumulation: "
                f"got {rows} rows in {parts} micro-batches"
            )
        if isinstance(self.optimizer.warmup, int) and self.optimizer.warmup > self.run.steps:
            raise ConfigError(
                "optimizer.warmup is no longer than the run: "
                f"got {self.optimizer.warmup} of {self.run.steps} steps; write a fraction such as 0.1"
            )
        self._check_direction()
        self.resolved_objective.check(self)
        self._check_layers()
        if self.model.param_dtype != "float32":
            raise ConfigError(
                f"training keeps parameters in float32: got model.param_dtype={self.model.param_dtype!r}; "
                "model.dtype is what is computed in"
            )
        length, most = self.data.row_length, self.model.max_length
        if isinstance(self.model.position, models.TABLE_POSITIONS) and length > most:
            raise ConfigError(
                f"rows are longer than the model's table of positions: got data.row_length={length} and "
                f"model.max_length={most}; raise model.max_length or shorten the rows"
            )

    def _check_direction(self) -> None:
        kind, told = self.resolved_objective.kind, f"with objective={self.resolved_objective.name!r}"
        if kind.fill and self.model.causal:
            raise ConfigError(f"a masked LM sees both sides: got model.causal=True {told}")
        if kind.encoder and self.model.causal:
            raise ConfigError(
                f"an encoder sees both sides, its decoder what it has written: got model.causal=True {told}"
            )
        if kind.causal and not self.model.causal:
            raise ConfigError(
                f"a causal LM hides what comes later: got model.causal=False {told}; set model.causal"
            )

    def _check_layers(self) -> None:
        last, depth = self.run.train_last, self.trained_depth
        if last is not None and last > depth:
            raise ConfigError(f"run.train_last is of the model's {depth} blocks: got {last}")
        if last is not None and self.model.scan_layers:
            raise ConfigError(
                "run.train_last tells blocks apart, and model.scan_layers keeps them as one: got both; set "
                "model.scan_layers=False"
            )

    @property
    def resolved_objective(self) -> Objective:
        """The objective as a record, even if `objective` is a name."""
        return as_objective(self.objective)

    @property
    def trained_depth(self) -> int:
        """The number of blocks that `run.train_last` counts: the body's, or an encoder-decoder's
        decoder's."""
        model = self.model
        return models.decoder_config(model).depth if self.resolved_objective.kind.encoder else model.depth

    @property
    def ends(self) -> EndTokens:
        """Which tokens are put around a record; for an encoder-decoder, as its tokenizer's file says."""
        return "file" if self.data.ends and self.resolved_objective.kind.encoder else self.data.ends

    @property
    def resolved_input_noise(self) -> NoiseConfig:
        """The input noise with its rate filled in: 0.15 for a masked LM, 0 for others, unless it is given."""
        return _with_rate(self.input_noise, self.resolved_objective.noise_rate)

    @property
    def resolved_target_noise(self) -> NoiseConfig:
        """The target noise with its rate filled in: 0, unless it is given."""
        return _with_rate(self.target_noise, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Returns the experiment as JSON values; `from_dict` reads it back.

        The objective is given by its name; an objective that is not in `OBJECTIVES`, by its name and its
        reference.
        """
        name, reference = self.resolved_objective.name, self.resolved_objective.reference
        named = name if name in OBJECTIVES else {"name": name, "reference": reference}
        return io.record_to_dict(self) | {"objective": named}

    @classmethod
    def from_dict(
        cls,
        values: dict[str, Any],
        *,
        objective: Objective | None = None,
        folder: str | os.PathLike[str] | None = None,
    ) -> "Experiment":
        """Returns the experiment that `to_dict` wrote; fields that are left out take their defaults.

        Args:
          values: the fields as `to_dict` returns them: a mapping from each section to its fields.
          objective: the experiment's objective, needed if it is not in `OBJECTIVES` and has no reference;
            None: it is found by name or reference.
          folder: the folder of the file that the values come from. An objective's reference is not imported
            for a folder from the hub, nor from a module inside the folder (see `pretrained.import_named`).
            None: the reference is always imported.

        Raises:
          ConfigError: if a field is unknown or has a value of another type, or two contradict each other.

        Example:
          >>> from jaxlm.training import Experiment
          >>> Experiment.from_dict({"run": {"stepz": 5}})
          Traceback (most recent call last):
          jaxlm.errors.ConfigError: run has no field 'stepz'; its fields are steps, batch_size, ...
        """
        if isinstance(values, dict):
            values = cls.upgrade(values)
            if "objective" in values:
                values = values | {"objective": named_objective(values["objective"], objective, folder)}
        return io.record_from_dict(cls, values)

    @staticmethod
    def upgrade(values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the present form of the values of an earlier version, which had `objective` under `run`."""
        run = values.get("run")
        if not isinstance(run, dict) or "objective" not in run:
            return dict(values)
        rest = {name: value for name, value in run.items() if name != "objective"}
        return {"objective": run["objective"], **values, "run": rest}


def causal_experiment() -> Experiment:
    """Returns an experiment that trains a causal LM, on source code unless its `data.paths` name other files.

    Every record stands between the tokenizer's opening and closing tokens, so that the model predicts the
    first token of a text, and ends the texts that it writes.

    Example:
      >>> import dataclasses
      >>> from jaxlm.training import causal_experiment
      >>> experiment = causal_experiment()
      >>> data = dataclasses.replace(experiment.data, paths=("texts/*.txt",))
      >>> experiment = dataclasses.replace(experiment, data=data)
      >>> experiment.resolved_objective.name, experiment.ends
      ('causal_lm', True)
    """
    return Experiment(
        objective=NEXT_TOKENS,
        data=DataConfig(corpus="source", row_length=256, ends=True),
        model=TransformerConfig(
            width=128,
            depth=4,
            num_heads=4,
            max_length=512,
            causal=True,
            norm="rms",
            position="rotary",
            activation="swiglu",
            use_bias=False,
            head="linear",
            head_bias=False,
        ),
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup=0.05, beta2=0.95, weight_decay=0.1),
        run=RunConfig(steps=2500, batch_size=8, eval_every=500, save_every=500),
    )


def _with_rate(noise: NoiseConfig, default: float) -> NoiseConfig:
    return noise if noise.rate is not None else dataclasses.replace(noise, rate=default)
