#!/usr/bin/env bash
# The recipe of CropVLM (arXiv 2511.19820), end to end. On one A100 the paper took 3 h for SFT and
# 24 h for GRPO, with 62k examples at 2048 px. Needs the hub, and a server for the teacher:
#   vllm serve Qwen/Qwen2.5-VL-7B-Instruct
# Not run as a whole by us, who had no GPU; each command is tested on tiny models. Differences: the
# published scripts give SFT one half of the rows and GRPO the other, which share pictures; here both
# get all but the held-out pictures.
set -euo pipefail
RUNS=${RUNS:-runs/paper}
LAUNCH=${LAUNCH:-python} # LAUNCH="torchrun --nproc-per-node 8" for eight GPUs; lower accumulation
SOURCES=(textvqa docvqa infographicvqa stvqa)

# Boxes for SFT, areas expanded x45, 10, 4, 2, 1 by fifths.
for source in "${SOURCES[@]}"; do
  cropzoom label "$source" "$RUNS/labels/$source" --teacher vlm \
    --model Qwen/Qwen2.5-VL-7B-Instruct --base-url http://localhost:8000/v1
done
labels=$(printf ",$RUNS/labels/%s" "${SOURCES[@]}")

# LoRA r 128, alpha 256; lr 5e-5, batch 2 x 8; one epoch.
$LAUNCH -m cropzoom train sft "${labels:1}" "$RUNS/sft" --preset paper

# lr 5e-6, G 6, temperature .8, beta .01, accumulation 16, gradient norm .1, Dr. GRPO; the reward is
# the answer's log-likelihood under a frozen SmolVLM-256M, plus one for a valid box.
all=$(IFS=,; echo "${SOURCES[*]}")
$LAUNCH -m cropzoom train grpo "$all" "$RUNS/grpo" --preset paper --model "$RUNS/sft"

# A cropper folder for `load_cropper`, which runs without torch.
cropzoom export-onnx "$RUNS/grpo" "$RUNS/cropper"
