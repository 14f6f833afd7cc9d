"""Every formula of the method, written again the slow way: Python loops over float64, no tensor operation.

Tensors come in as nested lists (``tensor.double().tolist()``) and go out as such, one sample and, where a
formula works joint by joint, one joint at a time.
"""

import math
from itertools import pairwise

NEGATIVE = -math.inf
JOINTS = (  # Human3.6M, by name, so that a slip in the numbering shows
    "hip", "rhip", "rknee", "rfoot", "lhip", "lknee", "lfoot", "spine", "thorax", "neck", "head",
    "lshoulder", "lelbow", "lwrist", "rshoulder", "relbow", "rwrist",
)  # fmt: skip
LIMBS = (
    "hip rhip rknee rfoot",
    "hip lhip lknee lfoot",
    "hip spine thorax neck head",
    "thorax lshoulder lelbow lwrist",
    "thorax rshoulder relbow rwrist",
)


def dot(a, b):
    return math.fsum(p * q for p, q in zip(a, b, strict=True))


def linear(row, weight, bias=None):
    """One token through nn.Linear, whose weight is (out, in)."""
    return [dot(row, w) + (bias[o] if bias else 0.0) for o, w in enumerate(weight)]


def gelu(v):
    return v * 0.5 * (1.0 + math.erf(v / math.sqrt(2.0)))


def softmax(row):
    top = max(row)
    powers = [math.exp(v - top) for v in row]
    return [p / math.fsum(powers) for p in powers]


def highest(scores, count):
    """Indices of the highest scores, the earlier of two equal ones first."""
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:count]


# --- graphs


def normalised(links):
    graph = []
    for i, row in enumerate(links):
        degree = sum(row)
        graph.append([1.0 if i == j else (v / degree if degree else 0.0) for j, v in enumerate(row)])
    return graph


def chain(frames):
    return normalised([[float(abs(i - j) == 1) for j in range(frames)] for i in range(frames)])


def skeleton():
    links = [[0.0] * 17 for _ in range(17)]
    for limb in LIMBS:
        joints = [JOINTS.index(name) for name in limb.split()]
        for a, b in pairwise(joints):
            links[a][b] = links[b][a] = 1.0
    return normalised(links)


def topology(fixed, learned):
    a = [[fixed[i][j] + learned[i][j] for j in range(len(fixed))] for i in range(len(fixed))]
    return [[(a[i][j] + a[j][i]) / 2 for j in range(len(a))] for i in range(len(a))]


def convolution(x, coupling, weight, modulation, bias):
    """(P ⊙ I)(m ⊙ x W_self) + (P ⊙ (1 - I))(m ⊙ x W_nbr) + b for x (nodes, in)."""
    nodes, out = len(x), len(bias)
    result = []
    for i in range(nodes):
        row = []
        for o in range(out):
            total = bias[o]
            for j in range(nodes):
                own = weight[0] if i == j else weight[1]
                total += (
                    coupling[i][j]
                    * modulation[j][o]
                    * math.fsum(x[j][c] * own[c][o] for c in range(len(x[j])))
                )
            row.append(total)
        result.append(row)
    return result


def batch_norm(rows, weight, bias, mean, variance, *, training, eps=1e-5):
    """Over all rows (samples, joints, frames) of each channel: their own statistics, or the running ones."""
    if training:
        mean = [math.fsum(r[c] for r in rows) / len(rows) for c in range(len(weight))]
        variance = [math.fsum((r[c] - mean[c]) ** 2 for r in rows) / len(rows) for c in range(len(weight))]
    return [
        [(v - mean[c]) / math.sqrt(variance[c] + eps) * weight[c] + bias[c] for c, v in enumerate(row)]
        for row in rows
    ]


