"""M2 against the labelled VAE, an explicit sum over the classes, and a mixture known exactly."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import VAE, BayesClassifier, SemiSupervisedVAE
from genjax.networks import MLP
from tests.models.probe import KEY, variables_of
from tests.models.zoo import BY_NAME, PICTURE
from tests.tiers import full

ENTRY = BY_NAME['vae-semi-supervised']
# Without dropout, the classifier of the loss is that of `classify`.
MODEL = dataclasses.replace(ENTRY.model, classifier=MLP((16,)))
BOUNDS = pytest.mark.parametrize(
    'options', [{}, full({'bound': 'iwae', 'num_samples': 3})], ids=['elbo', 'iwae']
)


def losses(model, label, variables=None):
    """The loss, with labels [8] in place of the batch's."""
    batch = {**ENTRY.batch(), 'label': jnp.asarray(label, jnp.int32)}
    variables = variables_of(ENTRY) if variables is None else variables
    return model.phases[0].loss(variables, batch, KEY)


def labelled_vae(model):
    """The same VAE without the classifier."""
    fields = {f.name: getattr(model, f.name) for f in dataclasses.fields(VAE)}
    return VAE(**fields)


def log_q():
    logits = MODEL.classify(variables_of(ENTRY), ENTRY.batch()['x'])
    logits = np.asarray(logits, np.float64)
    return logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True))


@BOUNDS
def test_with_all_labels_it_is_the_labelled_vae_and_the_classifier(options):
    model, label = dataclasses.replace(MODEL, **options), np.arange(8) % 3
    out, alone = losses(model, label), losses(labelled_vae(model), label)
    np.testing.assert_allclose(-out.metrics['bound'], alone.values + np.log(3), rtol=1e-6)
    classifier = -log_q()[np.arange(8), label]
    want = alone.values + np.log(3) + 2.0 * classifier
    np.testing.assert_allclose(out.values, want, rtol=1e-5)
    for name in ('elbo', 'rate', 'distortion'):
        np.testing.assert_allclose(out.metrics[name], alone.metrics[name], rtol=1e-5)


@BOUNDS
def test_without_labels_it_is_the_sum_over_the_classes(options):
    model = dataclasses.replace(MODEL, **options)
    each = [losses(labelled_vae(model), np.full(8, k)).values for k in range(3)]
    joint = np.stack(each, axis=1).astype(np.float64) + np.log(3)
    q = np.exp(log_q())
    out = losses(model, np.full(8, -1))
    np.testing.assert_allclose(out.values, np.sum(q * (joint + log_q()), axis=1), rtol=1e-5)
    np.testing.assert_array_equal(out.metrics['bound'], -out.values)
    assert out.metrics['accuracy'] == 0


def test_rows_with_and_without_labels_go_together():
    label = np.array([0, -1, 2, -1, 1, -1, -1, 0])
    mixed = losses(MODEL, label).values
    known = losses(MODEL, np.maximum(label, 0)).values
    unknown = losses(MODEL, np.full(8, -1)).values
    np.testing.assert_allclose(mixed, np.where(label < 0, unknown, known), rtol=1e-6)


def test_the_bound_is_log_p_where_the_posteriors_are_exact():
    """A decoder that does not read the code: q(z | x, y) = p(z) is exact, and log p(x | y) known.
    The classifier's logits are log p(x | y), of a layer from pixels.
    """
    model = SemiSupervisedVAE(
        MLP(()), MLP((), shape=PICTURE), 2, num_classes=3, classifier=MLP(()), eval_samples=2
    )
    batch, random = ENTRY.batch(), np.random.default_rng(0)
    variables = jax.tree.map(np.asarray, model.init(KEY, batch))
    params = jax.tree.map(np.zeros_like, variables['params'])
    rates = random.uniform(0.2, 0.8, (3, 64))
    logits = np.log(rates / (1 - rates))
    start = variables['state']['decoder']['constants']['start'].ravel()
    params['decoder']['output']['kernel'][2:] = logits - start
    params['head']['kernel'][:] = logits.T
    params['head']['bias'][:] = np.sum(np.log(1 - rates), axis=1)
    variables = {**variables, 'params': params}
    x = np.asarray(batch['x']).reshape(8, 64)
    log_px_y = x @ np.log(rates).T + (1 - x) @ np.log(1 - rates).T
    log_px = np.log(np.mean(np.exp(log_px_y), axis=1))
    out = losses(model, np.full(8, -1), variables)
    np.testing.assert_allclose(-out.values, log_px, rtol=1e-5)
    log_prob = model.log_prob(variables, batch['x'], KEY)
    np.testing.assert_allclose(log_prob.value, log_px, rtol=1e-5)
    # Here the classifier is the posterior of the model.
    q, p = (
        jax.nn.softmax(each.classify(variables, batch['x']))
        for each in (model, BayesClassifier(model))
    )
    np.testing.assert_allclose(q, p, rtol=1e-3, atol=1e-6)
    label = np.arange(8) % 3
    out = losses(model, label, variables)
    joint = log_px_y[np.arange(8), label] - np.log(3)
    np.testing.assert_allclose(out.metrics['bound'], joint, rtol=1e-5)


def test_what_it_refuses():
    with pytest.raises(UserError, match='SemiSupervisedVAE needs num_classes'):
        dataclasses.replace(MODEL, num_classes=None)
    with pytest.raises(UserError, match=r'SemiSupervisedVAE\.alpha must be at least 0'):
        dataclasses.replace(MODEL, alpha=-1.0)
