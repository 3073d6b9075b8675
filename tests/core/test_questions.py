"""What conversations ask of their pictures."""

from __future__ import annotations

import string
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropzoom.questions import Asking, Turn, asking, readable
from cropzoom.report import Reason

TOTAL = "What is the total?"


def asks(*texts: str, schemas: tuple[Mapping[str, Any], ...] = ()) -> tuple[str, ...]:
    """What one user turn with a picture asks."""
    return asking([Turn("user", texts, 1)], 0, schemas).questions


def talk(*turns: tuple[str, str, int], schemas: tuple[Mapping[str, Any], ...] = ()) -> Asking:
    """What the last of some turns asks; each is role, text, pictures."""
    given_turns = [Turn(role, (text,) if text else (), pictures) for role, text, pictures in turns]
    return asking(given_turns, len(given_turns) - 1, schemas)


@pytest.mark.parametrize(
    "question",
    [
        TOTAL,
        "Which gate do I go to?",
        "In which year was it issued?",
        "How much is the Serv. Charge (10%)?",
        "What is the No. 5 price?",
        "What is the description?",
        "What is the BILL TO?",
        "What's the price of Seattle, Wa 98122?",
        "Is the bill paid?",
        "Who signed this?",
        "How much is it?",
        "total",
        "Click on Final Price",
        "What is written next to the signature?",
        "Was ist die Summe?",
        "¿Cuál es el total?",
        "Ποιο είναι το σύνολο;",
        "Сколько стоит билет?",
        "总金额是多少？",
    ],
)
def test_a_bare_question_stays_as_it_is(question: str) -> None:
    assert asks(question) == (question,)
    assert asks(f"  {question}\n") == (question,)


@pytest.mark.parametrize(
    ("text", "questions"),
    [
        ("Extract the vendor, date and total from this receipt.", ("vendor", "date", "total")),
        ("Bitte extrahiere Datum, Summe und IBAN aus dem Dokument.", ("Datum", "Summe", "IBAN")),
        ("Return a JSON object with the keys vendor, date and total.", ("vendor", "date", "total")),
        (
            "Please extract the following fields:\n- vendor\n- invoice_number: the number\n"
            "- total (float)\nReturn JSON.",
            ("vendor", "invoice number", "total"),
        ),
        (
            "Answer these questions:\n1. What is the total?\n2. Who is the vendor?\n\nBe brief.",
            ("What is the total?", "Who is the vendor?"),
        ),
        ("Q1: What is the total?\nQ2: When is it due?", ("What is the total?", "When is it due?")),
        ("What is the total and when is it due?", ("What is the total", "when is it due?")),
        ("What are the vendor, the date and the total?", ("vendor", "date", "total")),
        ('Fill in: {"vendor": "", "dueDate": "", "notes": ""}', ("vendor", "due date")),
        ("Find the due date and reply as JSON.", ("due date",)),
        ("Give me the IBAN please", ("IBAN",)),
        ("You are a clerk. Your task is to find the total.", ("total",)),
        ('{"task": "vqa", "question": "What is the total?"}', (TOTAL,)),
        ("What is the date? -> 1 May\nWhat is the total?", (TOTAL,)),
        (f'For example "What is the date?" is 1 May. {TOTAL}', (TOTAL,)),
        (f"{TOTAL}\nA) 1\nB) 2\nC) 3", (TOTAL,)),
        ("What is the total (answer in one word)?", (TOTAL,)),
        (
            "Extract:\n\nclass Bill(BaseModel):\n    due_date: str\n    total: float",
            ("due date", "total"),
        ),
        ("Extract:\n| field | type |\n|---|---|\n| due date | string |", ("due date",)),
        ("Fill in:\n```yaml\ndue_date: <string>\nnotes: <string>\n```", ("due date",)),
        ("Train to York: when does it leave?", ("Train to York: when does it leave?",)),
        ("Extrae los siguientes campos como JSON:\n- fecha\nSi no aparece, usa null.", ("fecha",)),
        ("Answer this:\n```\nWhat is the total?\n```", (TOTAL,)),
        ("Fill z.object({ due_date: z.string() })", ("due date",)),
        ("Extrais la valeur de « Total dû » de ce document.", ("Total dû",)),
        ("How are you today? What is the total?", (TOTAL,)),
        ("👋 What is the total? 🙏", (TOTAL,)),
        ("Output the total only, without units", ("total",)),
        ("Describe the error message", ("Describe the error message",)),
        ("Transcribe the serial number.", ("Transcribe the serial number.",)),
        (
            'Input: order\nOutput: {"order": "7"}\n\nInput: due date\nOutput:',
            ("due date",),
        ),
        (
            f"Kérdés 1: What is the date?\nVálasz 1: May\nKérdés 2: {TOTAL}\nVálasz 2:",
            (TOTAL,),
        ),
        ("due_date: ???\ntotal: ...\nvendor: ____", ("due date", "total", "vendor")),
        ("# Which gate do I go to?\n\n## Rules\n- Be brief.", ("Which gate do I go to?",)),
        ("質問：Which gate do I go to?\n回答：", ("Which gate do I go to?",)),
        ("画像から「What is the total?」に答えてください。JSONで。", (TOTAL,)),
        ("sorry, i can't read it without my glasses, what is the total?", ("what is the total?",)),
        (
            "On the train I take to York, when is lunch?",
            ("On the train I take to York, when is lunch?",),
        ),
        ("I only need the due date, nothing more.", ("due date",)),
        ("Extract: 1) due date 2) total", ("due date", "total")),
        ("Which page is this?", ("Which page is this?",)),
        ("Invoice no.?", ("Invoice no.?",)),
        ("invoice no", ("invoice no",)),
    ],
)
def test_fields_requests_and_wrappings(text: str, questions: tuple[str, ...]) -> None:
    assert asks(text) == questions


