"""Turns of phrase by which a conversation goes on, folded, of a dozen languages."""

from __future__ import annotations

from cropzoom.questions.words import fold

AGAIN = (
    "continue", "go on", "keep going", "carry on", "more", "next", "proceed", "are you sure",
    "you sure", "really", "is that right", "is that correct", "is this correct", "is it correct",
    "double check", "check again", "look again", "try again", "once more", "again", "retry",
    "please check", "look closer", "look closely", "zoom in", "that is wrong", "thats wrong",
    "that s wrong", "that s not right", "that s not correct", "that is not", "wrong", "incorrect",
    "not correct", "not quite", "i don t think", "i think you", "why", "how do you know",
    "how did you", "how come", "explain", "what do you mean", "elaborate", "in english",
    "shorter", "say it", "just the", "only the number", "answer again", "please answer", "answer",
    "and", "go ahead", "finish", "you stopped", "you were cut off", "where do you see", "where did",
    "where does it say", "which part", "show me where", "can you confirm", "confirm",
    "weiter", "fahre fort", "mach weiter", "sicher", "bist du sicher", "sind sie sicher",
    "wirklich", "nochmal", "noch einmal", "warum", "das ist falsch", "falsch", "stimmt das",
    "continue", "continuez", "es tu sur", "etes vous sur", "tu es sur", "vraiment", "encore",
    "reessaie", "pourquoi", "c est faux", "vous etes sur",
    "continua", "continue", "sigue", "estas seguro", "esta seguro", "de verdad", "otra vez",
    "intentalo de nuevo", "por que", "eso no es correcto", "esta mal",
    "continua", "vai avanti", "sei sicuro", "e sicuro", "davvero", "riprova", "di nuovo", "perche",
    "ga door", "ga verder", "weet je het zeker", "weet u het zeker", "zeker", "opnieuw", "probeer",
    "waarom", "tem certeza", "voce tem certeza", "de novo", "tente novamente", "serio",
    "kontynuuj", "jestes pewien", "jestes pewny", "na pewno", "sprobuj", "jeszcze raz", "dlaczego",
    "продолжаи", "продолжи", "продолжаите", "ты уверен", "вы уверены", "уверен", "точно", "еще раз",
    "попробуи", "почему", "συνεχισε", "συνεχιστε", "εισαι σιγουρος", "ειστε σιγουρος", "σιγουρα",
    "ξανα", "γιατι", "fortsatt", "ar du saker",
)  # fmt: skip
"""How a turn begins, folded, that asks once more what was asked before."""

COMPLAINTS = (
    "validation error", "validation errors", "not valid", "invalid json", "is invalid",
    "was invalid", "were invalid", "invalid response", "invalid output", "invalid answer",
    "invalid format", "invalid value", "could not be parsed", "couldn't be parsed",
    "cannot be parsed", "can't be parsed", "failed to parse", "parsing error", "parse error",
    "jsondecodeerror", "does not match the schema", "doesn't match the schema",
    "did not match the schema", "schema validation", "fix the error", "fix the errors",
    "fix your", "correct your", "correct it", "correct the json", "correct the error",
    "try again", "answer again", "recall the function", "please retry", "missing field",
    "field required", "required field", "required property", "not follow the format",
    "didn't follow", "did not follow", "expecting value", "malformed", "the following error",
    "errors were found", "previous answer", "previous response", "previous output",
    "ungultig", "korrigiere", "korrigieren sie", "nicht gultig", "fehlerhaft", "invalide",
    "corrige", "corrigez", "no es valido", "no valido", "non valid", "correggi", "ongeldig",
    "corrigeer", "invalido", "corrija", "nieprawidłow", "popraw", "недеиствител", "некорректн",
    "неверныи формат", "исправь", "исправьте", "μη εγκυρ", "διορθωσε", "διορθωστε",
)  # fmt: skip
"""What a program says, folded, of an answer that it can't use."""

FOLLOWING = tuple(
    tuple(fold(phrase).split())
    for phrase in (
        "what about", "how about", "and what about", "and how about", "and also", "and", "also",
        "now", "ok and", "okay and", "then", "was ist mit", "und was ist mit", "und wie ist es mit",
        "und", "et pour", "et", "qu en est il de", "y que hay de", "que tal", "y", "e per", "e",
        "en", "en hoe zit het met", "hoe zit het met", "a", "i", "a co z", "и", "а", "а что насчет",
        "και", "τι γίνεται με", "och", "og", "same for", "the same for",
        "next", "likewise",
    )
)  # fmt: skip

SMALL_TALK = frozenset(
    tuple(fold(phrase).split())
    for phrase in (
        "how are you", "wie geht es", "wie geht s", "comment allez vous", "comment ça va",
        "cómo estás hoy", "cómo está usted", "como vai você", "come stai oggi", "hoe gaat het",
    )
)  # fmt: skip
"""The first three words of a question that is none."""
