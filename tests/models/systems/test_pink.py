import copy

import pytest
import torch
from PIL import Image

from flmm.datasets import grounding_collate
from flmm.datasets.transforms import PrepareDialogue
from flmm.engine.checkpoint import load_trainable_state_dict, trainable_state_dict
from flmm.engine.start_weights import hand_over_weights
from flmm.models.adapters import BottleneckAdapters, LoRAAdapters, TokenRows
from flmm.models.lmms import HFLMM, DialogueProcessor, SquashImageProcessor
from flmm.models.systems import Pink
from flmm.models.systems.pink import load_projector
from flmm.structures import GroundingSample, Turn
from flmm.utils.errors import CheckpointError, FLMMError
from flmm.utils.marks import MARK_TOKENS


@pytest.fixture(scope='module')
def processor(tiny_tokenizer):
    def make(with_labels):
        return DialogueProcessor(
            copy.deepcopy(tiny_tokenizer),
            SquashImageProcessor(48, 8),
            template='llava',
            image_token='<image>',
            extra_tokens=MARK_TOKENS,
            with_labels=with_labels,
        )

    return make


@pytest.fixture(scope='module')
def make_pink(tiny_llava, processor):
    def make(adapters=None, rows=True, **options):
        torch.manual_seed(0)
        tokenizer = processor(False).tokenizer
        default = dict(
            language=dict(type=BottleneckAdapters, dropout=0.0),
            vision=dict(type=BottleneckAdapters, part='vision', skip_last=1, dropout=0.0),
        )
        return Pink(
            lmm=dict(type=HFLMM, pretrained=str(tiny_llava), dtype='float32'),
            tokenizer=tokenizer,
            adapters=default if adapters is None else adapters,
            token_rows=dict(type=TokenRows, count=12, vocab_size=len(tokenizer)) if rows else None,
            max_new_tokens=6,
            **options,
        )

    return make


@pytest.fixture(scope='module')
def batch(processor):
    def make(with_labels=True, images=(True, True)):
        colours = ('red', 'blue')
        samples = [
            GroundingSample(
                colour,
                image=Image.new('RGB', (30, 20), colour) if image else None,
                turns=[
                    Turn(f'where is <des>the {colour} square</des>' + '?' * (3 * i), '[0.1,0.2]')
                ],
            )
            for i, (colour, image) in enumerate(zip(colours, images, strict=True))
        ]
        prepare = PrepareDialogue(processor(with_labels))
        return grounding_collate([prepare(sample) for sample in samples])

    return make


def test_a_few_steps_lower_the_loss_and_move_nothing_but_the_trainable_part(make_pink, batch):
    model, data = make_pink().train(), batch()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(8):
        optimiser.zero_grad()
        losses.append(model(**data, mode='loss')['loss_lm'])
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.8 * losses[0]
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    parts = ('adapters.language.', 'adapters.vision.', 'token_rows.')
    assert all(k.startswith(parts) or 'multi_modal_projector' in k for k in moved)
    assert all(any(k.startswith(part) for k in moved) for part in parts)


def test_what_trains_is_saved_alone_and_loads_again(make_pink, batch):
    model = make_pink()
    for parameter in model.adapters.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    saved = trainable_state_dict(model)
    assert not any('q_proj' in name for name in saved)
    other = make_pink()
    load_trainable_state_dict(other, saved, 'file')
    data = batch()
    assert torch.equal(model.loss(data['inputs'])['loss_lm'], other.loss(data['inputs'])['loss_lm'])


def test_only_the_projector_trains_in_stage_1_and_it_can_be_handed_on(make_pink, tmp_path):
    model = make_pink(adapters={}, rows=False)
    trainable = [n for n, p in model.named_parameters() if p.requires_grad]
    assert trainable and all('multi_modal_projector' in name for name in trainable)
    path = tmp_path / 'stage1.pth'
    state = {k: v + 1 for k, v in trainable_state_dict(model).items()}
    torch.save({'state_dict': state}, path)
    second = make_pink(projector_from=str(path))
    hand_over_weights(second)
    for name in trainable:
        assert torch.equal(second.state_dict()[name], state[name])


