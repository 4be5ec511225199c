"""Bootstrapping with a system that is a function of the question: interruptions change nothing."""

import json

import numpy as np
import pytest
from PIL import Image

from flmm.apis.bootstrap import BootstrapOptions, SystemAsker, collect, generate
from flmm.datasets import Objects365Dataset
from flmm.datasets.transforms import LoadImage, PrepareLMMInputs, TurnAsPrompt, WriteTurns
from flmm.evaluation.metrics import TextBoxes
from flmm.models.lmms import HFLMM, LMMProcessor, PadToSquareImageProcessor
from flmm.models.systems import QuestionAnswering
from flmm.structures import ConversationPrediction
from flmm.utils.errors import FLMMError, ImageError

COUNT = 10


class Killed(BaseException):
    """What a kill is to the process: nothing catches it."""


@pytest.fixture
def world(tmp_path):
    """Ten images of two boxes each; the second box of every image is described wrongly."""
    rng = np.random.default_rng(0)
    records = []
    for index in range(COUNT):
        Image.fromarray(rng.integers(0, 255, (100, 200, 3), dtype=np.uint8)).save(
            tmp_path / f'{index}.png'
        )
        boxes = [[10 + index, 10, 90, 60], [100, 20, 180, 80 + index], [0, 0, 5, 5]]
        anno = [
            {'id': i, 'bbox': box, 'ignore': 0, 'category_name': 'Thing', 'area': 1}
            for i, box in enumerate(boxes)
        ]
        records.append({'id': index, 'image_id': f'{index}.png', 'anno': anno})
    return records, tmp_path


class Asker:
    """Captions name their own box; odd objects lead elsewhere. Dies after so many calls."""

    def __init__(self, dies_after=None):
        self.left = dies_after

    def __call__(self, samples):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed
        return [ConversationPrediction(sample, self.answer(sample)) for sample in samples]

    def answer(self, sample):
        (instruction,) = sample.meta['instructions']
        name = sample.sample_id.split('/')
        if instruction['template'] == 'region_description':
            return f'thing {name[-1]} of {name[0]}'
        if instruction['template'] == 'grounding':
            x0, y0, x1, y1 = instruction['answer'][0]['box']
            if name[-1] == '1':
                return '[0.000,0.000,0.100,0.100]' if int(name[0]) % 2 else 'nowhere'
            return f'[{x0 / 200:.3f},{y0 / 100:.3f},{x1 / 200:.3f},{y1 / 100:.3f}]'
        return 'Two things [0.050,0.100,0.450,0.600] here.'


def run(world, out, ask, **options):
    records, root = world
    options = BootstrapOptions(gallery=2, **options)
    generate(records, root, out, ask, options)
    return collect(records, root, out, options)


def test_consistent_captions_are_kept_and_train(world, tmp_path):
    statistics = run(world, tmp_path / 'out', Asker())
    # Two of three boxes are large enough; every second caption is wrong, half of those boxless.
    assert statistics['captions'] == 2 * COUNT and statistics['kept_captions'] == COUNT
    assert statistics['format_errors'] == COUNT // 2
    dataset = Objects365Dataset(str(tmp_path / 'out/kept.jsonl'), str(world[1]))
    assert len(dataset) == COUNT
    record = dataset.records[0]
    assert record['pred'][0]['bbox'] == [10, 10, 90, 60]
    assert record['pred'][0]['caption'] == 'thing 0 of 0'
    assert record['generate_caption'] == 'Two things here.'
    page = (tmp_path / 'out/gallery/index.html').read_text()
    assert 'kept' in page and 'rejected' in page