def graph_layer(sequences, couplings, state, *, training):
    """BatchNorm(convolution) over a list of node sequences, normalised together."""
    nodes = len(sequences[0])
    mixed = [
        convolution(x, p, state["weight"], state["modulation"][:nodes], state["bias"])
        for x, p in zip(sequences, couplings, strict=True)
    ]
    flat = [row for sequence in mixed for row in sequence]
    flat = batch_norm(
        flat,
        state["norm.weight"],
        state["norm.bias"],
        state["norm.running_mean"],
        state["norm.running_var"],
        training=training,
    )
    return [flat[i * nodes : (i + 1) * nodes] for i in range(len(sequences))]


def spatial_gcn(x, state, *, training):
    """Spatial GCN on (batch, frames, 17, channels); the noisy ones, which come last, are added."""
    coordinates = len(state["convolution.weight"][0])
    poses = [[joint[:coordinates] for joint in pose] for clip in x for pose in clip]
    noises = [[joint[coordinates:] for joint in pose] for clip in x for pose in clip]
    coupling = topology(skeleton(), state["convolution.adjacency"])
    layer = {name.removeprefix("convolution."): value for name, value in state.items()}
    out = graph_layer(poses, [coupling] * len(poses), layer, training=training)
    out = [[[max(v, 0.0) for v in row] for row in pose] for pose in out]
    if "noisy_weight" in state:
        columns = list(zip(*state["noisy_weight"], strict=True))
        added = [[[dot(joint, column) for column in columns] for joint in pose] for pose in noises]
        out = [
            [[v + a for v, a in zip(*rows, strict=True)] for rows in zip(*poses, strict=True)]
            for poses in zip(out, added, strict=True)
        ]
    frames = len(x[0])
    return [out[b * frames : (b + 1) * frames] for b in range(len(x))]


# --- TCEP


def correlation(x):
    """S of one joint's sequence (frames, dim)."""
    return [[dot(a, b) / math.sqrt(len(a)) for b in x] for a in x]


def mask(scores, num_neighbors):
    frames = len(scores)
    neighbors = [
        set(highest([NEGATIVE if i == j else v for j, v in enumerate(row)], min(num_neighbors, frames - 1)))
        for i, row in enumerate(scores)
    ]
    return [[i == j or j in neighbors[i] or i in neighbors[j] for j in range(frames)] for i in range(frames)]


def masked_softmax(scores, keep):
    return [
        softmax([s if k else NEGATIVE for s, k in zip(*rows, strict=True)])
        for rows in zip(scores, keep, strict=True)
    ]


def joint_sequences(x):
    """(batch, frames, joints, dim) to a list of (frames, dim), joints fastest."""
    return [[frame[j] for frame in clip] for clip in x for j in range(len(clip[0]))]


def joint_unsequences(sequences, batch):
    joints = len(sequences) // batch
    return [
        [[sequences[b * joints + j][t] for j in range(joints)] for t in range(len(sequences[0]))]
        for b in range(batch)
    ]


def tcep(x, state, num_neighbors, num_layers, *, training):
    """The refined tokens, and the mask of each sequence (batch and joints folded)."""
    sequences = joint_sequences(x)
    frames = len(x[0])
    scores = [correlation(s) for s in sequences]
    keeps = [mask(s, num_neighbors) for s in scores]
    weights = [masked_softmax(s, k) for s, k in zip(scores, keeps, strict=True)]
    refined = sequences
    for number in range(num_layers):
        prefix = f"layers.{number}."
        layer = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
        learned = [row[:frames] for row in layer["adjacency"][:frames]]
        a = topology(chain(frames), learned)
        couplings = [
            [[w * v for w, v in zip(*rows, strict=True)] for rows in zip(weight, a, strict=True)]
            for weight in weights
        ]
        refined = graph_layer(refined, couplings, layer, training=training)
        refined = [[[gelu(v) for v in row] for row in sequence] for sequence in refined]
    out = [
        [[p + q for p, q in zip(a, b, strict=True)] for a, b in zip(s, r, strict=True)]
        for s, r in zip(sequences, refined, strict=True)
    ]
    return joint_unsequences(out, len(x)), keeps


# --- attention