def test_a_projector_comes_under_the_names_of_a_release_and_of_its_own_shape_only():
    projector = torch.nn.ModuleDict({'linear_1': torch.nn.Linear(3, 2)})
    released = {'mm_projector.weight': torch.ones(2, 3), 'mm_projector.bias': torch.ones(2)}
    taken = load_projector(projector, {**released, 'norm': torch.ones(1)}, 'p.bin')
    assert taken == ['linear_1.bias', 'linear_1.weight']
    assert projector['linear_1'].weight.eq(1).all()
    with pytest.raises(CheckpointError, match=r'p\.bin.*shape \(2, 3\), got \(2, 2\)'):
        load_projector(projector, released | {'mm_projector.weight': torch.ones(2, 2)}, 'p.bin')


def test_a_projector_that_would_not_be_saved_has_no_start(make_pink):
    with pytest.raises(ValueError, match='checkpoints do not hold it'):
        make_pink(train_projector=False, projector_from='p.pth')


def test_batches_with_and_without_images_reach_every_parameter(make_pink, batch):
    model = make_pink()
    for images in ((True, False), (False, False)):
        model.zero_grad()
        model.loss(batch(images=images)['inputs'])['loss_lm'].backward()
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert model.loss([])['loss_lm'] == 0


def test_answers_in_a_batch_are_those_one_by_one(make_pink, batch):
    model = make_pink().eval()
    data = batch(with_labels=False)
    together = [p.text for p in model(**data, mode='predict')]
    alone = []
    for inputs, sample in zip(data['inputs'], data['samples'], strict=True):
        alone += [p.text for p in model.predict([inputs], [sample])]
    assert together == alone and any(together)
    with pytest.raises(ValueError, match='modes'):
        model(**data, mode='tensor')


def test_merged_adapters_answer_the_same(make_pink, batch):
    model = make_pink().eval()
    for parameter in [*model.adapters.parameters(), *model.token_rows.parameters()]:
        torch.nn.init.normal_(parameter, std=0.05)
    data = batch()
    with torch.no_grad():
        wanted = model.loss(data['inputs'])['loss_lm']
        model.merge_adapters()
        assert torch.allclose(model.loss(data['inputs'])['loss_lm'], wanted, atol=1e-4)
    assert not model.adapters and model.token_rows is None


def test_lora_takes_the_place_of_bottlenecks(make_pink, batch):
    model = make_pink(adapters=dict(language=dict(type=LoRAAdapters, rank=2)))
    model.loss(batch()['inputs'])['loss_lm'].backward()
    names = [n for n, p in model.named_parameters() if p.grad is not None]
    assert any('lora_' in name for name in names)


def test_an_lmm_without_that_projector_is_an_error(make_pink):
    with pytest.raises(FLMMError, match='nothing_here'):
        make_pink(projector='nothing_here')


def test_a_loss_in_bfloat16_is_near_and_the_weights_stay_as_they_are(make_pink, batch):
    data = batch()['inputs']
    exact = make_pink().train().loss(data)['loss_lm']
    model = make_pink(autocast=True).train()
    rough = model.loss(data)['loss_lm']
    assert 0 < abs(float(exact - rough)) < 0.05
    rough.backward()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_turns_apart_are_learned_as_conversations_of_one_turn(make_pink, processor):
    image = Image.new('RGB', (30, 20), 'red')
    turns = [Turn('where is it', '[0.1,0.2]'), Turn('what is it', 'a red thing'), Turn('why', 'no')]
    prepare = PrepareDialogue(processor(True))

    def loss(model, *conversations):
        samples = [GroundingSample('s', image=image, turns=list(one)) for one in conversations]
        return model.loss(grounding_collate([prepare(s) for s in samples])['inputs'])['loss_lm']

    model = make_pink(turns_apart=True).train()
    together = loss(model, turns)
    together.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    # A single turn has nothing to hide; of several, later ones follow other tokens.
    plain = make_pink().train()
    torch.testing.assert_close(loss(model, turns[:1]), loss(plain, turns[:1]))
    assert abs(together - loss(plain, turns)) > 1e-6


def test_numbers_that_were_never_read_can_be_learned(make_pink, batch, tiny_llava):
    rows = dict(type=TokenRows, count=12, vocab_size='append', texts=['[0.123]'])
    model = make_pink(rows=False).train()
    tokenizer = model.tokenizer
    model = Pink(
        lmm=dict(type=HFLMM, pretrained=str(tiny_llava), dtype='float32'),
        tokenizer=tokenizer,
        token_rows=rows,
    )
    known = set(tokenizer('[0.123]', add_special_tokens=False)['input_ids'])
    assert set(model.token_rows.ids.tolist()[12:]) == known
    assert len(model.token_rows.input) == 12 + len(known)
