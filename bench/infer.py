"""One forward pass, ours against theirs: PyTorch on the CPU, ONNX Runtime Web in Chromium. `cargo xtask bench infer`
builds our side and starts this; `--help` lists the options.

Every contestant gets the same weights and inputs, and nothing is timed before its numbers agree with PyTorch's.
They take turns, so that other work on the machine slows all of them; the table has the fastest and the median run.
"""

import argparse
import datetime
import json
import logging
import os
import pathlib
import platform
import statistics
import subprocess
import time
import warnings

import browser
import numpy
import torch
import unetr
from safetensors.numpy import save_file

# Largest difference from PyTorch's numbers, which are about 1 in size. ONNX Runtime sums up its norms in another way.
TOLERANCES = {"sonoseg": 1e-4, "ONNX Runtime Web": 1e-3}
WARM_UP = 4


class Ours:
    """Our native program, talked to by lines."""

    def __init__(self, program, config, weights):
        command = [program, "run", json.dumps(config), str(weights)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"Our program ended (exit code {self.process.wait()}); its message is above.")
        return line

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    def load(self, part, tensors, output):
        self.ask(f"load {part} {tensors} {output}")
        return numpy.fromfile(output, "<f4")

    def time(self, part, repeats):
        return [float(word) for word in self.ask(f"time {part} {repeats}").split()]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


@torch.inference_mode()
def time_torch(module, inputs, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        module(*inputs)
        times.append((time.perf_counter() - start) * 1e3)
    return times


def build(config):
    """The network with weights that leave no parameter without influence, and an input like a prepared image."""
    torch.manual_seed(1)
    network = unetr.Unetr(config).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (torch.nn.LayerNorm, torch.nn.GroupNorm)):
                module.weight.add_(0.2 * torch.randn_like(module.weight))
                module.bias.add_(0.2 * torch.randn_like(module.bias))
    size = config["encoder"]["image_size"]
    return network, torch.randn(1, config["encoder"]["channels"], size, size)


def agree(who, network, part, difference):
    print(f"  {network} {part}: {who} differs from PyTorch by at most {difference:.1e}")
    if not difference <= TOLERANCES[who]:
        raise SystemExit(f"{who} computes something else: {part} of {network} differs by {difference:.1e}.")


def prepare(name, config, work, chosen):
    """Weights, inputs and expected outputs of the chosen parts, as files in `work`."""
    network, images = build(config)
    weights = work / f"{name}.safetensors"
    save_file({key: value.numpy() for key, value in network.state_dict().items()}, weights)
    parts = []
    for part, (module, inputs) in unetr.parts(network, images).items():
        if part not in chosen:
            continue
        stem = f"{name}-{part}"
        inputs = [x.contiguous() for x in inputs]
        with torch.inference_mode():
            expected = module(*inputs).contiguous().numpy()
        expected.tofile(work / f"{stem}.f32")
        save_file({str(index): x.numpy() for index, x in enumerate(inputs)}, work / f"{stem}.safetensors")
        files = []
        for index, x in enumerate(inputs):
            x.numpy().tofile(work / f"{stem}-{index}.f32")
            files.append({"file": f"{stem}-{index}.f32", "shape": list(x.shape)})
        parts.append({"name": part, "module": module, "tensors_of": inputs, "expected": expected, "inputs": files,
                      "tensors": f"{stem}.safetensors", "output": f"{stem}.f32", "onnx": f"{stem}.onnx"})  # fmt: skip
    return {"name": name, "config": config, "weights": weights.name, "parts": parts}


def native(networks, program, work, options):
    rows = []
    for network in networks:
        ours = Ours(program, network["config"], work / network["weights"])
        for part in network["parts"]:
            module, inputs = part["module"], part["tensors_of"]
            output = ours.load(part["name"], work / part["tensors"], work / "ours.f32")
            agree("sonoseg", network["name"], part["name"], numpy.abs(output - part["expected"].ravel()).max())
            repeats, rounds = plan(min(ours.time(part["name"], WARM_UP)), options.seconds)
            time_torch(module, inputs, WARM_UP)
            times = {"ours": [], "theirs": []}
            for _ in range(rounds):
                times["ours"] += ours.time(part["name"], repeats)
                times["theirs"] += time_torch(module, inputs, repeats)
            rows.append({"network": network["name"], "part": part["name"], **times})
        ours.end()
    return rows


def plan(milliseconds, seconds):
    """Runs per turn and turns for each contestant, so that a part takes about `seconds` for each."""
    repeats = max(1, round(100 / milliseconds))
    return repeats, min(60, max(7, round(seconds * 1e3 / milliseconds / repeats)))


