"""English-looking prose without end, the same for the same seed: bodies for the fixture web, written by nobody."""

import random

PEOPLE = (
    "the ferryman",
    "a retired surveyor", "our neighbour", "the night baker", "my aunt", "the lighthouse keeper", "a young botanist",
    "the village clerk", "an old typesetter", "the orchard's owner", "a travelling tuner", "the school's only cook",
)  # fmt: skip
DEEDS = (
    "repaired", "measured", "forgot", "painted", "described", "carried home", "weighed", "traded away", "drew from memory",
    "buried under the porch", "polished", "catalogued", "lent to a stranger", "found again", "took apart", "compared",
)  # fmt: skip
THINGS = (
    "harbour bell", "paper map", "copper kettle", "beehive",
    "barometer", "walnut tree", "ledger", "weather vane",
    "spinning wheel",
    "stone bridge", "rowing boat", "grain mill", "telescope", "quilt", "violin", "garden wall", "letter press", "salt cellar",
    "sundial",
    "wooden clock", "fishing net", "orchard ladder", "tin lantern", "rain barrel",
)  # fmt: skip
KINDS = ("small", "crooked", "forgotten", "heavy", "blue", "borrowed", "unfinished", "patient", "noisy", "honest", "famous")
PLACES = (
    "behind the chapel", "near the frozen canal",
    "at the edge of the market", "in the attic of the mill", "along the southern road",
    "under the railway arch", "on the second island", "beside the tannery", "across the shallow ford", "in the reading room",
)  # fmt: skip
TIMES = (
    "in the spring of the flood",
    "before the first snow", "one morning in late August", "during the long strike", "after the fair",
    "when the trains stopped", "on the shortest day", "while the town slept", "ten years later", "without telling anyone",
)  # fmt: skip
REASONS = (
    "because nobody else would",
    "although the price was absurd", "so that the children could see it", "and never spoke of it again",
    "which surprised the whole street", "as the old custom demanded", "for a bottle of plum brandy", "to settle a quiet argument",
    "since the archive had no copy", "in spite of the doctor's advice", "and wrote down every number", "until the light was gone",
)  # fmt: skip


def sentence(chance: random.Random) -> str:
    person, other = chance.sample(PEOPLE, 2)
    parts = [
        person,
        chance.choice(DEEDS),
        f"the {chance.choice(KINDS)} {chance.choice(THINGS)}",
        chance.choice(PLACES),
        chance.choice(TIMES),
        chance.choice(REASONS),
    ]
    if chance.random() < 0.4:
        parts.append(f"while {other} {chance.choice(DEEDS)} a {chance.choice(KINDS)} {chance.choice(THINGS)}")
    text = " ".join(parts)
    return text[0].upper() + text[1:] + "."


def paragraphs(seed: str, *, count: int = 6, sentences: int = 5) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(sentence(chance) for _ in range(sentences)) for _ in range(count)]


def page(seed: str, *, title: str, count: int = 6, head: str = "") -> bytes:
    """An HTML page of one article."""
    body = "\n".join(f"<p>{text}</p>" for text in paragraphs(seed, count=count))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>{head}</head>\n'
        f"<body><article><h1>{title}</h1>\n{body}\n</article></body></html>\n"
    ).encode()