@pytest.mark.parametrize(
    "text",
    """
    Describe this image.
    Could you describe this image for me?
    Write a one-sentence caption for the image.
    Give me an alt text for this image, at most 125 characters.
    Transcribe all text in this image. Keep the line breaks.
    Perform OCR on the image and return the text.
    Extract all text from this image.
    Convert the document to markdown. Do not hallucinate. Output only markdown.
    Please summarise the attached report in three bullet points.
    Translate this into English.
    Compare these two pictures.
    Describe the image as JSON: {"mood": "", "objects": []}
    What is this?
    What do you see?
    What's in the picture?
    What does this say?
    What type of document is this? Answer with one of: invoice, receipt, letter.
    Explain what is happening in this picture.
    Extract all information from this document.
    TL;DR
    Give me a TL;DR of this, please
    Is this an invoice?
    Beschreibe dieses Bild.
    Was ist auf dem Bild zu sehen?
    Que voit-on sur cette photo ?
    Transcribe todo el texto.
    Riassumi il documento.
    Beschrijf deze afbeelding.
    O que você vê nesta imagem?
    Co widzisz na tym zdjęciu?
    Опиши это изображение.
    Περιέγραψε την εικόνα.
    """.strip().splitlines(),
)
def test_the_whole_picture_gets_none(text: str) -> None:
    assert asking([Turn("user", (text.strip(),), 1)], 0) == Asking((), Reason.WHOLE_PICTURE)


SCHEMA = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string"},
        "due_date": {"type": "string", "description": "date by which to pay"},
        "seller": {"$ref": "#/$defs/Party"},
        "grossTotal": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "f1": {"type": "string", "description": "Who signed the letter?"},
    },
    "$defs": {"Party": {"type": "object", "properties": {"VAT_id": {"type": "string"}}}},
}
FIELDS = ("due date", "VAT id", "gross total", "Who signed the letter?")


