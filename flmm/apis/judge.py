"""An OpenAI-compatible language model as judge of answers: retried, cached, never silently 0."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from mmengine.logging import print_log

from flmm.utils.errors import FLMMError

_PROMPT = """You grade answers to questions about pictures. You do not see the picture.
Question: {question}
Right answer: {truth}
Given answer: {answer}
How far does the given answer say the same as the right one? 1 means the same, 0 means something \
else or no answer; use values between for answers that are partly right. Reply with one number \
from 0 to 1 and nothing else."""
_CHOOSE = """A question about a picture was answered in free words. You do not see the picture.
Question: {question}
Options:
{options}
Given answer: {answer}
Which option does the given answer mean? Reply with its letter alone, or with NONE if it means \
none of them."""
_EXTRACT = """A question about a picture was answered at length. Do not answer it yourself: only \
copy what the given answer says in the end.
Question: {question}
Given answer: {answer}
Reply with the final result of the given answer, as {form}, and nothing else; reply with NONE if \
it gives no result."""
_NUMBER = re.compile(r'(?<![\d.])(?<!-)(?:0(?:\.\d+)?|1(?:\.0+)?|\.\d+)(?![\d.]*\d)')
# Worth another try: busy, or broken for the moment.
_RETRIED = (408, 409, 429, 500, 502, 503, 504)
_REPLY_TOKENS, _TEXT_TOKENS = 8, 64
# Room for models whose limit also counts what they think before the reply.
_THINKING_TOKENS = 2048
_LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
_NONE = 'NONE'


class JudgeError(FLMMError):
    """The judge gave no usable score; nothing was counted as 0 in its place."""


@dataclass(frozen=True)
class CostEstimate:
    """What judging will take.

    Attributes:
        requests: Calls that are not in the cache.
        cached: Scores that are.
        input_tokens: About, at 4 characters per token.
        output_tokens: At most, of replies alone; models that think first take more.
        price: In the currency of the prices; None without prices.
    """

    requests: int
    cached: int
    input_tokens: int
    output_tokens: int
    price: float | None

    def __str__(self) -> str:
        """One line for people."""
        cost = 'unknown price' if self.price is None else f'about {self.price:.4f}'
        return (
            f'{self.requests} requests ({self.cached} more are cached), about '
            f'{self.input_tokens} tokens in and {self.output_tokens} out, {cost}'
        )


class Judge:
    """Scores of answers, and readings of long ones, from a chat-completions endpoint.

    Asked are short replies at temperature 0. An endpoint that refuses ``max_tokens`` is asked with
    ``max_completion_tokens`` from then on, one that refuses the temperature with its own; a warning
    says so.

    Args:
        base_url: Address up to ``/v1``, for example ``http://localhost:8000/v1``.
        model: Name of the model there.
        api_key_env: Environment variable with the key; an endpoint without keys needs none.
        cache: JSONL file of replies that are already paid for; None keeps none.
        retries: Further tries after the first.
        wait: Seconds before the second try; doubled each time, with some randomness.
        timeout: Seconds for one reply.
        price_in: Price of a million input tokens; None if unknown.
        price_out: Price of a million output tokens.
        sleep: What waits; for tests.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key_env: str = 'OPENAI_API_KEY',
        cache: str | Path | None = None,
        retries: int = 5,
        wait: float = 1.0,
        timeout: float = 60.0,
        price_in: float | None = None,
        price_out: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not base_url.startswith(('http://', 'https://')):
            raise FLMMError(
                f'The address of a judge begins with http:// or https://: {base_url!r}.'
            )
        self.url, self.model = base_url.rstrip('/') + '/chat/completions', model
        self.retries, self.wait, self.sleep = retries, wait, sleep
        self.price_in, self.price_out = price_in, price_out
        self._refused: set[str] = set()
        key = os.environ.get(api_key_env, '')
        headers = {'Authorization': f'Bearer {key}'} if key else {}
        self.client = httpx.Client(timeout=timeout, headers=headers)
        self.cache_path = None if cache is None else Path(cache)
        self._cache = _read_cache(self.cache_path)

    def estimate(self, items: Iterable[tuple[str, str, str]]) -> CostEstimate:
        """What scoring would take, before anything is sent.

        Args:
            items: ``(question, answer, truth)`` of each.
        """
        prompts = {_prompt(*item) for item in items}
        new = [prompt for prompt in prompts if self._key(prompt) not in self._cache]
        tokens = sum(len(prompt) // 4 + 8 for prompt in new)
        replies = _REPLY_TOKENS * len(new)
        price = None
        if self.price_in is not None:
            price = (tokens * self.price_in + replies * (self.price_out or 0)) / 1e6
        return CostEstimate(len(new), len(prompts) - len(new), tokens, replies, price)

    def score(self, question: str, answer: str, truth: str) -> float:
        """How right an answer is.

        Args:
            question: What was asked.
            answer: What was said.
            truth: What is right.

        Returns:
            0..1.

        Raises:
            JudgeError: No usable reply after all tries, or a reply that another try cannot mend
                (wrong address, key or model).
        """
        return self._reply(_prompt(question, answer, truth), _read_score, _REPLY_TOKENS)

    def choose(self, question: str, answer: str, options: Sequence[str]) -> int | None:
        """Which option an answer means.

        Args:
            question: What was asked.
            answer: What was said.
            options: Their texts.

        Returns:
            Index of the option; None where the answer means none of them.

        Raises:
            JudgeError: See :meth:`score`.
        """
        listed = '\n'.join(f'{a}. {b}' for a, b in zip(_LETTERS, options, strict=False))
        prompt = _CHOOSE.format(question=question, options=listed, answer=_shortened(answer))
        letters = _LETTERS[: len(options)]

        def read(text: str) -> tuple[str | None, str]:
            said = text.strip().strip('.()"').upper()
            if said == _NONE or (len(said) == 1 and said in letters):
                return said, ''
            return None, f'the reply {text!r:.100} is no letter of {letters} and not {_NONE}'

        letter = self._reply(prompt, read, _REPLY_TOKENS)
        return None if letter == _NONE else letters.index(letter)

    def extract(self, question: str, answer: str, form: str) -> str:
        """Find the final result in a long answer.

        Args:
            question: What was asked.
            answer: What was said.
            form: What a result looks like, such as ``'an integer'``.

        Returns:
            The result as the judge copied it; ``''`` where the answer has none.

        Raises:
            JudgeError: See :meth:`score`.
        """
        prompt = _EXTRACT.format(question=question, answer=_shortened(answer), form=form)

        def read(text: str) -> tuple[str | None, str]:
            return (text.strip(), '') if text.strip() else (None, 'the reply is empty')

        found = self._reply(prompt, read, _TEXT_TOKENS)
        return '' if found.strip('."').upper() == _NONE else found

    def _reply(self, prompt: str, read: Callable[[str], tuple[Any, str]], max_tokens: int) -> Any:
        """What is kept of a prompt, else what a new reply to it says."""
        key = self._key(prompt)
        if key not in self._cache:
            value = self._ask(prompt, read, max_tokens)
            self._cache[key] = value
            self._append(key, value)
        return self._cache[key]

    def _ask(self, prompt: str, read: Callable[[str], tuple[Any, str]], max_tokens: int) -> Any:
        problem = ''
        for attempt in range(self.retries + 1):
            wait = self.wait * 2**attempt * (0.75 + random.random() / 2)
            try:
                response = self._post(prompt, max_tokens)
            except httpx.HTTPError as error:
                problem = f'{type(error).__name__}: {error}'
            else:
                if response.status_code == 200:
                    text, problem = _text_of(response)
                    value, problem = (None, problem) if text is None else read(text)
                    if value is not None:
                        return value
                elif response.status_code in _RETRIED:
                    problem = f'status {response.status_code}'
                    wait = max(wait, _retry_after(response))
                else:
                    raise JudgeError(
                        f'{self.url} refuses (status {response.status_code}): '
                        f'{response.text[:200]!r}. Are address, model ({self.model}) and key right?'
                    )
            if attempt < self.retries:
                self.sleep(wait)
        raise JudgeError(
            f'{self.url} gave no usable reply in {self.retries + 1} tries; the last time: '
            f'{problem}. What was scored before is kept; run again to go on.'
        )

    def _post(self, prompt: str, max_tokens: int) -> httpx.Response:
        response = self.client.post(self.url, json=self._body(prompt, max_tokens))
        while response.status_code == 400 and self._gives_in(response.text):
            response = self.client.post(self.url, json=self._body(prompt, max_tokens))
        return response

    def _gives_in(self, refusal: str) -> bool:
        """Whether a refusal blames a field that can be sent otherwise, and was not yet."""
        for field, instead in (
            ('max_tokens', 'max_completion_tokens'),
            ('temperature', 'its own temperature: its grades may differ from run to run'),
        ):
            if field in refusal and field not in self._refused:
                self._refused.add(field)
                print_log(
                    f'{self.url} ({self.model}) refuses {field}; asking with {instead}.',
                    logger='current',
                    level=logging.WARNING,
                )
                return True
        return False

    def _body(self, prompt: str, max_tokens: int) -> dict:
        body = {'model': self.model, 'messages': [{'role': 'user', 'content': prompt}]}
        if 'temperature' not in self._refused:
            body['temperature'] = 0
        if 'max_tokens' in self._refused:
            return {**body, 'max_completion_tokens': max_tokens + _THINKING_TOKENS}
        return {**body, 'max_tokens': max_tokens}

    def _key(self, prompt: str) -> str:
        return hashlib.sha256(f'{self.url}\n{self.model}\n{prompt}'.encode()).hexdigest()

    def _append(self, key: str, value: float | str) -> None:
        if self.cache_path is None:
            return
        self.cache_path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.cache_path, 'a', encoding='utf-8') as file:
            file.write(json.dumps({'key': key, 'score': value}) + '\n')
            file.flush()
            os.fsync(file.fileno())


