"""A trained run: config and state."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from genjax import config as configs
from genjax import records, sampling
from genjax.data.sources import Dataset
from genjax.errors import UserError
from genjax.evaluation import Card
from genjax.evaluation.base import Evaluator, Results
from genjax.evaluation.results import evaluate
from genjax.models.base import GenerativeModel, LogProb, Variables
from genjax.models.bayes import BayesClassifier
from genjax.models.sampling_options import with_sampling
from genjax.parallel import distributed
from genjax.sampling.draw import BATCH_SIZE, draws
from genjax.training import workdir as folder
from genjax.training.averages import Average
from genjax.training.experiment import Experiment
from genjax.training.state import TrainState

_CARD = Card()


@dataclass(frozen=True)
class Run:
    """A trained (or partly trained) model, ready to use; returned by `genjax.load`.

    Arrays are NumPy arrays in the range of the data: preprocessing is applied and inverted, and
    log-probabilities include its log-determinant. A method that the model does not support raises a
    UserError that names the missing method.

    Attributes:
        workdir: run folder.
        experiment: the experiment.
        step: step of the checkpoint.
        state: train state at that step.
        mesh: devices of the state.
        ema: variables to use: True: the first average, or the trained variables if there is none;
            False: the trained variables; a decay or another average of the experiment: that one.
    """

    workdir: Path
    experiment: Experiment
    step: int
    state: TrainState
    mesh: Mesh
    ema: bool | float | Average = True

    @property
    def model(self) -> GenerativeModel:
        """The model; `run.model.sampling` holds its sampling options, if it has any."""
        return self.experiment.model

    @functools.cached_property
    def variables(self) -> Variables:
        """Parameters and state of the model, on the devices of `mesh` (see `ema`)."""
        if self.ema is True:
            return self.state.averaged
        if self.ema is False:
            return self.state.latest
        if self.ema not in self.experiment.ema:
            kept = ', '.join(map(str, self.experiment.ema)) or 'none'
            raise UserError(f'ema={self.ema}: the averages of this run are {kept}')
        return self.state.average(self.experiment.ema.index(self.ema))

    def with_sampling(self, sampling: Any = None, **options: Any) -> 'Run':
        """Returns the run with other sampling options; see `sample`."""
        model = with_sampling(self.model, sampling, **options)
        return dataclasses.replace(
            self, experiment=dataclasses.replace(self.experiment, model=model)
        )

    def with_options(self, options: Iterable[tuple[str, Any]]) -> 'Run':
        """Returns the run with other sampling options, by path, as on the command line.

        Args:
            options: such as [('steps', '10'), ('guide.weight', 3.0)], applied in order to the
                options of the config; text is parsed as the type of the field.

        Raises:
            UserError: the model has no such option.
        """
        if not (options := tuple(options)):
            return self
        if not hasattr(self.model, 'sampling'):
            kind = type(self.model).__name__
            raise UserError(f'--sampling.{options[0][0]}: a {kind} has no sampling options')
        config = distributed.on_first(lambda: folder.read(self.workdir))
        config = folder.config_of(config).model
        for name, value in options:
            try:
                configs.override(config, f'sampling.{name}', value)
            except UserError as error:
                line = str(error).replace('config.sampling.', '--sampling.')
                raise UserError(line.replace('config has no field', 'no option')) from None
        configs.check_complete(config)
        return self.with_sampling(configs.build(config.sampling, '--sampling'))

    def sample(
        self,
        num: int,
        *,
        label: int | Sequence[int] | np.ndarray | None = None,
        context: np.ndarray | None = None,
        prompt: str | np.ndarray | None = None,
        seed: int = 0,
        batch_size: int = BATCH_SIZE,
        means: bool = False,
        sampling: Any = None,
        **options: Any,
    ) -> np.ndarray:
        """Draws samples [num, *event]; sample `i` depends only on the seed, `i` and its condition.

        Args:
            num: number of samples.
            label: class of all samples, or one per sample [num]; None: all classes in turn, for a
                model with classes.
            context: context of all samples [*context_shape], or one per sample
                [num, *context_shape], for a model with contexts.
            prompt: first elements of all samples, for a model of sequences: text, by the tokenizer
                of the data, or elements of the model [P, ...], or one prompt per sample
                [num, P, ...].
            seed: random seed.
            batch_size: samples per batch; limits memory.
            means: return the mean of the likelihood instead of a draw, if the model has one.
            sampling: a complete set of sampling options.
            options: single sampling options: `sampler=DPM2M(), steps=10`.

        Raises:
            UserError: the model cannot sample, or does not take such a label, context, prompt or
                option.
        """
        parts = self.samples(
            num, label=label, context=context, prompt=prompt, seed=seed, batch_size=batch_size,
            means=means, sampling=sampling, **options,
        )  # fmt: skip
        return np.concatenate([part['x'] for part in parts])

    def samples(
        self,
        num: int,
        *,
        label: int | Sequence[int] | np.ndarray | None = None,
        context: np.ndarray | None = None,
        prompt: str | np.ndarray | None = None,
        seed: int = 0,
        batch_size: int = BATCH_SIZE,
        means: bool = False,
        sampling: Any = None,
        **options: Any,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yields the samples of `sample` in parts: `x`, and the `label` or `context` of each."""
        if num < 1 or batch_size < 1:
            raise UserError(f'num={num} and batch_size={batch_size} must be at least 1')
        model = with_sampling(self.model, sampling, **options)
        if isinstance(prompt, str):
            prompt = self._tokens(prompt)
        return draws(
            model, self.variables, num, seed, label, context=context, prompt=prompt,
            preprocess=self.experiment.preprocess, batch_size=batch_size, means=means,
        )  # fmt: skip

    def log_prob(self, x: np.ndarray, *, seed: int = 0, **given: Any) -> LogProb:
        """Log-probability [N] in nats of examples x [N, *event] as stored, and its kind; given a
        `label` or `context`, of all examples or [N, ...], if the model takes one. The next four
        methods take them, too.
        """
        return self._apply(sampling.log_prob, self._examples(x), seed=seed, **given)

    def encode(self, x: np.ndarray, *, seed: int = 0, **given: Any) -> np.ndarray:
        """Draws a latent for each example x [N, *event]: [N, *code]."""
        return self._apply(sampling.encode, self._examples(x), seed=seed, **given)

    def decode(self, z: np.ndarray, *, seed: int = 0, **given: Any) -> np.ndarray:
        """Expected example [N, *event] for each latent z [N, *code]."""
        return self._apply(sampling.decode, z, seed=seed, **given)

    def reconstruct(self, x: np.ndarray, *, seed: int = 0, **given: Any) -> np.ndarray:
        """Encodes and decodes examples x [N, *event]."""
        return self._apply(sampling.reconstruct, self._examples(x), seed=seed, **given)

    def features(self, x: np.ndarray, *, seed: int = 0, **given: Any) -> np.ndarray:
        """Features [N, D] of examples x [N, *event]."""
        return self._apply(sampling.features, self._examples(x), seed=seed, **given)

    def interpolate(
        self, a: np.ndarray, b: np.ndarray, num: int, *, seed: int = 0, **given: Any
    ) -> np.ndarray:
        """Decodes `num` latents on the line from that of example a [*event] to that of b, ends
        included: [num, *event]. A `label` or `context` is that of both, or one each, [2, ...].
        """
        a, b = self._examples(np.stack([a, b]))
        return self._apply(sampling.interpolate, a, b, num, seed=seed, **given)

    def classify(self, x: np.ndarray, *, seed: int = 0, **rule: Any) -> np.ndarray:
        """Class logits [N, num_classes] of examples x [N, *event]: of a classifier, of class heads,
        or by Bayes' rule, log p(x | class) of a class-conditional model. Options of the rule are
        those of `BayesClassifier`: `log_prior=`, `temperature=`, `num_samples=`.
        """
        model = BayesClassifier(self.model, **rule) if rule else self.model
        experiment, x = self.experiment, self._examples(x)
        return sampling.classify(model, experiment.preprocess, self.variables, x, seed)

    def translate(self, x: np.ndarray, direction: str = 'ab', *, seed: int = 0) -> np.ndarray:
        """Translates examples x [N, *shape] of domain a into b, or of b into a ('ba')."""
        return self._apply(sampling.translate, x, direction, seed=seed)

    def evaluate(
        self,
        evals: Mapping[str, Evaluator],
        *,
        split: str | None = None,
        dataset: Dataset | None = None,
    ) -> Results:
        """Runs evaluators by name: `run.evaluate({'modes': Modes()})`; nothing is stored.

        Args:
            evals: the evaluators.
            split: split of the data, instead of each evaluator's own.
            dataset: another data set, with examples of the same shape.

        Returns:
            Numbers and texts, named `<eval name>/<result>`.

        Raises:
            UserError: an evaluator does not fit the model or the data.
        """
        if split is not None:
            evals = {name: dataclasses.replace(e, split=split) for name, e in evals.items()}
        experiment, shape = self.experiment, tuple(self.experiment.dataset.event_shape)
        dataset = experiment.dataset if dataset is None else dataset
        if tuple(dataset.event_shape) != shape:
            raise UserError(
                f'examples of this run have the shape {list(shape)}, those of'
                f' {type(dataset).__name__} {list(dataset.event_shape)}'
            )
        return evaluate(
            evals, self.model, self.variables, dataset, experiment.preprocess,
            mesh=self.mesh, seed=experiment.seed,
        )  # fmt: skip

    def export(self, out: str | Path, format: str = 'safetensors') -> None:
        """Writes the model for other programs, in a new folder, with a description `card.json`.

        Args:
            out: new or empty folder.
            format: 'safetensors': the weights; 'jax': programs of `sample` and `log_prob` that need
                jax and numpy only; 'diffusers': the U-Net or DiT.

        Raises:
            UserError: the model has no such format, or the folder cannot be written.
        """
        from genjax.training.export import export  # exports runs

        export(self, out, format)

    def card(self, card: Card = _CARD) -> Results:
        """Runs the standard evals of quality, diversity, novelty, likelihood and speed
        (`genjax.evaluation.Card`); raises and returns what `evaluate` does.
        """
        return self.evaluate(card.evals(self.model))

    def to_nnx(self) -> dict[str, Any]:
        """Networks of the model, by parameter group, as modules of `flax.nnx` with the run's
        weights.
        """
        from genjax.training.export.nnx import networks  # of runs

        return networks(self)

    def metrics(self) -> list[dict[str, Any]]:
        """Records of `metrics.jsonl` in order: `step`, and logged values by name."""
        return [{'step': step, **found} for step, found in records.metrics(self.workdir)]

    def _tokens(self, prompt: str) -> np.ndarray:
        """Tokens of a prompt, by the tokenizer of the data."""
        dataset = self.experiment.dataset
        if not hasattr(type(dataset), 'tokens'):
            raise UserError(
                f'prompt={prompt!r}: {type(dataset).__name__} is not text, give the elements'
            )
        try:
            return dataset.tokens.encode(prompt)
        except UserError as error:
            raise UserError(f'prompt={prompt!r}: {error}') from None

    def _apply(self, function: Callable, *args: Any, **options: Any) -> Any:
        return function(self.model, self.experiment.preprocess, self.variables, *args, **options)

    def _examples(self, x: np.ndarray) -> np.ndarray:
        x, shape = np.asarray(x), tuple(self.experiment.dataset.event_shape)
        if x.shape[1:] != shape:
            raise UserError(
                f'examples of this run have the shape {list(shape)}: give [N, *shape], not'
                f' {list(x.shape)}'
            )
        return x
