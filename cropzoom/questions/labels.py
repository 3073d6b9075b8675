"""Names of headings, labels, tags and fields, folded, of a dozen languages."""

from __future__ import annotations

from cropzoom.questions.words import word_set

LABELS_QUESTION = word_set("""
    question query q task request problem ask instruction user human prompt
    frage aufgabe question tâche pregunta tarea domanda compito vraag taak opdracht pergunta tarefa
    pytanie zadanie вопрос задача задание ερώτηση εργασία fråga spørgsmål otázka
    質問 問題 问题 질문 سؤال प्रश्न soru kysymys întrebare kérdés
""")
LABELS_ANSWER = word_set("""
    answer a response assistant ai bot reply solution antwort réponse respuesta risposta antwoord
    resposta odpowiedź ответ απάντηση svar 回答 答え 答案 답변
""")
LABELS_EXAMPLE = word_set("""
    example examples sample samples demonstration shot beispiel beispiele exemple exemples ejemplo
    ejemplos esempio esempi voorbeeld voorbeelden exemplo exemplos przykład przykłady пример примеры
    παράδειγμα παραδείγματα instance
""")
LABELS_RULES = word_set("""
    rule rules guideline guidelines requirement requirements constraint constraints note notes
    important format output style remember hint hints role context background system schema json
    tone tips tip warning persona objective scoring expected ocr transcript passage
    regel regeln hinweis hinweise wichtig ausgabe rolle kontext ausgabeformat antwortformat
    règle règles remarque consignes contrainte contraintes contexte rôle sortie
    regla reglas nota notas importante formato contexto rol salida
    regola regole nota note importante formato contesto ruolo
    regels opmerking belangrijk formaat uitvoer
    regra regras observação observações importante saída papel
    zasady zasada uwaga ważne rola kontekst
    правила правило примечание важно формат роль контекст
    κανόνες κανόνας σημείωση σημαντικό μορφή ρόλος
""")
LABELS_OPTIONS = word_set("""
    options option choices choice alternatives candidates optionen möglichkeiten
    antwortmöglichkeiten choix opciones opzioni scelte opties keuzes opções opcje варианты επιλογές
""")
LABELS_FIELDS = word_set("""
    fields field keys key properties attributes items values entries columns following
    felder feld werte folgende folgenden angaben champs champ valeurs suivants suivantes campos
    valores siguientes campi valori seguenti velden waarden volgende campos seguintes pola wartości
    następujące поля поле значения следующие πεδία τιμές ακόλουθα questions fragen preguntas domande
    vragen perguntas pytania вопросы ερωτήσεις information informationen informations
""")

FIELD_COLUMNS = word_set("""
    field fields name key attribute column property item feld champ campo veld pole поле πεδίο
""")
TAGS_QUESTION = word_set("""
    question query user_question user_query q ask user_request request problem user_input
    input_question s_question frage pregunta domanda vraag pergunta pytanie
""")
TAGS_DROP = word_set("""
    example examples rules rule format output_format output response answer context role persona
    guidelines constraints thinking scratchpad options choices history style tone note notes
    answer_format sample samples demonstration few_shot response_format formatting requirements
    background metadata think document documents ocr ocr_text transcript passage page_text
""")

HOLLOW_FIELDS = word_set("""
    answer answers response result results output value values reasoning reason explanation thought
    thoughts thinking rationale confidence score analysis steps step chain_of_thought final_answer
    data item items text content type status success error notes note comment comments source
    evidence justification quote x y bbox box coordinates id found
""")
"""Names of a schema's fields that say nothing of what to look for."""

ABBREVIATIONS = word_set("""
    e g i.e eg ie no nr mr mrs ms dr st vs inc ltd co corp art ref tel approx max min ca bzw z b
    num fig vol sr jr p pp etc incl excl qty acc acct inv dept est sra srl sig dott av str ul tzw np
""")
