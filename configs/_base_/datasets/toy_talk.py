"""LLaVA conversations about the toy world; made by tools/prepare_data/make_toy.py."""

from mmengine.dataset import InfiniteSampler

from flmm.datasets.llava_conversations import LlavaConversations, collate_conversations

# The untrained model's folder; its tokenizer and image processor make the inputs.
untrained = 'work_dirs/tiny_llava/untrained'

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type=InfiniteSampler, shuffle=True),
    collate_fn=dict(type=collate_conversations),
    dataset=dict(
        type=LlavaConversations,
        data_root='data/toy_talk/llava',
        ann_file='conversations_train.json',
        processor=untrained,
        max_length=512,
    ),
)