def layer_norm(row, weight, bias, eps=1e-6):
    mean = math.fsum(row) / len(row)
    variance = math.fsum((v - mean) ** 2 for v in row) / len(row)
    return [(v - mean) / math.sqrt(variance + eps) * w + b for v, w, b in zip(row, weight, bias, strict=True)]


def attention(queries, keys, values, heads, keep=None):
    """softmax(Q Kᵀ / sqrt(d) + M⁺) V, head by head, the heads side by side."""
    width = len(queries[0]) // heads
    out = []
    for i, query in enumerate(queries):
        row = []
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            scores = [
                dot(query[part], key[part]) / math.sqrt(width) if keep is None or keep[i][j] else NEGATIVE
                for j, key in enumerate(keys)
            ]
            weights = softmax(scores)
            row += [dot(weights, [v[c] for v in values]) for c in range(h * width, (h + 1) * width)]
        out.append(row)
    return out


def block(x, state, heads, keep=None):
    """The pre-norm block on one sequence (length, dim)."""
    dim = len(x[0])
    normed = [layer_norm(r, state["norm1.weight"], state["norm1.bias"]) for r in x]
    qkv = [linear(r, state["attn.qkv.weight"], state.get("attn.qkv.bias")) for r in normed]
    query, key, value = ([r[p * dim : (p + 1) * dim] for r in qkv] for p in range(3))
    mixed = attention(query, key, value, heads, keep)
    mixed = [linear(r, state["attn.proj.weight"], state["attn.proj.bias"]) for r in mixed]
    y = [[p + q for p, q in zip(*rows, strict=True)] for rows in zip(x, mixed, strict=True)]
    out = []
    for row in y:
        hidden = linear(
            layer_norm(row, state["norm2.weight"], state["norm2.bias"]),
            state["mlp.fc1.weight"],
            state["mlp.fc1.bias"],
        )
        change = linear([gelu(v) for v in hidden], state["mlp.fc2.weight"], state["mlp.fc2.bias"])
        out.append([p + q for p, q in zip(row, change, strict=True)])
    return out


def sft(x, state, heads, keeps=None):
    sequences = joint_sequences(x)
    keeps = [None] * len(sequences) if keeps is None else keeps
    out = [block(s, state, heads, k) for s, k in zip(sequences, keeps, strict=True)]
    return joint_unsequences(out, len(x))


def cross_attention(x_kept, index, state, heads, frames):
    """Recovery of one clip (kept, joints, dim) at the frames ``index`` to (frames, joints, dim)."""
    queries = state["queries"][:frames]
    query = [linear(r, state["q.weight"], state["q.bias"]) for r in queries]
    joints = []
    for j in range(len(x_kept[0])):
        tokens = [frame[j] for frame in x_kept]
        key = [
            [a + b for a, b in zip(linear(r, state["k.weight"], state["k.bias"]), query[i], strict=True)]
            for r, i in zip(tokens, index, strict=True)
        ]
        value = [linear(r, state["v.weight"], state["v.bias"]) for r in tokens]
        mixed = attention(query, key, value, heads)
        mixed = [linear(r, state["out.weight"], state["out.bias"]) for r in mixed]
        joints.append([[p + q for p, q in zip(*r, strict=True)] for r in zip(mixed, queries, strict=True)])
    return [[joint[t] for joint in joints] for t in range(frames)]


def interpolation(x_kept, index, frames):
    """Linear interpolation of one clip (kept, joints, dim), held at both ends."""
    out = []
    for t in range(frames):
        before = max((p for p, i in enumerate(index) if i <= t), default=0)
        after = min((p for p, i in enumerate(index) if i >= t), default=len(index) - 1)
        gap = index[after] - index[before]
        share = (t - index[before]) / gap if gap > 0 else 0.0
        out.append(
            [
                [(1 - share) * a + share * b for a, b in zip(*rows, strict=True)]
                for rows in zip(x_kept[before], x_kept[after], strict=True)
            ]
        )
    return out
