"""Group-relative policy optimisation of a crop policy: boxes that help the reader get likelier.

One optimizer step, in this order: every micro-batch's rollouts, drawn with the policy as it is;
one call of the reward for all of them; advantages over all processes; then the micro-batches'
losses. A process owns whole groups. Rollouts depend on (seed, epoch, row, sample) alone, see
`batching.rollout_noise`.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Sampler

from cropzoom.data.row import Row
from cropzoom.errors import TrainingError

from . import health, losses
from . import sample_grid as pictures
from .batching import WindowSampler, rollout_noise
from .gains import against_baselines, known_boxes
from .policies.policy import Policy, Scores
from .policy_trainer import PolicyTrainer
from .rewards.reward import Reward

if TYPE_CHECKING:
    from .config import GrpoConfig

logger = logging.getLogger(__name__)

_KEYS = ("actions", "logp", "mask", "advantages")


class GrpoTrainer(PolicyTrainer):
    """Trains a policy against a reward, see `config.GrpoConfig` for what can be chosen.

    The reference that `beta` holds the policy to is a frozen copy of the policy given, so a run
    that goes on from a checkpoint must be given the policy it started from. It is never sharded:
    each process holds all of it.

    Args:
        policy: trained in place, without dropout; usually the result of SFT.
        rows: at least one.
        reward: what a crop is worth; never a part of the policy.
        args: the Trainer's and the method's.
        eval_rows: held out; None or empty: no evaluation.

    Raises:
        TrainingError: no rows, or several GPUs in one process.
    """

    def __init__(
        self,
        policy: Policy,
        rows: Sequence[Row],
        reward: Reward,
        args: GrpoConfig,
        *,
        eval_rows: Sequence[Row] | None = None,
    ) -> None:
        self.config = args
        reference = copy.deepcopy(policy).requires_grad_(False).eval() if args.beta else None
        super().__init__(policy, rows, args, eval_rows=eval_rows, reward=reward)
        self.reward: Reward = reward
        self.reference = None if reference is None else reference.to(args.device)
        self.monitor = health.Monitor()
        self._window: list[dict[str, Tensor]] = []
        self._window_rows: list[str] = []
        self._drawn_in_step = 0
        self._steps_without_reward = 0

    def _sampler(self, length: int) -> Sampler[int]:
        rows_in_step = (
            self.args.per_device_train_batch_size
            * self.args.gradient_accumulation_steps
            * self.accelerator.num_processes
        )
        return WindowSampler(
            length,
            self.args.seed,
            self.current_epoch,
            window=rows_in_step,
            repeats=self.config.num_iterations,
        )

    # Rollouts

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], Tensor | int | None]:
        """Fetch the micro-batches of one step; roll out, unless their rollouts are still in use."""
        samples, rows_in_step = super().get_batch_samples(epoch_iterator, num_batches, device)
        ids = [row.id for sample in samples for row in sample["rows"]]
        if self.state.global_step % self.config.num_iterations == 0:
            self._window, self._window_rows = self._roll_out(samples), ids
        elif self._window_rows != ids:
            raise TrainingError(
                "the rollouts in use are of other rows than this step's: the checkpoint was made "
                "with other data, batch sizes or number of processes"
            )
        for slot, sample in enumerate(samples):
            # Not the rollout itself: DeepSpeed casts all floats of the inputs to its own type.
            sample["slot"] = slot
        return samples, rows_in_step

    def _roll_out(self, samples: list[dict[str, Any]]) -> list[dict[str, Tensor]]:
        """Draw and reward the samples of one step.

        Returns:
            Of each micro-batch, on the CPU: actions (B, G, A), logp and mask (B, G, T),
            advantages (B, G).
        """
        config, policy = self.config, self.accelerator.unwrap_model(self.model)
        rows = [row for sample in samples for row in sample["rows"]]
        epoch = self.current_epoch()
        self.model.eval()
        window, boxes = [], []
        for sample in samples:
            noise = rollout_noise(
                sample["rows"], config.num_generations, policy.noise_length, self.args.seed, epoch
            )
            inputs = self._prepare_inputs(sample["batch"])
            with torch.no_grad(), self.compute_loss_context_manager():
                drawn = self.model("sample", inputs, noise.to(self.args.device), config.temperature)
            window.append(
                {"actions": drawn.actions.cpu(), "logp": drawn.logp.cpu(), "mask": drawn.mask.cpu()}
            )
            boxes.append(drawn.boxes.float().cpu())
        mine = torch.cat(boxes)
        earned = self.reward(rows, mine).float()
        if earned.shape != mine.shape[:2]:
            raise TrainingError(
                f"the reward {self.reward.name!r} returned shape {tuple(earned.shape)}; needs "
                f"(rows, samples) = {tuple(mine.shape[:2])}"
            )
        # Over all processes, so that scaling by the batch means the whole step's batch.
        everyone = self.gathered(earned)
        self._check_rewards(everyone)
        gains = losses.advantages(everyone, config.scale_rewards)
        first = len(rows) * self.accelerator.process_index
        own = gains[first : first + len(rows)].split([len(sample["rows"]) for sample in samples])
        for part, gain in zip(window, own, strict=True):
            part["advantages"] = gain
        drawn_factors = sum(int(part["mask"].sum()) for part in window)
        self._drawn_in_step = int(self.gathered(torch.tensor([drawn_factors])).sum())
        self._watch(rows, mine, earned, everyone)
        return window

    def _check_rewards(self, rewards: Tensor) -> None:
        """Stop a run whose reward has failed for good."""
        if rewards.isfinite().any():
            self._steps_without_reward = 0
            return
        self._steps_without_reward += 1
        patience = self.config.patience
        logger.warning(
            "no sample of this step has a reward (%d of %d in a row before the run stops)",
            self._steps_without_reward,
            patience,
        )
        if self._steps_without_reward >= patience:
            raise TrainingError(
                f"the reward {self.reward.name!r} returned no number at all for {patience} steps "
                "in a row; see its own log, mend it, and resume from the last checkpoint"
            )

    # Health

    def _watch(self, rows: Sequence[Row], boxes: Tensor, rewards: Tensor, everyone: Tensor) -> None:
        """Note metrics of a step's rollouts, over all processes; draw them now and then."""
        step = self.state.global_step
        metrics = health.reward_metrics(everyone)
        metrics |= health.box_metrics(
            self.gathered(boxes.contiguous()), self.gathered(known_boxes(rows))
        )
        parts = getattr(self.reward, "parts", {})
        names = sorted(parts)
        if names:
            means = self.gathered(torch.stack([parts[name].nanmean() for name in names])[None])
            values = means.nanmean(0).tolist()
            metrics |= {f"reward/{name}": v for name, v in zip(names, values, strict=True)}
        if due(step, self.config.baseline_steps):
            metrics |= self._gains(rows, boxes)
        self.note(metrics)
        if due(step, self.config.picture_steps) and self.is_world_process_zero():
            self._draw(rows, boxes, rewards, step)

    def _gains(self, rows: Sequence[Row], boxes: Tensor) -> dict[str, float]:
        """What the sampled boxes earn over no crop and over random crops."""
        # One sample a row is compared: it is as likely to be good as any other.
        earned, none, elsewhere = against_baselines(self.reward, rows, boxes[:, 0])
        both = torch.stack([earned - none, earned - elsewhere], 1)
        over_none, over_random = self.gathered(both).nanmean(0).tolist()
        return {"gain/none": over_none, "gain/random": over_random}

    def _draw(self, rows: Sequence[Row], boxes: Tensor, rewards: Tensor, step: int) -> None:
        shown = slice(0, self.config.pictures)
        sheet = pictures.grid(rows[shown], boxes[shown], rewards[shown])
        pictures.save_grid(sheet, Path(str(self.args.output_dir)) / "pictures", step)
        for callback in self.callback_handler.callbacks:
            writer = getattr(callback, "tb_writer", None)
            if writer is not None:
                pixels = torch.frombuffer(bytearray(sheet.tobytes()), dtype=torch.uint8)
                shape = (sheet.height, sheet.width, 3)
                writer.add_image("boxes", pixels.view(shape), step, dataformats="HWC")

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, and warn of failure signatures."""
        super().log(logs, start_time)
        if "loss" in logs:
            for warning in self.monitor.update(logs, self.state.global_step):
                if self.is_world_process_zero():
                    logger.warning("step %d: %s", self.state.global_step, warning)

    # Loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return this micro-batch's share of the step's loss."""
        config = self.config
        rollout = {k: v.to(self.args.device) for k, v in self._window[inputs["slot"]].items()}
        exact = bool(config.beta) and config.kl == "exact"
        scoring = (inputs["batch"], rollout["actions"], config.temperature, exact)
        _without_dropout(model)
        scores: Scores = model("score", *scoring)
        divergence = None
        if self.reference is not None:
            with torch.no_grad(), self.accelerator.autocast():
                reference: Scores = self.reference("score", *scoring)
            if scores.log_distribution is not None and reference.log_distribution is not None:
                divergence = losses.kl_exact(scores.log_distribution, reference.log_distribution)
            else:
                divergence = losses.kl_k3(scores.logp, reference.logp)
        # Used once, rollouts are of the very policy that is scored: a ratio of exactly 1.
        once = config.num_iterations == 1
        loss = losses.policy_loss(
            scores.logp,
            scores.logp.detach() if once else rollout["logp"],
            rollout["advantages"],
            rollout["mask"],
            variant=config.loss_type,
            clip_low=config.epsilon,
            clip_high=config.epsilon_high,
            max_length=self.accelerator.unwrap_model(self.model).noise_length,
            num_items=self._drawn_in_step,
            parts=self.accelerator.num_processes,
            kl=divergence,
            beta=config.beta,
        )
        entropy = (scores.entropy.detach() * rollout["mask"]).sum(-1).mean()
        self.note({"policy/entropy": float(entropy)}, weight=len(inputs["rows"]))
        per_factor = {
            "policy/kl": float(loss.kl),
            "policy/clipped_low": float(loss.clipped_low),
            "policy/clipped_high": float(loss.clipped_high),
        }
        self.note(per_factor, weight=max(1, int(rollout["mask"].sum())))
        if config.loss_type == "dapo":
            return loss.total
        return loss.total * self.share_of_step(inputs, num_items_in_batch)

    # Checkpoints: rollouts that are used again are part of them.

    def save_progress(self, folder: Path) -> None:
        """Write the rollouts in use, of each process, beside the policy's state."""
        super().save_progress(folder)
        if self.config.num_iterations > 1:
            tensors = {
                f"{slot}.{key}": part[key].contiguous()
                for slot, part in enumerate(self._window)
                for key in _KEYS
            }
            about = {"rows": json.dumps(self._window_rows), "drawn": str(self._drawn_in_step)}
            save_file(tensors, self._rollout_file(folder), metadata=about)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None or self.config.num_iterations == 1:
            return
        path = self._rollout_file(Path(checkpoint))
        if not path.is_file():
            raise TrainingError(
                f"{path} is missing: resume with the num_iterations and the number of processes "
                "that the checkpoint was made with"
            )
        with safe_open(path, framework="pt") as file:
            about = file.metadata()
            slots = len(file.keys()) // len(_KEYS)
            self._window = [
                {key: file.get_tensor(f"{slot}.{key}") for key in _KEYS} for slot in range(slots)
            ]
        self._window_rows = json.loads(about["rows"])
        self._drawn_in_step = int(about["drawn"])

    def _rollout_file(self, folder: Path) -> Path:
        return folder / f"rollouts_{self.args.process_index}.safetensors"


def due(step: int, every: int) -> bool:
    """Whether something done `every` steps is done at this one; 0: never."""
    return every > 0 and step % every == 0


def _without_dropout(model: nn.Module) -> None:
    """Evaluation mode, but for what recomputes activations, which works in training mode only."""
    model.eval()
    for module in model.modules():
        if getattr(module, "gradient_checkpointing", False):
            module.training = True
