"""From a plain MixSTE to a patched one in ONNX, cell by cell.

Run: python examples/walkthrough.py [FOLDER], or cell by cell in an editor that knows `# %%`.

FOLDER holds a checkout of MixSTE's public code (JinluZhang1126/MixSTE) or is the checkout; without it, the
model is the benchmark's own, which has the same parameters. Weights and clips are random: shapes, times and the
way are real, poses mean nothing. The export needs `pip install "htp-modules[export]"`.
"""

# %% The model, for clips of 81 frames
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in (".", "benchmarks")]

import adapters  # noqa: E402
from htp_diffusion.models.mixste import MixSTE  # noqa: E402
from htp_diffusion.speed.public_code import public_mixste  # noqa: E402

torch.manual_seed(0)
if len(sys.argv) > 1:
    model = public_mixste(sys.argv[1], frames=81, dim=64, depth=5, heads=4)
else:
    model = MixSTE(num_frames=81, dim=64, depth=5, num_heads=4)
model = model.eval()
pose_2d, pose_3d = torch.randn(4, 81, 17, 2), torch.randn(4, 81, 17, 3)
print(f"{type(model).__module__}.{type(model).__name__}")

# %% Patch it
adapters.patch(model, recovery="interpolate")
print(adapters.describe(model))

# %% Look for a setting: what each costs, and how far the output moves from the host's own
htp = adapters.htp_of(model)
with torch.no_grad():
    with adapters.unpruned(model):
        own = model(pose_2d)
    for num_keep in (1 / 2, 1 / 3, 2 / 9):
        htp.config = replace(htp.config, num_keep=num_keep, num_sft_layers=1)
        off = float((model(pose_2d) - own).norm(dim=-1).mean())
        share = adapters.describe(model).macs_after / adapters.describe(model).macs_before
        print(f"f = {htp.config.frames_kept(81)}: {share:.0%} of the operations, {off:.3f} off")

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
def seconds():
    begun = time.perf_counter()
    model(pose_2d)
    return time.perf_counter() - begun


with torch.no_grad():
    model(pose_2d)
    pruned, full = [], []
    for _ in range(7):
        pruned.append(seconds())
        with adapters.unpruned(model):
            full.append(seconds())
print(f"median of 7: {sorted(full)[3] * 1e3:.1f} ms plain, {sorted(pruned)[3] * 1e3:.1f} ms patched")

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
