"""From a plain MixSTE to a patched one in ONNX, cell by cell.

Run: python examples/walkthrough.py [FOLDER], or cell by cell in an editor that knows `# %%`.

FOLDER holds a checkout of MixSTE's public code (JinluZhang1126/MixSTE) or is the checkout; without it, the
model is the benchmark's own, which has the same parameters. Weights and clips are random: shapes and times
are real, poses mean nothing. The export needs the extra `export`.
"""

# %% The model, for clips of 81 frames
import sys
import tempfile
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in (".", "benchmarks")]

import adapters  # noqa: E402
from htp_diffusion.models.mixste import MixSTE  # noqa: E402
from htp_diffusion.speed.public_code import public_mixste  # noqa: E402

torch.manual_seed(0)
if len(sys.argv) > 1:
    model = public_mixste(sys.argv[1], frames=81, dim=64, depth=4, heads=4)
else:
    model = MixSTE(num_frames=81, dim=64, depth=4, num_heads=4)
model = model.eval()
pose_2d, pose_3d = torch.randn(4, 81, 17, 2), torch.randn(4, 81, 17, 3)
print(f"{type(model).__module__}.{type(model).__name__}")

# %% Patch it
adapters.patch(model, recovery="interpolate")
print(adapters.describe(model))

# %% Tune it: the fastest setting whose output stays within a tolerance of the host's own, on these clips
tuning = adapters.tune(
    model, pose_2d, tolerance=1.0, num_sft_layers=(1, 3), num_keep=(2 / 9, 1 / 3), repeats=3
)
print(tuning)

# %% Fine-tune it for ten steps
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)  # built after the patch
model.train()
losses = []
for _ in range(10):
    optimizer.zero_grad()
    loss = (model(pose_2d) - pose_3d).norm(dim=-1).mean()
    loss.backward()
    optimizer.step()
    losses.append(float(loss.detach()))
print(f"ten steps: loss {losses[0]:.3f} to {losses[-1]:.3f}")
model.eval()


# %% Measure: the host and the patched model in turn
print(adapters.benchmark(model, batch_size=2, repeats=5))

# %% Export to ONNX and run it there
import onnxruntime  # noqa: E402

clip = pose_2d[:1]
with tempfile.TemporaryDirectory() as folder, torch.no_grad():
    path = Path(folder) / "mixste.onnx"
    torch.onnx.export(model, (clip,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (poses,) = session.run(None, {session.get_inputs()[0].name: clip.numpy()})
    difference = float((torch.from_numpy(poses) - model(clip)).abs().max())
print(f"onnxruntime agrees to {difference:.1e}: {difference < 1e-4}")

# %% Undo
adapters.unpatch(model)
print(f"undone: patched is {adapters.is_patched(model)}")
