"""English sentences for calibration and evaluation: frames with words to put in, no frame in both sets."""

from __future__ import annotations

Frame = tuple[str, tuple[tuple[str, ...], ...]]
"""A sentence with holes, and the fillings of its holes."""

_CALIBRATION: tuple[Frame, ...] = (
    (
        "The {} next to the {} closes at {}.",
        (
            ("bakery", "station", "six"),
            ("library", "town hall", "noon on Saturdays"),
            ("pharmacy", "old bridge", "half past eight"),
            ("post office", "market square", "five in winter"),
        ),
    ),
    (
        "How do I {} without {}?",
        (
            ("reset my password", "the old phone number"),
            ("clean a cast iron pan", "soap"),
            ("learn to swim", "a teacher"),
            ("move a large table", "scratching the floor"),
        ),
    ),
    (
        "{} was first described by {} in {}.",
        (
            ("The circulation of the blood", "William Harvey", "1628"),
            ("Radioactivity", "Henri Becquerel", "1896"),
            ("The structure of benzene", "August Kekulé", "1865"),
            ("Penicillin", "Alexander Fleming", "1929"),
        ),
    ),
    (
        "My {} loves {}, but only when {}.",
        (
            ("daughter", "mushroom soup", "nobody tells her what is in it"),
            ("dog", "the sea", "there are no waves"),
            ("neighbour", "opera", "it is sung in Italian"),
            ("brother", "long walks", "the weather is awful"),
        ),
    ),
    (
        "Shares of the {} fell by {} percent after {}.",
        (
            ("airline", "seven", "pilots announced a strike"),
            ("chip maker", "twelve", "orders from abroad dried up"),
            ("supermarket chain", "three", "it lowered its forecast"),
            ("bank", "nine", "the regulator opened an inquiry"),
        ),
    ),
    (
        "Mix {} with {} and {}.",
        (
            ("the flour", "two eggs", "let the dough rest for an hour"),
            ("lime juice", "honey", "pour it over ice"),
            ("the tomatoes", "a handful of basil", "season to taste"),
            ("cold butter", "sugar", "beat until it is pale"),
        ),
    ),
    (
        "I am writing to complain about {}, which {}.",
        (
            ("the washing machine", "broke down after two weeks"),
            ("your last invoice", "lists a service I never used"),
            ("the hotel room", "had no hot water"),
            ("the delayed parcel", "should have arrived on Monday"),
        ),
    ),
    (
        "The function {} when its argument is {}.",
        (
            ("returns None", "an empty list"),
            ("raises a ValueError", "negative"),
            ("never terminates", "an odd number"),
            ("allocates twice the memory", "already sorted"),
        ),
    ),
    (
        "{} is the capital of {} and lies on {}.",
        (
            ("Lisbon", "Portugal", "the Tagus"),
            ("Nairobi", "Kenya", "a high plateau"),
            ("Ottawa", "Canada", "the river of the same name"),
            ("Hanoi", "Vietnam", "the Red River"),
        ),
    ),
    (
        "The patient reports {} since {}.",
        (
            ("a dry cough", "last Thursday"),
            ("pain in the left knee", "a fall on the stairs"),
            ("trouble sleeping", "she changed her shift"),
            ("blurred vision", "the new medication"),
        ),
    ),
    (
        "After {} minutes, {} scored and the {} went silent.",
        (
            ("eighty-eight", "the substitute", "stadium"),
            ("twelve", "the visitors", "home crowd"),
            ("forty", "the youngest player on the pitch", "whole bar"),
            ("three", "the captain", "commentator"),
        ),
    ),
    (
        "Could you {} before {}, please?",
        (
            ("send me the signed contract", "the end of the week"),
            ("water the plants", "you leave"),
            ("turn the music down", "the baby wakes up"),
            ("book a table for four", "they are all gone"),
        ),
    ),
    (
        "The court ruled that {} must {}.",
        (
            ("the company", "pay back the fees"),
            ("the landlord", "repair the roof"),
            ("the ministry", "publish the report"),
            ("both drivers", "share the damage"),
        ),
    ),
    (
        "{} migrate {} because {}.",
        (
            ("Storks", "to Africa", "they find no frogs in winter"),
            ("Salmon", "up the river", "they spawn where they hatched"),
            ("Monarch butterflies", "to Mexico", "the north is too cold"),
            ("Whales", "thousands of miles", "warm water holds little food"),
        ),
    ),
    (
        "{}!",
        (("What a lovely surprise",), ("Stop that at once",), ("Happy birthday, grandma",), ("Never again",)),
    ),
    (
        "In the {} light of {}, the {} looked almost {}.",
        (
            ("grey", "the morning", "harbour", "peaceful"),
            ("yellow", "the street lamp", "letter", "genuine"),
            ("last", "the day", "mountain", "purple"),
            ("pale", "the moon", "snow", "blue"),
        ),
    ),
)

