"""How inseq is asked for one function's scores of one case, around what is wrong with it."""

import math
from typing import Any, NamedTuple
from unittest import mock

import torch
from cases import Case, Function
from inseq.attr import step_functions
from inseq.models import AttributionModel

DEFECTS = {
    "padding in batches": "rows are padded on the left without position ids: texts come one at a time",
    "one sequence's cross-entropy": "crossentropy fails on one sequence: asked of the same one twice",
    "perplexity's base": "perplexity is 2 to the power of nats: the convention 'inseq'",
    "removed ids": "kl_divergence is NaN (null here) once an id is removed, by 0 * (inf - inf): `repaired` "
    "has that product as 0",
    "top_p_size of a batch": "top_p_size is summed over the batch: texts come one at a time",
    "z-score": "mc_dropout_prob_avg is (p - mean) / deviation of noisy probabilities, not their average: the "
    "statistic 'z_score'; the mean is taken of what it draws",
    "product of logarithms": "log-probabilities of a span and their differences are multiplied: there is no "
    "`span` of them",
    "short contrast": "what a shorter contrast does not reach is compared with the contrast's last token",
    "Marian's decoder": "transformers scales the decoder's embeddings, and inseq does so before: once here",
    "training mode": "mc_dropout_prob_avg leaves dropout on for what is asked next: switched off after it",
}
# Of the functions whose numbers carry a defect.
OF_FUNCTION = {
    "crossentropy": "one sequence's cross-entropy",
    "perplexity": "perplexity's base",
    "top_p_size": "top_p_size of a batch",
}


class Asked(NamedTuple):
    """A case and its model."""

    case: Case
    model: AttributionModel

    @property
    def ids(self) -> list[int]:
        """The ids that offsets count in."""
        is_translation = self.model.is_encoder_decoder
        encoded = self.model.encode(self.case.target, as_targets=is_translation)
        return encoded.input_ids[0, int(is_translation) :].tolist()

    @property
    def offsets(self) -> list[int]:
        """Those of the ids that are predicted."""
        is_translation = self.model.is_encoder_decoder
        first = 0 if is_translation else self.model.encode(self.case.text).input_ids.shape[1]
        return list(range(first, len(self.ids)))

    def attribute(self, name: str, options: dict[str, Any], times: int = 1) -> Any:
        """Returns inseq's output of the step function, of `times` equal sequences in one batch."""
        texts, targets = [self.case.text] * times, [self.case.target] * times
        (output,) = self.model.attribution_method.prepare_and_attribute(
            texts, targets, step_scores=[name], step_scores_args=dict(options), show_progress=False
        )
        return output

    def contrast(self, times: int = 1) -> dict[str, Any]:
        """inseq's options for what the case is compared with."""
        case, options = self.case, {}
        if case.contrast is not None:
            options["contrast_targets"] = [case.contrast] * times
        if case.contrast_source is not None:
            options["contrast_sources"] = [case.contrast_source] * times
        if case.alignment is not None:
            # It counts the token that the decoder begins with.
            shift = int(self.model.is_encoder_decoder)
            pairs = [(one + shift, other + shift) for one, other in case.alignment]
            options["contrast_targets_alignments"] = [pairs] * times
        return options


def score(asked: Asked, function: Function, *, is_attributed: bool = False) -> dict[str, Any]:
    """Returns the values of one function, a token each, and of the whole as one span."""
    options = function.options | asked.contrast()
    times = 2 if function.name in ("crossentropy", "perplexity") else 1
    name = as_attributed(function.name) if is_attributed else function.name
    values, span = values_of(asked, name, options, times)
    found = {"function": function.name, "options": function.options, "values": values, "span": span}
    if is_attributed:
        found["as_attributed"] = True
    if function.options.get("logprob"):
        found["span"] = None
    if function.name in OF_FUNCTION:
        found["defect"] = OF_FUNCTION[function.name]
    if None in values:
        with mock.patch("torch.nn.functional.kl_div", divergence_of_kept):
            repaired, span = values_of(asked, name, options, times)
        found |= {"defect": "removed ids", "repaired": repaired, "span": span}
    return found


def values_of(asked: Asked, name: str, options: dict[str, Any], times: int) -> tuple[list, float | None]:
    output = asked.attribute(name, options, times).sequence_attributions[0]
    values = [rounded(float(value)) for value in output.step_scores[name]]
    whole = [(output.attr_pos_start, output.attr_pos_end)]
    # A span's rule goes by the function's name, whichever form of it was asked.
    name = name.removeprefix("attributed_")
    output.step_scores = {name: next(iter(output.step_scores.values()))}
    (span,) = output.aggregate("spans", target_spans=whole).step_scores[name].tolist()
    return values, rounded(span)


def as_attributed(name: str) -> str:
    """Registers what a contrastive function is as the function that is attributed, and returns its name.

    It then reads the original text, and takes from the contrast the id that is predicted alone.
    """

    def attributed(args, contrast_sources=None, contrast_targets=None, contrast_targets_alignments=None):
        args.is_attributed_fn = True
        return step_functions.get_step_function(name)(
            args, contrast_sources, contrast_targets, contrast_targets_alignments
        )

    step_functions.STEP_SCORES_MAP[f"attributed_{name}"] = attributed
    return f"attributed_{name}"


def divergence_of_kept(
    contrast: torch.Tensor, original: torch.Tensor, reduction: str, log_target: bool
) -> torch.Tensor:
    """What inseq takes `torch.nn.functional.kl_div` for, where ids without probability add nothing."""
    kept = original > -math.inf
    return (original.exp() * (original - contrast))[kept].sum()


def rounded(value: float) -> float | None:
    """As many digits as a float32 has, None for what is no finite number."""
    return None if not math.isfinite(value) else float(f"{value:.9g}")