@pytest.mark.parametrize('share', [0.3, 0.7])
def test_a_killed_run_ends_with_the_same_file(world, tmp_path, share):
    run(world, tmp_path / 'whole', Asker())
    with pytest.raises(Killed):  # three calls for each image
        run(world, tmp_path / 'cut', Asker(dies_after=int(3 * COUNT * share) + 1))
    shard = next((tmp_path / 'cut/generated').glob('*.jsonl'))
    assert len(shard.read_text().splitlines()) == int(COUNT * share)
    with open(shard, 'a') as file:
        file.write('{"id": 9, "pred": [')  # the kill hit in the middle of a line
    run(world, tmp_path / 'cut', Asker())
    whole, cut = ((tmp_path / name / 'kept.jsonl').read_bytes() for name in ('whole', 'cut'))
    assert whole == cut
    statistics = [(tmp_path / name / 'statistics.json').read_text() for name in ('whole', 'cut')]
    assert statistics[0] == statistics[1]


def test_images_that_could_not_be_read_are_tried_again(world, tmp_path):
    records, root = world
    options = BootstrapOptions(gallery=0)
    (tmp_path / 'elsewhere').mkdir()
    generate(records, tmp_path / 'elsewhere', tmp_path / 'out', Asker(), options)
    wrong = collect(records, root, tmp_path / 'out', options)
    assert wrong['unreadable_images'] == COUNT and wrong['captions'] == 0
    generate(records, root, tmp_path / 'out', Asker(), options)
    assert collect(records, root, tmp_path / 'out', options)['unreadable_images'] == 0
    run(world, tmp_path / 'whole', Asker())
    out, whole = ((tmp_path / name / 'kept.jsonl').read_bytes() for name in ('out', 'whole'))
    assert out == whole


def test_what_stays_unreadable_is_written_once_however_often_a_run_goes_on(world, tmp_path):
    (world[1] / '1.png').write_bytes(b'not an image')
    run(world, tmp_path / 'whole', Asker())
    with pytest.raises(Killed):
        run(world, tmp_path / 'cut', Asker(dies_after=3 * 4))
    for _ in range(2):
        run(world, tmp_path / 'cut', Asker())
    (whole,), (cut,) = (
        [path.read_bytes() for path in (tmp_path / name / 'generated').glob('*.jsonl')]
        for name in ('whole', 'cut')
    )
    assert whole == cut and len(whole.splitlines()) == COUNT
    # Its line is still one of this data set's.
    with pytest.raises(FLMMError, match='such as 1'):
        generate(
            [record for record in world[0] if record['id'] != 1],
            *(world[1], tmp_path / 'cut', Asker(), BootstrapOptions()),
        )


def test_shards_make_the_same_file_whoever_comes_last(world, tmp_path):
    run(world, tmp_path / 'one', Asker())
    assert run(world, tmp_path / 'two', Asker(), shard=1, shards=2) is None
    assert run(world, tmp_path / 'two', Asker(), shard=0, shards=2) is not None
    one, two = ((tmp_path / name / 'kept.jsonl').read_bytes() for name in ('one', 'two'))
    assert one == two


def test_other_settings_or_data_do_not_continue_a_run(world, tmp_path):
    run(world, tmp_path / 'out', Asker())
    with pytest.raises(FLMMError, match='settings'):
        run(world, tmp_path / 'out', Asker(), min_area=5.0)
    records = [dict(record, id=record['id'] + 100) for record in world[0]]
    with pytest.raises(FLMMError, match='other data'):
        generate(records, world[1], tmp_path / 'out', Asker(), BootstrapOptions())


def test_another_checkpoint_does_not_continue_a_run(world, tmp_path):
    records, root = world
    options = BootstrapOptions(gallery=0)
    with pytest.raises(Killed):
        generate(
            records, root, tmp_path / 'out', Asker(dies_after=10), options, sources={'a.pth': 'x'}
        )
    with pytest.raises(FLMMError, match=r'a\.pth.*b\.pth.*--out'):
        generate(records, root, tmp_path / 'out', Asker(), options, sources={'b.pth': 'y'})
    generate(records, root, tmp_path / 'out', Asker(), options, sources={'a.pth': 'x'})
    assert collect(records, root, tmp_path / 'out', options)['captions'] == 2 * COUNT


