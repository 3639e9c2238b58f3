"""CycleGAN between the 8x8 digits and other digits seen otherwise, without pairs.

    genjax train --config=configs/digits/cyclegan.py:inverted --workdir=runs/cyclegan

The argument is the second domain: `inverted`, `rotated` or `coloured`. One half of the training
digits is the first domain, the other half, transformed, the second.

Expected, of 300 test digits, by a classifier that is right about .983 of real pictures of the
domain: the label is kept by .967, .963 and .973 (seeds 0, 1, 2) inverted and by .987, .977 and .980
coloured, after less than 20 s of one core's time. With `cycle=5`, the paper's weight, seed 2
inverted kept .02: its generators thicken the strokes and do not invert.

A quarter turn is not found: generators that reach over the picture (`num_halvings=1`,
`num_blocks=2`, with `cycle=5`) kept .12, .17 and .09 `rotated`. The paper too reports that changes
of geometry fail. Nor do linear maps of the whole picture find it, which can turn but can hardly
exchange classes, against perceptrons that judge whole pictures, with and without R1: .03 to .27 in
17 runs. Even turns of 30 degrees, begun at the identity, kept .71 to .79, where pictures left as
they are keep .53.
"""

from typing import Literal

import optax

from genjax.config import FieldReference, spec
from genjax.data import Chain, Digits, Part, Scale, Transformed, Unpaired
from genjax.evaluation import TranslationAccuracy
from genjax.models import CycleGAN
from genjax.networks import PatchDiscriminator, Translator
from genjax.training import Experiment


def get_config(domain: Literal['inverted', 'rotated', 'coloured'] = 'inverted'):
    steps = FieldReference(600)
    shape = (8, 8, 3 if domain == 'coloured' else 1)
    # Two 3x3 convolutions: what they cannot see, they cannot permute.
    generator = Translator(shape=shape, features=16, num_halvings=0, num_blocks=0, kernel=3)
    discriminator = PatchDiscriminator(features=(32, 64))
    adam = spec(optax.adam, spec(optax.linear_schedule, 5e-4, 0.0, steps), b1=0.5)
    return spec(
        Experiment,
        dataset=Unpaired(
            a=Part(base=Digits(), start=0),
            b=Transformed(base=Part(base=Digits(), start=1), domain=domain),
        ),
        preprocess=Chain((Scale(low=-1.0, high=1.0),)),
        model=CycleGAN(
            generator_ab=generator,
            generator_ba=generator,
            discriminator_a=discriminator,
            discriminator_b=discriminator,
            # More holds back a generator that has begun with the wrong sign.
            cycle=1.0,
        ),
        optimizer={'discriminators': adam, 'generators': adam},
        steps=steps,
        batch_size=32,
        ema=(0.99,),
        evals={
            'accuracy': TranslationAccuracy(split='validation', every=300),
            'test_accuracy': TranslationAccuracy(),
        },
        num_samples=64,
    )
