"""What model and data declare and hold is compared before a run begins, for every family."""

from dataclasses import dataclass

import numpy as np
import optax
import pytest

from genjax.data import Binarise, Chain, Dequantise, Digits, Scale, Text
from genjax.data.sources import InMemorySource
from genjax.errors import UserError
from genjax.models import GAN, VAE, DiffusionModel, DiscretisedLogistic, Gaussian, classifier
from genjax.models.autoregressive import GPT, MADE, MDLM, LogisticMixture, PixelCNN
from genjax.models.diffusion import Classifier, DiffusionSampling
from genjax.models.flow import ContinuousFlow
from genjax.models.tabular import PixelNaiveBayes
from genjax.networks import (
    MLP,
    DCGANDiscriminator,
    DCGANGenerator,
    GatedPixelCNN,
    MaskedAutoencoder,
    PixelCNNPlusPlus,
    TimeMLP,
    Transformer,
)
from genjax.training.data_check import check_data
from genjax.training.experiment import Experiment
from tests.mistakes import parts
from tests.models.zoo import ZOO

SHAPE = (8, 8, 1)
PIXELS, UNIT, SYMMETRIC, BITS = (
    Chain(),
    Chain((Scale(),)),
    Chain((Scale(-1.0),)),
    Chain((Binarise(),)),
)
DEQUANTISED = Chain((Dequantise(),))


@dataclass(frozen=True)
class Rows:
    """Given examples."""

    x: object
    label: object = None
    num_classes: int | None = None
    num_values: int | None = None
    context: object = None

    @property
    def event_shape(self):
        return self.x.shape[1:]

    @property
    def context_shape(self):
        return None if self.context is None else self.context.shape[1:]

    def source(self, split):
        rows = {'x': self.x.copy(), 'label': self.label, 'context': self.context}
        return InMemorySource({name: row for name, row in rows.items() if row is not None})


@pytest.fixture(scope='module')
def digits():
    return Digits()


def check(model, dataset, preprocess=PIXELS):
    check_data(
        Experiment(
            dataset=dataset,
            model=model,
            optimizer=optax.sgd(1.0),
            steps=1,
            batch_size=8,
            preprocess=preprocess,
        ),
        dataset.source('train'),
    )


def refused(model, dataset, preprocess=PIXELS):
    with pytest.raises(UserError) as error:
        check(model, dataset, preprocess)
    assert '\n' not in str(error.value)
    return str(error.value)


def vae(likelihood=None, **fields):
    likelihood = {} if likelihood is None else {'likelihood': likelihood}
    return VAE(MLP((4,)), MLP((4,), shape=SHAPE), 2, **likelihood, **fields)


LABELLED = {
    'vae': lambda classes: vae(num_classes=classes),
    'gan': lambda classes: GAN(MLP((4,), shape=SHAPE), MLP((4,), shape=()), 2, num_classes=classes),
    'auxiliary': lambda classes: GAN(
        DCGANGenerator(SHAPE, 4),
        DCGANDiscriminator(4),
        2,
        num_classes=classes,
        conditioning='auxiliary',
    ),
    'diffusion': lambda classes: DiffusionModel(TimeMLP(SHAPE, 4, 1), num_classes=classes),
}


@pytest.mark.parametrize('family', LABELLED)
@pytest.mark.parametrize('classes', [5, 9, 11, 20])
def test_the_number_of_classes_is_that_of_the_data(digits, family, classes):
    preprocess = BITS if family == 'vae' else SYMMETRIC
    check(LABELLED[family](10), digits, preprocess)
    line = refused(LABELLED[family](classes), digits, preprocess)
    assert line == (
        f'config.model.num_classes={classes}, and the data have 10 classes: set'
        ' config.model.num_classes=10'
    )


