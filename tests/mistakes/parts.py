"""A model, a data set, a preprocessing step and evaluators that break their contracts, one way at
a time.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genjax.data.sources import InMemorySource
from genjax.evaluation import Evaluator
from genjax.models.base import LogProb, LossOutput, Phase

SHAPE = (3,)


@dataclass(frozen=True)
class Model:
    """A normal with a learned mean; `fault` names what is wrong with it."""

    fault: str = ''

    @property
    def phases(self):
        fit = Phase('fit', ('w',), self.loss)
        return {
            'phases: a list': [fit],
            'phases: empty': (),
            'phases: names': ('fit',),
            'phases: trains text': (Phase('fit', 'w', self.loss),),
            'phases: trains nothing': (Phase('fit', (), self.loss),),
            'phases: unknown group': (Phase('fit', ('v',), self.loss),),
            'phases: repeats': (Phase('fit', ('w',), self.loss, 0),),
            'phases: twice': (fit, fit),
            'phases: takes over': (Phase('fit', ('w',), self.takes_over, takes_over=True),),
            'phases: no loss': (Phase('fit', ('w',), None),),
            'phases: short loss': (Phase('fit', ('w',), lambda variables, batch: None),),
        }.get(self.fault, (fit,))

    def init(self, key, batch):
        w = jnp.zeros(batch['x'].shape[1:])
        good = {'params': {'w': {'mean': w}}, 'state': {'w': {'count': jnp.zeros(())}}}
        return {
            'init: nothing': None,
            'init: parameters alone': {'w': {'mean': w}},
            'init: no state': {'params': {'w': {'mean': w}}},
            'init: a list': {**good, 'params': [w]},
        }.get(self.fault, good)

    def takes_over(self, variables, batch, key, handed):
        return self.loss(variables, batch, key)

    def loss(self, variables, batch, key):
        x, state = batch['x'], variables['state']
        if self.fault == 'loss: their KeyError':
            x = batch['image']
        if self.fault == 'loss: their TypeError':
            x = x + jnp.zeros(7)
        values = (
            -self.log_prob(variables, x, key).value if 'log_prob' not in self.fault else x[:, 0]
        )
        good = LossOutput(values, {}, state)
        return {
            'loss: nothing': lambda: None,
            'loss: a number': lambda: values.mean(),
            'loss: a tuple': lambda: (values, {}, state),
            'loss: mean values': lambda: good._replace(values=values.mean()),
            'loss: values of elements': lambda: good._replace(values=x),
            'loss: whole numbers': lambda: good._replace(values=values.astype(int)),
            'loss: a list of metrics': lambda: good._replace(metrics=[values]),
            'loss: a metric of elements': lambda: good._replace(metrics={'x': x}),
            'loss: no state': lambda: good._replace(state=None),
            'loss: empty state': lambda: good._replace(state={}),
            'loss: state of another shape': lambda: good._replace(
                state={'w': {'count': jnp.zeros(2)}}
            ),
            'loss: state of another type': lambda: good._replace(
                state={'w': {'count': jnp.zeros((), int)}}
            ),
        }.get(self.fault, lambda: good)()

    def sample(self, variables, key, num, *, label=None):
        x = variables['params']['w']['mean'] + jax.random.normal(key, (num, *SHAPE))
        return {
            'sample: nothing': None,
            'sample: one': x[0],
            'sample: flat': x[:, 0],
            'sample: twice': (x, x),
        }.get(self.fault, x)

    def log_prob(self, variables, x, key):
        z = x - variables['params']['w']['mean']
        value = -0.5 * jnp.sum(z**2, axis=-1)
        return {
            'log_prob: an array': value,
            'log_prob: a mean': LogProb(value.mean(), 'exact'),
            'log_prob: kind': LogProb(value, 'good'),
        }.get(self.fault, LogProb(value, 'exact'))


class NoInit:
    phases = Model().phases


class NoPhases:
    def init(self, key, batch):
        return {}


@dataclass(frozen=True)
class ShortInit(Model):
    def init(self, key):
        return {}


@dataclass(frozen=True)
class UnlabelledSample(Model):
    def sample(self, variables, key, num):
        return None


@dataclass(frozen=True)
class ShortLogProb(Model):
    def log_prob(self, x):
        return None


class Rows:
    """A source, which returns what a function of the indices does."""

    in_memory, fingerprint = True, 'rows'

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return 20

    def __getitem__(self, indices):
        return self.rows(np.asarray(indices))


@dataclass(frozen=True)
class Data:
    """Normals; `fault` names what is wrong with it."""

    fault: str = ''

    num_classes: ClassVar[None] = None

    @property
    def event_shape(self):
        return (4,) if self.fault == 'another shape' else SHAPE

    def source(self, split):
        if self.fault == 'their error':
            return open('/nowhere/at/all')
        x = np.random.default_rng(0).normal(size=(20, *SHAPE)).astype(np.float32)
        if self.fault == 'not finite':
            x[7, 1] = np.nan
        if self.fault == 'infinite, in a source of its own':
            x[11, 0] = np.inf
            return Rows(lambda i: {'x': x[i]})
        if self.fault == 'empty':
            return InMemorySource({'x': x[:0]})
        if split == 'test' and self.fault == 'test: another shape':
            return InMemorySource({'x': x[:, :2]})
        if split == 'test' and self.fault == 'test: empty':
            return InMemorySource({'x': x[:0]})
        if split == 'test' and self.fault == 'test: their error':
            raise KeyError(split)
        if self.fault == 'a plain array':
            return x
        if self.fault == 'nothing':
            return None
        found = {
            'rows: nothing': lambda i: None,
            'rows: an array': lambda i: x[i],
            'rows: lists': lambda i: {'x': x[i].tolist()},
            'rows: no x': lambda i: {'image': x[i]},
            'rows: too few': lambda i: {'x': x[i][:-1]},
            'rows: text': lambda i: {'x': np.array(['a'] * len(i))},
            'rows: unknown key': lambda i: {'x': x[i], 'lable': x[i][:, 0]},
            'rows: labels with a fraction': lambda i: {'x': x[i], 'label': x[i][:, 0]},
            'rows: one-hot labels': lambda i: {'x': x[i], 'label': np.eye(20, dtype=int)[i]},
            'rows: their IndexError': lambda i: {'x': x[i + 20]},
        }.get(self.fault)
        return InMemorySource({'x': x}) if found is None else Rows(found)


class NoSource:
    event_shape, num_classes = SHAPE, None


class NoClasses:
    event_shape = SHAPE

    def source(self, split):
        return Data().source(split)


@dataclass(frozen=True)
class OneSplit(Data):
    def source(self):
        return None


@dataclass(frozen=True)
class Step:
    """Doubles; `fault` names what is wrong with it."""

    fault: str = ''

    bound: ClassVar[bool] = False
    takes_pixels: ClassVar[bool] = False

    def __call__(self, x, key):
        log_det = jnp.zeros(len(x))
        return {
            'y alone': 2 * x,
            'nothing': None,
            'one log-determinant': (2 * x, 0.0),
            'log-determinants of elements': (2 * x, x),
        }.get(self.fault, (2 * x, log_det))

    def inverse(self, y):
        return y / 2


class NoInverse:
    bound = takes_pixels = False

    def __call__(self, x, key):
        return x, jnp.zeros(len(x))


def function_step(x, key):
    return x, jnp.zeros(len(x))


@dataclass(frozen=True)
class ShortStep(Step):
    def __call__(self, x):
        return x


@dataclass(frozen=True)
class ReturnsNothing(Evaluator):
    def __call__(self, model, variables, data, key):
        pass


@dataclass(frozen=True)
class ReturnsNumber(Evaluator):
    def __call__(self, model, variables, data, key):
        return 3.0


@dataclass(frozen=True)
class ReturnsArray(Evaluator):
    def __call__(self, model, variables, data, key):
        return {'rows': np.zeros(3)}


@dataclass(frozen=True)
class ReturnsNone(Evaluator):
    def __call__(self, model, variables, data, key):
        return {'nll': None}


@dataclass(frozen=True)
class NumbersNames(Evaluator):
    def __call__(self, model, variables, data, key):
        return {1: 2.0}


@dataclass(frozen=True)
class Raises(Evaluator):
    def __call__(self, model, variables, data, key):
        return {'share': 1 / 0}


@dataclass(frozen=True)
class TakesTwo(Evaluator):
    def __call__(self, model, variables):
        return {}


def takes_two(model, variables):
    return {}


def bad_schedule(step):
    return {}['rate']
