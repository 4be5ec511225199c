"""What a written answer says: yes or no, an option, a word. Texts are only ever searched.

The rules are those of the benchmarks' own scripts, as the releases that report numbers apply
them; where such a rule fails on some texts, ours says "no answer" instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from flmm.evaluation.short_answers import spell_alike, strip_punctuation

LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
# The last dot is any character, as in the benchmark's script: "The answer is B: a dog" counts.
_SAID = re.compile(r'The answer is ([A-Z]).')
_CAPITAL = re.compile(r'[A-Z]')
# "A", "A.", "(A)", "A: text", "Answer: A", "the option is A".
_BARE = re.compile(r'\W*([A-Z])(?:\W+.*)?\Z', re.DOTALL)
_NAMED = re.compile(r'(?i:answer|option|choice)(?i: is)?\s*:?\s*\(?([A-Z])\b')


def pope_says_yes(text: str) -> bool:
    """POPE: no if the first sentence has the word "no" or "not", else yes.

    Args:
        text: The answer.
    """
    words = text.lower().split('.')[0].replace(',', '').split()
    return not {'no', 'not'} & set(words)


def mme_answer(text: str) -> Literal['yes', 'no', 'other']:
    """MME: whether the first four characters hold "yes" or "no".

    Args:
        text: The answer.
    """
    start = text.lower()[:4]
    if text.lower() in ('yes', 'no'):
        return text.lower()  # type: ignore[return-value]
    return 'yes' if 'yes' in start else 'no' if 'no' in start else 'other'


def hallusion_says_yes(text: str) -> bool:
    """HallusionBench as scored without a language model: "yes" anywhere in the answer.

    Args:
        text: The answer.
    """
    return 'yes' in text.lower()


def scienceqa_option(text: str, count: int) -> int | None:
    """ScienceQA: the letter alone, before a full stop and a space, or after "The answer is".

    After the last form something must follow, a full stop or anything else.

    Args:
        text: The answer.
        count: Number of options.

    Returns:
        Index of the option; None for no or no such option.
    """
    if text in LETTERS and len(text) == 1:
        letter = text
    elif len(text) >= 3 and text[0] in LETTERS and text[1:3] == '. ':
        letter = text[0]
    else:
        said = _SAID.findall(text)
        if len(said) != 1:
            return None
        letter = said[0]
    index = LETTERS.index(letter)
    return index if index < count else None


def first_capital(text: str) -> int | None:
    """AI2D: the first capital letter of the answer.

    Args:
        text: The answer.

    Returns:
        Index of the option, None without a capital (the release fails there).
    """
    found = _CAPITAL.search(text)
    return LETTERS.index(found[0]) if found else None


def first_character(text: str) -> int | None:
    """SEED: the first character, of either case.

    Args:
        text: The answer.
    """
    letter = text.strip()[:1].upper()
    return LETTERS.index(letter) if letter and letter in LETTERS else None


def letter_alone(text: str, letters: str = 'ABCD') -> int | None:
    """Q-Bench: the answer is a letter and nothing else.

    Args:
        text: The answer.
        letters: Those that count.

    Returns:
        Index of the option, else None (the release then takes the last option).
    """
    text = text.strip()
    return letters.index(text) if len(text) == 1 and text in letters else None


def find_option(text: str, choices: Sequence[str]) -> int | None:
    """The option that an answer names: by its letter, or by its whole text.

    For benchmarks whose own script asks a language model (MMBench).

    Args:
        text: The answer.
        choices: Texts of the options.

    Returns:
        Index of the option, None where it names none or several.
    """
    text = text.strip()
    letters = LETTERS[: len(choices)]
    plain = text.lower().rstrip('.')
    same = [i for i, choice in enumerate(choices) if choice.strip().lower().rstrip('.') == plain]
    if len(same) == 1:
        return same[0]
    bare = _BARE.match(text)
    # "A dog is here" begins with a word, not with a letter: only marks may follow the letter.
    if bare and bare[1] in letters and (len(text) < 3 or not re.match(r'\W*[A-Z] \w', text)):
        return letters.index(bare[1])
    named = set(_NAMED.findall(text)) & set(letters)
    return letters.index(named.pop()) if len(named) == 1 else None


def evalai_answer(text: str) -> str:
    """Answer in the spelling of the EvalAI server, for TextVQA.

    Args:
        text: The answer.
    """
    text = text.lower().replace(',', '').replace('?', '').replace("'s", " 's").strip()
    text = text.replace('\n', ' ').replace('\t', ' ').strip()
    return spell_alike(strip_punctuation(text))
