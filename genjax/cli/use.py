"""`genjax use`: answers questions with a trained model."""

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from genjax import files
from genjax.cli import runtime
from genjax.cli.reading import dataset_of, read_rows
from genjax.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from genjax.training.run import Run

HELP = 'classify, find novel examples, or infer parameters with a trained model'
GROUPS = ('sampling', 'other')
_SHOWN = 10  # examples that `classify` prints


def add_arguments(parser: argparse.ArgumentParser) -> None:
    uses = parser.add_subparsers(dest='use', metavar='use', required=True)
    for name, (text, add_options, _) in _USES.items():
        use = uses.add_parser(name, help=text, description=text)
        runtime.add_run(use)
        add_options(use)
        runtime.add_arguments(use)


def _classify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--examples', type=files.local, required=True, metavar='FILE',
        help='the array `x` [N, ...] of an .npz file, or an .npy file, in the range of the data',
    )  # fmt: skip
    parser.add_argument(
        '--prior', type=_numbers, metavar='P,P,…',
        help='share of each class, of a class-conditional model (default: all alike)',
    )  # fmt: skip
    parser.add_argument(
        '--temperature', type=float, metavar='T',
        help='divides log p(x | class) of a class-conditional model (default 1)',
    )  # fmt: skip
    parser.add_argument(
        '--num_samples', type=int, metavar='N',
        help='samples of its bound or estimate (default: as many as the model has)',
    )  # fmt: skip
    parser.add_argument(
        '--out', type=files.output, metavar='FILE',
        help='the .npz to write: `label` [N] and `probability` [N, classes]',
    )  # fmt: skip


def _novelty(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--other', dest='novel', required=True, metavar='DATA',
        help='a TFDS name, or a data set named as in a config: @genjax.data.Corrupted'
        ' --other.base=@genjax.data.Digits --other.kind=noise --other.strength=.3',
    )  # fmt: skip
    parser.add_argument(
        '--scores', metavar='NAME,…',
        help='of log_prob, typicality, complexity, regret, energy, mahalanobis'
        ' (default: log_prob,typicality)',
    )  # fmt: skip
    parser.add_argument(
        '--num_examples', type=int, default=2000, metavar='N',
        help='largest number of examples of each data set (default 2000)',
    )  # fmt: skip
    parser.add_argument(
        '--split', choices=('train', 'validation', 'test'), default='test',
        help='split of both (default test)',
    )  # fmt: skip


def _posterior(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--observation', type=files.local, required=True, metavar='FILE',
        help='one observation: the array `context` [1, ...] of an .npz file, or an .npy file',
    )  # fmt: skip
    parser.add_argument('--num', type=int, default=1000, help='number of samples (default 1000)')
    parser.add_argument('--seed', type=int, default=0, help='random seed (default 0)')
    parser.add_argument(
        '--out', type=files.output, metavar='FILE', help='the .npz to write: `x`, the samples'
    )


def run(args: argparse.Namespace) -> None:
    """Loads the run, and prints or writes the answer."""
    from genjax.config import trust

    if args.other and args.use != 'novelty':
        raise UserError(f'--other.{args.other[0][0]} goes with `genjax use novelty`')
    if getattr(args, 'out', None) and args.out.suffix != '.npz':
        raise UserError(f'--out={args.out}: name it .npz')
    trust.on_path('.')  # the user's data set may be in the current folder
    with runtime.computing(args):
        _USES[args.use].run(args, runtime.load_run(args))


def _run_classify(args: argparse.Namespace, run: 'Run') -> None:
    import numpy as np
    from scipy.special import softmax

    from genjax.parallel import distributed

    options = {name: getattr(args, name) for name in ('temperature', 'num_samples')}
    options = {name: value for name, value in options.items() if value is not None}
    if args.prior is not None:
        with np.errstate(divide='ignore'):
            options['log_prior'] = tuple(np.log(args.prior))
    p = softmax(run.classify(read_rows(args.examples, '--examples', 'x'), **options), axis=-1)
    label = np.argmax(p, axis=-1)
    if not distributed.is_first():
        return
    names = getattr(run.experiment.dataset, 'class_names', None) or [*map(str, range(p.shape[1]))]
    for row in range(min(len(p), _SHOWN)):
        best = np.argsort(-p[row])[:3]
        print(f'{row}: ' + ', '.join(f'{names[k]} {p[row, k]:.3f}' for k in best))
    counts = np.bincount(label, minlength=p.shape[1])
    shares = ', '.join(f'{count:,} {names[k]}' for k, count in enumerate(counts) if count)
    print(f'{len(p):,} examples: {shares}')
    _write(args, label=label.astype(np.int32), probability=p)


def _run_novelty(args: argparse.Namespace, run: 'Run') -> None:
    from genjax.evaluation import Novelty
    from genjax.evaluation.results import show
    from genjax.parallel import distributed

    scores = {} if args.scores is None else {'scores': tuple(args.scores.split(','))}
    novelty = Novelty(
        other=dataset_of(args.novel, args.other, 'other'), num_examples=args.num_examples,
        split=args.split, **scores,
    )  # fmt: skip
    found = run.evaluate({'novelty': novelty})
    if distributed.is_first():
        show(found, f'{args.workdir}, step {run.step:,}')


def _run_posterior(args: argparse.Namespace, run: 'Run') -> None:
    from genjax.data import Simulations
    from genjax.inference import simulated
    from genjax.parallel import distributed

    dataset = run.experiment.dataset
    if not isinstance(dataset, Simulations):
        raise UserError(
            f'posterior needs a run on Simulations: that in {args.workdir} is on'
            f' {type(dataset).__name__}'
        )
    observation = read_rows(args.observation, '--observation', 'context')
    shape = tuple(dataset.task.observation_shape)
    if observation.shape not in (shape, (1, *shape)):
        raise UserError(
            f'--observation={args.observation}: an observation is {list(shape)}, not'
            f' {list(observation.shape)}'
        )
    found = simulated.samples(
        run.model, run.variables, dataset, run.experiment.preprocess,
        observation.reshape(shape), args.num, args.seed,
    )  # fmt: skip
    if not distributed.is_first():
        return
    for number, theta in enumerate(found.samples.T):
        print(f'parameter {number}: {theta.mean():.4g} ± {theta.std():.4g}')
    leaked = f'; {found.leakage:.2%} were outside of the prior and rejected'
    print(f'{args.num:,} samples{leaked if dataset.modelled == "parameters" else ""}')
    _write(args, x=found.samples)


def _write(args: argparse.Namespace, **arrays: 'np.ndarray') -> None:
    import numpy as np

    if args.out is None:
        return
    with files.replacing(args.out) as temporary, temporary.open('wb') as file:
        np.savez(file, **arrays)
    print(args.out)


def _numbers(text: str) -> Sequence[float]:
    numbers = [float(part) for part in text.split(',')]
    if not all(number >= 0 for number in numbers) or not sum(numbers) > 0:
        raise ValueError
    return numbers


_numbers.__name__ = 'shares'  # argparse: invalid shares value


class _Use(NamedTuple):
    """Attributes: its line of help, its options on a parser, and what answers."""

    text: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, 'Run'], None]


_USES = {
    'classify': _Use(
        'classify examples: by a classifier, or by the densities of a class-conditional'
        " model and Bayes' rule",
        _classify,
        _run_classify,
    ),
    'novelty': _Use(
        'measure how well scores of a model tell another data set from its own',
        _novelty,
        _run_novelty,
    ),
    'posterior': _Use(
        'draw parameters given an observation, with a model of one or the other',
        _posterior,
        _run_posterior,
    ),
}
