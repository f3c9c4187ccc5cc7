"""The plan of the masked and the causal objectives: their noises, positions and static sizes."""

from typing import NamedTuple

import jax.numpy as jnp

from jaxlm import corruption, data, models
from jaxlm.training.losses._loss import LossInputs, model_positions
from jaxlm.training.losses._setting import Setting
from jaxlm.training.losses._token_loss import check_smoothing


class TokenPlan(NamedTuple):
    """The noises of a language model's inputs and targets, and how its positions are computed.

    With `input_noise` the model reads corrupted tokens and predicts clean ones. With `target_noise` the loss
    compares with corrupted tokens: label noise, a regulariser in training.

    Attributes:
      input_noise: the noise that corrupts what the model reads; None: the model reads clean tokens.
      target_noise: the noise that corrupts the targets, in training only; None: the targets are clean.
      next_id: id of the token that ends an instruction, for models with instruction positions; None:
        positions are the indices of tokens in their segments, as the batch has them.
      positions_from: whether instruction positions are computed from the "clean" or from the "corrupted" ids.
      is_evaluation: whether the plan is that of an evaluation: targets stay clean, and there are no metrics
        by level of noise if all examples have the same level.
      capacity: M of a masked LM, the most corrupted positions of a micro-batch on one device; None: the
        objective masks no positions.
      steps: number of steps of the run, over which a rate with a `final_rate` changes; None: it is not known,
        and the rate stays.
    """

    input_noise: corruption.Noise | None = None
    target_noise: corruption.Noise | None = None
    next_id: int | None = None
    positions_from: str = "clean"
    is_evaluation: bool = False
    capacity: int | None = None
    steps: int | None = None

    @property
    def noise_of_targets(self) -> corruption.Noise | None:
        """The noise of the targets; None if the targets stay clean, as they do in every evaluation."""
        return None if self.is_evaluation else self.target_noise

    def completed(self, inputs: LossInputs, batch: data.Batch) -> LossInputs:
        """Returns the inputs with `read` filled in, and without `fractions` in an evaluation at one noise
        level."""
        noise = self.input_noise
        is_one_level = self.is_evaluation and noise is not None and noise.config.schedule == "constant"
        positions = model_positions(batch, inputs.tokens, self.next_id, self.positions_from)
        return inputs._replace(
            fractions=None if is_one_level else inputs.fractions,
            read=models.Inputs(inputs.tokens, segments=jnp.asarray(batch.segments), positions=positions),
        )


def token_plan(setting: Setting) -> TokenPlan:
    """Returns the plan for a model and its data.

    Raises:
      ConfigError: if the loss is smoothed by a noise that is not there.
    """
    input_noise, target_noise = setting.noise(setting.input_noise), setting.noise(setting.target_noise)
    check_smoothing(
        setting.loss.label_smoothing, has_noise=input_noise is not None or target_noise is not None
    )
    return TokenPlan(
        input_noise,
        target_noise,
        **setting.positions,
        is_evaluation=setting.is_evaluation,
        steps=setting.steps,
    )
