"""The tokenizer family of a folder: how transformers' classes divide texts."""

from collections.abc import Mapping
from typing import Any, Literal

from jaxlm.errors import ModelError

TokenizerFamily = Literal["bert", "esm", "gpt2", "roberta", "qwen2", "neox", "llama", "gemma", "t5", "marian"]

# By family, the names of transformers' classes without "Tokenizer" and "Fast".
_CLASSES_OF_FAMILY: dict[TokenizerFamily, tuple[str, ...]] = {
    "bert": (
        *("Bert", "DistilBert", "Electra", "MobileBert", "ConvBert", "SqueezeBert", "Lxmert", "RetriBert"),
        *("Realm", "LayoutLM", "DPRContextEncoder", "DPRQuestionEncoder", "DPRReader", "Splinter"),
    ),
    "esm": ("Esm",),
    "gpt2": ("GPT2", "CodeGen", "GPTNeo", "GPTJ", "OPT"),
    "roberta": ("Roberta", "Bart", "LED", "Longformer"),
    "qwen2": ("Qwen2",),
    "neox": ("GPTNeoX",),
    "llama": ("Llama", "CodeLlama"),
    "gemma": ("Gemma",),
    "t5": ("T5", "MT5"),
    "marian": ("Marian",),
}
FAMILY_OF_CLASS: dict[str, TokenizerFamily] = {
    f"{name}Tokenizer": family for family, names in _CLASSES_OF_FAMILY.items() for name in names
}

# Classes that use a tokenizer.json unchanged.
PLAIN_CLASSES = ("PreTrainedTokenizer", "TokenizersBackend", "PythonBackend", "PreTrainedTokenizerFast")

# The class of a model_type, if no class is named.
_CLASS_OF_MODEL = {
    **dict.fromkeys(("bert", "distilbert", "electra"), "BertTokenizer"),
    **dict.fromkeys(("roberta", "bart"), "RobertaTokenizer"),
    "esm": "EsmTokenizer",
    "gpt2": "GPT2Tokenizer",
    "gpt_neox": "GPTNeoXTokenizer",
    **dict.fromkeys(("qwen2", "qwen3"), "Qwen2Tokenizer"),
    **dict.fromkeys(("gemma", "gemma2", "gemma3", "gemma3_text"), "GemmaTokenizer"),
    **dict.fromkeys(("t5", "mt5"), "T5Tokenizer"),
    "marian": "MarianTokenizer",
    **dict.fromkeys(("modernbert", "modernbert-decoder", "mistral"), "PreTrainedTokenizer"),
}
# Model types whose folders often name a wrong class, so that transformers takes the class of the type.
_TYPE_WINS = ("qwen2",)

# Classes that divide texts by more than the vocabulary's files tell, and what that is.
UNREADABLE_CLASSES = {
    "BertJapaneseTokenizer": "a Japanese dictionary (MeCab, Sudachi or Juman++) cuts texts into words first",
    "BertweetTokenizer": "tweets are normalized first, and bpe.codes holds the merges",
    "PhobertTokenizer": "a Vietnamese segmenter cuts texts into words first, and bpe.codes holds the merges",
    "RoFormerTokenizer": "jieba cuts texts into words first",
    "BioGptTokenizer": "Moses cuts texts into words first",
    "FlaubertTokenizer": "Moses cuts texts into words first",
    "XLMTokenizer": "Moses cuts texts into words first",
    "HerbertTokenizer": "its merges are over characters of words that BERT's rules cut",
    "OpenAIGPTTokenizer": "its merges are over characters of words",
    "CTRLTokenizer": "its merges are over characters of words",
    "CLIPTokenizer": "its merges are over bytes of words that end with </w>",
    "ProphetNetTokenizer": "its vocabulary is kept in prophetnet.tokenizer",
    "MPNetTokenizer": "its specials are <s> and </s>",
    "FunnelTokenizer": "its specials are <cls> and <sep>",
    "XLNetTokenizer": "its specials stand behind a text",
    "AlbertTokenizer": "its specials are [CLS] and [SEP]",
    "PegasusTokenizer": "its ids begin behind 103 reserved ones",
    "BigBirdTokenizer": "its specials are [CLS] and [SEP]",
    "RemBertTokenizer": "its specials are [CLS] and [SEP]",
    "DebertaV2Tokenizer": "its specials are [CLS] and [SEP]",
    "CamembertTokenizer": "its ids are not those of its pieces",
    "XLMRobertaTokenizer": "its ids are not those of its pieces",
    "MBartTokenizer": "its ids are not those of its pieces",
    "MBart50Tokenizer": "its ids are not those of its pieces",
    "NllbTokenizer": "its ids are not those of its pieces",
}


def class_name(settings: Mapping[str, Any], model: Mapping[str, Any]) -> str | None:
    """Returns the name of transformers' class for a folder's tokenizer, without "Fast"; None if unknown.

    It is the class named in tokenizer_config.json, or in config.json; without either, the class of the
    `model_type`, which for most types is the plain one.

    Args:
      settings: tokenizer_config.json.
      model: config.json; empty if there is none.

    Example:
      >>> from jaxlm.tokenizers._classes import class_name
      >>> class_name({"tokenizer_class": "BertTokenizerFast"}, {"model_type": "gpt2"})
      'BertTokenizer'
      >>> class_name({}, {"model_type": "bart"}), class_name({}, {"model_type": "llama"}), class_name({}, {})
      ('RobertaTokenizer', 'PreTrainedTokenizer', None)
    """
    named = settings.get("tokenizer_class") or model.get("tokenizer_class")
    kind = model.get("model_type")
    own = _CLASS_OF_MODEL.get(kind) if isinstance(kind, str) else None
    if not isinstance(named, str):
        return own or (PLAIN_CLASSES[0] if isinstance(kind, str) else None)
    named = named.removesuffix("Fast")
    # A type with a plain class, and a type that wins over the named class.
    if own is not None and own != named and (own in PLAIN_CLASSES or kind in _TYPE_WINS):
        return own
    return named


def tokenizer_family(name: str | None) -> TokenizerFamily | None:
    """Returns the family of a class; None for a plain or unknown class, and for None.

    Example:
      >>> from jaxlm.tokenizers._classes import tokenizer_family
      >>> tokenizer_family("DistilBertTokenizer"), tokenizer_family("PreTrainedTokenizer")
      ('bert', None)
    """
    return FAMILY_OF_CLASS.get(name) if name is not None else None


def check_readable(name: str | None, remedy: str) -> None:
    """Raises an error if a class divides texts by more than its vocabulary's files tell.

    Args:
      name: of the class.
      remedy: what to do instead.

    Raises:
      ModelError: names the class, why its files alone are not enough, and the remedy.

    Example:
      >>> from jaxlm.tokenizers._classes import check_readable
      >>> check_readable("BertJapaneseTokenizer", "take another")
      Traceback (most recent call last):
      jaxlm.errors.ModelError: tokenizer_class='BertJapaneseTokenizer' is not supported without a ...
    """
    if name in UNREADABLE_CLASSES:
        reason = UNREADABLE_CLASSES[name]
        raise ModelError(
            f"tokenizer_class={name!r} is not supported without a tokenizer.json: {reason}; {remedy}"
        )
