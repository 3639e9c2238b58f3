#!/usr/bin/env bash
# Runs `genjax <command> ...` on all machines of a Cloud TPU slice, with the commit of this checkout:
#
#   export TPU=name ZONE=us-west4-a
#   launch/tpu_vm.sh train --config=configs/imagenet256/dit_xl2.py --workdir=/mnt/runs/dit
#   launch/tpu_vm.sh stop        has it saved (status 75); the first command resumes it
#
#   launch/tpu_vm.sh detached train ...   goes on without this terminal: starts again whatever ends it but
#                                success, a mistake (status 2) or `stop`, and when a machine boots again
#   launch/tpu_vm.sh log         what the detached command printed, as it prints more
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

at_boot='(crontab -l 2>/dev/null | grep -v genjax.loop)' # what else the machines start then
case "${1:-}" in
  stop)
    everywhere "rm -f genjax.again; $at_boot | crontab -
      pkill --signal TERM --full 'genjax (train|run_trial)' || true"
    exit ;;
  log)
    everywhere 'tail -n 20 -F genjax.log'
    exit ;;
  detached)
    detached=1
    shift ;;
esac

bundle=$(mktemp -d)/genjax.bundle
trap 'rm -rf -- "$(dirname -- "$bundle")"' EXIT
git -C "$root" bundle create --quiet "$bundle" HEAD
gcloud compute tpus tpu-vm scp "$bundle" "$TPU:" --zone="$ZONE" --worker=all
run="GENJAX_EXTRAS=tpu ./launch/local.sh $(printf '%q ' "$@")"
checkout='set -e
  [ -d genjax ] || git init --quiet genjax
  cd genjax
  git fetch --quiet ~/genjax.bundle HEAD
  git checkout --quiet --detach FETCH_HEAD'
if [ -z "${detached:-}" ]; then
  everywhere "$checkout
  $run"
  exit
fi
# The file genjax.again is there as long as the command is to be started again.
loop="cd ~/genjax
while [ -e ~/genjax.again ]; do
  $run >>~/genjax.log 2>&1
  status=\$?
  if [ \$status = 0 ] || [ \$status = 2 ]; then
    $at_boot | crontab -
    rm -f ~/genjax.again
  fi
  [ ! -e ~/genjax.again ] || sleep 10 # the other machines end, too
done"
everywhere "$checkout
  cat >~/genjax.loop <<'END'
$loop
END
  touch ~/genjax.again
  ($at_boot; echo '@reboot bash genjax.loop') | crontab -
  setsid nohup bash ~/genjax.loop >/dev/null 2>&1 </dev/null &"
