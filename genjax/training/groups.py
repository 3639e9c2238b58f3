"""The fields of an experiment, in groups. Fields marked `free` may change when a run resumes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import optax

from genjax.config.ranges import Range
from genjax.data.augmentation import Augmentation
from genjax.data.preprocessing import Chain
from genjax.data.sources import Dataset
from genjax.evaluation.base import Evaluator
from genjax.free import free
from genjax.models.base import GenerativeModel
from genjax.parallel.sharding import MeshShape
from genjax.training.averages import Average
from genjax.training.rounding import Precision
from genjax.training.start import Start


@dataclass(frozen=True, kw_only=True)
class Training:
    """Data, model and optimization. Numbers that only enter the arithmetic of a step may be traced
    arrays.

    Attributes:
        dataset: the data.
        model: the model, of any family.
        optimizer: one optax optimizer for every phase of the model, or one each, by phase name.
        steps: number of training steps; with `start` it may be 0, which makes a run of weights that
            were trained elsewhere.
        batch_size: examples per update, over all devices and micro-batches. A step reads this many
            for each of the `repeats` of the model's most repeated phase.
        preprocess: applied on the device, in training, sampling (inverted) and evaluation.
        augment: random changes of the training examples, before `preprocess`, such as `Flip()`;
            evaluation is of the data as they are.
        seed: determines initial values, noise and the order of the data.
        clip_norm: maximum global norm of a phase's gradient (gradient clipping).
        ema: moving averages, updated once per step, of the parameters and of their model state,
            e.g. batch statistics; the first is used to sample and evaluate. Each is the decay of an
            exponential average, which is at most (1 + step) / (10 + step); `HalfLife(images)`; or
            `PowerEMA(std)`. Their numbers can be `Scheduled`.
        start: warm start: initial parameters from other runs or files.
        frozen: patterns of parameters that are not trained, regular expressions that match a whole
            path such as `encoder/Dense_0/kernel`. They have no gradient, optimizer state or
            average; the model state of a group that is frozen as a whole stays too.
        params_dtype: precision of the stored parameters. Losses, gradients and averages are of
            float32 copies; with 'bfloat16' the result of an update is rounded stochastically
            (`training.rounding`).
        moments_dtype: the same of the optimizer's arrays, such as both moments of Adam.
        nonfinite: 'stop' ends the run at a non-finite loss or gradient; 'skip' skips an update
            whose loss, gradient or result is not finite, and ends the run when all updates of a
            phase were skipped for `log_every` steps. A non-finite state is never saved.
    """

    dataset: Dataset
    model: GenerativeModel
    optimizer: optax.GradientTransformation | Mapping[str, optax.GradientTransformation]
    steps: int = free()
    batch_size: int
    preprocess: Chain = field(default_factory=Chain)
    augment: tuple[Augmentation, ...] = ()
    seed: int = 0
    clip_norm: float | None = None
    ema: tuple[float | Average, ...] = ()
    start: tuple[Start, ...] = ()
    frozen: tuple[str, ...] = ()
    params_dtype: Precision = 'float32'
    moments_dtype: Precision = 'float32'
    # May change: all updates before a checkpoint under 'stop' were finite, so 'skip' agrees.
    nonfinite: Literal['stop', 'skip'] = free('stop')

    FOLLOWED: ClassVar[tuple[str, ...]] = ('steps', 'batch_size')
    RANGES: ClassVar[Mapping[str, Range]] = {'steps': Range(0)}


@dataclass(frozen=True, kw_only=True)
class Evals:
    """Evaluation during training and at its end.

    Attributes:
        evals: evaluators by name, each with a split and a period (`Evaluator`). Their results
            are named `<eval name>/<result>`. A checkpoint follows each evaluation during training.
        best: the result whose best value names the best checkpoint: `'nll/bits_per_dim'`, or
            `'nll'` for the first result of that eval, which must be evaluated during training.
        best_mode: whether the smallest or the largest value is best.
        patience: early stopping: evaluations without an improvement of `best`; None: never.
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
        keep: number of latest checkpoints to keep, besides the best.
        keep_every: also keep checkpoints at multiples of this number of steps; 0: none. From them
            `PowerEMA` averages of any width are computed after training.
    """

    checkpoint_every: int = free(1000)
    keep: int = free(2)
    keep_every: int = free(0)


@dataclass(frozen=True, kw_only=True)
class Logging:
    """Metrics, images and profiles.

    Attributes:
        log_every: steps between progress lines and metric records.
        sample_every: steps between images of samples and reconstructions; 0: at the end only.
        num_samples: samples per image.
        norms: depth in the paths of parameters at which each update's gradient norm, and the ratio
            of the norms of its change and of the parameters, are recorded: 1 for groups such as
            `encoder`, 2 for their parts, `encoder/Dense_0`; 0: neither.
        wandb: Weights & Biases project to log to as well.
        profile: write a profile for TensorBoard from the first of these steps to the second, in
            whole calls.
    """

    log_every: int = free(100)
    sample_every: int = free(0)
    num_samples: int = free(64)
    norms: int = free(0)
    wandb: str | None = free(None)
    profile: tuple[int, int] | None = free(None)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a step runs on the devices.

    Attributes:
        mesh: device mesh and sharding rules.
        accumulate: micro-batches per update; limits memory. Changes only the noise, and
            computations across examples of a batch (batch normalisation, optimal coupling).
        ema_on_host: keep the averages in host memory, to save device memory; each step transfers
            them to the device and back.
        steps_per_call: steps per dispatch; more than 1 pays off for steps shorter than about a
            millisecond. None: on GPUs, for short steps, the largest number up to 10 that divides
            all periods; otherwise 1 (`training.dispatch`).
    """

    mesh: MeshShape = free(default_factory=MeshShape)
    accumulate: int = free(1)
    ema_on_host: bool = free(False)
    steps_per_call: int | None = free(None)
