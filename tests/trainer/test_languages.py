"""Pages in other languages than English: their letters, names, fonts and questions."""

import random
import unicodedata

import pytest

pytest.importorskip("torch")

from cropzoom.cropper.nano.phoc import CLASSES, character_class, fold
from cropzoom.trainer.nano.pages import PageOptions, render_page
from cropzoom.trainer.nano.pages.fonts import find_fonts
from cropzoom.trainer.nano.pages.languages import LANGUAGES, draw_language
from cropzoom.trainer.nano.pages.lexicon import Lexicon, is_heldout

SCRIPTS = {"ru": "CYRILLIC", "uk": "CYRILLIC", "bg": "CYRILLIC", "el": "GREEK"}


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_language_has_names_and_questions(code: str) -> None:
    language = LANGUAGES[code]
    kinds = {"money", "date", "time", "code", "name", "word", "address", "int", "measure"}
    assert kinds <= set(language.names)
    for kind, names in language.names.items():
        assert all(names) and len(set(names)) == len(names), kind
    for form in language.forms("money"):
        assert form.count("{k}") == 1 and "{c}" not in form
    assert all("{k}" in form and "{c}" in form for form in language.cell)
    assert set(language.by_kind) <= set(language.names)


@pytest.mark.parametrize("code", LANGUAGES)
def test_all_letters_of_names_have_a_class_of_their_own(code: str) -> None:
    for names in LANGUAGES[code].names.values():
        for name in names:
            for letter in filter(str.isalpha, fold(name)):
                if letter not in "ıłøß№":  # these few don't fold to a letter of the alphabet
                    assert character_class(letter) < CLASSES - 1, (name, letter)


@pytest.mark.parametrize("code", SCRIPTS)
def test_made_up_words_are_of_the_script(code: str) -> None:
    rng = random.Random(1)
    for _ in range(200):
        word = LANGUAGES[code].make_word(rng)
        assert 1 < len(word) <= 14
        assert all(unicodedata.name(c).startswith(SCRIPTS[code]) for c in word), word
        assert set(word) <= set(LANGUAGES[code].alphabet)


def test_words_and_names_keep_to_their_split() -> None:
    for code in LANGUAGES:
        seen = Lexicon(random.Random(2), "train", LANGUAGES[code])
        held = Lexicon(random.Random(2), "heldout", LANGUAGES[code])
        assert not any(is_heldout(seen.word()) for _ in range(60))
        assert all(is_heldout(held.word()) for _ in range(60))
        names = {name for name, _ in seen.own_names()}
        assert names and not names & {name for name, _ in held.own_names()}


def test_english_pages_draw_nothing_for_it() -> None:
    rng = random.Random(3)
    before = rng.getstate()
    assert draw_language(rng, 0.0) is None and rng.getstate() == before
    drawn = [draw_language(rng, 0.3) for _ in range(2000)]
    assert 500 < sum(language is not None for language in drawn) < 700
    assert {id(d) for d in drawn if d} == set(map(id, LANGUAGES.values()))


def test_fonts_of_a_script_can_write_it() -> None:
    plain = find_fonts("train")
    if not plain:
        pytest.skip("no fonts on this machine")
    for code in SCRIPTS:
        fonts = find_fonts("train", (), LANGUAGES[code].alphabet)
        assert set(fonts) <= set(plain)
    # Letters that no standard knows.
    assert not find_fonts("train", (), "\u0378\u0379")


def test_a_page_in_another_language_is_asked_about_in_it() -> None:
    asked, written = [], ""
    for seed in range(12):
        options = PageOptions(512, 640, languages=1.0, absent=0.3, clean=True, questions=8)
        page = render_page(random.Random(seed), options)
        asked += page.questions
        written += " ".join(word.text for word in page.words)
    native = {form for code in LANGUAGES for form in LANGUAGES[code].forms("money")}
    openings = {form.split("{k}")[0] for form in native} - {""}
    found = [q for q in asked if any(q.text.startswith(opening) for opening in openings)]
    assert len(found) > 5 and any(q.absent for q in found) and not all(q.absent for q in found)
    if find_fonts("train", (), LANGUAGES["ru"].alphabet):
        assert any(unicodedata.name(c, "").startswith("CYRILLIC") for c in written)
