"""The benchmarks' own metrics, as the two harnesses compute them, quirks included.

The harnesses differ in detail, so every metric takes which of them to follow:

- "lmms-eval": EvolvingLMMs-Lab/lmms-eval 0.7.3, `tasks/_task_utils/vqa_eval_metric.py`,
  `api/metrics.py` (anls), `tasks/vstar_bench/utils.py`, `tasks/hrbench/`.
- "vlmevalkit": open-compass/VLMEvalKit as of ms-vlmeval 0.0.20, `dataset/utils/vqa_eval.py`,
  `smp/misc.py`, `utils/matching_util.py`, `dataset/utils/hrbench.py`.

They fall back on a language model as judge where a multiple-choice reply names no option by rule.
Here such a reply is wrong, as with VLMEvalKit's `exact_matching`.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from cropzoom.reading.answers import is_contained, is_exact

Harness = Literal["lmms-eval", "vlmevalkit"]
HARNESSES: tuple[Harness, ...] = get_args(Harness)
MetricName = Literal["exact", "contained", "vqa", "anls", "choice", "vstar"]
METRICS: tuple[MetricName, ...] = get_args(MetricName)

_NUMBERS = {
    "none": "0",
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
}
_ARTICLES = ("a", "an", "the")
# Without their apostrophe, and the longer ones without any one of theirs, these are spelled out
# again. "she'd" and the like are missing on purpose: "shed" is a word.
_CONTRACTED = """
    ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's
    how'd how'll how's isn't it'd it'll ma'am mightn't might've mustn't must've needn't not've
    o'clock oughtn't shan't should've shouldn't somebody'll somebody's someone'd someone'll
    someone's something'd something'll that's there'd there're there's they'd they'll they're
    they've 'twas wasn't we've weren't what'll what're what's what've when's where'd where's
    where've who'd who'll who's who've why'll why're why's won't would've wouldn't y'all you'd
    you'll you're you've
""".split()  # noqa: SIM905 (a list would fill a page)
_TWICE_CONTRACTED = """
    couldn't've hadn't've he'd've it'd've mightn't've 'ow's'at she'd've shouldn't've somebody'd've
    someone'd've something'd've there'd've they'd've we'd've who'd've wouldn't've y'all'll
    y'all'd've you'd've
