"""Names of absent devices: `v5e:16x16`, several slices of it, `h100:8x4`, or `cpu-8`."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from genjax.config import trust
from genjax.errors import UserError, how_to_install, nearest
from genjax.hardware.chips import CHIPS, Chip, chip_of


@dataclass(frozen=True)
class Topology:
    """A named arrangement of devices.

    Attributes:
        kind: chip, a key of `genjax.hardware.chips.CHIPS`, or 'cpu'.
        shape: torus of chips in one slice; GPUs in a server, and servers; for 'cpu', the number of
            devices.
        slices: number of slices, joined by the data-centre network.
    """

    kind: str
    shape: tuple[int, ...]
    slices: int = 1

    @property
    def name(self) -> str:
        """Name of one slice."""
        shape = 'x'.join(map(str, self.shape))
        return f'cpu-{shape}' if self.kind == 'cpu' else f'{self.kind}:{shape}'

    def __str__(self) -> str:
        return self.name if self.slices == 1 else f'{self.slices} slices of {self.name}'

    @property
    def size(self) -> int:
        """Number of chips, or of CPU devices."""
        return math.prod(self.shape) * self.slices

    @property
    def servers(self) -> int:
        """Number of servers of GPUs, joined by InfiniBand; 0 for other devices."""
        return (*self.shape, 1)[1] if self.kind in _GPUS else 0

    def chip(self, device_kind: str) -> Chip | None:
        """Specification of a device that JAX calls `device_kind`: for GPUs the compiler for CPUs
        stands in.
        """
        return CHIPS[self.kind] if self.servers else chip_of(device_kind)


# Dimensions of the torus, and the most chips in a slice: cloud.google.com/tpu/docs/<kind>.
_SLICES = {'v4': (3, 4096), 'v5e': (2, 256), 'v5p': (3, 8960), 'v6e': (2, 256), 'tpu7x': (3, 9216)}

_GPUS = ('a100-40', 'a100-80', 'h100', 'h200', 'b200')
_MOST_IN_A_SERVER = 8  # GPUs that NVLink joins

_EXAMPLES = 'v5e:16x16, v5p:4x4x4, h100:8, h200:8x4 or cpu-8'


def parse(name: str, slices: int = 1) -> Topology:
    """Parses a name; raises UserError for an unknown topology."""
    if slices < 1:
        raise UserError(f'--slices must be at least 1, not {slices}')
    if cpu := re.fullmatch(r'cpu-([1-9]\d*)', name):
        if slices > 1:
            raise UserError('--slices are of TPU chips: cpu-N has none')
        return Topology('cpu', (int(cpu[1]),))
    kind, colon, shape = name.partition(':')
    kind = 'a100-80' if kind == 'a100' else kind
    if kind in _GPUS and colon:
        return _servers(name, kind, shape, slices)
    if kind not in _SLICES or not colon:
        near = nearest(kind, (*_SLICES, *_GPUS))
        raise UserError(f'there is no topology {name!r}{near}; it is like {_EXAMPLES}')
    dimensions, most = _SLICES[kind]
    if not re.fullmatch(r'[1-9]\d*(x[1-9]\d*)*', shape) or shape.count('x') != dimensions - 1:
        example = 'x'.join(['4'] * dimensions)
        raise UserError(f'the topology {name!r}: a {kind} slice is like {kind}:{example}')
    sizes = tuple(int(n) for n in shape.split('x'))
    if math.prod(sizes) > most:
        raise UserError(
            f'the topology {name!r}: a {kind} slice has at most {most:,} chips; join several with'
            ' --slices'
        )
    return Topology(kind, sizes, slices)


def _servers(name: str, kind: str, shape: str, slices: int) -> Topology:
    if slices > 1:
        raise UserError(f'--slices are of TPU chips: {kind}:8x4 is four servers')
    found = re.fullmatch(r'([1-9]\d*)(?:x([1-9]\d*))?', shape)
    if not found or int(found[1]) > _MOST_IN_A_SERVER:
        raise UserError(
            f'the topology {name!r}: up to {_MOST_IN_A_SERVER} GPUs in a server, as {kind}:8, and'
            f' servers, as {kind}:8x4'
        )
    return Topology(kind, tuple(int(n) for n in found.groups() if n))


def environment(topology: Topology) -> Mapping[str, str]:
    """Environment of a process that compiles for a topology: no accelerator, no cluster, and no
    compilation cache, which cannot hold programs for absent devices.

    Raises:
        UserError: the compiler is not installed.
    """
    foreign = ('SLURM_', 'OMPI_', 'TPU_', 'MEGASCALE_', 'JAX_')
    mine = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    mine |= {'JAX_PLATFORMS': 'cpu', 'JAX_ENABLE_COMPILATION_CACHE': 'false'}
    if topology.kind == 'cpu' or topology.servers:
        mine['XLA_FLAGS'] = f'--xla_force_host_platform_device_count={topology.size}'
        return mine
    if not trust.is_installed('libtpu'):
        raise UserError(
            f'{topology} needs the compiler for TPUs, libtpu, which also runs without one:'
            f' {how_to_install("tpu")}'
        )
    return mine | {
        'TPU_ACCELERATOR_TYPE': 'v5litepod-8',
        'TPU_WORKER_HOSTNAMES': 'localhost',
        'TPU_SKIP_MDS_QUERY': '1',
        'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
        'TPU_MIN_LOG_LEVEL': '3',
        'TF_CPP_MIN_LOG_LEVEL': '3',
    }


def devices(topology: Topology) -> list:
    """Returns the devices of a topology to compile for, in a process with its `environment`; CPU
    devices stand in for GPUs, whose compiler needs one.

    Raises:
        UserError: the compiler does not support the slice.
    """
    import jax

    if topology.kind == 'cpu' or topology.servers:
        return jax.devices()[: topology.size]
    from jax.experimental import topologies

    options = {} if topology.slices == 1 else {'num_slices': topology.slices}
    if topology.kind == 'v4':
        options['chip_config_name'] = 'megacore'  # both cores of a chip as one device
    if min(topology.shape[:2]) < 2:  # less than a host
        options['chips_per_host_bounds'] = (*topology.shape, 1)[:3]
    try:
        return list(topologies.get_topology_desc(topology.name, 'tpu', **options).devices)
    except jax.errors.JaxRuntimeError as error:
        raise UserError(f'the topology {topology.name!r}: {str(error).splitlines()[0]}') from None
