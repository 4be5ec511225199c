import json
from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file
from torch import nn

from flmm.engine.checkpoint import load_trainable
from flmm.engine.weights import load_state_dict_file, load_weights
from flmm.models.lmms import HFLMM
from flmm.models.mask_heads import UNetMaskHead
from flmm.models.mask_refiners import SAMRefiner
from flmm.models.official_keys import f_lmm_keys
from flmm.models.systems import FLMM
from flmm.utils.errors import CheckpointError, UnsafeFileError

DATA = Path(__file__).parents[1] / 'data'


def test_weights_come_from_every_kind_of_file(tmp_path):
    weights = {'w': torch.ones(2)}
    kinds = {
        'bare.pth': weights,
        'state.pth': {'meta': {}, 'state_dict': weights},
        'mp_rank_00_model_states.pt': {'module': weights, 'ds_version': '0.16', 'lr': None},
    }
    for name, content in kinds.items():
        torch.save(content, tmp_path / name)
        assert load_state_dict_file(tmp_path / name)['w'].tolist() == [1, 1]
    save_file(weights, tmp_path / 'w.safetensors')
    assert load_state_dict_file(tmp_path / 'w.safetensors')['w'].tolist() == [1, 1]
    export = tmp_path / 'export'
    export.mkdir()
    save_file(weights, export / 'model.safetensors')
    assert load_state_dict_file(export)['w'].tolist() == [1, 1]
    folder = tmp_path / 'iter_3.pth'
    folder.mkdir()
    torch.save({'module': weights}, folder / 'mp_rank_00_model_states.pt')
    assert load_state_dict_file(folder)['w'].tolist() == [1, 1]


@pytest.mark.parametrize('content', [{'w': 1}, {}, [torch.ones(1)], {'state_dict': {'w': 'x'}}])
def test_what_holds_no_weights_is_refused(tmp_path, content):
    torch.save(content, tmp_path / 'wrong.pth')
    with pytest.raises(CheckpointError, match=r'wrong\.pth.*expected'):
        load_state_dict_file(tmp_path / 'wrong.pth')


def test_a_log_history_beside_the_weights_is_left_out_and_code_is_refused(tmp_path, canary):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    hub = {'log_scalars': {'loss': history}}
    torch.save({'state_dict': {'w': torch.ones(1)}, 'message_hub': hub}, tmp_path / 'mm.pth')
    assert list(load_state_dict_file(tmp_path / 'mm.pth')) == ['w']
    torch.save({'state_dict': {'w': torch.ones(1)}, 'message_hub': canary}, tmp_path / 'evil.pth')
    with pytest.raises(UnsafeFileError, match=r'evil\.pth'):
        load_state_dict_file(tmp_path / 'evil.pth')
    assert not canary.path.exists()


def test_names_of_the_release_become_ours(tmp_path):
    names = json.loads((DATA / 'f_lmm_llava' / 'trainable.json').read_text())
    torch.save({name: torch.ones(1) for name in names}, tmp_path / 'f_lmm.pth')
    prefixes = {name.split('.')[0] for name in load_weights(tmp_path / 'f_lmm.pth')}
    assert prefixes == {'mask_head', 'mask_refiner', 'text_proj', 'text_layer_weights'}
    # DistributedDataParallel's prefix does not hide them.
    torch.save({f'module.{name}': torch.ones(1) for name in names}, tmp_path / 'ddp.pth')
    assert set(load_weights(tmp_path / 'ddp.pth')) == set(load_weights(tmp_path / 'f_lmm.pth'))


def test_an_incomplete_file_is_refused_with_missing_and_unexpected_names(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    state = model.state_dict()
    state['2.weight'] = state.pop('1.weight')
    torch.save(state, tmp_path / 'cut.pth')
    with pytest.raises(CheckpointError, match=r'lacks 1 trainable.*1\.weight.*2\.weight'):
        load_trainable(model, tmp_path / 'cut.pth')


def test_every_tensor_of_another_shape_is_named(tmp_path):
    other = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4))
    torch.save(other.state_dict(), tmp_path / 'other.pth')
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    with pytest.raises(CheckpointError, match=r'3 tensors.*0\.weight .*1\.bias .*1\.weight '):
        load_trainable(model, tmp_path / 'other.pth')


@pytest.fixture(scope='module')
def f_lmm(tiny_llava):
    """A tiny F-LMM whose heads have the sizes of the release."""
    encoder = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, mlp_dim=16)
    return FLMM(
        lmm=dict(type=HFLMM, pretrained=str(tiny_llava)),
        mask_head=dict(type=UNetMaskHead, in_channels=12),
        mask_refiner=dict(type=SAMRefiner, config=dict(vision_config=encoder)),
    )


@pytest.mark.parametrize('kind', ['file', 'deepspeed'])
def test_a_checkpoint_of_the_release_is_loaded_as_it_is(f_lmm, tmp_path, kind):
    names = json.loads((DATA / 'f_lmm_llava' / 'trainable.json').read_text())
    own = f_lmm.state_dict()
    marked = {name: own[f_lmm_keys(name)[0]] + 1 for name in names}
    path = tmp_path / 'f_lmm.pth'
    if kind == 'file':
        torch.save(marked, path)
    else:
        path.mkdir()
        torch.save({'module': marked}, path / 'mp_rank_00_model_states.pt')
    report = load_trainable(f_lmm, path)
    assert len(report.loaded) == 192 and not report.unexpected
    for name in names:
        assert torch.equal(f_lmm.state_dict()[f_lmm_keys(name)[0]], marked[name])
    del marked['sam.model.mask_decoder.iou_token.weight']
    torch.save(marked, tmp_path / 'cut.pth')
    with pytest.raises(CheckpointError, match=r'lacks 1 trainable.*mask_decoder\.iou_token'):
        load_trainable(f_lmm, tmp_path / 'cut.pth')
