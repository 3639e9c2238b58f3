"""A model of text from a file to text in a file, through the commands."""

import numpy as np
import optax
import pytest

from genjax import cli, data
from genjax.config import spec
from genjax.evaluation import TokenLikelihood
from genjax.models import GPT
from genjax.networks import Transformer
from genjax.training import Experiment, loop
from genjax.training import loading as runs
from genjax.training.results import cached_results

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('text')
    (folder / 'names.txt').write_text('ann\nbob\neve\nian\nida\nlea\nleo\nmia\nned\nsue\n' * 4)
    options = {'batch_size': 8, 'unit': 'char'}
    config = spec(
        Experiment,
        dataset=spec(
            data.Text, path=str(folder / 'names.txt'), context=6, by='line', validation=4, test=4
        ),
        model=spec(
            GPT,
            network=spec(
                Transformer,
                shape=(6,),
                vocab_size=13,
                features=16,
                num_layers=1,
                num_heads=2,
                dropout=0.1,
            ),
            end=0,
        ),
        optimizer=spec(optax.adam, learning_rate=3e-2),
        steps=60,
        batch_size=32,
        evals={
            'nll': spec(TokenLikelihood, split='validation', every=30, **options),
            'test_nll': spec(TokenLikelihood, **options),
        },
        best='nll',
    )
    loop.train(config, folder / 'run')
    return folder / 'run'


def test_text_is_learned_and_evaluated(workdir):
    results = cached_results(runs.load(workdir))
    # The ten names, each four times: log(10) / 4 characters if they were known exactly.
    assert 0.4 < results['test_nll/nats_per_char'] < 1.0
    assert results['test_nll/chars'] == 16


def test_samples_are_written_as_text(workdir, tmp_path):
    out = tmp_path / 'names.txt'
    assert cli.main(['sample', f'--workdir={workdir}', f'--out={out}', '--num=40']) == 0
    lines = out.read_text().splitlines()
    assert len(lines) == 40
    known = {'ann', 'bob', 'eve', 'ian', 'ida', 'lea', 'leo', 'mia', 'ned', 'sue'}
    assert sum(line in known for line in lines) > 10


def test_samples_of_text_as_arrays(workdir, tmp_path):
    out = tmp_path / 'names.npz'
    assert cli.main(['sample', f'--workdir={workdir}', f'--out={out}', '--num=3']) == 0
    with np.load(out) as arrays:
        assert arrays['x'].shape == (3, 6) and arrays['x'].dtype == np.int32


def test_samples_continue_a_prompt(workdir, tmp_path):
    """Sample `i` remains a function of the seed and `i`."""
    out = tmp_path / 'names.txt'
    words = ['sample', f'--workdir={workdir}', f'--out={out}', '--num=20', '--prompt=l']
    assert cli.main(words) == 0
    lines = out.read_text().splitlines()
    assert all(line.startswith('l') for line in lines)
    assert {'lea', 'leo'} <= set(lines)
    run = runs.load(workdir)
    few = run.sample(3, prompt='l')
    assert run.experiment.dataset.texts(few) == lines[:3]
    np.testing.assert_array_equal(
        few, run.sample(3, prompt=run.experiment.dataset.tokens.encode('l'))
    )
    drawn = run.sample(20)
    np.testing.assert_array_equal(run.sample(20, prompt=drawn[:, :2]), drawn)


@pytest.mark.parametrize(
    'prompt, line',
    [
        ('annabel', 'the prompt has 7 elements, and a sample of this GPT 6'),
        ('Ann', "prompt='Ann': the character 'A' is not in the alphabet"),
    ],
)
def test_a_prompt_that_does_not_fit_is_one_line(workdir, tmp_path, capsys, prompt, line):
    words = ['sample', f'--workdir={workdir}', f'--out={tmp_path}/x.txt', f'--prompt={prompt}']
    assert cli.main(words) == 2
    assert capsys.readouterr().err == f'genjax: error: {line}\n'
