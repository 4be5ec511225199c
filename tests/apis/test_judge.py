import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fake_endpoint import running_endpoint

from flmm.apis.judge import Judge, JudgeError
from flmm.utils.errors import FLMMError


@pytest.fixture
def endpoint():
    with running_endpoint() as server:
        yield server


@pytest.fixture
def make_judge(endpoint, tmp_path):
    def make(**options):
        defaults = dict(cache=tmp_path / 'cache.jsonl', sleep=lambda seconds: None, retries=3)
        return Judge(endpoint.url, 'grader', **{**defaults, **options})

    return make


ITEM = ('What is it?', 'a dog', 'dog')


def test_a_score_is_asked_for_once(endpoint, make_judge, monkeypatch):
    monkeypatch.setenv('MY_KEY', 'secret')
    endpoint.replies = [(200, '0.75')]
    judge = make_judge(api_key_env='MY_KEY')
    assert judge.score(*ITEM) == 0.75
    assert judge.score(*ITEM) == 0.75
    ((path, headers, body),) = endpoint.seen
    assert path == '/v1/chat/completions' and headers['Authorization'] == 'Bearer secret'
    assert body['model'] == 'grader' and 'a dog' in body['messages'][0]['content']
    # Another process finds it in the cache.
    assert make_judge().score(*ITEM) == 0.75
    assert len(endpoint.seen) == 1


def test_busy_and_babbling_endpoints_are_asked_again(endpoint, make_judge):
    waits = []
    endpoint.replies = [
        (429, 'busy'),
        (500, 'oops'),
        (200, 'I think it is fine'),
        (200, 'Score: 1'),
    ]
    assert make_judge(sleep=waits.append).score(*ITEM) == 1
    assert len(endpoint.seen) == 4
    assert len(waits) == 3 and waits[2] > waits[0]


@pytest.mark.parametrize(
    'reply', ['', 'no', '7', '0.2 or 0.8', '1.5', '-1', '-0.5', {'choices': []}, {}]
)
def test_a_reply_without_a_score_is_a_failure_and_never_zero(endpoint, make_judge, reply):
    endpoint.replies = [(200, reply)] * 4
    with pytest.raises(JudgeError, match='4 tries'):
        make_judge().score(*ITEM)
    endpoint.replies = [(200, '0')]
    assert make_judge().score(*ITEM) == 0  # a zero that was said is one


def test_a_wrong_key_fails_at_once(endpoint, make_judge):
    endpoint.replies = [(401, 'who are you')]
    with pytest.raises(JudgeError, match='401'):
        make_judge().score(*ITEM)
    assert len(endpoint.seen) == 1


def refusal(field, hint):
    message = f"Unsupported parameter: '{field}' is not supported with this model. {hint}"
    return 400, {'error': {'message': message, 'param': field, 'code': 'unsupported_parameter'}}


def test_endpoints_that_count_completion_tokens_are_asked_so_from_then_on(endpoint, make_judge):
    waits = []
    endpoint.replies = [
        refusal('max_tokens', "Use 'max_completion_tokens' instead."),
        refusal('temperature', 'Only the default (1) value is supported.'),
        (200, '0.5'),
        (200, '1'),
    ]
    judge = make_judge(retries=0, sleep=waits.append)
    assert judge.score(*ITEM) == 0.5 and judge.score('Why?', 'x', 'y') == 1
    first, second, third, later = (body for _, _, body in endpoint.seen)
    assert first['max_tokens'] == 8 and first['temperature'] == 0
    assert 'max_tokens' not in second and second['temperature'] == 0
    # These models think before they reply, and what they think counts.
    assert second['max_completion_tokens'] == 8 + 2048
    for body in (third, later):
        assert body.keys() == {'model', 'messages', 'max_completion_tokens'}
    assert not waits


def test_a_refusal_that_does_not_end_is_a_failure(endpoint, make_judge):
    endpoint.replies = [refusal('max_tokens', 'Really.')] * 3
    with pytest.raises(JudgeError, match=r'status 400.*Really'):
        make_judge().score(*ITEM)
    assert len(endpoint.seen) == 2
    endpoint.replies = [(400, 'no such model')]
    with pytest.raises(JudgeError, match=r'status 400.*no such model'):
        make_judge().score(*ITEM)
    assert len(endpoint.seen) == 3


def test_nobody_there_is_a_failure(tmp_path):
    judge = Judge('http://127.0.0.1:9/v1', 'x', retries=1, sleep=lambda seconds: None)
    with pytest.raises(JudgeError, match='2 tries'):
        judge.score(*ITEM)
    with pytest.raises(FLMMError, match='http'):
        Judge('localhost:8000', 'x')


def test_the_cost_is_known_before_anything_is_sent(endpoint, make_judge):
    judge = make_judge(price_in=1e6, price_out=0)
    estimate = judge.estimate([ITEM, ITEM, ('Why?', 'x', 'y')])
    assert (estimate.requests, estimate.cached) == (2, 0)
    assert estimate.price == estimate.input_tokens > 100
    assert not endpoint.seen
    judge.score(*ITEM)
    assert judge.estimate([ITEM]).requests == 0
    assert 'unknown price' in str(make_judge().estimate([('a', 'b', 'c')]))


def test_a_cache_cut_short_by_a_kill_is_still_a_cache(endpoint, make_judge, tmp_path):
    make_judge().score(*ITEM)
    with open(tmp_path / 'cache.jsonl', 'a') as file:
        file.write('{"key": "ab')
    make_judge().score(*ITEM)
    assert len(endpoint.seen) == 1


def test_options_are_chosen_by_letter_or_not_at_all(endpoint, make_judge):
    endpoint.replies = [(200, 'it is the second'), (200, '(b).'), (200, 'none'), (200, 'D')]
    judge = make_judge(retries=1)
    asked = 'Which?', 'the one on the left', ['a cat', 'a dog', 'a cow']
    assert judge.choose(*asked) == 1 and len(endpoint.seen) == 2
    assert 'B. a dog' in endpoint.seen[0][2]['messages'][0]['content']
    assert make_judge().choose(*asked) == 1 and len(endpoint.seen) == 2  # kept in the file
    assert judge.choose('Which?', 'no idea', asked[2]) is None
    endpoint.replies = [(200, 'D')] * 2
    with pytest.raises(JudgeError, match='no letter of ABC'):
        judge.choose('What?', 'x', asked[2])


def test_the_result_of_a_long_answer_is_copied(endpoint, make_judge):
    endpoint.replies = [(200, ''), (200, ' 12 '), (200, 'NONE.')]
    judge = make_judge()
    assert judge.extract('How many?', 'There are ten and two.', 'an integer') == '12'
    assert 'as an integer' in endpoint.seen[0][2]['messages'][0]['content']
    assert judge.extract('How many?', 'I cannot tell.', 'an integer') == ''
    assert make_judge().extract('How many?', 'I cannot tell.', 'an integer') == ''
    assert len(endpoint.seen) == 3
