"""What the objectives of masked and of causal LMs know before a step is compiled."""

from typing import NamedTuple

import jax.numpy as jnp

from jaxlm import corruption, data, models
from jaxlm.training.losses._loss import LossInputs, model_positions
from jaxlm.training.losses._setting import Setting
from jaxlm.training.losses._token_loss import check_smoothing


class TokenPlan(NamedTuple):
    """The noises of what is read and predicted, and how the model is told positions.

    With `input_noise` the model reads corrupted tokens, and what it is to predict is clean. With
    `target_noise` the loss compares with corrupted tokens: noise of the labels, a regulariser of training.

    Attributes:
      input_noise: of what the model reads; None: clean.
      target_noise: of the targets, in training only; None: clean.
      next_id: id that ends an instruction, for models with instruction positions; None: the batch's offsets
        are the positions.
      positions_from: whether instruction positions come from the "clean" ids or from the "corrupted" ones.
      is_evaluation: whether targets are clean, and examples are told apart by how much of them is corrupted
        only where that differs.
      capacity: of a masked LM, how many corrupted positions a micro-batch of one device has room for.
    """

    input_noise: corruption.Noise | None = None
    target_noise: corruption.Noise | None = None
    next_id: int | None = None
    positions_from: str = "clean"
    is_evaluation: bool = False
    capacity: int | None = None

    @property
    def noise_of_targets(self) -> corruption.Noise | None:
        """What corrupts the targets, if anything does."""
        return None if self.is_evaluation else self.target_noise

    def completed(self, inputs: LossInputs, batch: data.Batch) -> LossInputs:
        """Returns inputs with what the model is called with, without fractions that say nothing."""
        # Levels of noise say nothing where all examples have the same.
        noise = self.input_noise
        is_one_level = self.is_evaluation and noise is not None and noise.config.schedule == "constant"
        positions = model_positions(batch, inputs.tokens, self.next_id, self.positions_from)
        return inputs._replace(
            fractions=None if is_one_level else inputs.fractions,
            read=models.Inputs(inputs.tokens, segments=jnp.asarray(batch.segments), positions=positions),
        )


def token_plan(setting: Setting) -> TokenPlan:
    """Returns what is known of model and data.

    Raises:
      ConfigError: if the loss is smoothed by a noise that is not there.
    """
    read, wanted = setting.noise(setting.input_noise), setting.noise(setting.target_noise)
    check_smoothing(setting.loss.label_smoothing, has_noise=read is not None or wanted is not None)
    return TokenPlan(read, wanted, **setting.positions, is_evaluation=setting.is_evaluation)
