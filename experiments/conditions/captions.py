"""Portraits from captions: a diffusion transformer that attends to the words.

    python -m experiments.conditions.captions --out=runs/captions [--steps 5000] [--seed 0]

Trains on nine tenths of the combinations of five features, and prints the share of features of
samples that are as the caption says, for captions of the other examples and of held-out
combinations. `captions.png` in the same folder shows some samples.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import optax

import genjax
from genjax.config import spec
from genjax.data import Captioned, Chain, Scale
from genjax.models.diffusion import X0, ClassifierFree, DiffusionModel, DiffusionSampling
from genjax.networks import DiT
from genjax.sampling import images
from genjax.training import Experiment


def config(steps: int):
    """A flow-matching model of .6 million parameters, for a CPU."""
    network = DiT(Captioned.event_shape, patch=8, features=96, num_layers=3, num_heads=4)
    sampling = DiffusionSampling(steps=16, guide=ClassifierFree(2.0))
    schedule = spec(
        optax.warmup_cosine_decay_schedule, 0.0, 1e-3, warmup_steps=100, decay_steps=steps
    )
    return spec(
        Experiment,
        dataset=Captioned(),
        preprocess=Chain((Scale(-1.0, 1.0),)),
        # Predicting the data, 192 numbers of a patch fit into 96 features; its noise would not.
        model=DiffusionModel(
            network,
            parameterisation=X0(),
            sampling=sampling,
            context_shape=Captioned.context_shape,
        ),
        optimizer=spec(optax.adam, schedule),
        steps=steps,
        batch_size=32,
        ema=(0.99,),
        log_every=50,
        num_samples=16,
    )


def accuracy(run, split: str, num: int) -> tuple[float, float]:
    """Share of the features, and of the people, that are as the caption says."""
    context = run.experiment.dataset.source(split)[np.arange(num)]['context']
    right = Captioned.read(run.sample(num, context=context)) == Captioned.people(context)
    return float(right.mean()), float(right.all(axis=1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--steps', type=int, default=5000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--num', type=int, default=400, help='samples of each kind')
    args = parser.parse_args()
    settings = config(args.steps)
    settings.seed = args.seed
    run = genjax.train(settings, args.out / f'captions-{args.seed}')
    found = {}
    for name, split in (('seen', 'validation'), ('held out', 'test')):
        features, people = found[name] = accuracy(run, split, args.num)
        print(f'{name}: features {features:.3f}, people {people:.3f}')
    (args.out / f'captions-{args.seed}.json').write_text(json.dumps(found))
    rows = run.experiment.dataset.source('test')[np.arange(8)]
    x = run.sample(8, context=rows['context'])
    images.save(args.out / 'captions.png', x, rows['x'], 'held-out people above samples')


if __name__ == '__main__':
    main()
