"""Bayes' rule as a classifier."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.models import classes
from genjax.models.base import Variables
from genjax.models.checks import check_number


@dataclass(frozen=True)
class BayesClassifier:
    """The classifier that Bayes' rule makes of a class-conditional density p(x | class).

    It has the variables of the model, and classifies like a trained classifier: `Accuracy` and
    `Selective` evaluate it, and `genjax.sampling.classify` applies it.

    Attributes:
        model: a class-conditional model with `log_prob`: exact, a bound or an estimate.
        log_prior: log p(class) of each class, up to a constant, such as that of `adapt_prior`;
            None: classes are equally likely.
        temperature: divides log p(x | class); above 1 for models that are too sure.
        num_samples: number of samples of the model's bound or estimate, its `eval_samples`; None:
            as many as the model has.
    """

    model: Any
    log_prior: tuple[float, ...] | None = None
    temperature: float = 1.0
    num_samples: int | None = None

    def __post_init__(self):
        model, name = self.model, type(self.model).__name__
        if getattr(model, 'num_classes', None) is None or not hasattr(model, 'log_prob'):
            raise UserError(
                f"Bayes' rule needs a model of p(x | class), with num_classes and log_prob(): this"
                f' {name} is none'
            )
        check_number('BayesClassifier.temperature', self.temperature, above=True)
        if self.num_samples is not None:
            check_number('BayesClassifier.num_samples', self.num_samples, 1)
            if not hasattr(model, 'eval_samples'):
                raise UserError(f'BayesClassifier.num_samples: a {name} draws no samples for log p')
            model = dataclasses.replace(model, eval_samples=self.num_samples)
            object.__setattr__(self, 'model', model)
        if self.log_prior is not None:
            log_prior = tuple(map(float, self.log_prior))
            if len(log_prior) != model.num_classes or not np.any(np.isfinite(log_prior)):
                raise UserError(
                    f'BayesClassifier.log_prior: {model.num_classes} numbers, one for each class,'
                    f' not {self.log_prior}'
                )
            object.__setattr__(self, 'log_prior', log_prior)

    @property
    def num_classes(self) -> int:
        return self.model.num_classes

    @property
    def classify_method(self) -> str:
        """Name of the rule, for protocols."""
        parts = ["Bayes' rule", *filter(None, [getattr(self.model, 'log_prob_method', None)])]
        if self.log_prior is not None:
            shares = np.exp(jax.nn.log_softmax(np.asarray(self.log_prior)))
            parts.append(f'prior {" ".join(f"{share:.3g}" for share in shares)}')
        if self.temperature != 1:
            parts.append(f'temperature {self.temperature:g}')
        return ', '.join(parts)

    def classify(self, variables: Variables, x: Array, key: Array | None = None) -> Array:
        """Computes the class logits [B, K] log p(x | class) / temperature + log p(class) of x [B,
        *event]. Without a key, the samples of an estimate are the same in each call.
        """
        key = jax.random.key(0) if key is None else key
        logits = classes.class_log_probs(self.model, variables, x, key).value / self.temperature
        return logits if self.log_prior is None else logits + jnp.asarray(self.log_prior)
