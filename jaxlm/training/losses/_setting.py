"""What an objective works on: a model and its data, before a step is compiled."""

from typing import Any, NamedTuple

from jaxlm import corruption, data, models, tokenizers
from jaxlm.training.losses._loss_config import LossConfig


class Split(NamedTuple):
    """Records and where they lie in rows."""

    cache: data.TokenCache
    plan: data.PackingPlan


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
    def positions(self) -> dict[str, Any]:
        """How the model is told positions, see `position_options`."""
        return position_options(self.config)

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


def position_options(config: models.TransformerConfig) -> dict[str, Any]:
    """Returns what an objective needs to know of a model's positions: `next_id` and `positions_from`.

    Example:
      >>> position_options(models.TransformerConfig())
      {'next_id': None, 'positions_from': 'clean'}
    """
    position = config.position
    if isinstance(position, models.Instruction):
        return {"next_id": position.next_id, "positions_from": position.source}
    return {"next_id": None, "positions_from": "clean"}
