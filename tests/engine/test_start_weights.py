"""Weights of an earlier training, in every form that a strategy or a tool leaves them in."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from flmm.engine.checkpoint import save_training_state, trainable_state_dict
from flmm.engine.sharded_checkpoint import MANIFEST, save_sharded_state
from flmm.engine.start_weights import find_weights, hand_over_weights
from flmm.models.adapters import BottleneckAdapters
from flmm.models.roi_extractors import MultiLevelRoIQuery
from flmm.models.systems import CoLLaVO, GPT4RoI, Pink
from flmm.utils.errors import CheckpointError

META = {'epoch': 0, 'iter': 3, 'seed': 1}


def save_sharded(weights, path):
    """As a run with --deepspeed saves them."""
    common = {'meta': META, 'state_dict': {}, 'aliases': {}, 'zero': {}}
    shapes = {name: list(weight.shape) for name, weight in weights.items()}
    pieces = {n: {'start': 0, 'weight': w.float().flatten()} for n, w in weights.items()}
    save_sharded_state(path, {**common, 'shapes': shapes}, pieces, rank=0)


def save_deepspeeds_own(weights, path):
    path.mkdir(parents=True)
    torch.save({'module': weights}, path / 'mp_rank_00_model_states.pt')


def save_export(weights, path):
    path.mkdir(parents=True)
    save_file(weights, path / 'model.safetensors')


KINDS = {
    'file': lambda weights, path: save_training_state({'meta': META, 'state_dict': weights}, path),
    'sharded': save_sharded,
    'deepspeed': save_deepspeeds_own,
    'bare': torch.save,
}


class Starter(nn.Linear):
    """The smallest system that starts from something."""

    def __init__(self, starts_from=None):
        super().__init__(2, 1)
        self.starts_from, self.read_from = starts_from, None

    def take_weights(self, weights, path):
        self.read_from = path
        self.load_state_dict(weights)
        return sorted(weights)


WEIGHTS = {'weight': torch.tensor([[3.0, 4.0]]), 'bias': torch.tensor([5.0])}


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('named', ['checkpoint', 'work dir'])
def test_weights_of_every_strategy_are_found_and_read(tmp_path, kind, named):
    path = tmp_path / 'iter_3.pth'
    KINDS[kind](WEIGHTS, path)
    # As mmengine writes it: with the folder of another machine.
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/iter_3.pth')
    model = Starter(str(path if named == 'checkpoint' else tmp_path))
    assert hand_over_weights(model) == ['bias', 'weight']
    assert model.bias.tolist() == [5] and model.read_from == str(path)


def test_an_export_is_named_by_its_folder_or_its_file(tmp_path):
    save_export(WEIGHTS, tmp_path / 'mine')
    for path in (tmp_path / 'mine', tmp_path / 'mine/model.safetensors'):
        model = Starter(str(path))
        hand_over_weights(model)
        assert model.weight.tolist() == [[3, 4]]


def test_of_a_work_dir_the_newest_whole_checkpoint_counts(tmp_path):
    for step in (3, 6, 9):
        save_sharded(WEIGHTS, tmp_path / f'iter_{step}.pth')
    (tmp_path / 'iter_9.pth' / MANIFEST).unlink()
    assert find_weights(tmp_path) == tmp_path / 'iter_6.pth'


def test_a_work_dir_without_any_is_an_error_that_names_it(tmp_path):
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        hand_over_weights(Starter(str(tmp_path)))
    with pytest.raises(CheckpointError, match=r'gone: no such file'):
        hand_over_weights(Starter(str(tmp_path / 'gone')))


def test_who_starts_from_nothing_reads_nothing():
    model = Starter()
    assert hand_over_weights(model) == [] and model.read_from is None
    assert hand_over_weights(nn.Linear(2, 1)) == []


def gpt4roi(lmm, tokenizer, **options):
    extractor = dict(
        type=MultiLevelRoIQuery, hidden_channels=16, box_channels=8, roi_size=3, rounds=1
    )
    return GPT4RoI(lmm, extractor, levels=(1, 2), **options)


def pink(lmm, tokenizer, stage=1, **options):
    adapters = {} if stage == 1 else dict(language=dict(type=BottleneckAdapters))
    return Pink(lmm, tokenizer, adapters, **options)


def collavo(lmm, tokenizer, **options):
    tables = dict(embed_channels=8, num_classes=4, max_instances=3)
    return CoLLaVO(lmm, tokenizer, tables, dict(rank=4, alpha=8), **options)


STAGES = {
    'gpt4roi': (
        gpt4roi,
        {},
        dict(trains=('regions', 'projector', 'language')),
        'regions_from',
    ),
    'pink': (pink, dict(stage=1), dict(stage=2), 'projector_from'),
    'collavo': (collavo, dict(train_image_lora=False), {}, 'weights_from'),
}


@pytest.mark.parametrize('system', STAGES)
@pytest.mark.parametrize('kind', ['sharded', 'export'])
def test_stage_2_of_every_system_starts_from_a_deepspeed_stage_1(
    system, kind, tmp_path, tiny_llava, tiny_tokenizer
):
    build, first_options, second_options, option = STAGES[system]
    lmm = dict(type='HFLMM', pretrained=str(tiny_llava), dtype='float32')
    first = build(lmm, tiny_tokenizer, **first_options)
    learned = {name: weight + 1 for name, weight in trainable_state_dict(first).items()}
    (save_sharded if kind == 'sharded' else save_export)(learned, tmp_path / 'iter_3.pth')
    place = tmp_path if kind == 'sharded' else tmp_path / 'iter_3.pth'
    second = build(lmm, tiny_tokenizer, **second_options, **{option: str(place)})
    before = second.state_dict()
    # Building it reads nothing: to evaluate, the first stage need not be there.
    assert not any(before[name].equal(weight) for name, weight in learned.items())
    hand_over_weights(second)
    after = second.state_dict()
    assert learned and all(after[name].equal(weight) for name, weight in learned.items())
