"""Other languages than English: what their pages call things, and how people ask for it there.

Latin languages lend their pages names and questions; Greek and Cyrillic ones their letters too,
of which made-up words are built.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_LATIN = ""
_CYRILLIC = "бвгджзклмнпрстфхцчшщ аеиоуыюяё й ь"
_UKRAINIAN = "бвгґджзклмнпрстфхцчшщ аеиоуіїєюя й ь"
_GREEK = "βγδζθκλμνξπρστφχψ αεηιουωαεηιουωάέήίόύώ ς "


@dataclass(frozen=True)
class Language:
    """A language's names by the kind of their values, and its questions.

    Attributes:
        letters: consonants, vowels, endings and soft signs of another script, parted by spaces;
            empty where made-up words are Latin.
        names: by kind of value.
        asking: about any key {k}.
        by_kind: about a key whose value is of a kind.
        cell: about the row {k} and the column {c}.
    """

    letters: str
    names: dict[str, tuple[str, ...]]
    asking: tuple[str, ...]
    by_kind: dict[str, tuple[str, ...]]
    cell: tuple[str, ...]

    def forms(self, kind: str) -> tuple[str, ...]:
        """All questions about a key of a kind of value."""
        return self.asking + self.by_kind.get(kind, ())

    @property
    def alphabet(self) -> str:
        """What a font must be able to write: the script's own letters, small and capital."""
        letters = "".join(dict.fromkeys(self.letters.replace(" ", "")))
        return letters + letters.upper()

    def make_word(self, rng: random.Random) -> str:
        """A lower-case word of this script that nobody has seen; needs `letters`."""
        hard, vowels, last, soft = self.letters.split(" ")
        while True:
            word = rng.choice(vowels) if rng.random() < 0.2 else ""
            for _ in range(rng.choices((1, 2, 3, 4), (2, 5, 4, 1))[0]):
                word += rng.choice(hard)
                if rng.random() < 0.15:
                    word += rng.choice(hard)
                if soft and rng.random() < 0.04:
                    word += soft
                word += rng.choice(vowels)
            if rng.random() < 0.5:
                word += rng.choice(hard + last * 4)
            if len(word) <= 14:
                return word


def _read(letters: str, text: str) -> Language:
    """A language from lines of `kind: name | name`; `?`, `?kind` and `?cell` lines are questions."""
    names: dict[str, tuple[str, ...]] = {}
    asking: dict[str, tuple[str, ...]] = {}
    for line in text.strip().splitlines():
        kind, _, rest = line.partition(":")
        items = tuple(item.strip() for item in rest.split("|"))
        (asking if kind[0] == "?" else names)[kind.strip("? ")] = items
    cell, general = asking.pop("cell"), asking.pop("")
    return Language(letters, names, general, asking, cell)


