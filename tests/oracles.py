"""Textbook float64 formulas in numpy, written from the definitions; never import the package."""

import itertools

import numpy as np
import scipy.linalg
import scipy.stats


def centred(x):
    return x - x.mean(0)


def linear_cka(x, y):
    x, y = centred(x), centred(y)
    hsic = [np.linalg.norm(a.T @ b) ** 2 for a, b in ((x, y), (x, x), (y, y))]
    return hsic[0] / np.sqrt(hsic[1] * hsic[2])


def song_hsic(k, el):
    """Unbiased HSIC from Gram matrices (Song et al. 2012)."""
    k, el = k - np.diag(np.diag(k)), el - np.diag(np.diag(el))
    n, one = len(k), np.ones(len(k))
    trace = np.trace(k @ el) + (one @ k @ one) * (one @ el @ one) / ((n - 1) * (n - 2))
    return (trace - 2 / (n - 2) * (one @ k @ el @ one)) / (n * (n - 3))


def debiased_cka(x, y):
    x, y = centred(x), centred(y)
    k, el = x @ x.T, y @ y.T
    return song_hsic(k, el) / np.sqrt(song_hsic(k, k) * song_hsic(el, el))


def blocked_hsic(k, el, utterances):
    """Means over all pairs, triples and quadruples of frames of different utterances, by loops
    over utterances: O(U^4), every frame weighing the same."""
    parts = [np.flatnonzero(utterances == u) for u in np.unique(utterances)]
    block_k = np.array([[k[np.ix_(a, b)].sum() for b in parts] for a in parts])
    block_l = np.array([[el[np.ix_(a, b)].sum() for b in parts] for a in parts])
    n, many = [len(p) for p in parts], range(len(parts))
    twos = list(itertools.permutations(many, 2))
    pairs = sum((k[np.ix_(parts[a], parts[b])] * el[np.ix_(parts[a], parts[b])]).sum()
                for a, b in twos) / sum(n[a] * n[b] for a, b in twos)  # fmt: skip
    triples = weight3 = quadruples = weight4 = 0.0
    for a, b, c in itertools.permutations(many, 3):
        rows_k = k[np.ix_(parts[a], parts[b])].sum(1)
        triples += (rows_k * el[np.ix_(parts[a], parts[c])].sum(1)).sum()
        weight3 += n[a] * n[b] * n[c]
    for a, b, c, d in itertools.permutations(many, 4):
        quadruples += block_k[a, b] * block_l[c, d]
        weight4 += n[a] * n[b] * n[c] * n[d]
    return pairs + quadruples / weight4 - 2 * triples / weight3


def blocked_cka(x, y, utterances):
    """About the mean: with utterances of several lengths the origin matters a little."""
    x, y = centred(x), centred(y)
    k, el = x @ x.T, y @ y.T
    xy, xx, yy = (blocked_hsic(a, b, utterances) for a, b in ((k, el), (k, k), (el, el)))
    return xy / np.sqrt(xx * yy)


def deconfounded_cka(x, y, utterances, z):
    """Of Gram matrices out of which that of z is regressed, each about the mean."""
    k, el, m = (centred(part) @ centred(part).T for part in (x, y, z))
    own = blocked_hsic(m, m, utterances)
    k, el = (gram - blocked_hsic(gram, m, utterances) / own * m for gram in (k, el))
    xy, xx, yy = (blocked_hsic(a, b, utterances) for a, b in ((k, el), (k, k), (el, el)))
    return xy / np.sqrt(xx * yy)


def distances(x):
    return np.linalg.norm(x[:, None] - x[None], axis=2)


def gaussian_kernels(x, utterances, share=0.4):
    d = distances(x)
    median = np.median(d[utterances[:, None] != utterances])
    return np.exp(-(d**2) / (2 * (share * median) ** 2))


def rbf_cka(x, y, utterances):
    k, el = gaussian_kernels(x, utterances), gaussian_kernels(y, utterances)
    xy, xx, yy = (blocked_hsic(a, b, utterances) for a, b in ((k, el), (k, k), (el, el)))
    return xy / np.sqrt(xx * yy)


def cosines(x):
    x = centred(x)
    return x @ x.T / np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(x, axis=1))


def mutual_knn(x, y, utterances, k=10):
    shared = []
    for i in range(len(x)):
        others = np.flatnonzero(utterances != utterances[i])
        near = [set(others[np.argsort(-cosines(side)[i, others])[:k]]) for side in (x, y)]
        shared.append(len(near[0] & near[1]) / k)
    return np.mean(shared)


