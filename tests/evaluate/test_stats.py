from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropzoom.evaluate.intervals import PictureBootstrap, mcnemar, tango


def test_whole_pictures_are_drawn() -> None:
    # Two pictures, one all right and one all wrong: a draw has 0, 1 or 2 of the right one, so the
    # share is 0, a half or 1, however many answers a picture has.
    pictures = ["a"] * 50 + ["b"] * 50
    found = PictureBootstrap(pictures).share([1.0] * 50 + [0.0] * 50)
    assert found == (0.5, 0.0, 1.0)
    # One by one it would be about 0.4 to 0.6.
    alone = PictureBootstrap(range(100)).share([1.0] * 50 + [0.0] * 50)
    assert 0.35 < alone.low < 0.45 < 0.55 < alone.high < 0.65


def test_the_interval_is_that_of_the_normal_approximation() -> None:
    flags = [1.0] * 300 + [0.0] * 700
    mean, low, high = PictureBootstrap(range(1000), resamples=4000).share(flags)
    assert mean == pytest.approx(0.3)
    half = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    assert low == pytest.approx(0.3 - half, abs=0.004)
    assert high == pytest.approx(0.3 + half, abs=0.004)


def test_draws_are_those_of_a_seed() -> None:
    values = list(np.random.default_rng(1).random(40))
    pictures = [number // 4 for number in range(40)]
    first = PictureBootstrap(pictures, seed=3).share(values)
    assert first == PictureBootstrap(pictures, seed=3).share(values)
    assert first != PictureBootstrap(pictures, seed=4).share(values)
    # by hand: the same generator, pictures in the order of their first answer
    generator = np.random.default_rng(3)
    per_picture = np.array(values).reshape(10, 4).sum(1)
    means = [per_picture[generator.integers(0, 10, 10)].sum() / 40 for _ in range(2000)]
    assert first[1:] == pytest.approx(np.percentile(means, [2.5, 97.5]))


def test_a_share_of_some() -> None:
    # of the two that were right before, one broke
    found = PictureBootstrap(range(4)).share([1, 0, 0, 0], of=[1, 1, 0, 0])
    assert found.mean == 0.5
    assert 0 <= found.low <= found.high <= 1


def test_nothing_is_not_a_number() -> None:
    assert PictureBootstrap([]).share([]).to_dict() == {"mean": None, "interval": [None, None]}
    none_right = PictureBootstrap(range(3)).share([0, 0, 0], of=[0, 0, 0])
    assert none_right.to_dict()["mean"] is None


def test_gap_closed() -> None:
    draws = PictureBootstrap(range(4))
    none, own, oracle = [0, 0, 0, 1], [1, 0, 0, 1], [1, 1, 0, 1]
    assert draws.gap_closed(none, own, oracle).mean == pytest.approx(0.5)
    assert draws.gap_closed(none, none, oracle).mean == 0
    assert draws.gap_closed(none, oracle, oracle) == (1.0, 1.0, 1.0)
    assert math.isnan(draws.gap_closed(oracle, own, none).mean)  # no gap to close


@pytest.mark.parametrize(
    ("broken", "mended", "p"),
    [
        (0, 0, 1.0),
        (3, 3, 1.0),
        (0, 5, 2 / 32),  # all five one way: 2 * 0.5**5
        (5, 0, 2 / 32),
        (1, 8, 2 * (1 + 9) / 512),
        (0, 2000, 0.0),
    ],
)
def test_mcnemar_by_hand(broken: int, mended: int, p: float) -> None:
    assert mcnemar(broken, mended) == pytest.approx(p, abs=1e-12)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_a_probability(broken: int, mended: int) -> None:
    assert 0 < mcnemar(broken, mended) <= 1
    assert mcnemar(broken, mended) == mcnemar(mended, broken)


def test_a_statistic_of_the_answers_themselves() -> None:
    """A mean is a function of sums too, so both ways must say the same, draw for draw."""
    pictures, values = ["a", "a", "b", "c"], np.array([1.0, 0.0, 1.0, 0.5])
    draws = PictureBootstrap(pictures, resamples=50, seed=3)
    assert draws.of_rows(lambda column: float(column.mean()), values) == pytest.approx(
        draws.share(values.tolist())
    )


def test_tango_by_hand() -> None:
    # Nothing changed: q is 0 for D > 0, so T = -n D / sqrt(n D (1 - D)), and z^2 = n D / (1 - D).
    z2 = NormalDist().inv_cdf(0.975) ** 2
    assert tango(0, 0, 100) == pytest.approx((-z2 / (100 + z2), z2 / (100 + z2)))
    # As many one way as the other: symmetric about 0. At D = 0, q = (b + c) / 2n.
    low, high = tango(7, 7, 200)
    assert low == pytest.approx(-high) and low < 0
    # The sides change with broken and mended.
    low, high = tango(12, 3, 150)
    assert tango(3, 12, 150) == pytest.approx((-high, -low))
    assert low < -9 / 150 < high
    # b = 3, c = 12, n = 150 at D = 0.01 by hand: A = 300, B = -15 + 309 * .01 = -11.91,
    # C = -12 * .01 * .99 = -.1188; q = (sqrt(141.8481 + 142.56) + 11.91) / 600 = .0479571;
    # T = (-9 - 1.5) / sqrt(150 * (.0959142 + .0099)) = -10.5 / 3.984005 = -2.6355.
    # So D = .01 is inside an interval whose z is just above 2.6355, and outside one just below.
    inside = 2 * NormalDist().cdf(2.6356) - 1
    outside = 2 * NormalDist().cdf(2.6354) - 1
    assert tango(12, 3, 150, inside)[1] > 0.01 > tango(12, 3, 150, outside)[1]
    assert all(map(math.isnan, tango(0, 0, 0)))


def test_tango_is_the_score_test_turned_round() -> None:
    """Its ends by brute force: the likeliest shares under each difference, on a fine grid."""
    broken, mended, pairs = 9, 2, 80

    def score(difference: float) -> float:
        shares = np.linspace(1e-9, 1 - 1e-9, 400_001)
        up = shares + difference
        rest = 1 - shares - up
        with np.errstate(divide="ignore", invalid="ignore"):
            likelihood = (
                broken * np.log(shares)
                + mended * np.log(up)
                + (pairs - broken - mended) * np.log(rest)
            )
        likelihood[(up <= 0) | (rest <= 0)] = -np.inf
        share = shares[np.argmax(likelihood)]
        variance = pairs * (2 * share + difference - difference**2)
        return float((mended - broken - pairs * difference) / np.sqrt(variance))

    low, high = tango(broken, mended, pairs)
    z = NormalDist().inv_cdf(0.975)
    assert score(low) == pytest.approx(z, abs=1e-3)
    assert score(high) == pytest.approx(-z, abs=1e-3)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 400))
def test_tango_holds_the_difference(broken: int, mended: int, same: int) -> None:
    pairs = broken + mended + same
    if pairs:
        low, high = tango(broken, mended, pairs)
        assert -1 <= low <= (mended - broken) / pairs <= high <= 1
        wider = tango(broken, mended, pairs, 0.99)
        assert wider[0] <= low + 1e-9 and wider[1] >= high - 1e-9
