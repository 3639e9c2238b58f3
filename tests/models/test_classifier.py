"""The classifier against scikit-learn and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax

from genjax.data import Digits
from genjax.errors import UserError
from genjax.models import Classifier, classes
from genjax.models.base import HasClasses, HasFeatures
from genjax.networks import MLP
from tests.models.probe import variables_of
from tests.models.zoo import BY_NAME

KEY = jax.random.key(3)


@pytest.mark.slow
def test_without_a_hidden_layer_it_is_the_logistic_regression_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    train = Digits().source('train')[np.arange(1297)]
    x, label = train['x'].reshape(1297, -1) / 255, train['label']
    want = LogisticRegression(C=0.1, tol=1e-8, max_iter=5000).fit(x, label)
    model, batch = (
        Classifier(MLP(()), 10),
        {'x': jnp.asarray(x, jnp.float32), 'label': jnp.asarray(label)},
    )
    (phase,) = model.phases
    # The loss is a mean over examples, that of scikit-learn C times their sum.
    optimizer = optax.chain(
        optax.add_decayed_weights(
            10 / 1297, lambda params: jax.tree.map(lambda a: a.ndim > 1, params)
        ),
        optax.sgd(0.3, momentum=0.95, nesterov=True),
    )

    def total(params):
        return jnp.mean(phase.loss({'params': params, 'state': {}}, batch, KEY).values)

    def update(_, carry):
        params, state = carry
        updates, state = optimizer.update(jax.grad(total)(params), state, params)
        return optax.apply_updates(params, updates), state

    @jax.jit
    def fit(params):
        return jax.lax.fori_loop(0, 1000, update, (params, optimizer.init(params)))[0]

    params = fit(model.init(KEY, batch)['params'])
    head = jax.device_get(params['head'])
    np.testing.assert_allclose(head['kernel'].T, want.coef_, atol=1e-3)
    # The intercepts are determined up to a common constant.
    bias = head['bias'] - head['bias'].mean()
    np.testing.assert_allclose(bias, want.intercept_ - want.intercept_.mean(), atol=1e-3)


def test_cross_entropy_of_smoothed_and_of_missing_labels():
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    label = np.array([2, -1, 0, 1])
    log_p = log_softmax(logits, axis=1)
    plain = np.where(label >= 0, -log_p[np.arange(4), label], 0)
    np.testing.assert_allclose(classes.cross_entropy(logits, label), plain, rtol=1e-6)
    target = 0.8 * np.eye(3)[label] + 0.2 / 3
    smooth = np.where(label >= 0, -np.sum(target * log_p, axis=1), 0)
    np.testing.assert_allclose(classes.cross_entropy(logits, label, 0.2), smooth, rtol=1e-6)


def test_the_unlabelled_add_no_gradient():
    entry = BY_NAME['classifier']
    variables, batch = variables_of(entry), entry.batch()
    (phase,) = entry.model.phases

    def gradient(x, label):
        def total(params):
            batch = {'x': x, 'label': label}
            return jnp.sum(phase.loss({**variables, 'params': params}, batch, KEY).values)

        return jax.jit(jax.grad(total))(variables['params'])

    label = batch['label'].at[::2].set(-1)
    other = batch['x'].at[::2].multiply(-3)
    jax.tree.map(np.testing.assert_array_equal, gradient(batch['x'], label), gradient(other, label))


def test_classify_is_the_head_of_the_features():
    entry = BY_NAME['classifier']
    model, variables, x = entry.model, variables_of(entry), entry.batch()['x']
    assert isinstance(model, HasClasses) and isinstance(model, HasFeatures)
    features = model.features(variables, x)
    head = variables['params']['head']
    want = np.asarray(features) @ head['kernel'] + head['bias']
    np.testing.assert_allclose(model.classify(variables, x), want, rtol=1e-5, atol=1e-5)


def test_what_it_refuses():
    with pytest.raises(UserError, match='num_classes must be at least 2, not 1'):
        Classifier(MLP(()), 1)
    with pytest.raises(UserError, match='label_smoothing must be at least 0 and less than 1'):
        Classifier(MLP(()), 3, label_smoothing=1.0)
    with pytest.raises(UserError, match='num_classes=3, and the data have no labels'):
        Classifier(MLP(()), 3).init(KEY, {'x': jnp.zeros((2, 4))})
