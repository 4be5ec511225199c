from flmm.structures import GroundingSample, TextPiece


def text(*pieces, joint=False):
    return GroundingSample('s', pieces=[TextPiece(p) for p in pieces], joint_tokens=joint).text


def test_people_read_pieces_with_single_spaces_between():
    assert text('two dogs', 'and', 'a man') == 'two dogs and a man'
    assert text('two dogs ', 'and') == 'two dogs and'


def test_joint_pieces_are_read_as_they_are():
    assert text('two dogs', ' and ', 'a man', '.', joint=True) == 'two dogs and a man.'


def test_without_pieces_there_is_no_text():
    assert text() == ''
