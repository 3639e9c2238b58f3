"""Families of models, all with dense networks and about as many parameters."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optax

from genjax.config import FieldReference, spec
from genjax.data import Chain, Dequantise, Logit, Scale
from genjax.evaluation import (
    Copying,
    FeatureSpace,
    FrechetDistance,
    KernelDistance,
    Likelihood,
    PrecisionRecall,
    Speed,
    Vendi,
)
from genjax.models import (
    GAN,
    VAE,
    DiffusionModel,
    DiscretisedLogistic,
    Flow,
    MeanFlow,
    diffusion,
    flow,
)
from genjax.networks import MLP, MaskedMLP, TimeMLP
from genjax.training import Experiment

STEPS = Path(__file__).with_name('steps.json')
"""Steps of each family by data set, written by `calibrate.py`."""


@dataclass(frozen=True)
class Sizes:
    """Widths of the networks, chosen such that all families have as many parameters.

    Attributes:
        vae, gan: hidden layers of each of the two networks.
        latent: dimensions of their codes.
        denoiser: width of the denoisers, of three blocks.
        few_step: the same of MeanFlow, whose network embeds two times.
        flow: two hidden layers of the networks of six couplings.
        bound: samples of the VAE's bound in evaluation.
        draws: draws of noise for the likelihood of a test example.
        autoregressive: two hidden layers of the masked network; None: there is none.
    """

    vae: tuple[int, ...]
    gan: tuple[int, ...]
    latent: int
    denoiser: int
    few_step: int
    flow: int
    bound: int
    draws: int
    autoregressive: int | None = None


def experiment(
    family: str,
    steps: int,
    dataset: Any,
    shape: tuple[int, ...],
    sizes: Sizes,
    features: FeatureSpace,
    num_samples: int,
) -> Any:
    """The config of a family, with the evals of a card."""
    total = FieldReference(steps)
    model, preprocess = _model(family, shape, sizes)
    adam = spec(optax.adamw, spec(optax.cosine_decay_schedule, 1e-3, total), weight_decay=1e-2)
    player = spec(optax.adam, spec(optax.linear_schedule, 2e-3, 1e-5, total), b1=0.0, b2=0.99)
    options = {'features': features, 'num_samples': num_samples}
    evals = {
        'fd': FrechetDistance(**options),
        'kid': KernelDistance(**options),
        'prdc': PrecisionRecall(**options),
        'vendi': Vendi(**options),
        'copying': Copying(**options),
        'speed': Speed(num_samples=16, repeats=3),
    }
    if family in ('vae', 'flow', 'autoregressive'):
        evals['likelihood'] = Likelihood(num_draws=sizes.draws)
    return spec(
        Experiment,
        dataset=dataset,
        preprocess=preprocess,
        model=model,
        optimizer={'discriminator': player, 'generator': player} if family == 'gan' else adam,
        steps=total,
        steps_per_call=10,
        batch_size=64,
        clip_norm=None if family == 'gan' else 10.0,
        ema=(0.995,),
        evals=evals,
        log_every=500,
        checkpoint_every=0,
        num_samples=64,
    )


def _model(family: str, shape: tuple[int, ...], sizes: Sizes) -> tuple[Any, Any]:
    """The model and its preprocessing, whose inverse has the 256 values of a pixel."""
    centred = Chain((Scale(low=-1.0, high=1.0, levels=256),))
    denoiser = TimeMLP(shape, features=sizes.denoiser, num_layers=3)
    if family == 'vae':
        model = VAE(
            encoder=MLP(sizes.vae, activation='silu'),
            decoder=MLP(sizes.vae[::-1], shape=shape, activation='silu'),
            latent_dim=sizes.latent,
            likelihood=DiscretisedLogistic(),
            eval_samples=sizes.bound,
        )
        return model, Chain(())
    if family == 'gan':
        model = GAN(
            generator=MLP(sizes.gan, shape=shape),
            discriminator=MLP(sizes.gan[::-1], shape=(), activation='leaky_relu'),
            latent_dim=sizes.latent,
            r1=1.0,
        )
        return model, centred
    if family == 'diffusion':
        model = DiffusionModel(
            denoiser,
            path=diffusion.CosineVP(),
            parameterisation=diffusion.X0(),
            weighting=diffusion.TruncatedSNR(high=20.0),
            sampling=diffusion.DiffusionSampling(
                diffusion.Ancestral(), steps=100, bounds=(-1.0, 1.0)
            ),
        )
        return model, centred
    if family == 'flow_matching':
        model = DiffusionModel(
            denoiser,
            path=diffusion.Rectified(t_min=1e-3),
            parameterisation=diffusion.X0(),
            weighting=diffusion.TruncatedSNR(high=20.0),
            times=diffusion.LogitNormal(),
            sampling=diffusion.DiffusionSampling(steps=20, bounds=(-1.0, 1.0)),
        )
        return model, centred
    if family == 'few_step':
        network = TimeMLP(shape, features=sizes.few_step, num_layers=3)
        return MeanFlow(network, power=0.5, instant=0.5), centred
    if family == 'autoregressive':
        network = MaskedMLP((sizes.autoregressive,) * 2)
        layers = (flow.Autoregressive(network, transform=flow.Spline(bins=8, bound=3.0)),)
    else:
        coupling = flow.Coupling(MLP((sizes.flow,) * 2), transform=flow.Affine(bound=2.0))
        pair = flow.Chain((coupling, flow.Reverse(), coupling, flow.Permute()))
        layers = (flow.Repeat(pair, num=3),)
    flatten, back = flow.Flatten(shape=shape), flow.Inverse(flow.Flatten(shape=shape))
    bijection = flow.Chain((flatten, *layers, back))
    return Flow(bijection=bijection, shape=shape), Chain((Dequantise(), Logit(alpha=0.05)))


def steps_of(data: str, family: str) -> int:
    """Steps that take as many seconds of training as those of the other families."""
    return json.loads(STEPS.read_text())[data]['steps'][family]
