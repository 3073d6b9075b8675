"""The distribution over boxes of policies that point, against sums done by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from torch import Tensor

from cropzoom.cropper.nano.nano_cropper import decode
from cropzoom.cropper.nano.pointer_spec import DecodeSpec
from cropzoom.geometry import Box
from cropzoom.trainer.policies.policy import pick
from cropzoom.trainer.policies.torch_pointing import BoxDistribution, Grid, log_spaced, settle

BINS = (0.1, 0.2, 0.4)


def grid_of(*shapes: tuple[int, int], bins: tuple[float, ...] = BINS) -> Grid:
    """Grids that cover their images."""
    sizes = torch.tensor(shapes)
    reach = torch.tensor(bins).expand(len(shapes), 2, -1)
    return Grid(sizes[:, 0], sizes[:, 1], 1 / sizes.flip(-1).float(), reach)


def table(edges: Tensor):  # type: ignore[no-untyped-def]
    """Logits (B, N, 4, K) as a function of cells."""
    return lambda cells: edges.gather(1, cells[..., None, None].expand(-1, -1, *edges.shape[2:]))


def random_distribution(
    seed: int, *shapes: tuple[int, int], temperature: float = 1.0
) -> BoxDistribution:
    draw = torch.Generator().manual_seed(seed)
    count = max(rows * columns for rows, columns in shapes)
    cells = torch.randn(len(shapes), count, generator=draw)
    edges = torch.randn(len(shapes), count, 4, len(BINS), generator=draw)
    return BoxDistribution(cells, table(edges), grid_of(*shapes), temperature)


def test_pick_inverts_the_distribution() -> None:
    logits = torch.tensor([0.5, 0.25, 0.0, 0.25]).log()
    noise = torch.tensor([0.0, 0.499, 0.501, 0.749, 0.751, 0.999], dtype=torch.float64)
    assert pick(logits.expand(6, -1), noise).tolist() == [0, 0, 1, 1, 3, 3]
    # A number that was rounded up to 1 still draws nothing that can't be drawn.
    assert pick(torch.tensor([0.3, 0.1, -torch.inf]), torch.tensor(1.0)) == 1


def test_boxes_by_hand() -> None:
    # Cell 5 of 2 x 3: row 1, column 2, centred at (5/6, 3/4).
    distribution = random_distribution(0, (2, 3))
    box = distribution.boxes(torch.tensor([[[5, 0, 2, 1, 0]]]))[0, 0]
    wanted = [5 / 6 - 0.1, 0.75 - 0.4, 5 / 6 + 0.2, 0.75 + 0.1]
    assert torch.allclose(box, torch.tensor(wanted))


def test_distances_are_of_each_row_and_side() -> None:
    # 16-px cells, distances of 8 and 16 px, in a 64 x 32 and a 32 x 32 px image.
    size = torch.tensor([[64.0, 32.0], [32.0, 32.0]])
    grid = Grid(
        torch.tensor([2, 2]),
        torch.tensor([4, 2]),
        16 / size,
        torch.tensor([8.0, 16.0]) / size[..., None],
    )
    distribution = BoxDistribution(torch.zeros(2, 8), table(torch.zeros(2, 8, 4, 2)), grid)
    boxes = distribution.boxes(torch.tensor([[[5, 1, 0, 0, 1]], [[3, 1, 0, 0, 1]]]))[:, 0]
    # Both centres are at (24, 24) px.
    assert (boxes * size.repeat(1, 2)).tolist() == [[8, 16, 32, 40], [8, 16, 32, 40]]


def test_sampling_and_scoring_by_hand() -> None:
    cells = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log()
    edges = torch.tensor([0.5, 0.25, 0.25]).log().expand(1, 4, 4, -1)
    distribution = BoxDistribution(cells, table(edges), grid_of((2, 2)))
    noise = torch.tensor([[[0.35, 0.0, 0.501, 0.74, 0.9]]], dtype=torch.float64)
    actions = distribution.sample(noise)
    assert actions.tolist() == [[[2, 0, 1, 1, 2]]]
    scores = distribution.score(actions, full=True)
    wanted = torch.tensor([0.3, 0.5, 0.25, 0.25, 0.25]).log()
    assert torch.allclose(scores.logp[0, 0], wanted)
    assert scores.mask.all()
    each = -sum(p * math.log(p) for p in (0.1, 0.2, 0.3, 0.4)), 1.5 * math.log(2)
    assert torch.allclose(scores.entropy[0, 0], torch.tensor([each[0], *[each[1]] * 4]))
    whole = scores.log_distribution
    assert whole is not None and whole.shape == (1, 1, 5, 4)
    assert torch.allclose(whole[0, 0, 0].exp(), torch.tensor([0.1, 0.2, 0.3, 0.4]))
    assert torch.allclose(whole[0, 0, 3].exp(), torch.tensor([0.5, 0.25, 0.25, 0.0]))
    assert whole[0, 0, 3, 3] == -torch.inf


def test_temperature_divides_the_logits() -> None:
    cells = torch.tensor([[0.1, 0.9]]).log()
    edges = torch.tensor([0.1, 0.1, 0.8]).log().expand(1, 2, 4, -1)
    hot = BoxDistribution(cells, table(edges), grid_of((1, 2)), temperature=2.0)
    logp = hot.score(torch.tensor([[[1, 2, 2, 2, 2]]])).logp[0, 0].exp()
    cell = 0.9**0.5 / (0.9**0.5 + 0.1**0.5)
    edge = 0.8**0.5 / (0.8**0.5 + 2 * 0.1**0.5)
    assert torch.allclose(logp, torch.tensor([cell, *[edge] * 4]))


def test_the_score_gradient_is_that_of_categoricals() -> None:
    cells = torch.randn(1, 6, dtype=torch.float64, requires_grad=True)
    edges = torch.randn(1, 6, 4, 3, dtype=torch.float64, requires_grad=True)
    # A grid of 2 x 2: two of the six are no cells.
    distribution = BoxDistribution(cells, table(edges), grid_of((2, 2)), temperature=0.5)
    action = torch.tensor([[[1, 0, 2, 1, 1]]])
    distribution.score(action).logp.sum().backward()
    shares = torch.softmax(cells.detach()[0, :4] / 0.5, -1)
    wanted = torch.cat([(torch.eye(4)[1] - shares) / 0.5, torch.zeros(2)])
    assert torch.allclose(cells.grad[0], wanted, atol=1e-6)
    grad = torch.zeros(6, 4, 3, dtype=torch.float64)
    for side, distance in enumerate((0, 2, 1, 1)):
        share = torch.softmax(edges.detach()[0, 1, side] / 0.5, -1)
        grad[1, side] = (torch.eye(3)[distance] - share) / 0.5
    assert torch.allclose(edges.grad[0], grad, atol=1e-6)


def test_all_boxes_together_have_probability_one_and_the_joint_entropy() -> None:
    distribution = random_distribution(3, (2, 2), (1, 3))
    each = [range(3) for _ in range(4)]
    actions = torch.tensor(list(itertools.product(range(4), *each)))
    scores = distribution.score(actions.expand(2, -1, -1))
    joint = scores.logp.double().sum(-1)
    # The second image has no fourth cell.
    assert (joint[1, actions[:, 0] == 3] == -torch.inf).all()
    assert torch.allclose(joint.exp().sum(-1), torch.ones(2, dtype=torch.float64))
    brute = -(joint.exp() * joint.masked_fill(joint == -torch.inf, 0)).sum(-1)
    # Entropies are given the factors before, so their mean over boxes is the joint entropy.
    chained = (joint.exp() * scores.entropy.double().sum(-1).nan_to_num()).sum(-1)
    assert torch.allclose(brute, chained, rtol=1e-5)


def test_samples_follow_the_distribution() -> None:
    distribution = random_distribution(5, (2, 3), (2, 2), temperature=0.7)
    draw = torch.Generator().manual_seed(1)
    count = 20000
    noise = torch.rand(2, count, 5, dtype=torch.float64, generator=draw)
    actions = distribution.sample(noise)
    assert (actions[1, :, 0] < 4).all()
    for row in range(2):
        shares = distribution.cells[row].exp()
        seen = torch.bincount(actions[row, :, 0], minlength=6)
        cell = int(seen.argmax())
        there = actions[row][actions[row, :, 0] == cell]
        edges = distribution.edges(torch.full((2, 1), cell))[row, 0].exp()
        counts = [torch.bincount(there[:, 1 + side], minlength=3) for side in range(4)]
        for found, expected in [(seen, shares), *zip(counts, edges, strict=True)]:
            possible = expected > 0
            wanted = expected[possible] * found.sum()
            chi_square = float(((found[possible] - wanted) ** 2 / wanted).sum())
            # 99.9 % quantile for up to five degrees of freedom.
            assert chi_square < 20.5


def test_what_surrounds_a_row_does_not_matter() -> None:
    draw = torch.Generator().manual_seed(2)
    cells, edges = torch.randn(1, 6, generator=draw), torch.randn(1, 6, 4, 3, generator=draw)
    noise = torch.rand(1, 50, 5, dtype=torch.float64, generator=draw)
    alone = BoxDistribution(cells, table(edges), grid_of((3, 2)))
    wide = torch.cat([cells, torch.full((1, 14), 99.0)], 1)
    more = torch.cat([edges, torch.zeros(1, 14, 4, 3)], 1)
    among = BoxDistribution(
        torch.cat([torch.zeros(1, 20), wide]),
        table(torch.cat([torch.zeros(1, 20, 4, 3), more])),
        grid_of((4, 5), (3, 2)),
    )
    actions = alone.sample(noise)
    assert torch.equal(actions, among.sample(noise.expand(2, -1, -1))[1:])
    pair = actions.expand(2, -1, -1)
    assert torch.allclose(alone.score(actions).logp, among.score(pair).logp[1:])
    assert torch.equal(alone.boxes(actions), among.boxes(pair)[1:])


def test_nll_by_hand() -> None:
    # Cells at .125, .375, .625, .875; a box from .25 to .75 has its middle at .5, half of it .25:
    # the inner cells are .125 away, a weight of .5; the outer ones .375, none.
    cells = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log()
    edges = torch.tensor([0.5, 0.25, 0.25]).log().expand(1, 4, 4, -1)
    distribution = BoxDistribution(cells, table(edges), grid_of((1, 4)))
    loss = distribution.nll(torch.tensor([[0.25, 0.3, 0.75, 0.7]]))
    # From .375: .125 to the left -> .2; .375 to the right -> .4; .2 up and down -> .2 just reach.
    place = -0.5 * math.log(0.2) - 0.5 * math.log(0.3)
    assert torch.allclose(loss, torch.tensor(place + 4 * math.log(4)))
    # A dot at .4: the tent is 1.5 cells wide, so .375 weighs 1 - .025/.1875, .625 nothing.
    # It is to the right of the cell's centre: the shortest distance on either side.
    dot = distribution.nll(torch.tensor([[0.4, 0.5, 0.4, 0.5]]))
    assert torch.allclose(dot, torch.tensor(-math.log(0.2) + 4 * math.log(2)))


def test_nll_at_the_rim_does_not_count_what_is_no_cell() -> None:
    cells, edges = torch.zeros(1, 8), torch.zeros(1, 8, 4, 3)
    rim = torch.tensor([[0.4, 0.96, 0.6, 1.0]])
    padded = BoxDistribution(cells, table(edges), grid_of((4, 1))).nll(rim)
    exact = BoxDistribution(cells[:, :4], table(edges), grid_of((4, 1))).nll(rim)
    assert torch.allclose(padded, exact) and padded.isfinite().all()


def test_fitting_the_nll_makes_the_smallest_box_that_holds_the_target() -> None:
    torch.manual_seed(0)
    bins = log_spaced(0.01, 1.0, 17)
    cells = torch.zeros(2, 64, requires_grad=True)
    edges = torch.zeros(2, 64, 4, 17, requires_grad=True)
    grid = grid_of((8, 8), (4, 5), bins=bins)
    target = torch.tensor([[0.1, 0.15, 0.35, 0.3], [0.55, 0.02, 0.98, 0.9]])
    optimizer = torch.optim.Adam([cells, edges], 0.3)
    for _ in range(40):
        loss = BoxDistribution(cells, table(edges), grid).nll(target)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
    box = BoxDistribution(cells, table(edges), grid).best()
    assert (box[:, :2] <= target[:, :2] + 1e-6).all() and (box[:, 2:] >= target[:, 2:]).all()
    # Distances grow by a factor of 4/3, so by less than that is each side too long.
    sides, wanted = box[:, 2:] - box[:, :2], target[:, 2:] - target[:, :2]
    assert (sides < 1.34 * wanted).all()


@settings(deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.3, 0.5, 0.7, 0.9]),
    st.sampled_from([None, 0.05, 0.2, 0.6]),
)
def test_the_best_box_is_the_runtimes(seed: int, quantile: float, join: float | None) -> None:
    draw = np.random.default_rng(seed)
    shapes = [tuple(draw.integers(1, 6, 2).tolist()) for _ in range(3)]
    count = max(rows * columns for rows, columns in shapes)
    cells = draw.normal(0, 2, (3, count)).astype(np.float32)
    edges = draw.normal(0, 2, (3, count, 4, 3)).astype(np.float32)
    px = (4.0, 9.0, 20.0)
    size = torch.tensor([[columns * 16.0, rows * 16.0] for rows, columns in shapes])
    sizes = torch.tensor(shapes)
    grid = Grid(sizes[:, 0], sizes[:, 1], 16 / size, torch.tensor(px) / size[..., None])
    best = BoxDistribution(torch.from_numpy(cells), table(torch.from_numpy(edges)), grid).best(
        quantile, join
    )
    spec = DecodeSpec(16, px, quantile, scale=1, pad_px=0, temperature=1, join=join)
    for row, (rows, columns) in enumerate(shapes):
        own = rows * columns
        crops = decode(
            cells[row, :own].reshape(rows, columns),
            0.0,
            edges[row, :own].transpose(1, 2, 0).reshape(4, 3, rows, columns),
            (columns * 16, rows * 16),
            spec,
            1,
        )
        box = crops[0].box
        wanted = torch.tensor([box.x0, box.y0, box.x1, box.y1])
        assert torch.allclose(settle(best[row]), wanted, atol=1e-6)


edge = st.floats(-1, 2, width=32)


@given(edge, edge, edge, edge)
def test_settling_is_ordering(x0: float, y0: float, x1: float, y1: float) -> None:
    box = Box.ordered(x0, y0, x1, y1)
    settled = settle(torch.tensor([[x0, y0, x1, y1]], dtype=torch.float64))[0]
    assert settled.tolist() == pytest.approx([box.x0, box.y0, box.x1, box.y1], abs=1e-12)


def test_no_box_stays_no_box() -> None:
    assert settle(torch.full((1, 2, 4), torch.nan)).isnan().all()
