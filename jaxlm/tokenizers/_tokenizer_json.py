"""A tokenizer.json and what stands beside it: what transformers makes of the two."""

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

    A file that is named as of a class (BERT's, GPT-2's, Llama's, ...) and divides texts by that class's model
    is used for its vocabulary: what is done to texts is the class's, with what `tokenizer_config.json` says
    (`do_lower_case`, `strip_accents`, `tokenize_chinese_chars`, `add_prefix_space`), where the file says
    otherwise too. What stands around a text is the file's, of BERT's and RoBERTa's classes their own;
    `add_bos_token` and `add_eos_token` count for nothing. A file of no class is used as it is. Tokens that
    are named beside the file (roles, added and further ones) stand for themselves, though its own list of
    added tokens leaves them out.

    Args:
      text: the file's.
      settings: what stands beside it.
      rows: of the embedding. Tokens that are named and that the file lacks get ids behind it while there are
        rows; None: only those of `additional_special_tokens`, and no end of rows.

    Returns:
      The backend.

    Raises:
      ValueError: if the text is no such file.
    """
    backend = parse_tokenizer(text)
    data, way = json.loads(text), settings.way
    # The pipelines of our own are known by what they do, whatever class stands beside them.
    if way is not None and _is_of(way, data) and infer_kind(backend) == "huggingface":
        set_processing(backend, processing_steps(way, settings.values))
        _take_unknown(backend, way, settings)
        _put_own_ends_around(backend, way, settings)
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
    """The named tokens that the file divides like any text, or lacks."""
    added = {token.content for token in backend.get_added_tokens_decoder().values()}
    roles = set(settings.named_roles.values()) if rows is None else set()
    is_ours = infer_kind(backend) != "huggingface"
    unreserved = []
    for one in settings.reserved():
        name = one.token.content
        # Specials of our own kinds may be whole words of a text and nothing else.
        is_out = name in roles if backend.token_to_id(name) is None else is_ours
        if name not in added and not is_out:
            unreserved.append(one._replace(id=None))
    return unreserved


def _is_of(way: TokenizerFamily, data: dict[str, Any]) -> bool:
    """Whether a file divides texts by the model of a class."""
    model, cuts = data["model"], json.dumps(data.get("pre_tokenizer"))
    # Files of before 2020 leave the type out.
    kind = model.get("type") or ("BPE" if "merges" in model else "WordPiece" if "unk_token" in model else "")
    over_bytes = '"ByteLevel"' in cuts
    if way == "bert":
        return kind == "WordPiece"
    return kind == "BPE" and (
        over_bytes if way in BYTE_LEVEL_FAMILIES else not over_bytes and way in ("llama", "gemma")
    )


def _take_unknown(backend: tokenizers.Tokenizer, way: TokenizerFamily, settings: TokenizerSettings) -> None:
    """BERT's class says which token stands for what the vocabulary can't write, whatever the file says."""
    unk = settings.named_roles.get("unk")
    if way == "bert" and unk is not None and backend.token_to_id(unk) is not None:
        backend.model.unk_token = unk


def _put_own_ends_around(
    backend: tokenizers.Tokenizer, way: TokenizerFamily, settings: TokenizerSettings
) -> None:
    roles = settings.named_roles
    if way in ("bert", "roberta"):
        put_end_tokens(backend, roles.get("cls"), roles.get("sep"), again=2 if way == "roberta" else 1)
    if way == "neox":
        put_end_tokens(backend, None, None)


def _follow_named(backend: tokenizers.Tokenizer, data: dict[str, Any], settings: TokenizerSettings) -> None:
    """Without a class, what a file says by name changes that part alone, where the file has it."""
    normalizer, cut = (data.get(part) or {} for part in ("normalizer", "pre_tokenizer"))
    names = {"do_lower_case": "lowercase", "strip_accents": "strip_accents"}
    names["tokenize_chinese_chars"] = "handle_chinese_chars"
    said = {ours: settings.values[name] for name, ours in names.items() if name in settings.values}
    if normalizer.get("type") == "BertNormalizer" and said:
        parts = {key: value for key, value in normalizer.items() if key != "type"} | said
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
