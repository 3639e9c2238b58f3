"""The study of `experiments/language`: its page, its word lists, and languages that are known."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from experiments.language import run as study
from experiments.language import words as lists

pytestmark = pytest.mark.slow

FOLDER = Path('/usr/share/dict')


def test_the_tables_of_the_page_are_those_of_the_results():
    rows = json.loads(study.RESULTS.read_text())
    assert {row['seed'] for row in rows if row['part'] == 'test'} == {0, 1, 2}
    assert study.report(rows) in Path(study.__file__).with_name('README.md').read_text()


def test_a_row_is_of_words_that_no_other_row_and_no_other_language_has(tmp_path):
    if missing := [file for _, file in lists.LANGUAGES.values() if not (FOLDER / file).exists()]:
        pytest.skip(
            f'no word lists {", ".join(missing)} in {FOLDER}: see experiments/language/words.py'
        )
    words = lists.read_words(FOLDER)
    data = lists.tables(words, tmp_path / 'tables')
    language = {word: name for name, found in words.items() for word in found}
    assert sum(map(len, words.values())) == len(language)
    seen = set()
    for split, number in lists.ROWS.items():
        found = lists.examples(data, split)
        assert np.bincount(found['label']).tolist() == [number] * len(words)
        for text, label in zip(found['text'], found['label'], strict=True):
            assert {language[word] for word in text.split()} == {data.class_names[label]}
            assert len(seen & set(text.split())) == 0
            seen.update(text.split())
    assert len(seen) == lists.WORDS * len(words) * sum(lists.ROWS.values())


def markov(
    random: np.random.RandomState, letters: str = 'abcdefgh'
) -> tuple[list[str], np.ndarray]:
    """A language: distinct words of four to seven letters of a Markov chain with a uniform
    beginning and length, and the logarithms of its transitions.
    """
    transitions = random.dirichlet(np.full(len(letters), 0.6), len(letters))
    ends = np.cumsum(transitions, axis=1)
    found = set()
    for _ in range(6000):
        word = [random.randint(len(letters))]
        for u in random.uniform(size=random.randint(3, 7)):
            word.append(min(int(np.sum(u > ends[word[-1]])), len(letters) - 1))
        found.add(''.join(letters[letter] for letter in word))
    return sorted(found), np.log(transitions)


def likelihoods(texts: np.ndarray, chains: list[np.ndarray]) -> np.ndarray:
    """Log-likelihoods [N, K] of rows by Markov chains, up to what all have in common."""
    pairs = np.stack([
        np.bincount([8 * (ord(a) - 97) + ord(b) - 97 for word in text.split()
                     for a, b in itertools.pairwise(word)], minlength=64)
        for text in texts
    ])  # fmt: skip
    return pairs @ np.stack([chain.ravel() for chain in chains]).T


@pytest.mark.full
def test_words_without_labels_help_and_no_method_is_better_than_the_best_rule(
    tmp_path, monkeypatch
):
    monkeypatch.setattr('jax.device_count', lambda: 1)  # eight devices are for other tests
    monkeypatch.setattr(lists, 'ROWS', {'train': 500, 'validation': 50, 'test': 100})
    monkeypatch.setattr(lists, 'VOCAB', 10)  # eight letters, the space and the end
    for name, value in {
        'PER_CLASS': (4,), 'FEATURES': 64, 'VOCAB': 10,
        'STEPS': {'pretraining': 600, 'supervised': 100}, 'ROUNDS': (50, 200),
    }.items():  # fmt: skip
        monkeypatch.setattr(study, name, value)
    languages = [markov(np.random.RandomState(seed)) for seed in range(4)]
    data = lists.tables(
        {f'L{i}': words for i, (words, _) in enumerate(languages)}, tmp_path / 'tables'
    )
    test = lists.examples(data, 'test')
    chains = [chain for _, chain in languages]
    best = np.mean(np.argmax(likelihoods(test['text'], chains), axis=1) == test['label'])
    rates = {'scratch': 1e-2, 'pretrained': 3e-4}
    rows = study.measure(data, 0, 100, rates, tmp_path)
    found = {row['method']: row['accuracy'] for row in rows}
    assert found['probe'] > found['random'] + 0.1
    assert found['self-training'] > found['ngrams'] + 0.03
    assert max(found.values()) <= best
