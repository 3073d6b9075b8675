"""What real pages call things, by subject, with the kind of value and how people ask for it.

A line is `name | kind | questions`, questions parted by `;`. A question may be asked without the
name's own words, and then only its meaning leads to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ..lexicon import CASES, in_case
from .page_words import Words


@dataclass(frozen=True)
class Name:
    """A field's name, its value's kind, and questions that fit it besides the general ones."""

    text: str
    kind: str
    questions: tuple[str, ...] = ()


_NAMES = {
    "invoice": """
Invoice No. | code | What is the invoice number?; Which number does the invoice have?
Invoice # | code | What is the invoice number?
Invoice date | date | When was the invoice issued?; What is the date of the invoice?
Date of issue | date | When was it issued?
Due date | date | When is payment due?; By when must it be paid?; What is the payment deadline?
Payment due | date | When do I have to pay?
PO number | code | What is the purchase order number?; Which purchase order is it for?
Order No. | code | What is the order number?
Customer No. | code | What is the customer number?; Which customer number is given?
Your reference | code | What is our reference?
VAT ID | code | What is the VAT identification number?; Which tax number is given?
Tax ID | code | What is the tax number?
Terms | duration | What are the payment terms?; How long do I have to pay?
Payment method | status | How is it paid?
Contact | person | Who can be asked about it?; Who is the contact person?
Sales rep | person | Who sold it?; Who is the salesperson?
Ship date | date | When was it shipped?
Delivery date | date | When is it delivered?
Currency | status |
Project | goods | Which project is it for?
IBAN | code | Which account should I pay to?
BIC | code | What is the SWIFT code?
Account holder | company | Whose bank account is it?
Phone | phone | What number can I call?
E-mail | email | Where can I write to?
Attention | person | To whose attention is it?
""",
    "totals": """
Subtotal | money | What is the sum before tax?; How much is it without tax?
Net total | money | What is the net amount?
Total | money | How much is it in all?; What is the total amount?; How much has to be paid?
Total due | money | How much is due?; How much do I owe?; What do I have to pay?
Amount due | money | How much must be paid?
Balance due | money | What is still owed?
Grand total | money | What is the final amount?
VAT | money | How much VAT is there?; How much tax is charged?
Sales tax | money | How much tax is there?
Shipping | money | What does shipping cost?; How much is delivery?
Discount | money | How much was taken off?; What is the reduction?
Paid | money | How much has been paid already?
Rounding | money |
Service charge | money | How much is service?
Deposit | money |
""",
    "receipt": """
Cashier | person | Who was at the till?; Who served me?
Server | person | Who was the waiter?
Register | small | At which till was it?
Store # | code | Which store was it?
Receipt No. | code | What is the number of the receipt?
Transaction | code | What is the transaction number?
Terminal ID | code |
Card No. | code | What are the last digits of the card?
Auth code | code | What is the authorisation code?
Date | date | When was it bought?; What day was it?
Time | time | At what time was it bought?
Table | small | Which table was it?
Guests | small | How many people ate?
Items sold | small | How many things were bought?
Change | money | How much money came back?
Cash | money | How much cash was given?
Points earned | count | How many points did I get?
Member | code | What is the member number?
Savings | money | How much was saved?
""",
    "bank": """
Account number | code | Which account is it?
Sort code | code |
Statement period | duration |
Statement date | date | When was the statement made?
Statement No. | code | Which statement is it?
Opening balance | money | How much was there at the beginning?; What did the account start with?
Closing balance | money | How much is left at the end?; What is the final balance?
Total deposits | money | How much came in?
Total withdrawals | money | How much went out?
Available credit | money | How much can still be spent?
Overdraft limit | money | How far may it be overdrawn?
Interest earned | money | How much interest was paid?
Interest rate | percent | At what rate is interest paid?
Fees | money | How much was charged in fees?
Minimum payment | money | What is the least to pay?
Branch | city | Which branch keeps the account?
Account holder | person | Whose account is it?
Account type | status | What sort of account is it?
Credit limit | money |
""",
    "settings": """
Display name | person | What name do others see?
Username | word | What is the login name?
E-mail address | email | Which mail address is set?
Phone number | phone |
Language | status | Which language is chosen?
Time zone | city | Which time zone is set?
Date format | date |
Theme | status | Which theme is on?
Currency | status |
Storage used | kilobytes | How much space is taken?
Last login | datetime | When did they log in last?
Member since | date | Since when are they a member?
Plan | status | Which subscription is it?
Next billing date | date | When is the next payment?
Monthly price | money | What does it cost a month?
Two-factor authentication | status | Is two-factor on?
API key | code |
Session timeout | duration | After how long is one logged out?
Max upload size | kilobytes | How large may a file be?
Backup frequency | status | How often is it backed up?
Version | version | Which version is running?
Server | url | Which server is it connected to?
Port | count | On which port does it listen?
IP address | ip |
Role | status |
Team | word |
Auto-save interval | duration | How often is it saved?
Font size | small |
Default printer | goods | Which printer is used?
Company | company |
Job title | word | What is their position?
Department | word |
""",
    "metrics": """
