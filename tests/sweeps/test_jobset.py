"""JobSets against the schema of JobSet, and their processes against what training looks for."""

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from genjax import cli
from genjax.parallel.cluster import detect_cluster
from genjax.sweeps.folder import Folder

SCHEMA = Path(__file__).parents[1] / 'fixtures' / 'jobset-v1alpha2.schema.json'
FIELDS = {
    'image': 'registry.example/genjax:1.0',
    'namespace': 'research',
    'queue': 'tpus',
    'accelerator': 'tpu-v5-lite-podslice',
    'topology': '4x4',
    'chips': '4',
    'slices': '1',
    'workers': '4',
    'claim': 'runs',
    'mount': '/runs',
}


@pytest.fixture
def jobset(tmp_path):
    """Runs `genjax sweep --launcher=jobset` and returns its status."""

    def run(*options, **fields):
        settings = [f'--jobset.{name}={value}' for name, value in {**FIELDS, **fields}.items()]
        words = ['--config=tests/sweeps/config.py', f'--workdir={tmp_path / "runs"}']
        out = f'--out={tmp_path / "jobs"}'
        return cli.main(['sweep', *words, '--launcher=jobset', out, *settings, *options])

    return run


def written(tmp_path):
    return {path.stem: yaml.safe_load(path.read_text()) for path in (tmp_path / 'jobs').iterdir()}


def validate(manifest):
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(manifest)


def pod_of(manifest):
    return manifest['spec']['replicatedJobs'][0]['template']['spec']['template']['spec']


@pytest.mark.parametrize('slices', [1, 4])
def test_the_manifests_are_jobsets_whose_processes_find_each_other(jobset, tmp_path, slices):
    assert jobset(slices=slices) == 0
    manifests = written(tmp_path)
    trials = {row['id'] for row in Folder(tmp_path / 'runs').read()['trials']}
    assert set(manifests) == trials and len(trials) == 4
    for trial, manifest in manifests.items():
        validate(manifest)
        assert manifest['metadata']['labels']['kueue.x-k8s.io/queue-name'] == 'tpus'
        assert manifest['metadata']['annotations'] == {
            'alpha.jobset.sigs.k8s.io/exclusive-topology': 'cloud.google.com/gke-nodepool'
        }
        (slice_,) = manifest['spec']['replicatedJobs']
        job = slice_['template']['spec']
        assert (slice_['replicas'], job['completions'], job['parallelism']) == (slices, 4, 4)

        (container,) = pod_of(manifest)['containers']
        places = [
            place_of(container, job_index, completion, tmp_path)
            for job_index in range(slices)
            for completion in range(4)
        ]
        assert [place.index for place in places] == list(range(4 * slices))
        assert {place.count for place in places} == {4 * slices}
        name = f'genjax-{trial}'
        assert {place.address for place in places} == {(f'{name}-slice-0-0.{name}', 8476)}
        assert manifest['metadata']['name'] == name
        arguments = (tmp_path / 'arguments').read_text().split()
        assert arguments[:3] == ['run_trial', str(tmp_path / 'runs'), trial]


def test_machines_with_gpus_find_each_other(tmp_path):
    fields = {name: FIELDS[name] for name in ('image', 'namespace', 'queue', 'claim', 'mount')}
    fields |= {'accelerator': 'nvidia-h100-80gb', 'gpus': '8', 'workers': '3', 'domain': 'rack'}
    words = [
        '--config=tests/sweeps/config.py',
        f'--workdir={tmp_path / "runs"}',
        '--sweep=seeds(1)',
    ]
    words += [
        '--launcher=jobset',
        '--template=launch/jobset_gpu.yaml',
        f'--out={tmp_path / "jobs"}',
    ]
    assert cli.main(['sweep', *words, *(f'--jobset.{n}={v}' for n, v in fields.items())]) == 0
    ((trial, manifest),) = written(tmp_path).items()
    validate(manifest)
    exclusive = manifest['metadata']['annotations']['alpha.jobset.sigs.k8s.io/exclusive-topology']
    assert exclusive == 'rack'
    (container,) = pod_of(manifest)['containers']
    assert container['resources']['limits'] == {'nvidia.com/gpu': 8}
    places = [place_of(container, None, index, tmp_path) for index in range(3)]
    assert [(place.index, place.count) for place in places] == [(0, 3), (1, 3), (2, 3)]
    name = f'genjax-{trial}'
    assert {place.address for place in places} == {(f'{name}-machines-0-0.{name}', 8476)}


