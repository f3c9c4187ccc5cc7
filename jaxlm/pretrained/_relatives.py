"""Families that are not supported, and for each the supported family that is most similar."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from jaxlm.pretrained._attributes import raise_unsupported

# By supported family, the `model_type` of its relatives, whose blocks differ in what the comment names.
_RELATIVES = {
    # Encoders with norms behind each sum; other embeddings, distances, gates or training.
    "bert": """albert bert-generation big_bird convbert deberta deberta-v2 electra ernie ernie_m flaubert gte
        ibert layoutlm megatron-bert mobilebert mra nezha nomic_bert nystromformer qdqbert rembert roc_bert
        roformer splinter squeezebert tapas xlm yoso""",
    # Those whose positions begin behind the padding's id.
    "roberta": """camembert data2vec-text jina_embeddings_v3 lilt longformer luke markuplm mpnet
        roberta-prelayernorm xlm-roberta xlm-roberta-xl xmod""",
    "esm": "esm3 esmc esmfold",
    # Encoders with turned positions and windows, and the decoder of the same blocks.
    "modernbert": "modernbert-decoder modernvbert neobert",
    # Decoders with norms before each sub-layer, with means and biases; learned positions or distances.
    "gpt2": "biogpt bloom ctrl gpt-sw3 gpt_bigcode gpt_neo imagegpt mpt openai-gpt opt xglm",
    # Those that turn a share of each head, most of them with both sub-layers added at once.
    "gpt_neox": "codegen falcon gpt_neox_japanese gptj persimmon phi",
    # Decoders with root-mean-square norms, gates, turned positions; other scales, norms, joints or experts.
    "llama": """apertus arcee aria_text baichuan bitnet cohere cohere2 cwm dbrx deepseek diffllama dots1
        emu3_text_model ernie4_5 ernie4_5_moe eurobert exaone exaone4 flex_olmo glm glm4 glm4_moe gpt_oss
        granite granitemoe granitemoeshared helium hunyuan_v1_dense hunyuan_v1_moe internlm internlm2
        internlm3 jetmoe llama4 llama4_text minicpm mllama_text_model nanochat nemotron olmo olmo2 olmo3
        olmoe phi3 phimoe seed_oss smollm3 solar_open stablelm yi""",
    "mistral": "ministral ministral3 mistral3 mistral4 mixtral starcoder2",
    "qwen2": "dream qwen qwen2_5_vl qwen2_5_vl_text qwen2_audio qwen2_moe qwen2_vl qwen2_vl_text",
    "qwen3": "qwen3_moe qwen3_vl qwen3_vl_text",
    "gemma2": "gemma shieldgemma2 vaultgemma",
    "gemma3_text": "gemma3 gemma3n gemma3n_text gemma4 gemma4_text",
    # Encoder-decoders with a table of distances.
    "t5": "byt5 longt5 mt5 switch_transformers umt5",
    # Those with waves as positions, and with learned ones.
    "marian": "fsmt m2m_100 nllb nllb-moe pegasus pegasus_x",
    "bart": "bigbird_pegasus blenderbot blenderbot-small led mbart mvp plbart prophetnet xlm-prophetnet",
}
# How class names continue after the name of their body.
_CLASS = re.compile(
    r"(?P<body>.+?)(?:Model|Config|EncoderModel|LMHeadModel|DoubleHeadsModel|MTModel|PreTrainedModel"
    r"|For(?:MaskedLM|CausalLM|PreTraining|ConditionalGeneration|NextSentencePrediction|MultipleChoice"
    r"|SequenceClassification|TokenClassification|QuestionAnswering))"
)


def _plainly(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_BY_TYPE = {_plainly(kind): family for family, kinds in _RELATIVES.items() for kind in kinds.split()}


def relative_of(kind: str) -> str | None:
    """Returns the supported family that is most similar to another one; None if none is similar.

    Args:
      kind: a `model_type` that is not supported, or the beginning of its class names.

    Example:
      >>> from jaxlm.pretrained._relatives import relative_of
      >>> relative_of("xlm-roberta"), relative_of("Phi3"), relative_of("mamba")
      ('roberta', 'llama', None)
    """
    return _BY_TYPE.get(_plainly(kind))


def body_of(architecture: str) -> str:
    """Returns the name of a class's body, with which all its classes begin.

    Example:
      >>> from jaxlm.pretrained._relatives import body_of
      >>> body_of("BertForPreTraining"), body_of("GPT2LMHeadModel"), body_of("Gemma3ForConditionalGeneration")
      ('Bert', 'GPT2', 'Gemma3')
    """
    whole = _CLASS.fullmatch(architecture)
    return whole["body"] if whole else architecture


def check_code(values: Mapping[str, Any], architecture: str) -> None:
    """Raises an error for a model that is computed by code in its folder, which is never run.

    Such a config.json has the `model_type` of the family from which the code was derived. It is accepted if
    the code has a class with the name of the family's class.

    Args:
      values: config.json.
      architecture: the family's class.

    Raises:
      UnsupportedError: names the classes of the code.

    Example:
      >>> from jaxlm.pretrained._relatives import check_code
      >>> check_code({"auto_map": {"AutoModel": "modeling_bert.BertModel"}}, "BertForMaskedLM")
      >>> check_code({"auto_map": {"AutoModel": "a/b--modeling.JinaBertModel"}}, "BertForMaskedLM")
      Traceback (most recent call last):
      jaxlm.pretrained._attributes.UnsupportedError: ...: auto_map with JinaBertModel (code of its own, ...)
    """
    auto_map = values.get("auto_map")
    references = auto_map if isinstance(auto_map, Mapping) else {}
    classes = {name: str(reference).rsplit(".", 1)[-1] for name, reference in references.items()}
    models = [kind for name, kind in classes.items() if name.startswith("AutoModel")]
    decisive = models or [kind for name, kind in classes.items() if name == "AutoConfig"]
    if decisive and body_of(architecture) not in map(body_of, decisive):
        raise_unsupported([f"auto_map with {', '.join(decisive)} (code of its own, which is not run)"])


def nearest_names(names: Collection[str], known: dict[str, Collection[str]]) -> list[str]:
    """Returns the families that know most of the names in a config.json, if that is at least half of them.

    Args:
      names: the names in the file.
      known: by family, the names that it reads.

    Example:
      >>> from jaxlm.pretrained._relatives import nearest_names
      >>> nearest_names(["n_embd", "n_head"], {"gpt2": ["n_embd", "n_head"], "bert": ["hidden_size"]})
      ['gpt2']
    """
    shared = {family: len({*names} & {*own}) for family, own in known.items()}
    most = max(shared.values(), default=0)
    return [family for family, count in shared.items() if count == most and 2 * most >= len(names) > 0]