def export(part, path, opset):
    """The ONNX file that the installed exporter of PyTorch makes."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Copies, because those made in inference mode cannot be traced.
        inputs = tuple(x.clone() for x in part["tensors_of"])
        torch.onnx.export(part["module"], inputs, str(path), opset_version=opset, dynamo=True, external_data=False,
                          verbose=False)  # fmt: skip


def web(networks, work, options):
    job = {"warm_up": WARM_UP, "networks": []}
    for network in networks:
        parts = []
        for part in network["parts"]:
            export(part, work / part["onnx"], options.opset)
            # In wasm, one thread needs about four times as long as PyTorch here.
            guess = 4 * min(time_torch(part["module"], part["tensors_of"], 3))
            repeats, rounds = plan(guess, options.seconds)
            kept = {key: part[key] for key in ("name", "inputs", "tensors", "output", "onnx")}
            parts.append({**kept, "repeats": repeats, "rounds": rounds})
        job["networks"].append({**network, "parts": parts})
    (work / "job.json").write_text(json.dumps(job))
    folders = {"": pathlib.Path(__file__).parent, "ours": options.web, "ort": options.ort, "work": work}
    rows, about = [], {}
    for message in browser.messages(folders, seconds=900):
        if "result" in message:
            row = message["result"]
            agree("sonoseg", row["network"], row["part"], row["differences"]["ours"])
            agree("ONNX Runtime Web", row["network"], row["part"], row["differences"]["theirs"])
            rows.append(row)
        else:
            about = message
    return rows, about


def table(rows, them):
    lines = [f"| network | part | sonoseg, ms | {them}, ms | ratio | median |", "|---|---|---:|---:|---:|---:|"]
    for row in rows:
        a, b = row["ours"], row["theirs"]
        ratios = f"{min(a) / min(b):.2f} | {statistics.median(a) / statistics.median(b):.2f}"
        lines.append(f"| {row['network']} | {row['part']} | {min(a):.1f} | {min(b):.1f} | {ratios} |")
    return "\n".join(lines)


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def profile(networks):
    """Where PyTorch spends its time."""
    for network in networks:
        for part in network["parts"]:
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
                time_torch(part["module"], part["tensors_of"], 10)
            print(f"\nPyTorch, {network['name']} {part['name']}, ten runs:")
            print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=15))


def main():
    parser = argparse.ArgumentParser(prog="cargo xtask bench infer")
    parser.add_argument("--native", type=pathlib.Path, required=True, help="our native program (xtask gives it)")
    parser.add_argument("--skip-native", action="store_true", help="time the browser only (xtask: --only web)")
    parser.add_argument("--web", type=pathlib.Path, help="folder of our wasm (xtask gives it)")
    parser.add_argument("--ort", type=pathlib.Path, help="folder of ONNX Runtime Web (xtask gives it)")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for files (xtask gives it)")
    parser.add_argument("--profile-name", default="release", help=argparse.SUPPRESS)
    parser.add_argument("--networks", default="tiny,base", help="presets (default: tiny,base)")
    parser.add_argument("--parts", default="whole", help="'all', or names such as whole,encoder,skip9 (default: whole)")
    parser.add_argument("--seconds", type=float, default=15, help="about how long to time each part of each contestant")
    parser.add_argument("--opset", type=int, default=20, help="of the exported network (default: 20)")
    parser.add_argument("--profile-torch", action="store_true", help="only print where PyTorch spends its time")
    options = parser.parse_args()

    torch.set_num_threads(os.cpu_count())
    options.work.mkdir(parents=True, exist_ok=True)
    names = ["whole", "encoder", "skip9", "skip6", "skip3", "dec9", "dec6", "dec3", "head"]
    chosen = names if options.parts == "all" else options.parts.split(",")
    networks = []
    for name in options.networks.split(","):
        config = json.loads(subprocess.check_output([options.native, "config", name], text=True))
        networks.append(prepare(name, config, options.work, chosen))
    if options.profile_torch:
        return profile(networks)

    machine = f"{processor()}, {os.cpu_count()} cores, {platform.system()}"
    load = f"load of the machine before the start {os.getloadavg()[0]:.1f}"
    text = [
        f"{datetime.date.today()}, {machine}; batch 1, 224x224, f32; {load}.",
        "Times are those of the fastest run; the ratio is that of the fastest runs, then that of the medians.",
    ]
    results = {}
    if not options.skip_native:
        results["native"] = native(networks, str(options.native), options.work, options)
        build = f"profile `{options.profile_name}`"
        text.append(f"Native, {os.cpu_count()} threads, {build}, against PyTorch {torch.__version__}:")
        text.append(table(results["native"], "PyTorch"))
    if options.web:
        results["web"], about = web(networks, options.work, options)
        chromium = about["browser"].partition("Chrome/")[2].split(" ")[0]
        them = f"ONNX Runtime Web {about['ort']} (wasm, opset {options.opset})"
        text.append(f"Chromium {chromium}, wasm with SIMD, one thread, against {them}:")
        text.append(table(results["web"], "ONNX Runtime Web"))
    (options.work / "infer.json").write_text(json.dumps(results))
    (options.work / "infer.md").write_text("\n\n".join(text) + "\n")
    print("\n" + "\n\n".join(text))
    print(f"\nWritten to {options.work / 'infer.md'} and, with every single run, infer.json beside it.")


if __name__ == "__main__":
    main()
