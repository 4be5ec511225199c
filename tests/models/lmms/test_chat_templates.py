import pytest

from flmm.models.lmms.chat_templates import CHAT_TEMPLATES, render_turn


@pytest.mark.parametrize('name', CHAT_TEMPLATES)
def test_every_template_ends_where_the_answer_begins(name):
    rendered = render_turn(name, 'What {is} this?')
    assert 'What {is} this?' in rendered and '{input}' not in rendered


def test_a_layout_can_be_given_itself():
    assert render_turn('Q: {input}\nA:', 'x') == 'Q: x\nA:'


@pytest.mark.parametrize('template', ['vicunya', '', '{input}{input}'])
def test_unknown_templates_name_the_choices(template):
    with pytest.raises(ValueError, match='vicuna'):
        render_turn(template, 'x')


def test_an_image_that_the_template_places_is_not_named_twice():
    named, plain = (render_turn('collavo', text) for text in ('<image>\nWhat?', 'What?'))
    assert named == plain and named.count('<image>') == 1
    assert render_turn('vicuna', '<image>\nWhat?') == 'USER: <image>\nWhat? ASSISTANT:'
