"""Tiny benchmarks in their official layouts: one function each, name -> path of what is read."""

import base64
import io
import json

from PIL import Image


def dump(path, content):
    path.write_text(json.dumps(content))
    return path


def picture():
    buffer = io.BytesIO()
    Image.new('RGB', (4, 3), 'red').save(buffer, 'PNG')
    return buffer.getvalue()


def gqa(root):
    row = {'question': 'What?', 'imageId': 'n1', 'answer': 'cat', 'isBalanced': True}
    return dump(root / 'gqa.json', {'201': row, '202': dict(row, answer='dog')})


def scienceqa(root):
    row = {
        'question': 'Which?',
        'choices': ['x', 'y'],
        'answer': 1,
        'hint': 'Look.',
        'image': 'image.png',
        'split': 'test',
        'subject': 'natural science',
    }
    dump(root / 'pid_splits.json', {'test': ['5', '6'], 'train': ['7']})
    return dump(root / 'problems.json', {'5': row, '6': dict(row, image=None), '7': row})


def textvqa(root):
    row = {'question_id': 34602, 'image_id': '0054', 'question': 'Brand?', 'answers': ['a'] * 10}
    return dump(root / 'textvqa.json', {'data': [row], 'dataset_type': 'val'})


def pope(root):
    folder = root / 'pope'
    folder.mkdir()
    row = {'question_id': 1, 'image': 'COCO_1.jpg', 'text': 'Is there a dog?', 'label': 'no'}
    for setting in ('random', 'popular', 'adversarial'):
        rows = [row, dict(row, question_id=2, label='yes')]
        (folder / f'coco_pope_{setting}.json').write_text('\n'.join(map(json.dumps, rows)))
    return folder


def mme(root):
    folder = root / 'mme'
    for task, texts, images in (
        ('count', '.', '.'),
        ('artwork', 'questions_answers_YN', 'images'),
    ):
        for part in (texts, images):
            (folder / task / part).mkdir(parents=True, exist_ok=True)
        lines = 'Is it 1? Please answer yes or no.\tYes\nIs it 2? Please answer yes or no.\tNo\n'
        (folder / task / texts / '0001.txt').write_text(lines)
        (folder / task / images / '0001.png').write_bytes(picture())
    return folder


def mmbench(root):
    image = base64.b64encode(picture()).decode()
    rows = [
        'index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\timage',
        f'241\tWhich?\tnan\tx\ty\t\t\tA\tocr\t{image}',
        '1000241\tWhich?\tnan\ty\tx\t\t\tB\tocr\t241',
    ]
    path = root / 'mmbench.tsv'
    path.write_text('\n'.join(rows) + '\n')
    return path


def mmvet(root):
    row = {'imagename': 'v1_0.png', 'question': 'x?', 'answer': '-1', 'capability': ['ocr']}
    return dump(root / 'mm-vet.json', {'v1_0': row})


def qbench(root):
    row = {
        'img_path': '0.jpg',
        'question': 'Clear?',
        'candidates': ['Yes', 'No'],
        'correct_ans': 'No',
    }
    return dump(root / 'qbench.json', [row])


def mathvista(root):
    row = {
        'question': 'How many?',
        'query': 'Hint: an integer.\nQuestion: How many?',
        'image': 'images/1.jpg',
        'choices': None,
        'question_type': 'free_form',
        'answer_type': 'integer',
        'precision': None,
        'answer': '14',
        'metadata': {'task': 'figure question answering'},
    }
    return dump(root / 'testmini.json', {'1': row})


def ai2d(root):
    folder = root / 'ai2d' / 'questions'
    folder.mkdir(parents=True)
    question = {'answerTexts': ['x', 'y', 'z'], 'correctAnswer': 2, 'questionId': '0.png-0'}
    for name in ('0', '1'):
        one = dict(question, questionId=f'{name}.png-0')
        dump(
            folder / f'{name}.png.json',
            {'questions': {'Which?': one}, 'imageName': f'{name}.png'},
        )
    (root / 'ai2d' / 'ai2d_test_ids.csv').write_text('1\n')
    return folder


def lettered_ai2d(root):
    """AI2D whose question speaks of a letter that the picture, all green, does not show yet."""
    folder = ai2d(root)
    one = {'abcLabel': True, 'answerTexts': ['x', 'y'], 'correctAnswer': 0, 'questionId': '1'}
    content = {'questions': {'What is A?': one}, 'imageName': '1.png'}
    dump(folder / '1.png.json', content)
    label = {'rectangle': [[10, 10], [40, 30]], 'replacementText': 'A', 'value': 'ear'}
    (root / 'ai2d/annotations').mkdir()
    dump(root / 'ai2d/annotations/1.png.json', {'text': {'T0': label}, 'blobs': {}})
    Image.new('RGB', (60, 50), (0, 128, 0)).save(root / '1.png')
    return folder


def seed(root):
    row = {
        'question_id': '101669',
        'question': 'How many?',
        'choice_a': 'one',
        'choice_b': 'two',
        'choice_c': 'three',
        'choice_d': 'four',
        'answer': 'B',
        'data_id': '1454426_2591111986',
        'data_type': 'image',
        'question_type_id': 5,
    }
    rows = [row, dict(row, data_type='video', question_id='9')]
    kinds = {'Instances Counting': 5}
    return dump(root / 'seed.json', {'questions': rows, 'question_type': kinds})


def hallusionbench(root):
    row = {
        'category': 'VD',
        'subcategory': 'illusion',
        'set_id': '0',
        'figure_id': '1',
        'question_id': '0',
        'question': 'Same?',
        'gt_answer': '1',
        'filename': './VD/illusion/0_1.png',
    }
    without = dict(row, category='VS', figure_id='0', filename=None, gt_answer='0')
    return dump(root / 'hallusion.json', [row, without])


WRITERS = {
    'gqa': gqa,
    'scienceqa': scienceqa,
    'textvqa': textvqa,
    'pope': pope,
    'mme': mme,
    'mmbench': mmbench,
    'mmbench_cn': mmbench,
    'mmvet': mmvet,
    'qbench': qbench,
    'mathvista': mathvista,
    'ai2d': ai2d,
    'seed': seed,
    'hallusionbench': hallusionbench,
}
