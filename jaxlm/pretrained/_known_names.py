"""Names of a config.json that every family knows: of no effect on what is computed, or of one value only."""

# What transformers keeps in every config.json, in one of its versions or in all.
BOOKKEEPING = frozenset(
    [
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_commit_hash",
        "_experts_implementation",
        "_name_or_path",
        "architectures",
        "attn_implementation",
        "bos_token_id",
        "chunk_size_feed_forward",
        "classifier_dropout",
        "cls_token_id",
        "cross_attention_hidden_size",
        "dtype",
        "eos_token_id",
        "experts_implementation",
        "finetuning_task",
        "gradient_checkpointing",
        "id2label",
        "initializer_range",
        "label2id",
        "mask_token_id",
        "model_type",
        "name_or_path",
        "num_labels",
        "output_attentions",
        "output_hidden_states",
        "output_past",
        "pad_token_id",
        "prefix",
        "problem_type",
        "return_dict",
        "sep_token_id",
        "task_specific_params",
        "tf_legacy_loss",
        "tokenizer_class",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "unk_token_id",
        "use_bfloat16",
        "use_cache",
        "use_return_dict",
    ]
)
# Defaults of generation, which older files keep beside the model; `decoding` reads them.
GENERATION_DEFAULTS = frozenset(
    [
        "assistant_confidence_threshold",
        "assistant_lookbehind",
        "bad_words_ids",
        "begin_suppress_tokens",
        "decoder_start_token_id",
        "diversity_penalty",
        "do_sample",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "encoder_repetition_penalty",
        "epsilon_cutoff",
        "eta_cutoff",
        "exponential_decay_length_penalty",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "length_penalty",
        "max_length",
        "max_new_tokens",
        "min_length",
        "no_repeat_ngram_size",
        "num_assistant_tokens",
        "num_assistant_tokens_schedule",
        "num_beam_groups",
        "num_beams",
        "num_return_sequences",
        "output_scores",
        "remove_invalid_values",
        "repetition_penalty",
        "return_dict_in_generate",
        "suppress_tokens",
        "target_lookbehind",
        "temperature",
        "top_k",
        "top_p",
        "typical_p",
    ]
)
# What some families compute with; to one whose table does not mention a name it means nothing.
OF_OTHERS = frozenset(
    [
        "attention_chunk_size",
        "embedding_size",
        "head_dim",
        "is_causal",
        "layer_types",
        "original_max_position_embeddings",
        "partial_rotary_factor",
        "rope_parameters",
        "rope_scaling",
        "rope_theta",
        "sliding_window",
    ]
)
# Parts of transformers' classes, not of a model: in a file they would change how other names are read.
OF_CODE = frozenset(
    [
        "_auto_class",
        "allow_global_per_layer_attribute_access",
        "attribute_map",
        "base_config_key",
        "base_model_ep_plan",
        "base_model_fsdp_plan",
        "base_model_pp_plan",
        "base_model_tp_plan",
        "default_rope_type",
        "default_theta",
        "extra_config_files",
        "extra_files",
        "ignore_keys_at_rope_validation",
        "is_heterogeneous",
        "per_layer_attributes",
        "serialize_explicit_per_layer_config",
        "sub_configs",
        "sub_configs_defaults",
    ]
)
# What any family can do without: these values, and no other.
PLAIN = {
    "is_encoder_decoder": (False, None),
    "per_layer_config": (None,),
    "pruned_heads": (None, {}),
    "quantization_config": (None,),
    # No class of transformers reads these, but who wrote them meant another model.
    "rope_interleaved": (False, None),
    "use_mrope": (False, None),
}
INERT = BOOKKEEPING | GENERATION_DEFAULTS | OF_OTHERS
