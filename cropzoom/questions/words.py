"""The words by which a prompt's parts are told apart, of a dozen languages, folded.

Each set mixes the languages: a sentence's words are looked up, its language is never guessed.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TypeAlias

Words: TypeAlias = list[tuple[str, int, int]]
_WORD = re.compile(r"[^\W_]+")
_MOST_WORDS = 64
_MOST_LETTERS = 40


def fold(text: str) -> str:
    """Lower case without diacritics: 'Zürich' -> 'zurich'."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def words_of(text: str) -> Words:
    """The first words of a text, folded, with where they start and stop; "what's" is two."""
    words: Words = []
    for match in _WORD.finditer(text):
        words.append((fold(match[0][:_MOST_LETTERS]), match.start(), match.end()))
        if len(words) == _MOST_WORDS:
            break
    return words


def word_set(text: str) -> frozenset[str]:
    return frozenset(fold(text).split())


ASKING = word_set("""
    what which who whom whose when where why how
    was welche welcher welches welchen welchem wer wen wem wessen wann wo wohin woher wie wieviel
    warum wieso worauf wofür
    quel quelle quels quelles qui quoi quand comment combien pourquoi
    cuál cuáles quién quiénes cuándo dónde cuánto cuánta cuántos cuántas
    qual quale quali chi quando dove quanto quanta quanti quante cosa
    wat welke welk wanneer waar hoe hoeveel waarom
    quais quem onde quantos quantas
    jaki jaka jakie jakim jakiej jakiego kto kiedy gdzie ile który która które której którego czyj
    что какой какая какое какие какого какую каков какова каково кто когда где куда откуда
    сколько почему чей чья як який яка яке скільки коли
    τι ποιος ποια ποιο ποιοι ποιες ποιον πότε πού πώς πόσο πόσα πόσος πόση πόσες γιατί
    vad vilken vilket vilka vem när hur hvad hvilken hvilket hvilke hvem hvornår hvor hva når
    jaký jaká jaké kdo kdy kde kolik která nedir hangi kim nerede kaç mikä milloin missä paljonko
    care cine unde mennyi mikor
""")
"""Words that begin a question, or a clause that asks."""

ASKING_FIRST = ASKING | word_set("que che como come co jak как ne mi ce est qu ci")
"""Those, and some that begin a question only as its first word."""

PREPOSITIONS = word_set("""
    in at on for to by from with of under until since about after before per
    bis um zu an auf bei mit von für ab unter über aus nach
    à a de dans pour sur par avec depuis jusqu en au
    por para con desde hasta hacia
    di da per su con fra tra
    voor met op van bij naar om
    em com até no na do
    w na do z od dla o
    в на до с от для по к из о за
    σε για από με στο στη στην ως
    på för med från til till fra ved
""")

POLITE = word_set("""
    hi hello hey dear please pls plz thanks thank thx kindly sorry sir madam team everyone all good
    morning afternoon evening day greetings cheers regards best advance much appreciated lot very
    many hope well doing welcome there again ok okay sure great nice cool yes no alright
    wonderful perfect excellent hallo guten tag morgen abend bitte danke vielen dank schöne grüße
    freundliche servus moin liebe im voraus freundlichen grüßen mit
    bonjour bonsoir salut merci beaucoup svp avance cordialement madame monsieur vous plaît plait
    hola buenos buenas días tardes noches gracias muchas favor saludos antemano
    ciao buongiorno buonasera salve grazie mille favore cortesia saluti anticipo
    hoi goedemorgen goedemiddag goedendag dag dank bedankt alsjeblieft alstublieft graag groeten
    alvast je wel
    olá oi bom dia boa tarde noite obrigado obrigada agradeço desde já
    cześć dzień dobry witam proszę dziękuję dzięki z góry pozdrawiam
    привет здравствуйте добрый день пожалуйста спасибо заранее благодарю большое
    γεια σας καλημέρα καλησπέρα παρακαλώ ευχαριστώ πολύ
    hej tack snälla vänligen tak venligst takk ahoj děkuji prosím merhaba lütfen teşekkürler
    super gut toll
""")

