"""How people ask for what stands on receipts, forms and screens, in a few languages."""

from __future__ import annotations

import random
import re


def _bank(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for line in text.strip().splitlines() for part in line.split("|"))


BY_KIND = {
    "company": _bank("""
What is the name of the shop?|What's the shop called?|Which store is this?|Name of the store?|shop name
Who issued this receipt?|Who is the seller?|Which company issued this receipt?|Who sold this?|merchant
Merchant name|What is the merchant's name?|Vendor|vendor name|Who is the vendor?|Name of the business?
From which store is this receipt?|Where was this bought?|Where did I shop?|At which shop was the purchase made?
Which restaurant is this from?|What is the name of the company?|company name|company|Which business is it?
Whose receipt is this?|Who got the money?|supplier|Name the retailer.|Which retailer is named at the top?
Wie heißt das Geschäft?|Von welchem Laden ist der Bon?|Welche Firma hat das ausgestellt?|Verkäufer
Quel est le nom du magasin ?|Quel commerçant ?|¿Cómo se llama la tienda?|Nombre de la empresa
Come si chiama il negozio?|Qual é o nome da loja?|Hoe heet de winkel?|store|seller|brand at the top
"""),
    "address": _bank("""
What is the address?|What is the address of the store?|Where is the shop located?|In which street is this shop?
address|store address|Where is this store?|In which city is the shop?|Which town is the shop in?
What is the shop's address?|Where is the business located?|location of the store|Where did this purchase take place?
What is the postal code of the shop?|Which road is the store on?|Give me the merchant's address.
What's the street address?|Read the address of the seller.|company address|Where can I find the shop?
Wo ist das Geschäft?|Wie lautet die Adresse?|Adresse|In welcher Straße ist der Laden?|Anschrift des Geschäfts
Quelle est l'adresse du magasin ?|Où se trouve le magasin ?|¿Cuál es la dirección?|¿Dónde está la tienda?
Qual è l'indirizzo?|Qual é o endereço?|Wat is het adres?|Where is it?|vendor address
"""),
    "date": _bank("""
What is the date?|What date is printed on the receipt?|What is the date on the receipt?|date|purchase date
On which day was the purchase made?|When was this receipt issued?|When was this bought?|When did I buy this?
date of purchase|transaction date|invoice date|What day is it from?|What is the date of the transaction?
When was it paid?|When did the sale take place?|On what date did this happen?|When was this printed?
How old is this receipt?|Which month is the receipt from?|date of issue|What is the receipt's date?
Welches Datum steht auf dem Bon?|Datum|Wann wurde das gekauft?|Von wann ist der Beleg?|Kaufdatum
Quelle est la date ?|Date d'achat|¿Qué fecha tiene el recibo?|fecha|Qual è la data?|Qual é a data?|Wat is de datum?
"""),
    "total": _bank("""
What is the total?|What is the total amount?|How much is the bill?|How much was paid in all?|total
What's the grand total on this receipt?|grand total|What is the sum?|total amount|amount due|How much in total?
How much did it cost altogether?|How much do I have to pay?|What was the final price?|What is the amount payable?
How much money was spent?|What did everything cost?|What is the overall amount?|final amount|bill total
What does it all come to?|How much did the customer pay?|What do I owe?|What was charged?|sum total
total to pay|total incl. tax|What is the total including tax?|How expensive was the purchase?|balance due
Wie hoch ist die Summe?|Summe|Gesamtbetrag|Wie viel kostet alles zusammen?|Was ist zu zahlen?|Endbetrag
Quel est le total ?|Montant total|Combien faut-il payer ?|¿Cuánto es el total?|importe total|Qual è il totale?
Quanto si paga?|Qual é o total?|valor total|Wat is het totaal?|te betalen
"""),
}
ITEM = _bank("""
How much was paid for {k}?|What is the price of {k}?|What did "{k}" cost?|How much does {k} cost?|{k}
price of {k}|How much is {k}?|What does the {k} cost?|How much did I pay for {k}?|Cost of {k}?|{k} price
What amount is charged for {k}?|What is the amount for "{k}"?|How expensive is {k}?|What was {k}?
Was kostet {k}?|Wie teuer ist {k}?|Combien coûte {k} ?|¿Cuánto cuesta {k}?|Quanto costa {k}?|Quanto custa {k}?
Look up the price of {k}.|Find the line of {k}.|What did the {k} come to?|What is listed for {k}?
""")
PAIR = _bank("""
What is the {k}?|What is the {k}?|{k}|{k}?|What is given as {k}?|What does it say after "{k}"?|Find the {k}.
What's the {k}?|Tell me the {k}.|What is the value of "{k}"?|Which {k} is given?|Read the {k}.|Give me the {k}
What is filled in for {k}?|What stands next to "{k}"?|What is entered under {k}?|What {k} is on it?
Wie lautet {k}?|Was steht bei {k}?|Quel est le {k} ?|¿Cuál es {k}?|Qual è {k}?|Qual é {k}?|extract {k}
""")
FIND = _bank("""
Where is "{k}"?|Click on {k}|Find the button or entry "{k}".|Find {k}|Where do I find {k}?|What is next to "{k}"?
Where does it say "{k}"?|Show me {k}|Press {k}|Open {k}|Select {k}|Which button says {k}?|{k}|Locate "{k}".
Where can I click {k}?|What does {k} show?|Is there a {k}?|Tap {k}|Look at {k}|Go to {k}
""")


def _rows(*pairs: tuple[str, str]) -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
    return tuple((re.compile(pattern, re.IGNORECASE), _bank(forms)) for pattern, forms in pairs)


