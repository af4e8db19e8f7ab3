"""One training step, ours against PyTorch's: forward, loss, backward, AdamW, on the CPU. `cargo xtask bench train` builds
our side and starts this.

Both sides get the same weights, images and targets, and nothing is timed before the losses agree. They take turns; the
table has the fastest and the median step.
"""

import argparse
import datetime
import json
import pathlib
import statistics
import subprocess
import time

import infer
import mae
import torch
import torch.nn.functional as F
import unetr
from safetensors.torch import save_file

# SF-UNETR as it is trained (Yang 2024 has 8 at once), MAE with a batch that fits everywhere.
BATCHES = {"tiny": {"unetr": 8, "mae": 16}, "base": {"unetr": 2, "mae": 8}}


def dice_focal(logits, target, smooth=1.0, gamma=2.0):
    p = logits.sigmoid()
    both, each = (p * target).sum((2, 3)), (p + target).sum((2, 3))
    dice = (1 - (2 * both + smooth) / (each + smooth)).mean()
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return dice + (bce * (1 - torch.where(target > 0.5, p, 1 - p)) ** gamma).mean()


class Theirs:
    def __init__(self, kind, config, batch):
        torch.manual_seed(1)
        vit = config["encoder"]
        self.network = unetr.Unetr(config) if kind == "unetr" else mae.Mae(config)
        size = vit["image_size"]
        self.tensors = {"images": torch.randn(batch, vit["channels"], size, size)}
        if kind == "unetr":
            self.tensors["target"] = (torch.rand(batch, 1, size, size) > 0.98).float()
        else:
            self.tensors["noise"] = torch.rand(batch, (size // vit["patch_size"]) ** 2)
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.05)

    def loss(self):
        if "noise" in self.tensors:
            return self.network(self.tensors["images"], self.tensors["noise"])
        return dice_focal(self.network(self.tensors["images"]), self.tensors["target"])

    def time(self, repeats):
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            loss = self.loss()
            loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad()
            loss.item()
            times.append((time.perf_counter() - start) * 1e3)
        return times


class Ours:
    def __init__(self, program, kind, config, tensors):
        command = [program, "run", kind, json.dumps(config), str(tensors)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.loss = float(self.answer())

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"Our program ended (exit code {self.process.wait()}); its message is above.")
        return line

    def time(self, repeats):
        self.process.stdin.write(f"{repeats}\n")
        self.process.stdin.flush()
        return [float(word) for word in self.answer().split()]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def measure(program, preset, kind, config, options):
    batch = BATCHES[preset][kind]
    theirs = Theirs(kind, config, batch)
    path = options.work / f"train-{preset}-{kind}.safetensors"
    weights = {f"param.{name}": tensor for name, tensor in theirs.network.state_dict().items()}
    save_file({name: tensor.contiguous() for name, tensor in {**weights, **theirs.tensors}.items()}, path)
    ours = Ours(program, kind, config, path)
    expected = theirs.loss().item()
    difference = abs(ours.loss - expected) / abs(expected)
    print(f"  {preset} {kind}: loss {ours.loss:.6f} and {expected:.6f}, {difference:.1e} apart")
    if not difference < 1e-4:
        raise SystemExit("The two sides compute something else.")
    first = min(ours.time(2) + theirs.time(2))
    rounds = min(40, max(4, round(options.seconds * 1e3 / first)))
    times = {"ours": [], "theirs": []}
    for _ in range(rounds):
        times["ours"] += ours.time(1)
        times["theirs"] += theirs.time(1)
    ours.end()
    return {"preset": preset, "kind": kind, "batch": batch, **times}


def loader(program, data, seconds):
    """Frames per second of our loader with augmentation, at the size of the networks."""
    command = [program, str(data), str(seconds)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(prog="cargo xtask bench train")
    parser.add_argument("--native", required=True, help="our program (xtask gives it)")
    parser.add_argument("--loader", required=True, help="our loader alone (xtask gives it)")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="data for the loader (xtask makes it)")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for everything that is made")
    parser.add_argument("--profile-name", required=True)
    parser.add_argument("--networks", nargs="+", default=["tiny", "base"], choices=list(BATCHES))
    parser.add_argument("--seconds", type=float, default=20, help="for each side of each row")
    options = parser.parse_args()
    rows = []
    for preset in options.networks:
        configs = json.loads(subprocess.run([options.native, "config", preset], check=True, capture_output=True).stdout)
        rows += [measure(options.native, preset, kind, config, options) for kind, config in configs.items()]
    text = [
        f"{infer.processor()}, {torch.get_num_threads()} threads, profile {options.profile_name}, "
        f"PyTorch {torch.__version__}, {datetime.date.today()}",
        "",
        "| network | step | batch | sonoseg, ms | PyTorch, ms | ratio | median |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        a, b = row["ours"], row["theirs"]
        ratios = f"{min(a) / min(b):.2f} | {statistics.median(a) / statistics.median(b):.2f}"
        text.append(f"| {row['preset']} | {row['kind']} | {row['batch']} | {min(a):.0f} | {min(b):.0f} | {ratios} |")
    speed = loader(options.loader, options.data, options.seconds)
    tiny = next((row for row in rows if (row["preset"], row["kind"]) == ("tiny", "unetr")), None)
    text += ["", f"Loader: {speed['frames_per_second']:.0f} frames a second with augmentation, {speed['threads']} threads, "
             f"frames of {speed['height']}x{speed['width']} to 224x224."]  # fmt: skip
    if tiny:
        demand = tiny["batch"] / min(tiny["ours"]) * 1e3
        text.append(f"A `tiny` step needs {demand:.0f} a second: {speed['frames_per_second'] / demand:.1f} times that.")
    (options.work / "train.md").write_text("\n".join(text) + "\n")
    (options.work / "train.json").write_text(json.dumps({"rows": rows, "loader": speed}))
    print("\n" + "\n".join(text))


if __name__ == "__main__":
    main()