def place_of(container, job_index, completion, tmp_path):
    """Where a pod stands, by the environment that its command gives to genjax."""
    genjax = tmp_path / 'bin' / 'genjax'
    if not genjax.exists():
        genjax.parent.mkdir()
        genjax.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nexec env\n')
        genjax.chmod(0o755)
    environment = {
        'PATH': f'{genjax.parent}:/usr/bin:/bin',
        'JOB_COMPLETION_INDEX': str(completion),
        **{pair['name']: pair['value'] for pair in container['env'] if 'value' in pair},
    }
    for index in [pair for pair in container['env'] if 'valueFrom' in pair]:
        label = "metadata.labels['jobset.sigs.k8s.io/job-index']"
        assert index['valueFrom']['fieldRef']['fieldPath'] == label
        environment[index['name']] = str(job_index)
    output = subprocess.run(
        [*container['command'], *container['args']],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return detect_cluster(
        None, None, None, dict(line.split('=', 1) for line in output.splitlines())
    )


@pytest.mark.parametrize(
    'change',
    [
        lambda manifest: pod_of(manifest).update(hostNetwrok=True),
        lambda manifest: pod_of(manifest).update(hostNetwork='yes'),
        lambda manifest: manifest['metadata'].pop('name'),
        lambda manifest: manifest['spec']['failurePolicy'].update(maxRestart=1),
    ],
)
def test_the_schema_refuses_what_is_wrong(jobset, tmp_path, change):
    assert jobset('--sweep=seeds(1)') == 0
    (manifest,) = written(tmp_path).values()
    change(manifest)
    with pytest.raises(jsonschema.ValidationError):
        validate(manifest)


def test_statuses_restart_what_training_says_they_should(jobset, tmp_path):
    """75 (saved) without counting, 2 (a mistake) never, others from the last checkpoint."""
    assert jobset('--sweep=seeds(1)') == 0
    (manifest,) = written(tmp_path).values()
    job = manifest['spec']['replicatedJobs'][0]['template']['spec']
    rules = {
        status: rule['action']
        for rule in job['podFailurePolicy']['rules']
        for status in rule['onExitCodes']['values']
    }
    assert rules == {75: 'Ignore', 2: 'FailJob'}
    policy = manifest['spec']['failurePolicy']
    assert [(rule['action'], rule['onJobFailureReasons']) for rule in policy['rules']] == [
        ('FailJobSet', ['PodFailurePolicy'])
    ]
    assert policy['maxRestarts'] > 0 and job['backoffLimit'] == 0
    assert pod_of(manifest)['restartPolicy'] == 'Never'


def test_complete_trials_have_none(jobset, tmp_path, capsys):
    assert jobset() == 0
    done, *rest = written(tmp_path)
    Folder(tmp_path / 'runs').end(done, 'complete', '', 1.0)
    assert jobset() == 0
    assert list(written(tmp_path)) == rest
    assert '1 of 4 trials are complete; wrote 3 JobSets' in capsys.readouterr().out


def test_fields_that_are_missing_or_misspelt_are_named(jobset, tmp_path, capsys):
    assert jobset('--jobset.toplogy=2x2') == 2
    assert "has no field 'toplogy'; did you mean 'topology'?" in capsys.readouterr().err
    words = ['sweep', '--config=tests/sweeps/config.py', f'--workdir={tmp_path / "runs"}']
    settings = [f'--jobset.{name}=1' for name in FIELDS if name not in ('claim', 'image')]
    assert cli.main([*words, '--launcher=jobset', f'--out={tmp_path / "jobs"}', *settings]) == 2
    assert 'needs --jobset.image=…, --jobset.claim=…\n' in capsys.readouterr().err
    assert not (tmp_path / 'jobs').exists()


def test_a_template_of_the_site_has_its_own_fields(tmp_path, capsys):
    template = tmp_path / 'mine.yaml'
    template.write_text('name: $name\nteam: $team\nrun: $command\n')
    words = ['sweep', '--config=tests/sweeps/config.py', f'--workdir={tmp_path / "runs"}']
    words += ['--sweep=seeds(1)', '--launcher=jobset', f'--out={tmp_path / "jobs"}']
    assert cli.main([*words, f'--template={template}', '--jobset.team=vision']) == 0
    ((trial, manifest),) = written(tmp_path).items()
    assert (manifest['name'], manifest['team']) == (f'genjax-{trial}', 'vision')
    template.write_text('run: $(date)')
    assert cli.main([*words, f'--template={template}']) == 2
    assert f'{template}: write $$ for each $' in capsys.readouterr().err
