"""What lines of real pages can be asked for, and what a page that lacks them can't be.

Patterns of what a line says, with the concept that `pages.phrases` has the wordings of.
"""

from __future__ import annotations

import re

Patterns = tuple[tuple[re.Pattern[str], str], ...]


def _patterns(text: str) -> Patterns:
    pairs = (line.split(maxsplit=1) for line in text.strip().splitlines())
    return tuple((re.compile(pattern, re.IGNORECASE), concept) for concept, pattern in pairs)


KINDS = {"company": "company", "address": "address", "date": "date", "total": "total"}
"""Kinds of rows that are asked for by what they are."""

AMOUNTS = _patterns(r"""
subtotal \bsub.?total|zwischensumme
cash     \b(cash|tunai|bargeld|bar)\b
change   \b(change|r.ckgeld|baki|zur.ck)\b
rounding \brounding
discount \bdisc(ount)?\b|rabatt
service  \b(service|serv\.?) ch
card     \b(kreditkarte|visa|master|ec.karte|karte)
""")
"""Names of amounts."""

LABELLED = _patterns(r"""
phone   \b(tel|phone|hp|h/p)\b.*\d{3}
fax     \bfax\b.*\d{3}
email   \S+@\S+\.\w+
web     \b(www\.|https?:)
tax_id  \bgst (reg|id|no)|\bgst.{0,12}\d{9}|\bust.?.?id|\bvat (no|reg|id)|steuer.?n
invoice \b(invoice|inv|bill|receipt|doc(ument)?|bon).?(no|nr|number|\#).{0,3}\W*\w*\d
cashier \b(cashier|kassierer|kasir)\b
iban    \biban\b
bic     \b(bic|swift)\b
""")
"""Lines that are an answer, label and all."""

ABSENT = _patterns(r"""
email     @|e-?mail
iban      iban|account|konto
bic       bic|swift
due       due|f.llig|payable by
web       www|http|\.com
phone     tel|phone|fon|hp\b|h/p
customer  customer|bill to|sold to|name|kunde
order     order|bestell
table     table|tisch
tax_id    vat|ust|mwst|gst|tax|steuer
""")
"""Concepts, with what a page would say that has them."""

OTHERS = (
    "What is the passport number?", "date of birth", "When was the person born?", "gross weight",
    "How heavy is it?", "What is the interest rate?", "annual percentage rate", "gate",
    "Who is the patient?", "Which doctor signed?", "What is the diagnosis?",
    "What is the flight number?",
    "From which platform?", "What is the temperature?", "How will the weather be tomorrow?",
    "What is the licence plate?", "How many kilometres?", "What colour is the dog?",
    "How many people are there?", "Is there a tree?", "Who is the author?", "ISBN",
    "Which chapter?",
    "security deposit", "What is the capital of France?", "Which team won?", "meter reading",
)  # fmt: skip
"""Questions that hardly any paper answers."""
