"""Bodies and dialogues as broken as they come: what people, proxies and enemies may send."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from PIL import Image
from wrapping import uri, uri_of

SMALL = uri()
# Large enough for a thumbnail and a crop to save something.
LARGE = uri_of(Image.linear_gradient("L").resize((700, 1000)))
_LARGE_DATA = LARGE.partition(",")[2]
# Texts with what breaks encoders: lone surrogates, NUL, marks, other scripts.
texts = st.one_of(
    st.sampled_from(
        [
            "What is the total?",
            "and the date?",
            "continue",
            "thanks",
            "Describe the picture.",
            "总金额是多少",
            "Extract: total, date, name",
            '{"type": "object", "properties": {"total": {"type": "string"}}}',
            "",
            " \n",
            "\ud800",
            "a" + "." * 300 + "a",
        ]
    ),
    st.text(st.characters(codec=None), max_size=20),
)
urls = st.one_of(
    st.sampled_from(
        [
            SMALL,
            uri(1),
            LARGE,
            SMALL[:300],
            SMALL.replace("+", "-").replace("/", "_"),
            f" \n{SMALL}\n",
            "data:image/png;base64,\ud800",
            "data:\udfff,x",
            "data:,%zz\ud800",
            "data:image/png;base64,====",
            "http://[::1",
            "https://\ud800.example/a.png",
            "http://localhost:99999999/x",
            "file:///etc/passwd",
            "//x",
            "",
        ]
    ),
    st.text(st.characters(codec=None), max_size=12).map("data:".__add__),
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | urls
KEYS = ["role", "type", "content", "text", "image_url", "url", "output", "detail", "file_id"]
KEYS += ["source", "data", "media_type", "parts", "inlineData", "inline_data", "fileUri"]
WORDS = ["user", "assistant", "tool", "message", "text", "image_url", "input_image", "file", "low"]
WORDS += ["image", "base64", "document", "tool_result", "model", "image/png"]
# Keys of mixed types can't be sorted.
keys = st.sampled_from([*KEYS, 3, None, (1,), "\ud800"])


class BareSequence(Sequence[Any]):
    """A sequence without slices."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place: Any) -> Any:
        if not isinstance(place, int):
            raise TypeError("whole numbers only")
        return self.values[place]


class BareMapping(Mapping[Any, Any]):
    """A mapping that is no dict."""

    def __init__(self, values: dict[Any, Any]) -> None:
        self.values = values

    def __getitem__(self, key: Any) -> Any:
        return self.values[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)


anything = st.recursive(
    scalars,
    lambda children: st.one_of(
        st.lists(children, max_size=3),
        st.lists(children, max_size=3).map(tuple),
        st.lists(children, max_size=3).map(BareSequence),
        st.dictionaries(keys, children | st.sampled_from(WORDS), max_size=4),
        st.dictionaries(keys, children, max_size=3).map(BareMapping),
    ),
    max_leaves=8,
)


@dataclass(frozen=True)
class Spelling:
    """How an endpoint has its conversations.

    Args:
        name: of the endpoint.
        items: the field with the messages.
        roles: that messages may have.
        text: a text -> a part.
        picture: a data URI, or what is none -> a part.
        odd: parts with pictures, less well made.
        message: a role and content -> a message.
        result: content -> what a tool returned.
    """

    name: str
    items: str
    roles: tuple[Any, ...]
    text: Callable[[Any], Any]
    picture: Callable[[Any], Any]
    odd: st.SearchStrategy[Any]
    message: Callable[[Any, Any], Any]
    result: Callable[[Any], Any]


def _openai(kind: str) -> st.SearchStrategy[Any]:
    nested = st.builds(lambda url: {"type": kind, "image_url": {"url": url}}, urls)
    detail = st.builds(lambda part, value: {**part, "detail": value}, nested, scalars)
    untyped = st.builds(lambda url: {"image_url": url}, urls)
    odd = st.builds(lambda value: {"type": kind, "image_url": value}, anything)
    file = st.sampled_from(
        [{"type": "file", "file": {"file_id": "f"}}, {"type": "input_file", "filename": 3}]
    )
    return st.one_of(nested, detail, untyped, odd, file)


