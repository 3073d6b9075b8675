import random
from pathlib import Path

import pytest

from cropzoom.cropper.nano.phoc import split_words
from cropzoom.trainer.nano.pages import phrases
from cropzoom.trainer.nano.pages.tables import read_table

UNSEEN = read_table(Path(__file__).parents[1] / "data" / "unseen_wordings.tsv")
# Words of grammar tell nothing about where an answer is.
FUNCTION_WORDS = frozenset(
    [
        "the",
        "of",
        "to",
        "a",
        "in",
        "at",
        "on",
        "by",
        "du",
        "le",
        "de",
        "am",
        "do",
        "del",
        "i",
        "for",
        "this",
        "and",
        "or",
        "from",
        "with",
        "into",
        "without",
        "da",
    ]
)


def folded(question: str) -> str:
    return " ".join(split_words(question))


def test_there_are_thousands_of_forms_in_many_languages() -> None:
    forms = {folded(form) for _, form in phrases.surface_forms()}
    languages = {language for _, language in phrases.table("names.txt")}
    assert len(forms) > 15_000
    assert languages == {
        "en",
        "de",
        "fr",
        "es",
        "it",
        "nl",
        "pt",
        "pl",
        "sv",
        "da",
        "no",
        "cs",
        "tr",
    }


def test_every_concept_with_questions_or_labels_has_names() -> None:
    known = set(phrases.table("names.txt"))
    assert set(phrases.table("asks.txt")) <= known
    assert {concept for concept, _ in phrases.table("labels.txt")} <= set(phrases.concepts())
    assert {language for _, language in known} <= set(phrases.frames())


def test_the_same_chance_asks_the_same() -> None:
    first, second = (
        [phrases.ask(random.Random(7), concept, "de") for concept in phrases.concepts()]
        for _ in range(2)
    )
    assert first == second
    assert all("{" not in question for question in first)


def test_names_lose_their_article() -> None:
    assert phrases.bare("die Summe", "de") == "Summe"
    assert phrases.bare("l'adresse e-mail", "fr") == "adresse e-mail"
    assert phrases.bare("die cast", "en") == "die cast"
    assert phrases.snake("Due date:") == "due_date"


@pytest.mark.parametrize("form", ["item", "count", "row", "pair", "find", "after", "line"])
def test_keyed_questions_name_the_key(form: str) -> None:
    rng = random.Random(form)
    for _ in range(50):
        assert "milk 2l" in phrases.ask_about(rng, form, "MILK 2L").lower()


def test_prompts_hold_the_question() -> None:
    rng = random.Random(3)
    texts = {phrases.in_prompt(rng, "Who sold it?", 1.0) for _ in range(400)}
    assert len(texts) > 30
    assert all("Who sold it?" in text and "{q}" not in text for text in texts)


def test_unseen_wordings_are_no_forms_of_the_bank() -> None:
    forms = {folded(form) for _, form in phrases.surface_forms()}
    assert len(UNSEEN) >= 200
    assert {concept for concept, _ in UNSEEN} <= set(phrases.concepts())
    assert not [question for _, question in UNSEEN if folded(question) in forms]


def test_unseen_wordings_share_no_word_with_labels() -> None:
    labels: dict[str, set[str]] = {}
    for (concept, _), forms in phrases.table("labels.txt").items():
        labels.setdefault(concept, set()).update(*(split_words(form) for form in forms))
    shared = [
        (question, words)
        for concept, question in UNSEEN
        if (words := set(split_words(question)) & labels[concept] - FUNCTION_WORDS)
    ]
    assert shared == []
