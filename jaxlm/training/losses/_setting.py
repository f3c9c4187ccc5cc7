"""What an objective works on: a model and its data, before a step is compiled."""

from typing import NamedTuple, TypedDict

from jaxlm import corruption, data, models, tokenizers
from jaxlm.errors import ConfigError
from jaxlm.training.losses._loss_config import LossConfig


class Split(NamedTuple):
    """Records and where they lie in rows."""

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
    """What an objective works on, known on the host before a step is compiled.

    Attributes:
      config: of the model, its vocabulary known.
      tokenizer: that the records were encoded with.
      splits: the records. Labels are those of the first split; there is room for the targets of each of them.
      rows: of a micro-batch of one device.
      head: of a model of sequences.
      num_segments: the most segments of a row.
      input_noise: of what is read, its rate known; None: clean.
      target_noise: of what is predicted; None: clean.
      spans: of an encoder-decoder, how much of each text is taken out for its decoder to write.
      loss: what the loss adds to the negative log-likelihood.
      is_evaluation: whether there is no dropout, and `Objective.evaluation` makes the sums.
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

    @property
    def positions(self) -> PositionOptions:
        """How the positions that the model reads are made, see `position_options`."""
        return position_options(self.config)

    def required_head(self) -> models.HeadConfig:
        """Returns `head`.

        Raises:
          ConfigError: if there is none, as for a language model.
        """
        if self.head is None:
            raise ConfigError("a model of labels has a HeadConfig: got head=None")
        return self.head

    def noise(self, config: corruption.NoiseConfig | None) -> corruption.Noise | None:
        """Returns one of the two noises; None where it does nothing.

        Specials are neither corrupted nor drawn. [NEXT] is corrupted only where positions come from the
        corrupted ids: with clean ones its place gives it away.
        """
        if config is None or (config.schedule == "constant" and not config.rate):
            return None
        return model_noise(config, self.config, self.tokenizer)


def model_noise(
    config: corruption.NoiseConfig, model: models.TransformerConfig, tokenizer: tokenizers.Tokenizer
) -> corruption.Noise:
    """Returns a noise for a model and its tokenizer; see `Setting.noise`."""
    from_corrupted = position_options(model)["positions_from"] == "corrupted"
    return corruption.make_noise(
        config, tokenizer, vocab_size=model.vocab_size, may_choose_next=from_corrupted
    )


def position_options(config: models.TransformerConfig) -> PositionOptions:
    """Returns the options of a loss that say how the model's positions are made.

    Args:
      config: of the model; only instruction positions have a `next_id` and may come from corrupted ids.

    Example:
      >>> position_options(models.TransformerConfig())
      {'next_id': None, 'positions_from': 'clean'}
    """
    position = config.position
    if isinstance(position, models.Instruction):
        return {"next_id": position.next_id, "positions_from": position.source}
    return {"next_id": None, "positions_from": "clean"}
