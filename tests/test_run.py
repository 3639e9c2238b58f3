"""A run as an object: loaded, sampled and queried from Python."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

import genjax
from genjax import cli
from genjax.config import spec
from genjax.data import Chain, Scale
from genjax.errors import UserError
from genjax.evaluation import MMD
from genjax.models import DiffusionModel
from genjax.models.diffusion import DPM2M, Autoguidance, ClassifierFree, DiffusionSampling
from genjax.networks import TimeMLP
from genjax.training import Experiment, loop
from tests.training import tiny

NETWORK = spec(TimeMLP, shape=tiny.SHAPE, features=8, num_layers=1)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Runs of a flow, with classes and averages, and of a VAE, each of two steps."""
    path = tmp_path_factory.mktemp('runs')
    flow = spec(
        Experiment,
        dataset=spec(tiny.Blots),
        preprocess=spec(Chain, steps=(spec(Scale, low=-1.0),)),
        model=spec(
            DiffusionModel,
            network=NETWORK,
            num_classes=4,
            sampling=spec(DiffusionSampling, steps=3, guide=spec(ClassifierFree)),
        ),
        optimizer=spec(optax.adam, learning_rate=1e-2),
        steps=2,
        batch_size=8,
        ema=(0.05, 0.9),
        num_samples=4,
        evals={'mmd': spec(MMD, num_samples=20, split='validation')},
    )
    loop.train(flow, path / 'flow')
    loop.train(tiny.vae(steps=2), path / 'vae')
    return path


@pytest.fixture(scope='module')
def flow(folder):
    return genjax.load(folder / 'flow')


@pytest.fixture(scope='module')
def vae(folder):
    return genjax.load(str(folder / 'vae'), step='latest')


def examples(num=3):
    return tiny.Blots().source('test')[np.arange(num)]['x']


def test_samples_are_those_of_the_command(folder, flow, tmp_path):
    x = flow.sample(6, label=[1, 3, 1, 3, 1, 3], seed=5)
    assert x.shape == (6, *tiny.SHAPE) and x.dtype == np.float32
    out = tmp_path / 'a.npz'
    words = ['sample', f'--workdir={folder / "flow"}', f'--out={out}', '--num=6', '--seed=5']
    assert cli.main([*words, '--label=1,3', '--dtype=float32', '--batch_size=2']) == 0
    with np.load(out) as stored:
        np.testing.assert_array_equal(stored['x'], x)
        np.testing.assert_array_equal(stored['label'], [1, 3, 1, 3, 1, 3])
    assert cli.main([*words, '--label=1,3']) == 0
    stored = np.load(out)
    assert list(stored) == ['arr_0', 'label'] and stored['arr_0'].dtype == np.uint8
    np.testing.assert_array_equal(stored['arr_0'], np.clip(np.rint(x), 0, 255))
    one = flow.sample(1, label=1, seed=5)
    np.testing.assert_array_equal(one, x[:1])


def test_options_of_sampling_are_replaced(folder, flow, tmp_path):
    options = {'sampler': DPM2M(), 'steps': 2, 'guide': ClassifierFree(3.0)}
    x = flow.sample(4, **options)
    assert not np.array_equal(x, flow.sample(4))
    whole = flow.sample(4, sampling=DiffusionSampling(**options))
    np.testing.assert_array_equal(whole, x)
    np.testing.assert_array_equal(flow.with_sampling(**options).sample(4), x)
    told = genjax.load(
        folder / 'flow',
        sampling=[
            ('sampler', '@genjax.models.diffusion.DPM2M'), ('steps', '2'), ('guide.weight', '3')
        ],
    )  # fmt: skip
    assert told.model.sampling == DiffusionSampling(**options)
    np.testing.assert_array_equal(told.sample(4), x)
    with pytest.raises(UserError, match="no option 'step'; did you mean 'steps'"):
        flow.sample(1, step=3)
    with pytest.raises(UserError, match=r"no option 'sampling\.stepz'; did you mean"):
        genjax.load(folder / 'flow', sampling=[('stepz', '2')])
    untrained = Autoguidance(TimeMLP(tiny.SHAPE, 4, 1))
    with pytest.raises(UserError, match=r"network 'weak', which this model was not trained with"):
        flow.sample(1, guide=untrained)