FUNCTION = word_set("""
    a an the this that these those it its is are was were be been being am do does did done have
    has had can could will would shall should may might must i me my mine we us our you your yours
    he she they them their his her of in on at by for from to with without into onto about as
    and every
    or but so if then than now here there not s t re ve ll d m also just only one two both each
    any some such what which who where how when
    der die das den dem des ein eine einen einem einer ist sind war hat haben kann können könnten
    könntest kannst du sie ihr ihnen mir mich dir ich wir uns mein meine dein deine ihre sein zu zum
    zur am im ins auf an aus von vom bei mit für über und oder aber so dann nun jetzt hier da dort
    nicht nur es was wer wie wo dieses diesem dieser diesen diese siehst
    vor
    le la les l un une des du de d ce cet cette ces c est sont était a ont peut peux pouvez
    pourriez pourrais tu vous je me moi nous mon ma mes ton votre vos son sa ses il elle on dans sur
    par pour avec et ou mais alors donc maintenant ici y en qu que qui quoi se trouve
    el los las una unos unas del al es son está era ha puede puedes podría podrías usted yo mi nos
    su sus tu te lo en con por para y e o pero entonces ahora aquí hay qué este esta estos estas
    esto se
    il lo gli i uno una di del della dello dei delle al allo alla nel nella nello sul sulla sono
    nell dell all sull dall sulle nelle
    è ha hanno può puoi potresti potrebbe io mi mio tuo suo noi ci si che cosa ed ma allora ora qui
    c questo questa questi queste
    de het een dit dat deze die zijn was heeft kan kun kunt zou je jij u ik mij me mijn ons wij er
    en of maar dan nu hier niet wat wie in op
    o os as um uma uns umas do da dos das no na nos nas ao pelo pela é são está foi tem pode você
    eu meu minha seu sua nós e ou mas então agora aqui neste nesta deste desta isto isso este esta
    to ten ta te jest są był ma czy może możesz mi mnie mój moja ja ty pan pani w we na z ze do od
    dla i oraz lub ale więc teraz tutaj tym tej tego co się
    это этот эта эти этом этой этого есть был ли мне меня мой я мы вы ты нам в во на с со из у от
    для к по о об и или а но то тогда теперь здесь что
    ο η το οι τα του της των τον την ένα μια αυτό αυτή αυτός αυτήν είναι έχει μπορείς μπορείτε μου
    μας σας εγώ σε στο στη στην από με για και ή αλλά τώρα εδώ θα να τι
    det den en ett är på i og och er et som jag du kan mig
""")

PICTURE = word_set("""
    image images picture pictures photo photos photograph photographs pic pics document documents
    page pages screenshot screenshots scan scans file files attachment attachments attached pdf
    figure visual screen slide scene shot img doc docs
    text texts content contents information info data details detail everything anything something
    thing things whole entire full complete all visible
    bild bilder foto fotos dokument dokumente seite seiten anhang datei text inhalt inhalte
    informationen daten alles gesamte gesamten ganze ganzen abbildung angehängte angehängten
    beigefügte beigefügten alle
    image images photo document documents page pièce jointe fichier texte contenu informations
    données tout toute toutes tous joint jointe ci-joint capture écran
    imagen imágenes foto documento documentos página archivo adjunto adjunta texto contenido
    información datos todo toda todos todas captura pantalla
    immagine immagini foto documento pagina allegato allegata file testo contenuto informazioni
    dati tutto tutta tutti tutte
    afbeelding afbeeldingen plaatje foto document pagina bijlage bestand tekst inhoud informatie
    gegevens alle bijgevoegde
    imagem imagens documento página anexo anexa arquivo texto conteúdo informações dados tudo todos
    obraz obrazek obrazku obrazie obrazu zdjęcie zdjęciu zdjęcia dokument dokumencie dokumentu
    strona stronie plik tekst treść dane wszystko cały załącznik załączonym
    изображение изображении изображения картинка картинке картинку картинки фото фотография
    фотографии документ документе документа страница странице файл текст содержание данные всё
    все весь снимок снимке
    εικόνα εικόνας εικόνες φωτογραφία φωτογραφίας έγγραφο εγγράφου σελίδα σελίδας αρχείο κείμενο
    περιεχόμενο πληροφορίες δεδομένα όλα όλο συνημμένο
    bilden bilderna billedet bildet dokumentet sidan texten obrázek obrázku
""")
"""The picture or all that is in it: what such a word names is not a place to look at."""

