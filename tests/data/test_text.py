import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from genjax import data
from genjax.config import build, from_json
from genjax.data import text_parts, train_batches
from genjax.errors import UserError
from tests.data import own


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
    encoded = data.Text(names, tokenizer='bytes', context=6, by='line', validation=2, test=2)
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


@pytest.fixture
def tokenizer_file(tmp_path):
    """A byte-pair encoding of a few words, with an end token."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=280,
        special_tokens=['<|endoftext|>'],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(['to be or not to be'] * 10, trainer)
    tokenizer.save(str(tmp_path / 'tokenizer.json'))
    return tmp_path / 'tokenizer.json'


def test_a_tokenizer_file_beside_the_text(tokenizer_file, file):
    dataset = data.Text(file, 'tokenizer.json', context=6)
    library = tokenizers.Tokenizer.from_file(str(tokenizer_file))
    assert dataset.num_values == library.get_vocab_size() and dataset.tokens.end == 0
    content = Path(file).read_text()
    ids = library.encode(content).ids
    assert len(ids) < 0.8 * len(content)
    np.testing.assert_array_equal(_rows(dataset, 'train')[5], ids[5:11])
    assert dataset.texts(np.array([ids]))[0] == content
    lines = data.Text(file, 'tokenizer.json', context=24, by='line')
    assert set(lines.texts(_rows(lines, 'train'))) == set(content.splitlines())
    assert np.all(_rows(lines, 'train')[:, -1] == 0)


def test_texts_of_a_folder_belong_to_a_split_whole(tmp_path):
    dataset = own.corpus(tmp_path)
    contents = [path.read_text('utf-8') for path in (tmp_path / 'corpus').rglob('*.txt')]

    def found(split):
        x = _rows(replace(dataset, context=2), split)
        x = x if split != 'train' else np.concatenate([x[::2], x[-1:]])
        return data.Bytes().decode(x.ravel())

    parts = {split: found(split) for split in ('train', 'validation', 'test')}
    where = [{s for s, part in parts.items() if content in part} for content in contents]
    assert all(len(splits) == 1 for splits in where)
    assert {split for splits in where for split in splits} == set(parts)
    (tmp_path / 'corpus' / 'another.txt').write_text('zzzz zzzz zzzz')
    text_parts._documents.cache_clear()
    text_parts._encoded.cache_clear()
    text_parts.opened.cache_clear()
    after = {split: found(split) for split in parts}
    for content, splits in zip(contents, where, strict=True):
        assert content in after[splits.copy().pop()]


def test_splits_from_files_of_their_own(tmp_path):
    for name in ('train', 'valid'):
        (tmp_path / f'{name}.txt').write_text(f'{name} ' * 40)
    path = str(tmp_path / '{split}.txt')
    dataset = data.Text(path, context=6, validation='valid', test=0.2)
    assert set(dataset.texts(_rows(dataset, 'validation'))) == {'valid '}
    assert ''.join(dataset.texts(_rows(dataset, 'test'))).startswith('train ')
    assert len(_rows(dataset, 'train')) == 240 - 48 - 5
    both = data.Text(path, context=6, validation='valid', test=0)
    np.testing.assert_array_equal(_rows(both, 'test'), _rows(both, 'validation'))
    assert both.num_values == len(set('train valid \n'))


def test_a_column_with_labels(tmp_path):
    dataset = own.sentences(tmp_path)
    assert dataset.class_names == ('bad', 'good') and dataset.num_classes == 2
    source = dataset.source('train')
    batch = source[np.arange(len(source))]
    for text, label in zip(dataset.texts(batch['x']), batch['label'], strict=True):
        assert label == (int(text.split()[1]) % 3 > 0)
    windows = replace(dataset, by='window', label=None)
    assert windows.num_classes is None
    assert 'sentence ' in ''.join(windows.texts(_rows(windows, 'validation')))


@pytest.mark.parametrize('by', ['window', 'line'])
def test_a_file_is_the_same_in_memory_and_streamed(by, file):
    for tokenizer in ('chars', 'bytes'):
        dataset = data.Text(file, tokenizer, context=24, by=by)
        for split in ('train', 'validation', 'test'):
            source = replace(dataset, in_memory=False).source(split)
            assert not source.in_memory
            x = source[np.arange(len(source))]['x']
            np.testing.assert_array_equal(x, _rows(dataset, split))


def test_old_names_of_tokenizers_are_read():
    fields = {'_target_': 'genjax.data.Text', 'path': 'a.txt', 'tokenizer': 'byte'}
    assert build(from_json(fields)) == data.Text('a.txt', 'bytes')
    fields['tokenizer'] = 'char'
    assert build(from_json(fields)) == data.Text('a.txt')


def test_texts_that_cannot_be_read_are_named_or_left_out(tmp_path):
    dataset = own.corpus(tmp_path)
    (tmp_path / 'corpus' / 'bad.txt').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(
        UserError, match=r'1 of 41 texts .*bad\.txt: it is not text in UTF-8; repair'
    ):
        dataset.source('train')
    (name,) = replace(dataset, on_error='skip').source('train').skipped
    assert name.endswith('bad.txt')


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'tokenizer': 'byts'}, "there is no tokenizer .*byts'; did you mean 'bytes'"),
        ({'tokenizer': 'bad.json'}, 'cannot read the tokenizer'),
        ({'path': '.'}, r'there are no texts \(\*\.txt\) in the folder'),
        ({'validation': 'valid'}, r'has no \{split\} for the name'),
        ({'label': 'mood'}, "give column, and by='line'"),
        ({'path': 't.csv', 'column': 'txt'}, "'txt' is no column of t.csv; did you mean 'text'"),
        ({'path': 't.csv', 'column': 'n'}, "'n' of t.csv is not text"),
        ({'path': 't.csv', 'column': 'text', 'by': 'line'}, 'row 1 of .* contains the end token'),
    ],
)
def test_mistakes_in_collections_are_named(fields, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('a.md').write_text('hello')
    Path('bad.json').write_text('{')
    Path('t.csv').write_text('n,text\n1,a\n2,"b\nc"\n')
    with pytest.raises(UserError, match=message):
        data.Text(**{'path': 'a.md', 'context': 8, **fields}).source('train')


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
