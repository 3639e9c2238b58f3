#!/usr/bin/env bash
# A sweep as a Slurm job array, a task for each trial. `genjax sweep --launcher=slurm` submits this
# script; every --slurm.NAME=VALUE becomes sbatch's --NAME=VALUE, which comes before the lines here.
# To change more, copy this file and say --template=COPY.
#
#SBATCH --job-name=genjax
#SBATCH --open-mode=append
#SBATCH --requeue
# SIGTERM to the trial, so many seconds before its time is over: it saves and ends with status 75.
#SBATCH --signal=TERM@120
set -u

python=$1 # that of whoever submitted this
folder=$2 # of the sweep
shift 2   # what is left: --trust=… for the modules of a config

# Line i of this file, from 0, is the trial of task i.
trials=$folder/slurm/$SLURM_ARRAY_JOB_ID.txt
trial=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$trials") || exit
exec >>"$folder/logs/$trial.txt" 2>&1

# Here is the place for `module load` and environment variables.

# STAGE=/shared/tensorflow_datasets genjax sweep … has the data read from a local disk of each machine.
if [ -n "${STAGE:-}" ]; then
  export TFDS_DATA_DIR=${SLURM_TMPDIR:-${TMPDIR:-/tmp}}/tensorflow_datasets
  srun --ntasks-per-node=1 bash -c 'mkdir -p "$TFDS_DATA_DIR" && cp -ru "$STAGE/." "$TFDS_DATA_DIR"' ||
    exit
fi

# One process for each task of the job (--slurm.nodes=2 --slurm.ntasks-per-node=1). They end
# together: one that is left after a minute hangs.
srun --kill-on-bad-exit=0 --wait=60 "$python" -P -m genjax run_trial "$folder" "$trial" "$@"
status=$?

if [ "$status" = 75 ]; then # saved, not finished: back into the queue
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
