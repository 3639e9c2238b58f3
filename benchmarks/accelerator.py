"""Train steps on one accelerator: rate, model FLOPs utilisation, memory, cost of checkpoints.

    python -m benchmarks.accelerator --out=accelerator [--minutes=8] [--cases=dit_b2,gpt2]
        [--torch=PYTHON]
    python -m benchmarks.accelerator --out=tiny --tiny          # the same on a CPU, in minutes

Each case is a config of this repository with the fields below, in a process of its own, with random
batches that lie on the device. Utilisation is relative to a matrix product of 8192 x 8192 numbers
of the same type, measured in the same process. Memory is the peak that the device reports, beside
what the compiler plans, as `genjax plan` does. `results.json` in --out is written after each case;
compiled programs are kept in its folder `xla`: copied to another machine of the kind, it saves
their compilation. Cases that the time no longer allows are named as not run.

Beside DiT-B/2 and GPT-2 run the same in PyTorch (`accelerator_torch.py`), by a Python that has it;
`vae_64` and `flow_64` are populations of 64 members, beside one run (`accelerator_population.py`).
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.accelerator_cases import CASES, DTYPES, ORDER, POPULATIONS

CONFIGS = Path(__file__).parents[1] / 'configs'

BLOCKS, BLOCK_SECONDS = 5, 1.0


def measure(name: str, tiny: bool) -> dict:
    """All figures of a case."""
    import jax
    import numpy as np

    from genjax import config as configs
    from genjax.hardware.flops import flops_of_jaxpr
    from genjax.models.base import num_params
    from genjax.parallel import sharding
    from genjax.planning.programs import example
    from genjax.training.experiment import experiment_of
    from genjax.training.programs import Programs

    path, fields, small, dtype = CASES[name]
    fields = {**fields, **(small if tiny else {}), **dict.fromkeys(DTYPES[path], dtype)}
    given = {**fields, 'steps_per_call': 1}
    config = configs.load(str(CONFIGS / f'{path}.py'), list(given.items()))
    experiment = experiment_of(config)
    shapes, _ = example(experiment)
    device = jax.devices()[0]
    programs = Programs.of(experiment, shapes, [device])
    batch = _random(programs.batch, experiment.model)
    batch = sharding.place(batch, programs.batch_sharding)
    start = time.perf_counter()
    state = programs.init(batch, {})
    jax.block_until_ready(state)
    initialised = time.perf_counter() - start
    start = time.perf_counter()
    traced = programs.step.trace(programs.state, programs.batch)
    step = traced.lower().compile()
    compiled = time.perf_counter() - start

    def call() -> Any:
        nonlocal state
        state, metrics = step(state, batch)
        return metrics

    times = _timed(call, tiny)
    seconds = statistics.median(times)
    flops = flops_of_jaxpr(traced.jaxpr)
    peak = _matmul_rate(dtype, 256 if tiny else 8192)
    tokens = np.prod(shapes['x'][0]) if str(shapes['x'][1]) == 'int32' else 1
    return {
        'device': device.device_kind,
        'dtype': dtype,
        'parameters': num_params(state.variables),
        'batch_size': experiment.batch_size,
        'steps_per_s': 1 / seconds,
        'steps_per_s_min': 1 / max(times),
        'steps_per_s_max': 1 / min(times),
        'tokens_per_s' if tokens > 1 else 'images_per_s': float(
            experiment.batch_size * tokens / seconds
        ),
        'tflops_per_step': flops.model / 1e12,
        'uncounted': sorted(flops.uncounted),
        'matmul_tflops_per_s': peak / 1e12,
        'mfu': flops.model / seconds / peak,
        **_memory(device, step),
        **_checkpoints(state, seconds),
        'initialised_s': initialised,
        'compiled_s': compiled,
    }


def population(name: str, tiny: bool) -> dict:
    """All figures of a population."""
    from benchmarks import accelerator_population
    from genjax import config as configs

    path, small = POPULATIONS[name]
    config = configs.load(str(CONFIGS / f'{path}.py'), list((small if tiny else {}).items()))
    return accelerator_population.measure(config, tiny, lambda call: _timed(call, tiny))


def _timed(call: Callable[[], Any], tiny: bool) -> list[float]:
    """Seconds of a call, of each block of calls; only the last of a block is waited for."""
    import jax

    for _ in range(2):
        jax.block_until_ready(call())
    start = time.perf_counter()
    jax.block_until_ready(call())
    each = time.perf_counter() - start
    block, times = max(1, round((0.05 if tiny else BLOCK_SECONDS) / each)), []
    for _ in range(BLOCKS):
        start = time.perf_counter()
        for _ in range(block):
            last = call()
        jax.block_until_ready(last)
        times.append((time.perf_counter() - start) / block)
    return times


def _random(batch: dict, model: object) -> dict:
    """A batch of these shapes: numbers, pixels, tokens or labels."""
    import numpy as np

    random, whole = np.random.default_rng(0), {}
    network = getattr(model, 'network', None)
    top = {'label': getattr(model, 'num_classes', None) or 1}
    for name, like in batch.items():
        if np.issubdtype(like.dtype, np.integer):
            high = top.get(name) or min(getattr(network, 'vocab_size', 256), 2**31 - 1)
            whole[name] = random.integers(0, high, like.shape).astype(like.dtype)
        else:
            whole[name] = random.standard_normal(like.shape).astype(like.dtype)
    return whole


def _matmul_rate(dtype: str, size: int) -> float:
    """FLOP/s of a product of two matrices, with the default precision of the networks."""
    import jax
    import jax.numpy as jnp

    a = jnp.ones((size, size), dtype)

    @jax.jit
    def chain(x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 8, lambda _, x: (x @ a) / size, x)

    chain(a).block_until_ready()
    times = []
    for _ in range(BLOCKS):
        start = time.perf_counter()
        chain(a).block_until_ready()
        times.append(time.perf_counter() - start)
    return 8 * 2 * size**3 / statistics.median(times)


def _memory(device: object, step: object) -> dict:
    """The peak that the device reports (none on a CPU), and what the compiler plans for a step."""
    report = step.memory_analysis()
    planned = (
        report.argument_size_in_bytes + report.output_size_in_bytes
        - report.alias_size_in_bytes + report.temp_size_in_bytes
    )  # fmt: skip
    stats = device.memory_stats() or {}
    peak = stats.get('peak_bytes_in_use')
    figures = {'planned_gib': planned / 2**30}
    return figures | ({'peak_gib': peak / 2**30, 'peak_to_plan': peak / planned} if peak else {})


def _checkpoints(state: object, seconds: float) -> dict:
    """Seconds for which a save holds the steps up, and their share of 1,000 steps."""
    from genjax.training.checkpoints import Checkpoints

    with tempfile.TemporaryDirectory() as folder, Checkpoints(Path(folder) / 'checkpoints') as kept:
        start = time.perf_counter()
        kept.save(1, state)
        held = time.perf_counter() - start
        kept.wait()
        whole = time.perf_counter() - start
    return {
        'save_holds_s': held,
        'save_takes_s': whole,
        'share_of_1000_steps': held / (held + 1000 * seconds),
    }


def main() -> None:
    """Prints a line for each case, and writes all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, required=True, help='a folder')
    parser.add_argument('--cases', default=','.join(ORDER))
    parser.add_argument('--minutes', type=float, default=8.0)
    parser.add_argument('--tiny', action='store_true')
    found = sys.executable if importlib.util.find_spec('torch') else None
    parser.add_argument('--torch', default=found, metavar='PYTHON', help='a Python with PyTorch')
    parser.add_argument('--case', help=argparse.SUPPRESS)  # in a process of its own
    args = parser.parse_args()
    if args.case:
        figures = population if args.case in POPULATIONS else measure
        print(json.dumps(figures(args.case, args.tiny)))
        return
    from genjax.files import write_json

    args.out.mkdir(parents=True, exist_ok=True)
    end, results = time.monotonic() + 60 * args.minutes, {}
    cache = {
        'JAX_COMPILATION_CACHE_DIR': str(args.out.resolve() / 'xla'),
        'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    }
    for name in args.cases.split(','):
        results[name] = _in_a_process(name, args, cache, end - time.monotonic())
        if name.endswith('_torch') and 'steps_per_s' in results[name]:
            ours = results.get(name.removesuffix('_torch'), {}).get('steps_per_s')
            results[name]['genjax_to_torch'] = ours and ours / results[name]['steps_per_s']
        write_json(args.out / 'results.json', {'tiny': args.tiny, 'results': results})
        shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in results[name].items()}
        print(name, json.dumps(shown), flush=True)


def _in_a_process(name: str, args: argparse.Namespace, cache: dict, seconds: float) -> dict:
    words = [sys.executable, '-m', 'benchmarks.accelerator', f'--out={args.out}', f'--case={name}']
    if name.endswith('_torch'):
        if args.torch is None:
            return {'not_run': 'PyTorch is not installed: --torch names a Python that has it'}
        script = str(Path(__file__).with_name('accelerator_torch.py'))
        words = [args.torch, script, f'--case={name.removesuffix("_torch")}']
    try:
        done = subprocess.run(
            words + ['--tiny'] * args.tiny, env={**os.environ, **cache}, capture_output=True,
            text=True, timeout=max(seconds, 1), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {'not_run': 'no time left'}
    if done.returncode:
        return {'failed': done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == '__main__':
    main()