@pytest.mark.parametrize(
    "schema",
    [
        SCHEMA,
        {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
        {"type": "json_schema", "name": "x", "schema": SCHEMA},
        {"type": "function", "function": {"name": "x", "parameters": SCHEMA}},
        {"type": "function", "name": "x", "parameters": SCHEMA},
    ],
)
def test_a_schema_asks_where_the_texts_leave_it_open(schema: dict[str, Any]) -> None:
    assert asks("Extract the data.", schemas=(schema,)) == FIELDS
    assert asks(schemas=(schema,)) == FIELDS
    assert asks(TOTAL, schemas=(schema,)) == (TOTAL,)


@pytest.mark.parametrize("schema", [{}, {"properties": 3}, {"schema": {"properties": {"a": 1}}}])
def test_what_is_no_schema_asks_nothing(schema: dict[str, Any]) -> None:
    assert asking([Turn("user", (), 1)], 0, (schema,)) == Asking((), Reason.NO_QUESTION)


def test_a_form_asks_more_than_a_loose_word_but_an_agents_tools_do_not() -> None:
    form = {"type": "json_schema", "name": "x", "schema": SCHEMA}
    tool = {"type": "function", "name": "open", "parameters": SCHEMA}
    assert asks("Acme, May", schemas=(form,)) == FIELDS
    assert asks("Acme, May", schemas=(tool,)) == ("Acme, May",)
    assert asks("Analyze this receipt.", schemas=(form,)) == FIELDS
    assert asks("Describe this receipt.", schemas=(form,)) == ()


def test_a_schema_that_refers_to_itself_ends() -> None:
    node = {"properties": {"name": {"type": "string"}, "child": {"$ref": "#"}}}
    assert "name" in asks("Extract the data.", schemas=(node,))


FIRST = (("user", "What is the due date?", 1), ("assistant", "13", 0))


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("continue", "What is the due date?"),
        ("Are you sure?", "What is the due date?"),
        ("Hmm, that doesn't look right. Look closer.", "What is the due date?"),
        ("Bist du sicher?", "What is the due date?"),
        ("1 validation error for Invoice\ndue_date\n  invalid date", "What is the due date?"),
        ("Fix the errors and try again.", "What is the due date?"),
        ("And the total?", "What is the total?"),
        ("What about the IBAN?", "What is the IBAN?"),
        ("And what is the IBAN?", "what is the IBAN?"),
        ("Is the signature not valid?", "Is the signature not valid?"),
    ],
)
def test_a_follow_up(text: str, question: str) -> None:
    assert talk(*FIRST, ("user", text, 0)) == Asking((question,))


def test_a_follow_up_for_another_month() -> None:
    first = ("user", "What is the total for March?", 1), ("assistant", "13", 0)
    assert talk(*first, ("user", "and for April?", 0)) == Asking(("What is the total for April?",))


def test_thanks_ask_nothing() -> None:
    assert talk(*FIRST, ("user", "Thanks a lot!", 0)) == Asking((), Reason.NO_QUESTION)


def test_a_picture_alone_belongs_to_the_question_before() -> None:
    assert talk(*FIRST, ("user", "", 1)) == Asking(("What is the due date?",))
    assert talk(*FIRST, ("user", "Here is page 2.", 1)) == Asking(("What is the due date?",))
    assert talk(*FIRST, ("tool", "page 1 of 3: what is it?", 1)).questions == (
        "What is the due date?",
    )


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_question_in_the_system_message(role: str) -> None:
    assert talk((role, f"You read bills. {TOTAL}", 0), ("user", "", 1)) == Asking((TOTAL,))
    assert talk((role, f"You read bills. {TOTAL}", 0), ("user", "scan.pdf", 1)) == Asking((TOTAL,))
    asked = talk((role, "Describe the image.", 0), ("user", TOTAL, 1))
    assert asked == Asking((TOTAL,))


def test_a_long_conversation_keeps_its_system_message() -> None:
    turns = [Turn("system", (TOTAL,)), *[Turn("user", (), 1), Turn("assistant", ("1",))] * 300]
    assert asking([*turns, Turn("user", (), 1)], len(turns)) == Asking((TOTAL,))
    assert asking(turns, 1) == Asking((TOTAL,))
    assert asking(turns, 11) == Asking((TOTAL,))


def test_what_comes_later_changes_nothing() -> None:
    turns = [Turn(role, (text,), pictures) for role, text, pictures in FIRST]
    later = [*turns, Turn("user", ("And the total?",)), Turn("system", ("Never mind.",))]
    assert asking(turns, 0) == asking(later, 0)


@pytest.mark.parametrize(
    ("question", "scripts", "fine"),
    [
        (TOTAL, {"latin"}, True),
        ("总金额是多少？", {"latin", "greek"}, False),
        ("支払期限はいつですか？", {"latin"}, False),
        ("Сколько?", {"latin"}, False),
        ("Сколько?", {"Latin", "Cyrillic"}, True),
        ("What does 出口 mean here?", {"latin"}, True),
        ("iPhone 的价格是多少", {"latin"}, False),
        ("42?", {"latin"}, True),
        ("总金额是多少？", None, True),
    ],
)
def test_readable(question: str, scripts: set[str] | None, fine: bool) -> None:
    assert readable(question, scripts) is fine


