"""Tiny models of the zoo: diffusion, flow matching, and models of few steps."""

from genjax.models.diffusion import (
    EDM,
    Ancestral,
    Autoguidance,
    Churn,
    Classifier,
    ClassifierFree,
    ConsistencyModel,
    ContinuousConsistency,
    CosineVP,
    DiffusionModel,
    DiffusionSampling,
    Epsilon,
    FewStepSampling,
    Karras,
    KarrasSchedule,
    LearnedVariance,
    LinearVP,
    LogNormal,
    MeanFlow,
    Multistep,
    Shortcut,
    V,
)
from genjax.networks import DiT, TimeMLP, TimeUncertainty, from_nnx
from tests.models.nnx_networks import TimeNet
from tests.models.zoo.entry import Entry

_NETWORK = TimeMLP((2,), 8, 1)
_SMALL = TimeMLP((2,), 4, 1)
_STEPS = DiffusionSampling(steps=4)

DIFFUSIONS = (
    Entry(
        'flow-matching',
        DiffusionModel(TimeMLP((2,), 8, 1, dropout=0.1), sampling=_STEPS, tolerance=1e-3),
        'reals',
    ),
    Entry(
        'flow-matching-nnx',
        DiffusionModel(
            from_nnx(TimeNet, shape=(2,), features=8, dropout=0.1), sampling=_STEPS, tolerance=1e-3
        ),
        'reals',
    ),
    Entry(
        'flow-matching-optimal',
        DiffusionModel(
            _NETWORK, coupling='optimal', sampling=_STEPS, likelihood='hutchinson', tolerance=1e-3
        ),
        'reals',
        coupled=True,
    ),
    Entry(
        'diffusion-labels',
        DiffusionModel(
            _NETWORK,
            CosineVP(),
            V(),
            sampling=DiffusionSampling(
                Ancestral(), steps=4, bounds=(-1, 1), guide=ClassifierFree(3.0, (0.1, 0.9))
            ),
            num_classes=3,
            likelihood='vlb',
            eval_samples=4,
        ),
        'reals',
    ),
    Entry(
        'diffusion-edm-autoguided-context',
        DiffusionModel(
            _NETWORK,
            Karras(),
            EDM(),
            times=LogNormal(),
            uncertainty=TimeUncertainty(8),
            sampling=DiffusionSampling(Churn(), KarrasSchedule(), 4, guide=Autoguidance(_SMALL)),
            context_shape=(3,),
            likelihood='vlb',
            eval_samples=4,
        ),
        'reals',
    ),
    Entry(
        'diffusion-classifier',
        DiffusionModel(
            _NETWORK,
            LinearVP(),
            Epsilon(),
            variance=LearnedVariance(num_steps=20),
            sampling=DiffusionSampling(
                Multistep(2, True), steps=4, guide=Classifier(TimeMLP((3,), 4, 1))
            ),
            num_classes=3,
            likelihood='vlb',
            eval_samples=4,
        ),
        'reals',
    ),
    Entry(
        'diffusion-dit',
        DiffusionModel(
            DiT((4, 4, 1), 2, 16, 2, 2, num_classes=3, scan=True, remat='dots'),
            sampling=_STEPS,
            num_classes=3,
            tolerance=1e-3,
        ),
        'reals',
    ),
    Entry('mean-flow', MeanFlow(TimeMLP((2,), 8, 1, dropout=0.1)), 'reals'),
    Entry('shortcut', Shortcut(_NETWORK, sampling=FewStepSampling(2), num_classes=3), 'reals'),
    Entry('consistency', ConsistencyModel(_NETWORK, sampling=FewStepSampling(2)), 'reals'),
    Entry(
        'consistency-continuous',
        ContinuousConsistency(
            _NETWORK, DiffusionModel(_SMALL), sampling=FewStepSampling(2), num_classes=3
        ),
        'reals',
    ),
)
