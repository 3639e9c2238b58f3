"""The study of the image as interface: its machine, its page, and 8x8 digits."""

import json
from pathlib import Path

import numpy as np
import pytest

import genjax
from experiments.interface import run as study
from genjax.data import Digits
from genjax.evaluation.probe import fit_probe

pytestmark = pytest.mark.slow


def everything(split):
    source = Digits().source(split)
    return source[np.arange(len(source))]


def test_the_machine_is_the_support_vector_machine_of_probes():
    train, test = everything('train'), everything('test')
    x, label = train['x'][:200], train['label'][:200]
    flat = [a.reshape(len(a), -1) for a in (x, test['x'])]
    wanted = fit_probe(flat[0], label, 'svm')(flat[1])
    np.testing.assert_array_equal(study.machine(x, label)(test['x']), wanted)


def test_an_absent_digit_is_recalled_if_what_is_made_is_like_it():
    train, test = everything('train'), everything('test')
    order = np.argsort(np.arange(len(train['label'])) % 2, kind='stable')
    half = len(order) // 2
    real = {name: values[order[:half]] for name, values in train.items()}
    made = {name: values[order[half:]] for name, values in train.items()}
    found = study.absent(real, made, test, 300)
    assert min(each['recall'] for each in found.values()) > 0.75
    noise = np.random.default_rng(0).permutation(made['x'].ravel()).reshape(made['x'].shape)
    found = study.absent(real, {**made, 'x': noise}, test, 300)
    assert max(each['recall'] for each in found.values()) < 0.2


def test_the_tables_of_the_page_are_those_of_the_results():
    rows = json.loads(study.RESULTS.read_text())
    assert study.report(rows) in Path(study.__file__).with_name('README.md').read_text()


@pytest.mark.full
def test_a_network_teaches_by_images_more_than_thirty_labels(tmp_path, monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)  # small networks: slower on eight devices
    network = genjax.train(study.classifier(300, Digits()), tmp_path / 'network')
    train, test = everything('train'), everything('test')
    few = {name: values[:30] for name, values in train.items()}
    said = {'x': train['x'], 'label': np.argmax(network.classify(train['x']), axis=1)}
    errors = [
        np.mean(study.machine(data['x'], data['label'])(test['x']) != test['label'])
        for data in (said, study.mixed(few['x'], network, 1000, 0), few)
    ]
    assert 2 * errors[0] < errors[1] < 1.2 * errors[2]
