"""VSR: a statement is true or not."""

from instruction_files import pairs_of, write

from flmm.datasets import VSRDataset

LINK = 'http://images.cocodataset.org'
LINES = [
    {
        'image': 'a.jpg',
        'image_link': f'{LINK}/train2017/a.jpg',
        'caption': 'A is on B.',
        'label': 1,
    },
    {'image': 'b.jpg', 'image_link': f'{LINK}/val2017/b.jpg', 'caption': 'B is on A.', 'label': 0},
]


def test_statements_are_answered_and_images_found_by_their_link(tmp_path):
    dataset = VSRDataset(write(tmp_path / 'v.jsonl', LINES, lines=True), str(tmp_path))
    answers = [{answer for _, answer in pairs_of(dataset, i)} for i in (0, 1)]
    assert answers == [{'Yes'}, {'No'}]
    assert [dataset.image_name(line) for line in LINES] == ['train2017/a.jpg', 'val2017/b.jpg']
    assert dataset[1].meta['answers'] == ['no']


def test_the_request_for_yes_or_no_is_part_of_the_question(tmp_path):
    dataset = VSRDataset(write(tmp_path / 'v.jsonl', LINES, lines=True), str(tmp_path))
    wanted = 'A is on B. Is it correct? Answer with Yes or No.'
    assert pairs_of(dataset, marks=False) == {(wanted, 'Yes')}
    ((request, _),) = pairs_of(dataset)
    assert f'<qes>{wanted}</qes>' in request
