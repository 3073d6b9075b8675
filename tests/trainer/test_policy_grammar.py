"""The table of what may follow: exactly the boxes, with any tokenizer that has the characters."""

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")
# ruff: noqa: E402

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from cropzoom.cropper.smolvlm.box_grammar import BoxGrammar
from cropzoom.trainer.policies.grammar_mask import BoxTable


def characters() -> Tokenizer:
    vocabulary = {character: number for number, character in enumerate("?.,[] 0123456789")}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return tokenizer


def single_digits() -> Tokenizer:
    """As SmolVLM's: bytes with merges, digits apart."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {t: n for n, t in enumerate([*letters, "Ġ[", "].", "ĠĠ"])}
    merges = [("Ġ", "["), ("]", "."), ("Ġ", "Ġ")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    return tokenizer


def whole_numbers() -> Tokenizer:
    tokens = ["?", " [", ", ", "].", *map(str, range(101))]
    tokenizer = Tokenizer(models.WordLevel({t: n for n, t in enumerate(tokens)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" \[|, |\]\.|\d+"), "isolated")
    return tokenizer


END = 999
MAKERS = [characters, single_digits, whole_numbers]


@cache
def made(maker: Callable[[], Tokenizer]) -> tuple[Tokenizer, BoxTable]:
    tokenizer = maker()
    grammar = BoxGrammar.of_tokenizer(lambda text: tokenizer.encode(text).ids, "")
    return tokenizer, BoxTable(grammar, END)


@pytest.mark.parametrize("maker", MAKERS)
def test_the_table_has_as_many_answers_as_there_are_boxes(maker: Callable[[], Tokenizer]) -> None:
    _, table = made(maker)
    final = len(table.next) - 1

    @cache
    def ways(state: int) -> int:
        if state == final:
            return 1
        return sum(ways(reached) for reached in table.next[state].tolist() if reached >= 0)

    assert ways(0) == 101**4
    assert table.tokens.tolist() == sorted(table.tokens.tolist())
    # Not mistaken for their neighbours in the list.
    assert table.columns_of(torch.tensor([998, 1000])).tolist() == [-1, -1]
    end = int(table.columns_of(torch.tensor([END])))
    assert table.next[final, end] == final and (table.next[final] >= 0).sum() == 1


@pytest.mark.parametrize("maker", MAKERS)
@given(st.lists(st.integers(0, 100), min_size=4, max_size=4))
def test_every_box_is_one_of_them(maker: Callable[[], Tokenizer], numbers: list[int]) -> None:
    tokenizer, table = made(maker)
    ids = torch.tensor([*tokenizer.encode(f" {numbers}.").ids, END])
    columns = table.columns_of(ids)
    assert torch.equal(table.tokens[columns], ids)
    states = table.states_of(columns)
    assert (table.next[states[:-1], columns[:-1]] == states[1:]).all()
    assert table.next[states[-1], columns[-1]] == len(table.next) - 1
    # A number too many, a token that is in no box, an end too early: not one of them.
    for wrong in (
        torch.cat([ids[:-3], ids[3:]]),
        torch.tensor([998, *ids[1:]]),
        torch.tensor([*ids[:2], END]),
    ):
        columns = table.columns_of(wrong)
        states = table.states_of(columns)
        fits = table.next[states.clamp_min(0), columns.clamp_min(0)] >= 0
        assert not (fits & (states >= 0) & (columns >= 0)).all()