RECEIPT_ROWS = _rows(
    (
        r"\bsub.?total|zwischensumme",
        "What is the subtotal?|subtotal|How much before tax?|Zwischensumme|sous-total",
    ),
    (
        r"\b(cash|tunai|bargeld|bar)\b",
        "How much cash was given?|cash|What did the customer hand over?"
        "|How much was tendered?|amount paid in cash|Wie viel wurde bar bezahlt?|cash received",
    ),
    (
        r"\b(change|r.ckgeld|baki|zur.ck)\b",
        "How much change was given?|change|change due|How much came back?"
        "|Wie viel Rückgeld gab es?|What did the customer get back?|Rückgeld",
    ),
    (r"\brounding", "What is the rounding?|rounding adjustment|How much was it rounded by?"),
    (
        r"\bdisc(ount)?\b|rabatt",
        "How much discount was given?|discount|What was taken off?|How much was saved?",
    ),
    (r"\b(service|serv\.?) ch", "How much is the service charge?|service charge|What is the tip?"),
    (
        r"\b(kreditkarte|visa|master|ec.karte|karte)",
        "How much was paid by card?|card payment|credit card amount",
    ),
)
LABELLED = _rows(
    (
        r"\b(tel|phone|hp|h/p)\b.*\d{3}",
        "What is the phone number?|phone|telephone number|How can I call them?"
        "|Which number do I ring?|Telefonnummer|tel|contact number|Quel est le numéro de téléphone ?|teléfono",
    ),
    (r"\bfax\b.*\d{3}", "What is the fax number?|fax|fax no."),
    (
        r"\S+@\S+\.\w+",
        "What is the e-mail address?|e-mail|email|Where can I write to?|E-Mail-Adresse|correo",
    ),
    (
        r"\b(www\.|https?:)",
        "What is the website?|web address|url|Which site do they have?|homepage|Internetadresse",
    ),
    (
        r"\bgst (reg|id|no)|\bgst.{0,12}\d{9}",
        "What is the GST number?|GST registration number|tax ID|tax number"
        "|What is the shop's tax identification?|GST ID",
    ),
    (
        r"\b(invoice|inv|bill|receipt|doc(ument)?|bon) ?(no|nr|number|#).{0,3}\W*\w*\d",
        "What is the receipt number?"
        "|invoice number|Which number does the bill have?|document number|receipt no|Rechnungsnummer|bill no",
    ),
    (r"\b(cashier|kassierer|kasir)\b", "Who was the cashier?|cashier|Who served the customer?"),
    (r"\biban\b", "What is the IBAN?|bank account|account to pay to|Kontonummer"),
    (r"\b(bic|swift)\b", "What is the BIC?|SWIFT code|bank identifier"),
    (
        r"\bust.?.?id|\bvat (no|reg|id)|steuer.?n",
        "What is the VAT number?|tax number|Steuernummer|VAT ID",
    ),
)
ABSENT = _rows(
    (r"@|e-?mail", "What is the e-mail address?|e-mail|Where can I write to?"),
    (
        r"iban|account|konto",
        "What is the IBAN?|account number|Which bank account?|What is the account balance?",
    ),
    (
        r"deliver|ship|liefer",
        "What is the delivery address?|When will it be delivered?|shipping method",
    ),
    (r"due|f.llig", "What is the due date?|When must it be paid by?|payment deadline"),
    (
        r"passport|birth|nationality",
        "What is the passport number?|date of birth|When was the person born?",
    ),
    (r"weight|kg|gewicht", "What is the weight?|How heavy is it?|gross weight"),
    (r"interest|rate|zins", "What is the interest rate?|annual percentage rate"),
    (
        r"patient|doctor|diagnos|dr\b",
        "Who is the patient?|Which doctor signed?|What is the diagnosis?",
    ),
    (
        r"flight|gate|seat|train|platform",
        "What is the flight number?|Which gate?|seat number|From which platform?",
    ),
    (
        r"temp|humid|wind|sun",
        "What is the temperature?|How will the weather be tomorrow?|wind speed",
    ),
    (
        r"licen|plate|vehicle|km\b|mile",
        "What is the licence plate?|How many kilometres?|vehicle type",
    ),
    (
        r"dog|cat|tree|car\b|man\b|woman",
        "What colour is the dog?|How many people are there?|Is there a tree?",
    ),
    (r"www|http|\.com", "What is the website?|web address"),
    (r"tel|phone|fon|hp\b|h/p", "What is the phone number?|telephone"),
    (r"author|chapter|title|isbn", "Who is the author?|Which chapter is it?|ISBN"),
    (r"sign|unterschrift", "Who signed this?|Whose signature is it?"),
    (r"vat|ust|mwst|gst|tax", "What is the VAT number?|How much tax is included?|tax rate"),
    (r"deposit|caution|kaution", "How much is the deposit?|security deposit"),
)
_PROMPTS = _bank("""
{q} Answer the question using a single word or phrase.|Answer briefly: {q}|Question: {q} Answer:
You are a helpful assistant. {q}|{q} Reply with the value only.|Please look at the image and answer. {q}
{q} If you cannot find it, say unknown.|You read receipts. Return JSON with the field answer. {q}|User: {q}
Answer in one word. {q}|{q} Do not explain.|Based on the document, {q}|Hi! {q} Thanks
I am doing my bookkeeping and need one thing from this picture. {q} Write only the answer, without a unit.
""")


def in_a_prompt(rng: random.Random, question: str) -> str:
    """The question as it is, or in one prompt of seven with words of a prompt round it."""
    if rng.random() < 0.85:
        return question
    return rng.choice(_PROMPTS).format(q=question)
