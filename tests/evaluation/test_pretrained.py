"""Features of pretrained networks are those of the public implementations, with random weights;
`fixtures/make_pretrained.py` ran these.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from genjax.data.sources import InMemorySource
from genjax.errors import UserError
from genjax.evaluation import DINOv2, Inception
from genjax.networks.convert import pretrained
from genjax.networks.inception import resize_as_tensorflow_1
from genjax.protocols import check_same, protocol
from tests.fixtures import random_weights
from tests.tiers import few

with np.load(Path(__file__).parent.parent / 'fixtures' / 'pretrained.npz') as file:
    THEIRS = dict(file)
TINY = ('dinov2', 'dinov2_registers', 'transformers', 'transformers_registers')


@dataclass(frozen=True)
class Photos:
    """Images in all splits."""

    x: np.ndarray = field(default_factory=lambda: random_weights.images(3, 8, 8, 3))

    @property
    def event_shape(self):
        return self.x.shape[1:]

    def source(self, split):
        return InMemorySource({'x': self.x})


def arrays_of(network):
    return random_weights.weights(json.loads(str(THEIRS[f'{network}/shapes'])))


def images_of(name):
    return random_weights.images(*map(int, name.split('x')))


def theirs_of(network):
    """Their features by the name of the images."""
    names = [name for name in THEIRS if name.startswith(f'{network}/') and 'shapes' not in name]
    return {name.split('/')[1]: THEIRS[name] for name in names}


def assert_close(ours, theirs):
    assert ours.shape == theirs.shape and np.std(theirs) > 0.3
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-6 * np.abs(theirs).max())


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """A file of weights of a small DINOv2."""
    path = tmp_path_factory.mktemp('weights') / 'tiny.npz'
    np.savez(path, **arrays_of('dinov2'))
    return str(path)


@pytest.mark.parametrize('name', theirs_of('resize'))
def test_the_resize_is_that_of_tensorflow_1(name):
    x = images_of(name)[:, :40, :50]
    x = (x if x.ndim == 4 else np.repeat(x[..., None], 3, axis=-1)).astype(np.float32)
    np.testing.assert_allclose(resize_as_tensorflow_1(x, 31, 17), THEIRS[f'resize/{name}'], 1e-6)


def test_inception_has_the_features_of_torch_fidelity():
    network, variables = pretrained.inception_v3(arrays_of('inception'))
    (x,) = images_of('1x28x28')
    x = np.repeat(x[None, ..., None], 3, axis=-1)
    assert_close(jax.jit(network.apply)(variables, x), THEIRS['inception/1x28x28'])


@pytest.mark.full
def test_inception_from_a_file_has_the_features_of_torch_fidelity(tmp_path):
    save_file(arrays_of('inception'), tmp_path / 'inception.safetensors')
    for name, theirs in theirs_of('inception').items():
        x = images_of(name)
        space = Inception(str(tmp_path / 'inception.safetensors'), batch_size=8)
        features, label = space.of(Photos(x))
        assert_close(features(x), theirs)
        assert label.startswith('Inception-v3 pool3, weights ')


@pytest.mark.parametrize('network', few(TINY, ['dinov2_registers', 'transformers']))
def test_dinov2_has_the_features_of_the_public_code(network, tmp_path):
    save_file(arrays_of(network), tmp_path / 'weights.safetensors')
    for name, theirs in theirs_of(network).items():
        x = images_of(name)
        features, label = DINOv2(str(tmp_path / 'weights.safetensors'), batch_size=2).of(Photos(x))
        assert_close(features(x), theirs)
        assert label.startswith('DINOv2 128x2/14') and ('registers' in label) == (
            'registers' in network
        )


@pytest.mark.full
def test_a_vit_b_has_the_features_of_the_public_code(tmp_path):
    save_file(arrays_of('dinov2_base'), tmp_path / 'weights.safetensors')
    x = images_of('2x20x24x3')
    features, _ = DINOv2(str(tmp_path / 'weights.safetensors'), batch_size=8).of(Photos(x))
    assert_close(features(x), THEIRS['dinov2_base/2x20x24x3'])


def test_features_are_a_function_of_the_image_in_8_bits(tiny):
    x = random_weights.images(10, 12, 12, 1)
    features, _ = DINOv2(tiny, batch_size=8).of(Photos(x))
    found = features(x)
    np.testing.assert_array_equal(features(x[7:]), found[7:])
    noise = np.random.RandomState(0).uniform(-0.45, 0.45, x.shape)
    np.testing.assert_array_equal(features(x + noise), found)
    brighter = 9.0 * x - 300
    clipped = np.minimum(np.maximum(brighter, 0), 255).astype(np.uint8)
    np.testing.assert_array_equal(features(brighter), features(clipped))
    for grey in (x[..., 0], np.repeat(x, 3, axis=-1)):
        np.testing.assert_allclose(features(grey), found, atol=1e-5)
    x = x.astype(np.float32)
    x[4, 0, 0] = np.nan
    with pytest.raises(UserError, match='image 4 is not finite'):
        features(x)


def test_results_of_other_weights_are_not_compared(tiny, tmp_path):
    arrays = arrays_of('dinov2')
    arrays['norm.bias'][0] += 1
    np.savez(tmp_path / 'other.npz', **arrays)
    names = [DINOv2(path).of(Photos())[1] for path in (tiny, str(tmp_path / 'other.npz'))]
    protocols = {run: protocol(features=name) for run, name in zip('ab', names, strict=True)}
    with pytest.raises(UserError, match="of a and b cannot be compared: features is 'DINOv2"):
        check_same('fd/distance', protocols)
    (tmp_path / 'other.npz').write_bytes(Path(tiny).read_bytes())
    assert DINOv2(str(tmp_path / 'other.npz')).of(Photos())[1] == names[0]


@pytest.mark.parametrize(
    ('x', 'line'),
    [
        (np.zeros((4, 2)), r'needs images, grey or RGB, and the data have shape \(2,\)'),
        (np.zeros((4, 8, 8, 4), np.uint8), r'the data have shape \(8, 8, 4\)'),
        (np.linspace(-1, 1, 256).reshape(4, 8, 8), 'images of 0..255, .* are float64 of -1 to 1'),
        (np.linspace(0, 1, 256).reshape(4, 8, 8), 'and the data are float64 of 0 to 1'),
    ],
)
def test_data_that_are_not_images_of_0_to_255_are_refused(x, line, tiny):
    with pytest.raises(UserError, match=line):
        DINOv2(tiny).of(Photos(x))
    assert DINOv2(tiny).of(Photos(np.linspace(0, 255, 256).reshape(4, 8, 8)))


@pytest.mark.parametrize(
    ('change', 'line'),
    [
        (lambda a: a.pop('blocks.1.mlp.fc2.bias'), r'blocks\.1\.mlp\.fc2\.bias is missing'),
        (lambda a: a.pop('pos_embed'), 'pos_embed is missing'),
        (lambda a: a.update(head=a['norm.bias']), 'head does not belong to the network'),
        (
            lambda a: a.update({'norm.bias': np.zeros(3)}),
            r'norm\.bias has shape \(3,\), the network needs \(128,\)',
        ),
        (lambda a: a.update(pos_embed=np.zeros((5, 4))), r'pos_embed has shape \(5, 4\), not of 3'),
        (lambda a: a.update(pos_embed=np.zeros((1, 5, 96))), 'width 96, not a multiple of 64'),
        (lambda a: a.update(pos_embed=np.zeros((1, 6, 128))), r'the network needs \(1, 5, 128\)'),
    ],
)
def test_weights_that_do_not_fit_are_named(change, line, tmp_path):
    arrays = arrays_of('dinov2')
    change(arrays)
    np.savez(tmp_path / 'w.npz', **arrays)
    with pytest.raises(UserError, match=rf'w\.npz: .*{line}'):
        DINOv2(str(tmp_path / 'w.npz')).of(Photos())


def test_the_weights_of_another_network_are_named(tiny):
    with pytest.raises(UserError, match=r'tiny\.npz: Conv2d_1a_3x3\.bn\.bias is missing'):
        Inception(tiny).of(Photos())
    arrays = arrays_of('inception') | {'AuxLogits.fc.bias': np.zeros(1000)}
    with pytest.raises(UserError, match=r'AuxLogits\.fc\.bias does not belong to the network'):
        pretrained.inception_v3(arrays)


@pytest.mark.parametrize(
    ('name', 'content', 'line'),
    [
        ('w.pth', b'', r"save_file\(torch\.load\('w\.pth', .*\), 'w\.safetensors'\)$"),
        ('w.npz', b'no archive', r'cannot read .*w\.npz as \.npz: '),
        ('w.safetensors', b'none', r'cannot read .*w\.safetensors as safetensors: '),
        ('w.h5', b'', r'w\.h5: weights are \.safetensors or \.npz files'),
    ],
)
def test_other_files_are_refused_in_a_line(name, content, line, tmp_path):
    with pytest.raises(UserError, match=f'there is no file {tmp_path / name}'):
        Inception(str(tmp_path / name)).of(Photos())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=line) as error:
        Inception(str(tmp_path / name)).of(Photos())
    assert '\n' not in str(error.value)
    with pytest.raises(UserError, match=r'Inception\.batch_size must be at least 1, not 0'):
        Inception('w.npz', batch_size=0)
