import pytest
import torch
import torch.nn.functional as F

from flmm.models.mask_refiners import SAMRefiner


@pytest.fixture(scope='module')
def refiner(tiny_sam_config):
    torch.manual_seed(0)
    model = SAMRefiner(config=tiny_sam_config)
    for parameter in model.parameters():
        if parameter.dim() > 1:  # prompts must count, or wrong ones would pass
            parameter.data.normal_(0, 0.3)
    return model.eval()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def image(height=64, width=48, seed=0):
    return torch.randint(0, 256, (3, height, width), generator=generator(seed)).byte()


def coarse(count, height=8, width=6, seed=1):
    return torch.randn(count, height, width, generator=generator(seed)) * 3


def words(*lengths, seed=2):
    return [
        torch.randn(length, 32, generator=generator(seed + i)) for i, length in enumerate(lengths)
    ]


def refine(refiner, *arguments):
    with torch.no_grad():
        return refiner(*arguments)


def test_images_of_different_size_equal_one_by_one(refiner):
    pixels, shapes = [image(64, 48), image(32, 64, seed=5)], [(96, 72), (30, 60)]
    logits, texts = [coarse(3), coarse(2, 4, 8)], [words(2, 5, 2), words(1, 2, seed=9)]
    together = refine(refiner, pixels, logits, texts, shapes)
    assert [out.shape for out in together] == [(3, 96, 72), (2, 30, 60)]
    for i in range(2):
        own = [argument[i : i + 1] for argument in (pixels, logits, texts, shapes)]
        torch.testing.assert_close(together[i], refine(refiner, *own)[0], atol=1e-5, rtol=1e-4)


