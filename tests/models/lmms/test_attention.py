import pytest
import torch

from flmm.models.lmms.attention import RowCapture, row_capture_attention
from flmm.utils.errors import FLMMError


def queries_and_keys(batch=2, heads=4, kv_heads=2, length=7, dim=8):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(batch, heads, length, dim, generator=generator)
    key = torch.randn(batch, kv_heads, length, dim, generator=generator)
    return query, key


def rows_by_hand(query, key, allowed, scaling=0.5):
    """Softmax of all rows, key heads repeated: ``(B, A, T, T)``."""
    key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scores = (query @ key.transpose(-1, -2) * scaling).masked_fill(~allowed, float('-inf'))
    return scores.softmax(-1)


PHRASE_IDS = torch.tensor([[-1, -1, -1, 0, 0, -1, 1], [-1, -1, 0, -1, -1, -1, -1]])
COLUMNS = [torch.tensor([0, 2]), torch.tensor([1])]


def causal(length=7):
    return torch.ones(length, length, dtype=torch.bool).tril()


@pytest.mark.parametrize('merge', ['mean', 'max'])
def test_rows_of_a_phrase_are_merged_over_its_tokens_only(merge):
    query, key = queries_and_keys()
    capture = RowCapture(PHRASE_IDS, COLUMNS, merge)
    capture.collect(0, query, key, None, 0.5)
    rows = rows_by_hand(query, key, causal())
    reduce = (lambda r: r.mean(1)) if merge == 'mean' else (lambda r: r.amax(1))
    first, second = capture.maps(0), capture.maps(1)
    assert first.shape == (2, 1, 4, 2) and second.shape == (1, 1, 4, 1)
    torch.testing.assert_close(first[0, 0], reduce(rows[0][:, [3, 4]])[:, [0, 2]])
    torch.testing.assert_close(first[1, 0], rows[0][:, 6][:, [0, 2]])
    torch.testing.assert_close(second[0, 0], rows[1][:, 2][:, [1]])


@pytest.mark.parametrize('additive', [False, True])
def test_a_mask_is_obeyed_whether_bool_or_additive(additive):
    query, key = queries_and_keys()
    allowed = causal()[None, None].repeat(2, 1, 1, 1)
    allowed[0, :, :, 1] = False
    mask = torch.zeros(allowed.shape).masked_fill(~allowed, -1e30) if additive else allowed
    capture = RowCapture(PHRASE_IDS, COLUMNS)
    capture.collect(0, query, key, mask, 0.5)
    rows = rows_by_hand(query, key, allowed)
    torch.testing.assert_close(capture.maps(0)[1, 0], rows[0][:, 6][:, [0, 2]])


def test_one_mask_serves_the_whole_batch():
    query, key = queries_and_keys()
    capture = RowCapture(PHRASE_IDS, COLUMNS)
    capture.collect(0, query, key, causal()[None, None], 0.5)
    rows = rows_by_hand(query, key, causal())
    torch.testing.assert_close(capture.maps(1)[0, 0], rows[1][:, 2][:, [1]])


def test_layers_come_in_their_order_whatever_ran_first():
    query, key = queries_and_keys()
    capture = RowCapture(PHRASE_IDS, COLUMNS)
    capture.collect(1, query, key, None, 0.5)
    capture.collect(0, query, key, None, 0.0)  # scores all equal: rows are uniform
    maps = capture.maps(0)
    torch.testing.assert_close(maps[1, 0], torch.full((4, 2), 1 / 7))
    assert (maps[1, 1] - 1 / 7).abs().max() > 0.01


class Layer(torch.nn.Module):
    layer_idx = 0
    num_key_value_groups = 2

    def __init__(self, is_causal=True):
        super().__init__()
        self.is_causal = is_causal


@pytest.mark.parametrize('is_causal', [True, False])
def test_without_a_mask_the_layer_says_whether_it_is_causal(is_causal):
    query, key = queries_and_keys()
    capture = RowCapture(PHRASE_IDS, COLUMNS)
    with capture.active():
        row_capture_attention(Layer(is_causal), query, key, key, None, scaling=0.5)
    allowed = causal() if is_causal else torch.ones(7, 7, dtype=torch.bool)
    rows = rows_by_hand(query, key, allowed)
    torch.testing.assert_close(capture.maps(1)[0, 0], rows[1][:, 2][:, [1]])


def test_the_scale_defaults_to_one_over_the_root_of_the_head_size():
    query, key = queries_and_keys()
    capture = RowCapture(PHRASE_IDS, COLUMNS)
    with capture.active():
        row_capture_attention(Layer(), query, key, key, None)
    rows = rows_by_hand(query, key, causal(), scaling=8**-0.5)
    torch.testing.assert_close(capture.maps(1)[0, 0], rows[1][:, 2][:, [1]])


def test_nothing_is_captured_outside_of_the_block():
    query, key = queries_and_keys()
    capture = RowCapture(PHRASE_IDS, COLUMNS)
    with pytest.raises(KeyError), capture.active():
        raise KeyError
    row_capture_attention(Layer(), query, key, key, None)
    with pytest.raises(RuntimeError, match='No attention was captured'):
        capture.maps(0)


@pytest.mark.parametrize('name', ['softcap', 's_aux'])
def test_scores_that_cannot_be_repeated_are_refused(name):
    query, key = queries_and_keys()
    with RowCapture(PHRASE_IDS, COLUMNS).active():
        with pytest.raises(FLMMError, match=name):
            row_capture_attention(Layer(), query, key, key, None, **{name: 1.0})


def test_merge_must_be_known():
    with pytest.raises(ValueError, match="'median'"):
        RowCapture(PHRASE_IDS, COLUMNS, 'median')
