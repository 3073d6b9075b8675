#!/usr/bin/env bash
# Run on each of two nodes with eight GPUs:  NODE=0 HEAD=10.0.0.1 examples/train/two_nodes.sh
# OUT must be on a disk that both see, or the second can't resume.
set -euo pipefail
exec torchrun --nnodes 2 --nproc-per-node 8 --node-rank "${NODE:?0 or 1}" \
  --rdzv-backend c10d --rdzv-endpoint "${HEAD:?address of node 0}:29400" --rdzv-id cropzoom \
  -m cropzoom train grpo "${DATA:-docvqa}" "${OUT:-runs/grpo}" --model "${MODEL:-runs/sft}" "$@"