def test_phrases_of_different_length_do_not_see_each_other(refiner):
    pixels, shape, texts = [image()], [(96, 72)], words(2, 4, 2)
    logits = coarse(3)
    logits[:, 0, 0] = -12  # one lowest logit, one padding value
    together = refine(refiner, pixels, [logits], [texts], shape)[0]
    for p in range(3):
        alone = refine(refiner, pixels, [logits[p : p + 1]], [texts[p : p + 1]], shape)[0]
        torch.testing.assert_close(together[p : p + 1], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('limit', [1, 2])
def test_masks_decoded_in_several_calls_are_the_same(refiner, limit):
    arguments = [image()], [coarse(5)], [words(2, 2, 3, 2, 2)], [(64, 48)]
    want = refine(refiner, *arguments)[0]
    refiner.max_masks_per_call = limit
    try:
        got = refine(refiner, *arguments)[0]
    finally:
        refiner.max_masks_per_call = 32
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


def test_an_image_without_phrases_gets_no_mask(refiner):
    pixels, shapes = [image(), image(seed=3)], [(64, 48), (32, 24)]
    empty = torch.zeros(0, 8, 6)
    got = refine(refiner, pixels, [empty, coarse(2)], [[], words(2, 3)], shapes)
    alone = refine(refiner, pixels[1:], [coarse(2)], [words(2, 3)], shapes[1:])
    assert got[0].shape == (0, 64, 48)
    torch.testing.assert_close(got[1], alone[0], atol=1e-5, rtol=1e-4)
    none = refine(refiner, pixels, [empty, empty], [[], []], shapes)
    assert [out.shape for out in none] == [(0, 64, 48), (0, 32, 24)]


def test_boxes_end_after_the_last_pixel_and_are_scaled_to_the_resized_image(refiner):
    # Rows 1..3 and columns 2..4 of 8 x 16 pixels; the resized image is 32 x 64.
    logits = torch.full((1, 8, 16), -5.0)
    logits[0, 1:4, 2:5] = 5
    boxes = refiner.box_prompts(logits, (32, 64), (8, 16))
    assert boxes.tolist() == [[8, 4, 20, 16]]  # (2, 1, 4 + 1, 3 + 1) * 4


def test_boxes_are_of_probabilities_enlarged_to_the_original_image(refiner):
    logits = torch.tensor([[[-1.0, 3.0], [-9.0, -9.0]]])
    probs = F.interpolate(logits.sigmoid()[None], size=(20, 30), mode='bilinear')[0, 0] > 0.5
    rows, columns = probs.any(1).nonzero().flatten(), probs.any(0).nonzero().flatten()
    want = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
    assert refiner.box_prompts(logits, (20, 30), (20, 30)).tolist() == [want]
    by_logits = F.interpolate(logits[None], size=(20, 30), mode='bilinear')[0, 0] > 0
    assert not torch.equal(probs, by_logits)  # so the order is seen


def test_an_empty_mask_asks_with_the_whole_image(refiner):
    logits = torch.full((2, 8, 6), -5.0)
    logits[1] = 0  # probability 1/2 is not inside
    boxes = refiner.box_prompts(logits, (64, 48), (100, 75))
    torch.testing.assert_close(boxes, torch.tensor([[0.0, 0, 48, 64]] * 2))


@pytest.mark.parametrize(('lowest', 'fill'), [(-7.0, -7.0), (-0.5, -1.0), (2.0, -1.0)])
def test_mask_prompts_are_padded_with_surely_outside(refiner, lowest, fill):
    logits = torch.full((2, 8, 4), lowest + 1)
    logits[1, 0, 0] = lowest
    prompts = refiner.mask_prompts(logits, (64, 32))
    assert prompts.shape == (2, 1, 16, 16)
    # 32 of 64 columns are image: 8 of 16; 64 / 16 = 4 is even, so cells do not mix.
    torch.testing.assert_close(prompts[0, 0, :, :8], torch.full((16, 8), lowest + 1))
    torch.testing.assert_close(prompts[:, 0, :, 8:], torch.full((2, 16, 8), fill))


def test_an_image_resized_for_another_sam_is_refused(refiner):
    with pytest.raises(ValueError, match='longer side is 64, got .*48, 48.*longer_side=64'):
        refiner.encode_images([image(48, 48)])


def test_images_are_normalised_then_padded_at_the_bottom_and_right(refiner):
    small = image(64, 32)
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    padded = torch.zeros(1, 3, 64, 64)
    padded[0, :, :, :32] = (small - mean) / std
    with torch.no_grad():
        want = refiner.sam.vision_encoder(padded).last_hidden_state
    torch.testing.assert_close(refiner.encode_images([small]), want)


def test_only_prompt_encoder_and_mask_decoder_train(tiny_sam_config):
    refiner = SAMRefiner(config=tiny_sam_config).train()
    assert not refiner.sam.vision_encoder.training and refiner.sam.mask_decoder.training
    assert not any(m.training for m in refiner.sam.vision_encoder.modules())
    trainable = {n for n, p in refiner.named_parameters() if p.requires_grad}
    assert {name.split('.')[1] for name in trainable} == {'prompt_encoder', 'mask_decoder'}
    assert not any('positional_embedding' in name for name in trainable)
    logits, texts = coarse(2).requires_grad_(), [t.requires_grad_() for t in words(2, 3)]
    refiner([image()], [logits], [texts], [(64, 48)])[0].square().mean().backward()
    reached = {n for n, p in refiner.named_parameters() if p.grad is not None}
    assert reached and reached <= trainable
    # The mask prompt and the words are how the loss of the refined mask reaches the rest.
    assert logits.grad.abs().sum() > 0 and all(t.grad.abs().sum() > 0 for t in texts)


@pytest.mark.parametrize('off', ['use_mask', 'use_box', 'use_text'])
def test_each_prompt_counts_and_can_be_switched_off(refiner, off):
    arguments = [image()], [coarse(2)], [words(2, 3)], [(64, 48)]
    want = refine(refiner, *arguments)[0]
    setattr(refiner, off, False)
    try:
        got = refine(refiner, *arguments)[0]
        other_text = refine(refiner, *arguments[:2], [words(2, 3, seed=7)], arguments[3])[0]
    finally:
        setattr(refiner, off, True)
    assert got.shape == want.shape and (got - want).abs().max() > 1e-3
    assert torch.equal(got, other_text) == (off == 'use_text')


@pytest.mark.parametrize('on', ['use_mask', 'use_box', 'use_text', None])
def test_one_kind_of_prompt_or_none_is_enough(tiny_sam_config, on):
    options = {name: name == on for name in ('use_mask', 'use_box', 'use_text')}
    refiner = SAMRefiner(config=tiny_sam_config, **options).eval()
    got = refine(refiner, [image()], [coarse(2)], [words(2, 3)], [(64, 48)])[0]
    assert got.shape == (2, 64, 48) and got.isfinite().all()


def test_of_several_proposals_the_one_nearest_to_the_coarse_mask_is_taken(refiner, monkeypatch):
    logits = torch.full((1, 8, 8), -5.0)
    logits[0, :, :4] = 5
    left = torch.zeros(16, 16, dtype=torch.bool)
    left[:, :8] = True
    proposals = torch.stack([~left, torch.ones_like(left), left]).float() * 2 - 1
    refiner.multimask_output = True
    monkeypatch.setattr(
        refiner.sam.mask_decoder, 'forward', lambda **_: (proposals[None, None], None)
    )
    try:
        low = refiner.low_res_masks([image(64, 64)], [logits], [words(2)], [(64, 64)])[0]
    finally:
        refiner.multimask_output = False
    assert torch.equal(low[0], proposals[2])


def test_postprocessing_cuts_the_padding_off_before_resizing(refiner):
    masks = torch.full((1, 16, 16), -1.0)
    masks[:, :, :8] = 1  # the image is the left half
    out = refiner.postprocess(masks, (64, 32), (10, 5))
    assert out.shape == (1, 10, 5) and (out > 0).all()


def test_every_norm_of_the_decoder_has_the_epsilon_of_the_release(refiner):
    norms = [
        m
        for m in refiner.sam.mask_decoder.transformer.modules()
        if isinstance(m, torch.nn.LayerNorm)
    ]
    assert norms and {norm.eps for norm in norms} == {1e-5}


def test_weights_come_from_a_folder_or_a_config(tmp_path, tiny_sam_config, refiner):
    refiner.sam.save_pretrained(tmp_path)
    loaded = SAMRefiner(pretrained=str(tmp_path)).eval()
    arguments = [image()], [coarse(2)], [words(2, 3)], [(64, 48)]
    assert torch.equal(refine(loaded, *arguments)[0], refine(refiner, *arguments)[0])
    for options in ({}, dict(pretrained=str(tmp_path), config=tiny_sam_config)):
        with pytest.raises(ValueError, match='either pretrained or config'):
            SAMRefiner(**options)
