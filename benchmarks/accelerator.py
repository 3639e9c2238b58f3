"""Train steps on one accelerator: rate, model FLOPs utilisation, memory, cost of checkpoints.

    python -m benchmarks.accelerator --out=accelerator [--minutes=8] [--cases=dit_b2,gpt2]
    python -m benchmarks.accelerator --out=tiny --tiny          # the same on a CPU, in minutes

Each case is a config of this repository with the fields below, in a process of its own, with random
batches that lie on the device. Utilisation is relative to a matrix product of 8192 x 8192 numbers
of the same type, measured in the same process. Memory is the peak that the device reports, beside
what the compiler plans, as `genjax plan` does. `results.json` in --out is written after each case;
compiled programs are kept in its folder `xla`: copied to another machine of the kind, it saves
their compilation. Cases that the time no longer allows are named as not run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIGS = Path(__file__).parents[1] / 'configs'

# Config, fields, and fields of the same case for a CPU.
DIT = {'batch_size': 256, 'model.network.remat': 'none'}
GPT = {
    'model.network.shape': '(1024,)', 'model.network.vocab_size': 50304,
    'model.network.features': 768, 'model.network.num_layers': 12, 'model.network.num_heads': 12,
    'model.network.scan': True, 'dataset.context': 1024, 'batch_size': 16,
}  # fmt: skip
UNET = {
    'model.network.shape': '(64,64,3)', 'model.network.features': '(192,384,576,768)',
    'model.network.num_blocks': 3, 'model.network.attention_at': '(32,16,8)',
    'model.network.head_features': 64, 'model.network.resample': 'block',
    'model.network.scale_shift': True, 'batch_size': 64,
}  # fmt: skip
STYLEGAN = {'model.generator.shape': '(128,128,3)', 'batch_size': 32}
TINY_DIT = {
    'model.network.features': 32, 'model.network.num_layers': 2, 'model.network.num_heads': 2,
    'model.network.shape': '(8,8,4)', 'dataset.shape': '(8,8,4)', 'batch_size': 4,
}  # fmt: skip
TINY_GPT = {
    'model.network.shape': '(16,)', 'dataset.context': 16, 'model.network.vocab_size': 65,
    'model.network.features': 16, 'model.network.num_layers': 2, 'model.network.num_heads': 2,
    'batch_size': 4,
}  # fmt: skip
TINY_UNET = {
    'model.network.shape': '(8,8,3)', 'model.network.features': '(8,16)',
    'model.network.attention_at': '(4,)', 'model.network.head_features': 4,
    'model.network.groups': 4, 'batch_size': 4,
}  # fmt: skip
TINY_STYLEGAN = {
    'model.generator.shape': '(8,8,3)', 'model.generator.features': 4,
    'model.generator.max_features': 8, 'model.generator.latent_features': 8,
    'model.generator.mapping_layers': 2, 'model.discriminator.features': 4,
    'model.discriminator.max_features': 8, 'model.latent_dim': 8, 'batch_size': 4,
}  # fmt: skip
DTYPES = {
    'imagenet256/dit_xl2': ('model.network.dtype',),
    'cifar10/ddpm': ('model.network.dtype',),
    'shakespeare/gpt': ('model.network.dtype',),
    'ffhq256/stylegan2': ('model.generator.dtype', 'model.discriminator.dtype'),
}
SMALL_DIT = {
    'model.network.features': 768, 'model.network.num_layers': 12, 'model.network.num_heads': 12,
}  # fmt: skip
CASES = {
    'dit_b2': ('imagenet256/dit_xl2', {**DIT, **SMALL_DIT}, TINY_DIT, 'bfloat16'),
    'dit_xl2': (
        'imagenet256/dit_xl2', {**DIT, 'model.network.remat': 'full'}, TINY_DIT, 'bfloat16'
    ),
    'gpt2': ('shakespeare/gpt', GPT, TINY_GPT, 'bfloat16'),
    'unet64': ('cifar10/ddpm', UNET, TINY_UNET, 'bfloat16'),
    'stylegan2_128': ('ffhq256/stylegan2', STYLEGAN, TINY_STYLEGAN, 'bfloat16'),
    'dit_b2_fp32': ('imagenet256/dit_xl2', {**DIT, **SMALL_DIT}, TINY_DIT, 'float32'),
    'gpt2_fp32': ('shakespeare/gpt', GPT, TINY_GPT, 'float32'),
    'unet64_fp32': ('cifar10/ddpm', UNET, TINY_UNET, 'float32'),
}  # fmt: skip
BLOCKS, BLOCK_SECONDS = 5, 2.0


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
    for _ in range(2):
        state, metrics = step(state, batch)
        jax.block_until_ready(metrics)
    start = time.perf_counter()
    state, metrics = step(state, batch)
    jax.block_until_ready(metrics)
    each = time.perf_counter() - start
    block, times = max(1, round((0.05 if tiny else BLOCK_SECONDS) / each)), []
    for _ in range(BLOCKS):
        start = time.perf_counter()
        for _ in range(block):
            state, metrics = step(state, batch)
        jax.block_until_ready(metrics)
        times.append((time.perf_counter() - start) / block)
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
    parser.add_argument('--cases', default=','.join(CASES))
    parser.add_argument('--minutes', type=float, default=8.0)
    parser.add_argument('--tiny', action='store_true')
    parser.add_argument('--case', help=argparse.SUPPRESS)  # in a process of its own
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measure(args.case, args.tiny)))
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
        write_json(args.out / 'results.json', {'tiny': args.tiny, 'results': results})
        shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in results[name].items()}
        print(name, json.dumps(shown), flush=True)


def _in_a_process(name: str, args: argparse.Namespace, cache: dict, seconds: float) -> dict:
    import os

    words = [sys.executable, '-m', 'benchmarks.accelerator', f'--out={args.out}', f'--case={name}']
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