PAPERS = word_set("""
    invoice invoices receipt receipts bill bills form letter statement report contract chart
    diagram graph certificate
    rechnung rechnungen quittung beleg belege kassenbon formular brief vertrag
    facture factures reçu formulaire lettre contrat
    factura facturas recibo recibos formulario carta contrato
    fattura fatture scontrino ricevuta modulo lettera contratto
    factuur facturen bon kassabon formulier brief
    fatura faturas recibo nota formulário carta
    faktura faktury fakturze paragon paragonie paragonu rachunek
    счет счёт чек чеке счета счете квитанция квитанции накладная
    τιμολόγιο τιμολογίου απόδειξη απόδειξης
""")

THINGS = word_set("""
    label labels ticket tickets card cards order slip passport menu plate meter sign signs poster
    package packaging display dashboard table box nameplate boarding pass timetable app website
    schein etikett fahrkarte schild karte anzeige étiquette billet carte panneau etiqueta billete
    tarjeta cartel biglietto etichetta cartello kaartje bord bilhete placa etykieta bilet билет
    этикетка табличка εισιτήριο ετικέτα πινακίδα
""")
"""What a picture may be of, or show among other things."""

TELLING = word_set("""
    tell show give say let know answer answering answers look looking see seeing view read reading
    check using use based basing according given considering regarding referring refer
    want wants need needs like wonder wondering help helping asking ask asks asked question
    questions query following follows below above user task next quick quickly
    shortly simple briefly exactly carefully provided attached enclosed uploaded sent shared find
    out identify determine get me figure think step first inspect examine analyze analyse study
    consider shown depicted displayed seen given please mind curious someone colleague boss wants
    able possible understand job goal idea clue chance
    concerning relating again respond reply accurate accurately
    correct correctly precise precisely precisely work
    sag sagen sage sagst zeig zeigen gib geben frage fragen beantworte beantworten antworte schau
    schauen sieh sehen lies lesen anhand basierend laut gemäß folgende folgenden unten oben
    möchte wissen brauche bräuchte will gern gerne mal kurz bitte helfen finde finden nenne suche
    aufgabe nutzer benutzer
    dis dites dire montre donne donnez donner réponds répondez répondre question questions suivante
    suivantes regarde regardez regarder lis lisez selon après partir voudrais veux aimerais savoir
    besoin indiquez indique aider trouve trouver utilisateur tâche
    di dime diga dígame decir decirme muestra da dame responde responda responder contesta pregunta
    preguntas siguiente siguientes mira mire mirar lee según basándote quiero quisiera necesito
    saber gustaría indica indícame ayudar encuentra tarea usuario basándose partir
    dimmi dica dirmi mostra dammi rispondi rispondere risponda domanda domande seguente seguenti
    guarda guardi leggi secondo base basandoti voglio vorrei bisogno sapere puoi trova compito
    utente aiutarmi indicami
    zeg vertel vertellen toon geef beantwoord antwoord vraag vragen volgende kijk bekijk lees
    volgens gebaseerd basis wil graag weten nodig zoek vind taak gebruiker helpen
    diga dizer diz mostre dê responda responder pergunta perguntas seguinte seguintes olhe veja
    leia segundo acordo base baseado quero gostaria preciso saber encontre tarefa usuário ajudar
    informe
    powiedz powiedzieć pokaż podaj odpowiedz odpowiedzieć pytanie pytania następujące poniższe
    spójrz zobacz przeczytaj według podstawie chcę chciałbym chciałabym potrzebuję wiedzieć
    znajdź zadanie użytkownik pomóc
    скажи скажите сказать покажи покажите дай дайте ответь ответьте ответить вопрос вопросы
    следующий посмотри посмотрите взгляни прочитай прочитайте согласно основе хочу нужно надо
    знать узнать найди найдите задача пользователь помочь подскажите подскажи
    πες πείτε δείξε δείξτε δώσε δώστε απάντησε απαντήστε ερώτηση ερωτήσεις ακόλουθη παρακάτω
    κοίτα κοιτάξτε δες δείτε διάβασε διαβάστε σύμφωνα βάση θέλω χρειάζομαι ξέρω μάθω βρες βρείτε
    svara frågan följande titta se resme resim soru soruyu yanıtlayın cevapla bak bakın söyle göre
    подивіться відповідь запитання
""")
"""What stands around a question: asking to be told, where to look, that a question follows."""

LEADS = POLITE | FUNCTION | PICTURE | PAPERS | THINGS | TELLING

