"""What it costs to ground a text while it is written, beside three other ways.

The LMM of ``attention_capture.py`` reads an image and a prompt, writes a text greedily, and then
the features of the text's phrases are made:

- ``trace``: ``generate_with_features``: queries are kept while writing, rows computed at the end;
- ``every step``: the rows of every written token over the image are computed and kept at once;
- ``second pass``: the written tokens run once more, together, on the prompt's KV cache;
- ``read again``: ``phrase_features`` reads the prompt and the text from the start.

Each is compared with writing alone; all run by turns in one process, and the fastest run of each
counts: everything else on the machine can only slow one down. ``trace`` and ``every step`` write
one token more, because only a token that is read again has rows.

    python benchmarks/generation_capture.py --json generation.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from attention_capture import LENGTHS, clock_for, load, make_inputs
from torch import Tensor

from flmm.models.lmms.attention import AttentionObserver, RowCapture, attention_rows
from flmm.models.lmms.generation import write_greedily
from flmm.models.lmms.hidden_states import watch_hidden_states


def find_phrases(ids: Tensor) -> Tensor:
    """Every other group of four tokens is a phrase."""
    group = torch.arange(len(ids), device=ids.device) // 4
    return torch.where(group % 2 == 0, group // 2, -1)


class EveryStep(AttentionObserver):
    """Rows of every written token over the image, computed while it is written."""

    def __init__(self, columns: Tensor) -> None:
        self.columns, self.rows, self.hidden = columns, {}, {}

    def observe(self, module: Any, query: Tensor, key: Tensor, rule: Any) -> None:
        """Keep the rows of one layer in one step."""
        if query.shape[2] == 1:
            rows = attention_rows(query, key, rule, None)[..., self.columns]
            self.rows.setdefault(module.layer_idx, []).append(rows)

    def keep_hidden(self, layer: int, states: Tensor) -> None:
        """Keep a layer's output of one step."""
        if states.shape[1] == 1:
            self.hidden.setdefault(layer, []).append(states)


class SecondPass(RowCapture):
    """Captures tokens that come after those in the cache."""

    def observe(self, module: Any, query: Tensor, key: Tensor, rule: Any) -> None:
        """Compute the rows of one layer."""
        self.collect(module.layer_idx, query, key, replace(rule, mask=None))


def write(lmm: Any, prompt: Any, count: int) -> Tensor:
    """Writing alone."""
    return lmm.generate([prompt], count)[0]


def trace(lmm: Any, prompt: Any, count: int) -> Any:
    """The way of flmm."""
    written = lmm.generate_with_features([prompt], lambda ids, hidden: find_phrases(ids), count)
    return written[0].features


def every_step(lmm: Any, prompt: Any, count: int) -> Any:
    """Rows in every step; merged when the phrases are known."""
    observer = EveryStep(prompt.grids[0].positions.flatten().to(lmm.device))
    with observer.active(), watch_hidden_states(lmm.decoder(), observer.keep_hidden):
        ids = write_greedily(lmm.model, lmm._batch([prompt]), count + 1)[:count]
    phrases = find_phrases(ids)
    layers = [torch.cat(observer.rows[i], dim=2)[0] for i in sorted(observer.rows)]
    stacked = torch.stack(layers)[:, :, :count]  # (L, A, n, N)
    maps = [stacked[:, :, phrases == p].mean(2) for p in range(int(phrases.max()) + 1)]
    hidden = torch.stack([torch.cat(h, 1)[0, :count] for h in observer.hidden.values()], 1)
    return maps, hidden[phrases >= 0]


def second_pass(lmm: Any, prompt: Any, count: int) -> Any:
    """Crop the cache to the prompt and run the written tokens on it."""
    output = lmm.model.generate(
        **lmm._batch([prompt]),
        max_new_tokens=count,
        do_sample=False,
        return_dict_in_generate=True,
        use_cache=True,
    )
    length = len(prompt.input_ids)
    ids, cache = output.sequences[:, length:], output.past_key_values
    cache.crop(length - cache.get_seq_length())  # negative: so many are removed
    capture = SecondPass(find_phrases(ids[0])[None], [prompt.grids[0].positions.flatten()])
    hidden = []
    with (
        capture.active(),
        watch_hidden_states(lmm.decoder(), lambda _, states: hidden.append(states)),
    ):
        lmm.decoder()(input_ids=ids, past_key_values=cache, use_cache=True)
    return capture.maps(0), hidden


def read_again(lmm: Any, prompt: Any, count: int) -> Any:
    """Read prompt and text from the start."""
    ids = write(lmm, prompt, count)
    whole = replace(
        prompt,
        input_ids=torch.cat([prompt.input_ids, ids.cpu()]),
        phrase_ids=torch.cat([torch.full_like(prompt.phrase_ids, -1), find_phrases(ids).cpu()]),
    )
    return lmm.phrase_features([whole])


WAYS: dict[str, Callable] = {
    'write': write,
    'trace': trace,
    'every step': every_step,
    'second pass': second_pass,
    'read again': read_again,
}


def main(argv: list[str] | None = None) -> list[dict]:
    """Run the benchmark, print a table, and return its rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--json', type=Path, help='write one row for each way here')
    parser.add_argument('--layers', type=int, default=4)
    parser.add_argument('--hidden', type=int, default=1024)
    parser.add_argument('--heads', type=int, default=16)
    parser.add_argument('--intermediate', type=int, default=2816)
    parser.add_argument('--new-tokens', type=int, default=32)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--dtype', default='float32')
    args = parser.parse_args(argv)
    side, words = LENGTHS[0]
    lmm = load(SimpleNamespace(**vars(args), kernel='sdpa', worker='capture'), side, args.layers)
    lmm.model.generation_config.eos_token_id = None
    prompt = make_inputs(side, words)
    clock, seconds = clock_for(args.device), {way: [] for way in WAYS}
    with torch.no_grad():
        for repeat in range(args.repeats + 1):
            for way, function in WAYS.items():
                start = clock()
                function(lmm, prompt, args.new_tokens)
                if args.device != 'cpu':
                    torch.cuda.synchronize()
                if repeat:  # the first round warms up
                    seconds[way].append(clock() - start)
    rows = []
    for way, own in seconds.items():
        extra = min(own) - min(seconds['write'])
        rows.append({'way': way, 'seconds': round(min(own), 3), 'extra_seconds': round(extra, 3)})
    print(
        f'{platform.machine()}, {os.cpu_count()} cores, {args.device}, {args.dtype}, '
        f'{len(prompt.input_ids)} + {args.new_tokens} tokens, hidden {args.hidden}, '
        f'{args.layers} layers, fastest of {args.repeats}'
    )
    for row in rows:
        print(f'{row["way"]:12s} {row["seconds"]:8.3f} s {row["extra_seconds"]:+8.3f} s')
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + '\n')
    return rows


if __name__ == '__main__':
    main()
