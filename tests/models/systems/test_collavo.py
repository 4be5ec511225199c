from dataclasses import replace

import pytest
import torch
from PIL import Image

from flmm.engine.hooks.frozen_weights_hook import frozen_hashes
from flmm.engine.start_weights import hand_over_weights
from flmm.models.adapters.adapted import adapted_lmm
from flmm.models.lmms import HFLMM
from flmm.models.systems import CoLLaVO
from flmm.structures import GroundingSample, TextPiece
from flmm.utils.errors import CheckpointError


@pytest.fixture
def build(tiny_llava, tiny_tokenizer):
    """Function that makes the system on the tiny LLaVA."""

    def make(crayon=True, four_bit=False, **options):
        torch.manual_seed(0)
        lmm = dict(type=HFLMM, pretrained=str(tiny_llava), dtype='float32')
        if four_bit:
            lmm = dict(type=adapted_lmm, lmm=lmm, adapters=[], four_bit=True)
        tables = dict(embed_channels=8, num_classes=4, max_instances=3) if crayon else None
        return CoLLaVO(
            lmm,
            tiny_tokenizer,
            tables,
            dict(rank=4, alpha=8, dropout=0.0),
            max_new_tokens=4,
            **options,
        )

    return make


@pytest.fixture
def prepare(tiny_processor):
    """Function that makes a question with an answer and a crayon map of the 6 x 6 grid."""

    def make(classes, answer='a red circle', name='x', prompt='<image>\nwhat is there'):
        sample = GroundingSample(
            name,
            image=Image.new('RGB', (40, 30), (9, 90, 200)),
            prompt=prompt,
            pieces=[TextPiece(answer)] if answer else [],
            ori_shape=(30, 40),
        )
        inputs = tiny_processor(sample)
        if classes is not None:
            cells = torch.full((1, 36), classes)
            maps = {'crayon_classes': cells, 'crayon_instances': (cells > 0).long()}
            inputs = replace(inputs, tensors={**inputs.tensors, **maps})
        return inputs, sample

    return make


def batch(*pairs):
    return [inputs for inputs, _ in pairs], [sample for _, sample in pairs]


def test_only_a_crayon_prompt_tells_two_maps_of_one_picture_apart(build, prepare):
    for crayon in (True, False):
        system = build(crayon).eval()
        with torch.no_grad():
            for parameter in system.adapters.parameters():
                parameter.normal_(0, 0.1)
            one, other = (float(system.loss([prepare(n, 'red')[0]])['loss_lm']) for n in (1, 3))
        assert (abs(one - other) > 1e-3) is crayon


def test_training_changes_its_own_weights_and_not_a_bit_of_the_base(build, prepare):
    pairs = batch(prepare(1, 'red'), prepare(3, 'blue'))
    system = build().train()
    base = {name: tensor.clone() for name, tensor in system.lmm.state_dict().items()}
    before = {name: tensor.clone() for name, tensor in system.crayon.state_dict().items()}
    optimiser = torch.optim.Adam([p for p in system.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(10):
        optimiser.zero_grad()
        loss = system(*pairs, mode='loss')['loss_lm']
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    assert all(torch.equal(system.lmm.state_dict()[name], base[name]) for name in base)
    after = system.crayon.state_dict()
    assert not any(torch.equal(after[name], before[name]) for name in before)


def test_before_training_it_answers_as_the_lmm_does(build, prepare):
    system = build().eval()
    inputs, sample = prepare(2, answer='')
    (prediction,) = system([inputs], [sample], mode='predict')
    plain = replace(inputs, tensors={k: v for k, v in inputs.tensors.items() if 'crayon' not in k})
    (ids,) = system.lmm.generate([plain], 4)
    assert prediction.text == system.tokenizer.decode(ids, skip_special_tokens=True).strip()


def test_a_batch_of_different_lengths_has_the_loss_of_its_samples(build, prepare):
    system = build().eval()
    with torch.no_grad():
        for parameter in system.adapters.parameters():
            parameter.normal_(0, 0.1)
    pairs = prepare(1, 'red'), prepare(2, 'a big yellow star on the grass')
    counts = [int((inputs.labels >= 0).sum()) for inputs, _ in pairs]
    alone = [float(system.loss([inputs])['loss_lm']) for inputs, _ in pairs]
    together = float(system.loss([inputs for inputs, _ in pairs])['loss_lm'])
    mean = sum(n * loss for n, loss in zip(counts, alone, strict=True)) / sum(counts)
    assert together == pytest.approx(mean, rel=1e-4)


def test_each_step_trains_its_own_part(build):
    def trained(system):
        return {
            n.split('.')[0] + '/' + n.split('.')[1]
            for n, p in system.named_parameters()
            if p.requires_grad
        }

    first = build(train_image_lora=False)
    assert {name.split('/')[0] for name in trained(first)} == {'crayon', 'adapters'}
    assert 'adapters/image' not in trained(first) and 'adapters/crayon' in trained(first)
    second = build(train_crayon=False)
    assert trained(second) == {'adapters/image'}
    assert trained(build(crayon=False)) == {'adapters/image'}


def test_a_map_that_is_missing_or_of_another_grid_is_an_error(build, prepare):
    system = build()
    inputs, _ = prepare(None)
    with pytest.raises(ValueError, match='AddCrayonMap'):
        system.loss([inputs])
    small = torch.zeros(1, 4, dtype=torch.int64)
    wrong = replace(
        inputs, tensors={**inputs.tensors, 'crayon_classes': small, 'crayon_instances': small}
    )
    with pytest.raises(ValueError, match='4 cells, the grids of the LMM have 36'):
        system.loss([wrong])


def test_an_empty_batch_still_gives_every_parameter_a_gradient(build):
    system = build()
    system([], [], mode='loss')['loss_lm'].backward()
    assert all(p.grad is not None for p in system.parameters() if p.requires_grad)
    with pytest.raises(ValueError, match='modes'):
        system([], [], mode='tensor')


def noisy(system):
    with torch.no_grad():
        for parameter in system.adapters.parameters():
            parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
    return system


def test_answers_written_together_are_those_written_alone(build, prepare):
    system = noisy(build()).eval()
    short, long = prepare(1, answer='', name='a'), prepare(2, answer='', name='b')
    sample = replace(long[1], prompt='<image>\nwhat is there on the grass under a cloudy sky')
    longer, _ = prepare(2, answer='', name='b', prompt=sample.prompt)
    assert len(longer.input_ids) > len(short[0].input_ids)
    alone = [system([i], [s], mode='predict')[0].text for i, s in (short, (longer, sample))]
    together = system([short[0], longer], [short[1], sample], mode='predict')
    assert [prediction.text for prediction in together] == alone


def test_recomputing_layers_gives_the_same_gradients(build, prepare):
    grads = []
    for checkpointing in (False, True):
        system = noisy(build(gradient_checkpointing=checkpointing)).train()
        system.loss([prepare(1, 'red')[0], prepare(3, 'a big star')[0]])['loss_lm'].backward()
        grads.append({n: p.grad for n, p in system.named_parameters() if p.requires_grad})
    assert any(layer.training for layer in system._recomputed)
    for name, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name], grad)


