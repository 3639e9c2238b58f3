import jax

from genjax.hardware.chips import _DEVICE_KINDS, CHIPS, chip_of


def test_every_name_of_a_device_has_a_row_and_every_row_a_name():
    assert set(_DEVICE_KINDS.values()) == set(CHIPS)
    assert chip_of('TPU v5 lite').name == 'TPU v5e'  # `v5` is v5p
    assert chip_of('TPU v5').name == 'TPU v5p'


def test_what_is_unknown_is_not_guessed():
    assert chip_of(jax.devices('cpu')[0].device_kind) is None
    assert chip_of('NVIDIA H100 PCIe') is None


def test_rows_are_of_the_right_size():
    """A digit too many shows: these ratios differ by less than four between all of the chips."""
    ratios = [(c.flops / c.memory_bandwidth, c.memory / c.memory_bandwidth) for c in CHIPS.values()]
    for kind in zip(*ratios, strict=True):
        assert max(kind) < 4 * min(kind)
