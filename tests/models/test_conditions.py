"""A context that is the one-hot label is the label, bit for bit; conditions that do not fit."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import GAN, VAE, DiffusionModel
from genjax.models.base import HasLogProb
from genjax.models.flax_utils import apply
from genjax.networks import MLP, DCGANDiscriminator, TimeMLP
from tests.models.probe import KEY, LABELS, variables_of
from tests.models.zoo import BY_NAME, ZOO, every

NEED_CLASSES = ('classifier', 'diffusion-classifier', 'jem', 'vae-semi-supervised')
LABELLED = [
    *(
        dataclasses.replace(
            BY_NAME[name], model=dataclasses.replace(BY_NAME[name].model, num_classes=3)
        )
        for name in ('mean-flow', 'consistency', 'pixelcnn', 'maskgit', 'discrete-masking')
    ),
    *ZOO,
]
LABELLED = [
    entry
    for entry in LABELLED
    if getattr(entry.model, 'num_classes', None) is not None
    and getattr(entry.model, 'conditioning', 'input') == 'input'
    and entry.name not in NEED_CLASSES
]
FEW = (
    'vae-labels-free-bits',
    'flow-maf-spline',
    'diffusion-labels',
)


@every(LABELLED, few=FEW)
def test_a_one_hot_context_is_the_label_bit_for_bit(entry):
    """The initial variables, losses, gradients, states and samples."""
    with_context = dataclasses.replace(entry.model, num_classes=None, context_shape=(3,))

    variables, batch = jax.device_put(variables_of(entry)), entry.batch()

    def compared(model):
        # Programs of their own, and the context is made inside: so the compiler sees the same sums
        # in both models, and adds them in the same order.
        def full(batch):
            return {**batch, 'context': jax.nn.one_hot(batch['label'], 3)}

        def total(params, batch, phase):
            out = phase.loss({**variables, 'params': params}, full(batch), KEY)
            return jnp.sum(out.values), out

        def sample(label):
            by_label = (
                {'label': label} if model is entry.model else {'context': jax.nn.one_hot(label, 3)}
            )
            return model.sample(variables, KEY, 3, **by_label)

        yield jax.jit(lambda batch: model.init(KEY, full(batch)))(batch)
        for phase in model.phases:
            step = jax.jit(jax.grad(total, has_aux=True), static_argnums=2)
            yield step(variables['params'], batch, phase)
        yield jax.jit(sample)(LABELS)

    for found, wanted in zip(compared(with_context), compared(entry.model), strict=True):
        jax.tree.map(np.testing.assert_array_equal, found, wanted)


@every([entry for entry in LABELLED if isinstance(entry.model, HasLogProb)], few=FEW)
def test_log_prob_given_the_label(entry):
    """It is that given the one-hot context, and follows the condition."""
    model = dataclasses.replace(entry.model, num_classes=None, context_shape=(3,))
    x, variables = entry.batch()['x'][:3], variables_of(entry)
    found, wanted, other = (
        jax.jit(lambda v, given, m=m: m.log_prob(v, x, KEY, **given).value)(variables, given)
        for m, given in (
            (model, {'context': jnp.eye(3)}),
            (entry.model, {'label': LABELS}),
            (entry.model, {'label': LABELS[::-1]}),
        )
    )
    # Steps of an adaptive solver follow the rounding of two programs.
    rounding = entry.model.tolerance if isinstance(entry.model, DiffusionModel) else 0
    np.testing.assert_allclose(found, wanted, rtol=rounding)
    assert wanted[1] == other[1] and np.all(wanted[::2] != other[::2])


def _vae(**fields):
    return VAE(encoder=MLP((4,)), decoder=MLP((4,), shape=(2,)), latent_dim=2, **fields)


@pytest.mark.parametrize('label', [-1, 3, 99])
def test_a_label_that_is_no_class_is_refused(label):
    """An embedding would take the nearest row."""
    diffusion = DiffusionModel(network=TimeMLP(features=4, shape=(2,)), num_classes=3)
    batch = {'x': np.zeros((2, 2), np.float32), 'label': np.zeros(2, np.int32)}
    for model in (_vae(num_classes=3), diffusion):
        labels = np.array([0, label], np.int32)
        if model is diffusion and label == 3:  # stands for none
            continue
        variables = jax.eval_shape(model.init, jax.random.key(0), batch)
        with pytest.raises(UserError, match=f'label={label} is not one of the 3 classes 0..2'):
            model.sample(variables, jax.random.key(1), 2, label=labels)


def test_conditions_that_do_not_fit_the_model_are_one_line():
    with pytest.raises(UserError, match=r'VAE has num_classes=3 and context_shape=.*set one of'):
        _vae(num_classes=3, context_shape=(3,))
    with pytest.raises(UserError, match=r'VAE.context_shape must be whole numbers from 1'):
        _vae(context_shape=(3, 0))
    with pytest.raises(UserError, match=r'GAN.context_shape: the generator .* no field context_sh'):
        generator = MLP((4,), shape=(2,))
        GAN(_NoCondition(generator, (2,)), DCGANDiscriminator(), 2, context_shape=(3,))
    batch = {'x': np.zeros((2, 2), np.float32)}
    model = _vae(context_shape=(3,))
    with pytest.raises(UserError, match=r'VAE.context_shape=\(3,\), and the data have no context'):
        model.init(KEY, batch)
    with pytest.raises(UserError, match=r'contexts are \[N, 3\], not \[2, 4\]'):
        model.init(KEY, {**batch, 'context': np.zeros((2, 4))})
    variables = model.init(KEY, {**batch, 'context': np.zeros((2, 3))})
    with pytest.raises(UserError, match=r'needs a context=\[N, 3\]'):
        model.log_prob(variables, batch['x'], KEY)
    with pytest.raises(UserError, match='4 samples need 4 contexts, not 2'):
        model.sample(variables, KEY, 4, context=np.zeros((2, 3)))
    with pytest.raises(UserError, match='needs a context, and there is none'):
        apply(MLP((2,), context_shape=(3,)), variables, 'encoder', batch['x'])


class _NoCondition(nn.Module):
    """A network without conditions."""

    network: MLP
    shape: tuple

    def __call__(self, z):
        """Applies the network."""
        return self.network(z)


def test_codes_of_a_conditional_vae_hold_the_condition():
    """Decoding another condition than that of the code is a counterfactual."""
    model = _vae(context_shape=(3,))
    x, context = jax.random.uniform(KEY, (4, 2)), jax.random.normal(KEY, (4, 3))
    variables = model.init(KEY, {'x': x, 'context': context})
    z = model.encode(variables, x, KEY, context=context)
    np.testing.assert_array_equal(z[:, 2:], context)
    same = model.decode(variables, z, KEY, context=context)
    np.testing.assert_array_equal(model.decode(variables, z, KEY), same)
    assert np.all(same != model.decode(variables, z, KEY, context=-context))