""".split()  # noqa: SIM905 (a list would fill a page)
CONTRACTIONS: Mapping[str, str] = {
    **{word.replace("'", ""): word for word in _CONTRACTED},
    **{
        word[:at] + word[at + 1 :]: word
        for word in _TWICE_CONTRACTED
        for at, character in enumerate(word)
        if character == "'"
    },
    "somebody'd": "somebodyd",  # the wrong way round in the original
}
_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_COMMA = re.compile(r"\d,\d")
# The VQA script means "not between digits", but its pattern, which lmms-eval keeps, strips the
# full stop of "3." too. VLMEvalKit has corrected it to the one below.
_PERIOD = {"lmms-eval": re.compile(r"\.(?!\d)"), "vlmevalkit": re.compile(r"(?<!\d)\.(?!\d)")}
_PERIODS_STRIPPED = 32  # both pass re.UNICODE, which is 32, where `sub` takes a count

_VSTAR_PATTERNS = [
    re.compile(pattern)
    for pattern in (
        r"^([A-D])",  # any reply that begins with one of the letters, "Blue" as well
        r"(?:THE\s+)?(?:ANSWER|CHOICE|OPTION)(?:\s+IS)?[\s:]+([A-D])",
        r"\(([A-D])\)",
        r"([A-D])\s*[.)\]]",
        r"(?:^|\s)([A-D])(?:\s|$)",
    )
]
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_SPACED = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))


def normalise_vqa(text: str, harness: Harness = "lmms-eval") -> str:
    """Fold an answer as the VQA evaluation does: punctuation, articles, numbers, contractions."""
    if harness == "lmms-eval":
        text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    text = text.replace("\n", " ").replace("\t", " ").strip()
    number_with_comma = _COMMA.search(text) is not None
    bare = text
    for mark in _MARKS:
        goes = number_with_comma or f"{mark} " in text or f" {mark}" in text
        bare = bare.replace(mark, "" if goes else " ")
    bare = _PERIOD[harness].sub("", bare, count=_PERIODS_STRIPPED)
    words = [_NUMBERS.get(word, word) for word in bare.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(reply: str, answers: Sequence[str], harness: Harness = "lmms-eval") -> float:
    """Return the VQA accuracy of a reply, in [0, 1]: how many people said the same, three is all.

    The mean, over all ways to leave one person out, of min(1, agreeing others / 3). A single
    answer therefore earns nothing, whatever the reply: the metric is made for ten of them.
    """
    folded = normalise_vqa(reply, harness)
    agreeing = [normalise_vqa(answer, harness) == folded for answer in answers]
    return sum(min(1.0, (sum(agreeing) - own) / 3) for own in agreeing) / len(agreeing)


def anls(reply: str, answers: Sequence[str], *, threshold: float = 0.5) -> float:
    """Return the normalised Levenshtein similarity to the nearest answer, 0 below `threshold`.

    In both harnesses the lengths are those before folding, so spaces around a reply make it
    better. (VLMEvalKit's main branch has changed that since: there the folded lengths count.)
    """
    folded = " ".join(reply.lower().split())
    distances = []
    for answer in answers:
        right = " ".join(answer.lower().split())
        longest = max(len(answer.upper()), len(reply.upper()))
        distances.append(levenshtein(right, folded) / longest if longest else 0.0)
    # Folding may lengthen a character, so a distance may exceed 1.
    similarity = 1 - min(distances)
    return similarity if similarity >= threshold else 0.0


def levenshtein(first: str, second: str) -> int:
    """Return how many characters must be put in, taken out or replaced to make them equal."""
    row = list(range(len(second) + 1))
    for count, character in enumerate(first, 1):
        diagonal, row[0] = row[0], count
        for at, other in enumerate(second, 1):
            above = row[at]
            row[at] = diagonal if character == other else 1 + min(diagonal, above, row[at - 1])
            diagonal = above
    return row[-1]


def vstar_letter(reply: str) -> str | None:
    """Return the option, A to D, that lmms-eval reads from a reply to a question of V*."""
    reply = reply.strip().upper()
    for pattern in _VSTAR_PATTERNS:
        match = pattern.search(reply)
        if match:
            return match.group(1)
    letters = re.findall("[A-D]", reply)
    return letters[0] if len(letters) == 1 else None


def choice_letter(
    reply: str, options: Mapping[str, str], harness: Harness = "lmms-eval"
) -> str | None:
    """Return the option a reply names by its letter or, failing that, by its text; else None.

    "Z" stands for a refusal. A capital "A" is taken for option A, even as an article.

    Args:
        reply: what the model said.
        options: text by letter.
        harness: VLMEvalKit trusts a letter only among the last five words, and a text only in a
            reply that isn't long.
    """
    if "Failed to obtain answer via API" not in reply:
        if any(refusal in reply for refusal in _REFUSALS):
            return "Z"
        words = reply.translate(_SPACED).split()
        named = [letter for letter in options if letter in words]
        if len(named) == 1:
            if harness == "lmms-eval" or words.index(named[0]) > len(words) - 5:
                return named[0]
        elif not named and "Z" in words:
            return "Z"
    if harness == "vlmevalkit" and len(reply) > 2 * sum(map(len, options.values())):
        return None
    lower = reply.lower()
    letters = [letter for letter, text in options.items() if text.lower() in lower]
    return letters[0] if len(letters) == 1 else None


def cycle_accuracy(scores: Sequence[float], cycles: Sequence[str]) -> float:
    """Return HR-Bench's accuracy: the mean over the cycles of each cycle's mean.

    Every question is asked four times with its options rotated; all rotations with the right
    option at one place make a cycle. Both harnesses average like this.
    """
    groups: dict[str, list[float]] = {}
    for score, cycle in zip(scores, cycles, strict=True):
        groups.setdefault(cycle, []).append(score)
    return sum(sum(group) / len(group) for group in groups.values()) / len(groups)


def score(
    metric: MetricName,
    reply: str,
    answers: Sequence[str],
    options: Mapping[str, str] | None = None,
    harness: Harness = "lmms-eval",
) -> float:
    """Score a reply, in [0, 1].

    Args:
        metric: "exact" and "contained" are cropzoom's own, of `cropzoom.reading.answers`.
        reply: what the model said.
        answers: at least one; for multiple choice, the letter of the right option.
        options: text by letter, for multiple choice.
        harness: whose way to follow.
    """
    if harness == "lmms-eval":
        reply = reply.strip()  # before any metric, in `api/task.py`
    if metric == "exact":
        return float(is_exact(reply, answers))
    if metric == "contained":
        return float(is_contained(reply, answers))
    if metric == "vqa":
        return vqa_accuracy(reply, answers, harness)
    if metric == "anls":
        return anls(reply, answers)
    if metric == "vstar" and harness == "lmms-eval":
        letter = vstar_letter(reply)
    else:
        letter = choice_letter(reply, options or {}, harness)
    return float(letter is not None and letter in (answer.strip().upper() for answer in answers))


def options_in_text(question: str) -> tuple[str, dict[str, str]]:
    """Split a question of V*, "Which? (A) this (B) that", as lmms-eval does.

    Returns:
        the question, and the options' texts by letter; without options, the question as it is.
    """
    texts = re.findall(r"\([A-D]\)\s*([^()]+?)(?=\s*\([A-D]\)|$)", question)
    if not texts:
        return question, {}
    letters = string.ascii_uppercase[:4]
    options = {letter: text.strip() for letter, text in zip(letters, texts, strict=False)}
    return question.split("(A)")[0].strip(), options
