"""The fields of an experiment, in groups. Those marked `free` may change when a run resumes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import optax

from genjax.data.preprocessing import Chain
from genjax.data.sources import Dataset
from genjax.evaluation.base import Evaluator
from genjax.free import free
from genjax.models.base import GenerativeModel
from genjax.parallel.sharding import MeshShape


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained, on what, and how. Numbers that only enter the arithmetic of a step may be
    traced arrays.

    Attributes:
        dataset: the data.
        model: the model, of any family.
        optimizer: one optax optimizer for every phase of the model, or one each, by phase name.
        steps: number of training steps.
        batch_size: examples per update, over all devices and micro-batches. A step reads this many
            for each of the `repeats` of the model's most repeated phase.
        preprocess: applied on the device, in training, sampling (inverted) and evaluation.
        seed: determines initial values, noise and the order of the data.
        clip_norm: largest global norm of a phase's gradient; larger ones are scaled down to it.
        ema: decays of moving averages, once per step, of the parameters and of the batch statistics
            and other model state that goes with them; the first is sampled and evaluated. A decay
            can be `Scheduled`, and is at most (1 + step) / (10 + step).
        nonfinite: 'stop' ends the run at a non-finite loss or gradient; 'skip' leaves out an update
            whose loss, gradient or outcome is not finite, and ends the run when a phase has had no
            other for `log_every` steps. A state that is not finite is never saved.
    """

    dataset: Dataset
    model: GenerativeModel
    optimizer: optax.GradientTransformation | Mapping[str, optax.GradientTransformation]
    steps: int = free()
    batch_size: int
    preprocess: Chain = field(default_factory=Chain)
    seed: int = 0
    clip_norm: float | None = None
    ema: tuple[float, ...] = ()
    # Up to a checkpoint under 'stop' everything was finite, and 'skip' leaves out nothing.
    nonfinite: Literal['stop', 'skip'] = free('stop')

    FOLLOWED: ClassVar[tuple[str, ...]] = ('steps', 'batch_size')


@dataclass(frozen=True, kw_only=True)
class Evals:
    """Evaluation during training and at its end.

    Attributes:
        evals: evaluators by name; each says on which split and when (`Evaluator`). Their results
            are named `<eval name>/<result>`. A checkpoint follows each evaluation during training.
        best: the result whose best value names the best checkpoint: `'nll/bits_per_dim'`, or
            `'nll'` for the first result of that eval, which must be evaluated during training.
        best_mode: whether the smallest or the largest value is the best.
        patience: end the run early after this many evaluations without a better value of `best`;
            None: never.
    """

    evals: Mapping[str, Evaluator] = free(default_factory=dict)
    best: str | None = free(None)
    best_mode: Literal['min', 'max'] = free('min')
    patience: int | None = free(None)


@dataclass(frozen=True, kw_only=True)
class Checkpointing:
    """When the state is saved, and which checkpoints are kept.

    Attributes:
        checkpoint_every: steps between checkpoints; 0: only after evaluations. The last step is
            always saved.
        keep: how many of the latest checkpoints to keep, besides the best.
    """

    checkpoint_every: int = free(1000)
    keep: int = free(2)


@dataclass(frozen=True, kw_only=True)
class Logging:
    """Metrics, images and profiles.

    Attributes:
        log_every: steps between progress lines and metric records.
        sample_every: steps between images of samples and reconstructions; 0: at the end only.
        num_samples: how many samples an image shows.
        wandb: Weights & Biases project to log to as well.
        profile: write a profile for TensorBoard from the first of these steps to the second, in
            whole calls.
    """

    log_every: int = free(100)
    sample_every: int = free(0)
    num_samples: int = free(64)
    wandb: str | None = free(None)
    profile: tuple[int, int] | None = free(None)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a step runs on the devices.

    Attributes:
        mesh: how devices are arranged and what is sharded over them.
        accumulate: micro-batches per update; they bound memory and change nothing else but the
            noise and what examples of a batch share (batch normalisation, an optimal coupling).
        ema_on_host: keep the averages in the memory of the host, which each step fetches and sends
            back, to make room on the device.
        steps_per_call: steps in one dispatch; more pays where a step takes less than about a
            millisecond.
    """

    mesh: MeshShape = free(default_factory=MeshShape)
    accumulate: int = free(1)
    ema_on_host: bool = free(False)
    steps_per_call: int = free(1)
