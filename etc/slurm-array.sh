#!/bin/sh
# An array job of Slurm: sixteen clients register a catalogue, four at a time, docs/scaling.md.
# Journals lie in the home directory, so the same command goes on where it was.
#     sbatch slurm-array.sh --api https://stac.example.org/v1 -c alps \
#         --datetime 2015-01-01/2025-12-31 --rse STAC
#SBATCH --job-name=stac-rucio
#SBATCH --array=1-16%4
#SBATCH --cpus-per-task=1
#SBATCH --mem=1G
#SBATCH --time=12:00:00
#SBATCH --requeue
exec stac-rucio sync "$@" --partition "$SLURM_ARRAY_TASK_ID/16"
