"""The scripts in `launch/`, with stand-ins for uv and gcloud, so that nothing is downloaded."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Writes the arguments of every installation down and "installs" a `genjax` that echoes; fails when
# the file `broken` lies beside it; is slow enough for two starts to meet.
UV = """#!/bin/bash
here=$(dirname "$0")
[ "$1" != --version ] || exit 0
echo "$@" >> "$here/log"
sleep 0.3
[ ! -e "$here/broken" ] || exit 1
for python; do case $python in */bin/python) break ;; esac; done
printf '#!/bin/sh\\necho ran "$PWD" "$@"\\n' > "${python%/python}/genjax"
chmod +x "${python%/python}/genjax"
"""


class Checkout:
    """A copy of what the launcher reads, with stand-ins on a PATH of its own."""

    def __init__(self, path):
        self.root = path / 'a checkout'
        self.bin = path / 'bin'
        self.cwd = path / 'elsewhere'
        for folder in (self.root / 'launch', self.bin, self.cwd):
            folder.mkdir(parents=True)
        shutil.copy(ROOT / 'launch' / 'local.sh', self.root / 'launch')
        for name in ('pyproject.toml', 'constraints.txt'):
            shutil.copy(ROOT / name, self.root)
        self.tool('uv', UV)
        self.tool('python3.12', f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        self.env = {'PATH': f'{self.bin}:/usr/bin:/bin', 'HOME': str(path)}

    def tool(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def command(self, *words, **env):
        script = self.root / 'launch' / 'local.sh'
        return {
            'args': ['bash', script, *words],
            'cwd': self.cwd,
            'env': {**self.env, **env},
            'text': True,
        }

    def start(self, *words, **env):
        return subprocess.run(**self.command(*words, **env), capture_output=True, timeout=60)

    @property
    def installations(self):
        log = self.bin / 'log'
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def test_the_first_start_installs_and_the_second_is_instant(checkout):
    first = checkout.start('train', '--workdir=a b')
    assert first.stdout == f'ran {checkout.cwd} train --workdir=a b\n'
    assert 'genjax: making' in first.stderr and 'environment ready' in first.stderr
    (call,) = checkout.installations
    assert f'-e {checkout.root} -c {checkout.root}/constraints.txt' in call

    second = checkout.start('train')
    assert (second.returncode, second.stderr) == (0, '')
    assert len(checkout.installations) == 1


@pytest.mark.parametrize('name', ['pyproject.toml', 'constraints.txt'])
def test_a_changed_dependency_updates_the_environment(checkout, name):
    checkout.start('train')
    (checkout.root / '.venv' / 'kept').touch()
    with open(checkout.root / name, 'a') as file:
        file.write('# changed\n')
    assert 'genjax: updating' in checkout.start('train').stderr
    assert len(checkout.installations) == 2
    assert (checkout.root / '.venv' / 'kept').exists()


def test_extras_are_installed_once_and_keep_the_rest(checkout):
    checkout.start('train')
    checkout.start('train', GENJAX_EXTRAS='cuda')
    assert f'-e {checkout.root}[cuda] -c' in checkout.installations[-1]
    checkout.start('train', GENJAX_EXTRAS='cuda')
    checkout.start('train')
    assert len(checkout.installations) == 2


def test_the_test_command_runs_pytest_in_the_checkout(checkout):
    (checkout.root / 'pytest.py').write_text('import os, sys; print(os.getcwd(), *sys.argv[1:])')
    parallel = '--numprocesses=auto --maxprocesses=8'
    for words, given in (
        ([], parallel),
        (['--full', '-k', 'some thing'], f'{parallel} --full -k some thing'),
        (['pytest.py::test'], 'pytest.py::test'),
    ):
        done = checkout.start('test', *words)
        assert done.stdout == f'{checkout.root} {given}\n', done.stderr
    assert f'-e {checkout.root}[test] -c' in checkout.installations[-1]


def test_an_interrupted_installation_is_begun_again(checkout):
    (checkout.bin / 'broken').touch()
    failed = checkout.start('train')
    assert failed.returncode != 0 and 'the installation failed' in failed.stderr
    half = checkout.root / '.venv' / 'half-installed'
    half.touch()

    (checkout.bin / 'broken').unlink()
    assert checkout.start('train').stdout.startswith('ran')
    assert not half.exists()


def test_an_environment_that_lost_its_python_is_made_again(checkout):
    checkout.start('train')
    python = checkout.root / '.venv' / 'bin' / 'python'
    python.unlink()
    python.symlink_to('/nowhere/python')
    assert checkout.start('train').stdout.startswith('ran')


def test_a_moved_checkout_makes_its_own_environment(checkout):
    checkout.start('train')
    checkout.root = checkout.root.rename(checkout.root.with_name('moved'))
    assert 'genjax: making' in checkout.start('train').stderr


def test_two_starts_at_once_install_once(checkout):
    command = checkout.command('train')
    starts = [subprocess.Popen(**command, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [start.communicate(timeout=60)[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0]
    assert all(output.startswith('ran') for output in outputs)
    assert len(checkout.installations) == 1


def test_an_environment_of_someone_else_is_left_alone(checkout):
    theirs = checkout.cwd / 'theirs' / 'file'
    theirs.parent.mkdir()
    theirs.touch()
    done = checkout.start('train', GENJAX_VENV='theirs')
    assert done.returncode != 0 and done.stderr.count('\n') == 1
    assert 'was not made here' in done.stderr
    assert theirs.exists() and not checkout.installations


@pytest.mark.parametrize('python', [None, 'python3.10', '/nowhere/python'])
def test_without_a_suitable_python_there_is_one_line(checkout, python):
    for name in ('python3.14', 'python3.13', 'python3.12', 'python3.11', 'python3', 'python'):
        checkout.tool(name, '#!/bin/sh\nexit 127\n')  # a shim of a version that is not installed
    # Only what the script needs, so that no Python of this machine is found.
    for name in ('bash', 'cat', 'dirname', 'grep'):
        (checkout.bin / name).symlink_to(shutil.which(name))
    env = {'PATH': str(checkout.bin)} | ({'PYTHON': python} if python else {})
    done = checkout.start('train', **env)
    assert done.returncode == 1 and done.stdout == ''
    assert done.stderr.count('\n') == 1 and '3.11' in done.stderr


def test_pip_serves_where_there_is_no_uv(checkout):
    """A stand-in for pip, put into the new environment, gets the same request as uv."""
    pip = checkout.cwd / 'pip.py'
    pip.write_text(
        'import pathlib, sys\n'
        f'open({str(checkout.bin / "log")!r}, "a").write(" ".join(sys.argv) + "\\n")\n'
        'genjax = pathlib.Path(sys.executable).with_name("genjax")\n'
        'genjax.write_text("#!/bin/sh\\necho ran\\n"); genjax.chmod(0o755)\n'
    )
    checkout.tool('uv', '#!/bin/sh\nexit 127\n')
    checkout.tool(
        'python3.12',
        f'#!/bin/sh\n[ "$2" = venv ] || exec "{sys.executable}" "$@"\n'
        f'"{sys.executable}" -m venv --without-pip "$3"\n'
        f'cp "{pip}" "$3"/lib/python3*/site-packages\n',
    )
    done = checkout.start('train')
    assert done.stdout == 'ran\n', done.stderr
    (call,) = checkout.installations
    assert f'-e {checkout.root} -c {checkout.root}/constraints.txt' in call


def test_slurm_copies_the_data_to_each_machine_first(checkout, tmp_path):
    stage, local, folder = tmp_path / 'stage', tmp_path / 'local', tmp_path / 'sweep'
    for path, text in (
        (stage / 'mnist' / 'a', 'data'),
        (folder / 'slurm' / '7.txt', 'one\ntwo\n'),
        (folder / 'logs' / 'two.txt', ''),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    srun = '#!/bin/bash\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n'
    checkout.tool('srun', srun)
    checkout.tool('a_python', '#!/bin/sh\necho $TFDS_DATA_DIR: "$@"\n')
    done = subprocess.run(
        ['bash', ROOT / 'launch' / 'slurm.sh', checkout.bin / 'a_python', folder, '--trust=x'],
        env={
            **checkout.env, 'STAGE': str(stage), 'SLURM_TMPDIR': str(local),
            'SLURM_ARRAY_JOB_ID': '7', 'SLURM_ARRAY_TASK_ID': '1',
        },
        check=False,
    )  # fmt: skip
    data = local / 'tensorflow_datasets'
    assert done.returncode == 0
    assert (data / 'mnist' / 'a').read_text() == 'data'
    said = (folder / 'logs' / 'two.txt').read_text()
    assert said == f'{data}: -P -m genjax run_trial {folder} two --trust=x\n'


# A slice of one machine, whose home is $REMOTE.
GCLOUD = """#!/bin/bash
echo "${@:1:5}" >> "$REMOTE/log"
case $4 in
scp) cp "$5" "$REMOTE" ;;
ssh) for word; do case $word in --command=*) cd "$REMOTE"; HOME=$REMOTE bash -c "${word#*=}" ;; esac; done ;;
esac
"""  # noqa: E501


def test_a_tpu_slice_runs_the_commit_of_the_checkout(checkout, tmp_path):
    def git(*words):
        identity = ['-c', 'user.name=a', '-c', 'user.email=a@b']
        subprocess.run(['git', '-C', checkout.root, *identity, *words], check=True)

    remote = tmp_path / 'remote'
    remote.mkdir()
    checkout.tool('gcloud', GCLOUD)
    shutil.copy(ROOT / 'launch' / 'tpu_vm.sh', checkout.root / 'launch')
    git('init', '--quiet')
    command = ['bash', checkout.root / 'launch' / 'tpu_vm.sh', 'train', '--workdir=/a b', '--x=$y']
    for version in '12':
        local = f'#!/bin/sh\necho {version} $GENJAX_EXTRAS; printf "%s\\n" "$@"\n'
        (checkout.root / 'launch' / 'local.sh').write_text(local)
        git('add', '.')
        git('commit', '--quiet', f'--message={version}')
        done = subprocess.run(
            command,
            env={**checkout.env, 'TPU': 'mine', 'ZONE': 'z', 'REMOTE': str(remote)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == f'{version} tpu\ntrain\n--workdir=/a b\n--x=$y\n', done.stderr
    assert 'compute tpus tpu-vm ssh mine' in (remote / 'log').read_text()


def test_a_detached_command_is_started_again_until_it_succeeds(checkout, tmp_path):
    remote = tmp_path / 'remote'
    remote.mkdir()
    checkout.tool('gcloud', GCLOUD)
    table = '#!/bin/sh\n[ "$1" = -l ] && exec cat ~/table\ncat >~/new && mv ~/new ~/table\n'
    checkout.tool('crontab', table)
    (remote / 'table').write_text('@reboot other\n')
    checkout.tool('sleep', '#!/bin/sh\n')
    checkout.tool('pkill', '#!/bin/sh\necho "$@" >~/killed\n')
    shutil.copy(ROOT / 'launch' / 'tpu_vm.sh', checkout.root / 'launch')
    local = '#!/bin/sh\nprintf "%s\\n" "$@"\n[ -e ~/once ] || { touch ~/once; exit 75; }\n'
    (checkout.root / 'launch' / 'local.sh').write_text(local)
    git = ['git', '-C', checkout.root, '-c', 'user.name=a', '-c', 'user.email=a@b']
    for words in (['init', '-q'], ['add', '.'], ['commit', '-q', '--message=1']):
        subprocess.run([*git, *words], check=True)

    def launch(*words):
        command = ['bash', checkout.root / 'launch' / 'tpu_vm.sh', *words]
        env = {**checkout.env, 'TPU': 'mine', 'ZONE': 'z', 'REMOTE': str(remote)}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True)

    launch('detached', 'train', '--workdir=/a b', '--x=$y')
    deadline = time.monotonic() + 60
    while (remote / 'genjax.again').exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (remote / 'genjax.log').read_text() == 2 * 'train\n--workdir=/a b\n--x=$y\n'

    assert (remote / 'table').read_text() == '@reboot other\n'

    (checkout.root / 'launch' / 'local.sh').write_text('#!/bin/sh\nexit 75\n')
    subprocess.run([*git, 'commit', '-qam2'], check=True)
    checkout.tool('sleep', '#!/bin/sh\nexec /bin/sleep 0.1\n')
    launch('detached', 'train')
    assert (remote / 'table').read_text() == '@reboot other\n@reboot bash genjax.loop\n'
    assert (remote / 'genjax.again').exists()
    launch('stop')
    assert (remote / 'killed').read_text() == '--signal TERM --full genjax (train|run_trial)\n'
    assert not (remote / 'genjax.again').exists()
    assert (remote / 'table').read_text() == '@reboot other\n'


def test_a_tpu_slice_needs_its_name(checkout):
    command = ['bash', ROOT / 'launch' / 'tpu_vm.sh', 'train']
    done = subprocess.run(command, env=checkout.env, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and 'TPU: is the name of the slice' in done.stderr


def test_the_scripts_are_executable():
    for path in (ROOT / 'launch').glob('*.sh'):
        assert os.access(path, os.X_OK), path