def test_an_unreadable_image_is_counted_and_the_rest_goes_on(world, tmp_path):
    (world[1] / '3.png').write_bytes(b'no image')
    statistics = run(world, tmp_path / 'out', Asker())
    assert statistics['unreadable_images'] == 1
    assert statistics['kept_images'] == COUNT - 1
    lines = (tmp_path / 'out/kept.jsonl').read_text().splitlines()
    assert 3 not in [json.loads(line)['id'] for line in lines]


def test_an_image_that_the_system_refuses_is_counted_and_the_rest_goes_on(world, tmp_path):
    class Refusing(Asker):
        def __call__(self, samples):
            # It dies over the second question, when there are captions already.
            if samples[0].sample_id == '3/box/0':
                raise ImageError('3', 'it is too thin for this LMM.')
            return super().__call__(samples)

    statistics = run(world, tmp_path / 'out', Refusing())
    assert statistics['unreadable_images'] == 1 and statistics['kept_images'] == COUNT - 1
    shard = next((tmp_path / 'out/generated').glob('*.jsonl'))
    line = next(one for one in map(json.loads, shard.open()) if one['id'] == 3)
    assert line['pred'] == [] and 'too thin' in line['error']
    assert (line['orig_width'], line['orig_height']) == (200, 100)


def test_readers_that_give_a_box_for_each_phrase_read_the_one_that_was_asked_for(world, tmp_path):
    records, root = world
    codec = TextBoxes('normalised').codec

    def reader(prediction):
        sample = prediction.sample
        found = codec.read_boxes(prediction.text, sample.image.size[::-1])
        return [found[0] if found else None for _ in sample.phrases]

    options = BootstrapOptions()
    generate(records, root, tmp_path / 'out', Asker(), options, reader)
    statistics = collect(records, root, tmp_path / 'out', options)
    assert statistics['kept_captions'] == COUNT
    assert statistics['format_errors'] == COUNT // 2


def test_any_system_that_answers_questions_can_drive_it(world, tmp_path, tiny_llava):
    """An LMM as it is, without marks, in the dialect of Qwen-VL."""
    lmm = dict(type=HFLMM, pretrained=str(tiny_llava), dtype='float32')
    model = QuestionAnswering(lmm, str(tiny_llava), max_new_tokens=4).eval()
    processor = LMMProcessor(str(tiny_llava), PadToSquareImageProcessor(48, 8))
    pipeline = [
        LoadImage(),
        WriteTurns(marks=False, dialect='thousand', choose='first'),
        TurnAsPrompt(),
        PrepareLMMInputs(processor),
    ]
    asked, predict = [], model.predict

    def watched(inputs, samples):
        asked.extend(sample.prompt for sample in samples)
        return predict(inputs, samples)

    model.predict = watched
    records, root = world
    options = BootstrapOptions(gallery=0, whole_image=False)
    path = generate(
        records[:2], root, tmp_path / 'out', SystemAsker(model, pipeline), options,
        reader=TextBoxes('thousand'),
    )  # fmt: skip
    lines = [json.loads(line) for line in path.open()]
    assert [len(line['pred']) for line in lines] == [2, 2]
    assert '<box>(50,100),(450,600)</box>' in asked[0]
    captions = [caption['caption'] for caption in lines[0]['pred']]
    assert all(text in prompt for text, prompt in zip(captions, asked[2:4], strict=True))
    assert collect(records[:2], root, tmp_path / 'out', options)['captions'] == 4


def test_a_system_is_asked_in_batches_in_order():
    class System:
        data_preprocessor = staticmethod(lambda batch: batch)
        seen: list = []  # noqa: RUF012

        def __call__(self, inputs, samples, skipped, mode):
            assert mode == 'predict'
            self.seen.append(len(samples))
            return [s.sample_id for s in samples]

    from flmm.structures import GroundingSample, LMMInputs

    def prepare(sample):
        sample.lmm_inputs = object.__new__(LMMInputs)
        return sample

    ask = SystemAsker(System(), [prepare], batch_size=2)
    samples = [GroundingSample(str(i)) for i in range(5)]
    assert ask(samples) == ['0', '1', '2', '3', '4']
    assert System.seen == [2, 2, 1]
