r"""GPT4RoI's released weights: add them to LLaMA, take the difference, make them flmm's.

Examples:
  python tools/convert_gpt4roi.py apply-delta llama-7b GPT4RoI-7B-delta GPT4RoI-7B
  python tools/convert_gpt4roi.py make-delta llama-7b my-model my-delta
  python tools/convert_gpt4roi.py to-flmm GPT4RoI-7B clip-vit-large-patch14 checkpoints/llava_v0_7b
  python tools/convert_gpt4roi.py assemble vicuna-7b-v0 LLaVA-7b-pretrain-projector-v0.bin \
      clip-vit-large-patch14 checkpoints/llava_v0_7b

``assemble`` makes what stage 1 of the training starts from, the ``lmm`` of
configs/gpt4roi/*llava_v0*. ``to-flmm`` makes such a folder of a finished model, and
roi_extractor.safetensors, a checkpoint of the configs of stage 1.
Shards are mapped, not read: memory is needed for one weight at a time.
"""

from __future__ import annotations

import argparse
import sys

from flmm.apis.delta_weights import apply_delta, describe_index, make_delta
from flmm.apis.llava_v0_folder import assemble_llava_v0, write_llava_v0
from flmm.utils.errors import FLMMError


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest='verb', required=True)
    for verb, second in (('apply-delta', 'delta'), ('make-delta', 'target')):
        one = verbs.add_parser(verb)
        one.add_argument('base', help='folder of the base model')
        one.add_argument(second, help=f'folder of the {second}')
        one.add_argument('out', help='folder to write')
    one = verbs.add_parser('to-flmm')
    one.add_argument('model', help='folder of the whole model, official names')
    one.add_argument('vision', help='folder of CLIP ViT-L/14')
    one.add_argument('out', help='folder to write')
    one = verbs.add_parser('assemble')
    one.add_argument('model', help='folder of Vicuna v0')
    one.add_argument('projector', help="file of LLaVA's projector, after its first stage")
    one.add_argument('vision', help='folder of CLIP ViT-L/14')
    one.add_argument('out', help='folder to write')
    args = parser.parse_args(argv)
    try:
        if args.verb == 'apply-delta':
            count = apply_delta(args.base, args.delta, args.out)
            print(f'{count} weights added to; {describe_index(args.out)}')
        elif args.verb == 'make-delta':
            count = make_delta(args.base, args.target, args.out)
            print(f'{count} weights subtracted from; {describe_index(args.out)}')
        elif args.verb == 'assemble':
            count = assemble_llava_v0(args.model, args.projector, args.vision, args.out)
            print(f"{count} weights, with rows for GPT4RoI's tokens; {describe_index(args.out)}")
        else:
            lmm, extractor = write_llava_v0(args.model, args.vision, args.out)
            print(f'{lmm} weights of the LMM, {extractor} of the region extractor')
    except FLMMError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
