"""Published online detectors for single series, each from its paper or its authors' code, with their usual settings.

All give a score per row that is larger for what is stranger; none looks ahead. Missing values repeat the last one.
"""

import math
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from river.anomaly import HalfSpaceTrees
from scipy.stats import genpareto, norm
from series_data import LEARNT, Series

Floats = NDArray[np.float64]


def _filled(one: Series) -> Floats:
    values = one.values.copy()
    known = np.where(np.isnan(values), 0, np.arange(len(values)))
    np.maximum.accumulate(known, out=known)
    return np.nan_to_num(values[known])


def _learnt(one: Series) -> int:
    return int(LEARNT * len(one.values))


def windowed_gaussian(one: Series) -> Floats:
    """Of the Numenta Anomaly Benchmark: normal of the last 6,400 values, renewed every 100; ``-log10`` of its tail."""
    values = _filled(one)
    found = np.zeros(len(values))
    mean, sd = 0.0, 1.0
    for i in range(10, len(values)):
        if i == 10 or i % 100 == 0:
            part = values[max(0, i - 6400) : i]
            mean, sd = float(part.mean()), float(part.std()) or 1e-6
        found[i] = -norm.logsf(abs(values[i] - mean) / sd) / math.log(10)
    return found


def rolling_z(one: Series) -> Floats:
    """Distance from the mean of the last day, in its standard deviations."""
    values = _filled(one)
    width = max(int(86400 / one.step), 24)
    found = np.zeros(len(values))
    sums, squares = np.cumsum(np.insert(values, 0, 0)), np.cumsum(np.insert(values - values[0], 0, 0) ** 2)
    for i in range(width, len(values)):
        mean = (sums[i] - sums[i - width]) / width
        shifted = mean - values[0]
        sd = math.sqrt(max((squares[i] - squares[i - width]) / width - shifted * shifted, 0.0))
        found[i] = abs(values[i] - mean) / max(sd, 1e-9 * abs(mean), 1e-12)
    return found


def _pot(sizes: Floats, learnt: int) -> Floats:
    """SPOT (Siffer et al. 2017): peaks over the 98 % quantile of the start, fitted anew after every tenth peak.

    The fit is by moments and its shape at least 0, as a bounded tail would give many rows a chance of nought.
    """
    limit = float(np.quantile(sizes[:learnt], 0.98))
    peaks = (sizes[:learnt][sizes[:learnt] > limit] - limit).tolist() or [1e-9]
    found, fit, fitted = np.zeros(len(sizes)), (0.0, 1.0), 0
    for i in range(learnt, len(sizes)):
        over = sizes[i] - limit
        if over <= 0:
            continue
        if not fitted or len(peaks) - fitted >= 10:
            mean, variance = float(np.mean(peaks)), float(np.var(peaks))
            shape = max(0.5 * (1 - mean * mean / variance), 0.0) if variance > 0 else 0.0
            fit, fitted = (shape, max(mean * (1 - shape), 1e-12)), len(peaks)
        tail = float(genpareto.logsf(over, fit[0], scale=fit[1])) / math.log(10)
        found[i] = -math.log10(len(peaks) / i) - tail
        if found[i] < 4:
            peaks.append(over)
    return found


def spot(one: Series) -> Floats:
    """SPOT for both sides; the score is ``-log10`` of the tail instead of a decision at a level."""
    values, learnt = _filled(one), _learnt(one)
    middle = float(np.median(values[:learnt]))
    return np.maximum(_pot(values - middle, learnt), _pot(middle - values, learnt))


def dspot(one: Series) -> Floats:
    """DSPOT: SPOT of the distance from the mean of the last 20 values."""
    values, learnt = _filled(one), _learnt(one)
    sums = np.cumsum(np.insert(values, 0, 0))
    means = np.empty(len(values))
    for i in range(len(values)):
        means[i] = (sums[i] - sums[max(i - 20, 0)]) / min(i, 20) if i else values[0]
    return np.maximum(_pot(values - means, learnt), _pot(means - values, learnt))


def half_space_trees(one: Series) -> Floats:
    """river's, 25 trees of height 8, window 250, on the last four values scaled by the range of the start."""
    values, learnt = _filled(one), _learnt(one)
    low, high = float(values[:learnt].min()), float(values[:learnt].max())
    scaled = np.clip((values - low) / ((high - low) or 1.0), -1, 2) / 3 + 1 / 3
    model = HalfSpaceTrees(n_trees=25, height=8, window_size=250, seed=1)
    found = np.zeros(len(values))
    for i in range(3, len(values)):
        x = {j: float(scaled[i - j]) for j in range(4)}
        found[i] = model.score_one(x)
        model.learn_one(x)
    return found


