"""Detects the process's index, the number of processes and the coordinator (flags, JAX_*, Slurm,
TPU).
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from genjax.errors import UserError


@dataclass(frozen=True)
class ProcessInfo:
    """Index of a process within a multi-process run, and the address of the coordinator.

    Attributes:
        coordinator: 'host:port' of process 0.
        count: number of processes.
        index: index of this process, from 0.
        local_devices: indices of the machine's accelerators that this process uses; None: all.
    """

    coordinator: str
    count: int
    index: int
    local_devices: tuple[int, ...] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """(host, port) of the coordinator."""
        host, _, port = self.coordinator.rpartition(':')
        return host.strip('[]'), int(port)


def detect_cluster(
    coordinator: str | None,
    count: int | None,
    index: int | None,
    environment: Mapping[str, str] = os.environ,
) -> ProcessInfo | None:
    """Returns the process's place in the cluster, from the flags or else from the environment.

    Reads JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID (or JOB_COMPLETION_INDEX,
    set by indexed Kubernetes jobs), then the variables of a Slurm step, then TPU VM metadata.

    Args:
        coordinator: 'host:port' of process 0.
        count: number of processes.
        index: index of this process.
        environment: environment variables.

    Returns:
        The process's place; None for a single process.

    Raises:
        UserError: a setting is missing or malformed.
    """
    given = {'--coordinator': coordinator, '--num_processes': count, '--process_id': index}
    if any(value is not None for value in given.values()):
        return _checked(given)
    if 'JAX_COORDINATOR_ADDRESS' in environment:
        number = 'JAX_PROCESS_ID' if 'JAX_PROCESS_ID' in environment else 'JOB_COMPLETION_INDEX'
        names = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', number)
        return _checked({name: environment.get(name) for name in names})
    if 'SLURM_STEP_NODELIST' in environment:
        return _slurm(environment)
    return _tpu()


def _checked(given: Mapping[str, str | int | None]) -> ProcessInfo | None:
    """Validates the three settings; the keys name them in errors."""
    missing = [name for name, value in given.items() if value is None]
    if missing:
        known = ', '.join(f'{name}={value}' for name, value in given.items() if value is not None)
        raise UserError(f'{known} needs {" and ".join(missing)} as well')
    (address_name, address), (count_name, count), (index_name, index) = given.items()
    if not re.fullmatch(r'.+:\d{1,5}', str(address)):
        raise UserError(f'{address_name}={address} is not of the form host:port')
    for name, value in ((count_name, count), (index_name, index)):
        if not str(value).isdecimal():
            raise UserError(f'{name}={value} is not a number of processes')
    if not int(index) < int(count):
        raise UserError(f'{index_name}={index} is not one of 0..{int(count) - 1}')
    return ProcessInfo(str(address), int(count), int(index)) if int(count) > 1 else None


def _slurm(environment: Mapping[str, str]) -> ProcessInfo | None:
    count, index, local = (
        int(environment[f'SLURM_{name}']) for name in ('NTASKS', 'PROCID', 'LOCALID')
    )
    if count == 1:
        return None
    # 'node[07-09,12],other' begins with node07.
    name, number = re.match(r'([^,\[]+)(?:\[(\d+))?', environment['SLURM_STEP_NODELIST']).groups()
    port = 61440 + int(environment['SLURM_JOB_ID']) % 4096  # distinct for jobs that share a node
    # A task alone on its node takes all accelerators; a task with one visible GPU (bound by Slurm)
    # takes that one.
    nodes = int(environment.get('SLURM_STEP_NUM_NODES', 1))
    visible = environment.get('CUDA_VISIBLE_DEVICES', '').split(',')
    alone = count == nodes or (len(visible) == 1 and visible != [''])
    return ProcessInfo(f'{name}{number or ""}:{port}', count, index, None if alone else (local,))


def _tpu() -> ProcessInfo | None:
    """Uses JAX's private cluster detection; there is no public API."""
    from jax._src.clusters import cloud_tpu_cluster as tpu

    clusters = (tpu.GkeTpuCluster, tpu.GceTpuCluster)
    cluster = next((cluster for cluster in clusters if cluster.is_env_present()), None)
    if cluster is None or cluster.get_process_count() == 1:
        return None
    address = cluster.get_coordinator_address(300, None)
    return ProcessInfo(address, cluster.get_process_count(), cluster.get_process_id())
