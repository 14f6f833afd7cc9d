"""Graphs over frames and joints, and the learnable graph convolution on them.

Notation (paper, Section III-B; the convolution is that of KTPFormer and Modulated GCN):
    fixed        A_T, or the skeleton's graph   (N, N), given
    adjacency    A_G                            (N, N), learned
    topology     Â = (A + Aᵀ) / 2, A = fixed + adjacency
    coupling     P, what each node takes from the others: Â, times the masked correlation in TCEP
    kernel       the whole convolution as one matrix   (N in, N out), where P is the same for all samples
    weight       W_self, W_nbr                  (2, in, out)
    modulation   m                              (N, out)
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from htp_modules.checks import check_tokens
from htp_modules.errors import ShapeError
from htp_modules.precision import autocast_is_on, own_precision, sixteen_bits_on_cuda

# Bones of the 17-joint Human3.6M skeleton, child to parent.
_H36M_BONES = (
    (1, 0), (2, 1), (3, 2), (4, 0), (5, 4), (6, 5), (7, 0), (8, 7),
    (9, 8), (10, 9), (11, 8), (12, 11), (13, 12), (14, 8), (15, 14), (16, 15),
)  # fmt: skip
_INITIAL_ADJACENCY = 1e-6  # A_G starts near zero, as in KTPFormer
_XAVIER_GAIN = 2.0**0.5  # for the rectifier after the convolution
_ALIGNED = 8  # numbers of 16 bits: CUDA multiplies matrices slowly whose inner size is no multiple


def normalise_graph(links: Float[Tensor, "nodes nodes"]) -> Float[Tensor, "nodes nodes"]:
    """Row-normalise the links between nodes and put ones on the diagonal.

    Args:
        links: 1 where two nodes are joined, 0 elsewhere and on the diagonal. A node without links keeps only
            its own 1.
    """
    degree = links.sum(dim=-1, keepdim=True).clamp(min=1.0)
    return links / degree + torch.eye(links.shape[0], dtype=links.dtype, device=links.device)


def chain_graph(num_frames: int, like: Tensor) -> Float[Tensor, "frames frames"]:
    """A_T: each frame joined to the one before and the one after; dtype and device are those of ``like``."""
    frame = torch.arange(num_frames, device=like.device)
    return normalise_graph(((frame[:, None] - frame).abs() == 1).to(like.dtype))


def skeleton_graph(num_joints: int) -> Float[Tensor, "joints joints"]:
    """The Human3.6M skeleton for 17 joints; for other layouts self-loops alone, the rest being learned."""
    links = torch.zeros(num_joints, num_joints)
    if num_joints == len(_H36M_BONES) + 1:
        child, parent = torch.tensor(_H36M_BONES).unbind(dim=-1)
        links[child, parent] = 1.0
        links[parent, child] = 1.0
    return normalise_graph(links)


def symmetric_topology(
    fixed: Float[Tensor, "nodes nodes"], adjacency: Float[Tensor, "nodes nodes"]
) -> Float[Tensor, "nodes nodes"]:
    """Â = (A + Aᵀ) / 2 with A = fixed + adjacency."""
    topology = fixed + adjacency
    return (topology + topology.T) / 2


def _nodes_to_add(nodes: int, like: Tensor) -> int:
    """How many zero nodes make a product over nodes fast; none in an eager graph, where they do not pay."""
    slow = sixteen_bits_on_cuda(like) and torch.compiler.is_compiling()
    return -nodes % _ALIGNED if slow else 0


def graph_convolution(
    x: Float[Tensor, "*axes nodes channels"],
    coupling: Float[Tensor, "*#axes nodes nodes"],
    weight: Float[Tensor, "2 channels out"],
    modulation: Float[Tensor, "nodes out"],
    bias: Float[Tensor, " out"],
) -> Float[Tensor, "*axes nodes out"]:
    """(P ⊙ I)(m ⊙ x W_self) + (P ⊙ (1 - I))(m ⊙ x W_nbr) + b.

    As P (m ⊙ x W_nbr) + diag(P) (m ⊙ x (W_self - W_nbr)) + b, which holds the fewest tensors at once. Where
    all samples share the graph and nodes have few channels, a frame is one product with one matrix.
    """
    nodes, channels = x.shape[-2:]
    if coupling.ndim == 2 and nodes * channels <= weight.shape[-1]:
        kernel = _graph_kernel(coupling, weight, modulation).reshape(nodes * channels, -1)
        frames = x.reshape(-1, nodes * channels)
        return torch.addmm(bias.repeat(nodes), frames, kernel).view(*x.shape[:-1], -1)
    axes = x.shape[:-2]
    x, coupling = (part.reshape(-1, *part.shape[-2:]) for part in (x, coupling.expand(*axes, -1, -1)))
    own, neighbor = weight.unbind()
    own = x @ (own - neighbor)
    # Autocast multiplies in fewer bits; what follows stays there, in half the memory.
    modulation, bias, coupling = modulation.to(own.dtype), bias.to(own.dtype), coupling.to(own.dtype)
    diagonal = coupling.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
    mixed = torch.addcmul(bias, diagonal, _modulated(own, modulation))
    del own
    others = _modulated(x @ neighbor, modulation)
    if added := _nodes_to_add(nodes, others):
        coupling, others = F.pad(coupling, (0, added)), F.pad(others, (0, 0, 0, added))
    # The matmul adds its product to the node's own share: no pass over the tokens of its own.
    return torch.baddbmm(mixed, coupling, others).view(*axes, nodes, -1)


def _modulated(
    product: Float[Tensor, "*axes nodes out"], modulation: Float[Tensor, "nodes out"]
) -> Float[Tensor, "*axes nodes out"]:
    """The product under m; nobody else holds it, so in its place, unless gradients need it."""
    return modulation * product if torch.is_grad_enabled() else product.mul_(modulation)


def _graph_kernel(
    coupling: Float[Tensor, "nodes nodes"],
    weight: Float[Tensor, "2 channels out"],
    modulation: Float[Tensor, "nodes out"],
) -> Float[Tensor, "nodes channels nodes out"]:
    """What each channel of each node adds to each channel of every node."""
    own, neighbor = weight.unbind()
    itself = torch.eye(coupling.shape[0], dtype=coupling.dtype, device=coupling.device)[:, None, :, None]
    share = coupling.T[:, None, :, None] * modulation[:, None, None, :]
    return share * (itself * (own - neighbor)[:, None] + neighbor[:, None])


class GraphConvolution(nn.Module):
    """BatchNorm(graph_convolution(x; P)) over ``num_nodes`` nodes, with a learned topology of its own."""

    def __init__(self, in_channels: int, out_channels: int, num_nodes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2, in_channels, out_channels))
        self.adjacency = nn.Parameter(torch.full((num_nodes, num_nodes), _INITIAL_ADJACENCY))
        self.modulation = nn.Parameter(torch.ones(num_nodes, out_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.norm = nn.BatchNorm1d(out_channels)
        for projection in self.weight.unbind():
            nn.init.xavier_uniform_(projection.data, gain=_XAVIER_GAIN)

    def forward(
        self,
        x: Float[Tensor, "*axes nodes channels"],
        fixed: Float[Tensor, "nodes nodes"],
        correlation: Float[Tensor, "*#axes nodes nodes"] | None = None,
    ) -> Float[Tensor, "*axes nodes out"]:
        """Convolve over the graph ``fixed`` plus the learned one, links weighted by ``correlation`` if given.

        With fewer nodes than built for, the tables are sliced.
        """
        nodes = x.shape[-2]
        coupling = symmetric_topology(fixed, self.adjacency[:nodes, :nodes])
        if correlation is not None:
            coupling = correlation * coupling
        coupling = coupling.to(x.dtype)
        mixed = graph_convolution(x, coupling, self.weight, self.modulation[:nodes], self.bias)
        return self.norm(mixed.flatten(0, -2)).view_as(mixed)


class SpatialGCN(nn.Module):
    """Spatial GCN: one graph convolution over the skeleton as joint embedding (Section III-E).

    In a diffusion model the graph convolution reads the 2D pose alone. The noisy 3D pose enters by a linear
    map of its own, added after the rectifier: a rectifier over sums of coordinates and noise, before anything
    knows the diffusion time, loses the coordinates in the noise (docs/errors.md).

    Under autocast it stays in the parameters' precision: coordinates of a few bits would move poses and, with
    them, which frames are kept.

    Args:
        in_channels: Coordinates of a joint that the graph convolution reads, such as 2 of a 2D pose.
        dim: D, channels of the tokens.
        num_joints: J; 17 is taken as the Human3.6M layout.
        noisy_channels: Coordinates of a noisy joint, which follow those in the input: 3 in a diffusion model.
    """

    skeleton: Tensor

    def __init__(self, in_channels: int, dim: int, num_joints: int = 17, noisy_channels: int = 0) -> None:
        super().__init__()
        self.convolution = GraphConvolution(in_channels, dim, num_joints)
        self.register_buffer("skeleton", skeleton_graph(num_joints), persistent=False)
        # A bare parameter, as those of the convolution: THOP counts the paper's figures (Table XI) only so.
        self.noisy_weight = nn.Parameter(torch.empty(noisy_channels, dim)) if noisy_channels else None
        if self.noisy_weight is not None:
            nn.init.xavier_uniform_(self.noisy_weight)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SpatialGCN":
        was_meta = self.skeleton.is_meta
        super()._apply(fn, recurse)
        if was_meta and not self.skeleton.is_meta:  # to_empty: no file has its values
            self.skeleton.copy_(skeleton_graph(self.skeleton.shape[0]))
        return self

    def forward(
        self, x: Float[Tensor, "batch frames joints channels"]
    ) -> Float[Tensor, "batch frames joints dim"]:
        """Embed the coordinates: those that the graph convolution reads, then the noisy ones.

        Raises:
            ShapeError: Another rank, or another number of joints or channels than built for.
            DtypeError: Coordinates that are not floating.
        """
        coordinates = self.convolution.weight.shape[1]
        noisy = 0 if self.noisy_weight is None else self.noisy_weight.shape[0]
        check_tokens(x, name="SpatialGCN", dim=coordinates + noisy)
        if x.shape[2] != self.skeleton.shape[0]:
            raise ShapeError(f"SpatialGCN was built for {self.skeleton.shape[0]} joints, got {x.shape[2]}")
        if autocast_is_on(x):
            x = x.to(self.convolution.weight.dtype)
        with own_precision(x):
            embedded = self.convolution(x[..., :coordinates], self.skeleton).relu()
            if self.noisy_weight is None:
                return embedded
            return embedded + x[..., coordinates:] @ self.noisy_weight
