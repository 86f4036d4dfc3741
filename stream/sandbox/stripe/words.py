"""Words to make customers of: people, companies and places of several countries, none of them real.

Company domains end in `.example` (RFC 2606), telephone numbers lie in the ranges that each country keeps for
fiction, and private addresses have an underscore, which Gmail does not give out.
"""

from __future__ import annotations

import msgspec


class Country(msgspec.Struct, frozen=True):
    """How people and addresses look somewhere. `towns` are (city, state, postal code); in `phone` each `#` is
    a digit."""

    code: str
    currency: str
    locale: str
    first: tuple[str, ...]
    last: tuple[str, ...]
    towns: tuple[tuple[str, str | None, str], ...]
    streets: tuple[str, ...]
    phone: str
    legal: tuple[str, ...]


COUNTRIES = (
    Country(
        "US", "usd", "en-US",
        ("Olivia", "Liam", "Emma", "Noah", "Ava", "Mateo", "Sofía", "Grace", "Ethan", "Maya", "Jean-Luc"),
        ("Miller", "Johnson", "García", "O'Brien", "Nguyen", "Washington", "Hughes", "Van Dyke", "Smith-Jones"),
        (("Austin", "TX", "78701"), ("Portland", "OR", "97205"), ("Boston", "MA", "02110"),
         ("San Francisco", "CA", "94107"), ("Brooklyn", "NY", "11201")),
        ("Main Street", "Oak Avenue", "Market Street", "5th Ave", "Congress Street"),
        "+1 512-555-01##", ("Inc.", "LLC", "Corp.", "& Sons"),
    ),
    Country(
        "DE", "eur", "de",
        ("Anna", "Jürgen", "Lena", "Björn", "Käthe", "Florian", "Mia", "Uwe", "Sophie", "Günther"),
        ("Schmidt", "Müller", "Weiß", "Krüger", "von Hagen", "Yılmaz", "Böhm", "Schulze-Delitzsch"),
        (("Berlin", None, "10115"), ("München", "Bayern", "80331"), ("Köln", "NRW", "50667"),
         ("Frankfurt am Main", "Hessen", "60311")),
        ("Hauptstraße", "Lindenallee", "Am Alten Markt", "Goetheweg"),
        "+49 30 23125 ###", ("GmbH", "AG", "GmbH & Co. KG", "e.K."),
    ),
    Country(
        "GB", "gbp", "en-GB",
        ("Harry", "Amelia", "Oliver", "Isla", "Priya", "George", "Niamh", "Alfie"),
        ("Taylor", "Singh", "Davies", "MacLeod", "Okafor", "Hughes-Wright", "Brown"),
        (("London", None, "EC1A 1BB"), ("Leeds", "West Yorkshire", "LS1 4AP"), ("Edinburgh", None, "EH1 1YZ")),
        ("High Street", "Station Road", "Church Lane", "Victoria Terrace"),
        "+44 20 7946 0###", ("Ltd", "PLC", "Partners LLP"),
    ),
    Country(
        "FR", "eur", "fr",
        ("Zoé", "François", "Chloé", "Hélène", "Léo", "Anaïs", "Noël"),
        ("Lefèvre", "d'Estaing", "Durand", "Bézier", "Moreau", "Le Goff"),
        (("Paris", None, "75002"), ("Lyon", None, "69001"), ("Saint-Étienne", "Loire", "42000")),
        ("rue de l'Église", "avenue Foch", "boulevard Voltaire"),
        "+33 1 99 00 ## ##", ("SARL", "SAS", "et Fils"),
    ),
    Country(
        "JP", "jpy", "ja",
        ("葵", "蓮", "Sakura", "Haruto", "陽菜"),
        ("佐藤", "鈴木", "Tanaka", "Yamamoto"),
        (("千代田区", "東京都", "100-0001"), ("大阪市", "大阪府", "530-0001")),
        ("丸の内", "梅田", "銀座通り"),
        "+81 3-0000-####", ("株式会社", "K.K."),
    ),
    Country(
        "KW", "kwd", "ar",
        ("Yousef", "Fatima", "نورة", "Khalid"),
        ("Al-Sabah", "Al-Mutairi", "العنزي"),
        (("Kuwait City", "Al Asimah", "13001"), ("Hawalli", None, "32001")),
        ("Gulf Road", "Salem Al Mubarak Street"),
        "+965 0000 ####", ("W.L.L.", "K.S.C."),
    ),
    Country(
        "PL", "eur", "pl",
        ("Łukasz", "Zofia", "Wojciech", "Małgorzata"),
        ("Kowalski", "Wiśniewska", "Dąbrowski", "Żuk"),
        (("Warszawa", "mazowieckie", "00-001"), ("Łódź", "łódzkie", "90-001")),
        ("ul. Długa", "al. Jerozolimskie"),
        "+48 699 000 ###", ("sp. z o.o.", "S.A."),
    ),
)  # fmt: skip

# How often each country's customers are met, of 100.
SHARES = (40, 20, 15, 10, 6, 4, 5)

QUALITIES = (
    "Nord", "Blue", "Alto", "Quantum", "Silber", "Verde", "Harbor", "Copper", "Lumen", "Granite", "Falken",
    "Ostro", "Maple", "Zenith", "Orchid", "Pioneer", "Salt", "Ember", "Juniper", "Cobalt",
)  # fmt: skip
TRADES = (
    "Logistics", "Robotics", "Bakery", "Software", "Dental", "Analytics", "Solar", "Textil", "Studios",
    "Freight", "Biotech", "Coffee", "Architects", "Media", "Security", "Farms", "Optics", "Legal",
)  # fmt: skip

FREE_MAIL = ("gmail.com", "googlemail.com", "outlook.com", "yahoo.com", "gmx.de", "icloud.com", "web.de")

OFFICES = ("billing", "accounts", "finance", "ap", "hello", "buchhaltung")