Revenue | money | How much was earned?; What are the earnings?
Total sales | money | How much was sold?
Orders | count | How many orders came in?
New customers | count | How many customers are new?
Active users | count | How many people use it?
Conversion rate | percent | What share of visitors buy?
Bounce rate | percent | What share leave at once?
Sessions | count | How many sessions were there?
Page views | count | How often was it viewed?
Avg. order value | money | What is an order worth on average?
Churn | percent | How many customers leave?
Uptime | percent | How long was it up?
Open tickets | count | How many tickets are open?
Response time | duration | How fast is the reply?
CPU load | percent | How busy is the processor?
Memory | kilobytes | How much memory is used?
Disk space | kilobytes |
Temperature | measure | How warm is it?
Errors | count | How many errors were there?
Downloads | count | How often was it downloaded?
Profit | money | How much was gained?
Expenses | money | How much was spent?
Headcount | count | How many people work there?
Satisfaction | percent | How content are they?
Visitors | count | How many people came?
Signups | count | How many signed up?
""",
    "nutrition": """
Energy | kcal | How much energy does it have?; How many calories are in it?
Calories | count | How many calories are there?
Total Fat | grams | How much fat is in it?
Fat | grams | How much fat does it contain?
Saturated Fat | grams | How much of the fat is saturated?
of which saturates | grams | How much saturated fat is in it?
Trans Fat | grams |
Cholesterol | mg | How much cholesterol is in it?
Sodium | mg | How much sodium does it have?
Total Carbohydrate | grams | How many carbs are there?
Carbohydrate | grams | How many carbohydrates are in it?
of which sugars | grams | How much sugar is in it?
Dietary Fiber | grams | How much fibre is there?
Fibre | grams |
Total Sugars | grams | How sweet is it?
Added Sugars | grams | How much sugar was added?
Protein | grams | How much protein does it have?
Salt | grams | How much salt is in it?
Vitamin D | mg | How much vitamin D is there?
Calcium | mg |
Iron | mg |
Potassium | mg |
Vitamin C | mg |
Magnesium | mg |
Caffeine | mg |
""",
    "product": """
Net weight | grams | How much is in the package?
Best before | date | Until when can it be used?; When does it expire?
Lot | code | What is the batch number?
Batch No. | code |
Serial No. | code | What is the serial number?
Model | code | Which model is it?
Made in | country | Where was it made?; Which country does it come from?
Manufacturer | company | Who made it?
Serving size | grams | How much is one serving?
Servings per container | small | How many servings are there?
Store below | measure | How cold must it be kept?
Ingredients | sentence | What is in it?; What is it made of?
Keep away from | goods |
Rated voltage | measure | What voltage does it need?
Power | measure | How many watts?
Dosage | sentence | How should it be taken?; How much should one take?
Active ingredient | word | What is the active substance?
Expiry date | date | When does it expire?
Distributed by | company | Who sells it?
Material | word | What is it made of?
Size | count | How big is it?
Colour | status |
Article No. | code |
""",
    "person": """
Name | person | Who is it?; What is the person called?
Full name | person | What is the whole name?
Surname | word | What is the family name?
Given names | word | What is the first name?
Date of birth | date | When were they born?; What is the birthday?
Place of birth | city | Where were they born?
Nationality | country | Which country are they from?
Sex | status |
Height | measure | How tall is the person?
ID No. | code | What is the number of the card?
Card number | code |
Employee No. | code | What is the staff number?
Department | word | Where do they work?
Position | word | What is their job?
Valid until | date | When does it expire?; How long is it valid?
Date of issue | date | When was it issued?
Issued by | company | Who issued it?
Blood group | status |
Address | address2 | Where do they live?
Member since | date |
Emergency contact | phone | Whom should one call in an emergency?
Access level | small |
Supervisor | person | Who is the boss?
Room | code | Where do they sit?
""",
    "meeting": """
Date | date | When is it?; On what day is it?
Time | hours | At what time is it?
Venue | city | Where does it take place?
Speaker | person | Who is speaking?; Who gives the talk?
Organiser | company | Who organises it?
Chair | person | Who leads it?
Room | code | In which room is it?
Registration fee | money | What does it cost to take part?
Deadline | date | Until when can one apply?
Contact | email | Where can one write to?
Phone | phone |
Seats | count | How many people fit in?
Language | status |
Topic | goods | What is it about?
Duration | duration | How long does it last?
Subject | word | What is it about?
Reference | code |
From | person | Who wrote it?; Who sent it?
To | person | Whom was it sent to?; Who got it?
Cc | person |
""",
    "technical": """