LANGUAGES = {
    "de": _read(
        _LATIN,
        """
money: Gesamtbetrag | Summe | Zwischensumme | Mehrwertsteuer | Rechnungsbetrag | Endbetrag | Rabatt | Versandkosten | Kaltmiete | Anzahlung | Guthaben | Zu zahlen | Nettobetrag | Bruttopreis
date: Rechnungsdatum | Fällig am | Geburtsdatum | Gültig bis | Lieferdatum | Ausgestellt am | Datum
time: Abfahrt | Ankunft | Uhrzeit | Beginn | Einlass
code: Rechnungsnummer | Kundennummer | Steuernummer | Bestellnummer | Aktenzeichen | Vertragsnummer | Kennzeichen | Zählernummer
name: Ansprechpartner | Kunde | Name | Sachbearbeiter | Vorname | Empfänger | Kontoinhaber
word: Zahlungsart | Farbe | Bezeichnung | Ort | Staatsangehörigkeit | Beruf | Größe
address: Anschrift | Straße | Lieferadresse
int: Menge | Anzahl | Gleis | Stückzahl | Seiten | Stockwerk
measure: Gewicht | Länge | Höhe | Leistung | Verbrauch | Brennwert | Eiweiß
percent: Zinssatz | Anteil | Steuersatz
?: Was steht bei {k}? | Wie lautet {k}? | Wie ist {k}? | Welcher Wert steht bei "{k}"? | Was ist {k}? | {k}? | Was ist unter {k} angegeben? | Nenne {k}. | Lies {k} vor.
?money: Wie hoch ist {k}? | Wie viel kostet {k}? | Welcher Betrag steht bei {k}?
?date: Wann ist {k}? | Welches Datum steht bei {k}?
?time: Um wie viel Uhr ist {k}? | Wann ist {k}?
?name: Wer ist {k}? | Wie heißt {k}?
?int: Wie viele {k}? | Welche Zahl steht bei {k}?
?cell: Wie hoch ist {c} bei {k}? | Was ist {c} von {k}? | {c} für {k}? | Welche {c} hat {k}?
""",
    ),
    "fr": _read(
        _LATIN,
        """
money: Montant total | Total TTC | Total HT | Sous-total | TVA | Remise | Frais de port | Loyer | Acompte | Solde | Net à payer | Prix unitaire
date: Date de facture | Date d'échéance | Date de naissance | Valable jusqu'au | Date de livraison | Fait le
time: Départ | Arrivée | Heure | Début | Ouverture
code: Numéro de facture | Numéro client | N° de commande | Référence | Immatriculation | N° de contrat
name: Nom | Prénom | Client | Destinataire | Interlocuteur | Titulaire | Vendeur
word: Mode de paiement | Couleur | Désignation | Ville | Nationalité | Profession | Taille
address: Adresse | Rue | Adresse de livraison
int: Quantité | Nombre | Quai | Pages | Étage
measure: Poids | Longueur | Hauteur | Puissance | Énergie | Protéines | Sucres
percent: Taux | Part | Taux de TVA
?: Quel est {k} ? | Quelle est {k} ? | Que dit {k} ? | Quelle valeur est indiquée pour {k} ? | {k} ? | Qu'est-ce qui est écrit à côté de {k} ? | Donne {k}. | Lis {k}.
?money: Combien coûte {k} ? | À combien s'élève {k} ? | Quel montant pour {k} ?
?date: Quand est {k} ? | Quelle est la date de {k} ?
?time: À quelle heure est {k} ?
?name: Qui est {k} ? | Comment s'appelle {k} ?
?int: Combien de {k} ?
?cell: Quel est {c} de {k} ? | {c} pour {k} ? | Quelle {c} a {k} ?
""",
    ),
    "es": _read(
        _LATIN,
        """
money: Importe total | Total a pagar | Subtotal | IVA | Descuento | Gastos de envío | Alquiler | Saldo | Precio unitario | Base imponible
date: Fecha de factura | Vencimiento | Fecha de nacimiento | Válido hasta | Fecha de entrega | Fecha
time: Salida | Llegada | Hora | Apertura
code: Número de factura | Número de cliente | Nº de pedido | Referencia | Matrícula
name: Nombre | Apellidos | Cliente | Destinatario | Titular | Vendedor
word: Forma de pago | Color | Descripción | Ciudad | Nacionalidad | Profesión | Estado
address: Dirección | Calle | Domicilio
int: Cantidad | Número | Andén | Páginas | Piso
measure: Peso | Longitud | Altura | Potencia | Valor energético | Proteínas | Azúcares
percent: Tipo de interés | Porcentaje | Participación
?: ¿Cuál es {k}? | ¿Qué pone en {k}? | ¿Qué valor tiene {k}? | ¿Qué dice {k}? | {k}? | ¿Qué figura junto a {k}? | Dime {k}. | Lee {k}.
?money: ¿Cuánto es {k}? | ¿Cuánto cuesta {k}? | ¿A cuánto asciende {k}?
?date: ¿Cuándo es {k}? | ¿Qué fecha tiene {k}?
?time: ¿A qué hora es {k}?
?name: ¿Quién es {k}? | ¿Cómo se llama {k}?
?int: ¿Cuántos {k} hay?
?cell: ¿Cuál es {c} de {k}? | ¿{c} de {k}? | ¿Qué {c} tiene {k}?
""",
    ),
    "it": _read(
        _LATIN,
        """
money: Importo totale | Totale | Imponibile | IVA | Sconto | Spese di spedizione | Canone | Saldo | Da pagare | Prezzo
date: Data fattura | Scadenza | Data di nascita | Valido fino al | Data di consegna
time: Partenza | Arrivo | Ora | Apertura
code: Numero fattura | Codice cliente | Ordine n. | Codice fiscale | Targa
name: Nome | Cognome | Cliente | Destinatario | Intestatario
word: Metodo di pagamento | Colore | Descrizione | Città | Nazionalità | Professione
address: Indirizzo | Via | Sede
int: Quantità | Numero | Binario | Pagine | Piano
measure: Peso | Lunghezza | Altezza | Potenza | Energia | Proteine | Zuccheri
percent: Tasso | Quota | Aliquota
?: Qual è {k}? | Cosa c'è scritto in {k}? | Che valore ha {k}? | {k}? | Cosa dice {k}? | Leggi {k}.
?money: Quanto costa {k}? | A quanto ammonta {k}?
?date: Quando è {k}?
?time: A che ora è {k}?
?name: Chi è {k}?
?int: Quanti {k} ci sono?
?cell: Qual è {c} di {k}? | {c} di {k}? | Che {c} ha {k}?
""",
    ),
    "pl": _read(
        _LATIN,
        """
money: Razem | Do zapłaty | Kwota | Wartość netto | Wartość brutto | Rabat | Czynsz | Zaliczka | Saldo
date: Data wystawienia | Termin płatności | Data urodzenia | Ważny do | Data sprzedaży
time: Odjazd | Przyjazd | Godzina
code: Numer faktury | Numer klienta | Zamówienie nr | NIP | Numer rejestracyjny
name: Imię i nazwisko | Nabywca | Sprzedawca | Odbiorca
word: Sposób płatności | Kolor | Nazwa | Miasto | Obywatelstwo
address: Adres | Ulica
int: Ilość | Liczba | Peron | Strony | Piętro
measure: Masa | Długość | Wysokość | Moc | Białko | Cukry
percent: Stawka | Udział
?: Jaka jest {k}? | Jaki jest {k}? | Co jest napisane przy {k}? | Jaka wartość jest przy {k}? | {k}? | Podaj {k}. | Odczytaj {k}.
?money: Ile wynosi {k}? | Ile kosztuje {k}?
?date: Kiedy jest {k}?
?time: O której jest {k}?
?name: Kto to jest {k}?
?int: Ile jest {k}?
?cell: Jaka jest {c} dla {k}? | {c} {k}?
""",
    ),
    "pt": _read(
        _LATIN,
        """
money: Valor total | Total a pagar | Subtotal | Desconto | Portes | Aluguel | Saldo | Preço
date: Data de emissão | Vencimento | Data de nascimento | Válido até
time: Partida | Chegada | Hora
code: Número da fatura | Número do cliente | Pedido | NIF | Placa
name: Nome | Cliente | Destinatário | Vendedor
word: Forma de pagamento | Cor | Descrição | Cidade | Profissão
address: Endereço | Morada | Rua
int: Quantidade | Número | Páginas | Andar
measure: Peso | Comprimento | Altura | Potência | Proteínas | Açúcares
percent: Taxa | Percentagem
?: Qual é {k}? | O que diz {k}? | Que valor tem {k}? | {k}? | Leia {k}. | O que está escrito em {k}?
?money: Quanto é {k}? | Quanto custa {k}?
?date: Quando é {k}?
?time: A que horas é {k}?
?name: Quem é {k}?
?int: Quantos {k} há?
?cell: Qual é {c} de {k}? | {c} de {k}?
""",
    ),
    "nl": _read(
        _LATIN,
        """
money: Totaalbedrag | Te betalen | Subtotaal | Btw | Korting | Verzendkosten | Huur | Saldo | Prijs
date: Factuurdatum | Vervaldatum | Geboortedatum | Geldig tot | Leverdatum
time: Vertrek | Aankomst | Tijd
code: Factuurnummer | Klantnummer | Bestelnummer | Kenteken
name: Naam | Klant | Ontvanger | Verkoper
word: Betaalwijze | Kleur | Omschrijving | Plaats | Beroep
address: Adres | Straat
int: Aantal | Spoor | Pagina's
measure: Gewicht | Lengte | Hoogte | Vermogen | Eiwitten | Suikers
percent: Rente | Aandeel
?: Wat is {k}? | Wat staat er bij {k}? | Welke waarde heeft {k}? | {k}? | Lees {k} voor.
?money: Hoeveel is {k}? | Wat kost {k}?
?date: Wanneer is {k}?
?time: Hoe laat is {k}?
?name: Wie is {k}?
?int: Hoeveel {k} zijn er?
?cell: Wat is {c} van {k}? | {c} voor {k}?
""",
    ),
    "cs": _read(
        _LATIN,
        """
money: Celkem | K úhradě | Částka | Sleva | Nájemné | Záloha | Zůstatek | Cena
date: Datum vystavení | Splatnost | Datum narození | Platnost do
time: Odjezd | Příjezd | Čas
code: Číslo faktury | Číslo zákazníka | Objednávka č. | IČO
name: Jméno | Zákazník | Příjemce
word: Způsob platby | Barva | Popis | Město
address: Adresa | Ulice
int: Množství | Počet | Nástupiště
measure: Hmotnost | Délka | Výška | Výkon | Bílkoviny
percent: Sazba | Podíl
?: Jaká je {k}? | Co je u {k}? | Jaká hodnota je u {k}? | {k}? | Přečti {k}.
?money: Kolik je {k}? | Kolik stojí {k}?
?date: Kdy je {k}?
?time: V kolik hodin je {k}?
?name: Kdo je {k}?
?int: Kolik je {k}?
?cell: Jaká je {c} pro {k}? | {c} {k}?
""",
    ),
    "sv": _read(
        _LATIN,
        """
money: Totalt | Att betala | Delsumma | Moms | Rabatt | Frakt | Hyra | Saldo | Pris
date: Fakturadatum | Förfallodatum | Födelsedatum | Giltig till
time: Avgång | Ankomst | Tid
code: Fakturanummer | Kundnummer | Ordernummer | Registreringsnummer
name: Namn | Kund | Mottagare | Säljare
word: Betalningssätt | Färg | Beskrivning | Ort | Yrke
address: Adress | Gata
int: Antal | Spår | Sidor
measure: Vikt | Längd | Höjd | Effekt | Socker
percent: Ränta | Andel
?: Vad är {k}? | Vad står det vid {k}? | Vilket värde har {k}? | {k}? | Läs upp {k}.
?money: Hur mycket är {k}? | Vad kostar {k}?
?date: När är {k}?
?time: Vilken tid är {k}?
?name: Vem är {k}?
?int: Hur många {k}?
?cell: Vad är {c} för {k}? | {c} för {k}?
""",
    ),
    "tr": _read(
        _LATIN,
        """
money: Toplam | Ara toplam | Ödenecek tutar | KDV | İndirim | Kira | Bakiye | Fiyat
date: Fatura tarihi | Son ödeme tarihi | Doğum tarihi | Geçerlilik
time: Kalkış | Varış | Saat
code: Fatura no | Müşteri no | Sipariş no | Plaka
name: Adı soyadı | Müşteri | Alıcı | Satıcı
word: Ödeme şekli | Renk | Açıklama | Şehir | Meslek
address: Adres | Sokak
int: Miktar | Adet | Sayfa
measure: Ağırlık | Uzunluk | Yükseklik | Güç | Şeker
percent: Oran | Faiz oranı
?: {k} nedir? | {k} ne? | {k} kısmında ne yazıyor? | {k}? | {k} değeri nedir?
?money: {k} ne kadar? | {k} kaç?
?date: {k} ne zaman?
?time: {k} saat kaçta?
?name: {k} kim?
?int: Kaç {k} var?
?cell: {k} için {c} nedir? | {k} {c}?
""",
    ),
    "ru": _read(
        _CYRILLIC,
        """
money: Итого | Сумма | Всего к оплате | НДС | Скидка | Доставка | Цена | Остаток | Аванс | Стоимость
date: Дата | Дата выдачи | Срок оплаты | Дата рождения | Действителен до | Годен до
time: Отправление | Прибытие | Время | Начало
code: Номер счёта | Номер заказа | ИНН | Серия | Номер договора | Артикул
name: Фамилия | Имя | Отчество | Покупатель | Получатель | Кассир | Продавец
word: Способ оплаты | Цвет | Наименование | Город | Гражданство | Должность
address: Адрес | Улица
int: Количество | Место | Путь | Этаж | Страницы | Вагон
measure: Масса | Длина | Высота | Мощность | Вес | Белки | Жиры | Углеводы
percent: Ставка | Доля
?: Какой {k}? | Какая {k}? | Что указано в {k}? | Что написано рядом с {k}? | {k}? | Прочитай {k}. | Найди {k}.
?money: Сколько составляет {k}? | Сколько стоит {k}? | Какая сумма в {k}?
?date: Когда {k}? | Какого числа {k}?
?time: Во сколько {k}?
?name: Кто {k}? | Как зовут {k}?
?int: Сколько {k}?
?cell: Какая {c} у {k}? | {c} для {k}?
""",
    ),
    "uk": _read(
        _UKRAINIAN,
        """
money: Разом | Сума | До сплати | ПДВ | Знижка | Доставка | Ціна | Залишок
date: Дата | Термін сплати | Дата народження | Дійсний до
time: Відправлення | Прибуття | Час
code: Номер рахунку | Номер замовлення | Серія | Артикул
name: Прізвище | Ім'я | Покупець | Одержувач | Касир
word: Спосіб оплати | Колір | Найменування | Місто | Посада
address: Адреса | Вулиця
int: Кількість | Місце | Поверх | Сторінки
measure: Маса | Довжина | Висота | Потужність | Вага
percent: Ставка | Частка
?: Який {k}? | Яка {k}? | Що вказано у {k}? | {k}? | Прочитай {k}.
?money: Скільки становить {k}? | Скільки коштує {k}?
?date: Коли {k}?
?time: О котрій {k}?
?name: Хто {k}?
?int: Скільки {k}?
?cell: Яка {c} у {k}? | {c} для {k}?
""",
    ),
    "bg": _read(
        "бвгджзклмнпрстфхцчшщ аеиоуъюя й ь",
        """
money: Общо | Сума | За плащане | ДДС | Отстъпка | Цена | Наем
date: Дата | Срок за плащане | Дата на раждане | Валиден до
time: Заминаване | Пристигане | Час
code: Номер на фактура | Поръчка | ЕИК
name: Име | Фамилия | Клиент | Получател
word: Начин на плащане | Цвят | Описание | Град
address: Адрес | Улица
int: Количество | Място | Етаж
measure: Тегло | Дължина | Височина
percent: Ставка | Дял
?: Какво е {k}? | Какъв е {k}? | Какво пише до {k}? | {k}? | Прочети {k}.
?money: Колко е {k}? | Колко струва {k}?
?date: Кога е {k}?
?time: В колко часа е {k}?
?name: Кой е {k}?
?int: Колко {k}?
?cell: Каква е {c} на {k}? | {c} за {k}?
""",
    ),
    "el": _read(
        _GREEK,
        """
money: Σύνολο | Ποσό | Πληρωτέο ποσό | ΦΠΑ | Έκπτωση | Μεταφορικά | Τιμή | Υπόλοιπο | Καθαρή αξία
date: Ημερομηνία | Ημερομηνία έκδοσης | Λήξη | Ημερομηνία γέννησης | Ισχύει έως
time: Αναχώρηση | Άφιξη | Ώρα | Έναρξη
code: Αριθμός τιμολογίου | Αριθμός πελάτη | Παραγγελία | ΑΦΜ | Κωδικός
name: Όνομα | Επώνυμο | Πελάτης | Παραλήπτης | Ταμίας
word: Τρόπος πληρωμής | Χρώμα | Περιγραφή | Πόλη | Επάγγελμα
address: Διεύθυνση | Οδός
int: Ποσότητα | Θέση | Όροφος | Σελίδες
measure: Βάρος | Μήκος | Ύψος | Ισχύς | Πρωτεΐνες
percent: Ποσοστό | Επιτόκιο
?: Ποιο είναι {k}; | Ποια είναι {k}; | Τι γράφει στο {k}; | {k}; | Διάβασε {k}. | Ποια τιμή έχει {k};
?money: Πόσο είναι {k}; | Πόσο κοστίζει {k};
?date: Πότε είναι {k};
?time: Τι ώρα είναι {k};
?name: Ποιος είναι {k};
?int: Πόσα {k} υπάρχουν;
?cell: Ποια είναι {c} για {k}; | {c} για {k};
""",
    ),
}
"""By ISO 639-1 code."""

_SHARES = {"ru": 4, "uk": 1, "bg": 1, "el": 4, "de": 2, "fr": 2, "es": 2}


def draw_language(rng: random.Random, share: float) -> Language | None:
    """None for English, or another language with a chance of `share`; other scripts more often.

    `rng` is not touched when `share` is 0.
    """
    if share <= 0 or rng.random() >= share:
        return None
    codes = list(LANGUAGES)
    return LANGUAGES[rng.choices(codes, [_SHARES.get(c, 1) for c in codes])[0]]
