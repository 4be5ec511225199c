"""How the chat models want a user's turn written: their special tokens and layout.

No system sentence: F-LMM's release uses the user's turn alone.
"""

#: Name -> the user's turn up to where the answer begins; ``{input}`` stands for what is said.
CHAT_TEMPLATES = {
    'plain': '{input}',
    'vicuna': 'USER: {input} ASSISTANT:',
    'mistral': '[INST] {input} [/INST]',
    'internlm2_chat': '<|im_start|>user\n{input}<|im_end|>\n<|im_start|>assistant\n',
    'llama3_chat': (
        '<|start_header_id|>user<|end_header_id|>\n\n{input}<|eot_id|>'
        '<|start_header_id|>assistant<|end_header_id|>\n\n'
    ),
    'gemma': '<start_of_turn>user\n{input}<end_of_turn>\n<start_of_turn>model\n',
    # Its image stands before the turn; a prompt need not name it.
    'collavo': (
        '<image> [UNUSED_TOKEN_146]user\n{input}[UNUSED_TOKEN_145]\n[UNUSED_TOKEN_146]assistant\n'
    ),
    'collavo_demo': '<image> USER: {input} ASSISTANT:',
    'deepseek': 'User: {input}\n\nAssistant:',
}


def render_turn(template: str, text: str) -> str:
    """Write a user's turn.

    Where the template has a place for the image, that is where it stands, whether or not the text
    begins with it as well.

    Args:
        template: A name in ``CHAT_TEMPLATES``, or a template with ``{input}`` in it.
        text: What the user says.

    Returns:
        The turn, up to where the answer begins.

    Raises:
        ValueError: The template is neither.
    """
    layout = CHAT_TEMPLATES.get(template, template)
    if layout.count('{input}') != 1:
        raise ValueError(
            f'chat_template must be one of {sorted(CHAT_TEMPLATES)} or hold "{{input}}" once, '
            f'got {template!r}.'
        )
    if '<image>' in layout:
        text = text.removeprefix('<image>\n')
    # Not str.format: what a user types may hold braces.
    return layout.replace('{input}', text)
