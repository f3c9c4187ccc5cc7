"""The names of a generation_config.json: followed here, without effect on texts, or not supported."""

from collections.abc import Mapping
from typing import Any

# `with_defaults` takes these over, unless the caller sets them.
FOLLOWED = frozenset(
    [
        "bad_words_ids",
        "begin_suppress_tokens",
        "early_stopping",
        "eos_token_id",
        "force_bos_token_to_be_generated",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "length_penalty",
        "min_length",
        "min_new_tokens",
        "no_repeat_ngram_size",
        "num_beams",
        "repetition_penalty",
        "suppress_tokens",
    ]
)
# They change how texts are computed or what is returned beside them, but not the texts.
WITHOUT_EFFECT = frozenset(
    [
        "_commit_hash",
        "_from_model_config",
        "assistant_confidence_threshold",
        "assistant_early_exit",
        "assistant_ensemble_weight",
        "assistant_lookbehind",
        "bos_token_id",
        "cache_config",
        "compile_config",
        "continuous_batching_config",
        "disable_compile",
        "is_assistant",
        "low_memory",
        "max_cache_len",
        "max_matching_ngram_size",
        "num_assistant_tokens",
        "num_assistant_tokens_schedule",
        "output_attentions",
        "output_hidden_states",
        "output_logits",
        "output_scores",
        "pad_token_id",
        "prefill_chunk_size",
        "prompt_lookup_num_tokens",
        "remove_invalid_values",
        "return_dict_in_generate",
        "speculation_type",
        "target_lookbehind",
        "transformers_version",
        "use_cache",
        "use_mtp",
    ]
)
# Rules that are not supported here, with the values that switch them off.
UNSUPPORTED_RULES: dict[str, tuple[Any, ...]] = {
    "cache_implementation": (
        "dynamic",
        "hybrid",
        "offloaded",
        "offloaded_static",
        "sliding_window",
        "static",
    ),
    "constraints": ([],),
    "diversity_penalty": (0,),
    "dola_layers": ([],),
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1,),
    "exponential_decay_length_penalty": (),
    "force_words_ids": ([],),
    "forced_decoder_ids": ([],),
    "guidance_scale": (1,),
    "max_time": (),
    "num_beam_groups": (1,),
    "num_return_sequences": (1,),
    "penalty_alpha": (0,),
    "renormalize_logits": (False,),
    "sequence_bias": ({}, []),
    "token_healing": (False,),
    "watermarking_config": ({},),
}
# The same for rules of draws, which are in force if a file sets `do_sample`.
SAMPLING_RULES: dict[str, tuple[Any, ...]] = {
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
    "top_h": (),
    "typical_p": (1,),
}
# Settings of draws that are compared with the caller's, with the values that switch them off.
SAMPLING: dict[str, tuple[Any, ...]] = {"temperature": (1,), "top_k": (0,), "top_p": (1,), "min_p": (0,)}
# Rules that the caller sets in another way.
CALLER_RULES = frozenset(
    {"decoder_start_token_id", "do_sample", "max_length", "max_new_tokens", "stop_strings"}
)
KNOWN = (
    FOLLOWED
    | WITHOUT_EFFECT
    | UNSUPPORTED_RULES.keys()
    | SAMPLING_RULES.keys()
    | SAMPLING.keys()
    | CALLER_RULES
)


def find_ignored_rules(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the rules that are not supported here and are switched on.

    Args:
      values: names and values of the model's files, without null.

    Example:
      >>> from jaxlm.decoding._generation_rules import find_ignored_rules
      >>> find_ignored_rules({"max_time": 3.0, "token_healing": False, "epsilon_cutoff": 0.1})
      {'max_time': 3.0}
      >>> find_ignored_rules({"do_sample": True, "epsilon_cutoff": 0.1})
      {'epsilon_cutoff': 0.1}
    """
    rules = {**UNSUPPORTED_RULES, **(SAMPLING_RULES if values.get("do_sample") else {})}
    return {name: value for name, value in values.items() if name in rules and value not in rules[name]}


def find_unknown_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the entries of a generation_config.json whose names are not rules of transformers.

    Args:
      values: names and values of the file.

    Example:
      >>> from jaxlm.decoding._generation_rules import find_unknown_names
      >>> find_unknown_names({"max_window_size": 24, "top_k": 5})
      {'max_window_size': 24}
    """
    return {name: value for name, value in values.items() if name not in KNOWN and value is not None}
