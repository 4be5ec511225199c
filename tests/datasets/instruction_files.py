"""What the tests of Pink's readers share: records in files, and all that is asked about one."""

import json
import random

from flmm.datasets.transforms import WriteTurns

#: (H, W) of the images that these tests speak of; none of them exists.
SHAPE = (100, 200)


def write(path, content, lines=False):
    """Write records as json, or one per line; give the name."""
    text = ''.join(json.dumps(row) + '\n' for row in content) if lines else json.dumps(content)
    path.write_text(text)
    return str(path)


def instructions_of(dataset, index=0):
    """Everything that can be asked about a record, each once."""
    found = []
    for drawn in dataset.instructions(index):
        for instruction in drawn if isinstance(drawn, list) else [drawn]:
            if instruction not in found:
                found.append(instruction)
    return found


def pairs_of(dataset, index=0, marks=True):
    """All (request, answer) pairs about a record, with the first sentence of each list."""
    writer = WriteTurns(marks=marks, choose='first')
    turns = [
        writer.turn(vars(one), SHAPE, random.Random(0)) for one in instructions_of(dataset, index)
    ]
    return {(turn.request, turn.answer) for turn in turns}


def options_of(request):
    """Letter -> option of a question with choices."""
    shown = request.split('<opt>')[1].split('</opt>')[0]
    return {line[0]: line[3:] for line in shown.split('\n')}