def _anthropic() -> st.SearchStrategy[Any]:
    source = st.builds(lambda url: {"type": "url", "url": url}, urls)
    file = st.sampled_from([{"type": "file", "file_id": "f"}, {"type": "tape"}])
    image = st.builds(lambda one: {"type": "image", "source": one}, source | file | anything)
    result = st.builds(lambda one: {"type": "tool_result", "content": one}, anything)
    document = st.builds(lambda one: {"type": "document", "source": one}, source)
    return st.one_of(image, image, result, document)


def _google() -> st.SearchStrategy[Any]:
    blob = st.builds(lambda data: {"mime_type": "image/png", "data": data}, scalars)
    inline = st.builds(lambda one: {"inline_data": one}, blob | anything)
    file = st.builds(lambda uri: {"fileData": {"fileUri": uri, "mimeType": "image/png"}}, urls)
    result = st.builds(lambda one: {"functionResponse": one}, anything)
    return st.one_of(inline, file, file, result)


def _base64(url: Any) -> Any:
    return str(url).strip().partition(",")[2]


CHAT = Spelling(
    "chat/completions",
    "messages",
    ("user", "user", "user", "assistant", "system", "developer", "tool", 3),
    lambda text: {"type": "text", "text": text},
    lambda url: {"type": "image_url", "image_url": {"url": url}},
    _openai("image_url"),
    lambda role, content: {"role": role, "content": content},
    lambda content: {"role": "tool", "tool_call_id": "1", "content": content},
)
RESPONSES = Spelling(
    "responses",
    "input",
    CHAT.roles,
    lambda text: {"type": "input_text", "text": text},
    lambda url: {"type": "input_image", "image_url": url},
    _openai("input_image"),
    CHAT.message,
    lambda content: {"type": "function_call_output", "call_id": "1", "output": content},
)
ANTHROPIC = Spelling(
    "messages",
    "messages",
    ("user", "user", "user", "assistant", "system", 3),
    CHAT.text,
    lambda url: {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": _base64(url)},
    },
    _anthropic(),
    CHAT.message,
    lambda content: {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "1", "content": content}],
    },
)
GOOGLE = Spelling(
    "generateContent",
    "contents",
    ("user", "user", "user", "model", "function", None, 3),
    lambda text: {"text": text},
    lambda url: {"inlineData": {"mimeType": "image/png", "data": _base64(url)}},
    _google(),
    lambda role, content: {"role": role, "parts": content},
    lambda content: {
        "role": "user",
        "parts": [{"functionResponse": {"name": "f", "response": {}, "parts": content}}],
    },
)
SPELLINGS = [CHAT, RESPONSES, ANTHROPIC, GOOGLE]


def parts(spelling: Spelling) -> st.SearchStrategy[Any]:
    """Parts of messages of an endpoint."""
    text, picture = st.builds(spelling.text, texts), st.builds(spelling.picture, urls)
    return st.one_of(text, picture, spelling.odd, texts, anything)


def items(spelling: Spelling) -> st.SearchStrategy[Any]:
    """Messages and tool results of an endpoint, and what is neither."""
    content = texts | st.lists(parts(spelling), max_size=4) | parts(spelling)
    message = st.builds(spelling.message, st.sampled_from(spelling.roles), content)
    return st.one_of(message, message, message, st.builds(spelling.result, content), anything)


def asks(spelling: Spelling) -> st.SearchStrategy[Any]:
    """Good user messages, with odd parts among the good ones."""
    picture = st.builds(spelling.picture, st.sampled_from([SMALL, uri(1), LARGE, f" \n{SMALL}\n"]))
    question = st.sampled_from(["What is the total?", "What is the date?", "Who signed it?"])
    good = st.builds(spelling.text, question)
    odd = st.lists(parts(spelling), max_size=2)
    return st.builds(
        lambda picture, good, before, after: spelling.message(
            "user", [*before, picture, good, *after]
        ),
        picture,
        good,
        odd,
        odd,
    )


_FIELDS = ("response_format", "text", "tools", "tool_choice", "instructions", "prompt", "system")
_FIELDS += ("systemInstruction", "generationConfig", "tool_config", "cachedContent")


