"""Pink's configs: official settings; a step of training on tiny weights in the real layouts."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from flmm.datasets import Visual7WDataset, grounding_collate
from flmm.datasets.derived_files import boxes_by_image, pointqa_local
from flmm.datasets.toy.build import ToySettings, build_toy_world
from flmm.registry import DATASETS, METRICS, MODELS
from flmm.utils.safe_io import load_json

CONFIGS = sorted((Path(__file__).parents[2] / 'configs/pink').glob('*.py'))
OFFICIAL = {
    'pink_stage1': dict(lr=2e-3, weight_decay=0.0, epochs=1, accumulate=16, warmup=0.03),
    'pink_stage2': dict(lr=5e-4, weight_decay=0.02, epochs=6, accumulate=4, warmup=0.3),
    'pink_stage2_objects365': dict(lr=5e-4, weight_decay=0.02, epochs=6, accumulate=4, warmup=0.3),
}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_hyper_parameters_are_the_official_ones(path):
    config = Config.fromfile(path)
    wanted = OFFICIAL[path.stem]
    wrapper = config.optim_wrapper
    assert wrapper.optimizer.lr == wanted['lr']
    assert wrapper.optimizer.weight_decay == wanted['weight_decay']
    assert wrapper.accumulative_counts == wanted['accumulate']
    assert config.train_cfg.max_epochs == wanted['epochs']
    assert config.param_scheduler[0].end == pytest.approx(wanted['warmup'])
    assert config.train_dataloader.batch_size == 1
    assert len(path.read_text().splitlines()) <= 40


def test_stage_2_mixes_and_adapts_as_the_release_does():
    config = Config.fromfile(next(p for p in CONFIGS if p.stem == 'pink_stage2_objects365'))
    assert config.train_dataloader.dataset.weights == (
        'visual_genome:6@llava:6@vqav2:6@aokvqa:6@flickr30k:6@objects365'
    )
    assert set(config.train_dataloader.dataset.datasets) == {
        *('visual_genome', 'llava', 'vqav2', 'aokvqa', 'flickr30k', 'objects365')
    }
    adapters = config.model.adapters
    assert {name: (a.part, a.hidden, a.dropout) for name, a in adapters.items()} == {
        'language': ('language', 8, 0.1),
        'vision': ('vision', 8, 0.1),
    }
    assert adapters.vision.skip_last == 1
    assert config.model.token_rows.vocab_size == 32000 + 1 + 12


def test_stage_1_trains_the_projector_on_bare_captions():
    config = Config.fromfile(next(p for p in CONFIGS if p.stem == 'pink_stage1'))
    assert 'adapters' not in config.model and 'token_rows' not in config.model
    processor = config.train_dataloader.dataset.pipeline[-1].processor
    assert processor.template == 'pink_caption'


def test_every_evaluation_is_scored_by_both_protocols():
    config = Config.fromfile(next(p for p in CONFIGS if p.stem == 'pink_stage2'))
    assert set(config.test_dataloader) == set(config.test_evaluator)
    for task, metrics in config.test_evaluator.items():
        assert [metric.prefix for metric in metrics] == [task, f'official/{task}']
    asked = 'refcoco_testA refcoco_plus_val refcocog_test visual7w gqa vqav2 okvqa vsr iconqa'
    assert {*asked.split(), 'seed_bench', 'pointqa_local'} <= set(config.test_evaluator)


TOY = Path(__file__).parents[2] / 'configs/toy'
FORMATS = ('refcoco', 'visual_genome', 'objects365', 'visual7w', 'pointqa')


@pytest.fixture(scope='module')
def toy_data(tmp_path_factory):
    root = tmp_path_factory.mktemp('pink') / 'toy'
    build_toy_world(root, ToySettings(num_train=6, num_val=2, formats=FORMATS), quiet=True)
    return root


def moved(config, root):
    """The config with the toy data in another folder."""

    def walk(node):
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items()}
        if isinstance(node, (list, tuple)):
            return [walk(value) for value in node]
        return node.replace('data/toy_pink', str(root)) if isinstance(node, str) else node

    return Config(walk(config.to_dict()))


@pytest.mark.parametrize('name', ['pink_tiny_llava', 'pink_projector_tiny_llava'])
def test_the_toy_config_trains_a_step_and_answers_every_task(name, toy_data, monkeypatch):
    monkeypatch.chdir(TOY.parents[1])
    config = moved(Config.fromfile(TOY / f'{name}.py'), toy_data)
    model = MODELS.build(config.model).train()
    dataset = DATASETS.build(config.train_dataloader.dataset)
    batch = grounding_collate([dataset[i] for i in range(0, len(dataset), len(dataset) // 4)])
    assert not batch['skipped']
    model(**batch, mode='loss')['loss_lm'].backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    model.eval()
    model.max_new_tokens = 4
    for task, loader in config.test_dataloader.items():
        data = DATASETS.build(loader.dataset)
        predictions = model(**grounding_collate([data[0], data[1]]), mode='predict')
        for metric in config.test_evaluator[task]:
            metric = METRICS.build(metric)
            metric.process({}, predictions)
            values = metric.conclude(metric.results)
            assert all(key.startswith(f'{task}/') for key in values)


def test_the_control_lacks_the_adapters_and_nothing_else():
    main, control = (
        Config.fromfile(TOY / f'pink_{name}tiny_llava.py').to_dict() for name in ('', 'projector_')
    )
    assert set(main['model'].pop('adapters')) == {'language', 'vision'}
    assert main == control


def test_bootstrapped_captions_take_the_place_of_the_mixture(toy_data, tmp_path):
    kept = tmp_path / 'kept.jsonl'
    image = next((toy_data / 'objects365/train').rglob('*.jpg'))
    line = {
        'image_id': str(image.relative_to(toy_data / 'objects365/train')),
        'anno': [],
        'pred': [{'caption': 'a red circle', 'bbox': [10, 10, 40, 40]}],
        'generate_caption': '',
    }
    kept.write_text(json.dumps(line) + '\n')
    config = Config.fromfile(TOY / 'pink_tiny_llava_objects365.py')
    config.train_dataloader.dataset.update(
        ann_file=str(kept), image_root=str(toy_data / 'objects365/train')
    )
    (turn,) = DATASETS.build(config.train_dataloader.dataset)[0].turns
    assert turn.request == 'Where is<des>a red circle</des>'


def test_toy_files_read_as_the_real_ones_do(toy_data):
    pointing = Visual7WDataset(
        str(toy_data / 'visual7w/dataset_v7w_pointing.json'), str(toy_data / 'visual7w/images')
    )
    assert pointing[0].meta['choice'] in range(4)
    ids = load_json(toy_data / 'pointqa/localqa_val_imgs.json')
    entries = pointqa_local(load_json(toy_data / 'pointqa/localqa_dataset.json'), ids)
    assert entries and all(entry['points']['ans'] for entry in entries)
    instances = load_json(toy_data / 'objects365/zhiyuan_objv2_val.json')
    records = boxes_by_image(instances, drop_prefix=10)
    assert len(records) == 2
    assert all((toy_data / 'objects365/val' / r['image_id']).is_file() for r in records)