def test_labels_that_are_not_there_or_out_of_range():
    x = np.zeros((20, *SHAPE), np.float32)
    model = vae(num_classes=3)
    assert 'num_classes=3, and the data have no labels' in refused(model, Rows(x))
    label = np.arange(20, dtype=np.int32) % 4
    assert 'labels from 0 to 3: they must be 0..2' in refused(model, Rows(x, label))
    line = refused(model, Rows(x, label - 1))
    assert 'from -1 to 2: they must be 0..2; -1 is unlabelled, which a VAE does not take' in line
    semi = GAN(
        MLP((4,), shape=SHAPE), MLP((4,), shape=()), 2, num_classes=3, conditioning='k_plus_1'
    )
    check(semi, Rows(x, label - 1))
    check(classifier.Classifier(MLP((4,)), 3), Rows(x, label - 1))
    assert 'they must be -1..2' in refused(classifier.Classifier(MLP((4,)), 3), Rows(x, label - 2))


PIXEL = GatedPixelCNN(SHAPE, 4, 1)
TANH = GAN(DCGANGenerator(SHAPE, 4), DCGANDiscriminator(4), 2)


@pytest.mark.parametrize(
    ('model', 'fits', 'refuses', 'message'),
    [
        (vae(), (BITS, UNIT), (PIXELS, SYMMETRIC), 'Bernoulli is made for values from 0 to 1'),
        (vae(Gaussian()), (UNIT, SYMMETRIC, DEQUANTISED), (PIXELS,), 'values of size about 1'),
        (
            vae(DiscretisedLogistic()),
            (PIXELS,),
            (UNIT, SYMMETRIC, DEQUANTISED),
            'DiscretisedLogistic(levels=256) is made for whole numbers from 0 to 255',
        ),
        (vae(DiscretisedLogistic(17)), (BITS,), (PIXELS, UNIT), 'whole numbers from 0 to 16'),
        (PixelCNN(PIXEL), (BITS,), (PIXELS, UNIT, SYMMETRIC), 'Categorical(levels=2)'),
        (
            PixelCNN(PixelCNNPlusPlus(SHAPE, 4, 1, 2), LogisticMixture(2)),
            (PIXELS,),
            (UNIT, SYMMETRIC),
            'LogisticMixture(levels=256)',
        ),
        (TANH, (SYMMETRIC, UNIT), (PIXELS,), 'tanh of the generator DCGANGenerator'),
        (GAN(MLP((4,), shape=SHAPE), MLP((4,), shape=()), 2), (PIXELS, UNIT), (), ''),
        (DiffusionModel(TimeMLP(SHAPE, 4, 1)), (SYMMETRIC, UNIT), (PIXELS,), 'DiffusionModel'),
        (ContinuousFlow(MLP((4,), shape=SHAPE), SHAPE), (SYMMETRIC,), (PIXELS,), 'ContinuousFlow'),
        (MADE(MaskedAutoencoder(SHAPE, (4,))), (BITS,), (PIXELS, SYMMETRIC), 'MADE'),
        (PixelNaiveBayes(SHAPE), (PIXELS,), (UNIT, SYMMETRIC), 'PixelNaiveBayes'),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, 'init') else '',
)
def test_the_values_are_those_that_the_model_is_made_for(digits, model, fits, refuses, message):
    for preprocess in fits:
        check(model, digits, preprocess)
    for preprocess in refuses:
        assert message in refused(model, digits, preprocess)


def test_bounded_models_of_every_family_refuse_what_is_far_outside():
    """Whatever a model of the zoo declares, data of 1,000 are not in it."""
    declared = [entry for entry in ZOO if getattr(entry.model, 'data_values', None)]
    assert len(declared) > len(ZOO) / 2
    for entry in declared:
        batch = entry.batch(8)
        fitting = np.asarray(batch['x'])
        labelled = getattr(entry.model, 'num_classes', None)
        label = np.asarray(batch['label']) if labelled else None
        given = {name: np.array(batch[name]) for name in batch if name == 'context'}
        check(entry.model, Rows(fitting, label, labelled, **given))
        wide = Rows(fitting * 0 + 1000, label, labelled, **given)
        assert 'made for' in refused(entry.model, wide), entry