def knn_cad(one: Series) -> Floats:
    """KNN-CAD (Burnaev & Ishimtsev 2016): conformal distance to the 27 nearest of the learnt windows of 19 values."""
    values, learnt = _filled(one), _learnt(one)
    width, near = 19, 27
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    half = max(learnt // 2, near + width)
    start = windows[:half]
    inverse = np.linalg.pinv(np.cov(start.T) + 1e-9 * np.eye(width))
    known, past = deque(start, half), deque[float](maxlen=half)
    found = np.zeros(len(values))
    for i in range(half, len(windows)):
        apart = np.asarray(known) - windows[i]
        distances = np.einsum("ij,jk,ik->i", apart, inverse, apart)
        size = float(np.partition(distances, near)[:near].sum())
        if len(past) == half:
            found[i + width - 1] = np.mean(np.asarray(past) < size) + 1e-3 * math.log10(size + 1)
        past.append(size)
        known.append(windows[i - half + len(start)] if i - half + len(start) < i else windows[i - 1])
    return found


def bayes_change(one: Series) -> Floats:
    """Bayesian online change points (Adams & MacKay 2007), normal with unknown mean and variance, hazard 1/100.

    Score: ``-log`` of the predictive density of a value, as its run-length posterior gives it.
    """
    values, learnt = _filled(one), _learnt(one)
    values = (values - values[:learnt].mean()) / (values[:learnt].std() or 1.0)
    mean, kappa, alpha, beta = np.zeros(1), np.ones(1), np.ones(1), np.ones(1)
    log_run = np.zeros(1)
    found = np.zeros(len(values))
    for i, value in enumerate(values.tolist()):
        spread = beta * (kappa + 1) / (alpha * kappa)
        z2 = (value - mean) ** 2 / spread
        log_p = _student(alpha) - 0.5 * np.log(spread) - (alpha + 0.5) * np.log1p(z2 / (2 * alpha))
        joint = log_run + log_p
        total = float(np.logaddexp.reduce(joint))
        found[i] = -total
        log_run = np.concatenate(([math.log(0.01)], joint - total + math.log(0.99)))
        moved = (kappa * mean + value) / (kappa + 1)
        beta = np.concatenate(([1.0], beta + kappa * (value - mean) ** 2 / (2 * (kappa + 1))))
        mean, kappa = np.concatenate(([0.0], moved)), np.concatenate(([1.0], kappa + 1))
        alpha = np.concatenate(([1.0], alpha + 0.5))
        if len(mean) > 400:
            keep = np.sort(np.argsort(log_run)[-300:])
            mean, kappa, alpha, beta, log_run = mean[keep], kappa[keep], alpha[keep], beta[keep], log_run[keep]
    return found - found.min()


def _student(alpha: Floats) -> Floats:
    """Normalising constant of Student's t with ``2 alpha`` degrees of freedom, by Stirling's series of the gammas."""
    return 0.5 * np.log(alpha) - 1 / (8 * alpha) - 0.5 * np.log(2 * np.pi * alpha)


def expose(one: Series) -> Floats:
    """EXPoSE (Schneider et al. 2016): one less the kernel mean, 2,000 random Fourier features, decay .01."""
    values, learnt = _filled(one), _learnt(one)
    values = (values - values[:learnt].mean()) / (values[:learnt].std() or 1.0)
    rng = np.random.default_rng(1)
    slope, phase = rng.normal(0, 1 / 0.5, 2000), rng.uniform(0, 2 * np.pi, 2000)
    mean, found = np.zeros(2000), np.zeros(len(values))
    for i, value in enumerate(values.tolist()):
        features = math.sqrt(2 / 2000) * np.cos(slope * value + phase)
        found[i] = 1 - features @ mean
        mean += (0.01 if i > 100 else 1 / (i + 1)) * (features - mean)
    return found


def entropy(one: Series) -> Floats:
    """Relative entropy (Wang et al. 2011): windows of 52 values in five bins against every hypothesis seen so far."""
    values, learnt = _filled(one), _learnt(one)
    low, high = float(values[:learnt].min()), float(values[:learnt].max())
    bins = np.clip(((values - low) / ((high - low) or 1.0) * 5).astype(int), 0, 4)
    known: list[tuple[Floats, int]] = []
    found = np.zeros(len(values))
    for i in range(52, len(values)):
        share = np.bincount(bins[i - 52 : i], minlength=5) / 52
        apart = [2 * 52 * float(np.sum(share[share > 0] * np.log(share[share > 0] / q[share > 0]))) for q, _ in known]
        found[i] = min(apart) if apart else 0.0
        if not apart or found[i] > 13.3:
            known.append(((share * 52 + 0.5) / 54.5, 1))
    return found


def left_profile(one: Series) -> Floats:
    """Left matrix profile (what DAMP finds; Lu et al. 2022), windows of 48 rows, by stumpy if it is installed."""
    import stumpy

    values, width = _filled(one), 48
    jitter = np.random.default_rng(1).normal(0, 1e-6 * (values.std() or 1.0), len(values))
    left = stumpy.stump(values + jitter, width, ignore_trivial=True).left_P_.astype(float)
    found = np.zeros(len(values))
    found[width - 1 :] = np.where(np.isfinite(left), left, 0.0)
    found[: _learnt(one)] = 0.0
    return found


def random_cut_forest(one: Series) -> Floats:
    """RRCF (Guha et al. 2016) by the package rrcf if it is installed: 40 trees of 256, shingles of 4 values."""
    import rrcf

    values = _filled(one)
    forest = [rrcf.RCTree(random_state=i) for i in range(40)]
    found = np.zeros(len(values))
    for i in range(3, len(values)):
        point = values[i - 3 : i + 1]
        for tree in forest:
            if len(tree.leaves) > 256:
                tree.forget_point(i - 257)
            tree.insert_point(point, index=i)
            found[i] += tree.codisp(i) / len(forest)
    return found


PEERS: dict[str, Callable[[Series], Floats]] = {
    "windowed Gaussian": windowed_gaussian,
    "rolling z": rolling_z,
    "SPOT": spot,
    "DSPOT": dspot,
    "Bayesian change point": bayes_change,
    "EXPoSE": expose,
    "relative entropy": entropy,
    "KNN-CAD": knn_cad,
}
SLOW: dict[str, Callable[[Series], Floats]] = {
    "half-space trees": half_space_trees,
    "left matrix profile": left_profile,
    "random cut forest": random_cut_forest,
}