def test_the_averages_or_the_trained_variables(folder, flow):
    runs = {ema: genjax.load(folder / 'flow', ema=ema) for ema in (True, False, 0.05, 0.9)}
    x = {ema: run.sample(2) for ema, run in runs.items()}
    np.testing.assert_array_equal(x[True], x[0.05])
    assert all(not np.array_equal(x[0.05], x[other]) for other in (False, 0.9))
    trained = runs[False]
    for a, b in zip(
        *map(jax.tree.leaves, (trained.variables, trained.state.variables)), strict=True
    ):
        assert a is b
    with pytest.raises(UserError, match=r'ema=0\.7: the averages of this run are 0\.05, 0\.9'):
        genjax.load(folder / 'flow', ema=0.7)


def test_codes_and_log_probs_are_in_the_range_of_the_data(vae):
    x = examples()
    z = vae.encode(x)
    assert z.shape == (3, 3)
    np.testing.assert_array_equal(z[:1], vae.encode(x[:1]))
    decoded = vae.decode(z)
    # Binarise has its inverse: a probability of 1 is 255.
    want = 255 * vae.model.decode(vae.variables, jnp.asarray(z), None)
    np.testing.assert_allclose(decoded, want, rtol=1e-4)
    np.testing.assert_array_equal(vae.reconstruct(x), decoded)
    line = vae.interpolate(x[0], x[1], 5)
    np.testing.assert_allclose(line[[0, -1]], decoded[:2], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(line[2], vae.decode((z[:1] + z[1:2]) / 2)[0], rtol=1e-4, atol=1e-3)
    assert vae.features(x).shape == (3, 3)
    bound = vae.log_prob(x)
    assert bound.kind == 'lower_bound' and bound.value.shape == (3,)
    assert [record['step'] for record in vae.metrics()] == [1, 2]


def test_log_prob_counts_the_preprocessing(flow):
    """With an exact density the change of variables is exact too."""
    x = examples(2).astype(np.float32) + 0.5
    value = flow.log_prob(x)
    y, log_det = flow.experiment.preprocess(jnp.asarray(x), jax.random.key(0))
    inner = flow.model.log_prob(flow.variables, y, jax.random.key(0))
    assert value.kind == inner.kind == 'exact'
    np.testing.assert_allclose(value.value, inner.value + log_det, rtol=1e-4)


@pytest.mark.parametrize(
    'method, args, line',
    [
        ('encode', 1, r'a DiffusionModel has no encode\(\)'),
        ('reconstruct', 1, r'a DiffusionModel has no encode\(\)'),
        ('translate', 1, r'a DiffusionModel has no translate\(\)'),
    ],
)
def test_what_a_model_cannot_is_named(method, args, line, flow, vae):
    with pytest.raises(UserError, match=line):
        getattr(flow, method)(examples(args))
    with pytest.raises(UserError, match=r'have the shape \[8, 8, 1\]: give'):
        flow.log_prob(np.zeros((3, 8, 8)))
    with pytest.raises(UserError, match=r'a VAE has no classify\(\)'):
        vae.classify(examples(args))


def test_a_folder_of_images_and_a_grid_of_means(folder, vae, tmp_path):
    words = ['sample', f'--workdir={folder / "flow"}', f'--out={tmp_path / "all"}', '--num=12']
    assert cli.main([*words, '--format=images', '--label=0..1']) == 0
    names = sorted(path.name for path in (tmp_path / 'all').iterdir())
    assert names[:3] == ['00-0.png', '01-1.png', '02-0.png'] and len(names) == 12
    want = np.clip(np.rint(genjax.load(folder / 'flow').sample(2, label=[0, 1])), 0, 255)
    np.testing.assert_array_equal(Image.open(tmp_path / 'all' / '01-1.png'), want[1, ..., 0])
    words = ['sample', f'--workdir={folder / "vae"}', '--num=4']
    means, drawn = tmp_path / 'means.png', tmp_path / 'draws.png'
    assert cli.main([*words, f'--out={means}']) == 0
    assert cli.main([*words, f'--out={drawn}', '--draws']) == 0
    first = slice(2, 50, 6)
    np.testing.assert_array_equal(
        np.asarray(Image.open(means))[first, first], np.rint(vae.sample(1, means=True)[0, ..., 0])
    )
    assert set(np.unique(np.asarray(Image.open(drawn))[first, first])) <= {0, 255}


def test_the_front_door_is_lazy():
    code = (
        'import sys, genjax; assert "jax" not in sys.modules; genjax.load; assert "jax" in'
        ' sys.modules; assert genjax.networks.MLP and genjax.Experiment; dir(genjax)'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        genjax.laod  # noqa: B018


@pytest.mark.full
def test_a_curve_over_sampling_options_of_one_checkpoint(folder, tmp_path):
    words = ['evaluate', f'--workdir={folder / "flow"}', f'--out={tmp_path / "curve.png"}']
    sweep = '--sweep=product(sampling.guide.weight=[0.0,2.0])'
    assert cli.main([*words, sweep, '--sampling.steps=2', '--ema=none']) == 0
    content = json.loads((tmp_path / 'curve.json').read_text())
    assert [trial['sampling'] for trial in content['trials']] == [
        {'guide.weight': 0.0},
        {'guide.weight': 2.0},
    ]
    run = genjax.load(folder / 'flow', ema=False).with_sampling(steps=2, guide=ClassifierFree(2.0))
    found = run.evaluate({'mmd': MMD(20)}, split='validation')
    assert content['trials'][1]['results'] == {
        n: v for n, v in found.items() if 'protocol' not in n
    }
    assert content['trials'][0]['results'] != content['trials'][1]['results']
    with Image.open(tmp_path / 'curve.png') as image:
        assert image.width > 300
    # Results of other options are not those of the run.
    kept = folder / 'flow' / 'evaluations' / '2.json'
    before = kept.read_text()
    assert cli.main([*words[:2], '--sampling.steps=2']) == 0
    assert kept.read_text() == before


@pytest.mark.parametrize(
    'sweep, line',
    [
        ('product(sampling.stepz=[1])', "no option 'sampling.stepz'"),
        ('product(model.beta=[1])', 'model.beta is not a sampling option'),
        ('product(sampling.steps=[])', 'the sweep has no trials'),
        ('product(sampling.steps=[0])', 'must be at least 1'),
    ],
)
def test_mistakes_in_a_curve(sweep, line, folder, capsys):
    assert cli.main(['evaluate', f'--workdir={folder / "flow"}', f'--sweep={sweep}']) == 2
    assert line in capsys.readouterr().err


def test_evaluate_runs_other_evaluators(folder, capsys, monkeypatch, tmp_path):
    """Of genjax, or of a module of the user's own in the current folder; kept beside the others."""
    monkeypatch.setattr('jax.device_count', lambda: 1)
    (tmp_path / 'my_metric.py').write_text(
        'from dataclasses import dataclass\n'
        'from genjax.evaluation import PerExample\n'
        '@dataclass(frozen=True)\n'
        'class Brightness(PerExample):\n'
        '    scale: float = 1.0\n'
        '    def values(self, model, variables, data, batch, key):\n'
        "        return {'mean': self.scale * batch['x'].astype(float).mean((1, 2, 3))}\n"
    )
    monkeypatch.chdir(tmp_path)
    words = ['evaluate', f'--workdir={folder / "flow"}', '--split=validation']
    assert cli.main([*words, '--evals=@my_metric.Brightness', '--evals.scale=2']) == 0
    x = tiny.Blots().source('validation')[np.arange(40)]['x']
    kept = json.loads((folder / 'flow/evaluations/2.json').read_text())['evals']
    assert kept['validation_brightness']['results']['mean'] == pytest.approx(2 * x.mean(), rel=1e-5)
    assert 'mmd' in kept
    capsys.readouterr()
    for option, line in (
        ('--evals=@genjax.evaluation.MDM', "did you mean 'MMD'?"),
        ('--evals=@genjax.networks.MLP', 'MLP needs features'),
        ('--evals=MMD', 'such as @genjax.evaluation.Likelihood'),
        ('--evals.scale=2', '--evals.scale is a field of no --evals'),
    ):
        assert cli.main([*words, option]) == 2
        assert line in capsys.readouterr().err
