"""Short sentences without end for training the demo model: a word list and a small grammar.

The words are common English ones, chosen for this file; the sentences make grammar, not sense.
None of them may be a sentence of the probe, which is kept for measuring.
"""

from __future__ import annotations

import random

WORDS = {
    "the": "the the the a a this that my your our his her their some every each one no",
    "adj": """
        big small long short young old new good bad great hot cold warm cool dry wet high low deep
        wide narrow thick thin heavy light dark bright clean dirty soft hard loud quiet slow quick
        fast rich poor strong weak sweet sour fresh sharp round flat empty full early late happy
        sad angry tired brave kind proud busy lazy easy simple strange common rare local public
        private native modern ancient gentle rough smooth broken open frozen hollow golden silver
        wooden yellow purple orange green brown black white blue red grey pink cheap useful
        careful beautiful terrible possible foreign northern southern curious serious nervous
        famous dangerous electric plastic perfect ugly hungry thirsty rusty dusty shiny noisy
        steep calm spicy honest usual royal loyal joyful peaceful
        """,
    "noun": """
        man woman boy girl child baby father mother brother sister friend teacher doctor farmer
        driver sailor painter singer king queen judge nurse soldier captain lawyer baker barber
        house home room door window wall roof floor kitchen garden bridge road street path
        village city town market shop school church office station airport hotel theatre museum
        car bus train boat ship plane wheel engine bicycle truck horse cow sheep goat pig dog cat
        mouse bird duck goose owl fox wolf bear lion tiger monkey snake frog fish shark whale bee
        tree leaf branch flower rose grass forest mountain hill valley river lake sea ocean beach
        island desert cloud rain snow wind storm thunder sun moon star sky night morning evening
        day week month year hour minute spring summer autumn winter bread butter cheese milk
        water coffee tea juice soup rice meat egg apple orange cherry grape peach lemon onion
        carrot potato pepper salt sugar honey cake pie table chair bed lamp clock picture mirror
        box bag basket bottle cup glass plate knife fork spoon pan book letter paper pencil
        newspaper story song music voice noise question answer word number name page price money
        coin job work game ball toy doll puzzle kite rope chain hammer nail saw tool machine
        phone radio camera computer battery jacket coat shirt dress shoe hat glove ring watch
        head face eye ear nose mouth tooth neck arm hand finger back leg foot knee heart bone
        blood fire smoke stone sand gold iron wood cotton wool leather oil gas power law war
        peace truth dream hope joy fear idea reason plan choice future past measure pleasure
        treasure vision zebra jungle jewel juggler thief path birthday thing zero zoo
        breath cloth earth south north east west vacation station nation lesson season prison
        """,
    "did": """
        saw heard found lost took gave made kept sold bought brought caught taught held left met
        cut hit shut put read wrote drew painted washed cleaned cooked baked ate drank broke
        fixed built burned carried pushed pulled lifted dropped threw kicked closed opened
        locked watched followed chased helped asked called thanked joined liked loved hated
        wanted needed used tried moved turned changed covered filled counted measured chose
        remembered forgot showed shared saved wasted enjoyed visited noticed pleased surprised
        """,
    "do": """
        see hear find lose take give make keep sell buy bring catch teach hold leave meet cut
        hit shut put read write draw paint wash clean cook bake eat drink break fix build burn
        carry push pull lift drop throw kick close open lock watch follow chase help ask call
        thank join like love want need use try move turn change cover fill count measure choose
        remember forget show share save waste enjoy visit think know have owe judge
        """,
    "went": """
        went came ran walked jumped swam flew fell rose sat stood slept woke laughed cried sang
        danced played worked waited stopped started began ended grew shook spoke talked shouted
        smiled coughed travelled returned arrived rested moved sailed rolled shone melted boiled
        """,
    "who": "i you he she we they it nobody everyone somebody everything",
    "can": "can could will would should must may might did will not did not can not",
    "was": "is was are were seems looks smells feels tastes",
    "in": """
        in on at by under over near behind above below across through into onto from toward
        around along with without before after past between beside inside outside against about
        """,
    "and": "and but because when while if so then or until than",
    "how": """
        slowly quickly quietly loudly gently badly well early late today tomorrow yesterday
        always never often sometimes usually again soon now then here there away home outside
        together alone upstairs twice once out up down off
        """,
    "num": """
        two three four five six seven eight nine ten eleven twelve thirteen fifteen twenty
        thirty forty fifty hundred thousand million
        """,
    "day": "monday tuesday wednesday thursday friday saturday sunday",
    "more": "very more less too so rather quite",
    "please": "please where what why who which how there these those both many few most all",
}
PATTERNS = """
    the noun|adj noun|num noun|who did|who went how|the adj noun|in the noun|noun and noun
    adj and adj|num and num|on day|more adj|please do|do the noun|who can do|noun noun|did how
    the noun went how|who did the noun|the noun was adj|the noun was more adj|please do the noun
    who went in the noun|who can do num noun|the adj noun went in the noun|who was adj and adj
    the noun did the adj noun|do the noun in the noun|who did the noun on day|num adj noun went
    the noun in the noun was adj|please can who do the noun|who did it and the noun went how
    who can do the noun how|num noun did the noun|the noun and the noun went how
    the adj noun did num noun in day|who was adj but the noun was adj|please do num adj noun
    the adj noun can do the adj noun|who went how and did the noun in the noun
""".replace("\n", "|").split("|")
PATTERNS = [pattern.split() for pattern in PATTERNS if pattern.strip()]
CHOICES = {kind: words.split() for kind, words in WORDS.items()}


def vocabulary() -> set[str]:
    """Every word that a training sentence can hold."""
    return {word for words in CHOICES.values() for word in words} | {"it", "on", "in", "and"}


def sentence(rng: random.Random) -> str:
    """One sentence of 2 to 10 words; a slot that names no word class stands for itself."""
    slots = rng.choice(PATTERNS)
    return " ".join(rng.choice(CHOICES[slot]) if slot in CHOICES else slot for slot in slots)