def rsa(x, y, utterances):
    i, j = np.triu_indices(len(x), 1)
    apart = utterances[i] != utterances[j]
    rdms = [1 - cosines(side)[i, j][apart] for side in (x, y)]
    return scipy.stats.spearmanr(*rdms).statistic


def neuron_matching(x, y):
    r = np.abs(np.corrcoef(x.T, y.T)[: x.shape[1], x.shape[1] :])
    return (r.max(0).mean() + r.max(1).mean()) / 2


def basis(x, tolerance=1e-9):
    """Orthonormal basis of the centred columns."""
    u, s, _ = np.linalg.svd(centred(x), full_matrices=False)
    return u[:, s > tolerance * s[0]]


def canonical_correlations(x, y):
    return np.clip(np.linalg.svd(basis(x).T @ basis(y), compute_uv=False), 0, 1)


def cca(x, y):
    return canonical_correlations(x, y).mean()


def r2_cca(x, y):
    return (canonical_correlations(x, y) ** 2).mean()


def truncated(x, share=0.99):
    u, s, _ = np.linalg.svd(centred(x), full_matrices=False)
    kept = int(np.searchsorted(np.cumsum(s**2) / np.sum(s**2), share)) + 1
    return u[:, :kept]


def svcca(x, y):
    return np.linalg.svd(truncated(x).T @ truncated(y), compute_uv=False).mean()


def pwcca_one_side(x, y):
    q_x = basis(x)
    u, rho, _ = np.linalg.svd(q_x.T @ basis(y), full_matrices=False)
    weights = np.abs((q_x @ u).T @ centred(x)).sum(1)
    return (weights * rho).sum() / weights.sum()


def pwcca(x, y):
    return (pwcca_one_side(x, y) + pwcca_one_side(y, x)) / 2


def procrustes(x, y):
    x, y = centred(x), centred(y)
    wide = max(x.shape[1], y.shape[1])
    x, y = (np.pad(side, ((0, 0), (0, wide - side.shape[1]))) for side in (x, y))
    _, nuclear = scipy.linalg.orthogonal_procrustes(x, y)
    return nuclear / (np.linalg.norm(x) * np.linalg.norm(y))


def regression_r2(x, y):
    x, y = centred(x), centred(y)
    fitted = y @ np.linalg.lstsq(y, x, rcond=None)[0]
    return np.linalg.norm(fitted) ** 2 / np.linalg.norm(x) ** 2


def flat_pearson(x, y):
    return abs(np.corrcoef(x.ravel(), y.ravel())[0, 1])


def heldout_cca(x, y, folds, ridges):
    """Per fold, the mean test correlation by ridge CCA; the next fold picks the ridge."""
    n = folds.max() + 1
    return np.array([_held_out(x, y, folds, ridges, t, (t + 1) % n) for t in range(n)])


def _held_out(x, y, folds, ridges, test, dev):
    train = (folds != test) & (folds != dev)
    scores = []
    for ridge in ridges:
        sides = []
        for z in (x[train], y[train]):
            cov = np.cov(z.T, bias=True)
            cov = cov + ridge * np.trace(cov) / len(cov) * np.eye(len(cov))
            sides.append(np.linalg.inv(scipy.linalg.sqrtm(cov).real))
        cross = centred(x[train]).T @ centred(y[train])
        left, _, right = np.linalg.svd(sides[0] @ cross @ sides[1], full_matrices=False)
        a, b = sides[0] @ left, sides[1] @ right.T
        at = [
            np.mean([np.corrcoef(x[f] @ i, y[f] @ j)[0, 1] for i, j in zip(a.T, b.T, strict=True)])
            for f in (folds == dev, folds == test)
        ]
        scores.append(at)
    return max(scores, key=lambda both: both[0])[1]


sampled_cka = blocked_cka  # of all frames, where all are kept


def cka_without_top(x, y, utterances):
    sides = []
    for side in map(centred, (x, y)):
        u, s, vh = np.linalg.svd(side, full_matrices=False)
        sides.append((u[:, 1:] * s[1:]) @ vh[1:])
    return blocked_cka(*sides, utterances)


def cka_zscored(x, y, utterances):
    sides = (side[:, np.ptp(side, axis=0) > 0] for side in (x, y))
    return blocked_cka(*(scipy.stats.zscore(side) for side in sides), utterances)


def cka_trimmed(x, y, utterances):
    kept = np.ones(len(x), dtype=bool)
    for side in (x, y):
        far = np.argsort(np.linalg.norm(centred(side), axis=1))
        kept[far[-int(np.ceil(len(x) / 100)) :]] = False
    return blocked_cka(x[kept], y[kept], utterances[kept])
