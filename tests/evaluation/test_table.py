from flmm.evaluation.table import format_score, tabulate_metrics


def test_prefixes_become_columns_and_scores_rows():
    table = tabulate_metrics(
        {'coarse/res/ciou': 60.0, 'res/ciou': 80.0, 'control/coarse/res/ciou': 14.0, 'seconds': 3.0}
    )
    assert table.columns == ('final masks', 'coarse', 'control/coarse')
    assert table.rows == (('res/ciou', (80.0, 60.0, 14.0)), ('seconds', (3.0, None, None)))


def test_values_that_are_no_numbers_are_left_out():
    assert tabulate_metrics({'res/ciou': 1.0, 'note': 'x', 'ok': True}).rows == (
        ('res/ciou', (1.0,)),
    )


def test_scores_of_one_kind_are_not_called_masks():
    table = tabulate_metrics({'pope/accuracy': 99.8, 'name/accuracy': 99.2})
    assert table.columns == ('score',)
    assert table.rows == (('pope/accuracy', (99.8,)), ('name/accuracy', (99.2,)))
    assert tabulate_metrics({}).columns == ()


def test_parts_of_a_benchmark_are_rows():
    table = tabulate_metrics({'pope/popular/accuracy': 99.0, 'pope/accuracy': 98.0})
    assert table.columns == ('score',)
    assert [name for name, _ in table.rows] == ['pope/popular/accuracy', 'pope/accuracy']


def test_scores_for_people():
    assert [format_score(x) for x in (81.234, 12, None, float('nan'))] == ['81.23', '12', '–', '–']
