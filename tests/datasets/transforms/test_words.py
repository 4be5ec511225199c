import pytest

from flmm.datasets.transforms import LastWords
from flmm.structures import GroundingSample, Phrase, TextPiece


@pytest.mark.parametrize('joint', [False, True])
def test_the_last_word_stands_for_the_phrase(joint):
    pieces = [TextPiece('a red circle', 0), TextPiece(' on '), TextPiece('sand', 1)]
    sample = GroundingSample('s', pieces=pieces, phrases=[Phrase('a red circle'), Phrase('sand')])
    sample.joint_tokens = joint
    text = sample.text
    sample = LastWords()(sample)
    assert sample.text == text
    assert [(p.text, p.phrase) for p in sample.pieces] == [
        ('a red ' if joint else 'a red', -1),
        ('circle', 0),
        (' on ', -1),
        ('sand', 1),
    ]
    assert [p.text for p in sample.phrases] == ['circle', 'sand']
    assert sample.phrases[0].meta['phrase'] == 'a red circle'


def test_of_several_pieces_the_last_one_counts():
    pieces = [TextPiece('the two', 0), TextPiece('that are'), TextPiece('red dots', 0)]
    sample = LastWords()(GroundingSample('s', pieces=pieces, phrases=[Phrase('the two red dots')]))
    assert [(p.text, p.phrase) for p in sample.pieces if p.phrase >= 0] == [('dots', 0)]
    assert sample.text == 'the two that are red dots'
