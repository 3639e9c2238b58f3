"""Neural posterior estimation of two moons by the package sbi, with its defaults, on one thread.

    PYTHON sbi_npe.py SIMULATIONS.npz OUT.npz SEED NUM

Run by `run.py` in an interpreter with torch and sbi. Reads `theta` [N, 2], `x` [N, 2] and
`observations` [O, 2], writes `samples` [O, NUM, 2], and prints the CPU seconds of training and of
all samples, the number of epochs and the version as the last line, in JSON.
"""

import json
import sys
import time

import numpy as np
import sbi
import torch
from sbi.inference import NPE
from sbi.utils import BoxUniform


def main() -> None:
    source, out, seed, num = sys.argv[1:]
    torch.set_num_threads(1)
    torch.manual_seed(int(seed))
    data = {name: torch.from_numpy(array) for name, array in np.load(source).items()}
    begin = time.process_time()
    inference = NPE(prior=BoxUniform(-torch.ones(2), torch.ones(2)))
    inference.append_simulations(data['theta'], data['x']).train()
    posterior = inference.build_posterior()
    trained = time.process_time()
    samples = [
        posterior.sample((int(num),), x=x, show_progress_bars=False).numpy()
        for x in data['observations']
    ]
    seconds = {'train_s': trained - begin, 'sample_s': time.process_time() - trained}
    np.savez(out, samples=np.stack(samples))
    epochs = inference.summary['epochs_trained'][-1]
    print()  # sbi leaves its line of progress open
    print(json.dumps({**seconds, 'epochs': epochs, 'version': sbi.__version__}))


if __name__ == '__main__':
    main()
