"""What a model has to be, so that a measure or a forward can ask it."""

from collections.abc import Sequence

from jaxlm import models, pretrained
from jaxlm.errors import ScoreError

# Who answers a question, as messages say it.
MODELS_ASKED: dict[models.Question, str] = {
    "next_token": models.CAUSAL_LM.name,
    "fill": models.MASKED_LM.name,
    "vectors": "model with one head, or a body",
    "outputs": f"{models.CLASSIFICATION.name} or a {models.REGRESSION.name}",
}


def check_answers(kind: models.ModelKind, questions: Sequence[models.Question], what: str) -> None:
    """Refuses a model that answers none of some questions.

    Args:
      kind: of the model.
      questions: what it may be asked, of which it has to answer one (see `models.ModelKind.questions`).
      what: asks the questions, for the message.

    Raises:
      ScoreError: says which models answer them.

    Example:
      >>> from jaxlm import models
      >>> from jaxlm.scoring.engine import check_answers
      >>> check_answers(models.MASKED_LM, ("next_token",), "log-likelihood")
      Traceback (most recent call last):
      jaxlm.errors.ScoreError: log-likelihood is asked of a causal_lm: this model is a masked_lm
    """
    if set(kind.questions) & set(questions):
        return
    if kind.head is None:
        raise ScoreError(pretrained.without_head("this model"))
    asked = " or a ".join(MODELS_ASKED[question] for question in questions)
    remedy = "; open it with one of its heads" if kind.head == "several" else ""
    raise ScoreError(f"{what} is asked of a {asked}: this model is a {kind.name}{remedy}")
