#!/usr/bin/env bash
# Runs `genjax <command> ...` on all machines of a Cloud TPU slice, with the commit of this checkout:
#
#   export TPU=name ZONE=us-west4-a
#   launch/tpu_vm.sh train --config=configs/imagenet256/dit_xl2.py --workdir=/mnt/runs/dit
#   launch/tpu_vm.sh stop        has it saved (status 75); the first command resumes it
#
# The slice comes from gcloud (for several slices, see launch/jobset.yaml):
#
#   gcloud compute tpus queued-resources create name --node-id=name --zone=us-west4-a \
#     --accelerator-type=v5litepod-16 --runtime-version=v2-alpha-tpuv5-lite
#
# --workdir, and the data, are in a folder that all machines see: a file share, or a bucket that
# they have mounted.
set -euo pipefail
: "${TPU:?is the name of the slice}" "${ZONE:?is where it is}"
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

everywhere() {
  gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="$1"
}

if [ "${1:-}" = stop ]; then
  everywhere "pkill --signal TERM --full 'genjax (train|run_trial)' || true"
  exit
fi

bundle=$(mktemp -d)/genjax.bundle
trap 'rm -rf -- "$(dirname -- "$bundle")"' EXIT
git -C "$root" bundle create --quiet "$bundle" HEAD
gcloud compute tpus tpu-vm scp "$bundle" "$TPU:" --zone="$ZONE" --worker=all
everywhere "set -e
  [ -d genjax ] || git init --quiet genjax
  cd genjax
  git fetch --quiet ~/genjax.bundle HEAD
  git checkout --quiet --detach FETCH_HEAD
  GENJAX_EXTRAS=tpu exec ./launch/local.sh $(printf '%q ' "$@")"
