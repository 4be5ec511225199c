"""How questions are put into words: this project's own sentences, replaceable by a file.

Placeholders are ``{name}`` or, as in Pink's release, ``<name>``; ``" <image>"`` is taken out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json

#: Name of a list -> the fields that its sentences must hold.
FIELDS = {
    'grounding': ('expr',),
    'region_caption': ('objs',),
    'region_description': ('objs',),
    'question': ('question',),
    'open_question': ('question',),
    'choice': ('question', 'option'),
    'grounded_caption': (),
    'caption': (),
    'relation': ('object1', 'object2'),
    'related_boxes': ('object', 'relation'),
    'related_names': ('object', 'relation'),
    'related_boxes_names': ('object', 'relation'),
    'place_boxes_names': ('loc', 'object'),
    'place_names': ('loc', 'object'),
    'place_boxes': ('loc', 'object'),
    'detect': ('category',),
    'detect_like': ('object',),
    'count': ('category',),
    'count_like': ('object',),
    'object_name': ('objs',),
    'object_place': ('category',),
    'object_count': ('category',),
    'presence': ('category',),
    'segments': (),
}
#: The release's names of the same lists.
OFFICIAL_NAMES = {
    'VisualGrounding': 'grounding',
    'RegionGroundingCaption': 'region_caption',
    'GroundingCaption': 'region_description',
    'QuestionAnswer': 'question',
    'ChoiceQuestionAnswer': 'choice',
    'CaptionGrounding': 'grounded_caption',
    'ShortImageCaption': 'caption',
    'Relation_type1': 'relation',
    'Relation_type2': 'related_boxes',
    'Relation_type3': 'related_names',
    'Relation_type4': 'related_boxes_names',
    'CoarseLocation_Type1': 'place_boxes_names',
    'CoarseLocation_Type2': 'place_names',
    'CoarseLocation_Type3': 'place_boxes',
    'Detection_Type1': 'detect',
    'Detection_Type2': 'detect_like',
    'Counting_Type1': 'count',
    'Counting_Type2': 'count_like',
}
QUESTIONS: dict[str, tuple[str, ...]] = {
    'grounding': (
        'Give the box of {expr}.',
        'Where in this picture do you see {expr}?',
        'Mark the place of {expr} with a box.',
        'Which box holds {expr}?',
        'I am looking for {expr}; tell me its corners.',
        'Point me to {expr} by its coordinates.',
        'Locate {expr}, please.',
        'At which coordinates is {expr} found?',
    ),
    'region_caption': (
        'Say what is special about the part {objs}.',
        'How would you tell {objs} apart from the rest of the picture?',
        'Describe {objs} so that nothing else is meant.',
        'Which words single out {objs}?',
        'Find a phrase that fits {objs} alone.',
        'Name what can be seen in {objs}, precisely.',
    ),
    'region_description': (
        'What does the box {objs} show?',
        'Describe the part {objs}.',
        'In a few words, what is at {objs}?',
        'Tell me about {objs} in this picture.',
        'What do you see inside {objs}?',
        'Put what lies in {objs} into words.',
    ),
    'question': (
        'Look at the picture and answer shortly: {question}',
        'Answer in a word or two. {question}',
        '{question} Keep the answer short.',
        'A brief answer, please: {question}',
        'With a single word or phrase, answer {question}',
        'Here is a question about the picture: {question} Be brief.',
    ),
    'open_question': (
        'Look at the picture and answer in a sentence: {question}',
        '{question} Answer with a full sentence.',
        'Please answer this in a sentence: {question}',
        'Reply to {question} in one sentence.',
    ),
    'choice': (
        '{question} Choose one of these:\n{option}',
        'Pick the right option for {question}\n{option}',
        'Answer {question} with the letter of an option.\n{option}',
        'Look at the picture. {question} The options are\n{option}',
    ),
    'grounded_caption': (
        'Describe the picture and give the box of everything you name.',
        'Write a caption with a box [x0,y0,x1,y1] after each thing.',
        'Tell what is in the picture and where each thing is.',
        'Caption this picture; put coordinates behind the things you mention.',
        'What is to be seen here? Add the box of each object.',
    ),
    'caption': (
        'Describe the picture in a sentence.',
        'What does the picture show, in short?',
        'Write a short caption.',
        'Sum up this picture.',
        'One sentence about the picture, please.',
        'Tell me briefly what is to be seen.',
    ),
    'relation': (
        'How do {object1} and {object2} relate?',
        'What connects {object1} with {object2}?',
        'Name the relation between {object1} and {object2}.',
        'In what relation is {object1} to {object2}?',
        'Say how {object1} stands to {object2}.',
    ),
    'related_boxes': (
        'Give the boxes of all that {object} is {relation}.',
        'Where is everything to which {object} has the relation {relation}?',
        'Locate each thing that stands in the relation {relation} to {object}.',
        'Boxes only: what has {relation} with {object}?',
    ),
    'related_names': (
        'Name all that {object} is {relation}.',
        'To which kinds of things has {object} the relation {relation}?',
        'What stands in the relation {relation} to {object}? Names only.',
        'List the categories that {object} is linked to by {relation}.',
    ),
    'related_boxes_names': (
        'Give box and name of all that {object} is {relation}.',
        'What, and where, is everything to which {object} has the relation {relation}?',
        'Locate and name each thing in the relation {relation} to {object}.',
        'Boxes and names: what has {relation} with {object}?',
    ),
    'place_boxes_names': (
        'What lies at the {loc} of {object}? Give boxes and names.',
        'Name and locate all objects at the {loc} of {object}.',
        'Boxes and names of the things at {loc} of {object}, please.',
        'Which objects are at the {loc} of {object}, and where?',
    ),
    'place_names': (
        'What lies at the {loc} of {object}? Names only.',
        'Name all objects at the {loc} of {object}.',
        'Which kinds of things are at {loc} of {object}?',
        'List by name what is at the {loc} of {object}.',
    ),
    'place_boxes': (
        'Give the boxes of what lies at the {loc} of {object}.',
        'Locate all objects at the {loc} of {object}.',
        'Where are the things at {loc} of {object}?',
        'Boxes only: what is at the {loc} of {object}?',
    ),
    'detect': (
        'Give the boxes of all {category} in the picture.',
        'Where do you see a {category}?',
        'Locate every {category}.',
        'Find each {category} and list the boxes.',
        'Mark all objects of the kind {category}.',
    ),
    'detect_like': (
        'Give the boxes of all objects of the same kind as {object}.',
        'Locate everything that is what {object} is.',
        'Where are more of the kind of {object}? Include it.',
        'Find all objects that share the category of {object}.',
    ),
    'count': (
        'How many {category} does the picture show?',
        'Count the {category}.',
        'Give the number of {category} to be seen.',
        'What is the number of {category} here?',
    ),
    'count_like': (
        'How many objects are of the same kind as {object}?',
        'Count everything that is what {object} is.',
        'Give the number of objects like {object}.',
        'What is the number of things of the kind of {object}?',
    ),
    'object_name': (
        'What is in the box {objs}?',
        'Name the object at {objs}.',
        'To which class does {objs} belong?',
        'Which class has its segment at {objs}?',
    ),
    'object_place': (
        'Where is the {category}?',
        'Give the boxes of every {category}.',
        'Locate each {category} in the picture.',
        'Which boxes hold a {category}?',
    ),
    'object_count': (
        'How many segments of the class {category} are there?',
        'Count each {category}.',
        'How often does the class {category} occur?',
        'Give the number of segments called {category}.',
    ),
    'presence': (
        'Is there a {category} in the picture?',
        'Does the picture show a {category}?',
        'Can a {category} be seen here?',
        'Yes or no: is a {category} in the picture?',
    ),
    'segments': (
        'List everything in the picture with its number and box.',
        'Name all objects; number those of one class and give their boxes.',
        'What is where? Number the objects of each class.',
        'Write down every segment: class, number, box.',
    ),
}
_PLACEHOLDER = re.compile(r'\{(\w+)\}|<(\w+)>')


def load_questions(path: str | os.PathLike) -> dict[str, tuple[str, ...]]:
    """Read other sentences.

    Args:
        path: A JSON object: name of a list (ours, or the release's) -> sentences. Lists that it
            lacks keep this project's sentences.

    Returns:
        All lists by our names.

    Raises:
        AnnotationError: A list is unknown or empty, or a sentence lacks a field of its list.
    """
    content = load_json(path)
    if not isinstance(content, dict):
        raise AnnotationError(path, f'expected lists by name, got {type(content).__name__}.')
    questions = dict(QUESTIONS)
    for given, sentences in content.items():
        name = OFFICIAL_NAMES.get(given, given)
        if name not in FIELDS:
            raise AnnotationError(
                path, 'no such list of questions.', key=given, fix=f'Known: {sorted(FIELDS)}.'
            )
        if not isinstance(sentences, list) or not sentences:
            raise AnnotationError(path, 'expected a list of sentences.', key=given)
        for index, sentence in enumerate(sentences):
            lacking = set(FIELDS[name]) - fields_of(sentence)
            if lacking:
                raise AnnotationError(
                    path, f'has no {{{min(lacking)}}}: {sentence!r:.80}', key=f'{given}[{index}]'
                )
        questions[name] = tuple(sentences)
    return questions


def fields_of(sentence: str) -> set[str]:
    """Names of the placeholders in a sentence."""
    return {match[1] or match[2] for match in _PLACEHOLDER.finditer(sentence)}


def fill_in(sentence: str, fields: Mapping[str, str]) -> str:
    """Put texts in the place of placeholders, all at once: a text that holds one stays as it is."""
    sentence = sentence.replace(' <image>', '')
    return _PLACEHOLDER.sub(lambda match: fields.get(match[1] or match[2], match[0]), sentence)


def check_questions(questions: Mapping[str, Sequence[str]]) -> None:
    """Make sure that every list is there and every sentence holds its fields.

    Raises:
        ValueError: One does not; the message names it.
    """
    for name, fields in FIELDS.items():
        for sentence in questions[name]:
            if set(fields) - fields_of(sentence):
                raise ValueError(f'{name}: {sentence!r} lacks one of {fields}.')
