"""The benchmark that is kept ready for accelerators, on a CPU with small models."""

import json
import subprocess
import sys

import pytest


@pytest.mark.full
def test_large_models_on_one_accelerator(tmp_path):
    cases = 'gpt2,dit_xl2,stylegan2_128,vae_64,flow_64,gpt2_torch'
    words = [f'--out={tmp_path}', '--tiny', f'--cases={cases}']
    command = [sys.executable, '-m', 'benchmarks.accelerator', *words]
    assert subprocess.run(command, check=False).returncode == 0
    results = json.loads((tmp_path / 'results.json').read_text())['results']
    for name, found in results.items():
        assert 'failed' not in found, (name, found)
        if name in ('vae_64', 'flow_64'):
            assert found['members'] == 4
            rate = found['steps_per_s_of_all'] / found['steps_per_s_alone']
            assert found['to_one'] == pytest.approx(rate)
            continue
        if name == 'gpt2_torch':
            if 'not_run' not in found:
                assert found['parameters'] == results['gpt2']['parameters']
                assert found['losses'][-1] < found['losses'][0]
            continue
        rate = found['tflops_per_step'] * found['steps_per_s'] / found['matmul_tflops_per_s']
        assert found['mfu'] == pytest.approx(rate, rel=1e-6)
        assert found['steps_per_s_min'] <= found['steps_per_s'] <= found['steps_per_s_max']
        assert 0 < found['share_of_1000_steps'] < 1 and found['planned_gib'] > 0
    # 2 layers of 12 x 16², and an output of 65 x 16; thrice for the gradient, twice for products
    # and sums; of 4 x 16 tokens, each with 2 x 2 x 16 x 16 in attention.
    weights = 2 * 12 * 16**2 + 65 * 16
    attention = 2 * 2 * 16 * 16
    assert results['gpt2']['tflops_per_step'] * 1e12 == pytest.approx(
        6 * 64 * (weights + attention), rel=0.02
    )
    assert list(tmp_path.glob('xla/*'))
    command[-2:] = ['--cases=gpt2', '--minutes=0']
    assert subprocess.run(command, check=False).returncode == 0
    results = json.loads((tmp_path / 'results.json').read_text())['results']
    assert results == {'gpt2': {'not_run': 'no time left'}}
