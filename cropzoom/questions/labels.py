"""Names of headings, labels, tags and fields, folded, of a dozen languages."""

from __future__ import annotations

from cropzoom.questions.words import read_sets

_SETS = read_sets("labels.txt")

LABELS_QUESTION = _SETS["LABELS_QUESTION"]
LABELS_ANSWER = _SETS["LABELS_ANSWER"]
LABELS_EXAMPLE = _SETS["LABELS_EXAMPLE"]
LABELS_RULES = _SETS["LABELS_RULES"]
LABELS_OPTIONS = _SETS["LABELS_OPTIONS"]
LABELS_FIELDS = _SETS["LABELS_FIELDS"]

FIELD_COLUMNS = _SETS["FIELD_COLUMNS"]
TAGS_QUESTION = _SETS["TAGS_QUESTION"]
TAGS_DROP = _SETS["TAGS_DROP"]

HOLLOW_FIELDS = _SETS["HOLLOW_FIELDS"]
"""Names of a schema's fields that say nothing of what to look for."""

ABBREVIATIONS = _SETS["ABBREVIATIONS"]
