"""Rows of words of one language, from the word lists of Debian.

The lists are those of the packages in `LANGUAGES`, in /usr/share/dict once they are installed.
"""

import collections
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from genjax.data import Text

LANGUAGES = {  # package and file
    'Danish': ('wdanish', 'danish'),
    'Dutch': ('wdutch', 'dutch'),
    'English': ('wamerican', 'american-english'),
    'French': ('wfrench', 'french'),
    'German': ('wngerman', 'ngerman'),
    'Italian': ('witalian', 'italian'),
    'Portuguese': ('wportuguese', 'portuguese'),
    'Spanish': ('wspanish', 'spanish'),
}
WORDS, LETTERS, VOCAB = 3, 12, 56  # of a row, of a word at most, of the alphabet
CONTEXT = WORDS * (LETTERS + 1)
ROWS = {'train': 8000, 'validation': 200, 'test': 300}  # of each language


def read_words(folder: Path) -> dict[str, list[str]]:
    """Words of 3 to 12 letters, in lower case, that are in one of the lists only."""
    words = {}
    for language, (_, name) in LANGUAGES.items():
        found = {word.lower() for word in (folder / name).read_text('utf-8').split()}
        words[language] = {word for word in found if word.isalpha() and 3 <= len(word) <= LETTERS}
    lists = collections.Counter(word for found in words.values() for word in found)
    return {name: sorted(w for w in found if lists[w] == 1) for name, found in words.items()}


def tables(words: Mapping[str, Sequence[str]], folder: Path) -> Text:
    """The data set of a new folder of tables, one for each split. No word is in two rows."""
    folder.mkdir(parents=True)
    left = {name: iter(np.random.RandomState(0).permutation(all_)) for name, all_ in words.items()}
    for split, number in ROWS.items():
        with (folder / f'{split}.csv').open('w', encoding='utf-8', newline='') as file:
            table = csv.writer(file)
            table.writerow(['text', 'language'])
            for name in words:
                for _ in range(number):
                    table.writerow([' '.join(next(left[name]) for _ in range(WORDS)), name])
    return dataset(folder)


def dataset(folder: Path) -> Text:
    return Text(
        str(folder / '{split}.csv'), context=CONTEXT, by='line', validation='validation',
        test='test', vocab_size=VOCAB, column='text', label='language',
    )  # fmt: skip


def examples(data: Text, split: str) -> dict[str, np.ndarray]:
    """Tokens `x` [N, T], `text` and `label` [N] of a split."""
    source = data.source(split)
    found = source[np.arange(len(source))]
    return {**found, 'text': np.array(data.texts(found['x']))}
