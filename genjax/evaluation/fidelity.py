"""Evaluators of samples against data in a feature space: fidelity and diversity."""

import abc
import math
from dataclasses import dataclass, field

import jax
import numpy as np
from jax import Array

from genjax.data.pipeline import random_subset
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.evaluation.draws import (
    context_scale,
    draw_given,
    has_classes,
    preprocessed,
    with_contexts,
)
from genjax.evaluation.features import FeatureSpace, Raw, checked
from genjax.evaluation.frechet import frechet_extrapolated, frechet_jackknife
from genjax.evaluation.kid import kernel_distance
from genjax.evaluation.manifold import prdc
from genjax.evaluation.vendi import vendi_score
from genjax.keys import key_of
from genjax.models.base import GenerativeModel, Variables
from genjax.parallel.host import fetch
from genjax.protocols import protocol


@dataclass(frozen=True, kw_only=True)
class InFeatures(Evaluator):
    """Base class of evaluators of samples against examples of a split, both in the range of the
    data, in a feature space. A conditional model is sampled with the labels or contexts of the
    split; contexts are appended to the features, scaled to their variance.

    Attributes:
        features: the feature space.
        num_samples: number of samples, and largest number of examples.
        batch_size: samples per batch.
    """

    features: FeatureSpace = field(default_factory=Raw)
    num_samples: int = 5000
    batch_size: int = 250

    @property
    def options(self) -> dict[str, object]:
        """Further choices that enter the protocol."""
        return {}

    def drawn(
        self,
        model: GenerativeModel,
        variables: Variables,
        data: EvaluationData,
        key: Array,
        pairs: bool = True,
    ) -> tuple[np.ndarray, np.ndarray, str]:
        """Returns features of samples [N, D], of examples [M, D], and the protocol; `pairs`:
        append contexts, of a model that needs them.

        Raises:
            UserError: the model cannot be sampled, or the split is empty.
        """
        require(self, model, 'sample')
        examples, kept = self._stored(data, data.split, self.num_samples)
        if not len(examples):
            raise UserError(f'the {data.split} split has no examples to evaluate on')
        samples, used, name = self._samples(model, variables, data, key)
        if pairs and used is not None:
            source = data.dataset.source(data.split)
            own = source[random_subset(len(source), self.num_samples)]['context']
            scale = context_scale(own, examples)
            samples, examples = (
                with_contexts(samples, used, scale),
                with_contexts(examples, own, scale),
            )
        return (
            samples,
            examples,
            protocol(
                features=name,
                data=data.dataset.source(data.split).fingerprint[:12],
                split=data.split,
                examples=len(examples),
                samples=len(samples),
                **self.options,
                **({'labels': f'as in {data.split}'} if has_classes(model) else {}),
                **({'contexts': f'as in {data.split}'} if used is not None else {}),
                preprocess=None
                if kept
                else ' '.join(type(s).__name__ for s in data.preprocess.steps),
                seed=data.seed,
            ),
        )

    def stored(self, data: EvaluationData, split: str, num: int | None = None) -> np.ndarray:
        """Returns features [N, D] of a random subset of `num` examples of a split, or of all.

        Examples are what the model learns, such as binarised images, in the range of the data; if a
        first stage encodes them, they are the data themselves: its losses are the model's.
        """
        return self._stored(data, split, num)[0]

    def _stored(self, data: EvaluationData, split: str, num: int | None) -> tuple[np.ndarray, bool]:
        """Returns what `stored` does, and whether examples are as in the data set."""
        source = data.dataset.source(split)
        features, name = self.features.of(data.dataset)
        rows = random_subset(len(source), len(source) if num is None else num)
        found = x = source[rows]['x']
        if not data.preprocess.lossy:
            key, parts = key_of(data.seed, 'examples'), []
            for start in range(0, len(x), self.batch_size):
                part = jax.device_put(x[start : start + self.batch_size])
                part, key = preprocessed(data.preprocess, part, key)
                parts.append(fetch(data.preprocess.inverse(part)))
            x = np.concatenate(parts) if parts else x
        return checked(features, x, name), np.allclose(x, found, rtol=1e-3, atol=1e-3)

    def _samples(
        self, model: GenerativeModel, variables: Variables, data: EvaluationData, key: Array
    ) -> tuple[np.ndarray, np.ndarray | None, str]:
        """Draws samples, or takes those of an earlier evaluator: features [N, D], contexts, and the
        name of the feature space.
        """
        options = self.features, data.split, self.num_samples, self.batch_size
        options = model, id(variables), *options
        if options not in data.shared:
            drawn, used = draw_given(data, model, variables, self.num_samples, key, self.batch_size)
            features, name = self.features.of(data.dataset)
            x = fetch(data.preprocess.inverse(jax.device_put(drawn)))
            data.shared[options] = checked(features, x, name), used, name
        return data.shared[options]


