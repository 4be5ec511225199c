"""VCR: names of regions, questions, reasons, candidates."""

import copy
import json
import re

import pytest

from flmm.datasets.vcr import VCRDataset

RECORD = {
    'img_fn': 'a.jpg',
    'metadata_fn': 'a.json',
    'objects': ['person', 'dog', 'chair'],
    'question_orig': 'Why is 1 looking at 2 ?',
    'answer_orig': '1 likes 2 .',
    'rationale_orig': '2 sits on 3 .',
    'question': ['Why', 'is', [0], 'looking', 'at', [1], '?'],
    'answer_choices': [[[0], 'likes', [1], '.'], [[0, 2], 'fight', '.'], ['Nobody', '.'], ['No']],
    'answer_label': 0,
    'rationale_choices': [[[1], 'sits', '.'], ['Well', '.'], ['Hm'], [[2], 'is', 'red', '.']],
    'rationale_label': 3,
}
BOXES = [[10, 10, 40, 50, 0.9], [50, 20, 90, 40, 0.9], [0, 0, 20, 20, 0.9]]
TEMPLATES = {
    'vcr': {'overview': ['<image>|'], 'region_list': ['{regions}: '], 'why': ['why?']},
}


def build(tmp_path, *records, boxes=BOXES, **options):
    (tmp_path / 'a.json').write_text(json.dumps({'boxes': boxes}))
    lines = ''.join(json.dumps(record) + '\n' for record in records or (RECORD,))
    (tmp_path / 'train.jsonl').write_text(lines)
    options = {'templates': TEMPLATES, **options}
    return VCRDataset(str(tmp_path / 'train.jsonl'), str(tmp_path), **options)


def test_all_objects_are_introduced_and_named_by_class_and_region(tmp_path):
    sample = build(tmp_path)[0]
    first, second = sample.turns
    assert first.request == (
        '<image>|region1 <region>, region2 <region>, region3 <region>: '
        'Why is person at region1 looking at dog at region2 ?'
    )
    assert first.answer == 'person at region1 likes dog at region2 .'
    assert (second.request, second.answer) == ('why?', 'dog at region2 sits on chair at region3 .')
    assert [region.box_xyxy for region in sample.regions] == [tuple(b[:4]) for b in BOXES]


def test_the_release_s_names_are_one_too_far(tmp_path):
    record = {**RECORD, 'rationale_orig': 'It is so .'}
    sample = build(tmp_path, record, names='gpt4roi_release')[0]
    assert sample.turns[0].answer == 'dog at region1 likes chair at region2 .'
    # And of the last object there is no name: the release drops such samples silently.
    item = build(tmp_path, names='gpt4roi_release')[0]
    assert item.reason == 'annotation_invalid' and 'object 3 of 2' in item.detail


def test_mentioned_objects_stand_in_the_question_itself(tmp_path):
    sample = build(tmp_path, regions='mentioned')[0]
    (turn,) = sample.turns  # the reason speaks of the chair, which the question does not
    assert turn.request == '<image>|Why is region1 <region> looking at region2 <region> ?'
    assert len(sample.regions) == 2
    record = {**RECORD, 'rationale_orig': '2 sits .', 'question_orig': 'Does 2 see 2 and 1 ?'}
    sample = build(tmp_path, record, regions='mentioned')[0]
    assert sample.turns[0].request.endswith(
        'Does region1 <region> see dog at region1 and region2 <region> ?'
    )
    assert sample.turns[1].answer == 'dog at region1 sits .'


def test_single_and_multi_take_the_questions_that_mention_so_many(tmp_path):
    single = {**RECORD, 'question_orig': 'Who is 1 ?', 'answer_orig': '1 .'}
    reasons = {
        regions: [getattr(item, 'reason', '') for item in build(
            tmp_path, single, RECORD, regions=regions)]
        for regions in ('single', 'multi')
    }  # fmt: skip
    assert reasons == {'single': ['', 'no_phrase'], 'multi': ['no_phrase', '']}


def test_candidates_and_labels(tmp_path):
    sample = build(tmp_path, task='choose')[0]
    q2a, qa2r = sample.meta['choices']['q2a'], sample.meta['choices']['qa2r']
    assert q2a['candidates'][:2] == [
        'person at region1 likes dog at region2 .',
        'person at region1 and chair at region3 fight .',
    ]
    assert (q2a['label'], qa2r['label']) == (0, 3)
    # The reason is chosen given the right answer.
    assert qa2r['turns'][0][1] == q2a['candidates'][0]
    assert qa2r['turns'][0][0] == q2a['turns'][0][0] == sample.turns[0].request


def test_texts_may_be_lists_of_words_alone(tmp_path):
    record = copy.deepcopy(RECORD)
    for key in ('question', 'answer', 'rationale'):
        del record[f'{key}_orig']
    record |= {'answer': [[0, 1, 2], 'play', '.'], 'rationale': ['So', '.']}
    sample = build(tmp_path, record)[0]
    assert sample.turns[0].answer == (
        'person at region1 , dog at region2 and chair at region3 play .'
    )


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'question_orig': 'Are there 20 desks ?'}, 'object 20 of 3'),
        ({'answer_orig': 'It is 0 .'}, 'object 0 of 3'),
        ({'answer_orig': ''}, 'answer_orig is empty'),
        ({'objects': ['person']}, '3 boxes, its question 1 objects'),
        ({'img_fn': '../a.jpg'}, 'goes up'),
        ({'metadata_fn': 'none.json'}, 'no such file'),
    ],
)
def test_broken_questions_are_counted_and_named(tmp_path, change, message):
    item = build(tmp_path, {**RECORD, **change})[0]
    assert item.reason == 'annotation_invalid' and message in item.detail


def test_options_are_checked(tmp_path):
    for option in ('task', 'regions', 'names', 'labels'):
        with pytest.raises(ValueError, match=option):
            build(tmp_path, **{option: 'other'})


def test_shuffled_labels_are_those_of_other_questions_about_ones_own_objects(tmp_path):
    objects = ['person', 'dog', 'car']
    records = [
        {
            **RECORD,
            'annot_id': str(number),
            'objects': objects,
            'question': ['Who', 'is', [number % 3], '?'],
            'question_orig': None,
            'answer': [f'answer{number}', 'of', [number % 3]],
            'answer_orig': None,
            'rationale': ['because', f'reason{number}'],
            'rationale_orig': None,
        }
        for number in range(60)
    ]
    train = build(tmp_path, *records, labels='shuffled')
    answers = [train[i].turns[0].answer for i in range(60)]
    given = [int(re.search(r'answer(\d+)', text)[1]) for text in answers]
    # Never one's own, of many different ones, and the reason is of the same question.
    assert all(i != j for i, j in enumerate(given)) and len(set(given)) > 25
    assert [train[i].turns[1].answer.split('reason')[1] for i in range(60)] == [
        str(j) for j in given
    ]
    # The object is the one that is asked about here.
    assert all(objects[i % 3] in text for i, text in enumerate(answers))
    train.set_epoch(1)
    assert [train[i].turns[0].answer for i in range(60)] == answers
    assert train.metainfo['labels'] == 'shuffled'
    with pytest.raises(ValueError, match='score it by the true ones'):
        build(tmp_path, *records, task='choose', labels='shuffled')
