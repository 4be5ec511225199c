import torch

from flmm.models.lmms import HFLMM
from flmm.models.lmms.tail_attention import TailAttention


def read(lmm, ids, cache=None, seen=None):
    return lmm.decoder()(
        inputs_embeds=lmm.model.get_input_embeddings()(ids),
        attention_mask=torch.ones_like(ids) if seen is None else seen,
        past_key_values=cache,
        use_cache=True,
    )


def test_rows_behind_a_cache_are_those_of_the_whole_sequence(tiny_llava):
    lmm = HFLMM(str(tiny_llava), dtype='float32').eval()
    torch.manual_seed(0)
    ids = torch.randint(10, 100, (2, 9))
    whole = TailAttention(3, 1, 5)
    with whole.active():
        read(lmm, ids)
    maps = whole.maps()
    # 3 layers of 4 heads; rows of a softmax are shared with the columns that are left out.
    assert maps.shape == (2, 3, 12, 4) and (maps >= 0).all() and (maps.sum(-1) < 1).all()
    cache = read(lmm, ids[:, :5]).past_key_values
    after = TailAttention(3, 1, 5)
    with after.active():
        read(lmm, ids[:, 5:], cache, torch.ones_like(ids))
    assert torch.allclose(after.maps(), maps, atol=1e-5)


def test_padding_gets_nothing(tiny_llava):
    lmm = HFLMM(str(tiny_llava), dtype='float32').eval()
    ids = torch.randint(10, 100, (1, 6))
    seen = torch.tensor([[1, 1, 0, 1, 1, 1]])
    tail = TailAttention(2, 0, 6)
    with tail.active():
        read(lmm, ids, seen=seen)
    maps = tail.maps()
    assert (maps[..., 2] == 0).all() and torch.allclose(maps.sum(-1), torch.ones(1, 2, 12))