_EVALUATION: tuple[Frame, ...] = (
    (
        "Where can I find {} in {}?",
        (
            ("cheap tickets for the concert", "Vienna"),
            ("a doctor who speaks English", "this part of town"),
            ("the settings for notifications", "the new version"),
            ("good coffee", "a railway station"),
        ),
    ),
    (
        "The {} train to {} is delayed by {}.",
        (
            ("seven o'clock", "Glasgow", "an hour"),
            ("last", "the airport", "a fallen tree"),
            ("express", "Milan", "a signal failure"),
            ("night", "Stockholm", "heavy snow"),
        ),
    ),
    (
        "Researchers found that {} reduces {} in {}.",
        (
            ("regular exercise", "the risk of depression", "older adults"),
            ("shade from trees", "surface temperature", "cities"),
            ("a diet rich in fibre", "inflammation", "mice"),
            ("crop rotation", "the need for fertilizer", "dry regions"),
        ),
    ),
    (
        "This {} is far too {} for {}.",
        (
            ("jacket", "thin", "a winter in the mountains"),
            ("film", "violent", "small children"),
            ("phone", "slow", "anything but calls"),
            ("flat", "expensive", "a student"),
        ),
    ),
    (
        "{} told us that {} would {}.",
        (
            ("The guide", "the cave", "be closed in the rainy season"),
            ("Our teacher", "the exam", "last three hours"),
            ("A passer-by", "the shop on the corner", "have a spare key"),
            ("The captain", "the crossing", "be rough"),
        ),
    ),
    (
        "To install the package, {} and then {}.",
        (
            ("download the archive", "run the setup script"),
            ("open a terminal", "type the following command"),
            ("disable the firewall", "restart the service"),
            ("create a virtual environment", "activate it"),
        ),
    ),
    (
        "The {} of {} has doubled since {}.",
        (
            ("price", "olive oil", "the drought began"),
            ("population", "the city", "the war"),
            ("number", "electric cars", "the subsidy was introduced"),
            ("size", "the glacier lake", "the seventies"),
        ),
    ),
    (
        "She {} the {} and {} without a word.",
        (
            ("folded", "letter", "left the room"),
            ("picked up", "violin", "began to play"),
            ("paid", "bill", "called a taxi"),
            ("closed", "laptop", "looked out of the window"),
        ),
    ),
    (
        "Is it safe to {} while {}?",
        (
            ("take aspirin", "breastfeeding"),
            ("eat raw fish", "pregnant"),
            ("charge the battery", "it is raining"),
            ("drive", "the warning light is on"),
        ),
    ),
    (
        "{} won the {} for {}.",
        (
            ("A retired nurse", "lottery", "the second time"),
            ("Marie Curie", "Nobel Prize", "her work on radium"),
            ("An unknown band", "song contest", "its ballad about the sea"),
            ("The smallest village", "award", "its gardens"),
        ),
    ),
    (
        "Please note that {} cannot be {} after {}.",
        (
            ("tickets", "refunded", "the performance has begun"),
            ("orders", "changed", "payment"),
            ("complaints", "accepted", "thirty days"),
            ("files", "recovered", "the trash is emptied"),
        ),
    ),
    (
        "The {} smells of {} and {}.",
        (
            ("old house", "dust", "apples"),
            ("workshop", "oil", "hot metal"),
            ("kitchen", "garlic", "burnt toast"),
            ("forest", "rain", "pine needles"),
        ),
    ),
    (
        "Photosynthesis turns {} into {} with the help of {}.",
        (
            ("carbon dioxide", "sugar", "light"),
            ("the energy of the sun", "chemical energy", "chlorophyll"),
            ("water", "oxygen", "green leaves"),
            ("air", "wood", "a great deal of patience"),
        ),
    ),
    (
        "We should {} unless {}.",
        (
            ("postpone the meeting", "everyone has read the draft"),
            ("sell the boat", "someone wants to repair it"),
            ("take the earlier flight", "the museum opens late"),
            ("hire a second cook", "business slows down"),
        ),
    ),
    (
        "The {} protects {} from {}.",
        (
            ("helmet", "the head", "falling stones"),
            ("ozone layer", "life on Earth", "ultraviolet radiation"),
            ("new law", "tenants", "sudden evictions"),
            ("dyke", "the village", "spring floods"),
        ),
    ),
    (
        "He has been {} since {}, and nobody {}.",
        (
            ("unemployed", "the factory closed", "will hire him"),
            ("missing", "Tuesday night", "knows why"),
            ("the mayor", "I was a child", "dares to run against him"),
            ("learning Japanese", "his retirement", "believes he will stop"),
        ),
    ),
    (
        "{} beats {} any day.",
        (
            ("A home-cooked meal", "fast food"),
            ("Reading the book", "watching the series"),
            ("A cold lake", "a heated pool"),
            ("Honest criticism", "polite silence"),
        ),
    ),
    (
        "An earthquake of magnitude {} struck {} early on {}.",
        (
            ("6.1", "the coast of Chile", "Sunday"),
            ("4.8", "central Italy", "Friday"),
            ("7.3", "an uninhabited island", "New Year's Day"),
            ("5.5", "the border region", "Wednesday"),
        ),
    ),
    (
        "The {} gene encodes a protein that {}.",
        (
            ("BRCA1", "repairs damaged DNA"),
            ("insulin", "regulates blood sugar"),
            ("FOXP2", "is linked to speech"),
            ("CFTR", "carries chloride through membranes"),
        ),
    ),
    (
        "Turn {} at the {}, then go straight on until you see {}.",
        (
            ("left", "church", "a fountain"),
            ("right", "second traffic light", "the hospital"),
            ("back", "roundabout", "the motorway signs"),
            ("left", "petrol station", "a red gate"),
        ),
    ),
    (
        "{} is a matter of {}, not of {}.",
        (
            ("Good bread", "time", "ingredients"),
            ("Taste", "habit", "principle"),
            ("Security", "discipline", "technology"),
            ("Chess", "memory", "genius, some say,"),
        ),
    ),
    (
        "A {} man in a {} was {} a {}.",
        (
            ("tall", "yellow raincoat", "feeding", "seagull"),
            ("young", "wheelchair", "playing", "trumpet"),
            ("bald", "dark suit", "arguing with", "taxi driver"),
            ("tired", "chef's hat", "peeling", "mountain of potatoes"),
        ),
    ),
    (
        "The {} compiler {} an error about {}.",
        (
            ("C++", "prints", "an ambiguous overload"),
            ("Rust", "reports", "a borrowed value"),
            ("Java", "gives", "an unchecked exception"),
            ("Swift", "shows", "an optional that is never unwrapped"),
        ),
    ),
    (
        "No, {} {}.",
        (
            ("thank you,", "I have already eaten"),
            ("the meeting is", "on Thursday"),
            ("that is not", "what I meant at all"),
            ("I have never", "been to Iceland"),
        ),
    ),
)


def calibration() -> list[str]:
    """64 sentences, in a fixed order."""
    return _filled(_CALIBRATION)


def evaluation() -> list[str]:
    """96 sentences, in a fixed order."""
    return _filled(_EVALUATION)


def _filled(frames: tuple[Frame, ...]) -> list[str]:
    return [frame.format(*words) for frame, fillings in frames for words in fillings]