def test_a_base_of_4_bits_trains_the_same_parts_and_keeps_its_bits(build, prepare):
    system = build(four_bit=True).train()
    before = frozen_hashes(system)
    assert any(p.dtype == torch.uint8 for p in system.lmm.parameters())
    optimiser = torch.optim.Adam([p for p in system.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(8):
        optimiser.zero_grad()
        loss = system.loss([prepare(1, 'red')[0], prepare(3, 'blue')[0]])['loss_lm']
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    inputs, sample = prepare(2, answer='')
    system.eval()([inputs], [sample], mode='predict')
    assert losses[-1] < losses[0]
    assert frozen_hashes(system) == before


def test_step_2_starts_from_what_step_1_learned(build, prepare, tmp_path):
    first = noisy(build(train_image_lora=False))
    state = {n: p.detach() for n, p in first.named_parameters() if p.requires_grad}
    torch.save({'state_dict': state}, tmp_path / 'iter_1.pth')
    second = build(weights_from=str(tmp_path / 'iter_1.pth'))
    hand_over_weights(second)
    key = next(name for name in state if name.startswith('adapters.crayon'))
    assert torch.equal(second.get_parameter(key), state[key])
    with pytest.raises(CheckpointError, match='none of the weights'):
        build(crayon=False).take_weights(state, 'iter_1.pth')


@pytest.fixture
def released(tmp_path, tiny_tokenizer, tiny_collavo_config):
    """A tiny released CoLLaVO whose own LoRAs and prompt encoder train."""
    from flmm.models.lmms.collavo import CoLLaVOForConditionalGeneration

    text = dict(vocab_size=len(tiny_tokenizer), extra_embeddings=0)
    image_token = tiny_tokenizer.convert_tokens_to_ids('<image>')
    config = tiny_collavo_config(text, image_size=32, image_token_id=image_token)
    CoLLaVOForConditionalGeneration(config).save_pretrained(tmp_path)
    lmm = dict(type=HFLMM, pretrained=str(tmp_path), dtype='float32')
    return CoLLaVO(lmm, tiny_tokenizer, adapters=dict(type='ReleasedLoRA'))


def test_a_batch_of_texts_alone_has_a_gradient_of_zero_everywhere(build, tiny_processor, released):
    text = tiny_processor(GroundingSample('t', prompt='say hello', pieces=[TextPiece('hello')]))
    assert not text.grids
    for system in (released, noisy(build())):
        system.train()
        loss = system.loss([text])['loss_lm']
        assert float(loss) > 0
        loss.backward()
        trained = [p for p in system.parameters() if p.requires_grad]
        assert all(p.grad is not None and not p.grad.any() for p in trained)


def test_turns_apart_have_the_loss_of_single_questions(build, prepare):
    questions = ('what is there', 'red'), ('where is it', 'on the grass')
    single = [
        prepare(n, answer, prompt=f'<image>\n{asked}')[0]
        for n, (asked, answer) in enumerate(questions, 2)
    ]
    # Both about the picture and the map of the first.
    single[1] = replace(single[1], tensors=single[0].tensors)
    first, second = single
    begins = int(second.grids[0].positions.max()) + 1
    both = replace(
        first,
        input_ids=torch.cat([first.input_ids, second.input_ids[begins:]]),
        phrase_ids=torch.cat([first.phrase_ids, second.phrase_ids[begins:]]),
        labels=torch.cat([first.labels, second.labels[begins:]]),
    )
    with torch.no_grad():
        alone = float(noisy(build()).eval().loss(single)['loss_lm'])
        apart = float(noisy(build(turns_apart=True)).eval().loss([both])['loss_lm'])
        together = float(noisy(build()).eval().loss([both])['loss_lm'])
    assert apart == pytest.approx(alone, rel=1e-4) and abs(together - alone) > 1e-3


def test_the_released_model_cannot_keep_turns_apart(released, tmp_path, tiny_tokenizer):
    lmm = dict(type=HFLMM, pretrained=str(tmp_path), dtype='float32')
    with pytest.raises(ValueError, match='cannot keep turns apart'):
        CoLLaVO(lmm, tiny_tokenizer, adapters=dict(type='ReleasedLoRA'), turns_apart=True)