@st.composite
def bodies(draw: st.DrawFn) -> Any:
    """Whole bodies; most have a list of messages."""
    spelling = draw(st.sampled_from(SPELLINGS))
    messages = draw(st.lists(asks(spelling) | items(spelling), max_size=5))
    wrap = draw(st.sampled_from([list, list, list, tuple, BareSequence]))
    body: dict[Any, Any] = {"model": "m", spelling.items: wrap(messages)}
    if draw(st.integers(0, 9)) == 0:
        body[spelling.items] = draw(anything)
    for field in _FIELDS:
        if draw(st.integers(0, 7)) == 0:
            body[field] = draw(anything)
    return BareMapping(body) if draw(st.integers(0, 9)) == 0 else body


@st.composite
def dialogues(draw: st.DrawFn) -> tuple[Spelling, list[list[Any]], dict[str, Any]]:
    """Conversations of 2 to 8 turns, as lists of messages that each call adds; and fields."""
    spelling = draw(st.sampled_from(SPELLINGS))
    given = texts | st.lists(parts(spelling), max_size=3)
    user = asks(spelling) | st.builds(lambda content: spelling.message("user", content), given)
    role = "model" if spelling is GOOGLE else "assistant"
    answer = st.builds(lambda text: spelling.message(role, [spelling.text(text)]), texts)
    tool = st.builds(spelling.result, st.lists(parts(spelling), max_size=2))
    calls = [[*draw(st.lists(items(spelling) | user, max_size=2)), draw(user)]]
    for _ in range(draw(st.integers(1, 7))):
        more = draw(st.one_of(user, user, tool))
        calls.append([draw(answer), more] if draw(st.integers(0, 3)) else [more])
    schema = st.fixed_dictionaries({"type": st.just("json_schema"), "schema": anything})
    fields = {"response_format": draw(st.none() | schema)} if spelling is CHAT else {}
    return spelling, calls, fields


def shape(value: Any) -> str:
    """Return a value as text, to compare before and after."""
    return repr(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, (BareSequence, BareMapping)):
        return type(value).__name__, _plain(value.values)
    if isinstance(value, dict):
        return [(repr(key), _plain(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [_plain(item) for item in value]
    return value


def as_sent(value: Any) -> bytes:
    """Return messages as bytes of JSON; what JSON lacks, as its repr."""
    return json.dumps(_jsonable(value)).encode()


def _jsonable(value: Any) -> Any:
    if isinstance(value, (dict, BareMapping)):
        return {repr(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, BareSequence)):
        return [_jsonable(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)


def kept(before: Any, after: Any, swapped: list[str] | None = None) -> bool:
    """Tell whether all of `before` is still in `after`, in order, with nothing but parts added.

    Args:
        before, after: what was given and what goes out.
        swapped: with a list, `LARGE` may have made room for another picture in its very part;
            these are put there.
    """
    if before is after or shape(before) == shape(after):
        return True
    if swapped is not None and isinstance(before, str) and isinstance(after, str):
        return _stands_for(before, after, swapped)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        keys, others = [repr(key) for key in before], [repr(key) for key in after]
        if swapped is not None:
            others = [key for key in others if key in keys]
        return keys == others and all(kept(before[key], after[key], swapped) for key in before)
    if isinstance(after, list):
        wanted = (
            list(before)
            if isinstance(before, Sequence) and not isinstance(before, str)
            else [before]
        )
        rest = iter(after)
        return all(any(_same_part(part, other, swapped) for other in rest) for part in wanted)
    return False


def _stands_for(before: str, after: str, swapped: list[str]) -> bool:
    if before.startswith("image/") and after.startswith("image/"):
        return True  # Its type.
    if _LARGE_DATA not in before or _LARGE_DATA in after or len(after) < 100:
        return False
    swapped.append(after)
    return True


def _same_part(before: Any, after: Any, swapped: list[str] | None) -> bool:
    if isinstance(before, str) and isinstance(after, dict) and after.get("text") == before:
        return True
    count = len(swapped or ())
    same = kept(before, after, swapped)
    if swapped is not None and not same:
        del swapped[count:]
    return same


def pictures(value: Any) -> int:
    """Count the pictures in a body."""
    if isinstance(value, str):
        return value.startswith(("data:image/", "iVBOR", "/9j/")) and len(value) > 100
    if isinstance(value, Mapping):
        return sum(pictures(value[key]) for key in value)
    if isinstance(value, Sequence):
        return sum(pictures(value[place]) for place in range(len(value)))
    return 0
