"""Small lists of English words that tell where a noun phrase ends; for captions, not for prose."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words that end a noun phrase: what stands between phrases in a description.
BREAKS = _words(
    """
    about above across after against along also amid among and are around as at be because been
    before behind being below beneath beside besides between beyond but by can carries carry
    contains could covered covers did do does doing down during each every for from had has have
    having he her here him his holding how i if in inside into is it its itself just lies
    like me might my near nearby next nor not of off on onto or our out outside over past she
    should so than that their them then there these they this those through throughout to together
    too toward towards under underneath until up upon us very was we were what when where which
    while who whose why will with within without would you your
    """
)
#: Words that may begin a phrase but are none by themselves.
OPENERS = _words('a an the some any all both one two three four five six seven eight several many')
PRONOUNS = _words(
    """
    i me my mine myself you your yours he him his she her hers it its they them their theirs we us
    our ours this that these those who whom whose which what where there here one ones other others
    each everyone everything someone something anyone anything nothing nobody none itself himself
    herself themselves another both all some any
    """
)
#: Nouns about the picture itself or about a place in it: nothing that a mask could show.
NOT_OBJECTS = _words(
    """
    image images picture pictures photo photos photograph photographs scene scenes view views shot
    screenshot snapshot top bottom left right middle center centre side sides front back
    foreground background corner corners edge edges distance
    """
)
#: Adjectives so common that what follows them still belongs to the phrase.
ADJECTIVES = _words(
    """
    red green blue yellow purple white black brown grey gray orange pink golden silver beige dark
    light bright pale small little tiny large big huge tall short long wide narrow young old new
    wooden metal plastic round square striped dotted plain colorful colourful beautiful empty full
    open closed other different various
    """
)
_VERBS = """
    appear bend bite blow bounce bring build buy call catch chase chew clean climb close
    come compete cook cross cut dance dive drag draw drive eat enjoy enter fall feed feel fill
    float fly follow gaze get give glide go grab graze grow hang hit hold hug jump keep kick
    kneel know laugh lay lean leap leave lick lie listen make move need open pass pet
    pick play point pose prepare pull push put raise reach read receive relax rest ride rise run
    say see seem sell shine show sing sit skate sleep slide smell smile speak stand stare stay
    stick stretch surround swim swing take talk throw touch try turn use wait walk wash watch wave
    wear work write
    """.split()
_IRREGULAR = _words(
    """
    ate began bent bit blew brought built bought caught came cut drew drove fell fed felt flew gave
    went grabbed grew hung held kept knelt knew laid led left lay lying made met put ran rode rose
    said sat saw sang shone slept slid spoke spread stood stuck swam swung took thrown threw told
    wore worn written wrote
    """
)
#: What ends in -ing and is a noun all the same.
ING_NOUNS = _words(
    """
    building buildings ceiling railing painting clothing string ring wing king thing something
    anything nothing everything evening morning awning landing parking crossing lighting frosting
    icing bedding flooring siding wedding dressing stuffing filling carving drawing opening
    covering swing spring earring pudding sibling duckling packaging seating topping writing
    """
)


def _forms(verb: str) -> set[str]:
    stem = verb[:-1] if verb.endswith('e') and not verb.endswith(('ee', 'ie')) else verb
    short = len(verb) == 3 or verb in ('swim', 'grab', 'drag')
    doubled = verb + verb[-1] if short else verb
    third = verb + ('es' if verb.endswith(('s', 'sh', 'ch', 'x', 'o')) else 's')
    if verb.endswith('y') and verb[-2] not in 'aeou':
        third = verb[:-1] + 'ies'
    return {third, stem + 'ing', doubled + 'ing', stem + 'ed', doubled + 'ed'}


VERB_BASES = frozenset(_VERBS)
#: Inflected verbs: what they follow is a noun phrase that is over. "A brick building" is far more
#: frequent than somebody building something.
VERB_FORMS = (frozenset(form for verb in _VERBS for form in _forms(verb)) | _IRREGULAR) - {
    'building'
}
PLURAL_NOUNS = _words('people men women children kids boys girls sheep deer fish cattle police')


def ends_noun_phrase(word: str, before: str) -> bool:
    """Whether a word is a verb that follows a noun, so that the phrase before it is over.

    Args:
        word: The word, lower case.
        before: The word before it in the phrase, lower case; empty if there is none.
    """
    if not before or before in OPENERS or before in ADJECTIVES or before.isdigit():
        return False
    if word in VERB_FORMS:
        return True
    if word in VERB_BASES:
        return (before.endswith('s') and not before.endswith("'s")) or before in PLURAL_NOUNS
    return word.endswith('ing') and len(word) > 5 and word not in ING_NOUNS