Supply voltage | measure | What voltage does it run on?
Operating temperature | measure | How warm may it get?
Output current | measure |
Input power | measure | How much power does it draw?
Frequency range | measure |
Dimensions | measure | How large is it?
Weight | measure | How heavy is it?
Accuracy | percent | How precise is it?
Resolution | measure |
Interface | code | How is it connected?
Protection class | code |
Housing material | word | What is the case made of?
Mounting | word | How is it mounted?
Storage temperature | measure |
Humidity | percent | How damp may it be?
Response time | duration | How fast does it react?
Warranty | duration | How long is it guaranteed?
Part number | code |
Order code | code | What code is used to order it?
Cable length | measure | How long is the cable?
Max. pressure | measure |
Flow rate | measure |
Noise level | measure | How loud is it?
Memory | kilobytes |
Battery life | duration | How long does the battery last?
Certification | code |
""",
    "travel": """
Passenger | person | Who is travelling?
Flight | code | What is the flight number?
From | city | Where does it leave from?
To | city | Where does it go?
Departure | time | When does it leave?
Arrival | time | When does it arrive?
Gate | code | Which gate is it?
Seat | code | Which seat is it?; Where do I sit?
Boarding time | time | When does boarding begin?
Class | status |
Booking reference | code | What is the booking number?
Ticket No. | code |
Coach | small | Which carriage is it?
Platform | small | From which platform does it leave?
Fare | money | What did the ticket cost?
Baggage | measure | How much luggage may I take?
Date | date | On what day is the trip?
Train | code | Which train is it?
""",
    "energy": """
Meter number | code |
Previous reading | count | What did the meter show last time?
Current reading | count | What does the meter show now?
Consumption | measure | How much was used?
Unit price | money | What does a unit cost?
Standing charge | money | What is the fixed charge?
Billing period | duration |
Customer number | code |
Supply address | address2 | Where is the power delivered?
Tariff | status | Which tariff is it?
Next reading | date | When is the meter read next?
Amount payable | money | How much has to be paid?
Direct debit date | date | When is the money taken?
Credit balance | money |
Carbon footprint | measure |
""",
    "health": """
Patient | person | Who was examined?
Date of birth | date | When was the patient born?
Sample No. | code |
Collected | datetime | When was the sample taken?
Reported | datetime | When was it reported?
Referring doctor | person | Who sent the patient?
Laboratory | company | Who did the test?
Diagnosis | word | What does the patient have?
Specimen | word | What was tested?
Insurance | company |
Ward | small |
""",
    "shop": """
Price | money | What does it cost?; How much is it?
Was | money | What did it cost before?
You save | money | How much is saved?
In stock | count | How many are left?
Rating | small | How good is it said to be?
Reviews | count | How many people reviewed it?
Delivery | date | When will it come?
Sold by | company | Who sells it?
Brand | word | Which brand is it?
Colour | status | Which colour is it?
Size | small |
SKU | code |
Warranty | duration | How long is the guarantee?
Material | word | What is it made of?
Weight | measure | How heavy is it?
Returns | duration | Until when can it be sent back?
""",
}


@lru_cache(maxsize=1)
def _names() -> dict[str, list[Name]]:
    found = {}
    for subject, text in _NAMES.items():
        names = []
        for line in text.strip().splitlines():
            name, kind, asked = (part.strip() for part in line.split("|"))
            forms = tuple(form.strip() for form in asked.split(";") if form.strip())
            names.append(Name(name, kind, forms))
        found[subject] = names
    return found


def draw_names(words: Words, subject: str, count: int) -> list[Name]:
    """Different names of fields of a subject; some are made up, of held-out pages half.

    On pages in another language the names are that language's, of any subject.
    """
    rng = words.rng
    real = _names()[subject]
    if words.language:
        real = [Name(text, kind, words.asking(kind)) for text, kind in words.own_names()]
    real = rng.sample(real, len(real))
    share = 0.8 if words.split == "train" else 0.5
    case = rng.choice(["as is", "as is", "as is", *CASES])
    chosen: list[Name] = []
    for _ in range(count):
        if real and rng.random() < share:
            name = real.pop()
        else:
            text, kind = words.phrase(1, 3), words.any_kind()
            name = Name(in_case(text, rng.choice(CASES)), kind)
        if case != "as is":
            name = Name(in_case(name.text, case), name.kind, name.questions)
        if name.text.lower() not in {other.text.lower() for other in chosen}:
            chosen.append(name)
    return chosen