PIECES = [
    *("note: ", "tell me: " * 400, "a:" * 3000, "What? " * 500, "and " * 300),
    *("?.:;-\"{}[]<>()#*`'"),
    *("```", "<question>", "</question>", "Question:", "A:", "what", "is", "extract", "the", "and"),
    *("total", "1.", "{'a':", '{"a":1}', "describe", "image", "continue", "Ποιο", "->", "A)", "B)"),
]
PIECES += [" ", "\n", "\n\n", "?\n", "\ud800"]
TEXT = st.one_of(
    st.text(max_size=300),
    st.lists(
        st.sampled_from(PIECES),
        max_size=60,
    ).map("".join),
)
ROLE = st.sampled_from(["system", "developer", "user", "assistant", "tool", "?"])
TURN = st.builds(Turn, ROLE, st.lists(TEXT, max_size=3).map(tuple), st.integers(0, 2))
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["properties", "$ref", "anyOf", "schema", "description", "a", "due_date"]
            ),
            inner | st.just("#/properties"),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(TURN, min_size=1, max_size=6), st.lists(JSON, max_size=2))
def test_never_raises_and_always_says_why(turns: list[Turn], schemas: list[Any]) -> None:
    objects = [schema for schema in schemas if isinstance(schema, dict)]
    for at in range(len(turns)):
        asked = asking(turns, at, objects)
        assert all(question.strip() for question in asked.questions)
        assert (asked.reason is None) == bool(asked.questions)
        assert asked == asking(turns[: at + 1], at, objects)


@given(
    st.sampled_from(["What is the", "Which", "How much is the", "When was the", "Wie lautet die"]),
    st.lists(st.text(string.ascii_lowercase, min_size=3, max_size=9), min_size=1, max_size=5),
)
def test_bare_questions_are_a_fixed_point(start: str, words: list[str]) -> None:
    thing = " ".join(f"q{word}" for word in words)  # no word of any language
    assert asks(f"{start} {thing}?") == (f"{start} {thing}?",)


@pytest.mark.parametrize(
    "text",
    [
        lambda n: "a" + "." * n + "a",
        lambda n: "?" * n,
        lambda n: " " * n,
        lambda n: "{" * n,
        lambda n: '{"a":' * (n // 5),
        lambda n: "<a>" * (n // 3),
        lambda n: "<q>" * (n // 6) + "</q>" * (n // 8),
        lambda n: "- a\n" * (n // 4),
        lambda n: "**a:** b?\n" * (n // 10),
        lambda n: "Note: " + "a: " * (n // 3),
        lambda n: "tell me: " * (n // 9),
        lambda n: '"a?' * (n // 3),
        lambda n: "(" * n,
        lambda n: "what is " * (n // 8),
        lambda n: "extract " + "a, " * (n // 3),
        lambda n: "ﷺ" * n,
        lambda n: "QUJD" * (n // 4),
    ],
)
def test_a_megabyte_takes_no_longer_than_a_page(text: Callable[[int], str]) -> None:
    def seconds(size: int) -> float:
        times = []
        for attempt in range(3):
            message = f"{attempt} {text(size)}"  # no text twice: readings are kept
            start = time.thread_time()
            asking([Turn("user", (message,), 1)], 0)
            times.append(time.thread_time() - start)
        return min(times)

    # Quadratic time would make it 10,000 times as long.
    assert seconds(1_000_000) < 20 * seconds(10_000) + 0.05


@pytest.mark.parametrize("text", ["And the VAT?", "And what is the VAT?"])
def test_a_tax_is_no_dutch_verb(text: str) -> None:
    turns = [Turn("user", ("What is the total?",), 1), Turn("assistant", ("42",), 0)]
    (question,) = asking([*turns, Turn("user", (text,), 0)], 2).questions
    assert question.lower() == "what is the vat?"


def test_a_dutch_summary_is_of_the_whole_picture() -> None:
    assert asking([Turn("user", ("Vat dit document samen.",), 1)], 0).questions == ()
