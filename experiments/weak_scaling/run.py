"""Weak scaling on paper: the same work for each chip, on ever more of them.

    python experiments/weak_scaling/run.py --out=runs/weak_scaling

Plans DiT-XL/2 on 8 to 256 chips of one v5e pod and on 2 and 4 pods, writes `plans.json`, prints a
table and draws `docs/images/weak_scaling.png`. About a minute of compilation for each point on two
CPU cores; what is already in `plans.json` is not planned again.
"""

import argparse
import json
import math
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt

from genjax import config
from genjax.planning import run, topology

CONFIG = 'configs/imagenet256/dit_xl2.py'
A_CHIP = 4  # examples on each chip in a step
TOPOLOGIES = (
    ('v5e:2x4', 1),
    ('v5e:4x4', 1),
    ('v5e:4x8', 1),
    ('v5e:8x8', 1),
    ('v5e:8x16', 1),
    ('v5e:16x16', 1),
    ('v5e:16x16', 2),
    ('v5e:16x16', 4),
)
MESHES = {'data': {}, 'fsdp': {'mesh.fsdp': '8'}}
IMAGE = Path(__file__).parents[2] / 'docs' / 'images' / 'weak_scaling.png'


def plans(path: Path) -> list[dict]:
    """Plans every point that is not in the file yet."""
    done = json.loads(path.read_text()) if path.exists() else []
    known = {(entry['arranged'], entry['topology'], entry['slices']) for entry in done}
    for mesh, fields in MESHES.items():
        for name, slices in TOPOLOGIES:
            if (mesh, name, slices) in known:
                continue
            where = topology.parse(name, slices)
            batch = {'batch_size': str(A_CHIP * where.size)}
            answer = run.run(
                config.load(CONFIG, [*fields.items(), *batch.items()]), where, quick=True
            )
            done.append({'arranged': mesh, 'topology': name, 'slices': slices, **answer['plan']})
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(done))
            print(f'{mesh} on {where}: {answer["plan"]["bound"]}', flush=True)
    return done


def times(plan: dict) -> dict[str, float]:
    """Milliseconds of a step by resource, at least; with transfers that all hide behind the
    computation, and with none that do.
    """
    bound = plan['bound']
    links, network = 1e3 * bound['interconnect'], 1e3 * (bound['network'] or 0.0)
    compute = 1e3 * max(bound['compute'], bound['memory'])
    return {
        'compute': 1e3 * bound['compute'],
        'memory': 1e3 * bound['memory'],
        'links': links,
        'network': network,
        'hidden': max(compute, links, network),
        'in turn': compute + links + network,
    }


def table(points: list[dict]) -> None:
    """Prints a table in Markdown; efficiencies are against the first point of the mesh."""
    names = ('compute', 'memory', 'links', 'network')
    print('| mesh | chips | ' + ' | '.join(f'{n}, ms' for n in names), end='')
    print(' | efficiency, hidden | efficiency, in turn |\n|' + '---|' * 8)
    for mesh in MESHES:
        rows = [(p['devices'], p['slices'], times(p)) for p in points if p['arranged'] == mesh]
        for chips, slices, t in rows:
            cells = ' | '.join(f'{t[n]:.2f}' for n in names)
            shares = ' | '.join(
                f'{100 * rows[0][2][n] / t[n]:.1f} %' for n in ('hidden', 'in turn')
            )
            of = f' ({slices} slices)' if slices > 1 else ''
            print(f'| {mesh} | {chips}{of} | {cells} | {shares} |')


def draw(points: list[dict]) -> None:
    """Draws times and efficiencies."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout='constrained')
    colours = {'data': 'C0', 'fsdp': 'C1'}
    label = {'data': 'data parallel', 'fsdp': 'FSDP over 8'}
    for mesh, colour in colours.items():
        rows = [(p['devices'], times(p)) for p in points if p['arranged'] == mesh]
        chips = [n for n, _ in rows]
        for name, style in (('links', '-'), ('network', ':')):
            axes[0].plot(
                chips, [t[name] or math.nan for _, t in rows], style, color=colour, marker='o', markersize=3,
                label=f'{label[mesh]}: {name}',
            )  # fmt: skip
        for name, style in (('hidden', '-'), ('in turn', '--')):
            share = [100 * rows[0][1][name] / t[name] for _, t in rows]
            axes[1].plot(
                chips, share, style, color=colour, marker='o', markersize=3,
                label=f'{label[mesh]}: transfers {name}',
            )  # fmt: skip
    axes[0].axhline(times(points[0])['compute'], color='k', label='both: compute')
    axes[0].axhline(times(points[0])['memory'], color='C0', ls='--', label='data parallel: memory')
    axes[1].axhline(90, color='0.7', linewidth=1)
    axes[0].set(ylabel='ms a step, at least', ylim=(0, 28))
    axes[1].set(ylabel='efficiency, % of 8 chips', ylim=(0, 108))
    for axis in axes:
        axis.axvspan(256 * 1.2, 1024 * 1.2, color='0.93', zorder=0)
        axis.set_xscale('log', base=2)
        axis.set(xlabel='v5e chips (shaded: 2 and 4 slices)', xticks=[8, 32, 128, 512, 1024])
        axis.set_xticklabels([8, 32, 128, 512, 1024])
        axis.legend(fontsize=7, frameon=False, loc='lower left')
    figure.savefig(IMAGE, dpi=150)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, required=True, help='the folder of plans.json')
    points = plans(parser.parse_args().out / 'plans.json')
    table(points)
    draw(points)
