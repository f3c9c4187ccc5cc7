"""The host-side settings of an objective: model, tokenizer and data, before a step is compiled."""

from typing import NamedTuple, TypedDict

from jaxlm import corruption, data, models, tokenizers
from jaxlm.errors import ConfigError
from jaxlm.training.losses._loss_config import LossConfig


class Split(NamedTuple):
    """A split of the corpus (train, validation or test): records, and the plan that packs them into rows.

    Attributes:
      cache: the encoded records.
      plan: which pieces of which records each row consists of.
    """

    cache: data.TokenCache
    plan: data.PackingPlan


class PositionOptions(TypedDict):
    """Options of a loss: how the positions that its model reads are made.

    Attributes:
      next_id: id of the token that ends an instruction; None: positions are offsets in the segment.
      positions_from: whether instruction positions come from the "clean" or from the "corrupted" ids.
    """

    next_id: int | None
    positions_from: str


class Setting(NamedTuple):
    """What an objective knows on the host before a step is compiled; `Objective.plan` is given it.

    Attributes:
      config: the config of the transformer, with a known `vocab_size`.
      tokenizer: the tokenizer that the records were encoded with.
      splits: the packed records of one or several splits. Labels come from the first split; static sizes hold
        for all splits.
      rows: number of rows of a micro-batch on one device.
      head: the config of the head of a classifier or a regression; None: the model is a language model.
      num_segments: the most segments (texts) that are packed into one row.
      input_noise: the noise that corrupts what the model reads; its rate is known. None: the model reads
        clean tokens.
      target_noise: the noise that corrupts the targets; None: the targets are clean.
      spans: for an encoder-decoder, which share of each text is removed for the decoder to predict.
      loss: label smoothing and z-loss of the training loss.
      is_evaluation: whether the setting is that of an evaluation: there is no dropout, and
        `Objective.evaluation` computes the sums.
      steps: number of steps of the run; None: it is not known, or there is no run.
    """

    config: models.TransformerConfig
    tokenizer: tokenizers.Tokenizer
    splits: tuple[Split, ...]
    rows: int
    head: models.HeadConfig | None = None
    num_segments: int = 1
    input_noise: corruption.NoiseConfig | None = None
    target_noise: corruption.NoiseConfig | None = None
    spans: corruption.SpanConfig = corruption.SpanConfig()
    loss: LossConfig = LossConfig()
    is_evaluation: bool = False
    steps: int | None = None

    @property
    def positions(self) -> PositionOptions:
        """The options of a loss that say how positions are computed, see `position_options`."""
        return position_options(self.config)

    def required_head(self) -> models.HeadConfig:
        """Returns `head`, which a classifier or a regression has.

        Raises:
          ConfigError: if `head` is None, as it is for a language model.
        """
        if self.head is None:
            raise ConfigError("a model of labels has a HeadConfig: got head=None")
        return self.head

    def noise(self, config: corruption.NoiseConfig | None) -> corruption.Noise | None:
        """Returns a config's noise for this model and tokenizer; None if it corrupts nothing.

        Special tokens are neither corrupted nor drawn as replacements. [NEXT], which ends an instruction, is
        corrupted only if positions are computed from the corrupted ids: clean positions would reveal it.
        """
        if config is None or (config.schedule == "constant" and not config.rate and not config.final_rate):
            return None
        return model_noise(config, self.config, self.tokenizer)


def model_noise(
    config: corruption.NoiseConfig, model: models.TransformerConfig, tokenizer: tokenizers.Tokenizer
) -> corruption.Noise:
    """Returns the noise of a config for a model and its tokenizer; see `Setting.noise`.

    Args:
      config: how much is corrupted, and into what.
      model: its vocabulary, and where its positions come from.
      tokenizer: its special ids.
    """
    from_corrupted = position_options(model)["positions_from"] == "corrupted"
    return corruption.make_noise(
        config, tokenizer, vocab_size=model.vocab_size, may_choose_next=from_corrupted
    )


def position_options(config: models.TransformerConfig) -> PositionOptions:
    """Returns the options of a loss that say how the positions that the model reads are computed.

    Args:
      config: the config of the transformer. Only instruction positions have a `next_id` and may be computed
        from corrupted ids.

    Example:
      >>> from jaxlm import models
      >>> from jaxlm.training import position_options
      >>> position_options(models.TransformerConfig())
      {'next_id': None, 'positions_from': 'clean'}
    """
    position = config.position
    if isinstance(position, models.Instruction):
        return {"next_id": position.next_id, "positions_from": position.source}
    return {"next_id": None, "positions_from": "clean"}
