from flmm.engine.skip_counter import SkipCounter
from flmm.structures import GroundingSample, SkippedSample


def batch():
    return {
        'skipped': [
            SkippedSample('a', 'image_unreadable', 'a.jpg: no such file.'),
            SkippedSample('b', 'no_phrase'),
        ],
        'samples': [
            GroundingSample('c', dropped=[('long', 'truncated'), ('they', 'no_segment')]),
            GroundingSample('d'),
        ],
    }


def test_samples_and_phrases_are_counted_by_reason():
    counter = SkipCounter()
    counter.add(batch())
    assert counter.counts() == {
        'skipped_samples': {'image_unreadable': 1, 'no_phrase': 1},
        'dropped_phrases': {'no_segment': 1, 'truncated': 1},
    }


def test_a_repeated_sample_counts_once():
    counter = SkipCounter()
    counter.add(batch())
    counter.add(batch())
    assert counter.counts()['dropped_phrases'] == {'no_segment': 1, 'truncated': 1}
    assert len(counter.gather().skipped) == 2


def test_the_sentence_names_reasons_and_examples():
    counter = SkipCounter()
    counter.add(batch())
    assert counter.sentence(num_examples=1) == (
        '2 samples skipped (image_unreadable 1, no_phrase 1); '
        '2 phrases dropped (no_segment 1, truncated 1). '
        'For example a: a.jpg: no such file.'
    )


def test_nothing_to_say_when_everything_was_used():
    counter = SkipCounter()
    counter.add({'samples': [GroundingSample('d')], 'skipped': []})
    counter.add({'input_ids': None})
    counter.add(None)
    assert counter.sentence() == ''


def test_clear_starts_anew():
    counter = SkipCounter()
    counter.add(batch())
    counter.clear()
    assert counter.sentence() == ''
