"""Make golden_metrics.json: tricky strings, scored by the harnesses' own functions.

    pip download --no-deps lmms-eval==0.7.3 ms-vlmeval==0.0.20   # unpack both wheels
    python tests/evaluate/make_golden_metrics.py LMMS_EVAL_FOLDER VLMEVAL_FOLDER

ms-vlmeval is VLMEvalKit (open-compass) as ModelScope publishes it; VLMEvalKit itself is not on
PyPI. Their functions are taken out of their files and run, without their packages' many imports.
Not a test: it runs by hand where the wheels are.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
import os
import re
import statistics
import string
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

STRINGS = [
    "the Red Car.",
    "A an THE",
    "none",
    "Zero",
    "ten",
    "eleven",
    "two dogs",
    "3.",
    "3.14",
    ".5",
    "1,000",
    "1,000,000",
    "1, 2, 3",
    "10,5 m",
    "it's",
    "its",
    "dont",
    "don't",
    "Dont know",
    "what's up?",
    "whats up",
    "somebody'd",
    "somebodyd've",
    "yall'd've",
    "y'allll",
    "shed",
    "shed've",
    "ow's'at",
    "hello-world",
    "hello - world",
    "a/b",
    "a /b",
    "e-mail@site.com",
    "C++",
    "50%",
    "$5.00",
    "$ 5.00",
    "U.S.A.",
    "u.s.a",
    "end. of. sentence.",
    "Yes!",
    "(yes)",
    "[1]",
    '"quoted"',
    "tab\there",
    "line\nbreak",
    "  spaces  inside  ",
    "",
    " ",
    ".",
    "a",
    "café",
    "ß",
    "İstanbul",
    "½",
    "٣",
    "1٬000",
    "one.two",
    "7.",
    "v1.2.3.",
    "no. 5",
    "#hash",
    "under_score",
    "semi;colon",
    "q?a",
    "?",
    ",",
    "5,",
    ",5",
    "5,6",
    "5 ,6",
    "1,2 and 3/4",
    "." * 40,
    "a." * 40,
    "oclock",
    "o'clock 5",
    "im",
    "Im",
    "Ive",
    "Id've",
    "he'dve",
    "twas",
    "John's",
    "johns'",
    "'s",
    "THE END",
    "theend",
    "-5",
    "- 5",
    "5-6",
    "<tag>",
    "`code`",
    "back\\slash",
    "equal=sign",
    "plus+",
    "exclaim!!",
    "über-cool",
    "日本語",
    "\uff11\uff10\uff10",
    "ﬁne",
]
VQA = [
    ("red", ["red"] * 10),
    ("red", ["red", "red", "blue"] + ["green"] * 7),
    ("Red.", ["red"] * 3 + ["blue"] * 7),
    ("the red", ["Red"] * 2 + ["blue"] * 8),
    ("2", ["two"] * 4 + ["3"] * 6),
    ("red", ["red"]),
    ("red", ["blue"]),
    ("red", ["red", "red"]),
    ("", ["", "a", "the", "x"]),
    ("1,000", ["1000"] * 5 + ["1 000"] * 5),
    ("U.S.A.", ["usa"] * 9 + ["u.s.a"]),
    ("dont", ["don't"] * 4 + ["do not"] * 6),
    ("3.", ["3"] * 10),
    ("3.5", ["35"] * 5 + ["3.5"] * 5),
    ("It's", ["it 's"] * 3 + ["its"] * 7),
    ("answer\n", ["answer"] * 10),
    ("Yes, it is", ["yes it is"] * 10),
    ("unanswerable", ["unanswerable"] * 4 + ["answering does not require"] * 6),
]
ANLS = [
    ("abc", ["abc"]),
    ("abc", ["abd"]),
    ("abc", ["xyz"]),
    ("abcd", ["abxy"]),
    ("abcde", ["abxyz"]),
    ("Total: 5", ["total: 5", "5"]),
    ("  spaced   out  ", ["spaced out"]),
    ("5", ["5.0", "5"]),
    ("straße", ["strasse"]),
    ("ß", ["ss"]),
    ("ﬁ", ["fi"]),
    ("", ["a"]),
    ("", [""]),
    (" ", [""]),
    ("a", [" a "]),
    ("a b", ["a  b"]),
    ("A\nB", ["a b"]),
    ("12 March 2024", ["March 12, 2024"]),
    ("the answer is 42", ["42"]),
    ("42 ", ["42", "forty two"]),
    ("ab", ["a"]),
    ("ab", ["ac", "ad"]),
    ("İ", ["i"]),
    ("x" * 30, ["x" * 29 + "y"]),
    ("abc", ["ABC "]),
    (" ab cd ", ["ab cd  ef"]),
]
REPLIES = [
    "A",
    "(B)",
    "C.",
    "D)",
    "a",
    " b ",
    "Answer: C",
    "The answer is D",
    "the correct option is B.",
    "Blue",
    "Dog",
    "It is red",
    "I think it is (C), not (A)",
    "B or C",
    "None",
    "",
    "Z",
    "E",
    "A red car",
    "The car is A",
    "Option B",
    "choice: d",
    "ANSWER IS A",
    "red",
    "The cup is red.",
    "red or blue",
    "Red!",
    "The glove is made of leather",
    "A, because the car is red",
    "B is wrong, the answer is clearly a different one of the four",
    "**B**",
    "[C]",
    "{D}",
    "B:",
    "Sorry, I can't help with images of people yet.",
    "Cannot determine the answer from this",
    "Failed to obtain answer via API. ",
    "Failed to obtain answer via API. A red",
    "A\n",
    "AB",
    "Answer:D",
    "answer A",
    "It's C",
    "The options are A B C D",
    "Not A but B",
    "1",
    "leather B",
    "A long reply that says nothing of the colour but goes on and on about the scene at length",
    "A long reply that ends with the letter which is the option B",
    "green-ish",
    "GREEN",
    "(a)",
    "B B B",
    "My answer\tC",
    "é B",
    "(E)",
    "It is a B-52",
    "choose C)",
    "D]",
    "x A. y",
    "x B one two three",
    "A B Z",
]
OPTIONS = [
    {"A": "red", "B": "blue", "C": "green", "D": "leather"},
    {"A": "1", "B": "11", "C": "the cup", "D": "The red cup is left"},
    {"A": "red", "B": "blue"},
]
TEXTS = [
    "What is the material of the glove?\n(A) rubber\n(B) cotton\n(C) kevlar\n(D) leather\n"
    "Answer with the option's letter from the given choices directly.",
    "Is the red car on the left or right side?\n(A) right\n(B) left\n"
    "Answer with the option's letter from the given choices directly.",
    "Which? (A) one (B) two (C) three (D) four",
    "No options here",
    "Odd (A) a (b) inside (B) c",
    "(A) first (C) skipped",
    "What is (A)?",
    "Two (A) x\n(A) y\n(B) z",
]
CYCLES = [
    ([1, 0, 1, 1], ["0", "0", "1", "1"]),
    ([1, 0, 0, 1, 1], ["a", "b", "b", "b", "a"]),
    ([0.0], ["0"]),
    ([1, 1, 0, 0, 0, 0, 0, 1], ["0", "1", "2", "3", "0", "1", "2", "3"]),
]


def digest(table: Mapping[str, str]) -> str:
    """Return the SHA-256 of a table, whatever its order."""
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def taken_from(file: Path, *names: str, **known: Any) -> dict[str, Any]:
    """Run the named functions and classes of a file, and its plain constants, and nothing else."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kept = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in names:
            node.decorator_list = []
            kept.append(node)
    missing = set(names) - {node.name for node in kept}
    assert not missing, f"{file} has no {missing}"
    space: dict[str, Any] = {
        "re": re,
        "os": os,
        "cp": copy,
        "np": np,
        "pd": pd,
        "string": string,
        "statistics": statistics,
        "defaultdict": defaultdict,
        "Optional": None,
        **known,
    }
    exec(compile(ast.Module(kept, []), str(file), "exec"), space)
    return space


