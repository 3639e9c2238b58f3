import itertools
from pathlib import Path

import numpy as np
import pytest

from genjax import data
from genjax.data import train_batches
from genjax.errors import UserError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'text.txt'
    path.write_text('to be, or not to be:\nthat is the question\n' * 20)
    return str(path)


@pytest.fixture
def names(tmp_path):
    path = tmp_path / 'names.txt'
    path.write_text('\n'.join(['ann', 'bo', 'carla', 'dee', '', 'ed', 'flo', 'gus', 'hal', 'ida']))
    return str(path)


def _rows(dataset, split):
    source = dataset.source(split)
    return source[np.arange(len(source))]['x']


@pytest.mark.parametrize('text', ['', 'a\nb', 'naïve ☃'])
def test_tokenizers_round_trip(text):
    for tokenizer in (data.Bytes(), data.Characters.of('naïve ☃ab\n')):
        tokens = tokenizer.encode(text)
        assert tokens.dtype == np.int32
        assert tokens.max(initial=0) < tokenizer.vocab_size
        assert tokenizer.decode(tokens) == text
    with pytest.raises(UserError, match='alphabet'):
        data.Characters('ab').encode('abc')
    assert data.Bytes().decode(np.array([255, 65])) == '\ufffdA'


@pytest.mark.parametrize('levels', [2, 16, 256])
def test_pixel_tokens_round_trip(levels):
    step = data.Pixels((2, 3, 3), levels)
    x = np.random.RandomState(0).randint(0, 256, (4, 2, 3, 3)).astype(np.uint8)
    tokens, log_det = step(x, None)
    assert tokens.shape == (4, 18) and tokens.dtype == np.int32
    assert int(tokens.max()) < levels and not np.any(log_det)
    back = np.asarray(step.inverse(tokens))
    assert back.shape == x.shape and np.abs(back - x).max() <= 256 / levels
    if levels == 256:
        np.testing.assert_array_equal(back, x)
    with pytest.raises(UserError, match='made for'):
        step(x[:, :1], None)


def test_windows_cover_the_text_and_the_splits_do_not_meet(file):
    dataset = data.Text(file, context=10, validation=0.1, test=100)
    content = Path(file).read_text()
    assert dataset.event_shape == (10,)
    train = _rows(dataset, 'train')
    assert dataset.tokens.decode(train[3]) == content[3:13]
    size = len(content) - 100 - int(0.1 * len(content))
    assert len(train) == size - 10 + 1
    assert ''.join(dataset.texts(_rows(dataset, 'validation'))) == content[size:-100][:80]
    assert ''.join(dataset.texts(_rows(dataset, 'test'))) == content[-100:]
    same = data.Text(file, context=10, validation=100, test=0)
    np.testing.assert_array_equal(_rows(same, 'validation'), _rows(same, 'test'))


def test_overlapping_windows_judge_every_token_once(file):
    dataset = data.Text(file, context=10, validation=100, test=0, overlap=4)
    windows = dataset.texts(_rows(dataset, 'test'))
    assert all(a[-4:] == b[:4] for a, b in itertools.pairwise(windows))
    assert windows[0] + ''.join(w[4:] for w in windows[1:]) == Path(file).read_text()[-100:]


def test_lines_end_and_are_split_as_wholes(names):
    dataset = data.Text(names, context=6, by='line', validation=2, test=0.25)
    texts = {split: dataset.texts(_rows(dataset, split)) for split in ('train', 'validation')}
    texts['test'] = dataset.texts(_rows(dataset, 'test'))
    assert [len(texts[split]) for split in ('train', 'validation', 'test')] == [5, 2, 2]
    content = Path(names).read_text().split()
    drawn = [*texts['train'], *texts['validation'], *texts['test']]
    assert sorted(drawn) == sorted(content) and drawn != content
    x = _rows(dataset, 'train')
    assert np.all(x[:, -1] == 0) and x.shape == (5, 6)
    encoded = data.Text(names, tokenizer='byte', context=6, by='line', validation=2, test=2)
    assert np.all(_rows(encoded, 'test')[:, -1] == 10)


def test_batches_and_fingerprints_follow_content_and_fields(file, tmp_path):
    dataset = data.Text(file, context=8)
    one, again = (
        next(train_batches(dataset.source('train'), batch_size=5, seed=1, start=3))['x']
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, again)
    assert one.dtype == np.int32
    other = tmp_path / 'other.txt'
    other.write_text(Path(file).read_text().replace('question', 'answer?!'))
    datasets = [dataset, data.Text(file, context=9), data.Text(str(other), context=8)]
    prints = {d.source(split).fingerprint for d in datasets for split in ('train', 'test')}
    assert len(prints) == 6
    assert data.Text(file, context=8).source('train').fingerprint in prints


def test_mistakes_in_text_are_named(file, names):
    with pytest.raises(UserError, match=r"no text file 'gone.txt'.*dataset.path"):
        data.Text('gone.txt').source('train')
    with pytest.raises(UserError, match='no split'):
        data.Text(file).source('tran')
    with pytest.raises(UserError, match='made for 9'):
        data.Text(file, vocab_size=9).source('train')
    with pytest.raises(UserError, match='line of 5 tokens'):
        data.Text(names, context=5, by='line').source('train')
    with pytest.raises(UserError, match='leave nothing'):
        data.Text(file, validation=9000).source('train')
    with pytest.raises(UserError, match='shorter'):
        data.Text(file, context=64, validation=10).source('validation')