def test_the_context_is_that_of_the_data():
    x, context = np.zeros((8, 2), np.float32), np.zeros((8, 3), np.float32)
    model = GAN(MLP((4,), shape=(2,)), MLP((4,), shape=()), 2, context_shape=(3,))
    check(model, Rows(x, context=context))
    assert refused(model, Rows(x)).endswith('context_shape=(3,), and the data have no context')
    assert 'set config.model.context_shape=(2,)' in refused(model, Rows(x, context=context[:, :2]))
    assert 'contexts of the data are 1e+03 on average' in refused(
        model, Rows(x, context=context + 1e3)
    )


def test_much_smaller_values_are_said(digits, caplog):
    check(TANH, digits, UNIT)
    assert 'values from 0 to 1' in caplog.text and 'values from -1 to 1' in caplog.text


def test_a_text_need_not_have_all_tokens(tmp_path, caplog):
    (tmp_path / 'text').write_text('only letters and spaces ' * 100)
    text = Text(str(tmp_path / 'text'), 'bytes', context=6)
    check(GPT(Transformer((6,), 256, 4, 1, 2)), text)
    assert not caplog.text


@pytest.mark.parametrize('family', [GPT, MDLM])
def test_the_vocabulary_is_that_of_the_text(tmp_path, family):
    (tmp_path / 'text').write_text('abcde\n' * 100)
    text = Text(str(tmp_path / 'text'), context=6)

    def model(vocab_size):
        return family(Transformer((6,), vocab_size, 4, 1, 2, causal=family is GPT))

    check(model(6), text)
    for size in (5, 7, 256):
        assert f'made for {size} tokens, and the data have 6' in refused(model(size), text)
    tokens = np.full((4, 6), 6, np.int32)
    assert 'whole numbers from 0 to 5' in refused(model(6), Rows(tokens))


@dataclass(frozen=True)
class Codes:
    """A step that makes tokens."""

    num_values: int
    bound: bool = False
    takes_pixels: bool = True

    def __call__(self, x, key):
        return (x[:, :, 0, 0] // 64).astype(np.int32), np.zeros(len(x), np.float32)

    def inverse(self, y):
        return y


def test_the_vocabulary_is_that_of_the_codes_of_a_first_stage(digits):
    model = GPT(Transformer((8,), 4, 4, 1, 2))
    check(model, digits, Chain((Codes(4),)))
    for size in (3, 5, 64):
        line = refused(model, digits, Chain((Codes(size),)))
        assert f'made for 4 tokens, and the data have {size}' in line


def test_a_classifier_has_the_classes_of_its_model():
    for classes in (9, 11):
        with pytest.raises(UserError, match=rf'logits of shape \({classes},\).*num_classes=10'):
            sampling = DiffusionSampling(guide=Classifier(TimeMLP((classes,), 4, 1)))
            DiffusionModel(TimeMLP(SHAPE, 4, 1), num_classes=10, sampling=sampling)


class Stored:
    """A source of one's own."""

    in_memory, fingerprint = True, ''

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, indices):
        return {'x': self.x[indices]}


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_an_example_that_is_not_finite_is_named(value):
    x = np.zeros((5000, 3), np.float32)
    x[4321, 2] = value
    dataset = Rows(np.zeros((1, 3), np.float32))
    model = GAN(MLP((4,), shape=(3,)), MLP((4,), shape=()), 2)
    experiment = Experiment(
        dataset=dataset, model=model, optimizer=optax.sgd(1.0), steps=1, batch_size=8
    )
    with pytest.raises(UserError, match=rf'example 4321 of .* is not finite: {value} at \(2,\)'):
        check_data(experiment, Stored(x))


def test_shapes_and_empty_splits():
    model = vae()
    x = np.zeros((20, *SHAPE), np.float32)
    assert 'examples of shape (8, 8, 1), the data have (8, 8)' in refused(model, Rows(x[..., 0]))
    assert 'examples of shape (8, 8, 1), the data have (64,)' in refused(
        model, Rows(x.reshape(20, 64))
    )
    assert 'Rows: the train split is empty' in refused(model, Rows(x[:0]))


def test_a_model_that_declares_nothing_is_compared_with_nothing(digits):
    check(parts.Model(), digits)