class Comparison(InFeatures):
    """A comparison of the features of samples and of examples, by a subclass's `compare`."""

    @abc.abstractmethod
    def compare(self, samples: np.ndarray, examples: np.ndarray) -> Results:
        """Computes the results from features of `samples` [N, D] and `examples` [M, D]."""

    def __call__(
        self, model: GenerativeModel, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it cannot be sampled."""
        samples, examples, protocol = self.drawn(model, variables, data, key)
        return {**self.compare(samples, examples), 'protocol': protocol}


@dataclass(frozen=True, kw_only=True)
class FrechetDistance(Comparison):
    """Fréchet distance (`frechet_distance`), in squared units of the features.

    Gives 'distance' and its jackknife 'stderr', and 'extrapolated', the distance at infinitely many
    samples, with 'extrapolated_stderr'.
    """

    def compare(self, samples: np.ndarray, examples: np.ndarray) -> Results:
        distance, stderr = frechet_jackknife(examples, samples)
        extrapolated, error = frechet_extrapolated(examples, samples)
        return {
            'distance': distance,
            'stderr': stderr,
            'extrapolated': extrapolated,
            'extrapolated_stderr': error,
        }


@dataclass(frozen=True, kw_only=True)
class KernelDistance(Comparison):
    """Unbiased squared kernel distance, KID (`kernel_distance`): gives 'kid' and 'stderr'.

    Attributes:
        block: rows of a block.
    """

    block: int = 1000

    @property
    def options(self) -> dict[str, object]:
        return {'block': self.block}

    def compare(self, samples: np.ndarray, examples: np.ndarray) -> Results:
        value, stderr = kernel_distance(examples, samples, block=self.block)
        return {'kid': value, 'stderr': stderr}


@dataclass(frozen=True, kw_only=True)
class PrecisionRecall(Comparison):
    """Precision, recall, density and coverage (`prdc`).

    Gives these four, with the binomial standard errors 'precision_stderr', 'recall_stderr' and
    'coverage_stderr', which take the balls as given.

    Attributes:
        k: neighbours that define a ball.
    """

    k: int = 5

    @property
    def options(self) -> dict[str, object]:
        return {'k': self.k}

    def compare(self, samples: np.ndarray, examples: np.ndarray) -> Results:
        found = prdc(examples, samples, k=self.k)
        sizes = {'precision': len(samples), 'recall': len(examples), 'coverage': len(examples)}
        shares = {name: getattr(found, name) for name in sizes}
        return {
            **found._asdict(),
            **{f'{n}_stderr': math.sqrt(p * (1 - p) / sizes[n]) for n, p in shares.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Vendi(Comparison):
    """Vendi scores (`vendi_score`): gives 'vendi', of the samples, and 'vendi_data', of as many
    examples.
    """

    def compare(self, samples: np.ndarray, examples: np.ndarray) -> Results:
        num = min(len(samples), len(examples))
        return {'vendi': vendi_score(samples[:num]), 'vendi_data': vendi_score(examples[:num])}
