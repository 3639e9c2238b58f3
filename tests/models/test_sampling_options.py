"""How samples are drawn is a value of its own beside the model."""

import pytest

from genjax.config import build, from_json
from genjax.errors import UserError
from genjax.models import GPT, MDLM, VAE, DiffusionModel, MaskGIT, MeanFlow, StyleGAN
from genjax.models.autoregressive import TokenSampling
from genjax.models.diffusion import (
    DDIM,
    Autoguidance,
    ClassifierFree,
    CosineVP,
    DiffusionSampling,
    DiscreteSampling,
    FewStepSampling,
    Heun,
    MaskGITSampling,
)
from genjax.models.gan import StyleGANSampling
from genjax.models.sampling_options import with_sampling
from genjax.networks import MLP, TimeMLP

MODEL = DiffusionModel(TimeMLP((2,), 8, 1), num_classes=3)


def called(name, **fields):
    return {'_target_': name, **fields}


def test_options_are_replaced_by_name_or_whole():
    guide = ClassifierFree(3.0)
    other = with_sampling(MODEL, steps=10, guide=guide)
    assert other.sampling == DiffusionSampling(Heun(), steps=10, guide=guide)
    assert other.network is MODEL.network and MODEL.sampling == DiffusionSampling()
    whole = DiffusionSampling(DDIM(), path=CosineVP())
    assert with_sampling(MODEL, whole).sampling == whole
    assert with_sampling(MODEL, whole, steps=3).sampling == DiffusionSampling(
        DDIM(), steps=3, path=CosineVP()
    )
    assert with_sampling(MODEL) is MODEL


@pytest.mark.parametrize(
    'change, line',
    [
        ({'step': 3}, "no option 'step'; did you mean 'steps'"),
        ({'sampling': TokenSampling()}, 'are a DiffusionSampling, not a TokenSampling'),
        ({'guide': Autoguidance(TimeMLP((3,), 4, 1))}, r'network.shape must be \(2,\)'),
    ],
)
def test_options_that_the_model_does_not_have(change, line):
    with pytest.raises(UserError, match=line):
        with_sampling(MODEL, **change)
    with pytest.raises(UserError, match='a VAE has no sampling options'):
        with_sampling(VAE(MLP((4,)), MLP((4,), shape=(2,)), 2), **change)


@pytest.mark.parametrize(
    'model, older, want',
    [
        (
            DiffusionModel,
            {
                'sampler': called('genjax.models.diffusion.DDIM', eta=0.5),
                'grid': called('genjax.models.diffusion.Power', power=2.0),
                'steps': 20,
                'sampling_path': called('genjax.models.diffusion.CosineVP'),
                'bounds': [-1.0, 1.0],
                'guide': None,
            },
            {'sampler': DDIM(0.5), 'steps': 20, 'path': CosineVP(), 'bounds': (-1.0, 1.0)},
        ),
        (MeanFlow, {'steps': 4}, {'steps': 4}),
        (GPT, {'temperature': 0.5, 'top_k': 3, 'top_p': None}, {'temperature': 0.5, 'top_k': 3}),
        (MDLM, {'steps': 7}, {'steps': 7}),
        (
            MaskGIT,
            {'steps': 7, 'choice_temperature': 1.0},
            {'steps': 7, 'choice_temperature': 1.0},
        ),
        (StyleGAN, {'truncation': 0.5}, {'truncation': 0.5}),
    ],
)
def test_configs_from_before_options_were_a_value(model, older, want):
    kinds = {
        DiffusionModel: DiffusionSampling,
        MeanFlow: FewStepSampling,
        GPT: TokenSampling,
        MDLM: DiscreteSampling,
        MaskGIT: MaskGITSampling,
        StyleGAN: StyleGANSampling,
    }
    fields = model.upgrade({'_target_': 'a.b', 'num_classes': 3, **older})
    sampling = build(from_json(fields.pop('sampling')))
    assert fields == {'_target_': 'a.b', 'num_classes': 3}
    assert isinstance(sampling, kinds[model])
    assert {name: getattr(sampling, name) for name in want} == want
    now = {'_target_': 'a.b', 'sampling': {'steps': 1}}
    assert model.upgrade(now) == now
