#!/usr/bin/env bash
# Trains what docs/results.md tables for the VAE and the GAN, three seeds each, one after another.
#
#   experiments/foundation/run.sh [folder]        about 5 minutes on two cores
#
# Afterwards each folder holds its config.json, evaluations/ and the wall time, in seconds.
set -euo pipefail
out=${1:-runs/foundation}
mkdir -p "$out"
for seed in 0 1 2; do
  for config in digits/vae gaussians/ring; do
    workdir=$out/$(basename "$config")$seed
    SECONDS=0
    genjax train --config="configs/$config.py" --workdir="$workdir" --config.seed="$seed"
    echo "$SECONDS" >"$workdir/seconds"
  done
done