def method_of(file: Path, owner: str, name: str) -> Any:
    """Return a method of a class as a plain function."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner)
    kept = [node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == name]
    space: dict[str, Any] = {"string": string, "pd": pd}
    exec(compile(ast.Module(kept, []), str(file), "exec"), space)
    return space[name]


def main() -> None:
    """Run all and write the table beside this file."""
    lmms, vlm = Path(sys.argv[1]), Path(sys.argv[2])
    tasks = lmms / "lmms_eval" / "tasks"
    vqa = taken_from(tasks / "_task_utils" / "vqa_eval_metric.py", "EvalAIAnswerProcessor")
    processor = vqa["EvalAIAnswerProcessor"]()
    textvqa = taken_from(tasks / "textvqa" / "utils.py", "textvqa_process_results", **vqa)
    anls = taken_from(lmms / "lmms_eval" / "api" / "metrics.py", "anls", "levenshtein_distance")
    vstar = taken_from(
        tasks / "vstar_bench" / "utils.py", "extract_answer_letter", "vstar_doc_to_text"
    )
    hrbench = taken_from(
        tasks / "hrbench" / "hrbench_evals.py", "HRBenchEval", requests=None, time=None
    )
    infer = hrbench["HRBenchEval"]("none").can_infer
    hr_utils = taken_from(
        tasks / "hrbench" / "utils.py",
        "hrbench_aggregate_results",
        "hrbench_doc_to_options",
        "hrbench_doc_to_text",
    )
    misc = taken_from(
        vlm / "vlmeval" / "smp" / "misc.py", "process_punctuation", "istype", "listinstr"
    )
    kit = taken_from(
        vlm / "vlmeval" / "dataset" / "utils" / "vqa_eval.py",
        "process_answer",
        "_process_digit_article",
        "process_line",
        "anls_compute",
        "levenshtein_distance",
        "hit_calculate",
        "relaxed_correctness",
        **misc,
    )
    matching = taken_from(
        vlm / "vlmeval" / "utils" / "matching_util.py",
        "can_infer",
        "can_infer_option",
        "can_infer_text",
    )
    circular = taken_from(
        vlm / "vlmeval" / "dataset" / "utils" / "hrbench.py", "report_acc_hrbench", "hrbench_score"
    )

    def kit_score(reply: str, answers: list[str], method: str, name: str) -> float:
        line = {"answer": str(answers), "prediction": reply}
        return float(kit["hit_calculate"]([kit["process_line"](line, method)], name)[0])

    def letter(found: Any) -> str | None:
        return found or None

    ask = method_of(vlm / "vlmeval" / "dataset" / "image_mcq.py", "ImageMCQDataset", "build_prompt")
    dataset = SimpleNamespace(meta_only=False, dump_image=lambda line: ["image"])

    def kit_prompt(options: dict[str, str]) -> str:
        return ask(dataset, {"question": "Which one?", **options})[-1]["value"]

    spelled = {
        key: value
        for key, value in processor.CONTRACTIONS.items()
        if key == key.lower() and key != value  # others can't match or change nothing
    }
    golden = {
        "sources": ["lmms-eval 0.7.3", "ms-vlmeval 0.0.20 (VLMEvalKit)"],
        "contractions_sha256": digest(spelled),
        "normalise": [[text, processor(text), kit["process_answer"](text)] for text in STRINGS],
        "vqa": [
            [
                reply,
                answers,
                textvqa["textvqa_process_results"](
                    {"answers": list(answers), "question_id": 0}, [reply.strip()]
                )["exact_match"],
                kit_score(reply, answers, "vqa_score", "TextVQA_VAL"),
            ]
            for reply, answers in VQA
        ],
        "anls": [
            [
                reply,
                answers,
                anls["anls"](answers, [reply])["anls"],
                kit_score(reply, answers, "anls", "DocVQA_VAL"),
            ]
            for reply, answers in ANLS
        ],
        "choice": [
            [
                reply,
                options,
                letter(infer(reply, dict(options))),
                letter(matching["can_infer"](reply, dict(options))),
            ]
            for reply in REPLIES
            for options in OPTIONS
        ],
        "vstar": [[reply, vstar["extract_answer_letter"](reply)] for reply in REPLIES],
        "vstar_prompt": [
            [
                text,
                vstar["vstar_doc_to_text"](
                    {"text": text},
                    {
                        "pre_prompt": "",
                        "post_prompt": "\nAnswer with the option's letter from the given choices "
                        "directly.",
                    },
                ),
            ]
            for text in TEXTS
        ],
        "hrbench_prompt": [
            [
                options,
                hr_utils["hrbench_doc_to_text"]({"question": " Which one? ", **options}),
                kit_prompt(options),
            ]
            for options in OPTIONS
        ],
        "cycles": [
            [
                scores,
                cycles,
                hr_utils["hrbench_aggregate_results"](
                    [
                        {"gpt_score": score, "cycle_category": cycle}
                        for score, cycle in zip(scores, cycles, strict=True)
                    ],
                    None,
                ),
                circular["report_acc_hrbench"](
                    pd.DataFrame({"hit": scores, "cycle_category": cycles, "category": "single"})
                )
                .query("cycle == 'Average' and type == 'all'")["accuracy"]
                .item(),
            ]
            for scores, cycles in CYCLES
        ],
    }
    target = Path(__file__).with_name("golden_metrics.json")
    lines = [
        f"{json.dumps(key)}: [\n"
        + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        + "\n]"
        if isinstance(rows, list)
        else f"{json.dumps(key)}: {json.dumps(rows)}"
        for key, rows in golden.items()
    ]
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
