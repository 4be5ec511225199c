"""How conversations of several turns are written: layout and special tokens of chat models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flmm.structures import Turn

#: What a piece of a written conversation is.
REQUEST, ANSWER, END, LAYOUT = 'request', 'answer', 'end', 'layout'
Segment = tuple[str, str]


@dataclass(frozen=True)
class ConversationTemplate:
    """Layout of a conversation.

    ``{eos}`` stands for the tokenizer's end-of-sequence token.

    Attributes:
        system: Before the first turn.
        before_request: Before what the user says.
        after_request: After it.
        before_answer: Before what the assistant says.
        end: Right after an answer: what a model must write to stop, so it is learned with it.
        after_answer: Between the end and the next turn.
        closing: After the last turn of a finished conversation.
        opening: In the place of ``before_answer`` where an answer is to be generated; None for
            ``before_answer`` without its trailing space.
        stop: Text at which to cut what was generated; empty where the end is a token.
        reply_prefix: What a model repeats before its answer, to be taken off.
        image_before: Where the image stands before the conversation, how it is written there,
            ``{image}`` being its token; it is then taken out of the request that names it.
    """

    system: str = ''
    before_request: str = ''
    after_request: str = ''
    before_answer: str = ''
    end: str = '{eos}'
    after_answer: str = ''
    closing: str = ''
    opening: str | None = None
    stop: str = ''
    reply_prefix: str = ''
    image_before: str = ''

    def segments(self, turns: Sequence[Turn], eos: str) -> list[Segment]:
        """Write a conversation.

        Args:
            turns: In order; the last one's answer may be None, to be generated.
            eos: The tokenizer's end token.

        Returns:
            ``(text, kind)`` in order; the kinds are those above.
        """
        pieces = [(self.system, LAYOUT)]
        for turn in turns:
            pieces += [
                (self.before_request, LAYOUT),
                (turn.request, REQUEST),
                (self.after_request, LAYOUT),
            ]
            if turn.answer is None:
                pieces.append((self.opening_text, LAYOUT))
                break
            pieces += [
                (self.before_answer, LAYOUT),
                (turn.answer, ANSWER),
                (self.end.replace('{eos}', eos), END),
                (self.after_answer, LAYOUT),
            ]
        else:
            pieces.append((self.closing, LAYOUT))
        return [piece for piece in pieces if piece[0]]

    @property
    def opening_text(self) -> str:
        """What invites an answer."""
        return self.before_answer.rstrip(' ') if self.opening is None else self.opening

    def reply(self, text: str) -> str:
        """What the assistant said, of what a model wrote.

        Args:
            text: Decoded without special tokens.

        Returns:
            The answer.
        """
        if self.stop:
            text = text.split(self.stop)[0]
        return text.strip().removeprefix(self.reply_prefix).strip()


_VICUNA_SYSTEM = (
    'A chat between a curious human and an artificial intelligence assistant. The assistant gives '
    "helpful, detailed, and polite answers to the human's questions."
)
_V0 = dict(
    system=f'{_VICUNA_SYSTEM}\n\n',
    before_request='### Human: ',
    after_request='\n',
    before_answer='### Assistant: ',
    end='\n###',
    after_answer='',
    stop='###',
)

#: Of chat models by name.
CONVERSATION_TEMPLATES: dict[str, ConversationTemplate] = {
    # Vicuna v0 and LLaVA v0: no end token but "###", which also begins the next turn.
    'vicuna_v0': ConversationTemplate(
        **{**_V0, 'before_request': ' Human: ', 'system': f'{_VICUNA_SYSTEM}\n\n###'}, closing=' '
    ),
    # The same text; as GPT4RoI's demo asks, the model writes "Assistant:" itself.
    'gpt4roi_release': ConversationTemplate(
        **{**_V0, 'end': '\n'}, closing='### ', opening='### ', reply_prefix='Assistant:'
    ),
    'vicuna': ConversationTemplate(
        before_request='USER: ', after_request=' ', before_answer='ASSISTANT: '
    ),
    'plain': ConversationTemplate(after_request='\n'),
    'llama3': ConversationTemplate(
        before_request='<|start_header_id|>user<|end_header_id|>\n\n',
        after_request='<|eot_id|>',
        before_answer='<|start_header_id|>assistant<|end_header_id|>\n\n',
        end='<|eot_id|>',
        opening='<|start_header_id|>assistant<|end_header_id|>\n\n',
    ),
    'gemma': ConversationTemplate(
        before_request='<start_of_turn>user\n',
        after_request='<end_of_turn>\n',
        before_answer='<start_of_turn>model\n',
        end='<end_of_turn>',
        after_answer='\n',
        opening='<start_of_turn>model\n',
    ),
    'chatml': ConversationTemplate(
        before_request='<|im_start|>user\n',
        after_request='<|im_end|>\n',
        before_answer='<|im_start|>assistant\n',
        end='<|im_end|>',
        after_answer='\n',
        opening='<|im_start|>assistant\n',
    ),
    # CoLLaVO's release, without its sentence at the beginning.
    'collavo': ConversationTemplate(
        before_request='[UNUSED_TOKEN_146]user\n',
        after_request='[UNUSED_TOKEN_145]\n',
        before_answer='[UNUSED_TOKEN_146]assistant\n',
        end='[UNUSED_TOKEN_145]',
        after_answer='\n',
        opening='[UNUSED_TOKEN_146]assistant\n',
        stop='[UN',
        image_before='{image} ',
    ),
}


def find_template(template: str | ConversationTemplate | dict[str, Any]) -> ConversationTemplate:
    """A template from a config.

    Args:
        template: A name in ``CONVERSATION_TEMPLATES``, a template, or its fields.

    Raises:
        ValueError: No such name.
    """
    if isinstance(template, ConversationTemplate):
        return template
    if isinstance(template, dict):
        return ConversationTemplate(**template)
    if template not in CONVERSATION_TEMPLATES:
        raise ValueError(
            f'There is no conversation template {template!r}; there are '
            f'{", ".join(CONVERSATION_TEMPLATES)}, or give the fields of a ConversationTemplate.'
        )
    return CONVERSATION_TEMPLATES[template]
