import pytest
import torch

from flmm.models.point_heads import AttentionPointHead


def plain_head(**options):
    """A head that weighs the maps as they are: no convolution, no further move."""
    head = AttentionPointHead(4, 2, hidden_channels=8, **{'num_points': 1, 'power': 1.0, **options})
    torch.nn.init.zeros_(head.score.weight)
    torch.nn.init.zeros_(head.score.bias)
    torch.nn.init.zeros_(head.trust[-1].weight)
    torch.nn.init.constant_(head.trust[-1].bias, 20.0)
    return head


def cells(*bright, size=(4, 6), value=1.0):
    """Two maps, both bright at the cells ``(row, column)``."""
    maps = torch.zeros(1, 2, *size)
    for row, column in bright:
        maps[..., row, column] = value
    return maps


def test_a_point_lies_in_the_middle_of_the_cell_that_is_looked_at():
    points, scores = plain_head()(torch.zeros(1, 4), cells((1, 4)))
    # Column 4 of 6 and row 1 of 4: (4.5 / 6, 1.5 / 4).
    assert points[0, 0].tolist() == pytest.approx([0.75, 0.375], abs=1e-4)
    assert scores.shape == (1, 1, 4, 6) and scores[0, 0].argmax() == 1 * 6 + 4


def test_the_same_place_whatever_the_scale_of_the_maps():
    head, hidden = plain_head(), torch.zeros(1, 4)
    faint, strong = (head(hidden, cells((2, 3), value=value))[0] for value in (1e-3, 1e3))
    torch.testing.assert_close(faint, strong)


def test_of_two_peaks_training_takes_the_mean_and_inference_one_of_them():
    head, maps = plain_head(window=1), cells((0, 0), (0, 5))
    maps[0, :, 0, 0] = 0.9995
    middle, _ = head.train()(torch.zeros(1, 4), maps)
    assert 0.4 < middle[0, 0, 0] < 0.6
    right, _ = head.eval()(torch.zeros(1, 4), maps)
    assert right[0, 0].tolist() == pytest.approx([5.5 / 6, 0.125], abs=1e-3)
    everything, _ = plain_head(window=0).eval()(torch.zeros(1, 4), maps)
    torch.testing.assert_close(everything, middle, atol=1e-5, rtol=0)


def test_neighbours_within_the_window_count():
    points, _ = plain_head(window=1).eval()(torch.zeros(1, 4), cells((1, 1), (1, 2)))
    assert points[0, 0].tolist() == pytest.approx([2 / 6, 0.375], abs=1e-4)


def test_hidden_states_choose_the_map():
    torch.manual_seed(0)
    maps = torch.zeros(2, 2, 5, 5)
    maps[:, 0, 0, 0] = maps[:, 1, 4, 4] = 1.0
    hidden = torch.tensor([[1.0, -1, 1, -1], [-1.0, 1, 1, -1]])
    wanted = torch.tensor([[0.1, 0.1], [0.9, 0.9]])
    head = AttentionPointHead(4, 2, num_points=1, hidden_channels=16, map_channels=4)
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-2)
    for _ in range(60):
        loss = (head(hidden, maps)[0][:, 0] - wanted).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.05
    assert (head.eval()(hidden, maps)[0][:, 0] - wanted).abs().max() < 0.1


def test_leading_axes_are_kept_and_do_not_mix():
    torch.manual_seed(0)
    head = AttentionPointHead(4, 3, hidden_channels=8, map_channels=4).eval()
    torch.nn.init.normal_(head.move[-1].weight)
    hidden, maps = torch.randn(2, 3, 5, 4), torch.rand(2, 3, 5, 3, 4, 6)
    points, scores = head(hidden, maps)
    assert points.shape == (2, 3, 5, 2, 2) and scores.shape == (2, 3, 5, 2, 4, 6)
    one, _ = head(hidden[1, 2, 3:4], maps[1, 2, 3:4])
    torch.testing.assert_close(points[1, 2, 3], one[0])


def test_empty_maps_point_somewhere_finite_and_their_gradients_are_finite():
    head = AttentionPointHead(4, 2, hidden_channels=8, map_channels=4)
    maps = torch.zeros(3, 2, 4, 4)
    maps[1, 0, 0, 0] = 1.0
    maps.requires_grad_()
    points, _ = head(torch.randn(3, 4), maps)
    points.sum().backward()
    assert points.isfinite().all() and maps.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_neither_rounds_places_nor_loses_faint_maps(dtype):
    # The middle of the last of 65 columns, which bfloat16 rounds to 127/128.
    maps = cells((3, 64), size=(4, 65), value=2e-9)
    head = plain_head().eval().to(dtype)
    points, _ = head(torch.zeros(1, 4, dtype=dtype), maps)
    assert points.dtype == torch.float32
    assert points[0, 0].tolist() == pytest.approx([64.5 / 65, 3.5 / 4], abs=1e-5)
    nothing, _ = head(torch.zeros(1, 4, dtype=dtype), torch.zeros(1, 2, 4, 65))
    assert nothing.isfinite().all()


def test_no_word_at_all():
    points, _ = AttentionPointHead(4, 2)(torch.zeros(0, 4), torch.zeros(0, 2, 3, 3))
    assert points.shape == (0, 2, 2)


def test_wrong_sizes_say_what_was_expected():
    head = AttentionPointHead(4, 2)
    with pytest.raises(ValueError, match='4 channels and 2 attention maps, got 5 and 2'):
        head(torch.zeros(1, 5), torch.zeros(1, 2, 3, 3))
    with pytest.raises(ValueError, match='got 4 and 3'):
        head(torch.zeros(1, 4), torch.zeros(1, 3, 3, 3))
    for options in (dict(num_maps=0), dict(num_points=0), dict(window=-1)):
        with pytest.raises(ValueError, match='AttentionPointHead expects'):
            AttentionPointHead(**{'in_channels': 4, 'num_maps': 2, **options})
