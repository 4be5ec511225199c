"""Which samples are left when the images of the tests are taken out, and what they still are."""

import pytest

from flmm.datasets import ConcatGrounding, ImageSafe
from flmm.datasets.base import GroundingDataset
from flmm.datasets.transforms.base import Transform
from flmm.structures import GroundingSample, SkippedSample
from flmm.utils.errors import AnnotationError


class Files(GroundingDataset):
    """One sample per file; 'broken' and 'nothing' are no files, None is an image given directly."""

    def __init__(self, name, files, folder='train', pipeline=()):
        super().__init__(name, pipeline)
        self.files, self.folder, self.epoch = files, folder, 0

    def __len__(self):
        return len(self.files)

    def sample_id(self, index):
        return f'{self.name}/{index}'

    def set_epoch(self, epoch):
        self.epoch = epoch

    def read_sample(self, index):
        name, file = self.sample_id(index), self.files[index]
        if file == 'broken':
            raise AnnotationError('file', 'broken')
        if file == 'nothing':
            return SkippedSample(name, 'no_phrase')
        path = file and f'{self.folder}/{file}'
        return GroundingSample(name, image_path=path, prompt=f'epoch {self.epoch}')


class Say(Transform):
    """Adds a word to the prompt, and counts."""

    def __init__(self, word):
        self.word, self.calls = word, 0

    def transform(self, sample):
        self.calls += 1
        sample.prompt += self.word
        return sample


def ids(dataset):
    return [dataset.sample_id(index) for index in range(len(dataset))]


def test_images_are_told_apart_by_their_names_in_whatever_folder():
    train = Files('train', ['a.jpg', 'b.jpg', 'a.jpg', 'c.jpg'])
    tests = [Files('val', ['b.jpg'], 'val2014'), Files('test', ['d.jpg', 'c.jpg'], '/elsewhere')]
    safe = ImageSafe(train, tests)
    assert ids(safe) == [sample.sample_id for sample in safe] == ['train/0', 'train/2']
    assert safe.metainfo == {
        'dataset': 'image_safe',
        'left_out': 2,
        'parts': [{'dataset': 'train'}],
    }
    with pytest.raises(IndexError):
        safe[2]


def test_all_may_be_configs_and_tests_may_be_several_as_one():
    both = dict(
        type=ConcatGrounding,
        datasets=[dict(type=Files, name=name, files=[f'{name}.jpg']) for name in 'ab'],
    )
    safe = ImageSafe(dict(type=Files, name='train', files=['a.jpg', 'c.jpg']), [both], name='safe')
    assert ids(safe) == ['train/1'] and safe.name == 'safe'


def test_without_tests_all_are_kept():
    assert len(ImageSafe(Files('train', ['a.jpg', 'b.jpg']), [])) == 2


def test_what_has_no_image_to_compare_is_left_for_others_to_count():
    train = Files('train', ['broken', 'nothing', None, 'a.jpg'])
    # Neither do such samples of the tests take anything away.
    safe = ImageSafe(train, [Files('test', ['broken', 'nothing', None, 'a.jpg'])])
    assert ids(safe) == ['train/0', 'train/1', 'train/2']
    assert [getattr(item, 'reason', 'fine') for item in safe] == [
        'annotation_invalid',
        'no_phrase',
        'fine',
    ]
    assert [str(problem) for problem in safe.problems()] == ['file: broken']


def test_the_inner_pipeline_runs_first_and_neither_while_images_are_compared():
    inner, outer = Say(', inner'), Say(', outer')
    safe = ImageSafe(
        Files('train', ['a.jpg', 'b.jpg'], pipeline=[inner]),
        [Files('test', ['b.jpg'], pipeline=[inner])],
        pipeline=[outer],
    )
    assert inner.calls == 0
    assert safe[0].prompt == 'epoch 0, inner, outer'
    assert (inner.calls, outer.calls) == (1, 1)


def test_the_inner_data_set_learns_the_epoch():
    safe = ImageSafe(Files('train', ['a.jpg']), [])
    safe.set_epoch(3)
    assert safe[0].prompt == 'epoch 3'
