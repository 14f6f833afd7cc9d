"""The pruner's formulas, written again the slow way, as :mod:`oracles` has the rest."""

import math

from oracles import highest, softmax


def frame_tokens(x):
    """X̄ of one clip (frames, joints, dim)."""
    return [[math.fsum(column) / len(frame) for column in zip(*frame, strict=True)] for frame in x]


def frame_weights(keep):
    """M̄ of one clip's mask (joints, frames, frames)."""
    frames = len(keep[0])
    return [[sum(m[i][j] for m in keep) / len(keep) for j in range(frames)] for i in range(frames)]


def plain_distance(tokens):
    return [
        [math.sqrt(math.fsum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / len(a)) for b in tokens]
        for a in tokens
    ]


def density(distance, num_neighbors):
    rho = []
    for i, row in enumerate(distance):
        nearest = sorted(v for j, v in enumerate(row) if j != i)[:num_neighbors]
        rho.append(math.exp(-math.fsum(v * v for v in nearest) / len(nearest)) if nearest else 1.0)
    return rho


def support(weights):
    """softmax_i(log(1 + m_i))."""
    return softmax([math.log(1.0 + math.fsum(row)) for row in weights])


def separation(distance, response):
    delta = []
    for i, row in enumerate(distance):
        denser = [row[j] for j in range(len(row)) if (-response[j], j) < (-response[i], i)]  # ties by order
        delta.append(min(denser) if denser else max(row))
    return delta


def saliency(tokens, weights, num_neighbors, beyond):
    """rho' * delta, masked pairs being ``beyond`` apart (a function of the largest distance)."""
    distance = plain_distance(tokens)
    far = beyond(max(map(max, distance)))
    distance = [
        [d if w > 0 else far for d, w in zip(*r, strict=True)] for r in zip(distance, weights, strict=True)
    ]
    response = [r * s for r, s in zip(density(distance, num_neighbors), support(weights), strict=True)]
    return [r * d for r, d in zip(response, separation(distance, response), strict=True)]


def kept_frames(salient, num_keep):
    return sorted(highest(salient, num_keep))
