"""Layouts of conversations: what is written, what is learned, what a reply is."""

import pytest

from flmm.models.lmms.conversation_templates import (
    ANSWER,
    CONVERSATION_TEMPLATES,
    END,
    LAYOUT,
    REQUEST,
    ConversationTemplate,
    find_template,
)
from flmm.structures import Turn

TALK = [Turn('Hi', 'Ho'), Turn('So?', 'Yes')]
OPEN = [Turn('Hi', 'Ho'), Turn('So?', None)]


def text_of(name, turns):
    return ''.join(text for text, _ in CONVERSATION_TEMPLATES[name].segments(turns, '</s>'))


def test_vicuna_ends_each_answer_and_invites_the_next():
    assert text_of('vicuna', TALK) == 'USER: Hi ASSISTANT: Ho</s>USER: So? ASSISTANT: Yes</s>'
    # Without the space that belongs to the answer.
    assert text_of('vicuna', OPEN) == 'USER: Hi ASSISTANT: Ho</s>USER: So? ASSISTANT:'


def test_vicuna_v0_ends_with_the_mark_that_begins_the_next_turn():
    written = text_of('vicuna_v0', TALK)
    assert written.endswith('\n\n### Human: Hi\n### Assistant: Ho\n### Human: So?'
                            '\n### Assistant: Yes\n### ')  # fmt: skip


def test_every_template_writes_what_was_said_in_order_and_learns_an_end():
    for name, template in CONVERSATION_TEMPLATES.items():
        segments = template.segments(TALK, '</s>')
        said = [(text, kind) for text, kind in segments if kind in (REQUEST, ANSWER)]
        assert said == [('Hi', REQUEST), ('Ho', ANSWER), ('So?', REQUEST), ('Yes', ANSWER)], name
        kinds = [kind for _, kind in segments]
        after = [kinds[i + 1] for i, kind in enumerate(kinds) if kind == ANSWER]
        assert after == [END, END], name
        assert all(text for text, _ in segments), name
        # What is to be answered ends with layout, of which nothing is learned.
        assert template.segments(OPEN, '</s>')[-1][1] == LAYOUT or name == 'plain'


def test_a_reply_is_cut_at_its_stop_and_freed_of_what_the_model_repeats():
    release = find_template('gpt4roi_release')
    assert release.reply('Assistant: a cat\n### Human: more') == 'a cat'
    assert find_template('vicuna').reply('  a cat ### b ') == 'a cat ### b'


def test_templates_come_by_name_by_fields_or_as_they_are():
    own = ConversationTemplate(before_request='Q: ')
    assert find_template(own) is own
    assert find_template({'before_request': 'Q: '}) == own
    with pytest.raises(ValueError, match=r"no conversation template 'x'.*vicuna"):
        find_template('x')
