"""What all data sets of the user's own files promise."""

import hashlib
import itertools

import numpy as np
import pytest

from genjax import data
from genjax.config import as_config, build, from_json, override, to_json
from genjax.data import held_out
from genjax.data.sources import sampled_fingerprint
from genjax.errors import UserError
from genjax.training.contract import check_source
from tests.data import own

SPLITS = ('train', 'validation', 'test')


def rows(dataset, split='train'):
    source = dataset.source(split)
    return source[np.arange(len(source))]


def test_every_example_is_in_one_split_and_fits_the_contract(own_data):
    check_source(own_data, own_data.source('train'))
    parts = [{x.tobytes() for x in rows(own_data, split)['x']} for split in SPLITS]
    assert all(parts) and not any(a & b for a, b in itertools.combinations(parts, 2))


def test_a_config_holds_it(own_data):
    again = build(from_json(to_json(as_config(own_data))))
    assert again == own_data and again.source('test') is own_data.source('test')


@pytest.mark.parametrize('name', own.DATASETS)
def test_streaming_gives_the_examples_of_memory(name, folder_of_own_data):
    memory, files = (
        own.DATASETS[name](folder_of_own_data, in_memory=in_memory) for in_memory in (True, False)
    )
    for split in SPLITS:
        one, other = rows(memory, split), rows(files, split)
        assert one.keys() == other.keys()
        for key in one:
            assert one[key].dtype == other[key].dtype
            np.testing.assert_array_equal(one[key], other[key])
        assert sampled_fingerprint(memory.source(split)) == sampled_fingerprint(files.source(split))
    assert memory.source('train').in_memory and not files.source('train').in_memory


def test_membership_follows_the_content_and_further_rows_move_none():
    random = np.random.RandomState(0)
    x = random.randint(0, 3, (3000, 2))  # nine different rows
    hashes = held_out.row_hashes(x)
    assert len(set(hashes.tolist())) == 3000
    assert int(hashes[0]) == int.from_bytes(hashlib.sha256(x[0].tobytes()).digest()[:8], 'big')
    more = held_out.row_hashes(np.concatenate([x, x[:100] + 5, x[:10]]))
    np.testing.assert_array_equal(more[:3000], hashes)
    both, one = ({'validation': 0.2, 'test': 0.3}, {'validation': 0.2})
    parts = {n: set(p.rows(hashes).tolist()) for n, p in held_out.portions(both).items()}
    assert sum(map(len, parts.values())) == 3000 and set.union(*parts.values()) == set(range(3000))
    for split, share in (('train', 0.5), ('validation', 0.2), ('test', 0.3)):
        assert abs(len(parts[split]) / 3000 - share) < 4 * np.sqrt(share * (1 - share) / 3000)
        values = x[sorted(parts[split])]
        assert abs(values.mean() - 1) < 0.1  # repeated rows are spread over the splits
    assert set(held_out.portions(one)['validation'].rows(hashes)) == parts['validation']


@pytest.mark.parametrize(
    ('splits', 'message'),
    [
        ({'valid': 0.1}, "no split 'valid'; did you mean 'validation'?"),
        ({'train': 0.9}, 'train=0.9 is what the others leave'),
        ({'test': 0}, 'test=0 must be more than 0 and less than 1'),
        ({'validation': 0.5, 'test': 0.5}, 'leave nothing to train on'),
        ({'test': 'test'}, r"path='x.npz x' has no \{split\}"),
    ],
)
def test_splits_that_make_no_sense_are_refused(splits, message):
    with pytest.raises(UserError, match=message):
        data.Arrays('x.npz', x='x', splits=splits)


def test_splits_are_set_on_the_command_line():
    config = as_config(data.Arrays('{split}.npz', x='x'))
    override(config, 'splits.validation', '.25')
    override(config, 'splits.test', 'held out')
    assert build(config).splits == {'validation': 0.25, 'test': 'held out'}
    override(config, 'splits', "{'validation': 'val'}")
    assert build(config).splits == {'validation': 'val'}


def test_a_split_that_is_not_there_is_named(tmp_path):
    dataset = own.arrays(tmp_path, splits={'validation': 0.1})
    with pytest.raises(UserError, match=r"no split 'test', only train, validation; give its share"):
        dataset.source('test')
