import pytest

from flmm.apis.task_choice import (
    apply_judge,
    apply_protocol,
    choose_tasks,
    metainfo_of_config,
    task_and_split,
)
from flmm.datasets import ConcatGrounding, PNGDataset, RefCOCODataset
from flmm.utils.errors import FLMMError

KNOWN = {
    'png': {'dataset': 'png_val'},
    'refcoco_val': {},
    'refcoco_testA': {},
    'refcoco_plus_val': {},
    'refcocog_test': {},
    'res': {},
}


@pytest.mark.parametrize(
    ('names', 'splits', 'chosen'),
    [
        (None, None, None),
        (['all'], None, list(KNOWN)),
        (['refcoco'], None, ['refcoco_val', 'refcoco_testA']),
        (['ref*'], ['val'], ['refcoco_val', 'refcoco_plus_val']),
        # What a name does not tell, the data set does.
        (None, ['val'], ['png', 'refcoco_val', 'refcoco_plus_val']),
        (['png'], ['val'], ['png']),
        (['png', 'refcoco'], ['testA'], ['refcoco_testA']),
        (None, ['testA', 'test'], ['refcoco_testA', 'refcocog_test']),
        (['res', 'png', 'refcoco'], ['val'], ['png', 'refcoco_val', 'res']),
    ],
)
def test_tasks_by_name_family_pattern_and_split(names, splits, chosen):
    assert choose_tasks(KNOWN, names, splits) == chosen


@pytest.mark.parametrize(
    ('names', 'splits'), [(['ade'], None), (['png'], ['testA']), (None, ['x'])]
)
def test_what_matches_nothing_is_an_error(names, splits):
    with pytest.raises(FLMMError):
        choose_tasks(KNOWN, names, splits)


@pytest.mark.parametrize(
    ('task', 'metainfo', 'expected'),
    [
        ('refcoco_plus_testA', {}, ('refcoco_plus', 'testA')),
        ('png', {'dataset': 'png_val'}, ('png', 'val')),
        ('mine', {'dataset': 'x', 'split': 'test'}, ('mine', 'test')),
        ('res', {'parts': [{'split': 'val'}, {'split': 'val'}]}, ('res', 'val')),
        ('res', {'parts': [{'split': 'val'}, {'split': 'testA'}]}, ('res', 'all')),
        ('stripes', None, ('stripes', 'all')),
    ],
)
def test_task_and_split(task, metainfo, expected):
    assert task_and_split(task, metainfo) == expected


def test_the_config_of_a_dataset_tells_its_split():
    refcoco = dict(type=RefCOCODataset, split='val', name='refcoco')
    joined = metainfo_of_config(dict(type=ConcatGrounding, datasets=[refcoco, dict(refcoco)]))
    assert task_and_split('res', joined) == ('res', 'val')
    png = metainfo_of_config(dict(type=PNGDataset, name='png_val'))
    assert task_and_split('png', png) == ('png', 'val')
    assert metainfo_of_config(None) == {}


def test_a_protocol_reaches_every_dataset_that_takes_it():
    refcoco = dict(type=RefCOCODataset, split='val')
    loaders = {
        'png': dict(batch_size=1, dataset=dict(type=PNGDataset)),
        'res': dict(dataset=dict(type=ConcatGrounding, datasets=[refcoco, dict(refcoco)])),
    }
    changed = apply_protocol(loaders, {'sentence': 'all', 'plural_as': 'own'})
    assert changed['png']['dataset'] == dict(type=PNGDataset, plural_as='own')
    assert [part['sentence'] for part in changed['res']['dataset']['datasets']] == ['all', 'all']
    assert 'sentence' not in refcoco and changed['png']['batch_size'] == 1
    with pytest.raises(FLMMError, match='sentences'):
        apply_protocol(loaders, {'sentences': 'all'})


@pytest.mark.parametrize(
    'protocol', [{'sentence': 'frist'}, {'concat': 'no'}, {'plural_as': 1}, {'concat': None}]
)
def test_a_protocol_with_a_value_that_means_nothing_is_refused(protocol):
    loaders = {
        'png': dict(dataset=dict(type=PNGDataset)),
        'res': dict(dataset=dict(type='RefCOCODataset')),
    }
    [key] = protocol
    with pytest.raises(FLMMError, match=f'{key} of .* is one of'):
        apply_protocol(loaders, protocol)


def test_a_judge_reaches_the_metrics_that_ask_one():
    vet, pope = (dict(type='VQAMetric', benchmark=name) for name in ('mmvet', 'pope'))
    judge = dict(type='Judge', model='x')
    changed = apply_judge({'vet': [vet], 'pope': [pope]}, judge)
    assert changed == {'vet': [dict(vet, judge=judge)], 'pope': [pope]} and 'judge' not in vet
    with pytest.raises(FLMMError, match='None of the tasks pope asks a judge'):
        apply_judge({'pope': [pope]}, judge)