FINDING = word_set("""
    find extract get identify locate determine retrieve fetch read report list state name provide
    give tell return show output enter fill copy pull capture need want know look search pick
    collect obtain grab process handle complete output mention specify detect recognize recognise
    note extracting
    finde finden suche extrahiere extrahieren entnimm nenne nennen gib lies ermittle ermitteln
    bestimme angeben zeige brauche liste auslesen
    trouve trouvez extrais extraire extrayez donne donnez indique indiquez cherche relève relevez
    récupère liste lis
    encuentra encuentre extrae extraiga extraer busca dame indica obtén lista identifica proporciona
    trova estrai estrarre estragga cerca dammi indica individua elenca fornisci
    vind zoek haal extraheer geef noem bepaal toon lijst
    encontre extraia extrair ache localize informe identifique liste forneça dê
    znajdź podaj wyodrębnij wypisz odczytaj wyciągnij określ
    найди найдите извлеки извлеките укажи укажите назови назовите определи определите выпиши
    прочитай перечисли
    βρες βρείτε εξήγαγε εξαγάγετε δώσε δώστε γράψε εντόπισε
    hitta hämta find hent
""")
"""Verbs of which the object is to be found in the picture."""

ANSWERS = word_set("""
    answer answers response responses reply output outputs result results json csv yaml xml html
    markdown object string null none final format formats explanation explanations reasoning
    reason steps word words sentence sentences phrase brackets quotes units bare raw short brief
    concise exact single plain list bullet bullets schema key keys structure structured boolean
    letter option choice
    antwort ergebnis ausgabe wort satz erklärung format kurze réponse résultat mot phrase
    explication format respuesta resultado palabra frase explicación formato risposta risultato
    parola spiegazione antwoord resultaat woord uitleg resposta palavra explicação odpowiedź wynik
    słowo wyjaśnienie ответ результат слово объяснение формат απάντηση λέξη εξήγηση μορφή
""")
"""What the answer is made of; its form is asked for, not a place in the picture."""

RULES = ANSWERS | word_set("""
    don never only nothing else always ensure must should guess invent hallucinate avoid
    without explain concisely briefly verbatim step steps precise careful accurate accurately
    respond reply write written spelling currency decimal digits iso unknown missing illegible
    unreadable readable unclear unsure uncertain n/a exactly
    nicht kein keine keinen nur niemals immer ohne antworte antworten genau kurz knapp schritt
    erfinde rate wenn falls
    pas sans jamais uniquement seulement toujours réponds répondez brièvement étape inventez
    sin nunca solo sólo únicamente siempre responde responda brevemente paso inventes
    non senza mai solo soltanto sempre rispondi risponda brevemente passo inventare
    niet geen alleen zonder nooit altijd antwoord beknopt stap verzin
    não sem nunca apenas somente sempre responda brevemente passo invente
    nie bez nigdy tylko wyłącznie zawsze odpowiedz krótko krok zgaduj
    не без никогда только всегда ответь отвечай отвечайте ответьте кратко шаг придумывай
    μην χωρίς ποτέ μόνο πάντα απάντησε απαντήστε σύντομα βήμα
    inte utan bara endast svara kort
""")
"""A sentence with such a word says how to answer."""

ROLES = word_set("""
    you your act as imagine pretend role du sie deine ihre vous tu votre ton agis usted eres actúa
    tú sei lei agisci jij u bent gedraag você atue aja jesteś działaj ты вы твоя ваша действуй
    είσαι είστε
""")