def _prompt(question: str, answer: str, truth: str) -> str:
    return _PROMPT.format(question=question, answer=_shortened(answer), truth=truth)


def _shortened(answer: str) -> str:
    return answer[:2000] or '(nothing)'


def _read_cache(path: Path | None) -> dict[str, float | str]:
    """Scores and texts of a cache; a last line that a kill cut short is left out."""
    scores: dict[str, float | str] = {}
    if path is None or not path.is_file():
        return scores
    for line in path.read_text(encoding='utf-8').splitlines():
        try:
            record = json.loads(line)
            kept = record['score']
            scores[str(record['key'])] = kept if isinstance(kept, str) else float(kept)
        except (json.JSONDecodeError, KeyError, TypeError, ValueError):
            continue
    return scores


def _text_of(response: httpx.Response) -> tuple[str | None, str]:
    """The text of a reply, or what is wrong with it."""
    try:
        text = response.json()['choices'][0]['message']['content']
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return None, f'the reply is no chat completion ({type(error).__name__} {error})'
    return (text, '') if isinstance(text, str) else (None, f'the reply {text!r:.100} is no text')


def _read_score(text: str) -> tuple[float | None, str]:
    """The number in a reply, or what is wrong with it."""
    found = _NUMBER.findall(text)
    if len(set(map(float, found))) != 1:
        return None, f'the reply {text!r:.100} holds no single number from 0 to 1'
    return float(found[0]), ''


def _retry_after(response: httpx.Response) -> float:
    value = response.headers.get('retry-after', '')
    return min(float(value), 120.0) if value.replace('.', '', 1).isdigit() else 0.0
