"""A Slurm cluster of this one machine, which lives in a folder."""

import contextlib
import os
import shutil
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
ReturnToService=2
KillWait=5
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
    """Gives an environment in which the commands of Slurm find the cluster."""
    for name in ('state', 'spool'):
        (folder / name).mkdir(parents=True)
    with socket.create_server(('', 0)) as one, socket.create_server(('', 0)) as other:
        controller, node = one.getsockname()[1], other.getsockname()[1]
    conf = folder / 'slurm.conf'
    conf.write_text(_CONF.format(folder=folder, controller=controller, node=node))
    key = folder / 'munge.key'
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    environment = {**os.environ, 'SLURM_CONF': str(conf)}

    def output(*command):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.stdout

    munge = [f'--{name}-file={folder}/munge.{name}' for name in ('key', 'pid', 'log', 'seed')]
    munge += ['--foreground', '--force', f'--socket={folder}/munge.socket']
    idle = ('sinfo', '--noheader', '--format=%t')
    daemons = []
    try:
        for name, options, ready in (
            ('munged', munge, (folder / 'munge.socket').exists),
            ('slurmctld', ['-D', '-c'], lambda: output(*idle)),
            ('slurmd', ['-D', '-N', 'localhost'], lambda: output(*idle) == 'idle\n'),
        ):
            with (folder / f'{name}.out').open('w') as out:
                # They end with this process, also when it is killed.
                command = ['setpriv', '--pdeathsig=TERM', _find(name), *options]
                daemons.append(subprocess.Popen(command, env=environment, stdout=out, stderr=out))
            wait_for(ready, 20)
        yield environment
        output('scancel', '--me')
        wait_for(lambda: not output('squeue', '--noheader'), 20)
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def wait_for(condition, seconds):
    """Returns when the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f'still not after {seconds} seconds'
        time.sleep(0.1)


def _find(name):
    return shutil.which(name, path=f'{os.environ["PATH"]}:/usr/sbin:/sbin')
