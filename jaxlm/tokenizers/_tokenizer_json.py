"""Builds the tokenizer of a tokenizer.json and the files beside it, as transformers does."""

import json
from typing import Any

import tokenizers

from jaxlm.tokenizers._added_tokens import register_added_tokens
from jaxlm.tokenizers._classes import TokenizerFamily
from jaxlm.tokenizers._files import parse_tokenizer
from jaxlm.tokenizers._kinds import infer_kind
from jaxlm.tokenizers._processing_steps import processing_steps, put_end_tokens, set_processing
from jaxlm.tokenizers._settings import USUAL_ROLES, ListedToken, TokenizerSettings
from jaxlm.tokenizers._vocabularies import BYTE_LEVEL_FAMILIES
from jaxlm.tokenizers._word_pieces import is_residues, split_residues


def from_tokenizer_json(
    text: str, settings: TokenizerSettings, rows: int | None = None
) -> tokenizers.Tokenizer:
    """Builds the tokenizer of a `tokenizer.json` beside other files.

    If the settings name a class (of BERT, GPT-2, Llama, ...) and the file has the model of that class, only
    its vocabulary is used. Texts are processed as the class does, with the entries of `tokenizer_config.json`
    (`do_lower_case`, `strip_accents`, `tokenize_chinese_chars`, `add_prefix_space`), whatever the file says.
    The tokens around a text are those of the file; the classes of BERT and RoBERTa have their own.
    `add_bos_token` and `add_eos_token` are ignored. Without a class, the file is used unchanged. Tokens that
    the settings name (roles, added and further tokens) are matched as a whole, also if the file does not list
    them as added tokens.

    Args:
      text: the text of the file.
      settings: the settings in the files beside it.
      rows: the rows of the embedding. Named tokens that the file lacks get ids after its own while rows are
        left; None: only those of `additional_special_tokens` do, without a limit.

    Returns:
      The backend.

    Raises:
      ModelError: the text is not that of a tokenizer.json.
    """
    backend = parse_tokenizer(text)
    data, family = json.loads(text), settings.family
    # Tokenizers of our own kinds are recognised by their pipeline, whatever class is named.
    if family is not None and _is_of(family, data) and infer_kind(backend) == "huggingface":
        set_processing(backend, processing_steps(family, settings.values))
        _set_unknown(backend, family, settings)
        _set_class_ends(backend, family, settings)
    else:
        if settings.class_name is None:
            _follow_named(backend, data, settings)
        settings = settings._replace(class_name=None)
    if data["model"].get("type") == "WordPiece" and is_residues(_ordinary(backend)):
        split_residues(backend)
    unreserved = _unreserved(backend, settings, rows)
    if unreserved:
        register_added_tokens(backend, unreserved, rows=rows)
    return backend


def _unreserved(
    backend: tokenizers.Tokenizer, settings: TokenizerSettings, rows: int | None
) -> list[ListedToken]:
    """The named tokens that the file does not match as a whole, or lacks."""
    added = {token.content for token in backend.get_added_tokens_decoder().values()}
    roles = set(settings.named_roles.values()) if rows is None else set()
    is_ours = infer_kind(backend) != "huggingface"
    unreserved = []
    for listed in settings.reserved():
        name = listed.token.content
        # Special tokens of our own kinds are matched as whole words only.
        is_out = name in roles if backend.token_to_id(name) is None else is_ours
        if name not in added and not is_out:
            unreserved.append(listed._replace(id=None))
    return unreserved


def _is_of(family: TokenizerFamily, data: dict[str, Any]) -> bool:
    """Whether a file has the model of a family."""
    model, cuts = data["model"], json.dumps(data.get("pre_tokenizer"))
    # Files from before 2020 have no type.
    kind = model.get("type") or ("BPE" if "merges" in model else "WordPiece" if "unk_token" in model else "")
    over_bytes = '"ByteLevel"' in cuts
    if family == "bert":
        return kind == "WordPiece"
    return kind == "BPE" and (
        over_bytes if family in BYTE_LEVEL_FAMILIES else not over_bytes and family in ("llama", "gemma")
    )


def _set_unknown(backend: tokenizers.Tokenizer, family: TokenizerFamily, settings: TokenizerSettings) -> None:
    """Sets the unknown token of BERT's class, whatever the file says."""
    unk = settings.named_roles.get("unk")
    if family == "bert" and unk is not None and backend.token_to_id(unk) is not None:
        backend.model.unk_token = unk


def _set_class_ends(
    backend: tokenizers.Tokenizer, family: TokenizerFamily, settings: TokenizerSettings
) -> None:
    """Sets the tokens around a text for the classes that have their own."""
    roles = settings.named_roles
    if family in ("bert", "roberta"):
        put_end_tokens(backend, roles.get("cls"), roles.get("sep"), again=2 if family == "roberta" else 1)
    if family == "neox":
        put_end_tokens(backend, None, None)


def _follow_named(backend: tokenizers.Tokenizer, data: dict[str, Any], settings: TokenizerSettings) -> None:
    """Applies settings of a tokenizer without a class to the parts of its file that they are about."""
    normalizer, cut = (data.get(part) or {} for part in ("normalizer", "pre_tokenizer"))
    names = {"do_lower_case": "lowercase", "strip_accents": "strip_accents"}
    names["tokenize_chinese_chars"] = "handle_chinese_chars"
    named = {ours: settings.values[name] for name, ours in names.items() if name in settings.values}
    if normalizer.get("type") == "BertNormalizer" and named:
        parts = {key: value for key, value in normalizer.items() if key != "type"} | named
        backend.normalizer = tokenizers.normalizers.BertNormalizer(**parts)
    if cut.get("type") == "ByteLevel" and "add_prefix_space" in settings.values:
        parts = {key: cut[key] for key in ("trim_offsets", "use_regex") if key in cut}
        spaced = bool(settings.values["add_prefix_space"])
        backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(spaced, **parts)


def _ordinary(backend: tokenizers.Tokenizer) -> list[str]:
    vocab = backend.get_vocab(with_added_tokens=False)
    if len(vocab) > 256:
        return []
    added = {token.content for token in backend.get_added_tokens_decoder().values()}
    return [token for token in vocab if token not in added | set(USUAL_ROLES["bert"].values())]
