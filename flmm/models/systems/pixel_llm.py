"""PixelLLM: a language model whose every word has a place in the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flmm.models.box_heads.caption_proposals import find_places, propose_places
from flmm.models.caption_batches import predict_captions, stack_captions
from flmm.models.data_preprocessor import StructuresToDevice
from flmm.models.image_encoders import fuse_features, load_sam
from flmm.models.part_weights import freeze_parts, load_some, warn_of_gaps
from flmm.models.place_captioner import PlaceCaptioner
from flmm.models.point_heads import WordRules
from flmm.models.text_decoders import WordDecoder
from flmm.registry import MODELS
from flmm.structures import CaptionInputs, GroundingPrediction, GroundingSample, SkippedSample


@MODELS.register_module()
class PixelLLM(PlaceCaptioner):
    """Caption prompted places, and locate the words of what is said.

    PixelLLM (arXiv 2312.09237): image features, read at a prompted place into visual tokens; a
    text model that writes behind them; a point head on its hidden states. A caption of the whole
    image has the whole image as its place; a referring expression is located by its last word,
    which has read all of it; dense captions have the places of a box head.

    Shapes: B images, N captions of each, T words, Q words of a context, K points of a word, M
    visual tokens, C channels of the text model.

    Args:
        image_encoders: Configs of encoders; their features are put together.
        prompt_encoder: Config of a :class:`LocationPromptEncoder`.
        prompt_extractor: Config of a :class:`PromptFeatureExtractor`.
        text_decoder: Config of a text decoder with ``forward(tokens, visual, context)`` and
            ``generate(visual, context)``.
        point_head: Config of a :class:`MLPPointHead`, or of an :class:`AttentionPointHead` for a
            text decoder that gives its attention maps; None: words have no places.
        box_head: Config of a :class:`DenseBoxHead`; None: no dense captions.
        mask_head: Config of a :class:`PromptedMaskHead`; None: no masks.
        mask_encoder: Which image encoder is SAM's, whose features the mask head reads.
        caption_loss: Config of the words' loss.
        point_loss: Config of the points' loss; points are in pixels.
        mask_loss: Config of the masks' loss.
        trace_rule: Words that have a point of their own, see :class:`WordRules`.
        box_rule: Words that have the caption's box.
        proposals_per_image: Proposals that are captioned in training of the box head.
        tokenizer: Of the text model, to make text of what it writes; not needed otherwise.
        sam: Folder or file of a SAM whose weights the SAM encoder, the prompt encoder and the
            mask head take; None: they start at random.
        frozen: Names of parts that do not train, such as ``'text_decoder'``.
        weights_from: Weights of an earlier task that training starts from, as the release's other
            tasks start from ``trace``: anything that :mod:`flmm.engine.start_weights` reads. Parts
            that it lacks, such as a mask head, start at random. Where parts are ``frozen`` they
            are needed to resume and to evaluate, too: checkpoints hold what trains.
        cells_encoder: Which image encoder's cells the text model reads before a place's tokens:
            an :class:`LMMImageEncoder` for an :class:`LMMTextDecoder`. None: the tokens alone.
        relative_to: The point head's points are relative to the ``'image'``, or to the padded
            ``'canvas'``, in which the cells of an LMM lie.
        autocast: Compute the losses in bfloat16 while the weights stay as they are (faster on CPUs
            with AMX or AVX512-BF16).
        data_preprocessor: Config of what moves batches to the device.
    """

    def __init__(
        self,
        image_encoders: Sequence[Mapping],
        prompt_encoder: Mapping,
        prompt_extractor: Mapping,
        text_decoder: Mapping,
        point_head: Mapping | None = None,
        box_head: Mapping | None = None,
        mask_head: Mapping | None = None,
        mask_encoder: int = -1,
        caption_loss: Mapping | None = None,
        point_loss: Mapping | None = None,
        mask_loss: Mapping | None = None,
        trace_rule: str = 'begin,end,pad',
        box_rule: str = '^end-1',
        proposals_per_image: int = 64,
        tokenizer: Any = None,
        sam: str | None = None,
        frozen: Sequence[str] = (),
        weights_from: str | None = None,
        cells_encoder: int | None = None,
        relative_to: str = 'image',
        autocast: bool = False,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor or dict(type=StructuresToDevice))
        self.image_encoders = nn.ModuleList(MODELS.build(config) for config in image_encoders)
        self.prompt_encoder = MODELS.build(prompt_encoder)
        self.prompt_extractor = MODELS.build(prompt_extractor)
        self.text_decoder = MODELS.build(text_decoder)
        self.point_head = MODELS.build(point_head) if point_head else None
        self.box_head = MODELS.build(box_head) if box_head else None
        self.mask_head = MODELS.build(mask_head) if mask_head else None
        if relative_to not in ('image', 'canvas'):
            raise ValueError(f"relative_to must be 'image' or 'canvas', got {relative_to!r}.")
        self.reads_maps = getattr(self.point_head, 'reads_maps', False)
        given = getattr(self.text_decoder, 'maps', False) and cells_encoder is not None
        if self.reads_maps and not (given and relative_to == 'canvas'):
            raise ValueError(
                f'{type(self.point_head).__name__} reads attention maps over the canvas: give the '
                "text decoder maps=True (LMMTextDecoder), and PixelLLM relative_to='canvas' and "
                'the cells_encoder.'
            )
        self.mask_encoder, self.cells_encoder = mask_encoder, cells_encoder
        self.relative_to, self.autocast = relative_to, autocast
        ids = dict(end_id=self.text_decoder.end_id, pad_id=self.text_decoder.pad_id)
        self.caption_loss = MODELS.build({'type': 'CaptionLoss', **ids, **(caption_loss or {})})
        self.point_loss = MODELS.build(
            {'type': 'WordPointLoss', 'weight': 0.1, **(point_loss or {})}
        )
        self.mask_loss = MODELS.build({'type': 'PromptedMaskLoss', **(mask_loss or {})})
        begin_id = self.text_decoder.begin_id
        self.word_rules = WordRules(begin_id, **ids, trace=trace_rule, box=box_rule)
        self.proposals_per_image, self.starts_from = proposals_per_image, weights_from
        self.words = WordDecoder(tokenizer, self.text_decoder.end_id)
        if sam is not None:
            head = self.mask_head.decoder if self.mask_head else None
            load_sam(sam, self.image_encoders[mask_encoder], self.prompt_encoder, head)
        self.start_is_part, self.made_before = bool(frozen), freeze_parts(self, frozen)

    def forward(
        self,
        inputs: Sequence[CaptionInputs],
        samples: Sequence[GroundingSample],
        skipped: Sequence[SkippedSample] = (),
        mode: str = 'loss',
    ) -> dict[str, Tensor] | list[GroundingPrediction]:
        """Run in mmengine's modes.

        Args:
            inputs: What ``PrepareCaptions`` made, one for each sample.
            samples: The samples.
            skipped: Samples that could not be used; ignored here, counted by hook and metrics.
            mode: ``'loss'`` or ``'predict'``.

        Raises:
            ValueError: Another mode.
        """
        if mode == 'loss' and not inputs:
            # Every rank must take part in the backward, so the zero hangs on the parameters.
            trained = [p for p in self.parameters() if p.requires_grad]
            return {'loss_text': sum(p.float().sum() for p in trained) * 0.0}
        if mode == 'loss':
            batch = stack_captions(inputs)
            device = batch['tokens'].device.type
            with torch.autocast(device, torch.bfloat16, enabled=self.autocast):
                return self.loss(**batch)
        if mode == 'predict':
            return predict_captions(self.predict, self.words, inputs, samples)
        raise ValueError(f"PixelLLM has the modes 'loss' and 'predict', got {mode!r}.")

    def take_weights(self, weights: Mapping[str, Tensor], path: str) -> list[str]:
        """Take what an earlier task has learned; the engine calls it before training.

        Args:
            weights: What ``weights_from`` holds.
            path: Where it was read, for errors.

        Returns:
            Names of what was taken.

        Raises:
            CheckpointError: None of them belongs here, or they have other sizes.
        """
        taken = load_some(self, weights, path, dict(self.named_parameters()))
        warn_of_gaps(self.made_before - set(taken), path)
        return taken

    def loss(
        self,
        images: Tensor,
        inside: Tensor,
        tokens: Tensor,
        prompt_boxes: Tensor,
        context: Tensor | None = None,
        valid: Tensor | None = None,
        gt_points: Tensor | None = None,
        gt_boxes: Tensor | None = None,
        gt_masks: Tensor | None = None,
        has_mask: Tensor | None = None,
        detect: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Losses of captions, of their words' places and masks, and of the box head.

        Args:
            images: ``(B, 3, H, W)``, 0..255.
            inside: ``(B, H, W)``, 1 where there is image.
            tokens: ``(B, N, T)`` ids from begin to end, filled with padding.
            prompt_boxes: ``(B, N, 4)``, places that are captioned. Of images for detection they
                are the objects', and proposals that match them are captioned instead.
            context: ``(B, N, Q)`` ids.
            valid: ``(B, N)``, captions that count; None for all.
            gt_points: ``(B, N, T, K, 2)`` in pixels, 0 where a word has no trace. An image
                with any is one of traces: its words have their own points.
            gt_boxes: ``(B, N, 4)``: what the captions of other images refer to, 0 for none.
            gt_masks: ``(B, N, H, W)`` bool.
            has_mask: ``(B,)``, images with masks; None for all.
            detect: ``(B,)``, images that the box head learns from; None for all.

        Returns:
            ``loss_text``; with a point head and targets ``loss_point``; with a mask head and
            masks its losses; with a box head its own.
        """
        parts = self._encode_each(images, inside)
        features = fuse_features(parts)
        valid = tokens.new_ones(tokens.shape[:2]) if valid is None else valid
        detect = valid.new_ones(len(valid)) if detect is None else detect
        losses: dict[str, Tensor] = {}
        if self.box_head is None:
            detect = torch.zeros_like(detect)
        else:
            with torch.autocast(features.device.type, enabled=False):
                losses, places = propose_places(
                    self.box_head,
                    features.to(next(self.box_head.parameters())),
                    images.shape[-2:],
                    prompt_boxes,
                    valid,
                    detect,
                    self.proposals_per_image,
                )
            prompt_boxes, valid = places.boxes_xyxy, places.valid
            tokens, context = places.captions(tokens), places.captions(context)
            gt_points, gt_boxes = places.captions(gt_points), places.captions(gt_boxes)
            gt_masks = places.captions(gt_masks)
        visual = self.look(features, prompt_boxes)
        logits, hidden, *maps = self.read(visual, tokens, context, **self._cells(parts))
        losses['loss_text'] = self.caption_loss(logits, tokens, valid)
        if self.point_head is None:
            return losses
        points = self.locate(hidden, inside, *maps)
        targets = self.word_rules.targets(tokens, gt_points, gt_boxes)
        if targets is not None:
            wanted, chosen = targets
            # The proposals' captions have no traces.
            counted = chosen & (valid[..., None] > 0) & (detect[:, None, None] == 0)
            losses['loss_point'] = self.point_loss(points, wanted, counted)
        if self.mask_head is not None and gt_masks is not None:
            boxes = self.word_rules.boxes(points.detach(), tokens)
            masks, ious = self._segment(parts, boxes, visual, hidden)
            counted = valid if has_mask is None else valid * has_mask[:, None]
            losses |= self.mask_loss(masks, ious, gt_masks, counted, inside)
        return losses

    @torch.no_grad()
    def predict(
        self,
        images: Tensor,
        inside: Tensor,
        prompt_boxes: Tensor | None = None,
        context: Tensor | None = None,
        tokens: Tensor | None = None,
        max_length: int | None = None,
    ) -> list[dict[str, Tensor]]:
        """Write captions and locate their words.

        Args:
            images: ``(B, 3, H, W)``, 0..255.
            inside: ``(B, H, W)``, 1 where there is image.
            prompt_boxes: ``(B, N, 4)`` places; None: those that the box head finds.
            context: ``(B, N, Q)`` ids; for places that are found the first one is theirs.
            tokens: ``(B, N, T)``: text that is not written but given, such as referring
                expressions.
            max_length: Longest caption.

        Returns:
            Per image ``tokens (N, T)``, ``boxes_xyxy (N, 4)`` (the places), ``scores (N,)``, with
            a point head ``points (N, T, K, 2)`` and ``word_boxes (N, 4)``, and with a mask head
            ``mask_logits (N, h, w)``; in pixels of the padded canvas.

        Raises:
            ValueError: Neither places nor a box head.
        """
        parts = self._encode_each(images, inside)
        features = fuse_features(parts)
        found = find_places(self.box_head, features, images.shape[-2:], prompt_boxes)
        results = []
        for index, (boxes, scores) in enumerate(found):
            if not len(boxes):
                nothing = torch.zeros(0, 1, dtype=torch.int64, device=boxes.device)
                results.append(dict(tokens=nothing, boxes_xyxy=boxes, scores=scores))
                continue
            part = slice(index, index + 1)
            visual = self.look(features[part], boxes[None])
            whole = {name: cells[part] for name, cells in self._cells(parts).items()}
            said = None if context is None else context[part]
            if said is not None and prompt_boxes is None:
                said = said[:, :1].expand(-1, len(boxes), -1)
            if tokens is None:
                ids, logp = self.text_decoder.generate(
                    visual[0], None if said is None else said[0], max_length, **whole
                )
                ids = ids[None]
                # How sure the detector (of given places 1) and the text model are, in one number:
                # the true boxes are an upper bound only if their captions are ranked as well.
                scores = (scores * logp.exp()).sqrt()
            else:
                ids = tokens[part]
            result = dict(tokens=ids[0], boxes_xyxy=boxes, scores=scores)
            if self.point_head is not None:
                _, hidden, *maps = self.read(visual, ids, said, **whole)
                points = self.locate(hidden, inside[part], *maps)
                around = self.word_rules.boxes(points, ids)
                result |= dict(points=points[0], word_boxes=around[0])
                if self.mask_head is not None:
                    own = [feature[part] for feature in parts]
                    result['mask_logits'] = self._segment(own, around, visual, hidden)[0][0, :, 0]
            results.append(result)
        return results
