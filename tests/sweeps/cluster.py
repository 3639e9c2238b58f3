"""A Slurm cluster of this one machine, which lives in a folder."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

_CONF = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=localhost NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000
PartitionName=main Nodes=localhost Default=YES
"""
_DAEMONS = ('munged', 'slurmctld', 'slurmd')


def missing() -> str:
    """Why there can be no cluster here; empty where there can."""
    if os.geteuid():
        return 'needs root'
    absent = [name for name in (*_DAEMONS, 'sbatch') if not _find(name)]
    return f'needs {" and ".join(absent)}' if absent else ''


@contextlib.contextmanager
def running(folder: Path):
    """Gives what the environment has to have for the commands of Slurm to find the cluster."""
    for name in ('state', 'spool'):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    with socket.create_server(('', 0)) as one, socket.create_server(('', 0)) as other:
        controller, node = one.getsockname()[1], other.getsockname()[1]
    conf = folder / 'slurm.conf'
    conf.write_text(_CONF.format(folder=folder, controller=controller, node=node))
    key = folder / 'munge.key'
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    commands = [
        ['munged', '--foreground', '--force', f'--key-file={key}',
         f'--socket={folder}/munge.socket', f'--pid-file={folder}/munge.pid',
         f'--log-file={folder}/munge.log', f'--seed-file={folder}/munge.seed'],
        ['slurmctld', '-D', '-c', '-f', conf],
        ['slurmd', '-D', '-N', 'localhost', '-f', conf],
    ]  # fmt: skip
    environment = {'SLURM_CONF': str(conf)}
    daemons = []
    try:
        for command in commands:
            with (folder / f'{command[0]}.txt').open('w') as out:
                daemons.append(
                    subprocess.Popen(
                        [_find(command[0]), *command[1:]],
                        env={**os.environ, **environment},
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=out,
                    )
                )
            if command[0] == 'munged':
                _wait_for((folder / 'munge.socket').exists, folder)
        info = ['sinfo', '--noheader', '--format=%t']
        _wait_for(lambda: 'idle' in _output(info, environment), folder)
        yield environment
    finally:
        subprocess.run(
            ['scancel', '--me', '--signal=KILL', '--full'],
            env={**os.environ, **environment},
            check=False,
        )
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _output(command, environment):
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    return done.stdout


def _wait_for(ready, folder):
    deadline = time.monotonic() + 20
    while not ready():
        if time.monotonic() > deadline:
            logs = [p.read_text()[-1000:] for p in folder.glob('*.[lt][ox][gt]')]
            raise AssertionError('the cluster does not come up:\n' + '\n'.join(logs))
        time.sleep(0.1)


def _find(name):
    return shutil.which(name, path=f'{os.environ["PATH"]}:/usr/sbin:/sbin')
