"""Peak performance of accelerators, from vendors' documents."""

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Chip:
    """Specification of one JAX device. None: unknown, as is everything derived from it.

    Attributes:
        name: product name.
        flops: peak bfloat16 FLOP/s, without sparsity.
        memory: bytes of device memory.
        memory_bandwidth: bytes a second between the chip and its memory.
        interconnect: bytes a second sent to other chips of the slice or server, over all links
            (unidirectional; full duplex).
        network: bytes a second sent to other slices, or servers: the chip's share of the NICs.
    """

    name: str
    flops: float
    memory: int
    memory_bandwidth: float
    interconnect: float
    network: float | None = None


# Vendors state the bidirectional interconnect bandwidth; half of it is for sending.
CHIPS = {
    # cloud.google.com/tpu/docs/v4; 6 links of 50 GB/s: Jouppi et al., "TPU v4" (2023), table 4.
    'v4': Chip('TPU v4', 275e12, 32 * GIB, 1200e9, 6 * 50e9),
    # cloud.google.com/tpu/docs/v5e: 400 GB/s; the network is 6.4 Tbit/s for a pod of 256.
    'v5e': Chip('TPU v5e', 197e12, 16 * GIB, 819e9, 400e9 / 2, 6.4e12 / 8 / 256),
    # cloud.google.com/tpu/docs/v5p: 1200 GB/s; the network is 50 Gbit/s a chip.
    'v5p': Chip('TPU v5p', 459e12, 95 * GIB, 2765e9, 1200e9 / 2, 50e9 / 8),
    # cloud.google.com/tpu/docs/v6e: 800 GB/s; the network, …/tpu7x: 100 Gbit/s a chip.
    'v6e': Chip('TPU v6e', 918e12, 32 * GIB, 1638e9, 800e9 / 2, 100e9 / 8),
    # cloud.google.com/tpu/docs/tpu7x: 1200 GB/s and 100 Gbit/s a chip, which is two JAX devices.
    'tpu7x': Chip('half a TPU7x', 2307e12 / 2, 96 * GIB, 7380e9 / 2, 1200e9 / 4, 100e9 / 8 / 2),
    # The network of GPUs is InfiniBand as in NVIDIA's DGX servers of 8, a port each (data sheets):
    # DGX A100 200 Gbit/s; DGX H100, H200 and B200 400 Gbit/s.
    # NVIDIA, "A100 Tensor Core GPU" (data sheet, 2021): SXM, 600 GB/s of NVLink.
    'a100-40': Chip('NVIDIA A100 40GB', 312e12, 40 * GIB, 1555e9, 600e9 / 2, 200e9 / 8),
    'a100-80': Chip('NVIDIA A100 80GB', 312e12, 80 * GIB, 2039e9, 600e9 / 2, 200e9 / 8),
    # NVIDIA, "H100 Tensor Core GPU" (data sheet, 2023): SXM, 1979 TFLOP/s with sparsity, 900 GB/s.
    'h100': Chip('NVIDIA H100', 1979e12 / 2, 80 * GIB, 3350e9, 900e9 / 2, 400e9 / 8),
    # NVIDIA, "H200 Tensor Core GPU" (data sheet, 2024): SXM; memory of 141 GB.
    'h200': Chip('NVIDIA H200', 1979e12 / 2, int(141e9), 4800e9, 900e9 / 2, 400e9 / 8),
    # NVIDIA, "DGX B200" (data sheet, 2024), an eighth of it: 36 PFLOP/s with sparsity, 1440 GB,
    # 64 TB/s and 14.4 TB/s of NVLink.
    'b200': Chip(
        'NVIDIA B200', 36e15 / 2 / 8, int(1440e9 / 8), 64e12 / 8, 14.4e12 / 2 / 8, 400e9 / 8
    ),
}

# JAX's `device_kind`. PCIe boards are slower, have other names and are left out.
_DEVICE_KINDS = {
    'TPU v4': 'v4',
    'TPU v5 lite': 'v5e',
    'TPU v5e': 'v5e',
    'TPU v5': 'v5p',
    'TPU v5p': 'v5p',
    'TPU v6 lite': 'v6e',
    'TPU v6e': 'v6e',
    'TPU7x': 'tpu7x',
    'NVIDIA A100-SXM4-40GB': 'a100-40',
    'NVIDIA A100-SXM4-80GB': 'a100-80',
    'NVIDIA H100 80GB HBM3': 'h100',
    'NVIDIA H200': 'h200',
    'NVIDIA B200': 'b200',
}


def chip_of(device_kind: str) -> Chip | None:
    """Returns the specification for `jax.Device.device_kind`; None if unknown, as for a CPU."""
    name = _DEVICE_KINDS.get(device_kind)
    return None if name is None else CHIPS[name]
