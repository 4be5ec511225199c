"""The processor half of any transformers LMM, derived from its own ``AutoProcessor``."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor

from flmm.registry import MODELS
from flmm.structures import GroundingSample, ImageGrid, LMMInputs
from flmm.utils.errors import FLMMError, ImageError
from flmm.utils.model_folder import check_model_folder

from .chat_templates import render_turn
from .frame_boxes import FrameFinder
from .grid_rules import GridRule, VisualTokens, find_rule
from .processor import IGNORE_INDEX, IMAGE_PLACEHOLDER, tokenise_pieces
from .token_types import continue_token_types

#: Images with a shorter side below this many pixels may fit no layout; they are skipped, then.
_TINY = 8


@MODELS.register_module()
class HFProcessor:
    """Make the LLM's sequence of a sample with the LMM's own processor.

    The user's turn is written in the model's own chat template; image and turn go through the
    model's ``AutoProcessor``, which puts as many visual tokens (and whatever stands between
    them) into the sequence as the model wants. The pieces of the text follow as the answer,
    tokenised as in ``LMMProcessor``. Where the visual tokens lie in the image is derived, see
    :mod:`flmm.models.lmms.grid_rules`.

    Args:
        pretrained: Hub id or folder of the LMM.
        chat_template: None for the model's own, or a name in ``CHAT_TEMPLATES``, or a template
            with ``{input}`` (for models without one).
        grid_rule: Name in ``GRID_RULES`` or a function; None for the family's own or else the
            derived one.
        max_length: Longest sequence in tokens, visual ones included; the text's end is cut.
            None takes the LMM's context, where its config names one.
        with_labels: Also give targets of the language loss: the text's tokens.
        add_eos: End the text with the end-of-sequence token (to train an LMM to stop).
        options: Further arguments of ``AutoProcessor.from_pretrained``, such as
            ``dict(max_pixels=...)`` or ``dict(do_pan_and_scan=True)``.

    Raises:
        ValueError: The processor has no fast tokenizer, the config names no image token, or the
            model has no chat template and none is named.
    """

    def __init__(
        self,
        pretrained: str,
        chat_template: str | None = None,
        grid_rule: str | GridRule | None = None,
        max_length: int | None = None,
        with_labels: bool = False,
        add_eos: bool = False,
        options: dict[str, Any] | None = None,
    ) -> None:
        from transformers import AutoConfig, AutoProcessor  # takes seconds to import

        self.pretrained = pretrained
        check_model_folder(pretrained)
        self.processor = AutoProcessor.from_pretrained(pretrained, **(options or {}))
        self.tokenizer = self.processor.tokenizer
        if not getattr(self.tokenizer, 'is_fast', False):
            raise ValueError(
                f'HFProcessor needs a fast tokenizer (it gives character offsets), got '
                f'{type(self.tokenizer).__name__} for {pretrained}.'
            )
        self.config = AutoConfig.from_pretrained(pretrained)
        self.image_token_id = _image_token_id(self.config, pretrained)
        if chat_template is not None:
            render_turn(chat_template, '')  # a wrong template fails here, not in a worker
        elif not self.processor.chat_template:
            raise ValueError(
                f'{pretrained} has no chat template of its own. Name one with chat_template=..., '
                "for example 'plain'."
            )
        self.chat_template = chat_template
        self.grid_rule = find_rule(grid_rule, self.config.model_type)
        if max_length is None:
            max_length = getattr(self.config.get_text_config(), 'max_position_embeddings', None)
        self.max_length = max_length
        self.with_labels = with_labels
        self.add_eos = add_eos
        self._frames = FrameFinder(self._pixel_values)

    def __call__(self, sample: GroundingSample) -> LMMInputs:
        """Process one sample.

        Args:
            sample: With ``prompt``, ``pieces`` (may be empty: only the prompt is written) and,
                if the prompt names one, ``image``.

        Returns:
            The LMM's inputs. Phrases whose tokens were all cut off have none in ``phrase_ids``.

        Raises:
            ImageError: The LMM's image processor refuses the image (its shape, usually).
            ValueError: Prompt and image do not fit each other, or the prompt alone is longer
                than ``max_length``.
            FLMMError: The visual tokens fit no grid.
        """
        prompt_ids, tensors = self._encode_prompt(sample)
        if self.max_length is not None and len(prompt_ids) > self.max_length:
            raise ValueError(
                f'The prompt alone has {len(prompt_ids)} tokens, more than max_length='
                f'{self.max_length}. Raise max_length or shorten the prompt.'
            )
        answer_ids, answer_phrases = self.text_ids(sample.pieces, joint=sample.joint_tokens)
        if self.add_eos:
            answer_ids.append(self.tokenizer.eos_token_id)
            answer_phrases.append(-1)
        input_ids = torch.cat([prompt_ids, torch.tensor(answer_ids, dtype=torch.int64)])
        phrase_ids = torch.tensor([-1] * len(prompt_ids) + answer_phrases)
        input_ids, phrase_ids = input_ids[: self.max_length], phrase_ids[: self.max_length]
        is_image = prompt_ids == self.image_token_id
        tensors = continue_token_types(tensors, is_image, len(input_ids))
        labels = None
        if self.with_labels:
            labels = input_ids.clone()
            labels[: len(prompt_ids)] = IGNORE_INDEX
        return LMMInputs(
            input_ids,
            phrase_ids,
            self._grids(sample, torch.nonzero(is_image)[:, 0], tensors),
            image_shape=(0, 0)
            if sample.image is None
            else (sample.image.height, sample.image.width),
            resized_shape=self._resized_shape(tensors),
            tensors=tensors,
            labels=labels,
        )

    def text_ids(self, pieces: list, *, joint: bool = False) -> tuple[list[int], list[int]]:
        """Tokenise the text to be grounded; see :func:`tokenise_pieces`."""
        return tokenise_pieces(self.tokenizer, pieces, joint=joint)

    def prompt_text(self, prompt: str) -> str:
        """Write the user's turn as the model wants it, up to where the answer begins.

        Args:
            prompt: What the user says; ``<image>`` stands for the image.

        Returns:
            The turn, the image one placeholder of the model's.

        Raises:
            ValueError: The prompt names several images.
        """
        before, *after = prompt.split(IMAGE_PLACEHOLDER)
        if len(after) > 1:
            raise ValueError('The prompt names several images; a sample has one.')
        if self.chat_template is not None:
            token = self.processor.image_token
            return render_turn(self.chat_template, prompt.replace(IMAGE_PLACEHOLDER, token))
        content = []
        for index, text in enumerate((before, *after)):
            if index:
                content.append({'type': 'image'})
            if text.strip():  # what stands between image and text is the template's business
                content.append({'type': 'text', 'text': text.strip()})
        return self.processor.apply_chat_template(
            [{'role': 'user', 'content': content}], add_generation_prompt=True, tokenize=False
        )

    def _encode_prompt(self, sample: GroundingSample) -> tuple[Tensor, dict[str, Tensor]]:
        """Ids of the prompt, visual tokens included, and the model's further arguments."""
        named = IMAGE_PLACEHOLDER in sample.prompt
        if named != (sample.image is not None):
            raise ValueError(
                'The prompt names an image, but the sample has none loaded.'
                if named
                else f'The sample has an image, but its prompt does not name it: put '
                f'{IMAGE_PLACEHOLDER!r} into the prompt (transform AddPrompt).'
            )
        return self._encode_text(sample, self.prompt_text(sample.prompt))

    @property
    def image_text(self) -> str:
        """What stands for the image in a text that :meth:`encode` reads."""
        return self.processor.image_token

    def encode(
        self, sample: GroundingSample, text: str
    ) -> tuple[Tensor, tuple[ImageGrid, ...], dict[str, Tensor], tuple[int, int] | None]:
        """Tokenise a text that is written already; see :meth:`LMMProcessor.encode`."""
        ids, tensors = self._encode_text(sample, text)
        places = torch.nonzero(ids == self.image_token_id)[:, 0]
        return ids, self._grids(sample, places, tensors), tensors, self._resized_shape(tensors)

    def _encode_text(self, sample: GroundingSample, text: str) -> tuple[Tensor, dict[str, Tensor]]:
        named = sample.image is not None
        count = text.count(self.processor.image_token)
        if count != int(named):
            raise ValueError(
                f'The turn holds {self.processor.image_token!r} {count} times instead of '
                f'{int(named)}; it must not be spelled out in the text of a prompt.'
            )
        # A template that writes the start token itself must not get a second one.
        bos = self.tokenizer.bos_token
        special = not (bos and text.startswith(bos))
        if sample.image is None:
            return torch.tensor(self.tokenizer(text, add_special_tokens=special)['input_ids']), {}
        try:
            encoded = self._encode(sample.image, text, special)
        except (ValueError, ZeroDivisionError, RuntimeError) as error:
            # If it refuses a plain image as well, it is not the image that is wrong.
            self._encode(Image.new('RGB', (256, 256)), text, special)
            raise ImageError(
                sample.sample_id,
                f'{type(self.processor).__name__} refuses its image of '
                f'{sample.image.width}x{sample.image.height} pixels: {error}',
            ) from error
        names = set(self.processor.model_input_names) - {'input_ids', 'attention_mask', 'labels'}
        tensors = {name: encoded[name] for name in encoded if name in names}
        return encoded['input_ids'][0], tensors

    def _encode(self, image: Image.Image, text: str, special: bool = True) -> Any:
        return self.processor(
            images=[image], text=[text], return_tensors='pt', add_special_tokens=special
        )

    def _grids(
        self, sample: GroundingSample, places: Tensor, tensors: dict[str, Tensor]
    ) -> tuple[ImageGrid, ...]:
        if sample.image is None:
            return ()
        shape = (sample.image.height, sample.image.width)
        tokens = VisualTokens(
            image_shape=shape,
            count=len(places),
            tensors=tensors,
            frames=lambda: self._frames(shape),
            tiling=self._frames.tiles,
            processor=self.processor,
            config=self.config,
        )
        try:
            grids = self.grid_rule(tokens)
        except FLMMError as error:
            if min(shape) >= _TINY:
                raise
            # Of one or two pixels nobody can say which tile shows which.
            raise ImageError(sample.sample_id, f'is too small to be placed: {error}') from error
        return tuple(ImageGrid(places[grid.positions], grid.box_xyxy) for grid in grids)

    def _resized_shape(self, tensors: dict[str, Tensor]) -> tuple[int, int] | None:
        """Size of the resized image, where the model counts its patches (Qwen-VL)."""
        if 'image_grid_thw' not in tensors:
            return None
        _, rows, columns = tensors['image_grid_thw'][0].tolist()
        side = self.config.vision_config.patch_size
        return rows * side, columns * side

    def _pixel_values(self, image: Image.Image) -> Tensor:
        """``pixel_values`` as the whole processor makes them, its defaults included."""
        return self._encode(image, self.processor.image_token)['pixel_values']


def _image_token_id(config: Any, pretrained: str) -> int:
    for name in ('image_token_id', 'image_token_index'):
        if getattr(config, name, None) is not None:
            return int(getattr(config, name))
    raise FLMMError(
        f'The config of {pretrained} ({config.model_type}) names no image_token_id, so its visual '
        'tokens cannot be found.'
    )
