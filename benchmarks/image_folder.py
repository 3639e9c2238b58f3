"""Images a second that `Images` streams from a folder of photos, against PyTorch's `ImageFolder`.

    python -m benchmarks.image_folder --torch_python=PATH [--rounds=5] [--seconds=8] [--out=FILE]

The photos are made up: JPEGs of 500 x 375 pixels, in four classes. Both shuffle, decode, crop the
centre and resize (PyTorch: `Resize`, `CenterCrop`, `PILToTensor`; a `DataLoader` of 2 workers),
and give batches of 64 uint8 images. Opening the folder, the first batches and starting workers are
not timed. Rounds alternate; a ratio is the median of the rounds'. `cpu_ms`: time of all cores for
an image, which other work on the machine changes less. Last, how much the memory of the process
grows while genjax streams. PyTorch runs in another interpreter, that of `--torch_python`.
"""

import argparse
import io
import itertools
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from genjax.data import Images, train_batches

BATCH, WARM_UP, CLASSES = 64, 10, 4

TORCH = """
import itertools, json, os, sys, time
import torch
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, PILToTensor, Resize
folder, size, seconds, batch, warm_up = sys.argv[1], *map(float, sys.argv[2:])
size, batch, warm_up = int(size), int(batch), int(warm_up)
data = ImageFolder(folder, Compose([Resize(size), CenterCrop(size), PILToTensor()]))
loader = torch.utils.data.DataLoader(
    data, batch_size=batch, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True)
batches = itertools.chain.from_iterable(itertools.repeat(loader))
for _ in range(warm_up):
    next(batches)
def cpu():
    used = time.process_time()
    for worker in loader._iterator._workers:
        fields = open(f'/proc/{worker.pid}/stat').read().rpartition(')')[2].split()
        used += (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')
    return used
used, start, count = cpu(), time.perf_counter(), 0
while time.perf_counter() - start < seconds:
    x, label = next(batches)
    count += len(x)
print(json.dumps([count / (time.perf_counter() - start), 1000 * (cpu() - used) / count]))
"""


def write_photos(folder: Path, count: int) -> int:
    """Writes photos: noise of all scales, as the spectra of natural images; returns their bytes."""
    random = np.random.RandomState(0)
    total = 0
    for number in range(count):
        height, width = (375, 500) if number % 4 else (500, 375)
        photo = np.zeros((height, width, 3), np.float32)
        for scale in (1, 2, 4, 8, 16, 32, 64, 128):
            small = random.randn(-(-height // scale), -(-width // scale), 3) * scale**0.3
            for channel in range(3):
                layer = Image.fromarray(small[..., channel].astype(np.float32))
                photo[..., channel] += np.asarray(layer.resize((width, height), 2))
        photo = np.clip(128 + photo * 45 / photo.std(), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(photo).save(file, 'JPEG', quality=90)
        path = folder / f'class {number % CLASSES}' / f'{number}.jpg'
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file.getvalue())
        total += file.tell()
    return total


def genjax_rate(folder: Path, size: int, seconds: float) -> tuple[float, float]:
    """Images a second of genjax, and milliseconds of all cores for an image."""
    source = Images(str(folder), size=size, splits={}, in_memory=False).source('train')
    batches = train_batches(source, batch_size=BATCH, seed=0)
    for _ in itertools.islice(batches, WARM_UP):
        pass
    used, start, count = time.process_time(), time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        count += len(next(batches)['x'])
    rate = count / (time.perf_counter() - start)
    cost = 1000 * (time.process_time() - used) / count
    batches.close()
    return rate, cost


def torch_rate(python: str, folder: Path, size: int, seconds: float) -> tuple[float, float]:
    """The same of PyTorch."""
    words = [python, '-c', TORCH, str(folder), *map(str, (size, seconds, BATCH, WARM_UP))]
    return tuple(json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout))


def memory() -> float:
    """Resident memory of this process in MB."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmRSS')) / 1024


def growth(folder: Path, size: int, batches: int) -> dict[str, float]:
    """Growth of the memory, in MB, while so many batches are streamed after a tenth of them."""
    source = Images(str(folder), size=size, splits={}, in_memory=False).source('train')
    stream = train_batches(source, batch_size=BATCH, seed=0)
    for _ in itertools.islice(stream, batches // 10):
        pass
    before = memory()
    for _ in itertools.islice(stream, batches):
        pass
    streamed = batches * BATCH * size**2 * 3 / 2**20
    found = {'streamed_mb': round(streamed), 'growth_mb': round(memory() - before, 1)}
    stream.close()
    return found


def main() -> None:
    """Prints a line for each size, and writes all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--torch_python', required=True, help='an interpreter with torchvision')
    parser.add_argument('--photos', type=int, default=800)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=float, default=8.0)
    parser.add_argument('--sizes', type=int, nargs='+', default=[64, 256])
    parser.add_argument('--out', type=Path, help='a .json file')
    args = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        kilobytes = write_photos(folder, args.photos) / args.photos / 1000
        print(f'{args.photos} photos of {kilobytes:.0f} kB on average')
        for size in args.sizes:
            ours, theirs = [], []
            for _ in range(args.rounds):
                ours.append(genjax_rate(folder, size, args.seconds))
                theirs.append(torch_rate(args.torch_python, folder, size, args.seconds))
            rates = {'genjax': [r for r, _ in ours], 'torch': [r for r, _ in theirs]}
            ratios = [a / b for a, b in zip(rates['genjax'], rates['torch'], strict=True)]
            results[str(size)] = {
                **{name: [round(rate, 1) for rate in found] for name, found in rates.items()},
                'ratio': round(statistics.median(ratios), 3),
                'cpu_ms': {
                    name: round(statistics.median(cost for _, cost in found), 2)
                    for name, found in (('genjax', ours), ('torch', theirs))
                },
                'memory': growth(folder, size, 300),
            }
            print(f'{size} px: {json.dumps(results[str(size)])}', flush=True)
    if args.out:
        args.out.write_text(json.dumps({'photo_kb': round(kilobytes), 'sizes': results}) + '\n')


if __name__ == '__main__':
    main()
