"""Score visual chains of thought on a VisCoT set: offline scores always, a judge if asked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flmm.apis.judge import Judge
from flmm.apis.visual_cot import VisualCoT
from flmm.datasets.viscot import VisCoTDataset
from flmm.engine.atomic_write import write_atomically
from flmm.evaluation import functional as F
from flmm.evaluation.sample_record import plain
from flmm.evaluation.text_scores import anls, exact_match
from flmm.structures import SkippedSample
from flmm.utils.boxes import box_iou
from flmm.utils.errors import FLMMError
from flmm.utils.safe_io import write_json

Entry = dict[str, Any]


def answer_questions(
    chain: VisualCoT,
    dataset: VisCoTDataset,
    mode: str,
    answers_file: Path,
    limit: int | None = None,
    fingerprint: str = '',
) -> list[Entry]:
    """Answer the questions of a set; a run that was interrupted goes on.

    Args:
        chain: What answers.
        dataset: With a pipeline that loads images.
        mode: See :class:`VisualCoT`.
        answers_file: JSONL, one line per question, written as it goes.
        limit: Only the first questions.
        fingerprint: Text that changes with all that the answers depend on.

    Returns:
        An entry per question in the order of the set: ``id, skipped, question, truth, answer,
        thought, box_xyxy, true_box, mode, fingerprint``.

    Raises:
        FLMMError: The file holds answers of another mode or fingerprint, or is broken.
    """
    count = len(dataset) if limit is None else min(limit, len(dataset))
    made_with = {'mode': mode, 'fingerprint': fingerprint}
    done = _read_answers(answers_file, made_with)
    answers_file.parent.mkdir(parents=True, exist_ok=True)
    entries = []
    with open(answers_file, 'a', encoding='utf-8') as file:
        for index in tqdm(range(count), desc=f'visual CoT {mode}', disable=None):
            name = dataset.sample_id(index)
            if name not in done:
                done[name] = {**_answer(chain, dataset[index], mode), **made_with}
                file.write(json.dumps(done[name]) + '\n')
                file.flush()
                os.fsync(file.fileno())
            entries.append(done[name])
    return entries


def _answer(chain: VisualCoT, item: Any, mode: str) -> Entry:
    if isinstance(item, SkippedSample):
        return {'id': item.sample_id, 'skipped': item.reason, 'detail': item.detail}
    said = chain(item.image, item.meta['question'], mode)
    return {
        'id': item.sample_id,
        'skipped': '',
        'question': item.meta['question'],
        'truth': item.meta['answer'],
        'answer': said.answer,
        'thought': said.thought,
        'box_xyxy': None if said.box_xyxy is None else list(said.box_xyxy),
        'mask_found': said.mask_found,
        'true_box': item.meta['box_xyxy'],
    }


def _read_answers(path: Path, made_with: Entry) -> dict[str, Entry]:
    """Answers of an earlier run; a last line that a kill cut short is left out and cut off."""
    if not path.is_file():
        return {}
    kept: list[Entry] = []
    lines = path.read_text(encoding='utf-8', errors='replace').split('\n')
    for number, line in enumerate(lines[:-1], start=1):
        try:
            entry = json.loads(line)
            wrong = [key for key, value in made_with.items() if entry.get(key) != value]
            kept.append({**entry, 'id': str(entry['id'])})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise FLMMError(
                f'{path}: line {number} is no answer: {type(error).__name__} {error}. Remove the '
                'file to answer anew.'
            ) from error
        if wrong:
            raise FLMMError(
                f'{path}: line {number} was made with another {" and ".join(wrong)} than this run '
                '(the fingerprint covers questions, model, checkpoint and options). Name another '
                'work dir, or remove the file.'
            )
    if lines[-1]:
        text = ''.join(json.dumps(entry) + '\n' for entry in kept)
        write_atomically(path, lambda file: file.write(text.encode()))
    return {entry['id']: entry for entry in kept}


def offline_scores(entries: Sequence[Entry]) -> dict[str, float]:
    """Scores that need no judge, in percent; a skipped question counts 0.

    Args:
        entries: Of :func:`answer_questions`.

    Returns:
        ``exact_match``, ``anls``, ``box_iou`` (of the crop with the evidence box; nan where
        nothing was cropped), ``grounded`` (share of questions with a mask), and counts.
    """
    answered = [entry for entry in entries if not entry['skipped']]
    zeros = [0.0] * (len(entries) - len(answered))
    cropped = [entry for entry in answered if entry['box_xyxy'] is not None]
    ious = [box_iou(entry['box_xyxy'], entry['true_box']) for entry in cropped]
    matches = [exact_match(entry['answer'], entry['truth']) for entry in answered]
    similar = [anls(entry['answer'], entry['truth']) for entry in answered]
    return {
        'exact_match': 100 * F.mean(matches + zeros),
        'anls': 100 * F.mean(similar + zeros),
        'box_iou': 100 * F.mean(ious),
        'grounded': 100 * F.mean([entry['mask_found'] for entry in cropped]),
        'num_questions': len(entries),
        'num_skipped': len(zeros),
    }


def judged_score(
    entries: Sequence[Entry], judge: Judge, confirm: Callable[[str], bool]
) -> tuple[float, list[float]]:
    """Mean score of a judge, in percent; a skipped question counts 0 without being sent.

    Args:
        entries: Of :func:`answer_questions`.
        judge: Who scores.
        confirm: Asked with the cost estimate before anything is sent.

    Returns:
        The mean, and the score of each entry in 0..1.

    Raises:
        FLMMError: The cost was not confirmed.
        JudgeError: The judge failed; what it scored before is in its cache.
    """
    answered = [entry for entry in entries if not entry['skipped']]
    items = [(entry['question'], entry['answer'], entry['truth']) for entry in answered]
    estimate = judge.estimate(items)
    if estimate.requests and not confirm(str(estimate)):
        raise FLMMError(f'Not judged: the cost was not confirmed ({estimate}).')
    scores = []
    for entry in tqdm(entries, desc='judge', disable=None):
        asked = not entry['skipped']
        own = (entry['question'], entry['answer'], entry['truth']) if asked else None
        scores.append(judge.score(*own) if own else 0.0)
    return 100 * F.mean(scores), scores


def write_results(
    path: Path, metrics: dict[str, float], entries: Sequence[Entry], record: dict[str, Any]
) -> None:
    """Write ``metrics``, what belongs to them, and the entries as JSON (nan as null)."""
    write_json(path, plain({'metrics': metrics, **record, 'entries': list(entries)}))
