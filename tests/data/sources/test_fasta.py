import pytest

from jaxlm import data, tokenizers


def test_sequences_over_several_lines_comments_and_blanks(tmp_path):
    (tmp_path / "a.fasta").write_text(
        ";made by hand\n\n>sp|P1 first one\nMKV\nLA A\n\n;aside\nG\r\n>\nCC\n>empty\n>last|2\nWW"
    )
    records = list(data.fasta_source(tmp_path / "a.fasta"))
    assert [(record.id, record.text) for record in records] == [
        ("sp|P1", "MKVLAAG"),
        ("a.fasta:9", "CC"),
        ("empty", ""),
        ("last|2", "WW"),
    ]
    assert records[0].meta == {"description": "first one", "where": f"{tmp_path / 'a.fasta'}:3"}


def test_letters_before_a_header_are_named(tmp_path):
    (tmp_path / "a.fasta").write_text("\nMKVLA\n>a\nMK\n")
    with pytest.raises(data.CorpusError, match=r"a\.fasta:2: expected a '>' header .* got 'MKVLA'"):
        list(data.fasta_source(tmp_path / "a.fasta"))


def test_a_letter_that_is_no_residue_is_named_by_file_line_and_record(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXLM_CACHE", str(tmp_path / "cache"))
    sequences = [f">p{number}\nMKV{'A' * number}" for number in range(20)]
    (tmp_path / "a.fasta").write_text("\n".join([*sequences, ">odd one", "MKV!"]))
    with pytest.raises(data.CorpusError, match=r"a\.fasta:41: record odd: '!' at position 3 is not a resid"):
        data.prepare(data.DataConfig(paths=(str(tmp_path / "a.fasta"),)), tokenizers.TokenizerConfig())