WHOLE = word_set("""
    describe description caption captions transcribe transcription ocr summarize summarise summary
    translate translation convert explain explanation compare comparison paraphrase narrate
    digitize digitise recreate reproduce analyze analyse analysis interpret critique alt tag
    depict discuss review illustrate vectorize render turn tldr eli5 proofread
    vat samen parse classify categorize categorise markdown
    overview gist classification
    beschreibe beschreiben beschreibung bildunterschrift transkribiere transkribieren abschreiben
    fasse zusammen zusammenfassung zusammenfassen übersetze übersetzen übersetzung vergleiche
    vergleichen erkläre erklären konvertiere wandle umwandeln
    décris décrire décrivez description légende transcris transcrire transcrivez résume résumer
    résumez résumé traduis traduire traduisez compare comparer comparez convertis convertir
    convertissez explique expliquez
    describe describa describir descripción transcribe transcriba transcribir resume resuma resumir
    resumen traduce traduzca traducir compara compare convierte convierta explica
    descrivi descrivere descriva descrizione didascalia trascrivi trascrivere trascriva riassumi
    riassumere riassunto traduci tradurre traduca confronta converti spiega
    beschrijf beschrijven beschrijving bijschrift transcribeer overschrijven samenvatten
    samenvatting     vertaal vertalen vergelijk converteer omzetten leg uit
    descreva descrever descrição legenda transcreva transcrever resuma resumir resumo traduza
    traduzir compare converta explique
    opisz opisać opis podpis przepisz przepisać streść streszczenie podsumuj przetłumacz porównaj
    przekonwertuj wyjaśnij
    опиши опишите описать описание подпись перепиши перепишите распознай распознайте расшифруй
    расшифруйте перескажи кратко резюмируй резюме переведи переведите перевод сравни сравните
    преобразуй преобразуйте конвертируй объясни
    περιέγραψε περιγράψτε περιγραφή λεζάντα μετάγραψε μεταγράψτε συνόψισε συνοψίστε περίληψη
    μετάφρασε μεταφράστε σύγκρινε συγκρίνετε μετάτρεψε μετατρέψτε εξήγησε
    beskriv sammanfatta översätt popiš shrň přelož
""")
"""Verbs and nouns of tasks for which the whole picture is needed."""

SHOWING = word_set("""
    difference differences similarities unterschied unterschiede différences diferencias differenze
    happening happens going say says written mean means kind type sort look looks like about contain
    contains includes represent represents depict depicts show shows shown show see seen interesting
    unusual notable wrong funny special happened displayed depicted visible
    zu sehen gezeigt steht zeigt geschrieben art passiert abgebildet siehst enthält
    voit voir vois voyez montre écrit genre représente passe contient
    ve ves ver muestra dice escrito tipo representa pasa contiene aparece
    vede vedi mostra dice scritto tipo rappresenta succede contiene
    zie ziet zien staat toont geschreven soort gebeurt bevat
    vê mostra diz escrito tipo representa acontece contém aparece
    widać widzisz przedstawia napisane rodzaj dzieje zawiera
    видишь видите видно изображено написано показано происходит тип вид
    βλέπεις βλέπετε δείχνει γράφει είδος συμβαίνει
""")
"""What a picture as a whole does: 'What does it show?'"""

PRONOUNS = word_set(
    "this that it these das dies ceci cela ca ça esto eso questo dit dat isto isso to это τουτο "
    "αυτο qu"
)

WHAT = word_set(
    "what which was welche welcher welches quoi quel quelle quels quelles que qué cuál che cosa "
    "quale wat welke welk qual o co jaki jaka jakie что какой какая какое какие τι ποιο vad vilken "
    "hvad hva"
)

WHOLE_FILLERS = SHOWING | word_set("""
    detailed detail short brief concise long accessible one sentence sentences word words paragraph
    simple literal exact careful faithful different key main point points feature features layout
    below above kurz genau ausführlich détail detalle dettaglio detail detalhe szczegółowo подробно
    λεπτομερώς
""")

LANGUAGES = word_set("""
    english german french spanish italian dutch portuguese polish russian greek chinese japanese
    englisch englische deutsch deutsche anglais français inglés español inglese italiano engels
    nederlands inglês português angielski polski английский русский αγγλικά ελληνικά
    html latex svg code equations tables
""")
"""What is translated or converted to."""


"""Verbs of how to answer."""

ARTICLES = word_set(
    "the a an my our its their his her der die das den dem ein eine le la les l un une des du d el "
    "los las il lo gli i de het een o os as um uma ο η το τα οι τον την also auch"
)

REPLYING = word_set(
    "return reply respond answer output give write format put present convert provide print send "
    "create make produce generate perform run "
    "antworte gib gebe schreibe réponds renvoie retourne donne responde devuelve escribe rispondi "
    "restituisci geef antwoord responda retorne odpowiedz zwróć ответь верни απάντησε"
)
"""Verbs of how to answer."""

AND = word_set("and or und oder et ou y e o u ed en i oraz lub и или και ή och og plus sowie")
"""Words between the last two of several fields; and those that begin a follow-up."""

COPULAS = word_set("is are was were ist sind war lautet est sont es son è é são jest είναι är er")
