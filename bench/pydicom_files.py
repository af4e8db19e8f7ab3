"""The DICOM reader against pydicom, file by file.

    pip install pydicom numpy pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg pylibjpeg-rle
    cargo build -p sonoseg-imaging --example frames
    python bench/pydicom_files.py target/debug/examples/frames [FOLDER or FILE ...]

Without folders it takes pydicom's own test files. What pydicom shows is: rescale or Modality LUT, then VOI LUT or window,
palettes as colours, YBR as RGB; without a window eight bits as they are, and more bits by the darkest and brightest value of
all frames, padding left out, as imaging/src/formats/dicom/grey.rs says. Differences are in grey levels of 255.
"""

import pathlib
import subprocess
import sys
import warnings

import numpy as np
import pydicom
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array

warnings.simplefilter("ignore")


def shown(path):
    """Frames `[frames, height, width, channels]` in [0, 1] as pydicom shows them."""
    data = pydicom.dcmread(path, force=True)
    if "Rows" not in data or "BitsAllocated" not in data:
        return None
    if data.BitsAllocated not in (8, 16) or "PixelData" not in data:
        raise NotImplementedError(f"{data.BitsAllocated} bits")
    # All frames that are there, whatever the header says.
    count = int(data.get("NumberOfFrames") or 1)
    pixels = pixel_array(data)
    if count == 1:
        pixels = pixels[None]
    if pixels.ndim == 4:
        return pixels / (2.0**data.BitsStored - 1)
    if data.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, data)
        return (pixels >> 8 if pixels.dtype == np.uint16 else pixels) / 255.0
    if "WindowCenter" in data or "VOILUTSequence" in data:
        levels = apply_voi_lut(apply_modality_lut(pixels, data), data).astype(float)
        if "VOILUTSequence" in data:
            low, high = 0, 2.0 ** data.VOILUTSequence[0].LUTDescriptor[2] - 1
        else:
            # pydicom windows to the range of the rescaled type, whose ends are the window's.
            slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
            bits = data.BitsStored
            low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if data.PixelRepresentation else (0, 2.0**bits - 1)
            low, high = low * slope + intercept, high * slope + intercept
    elif data.BitsStored <= 8:
        levels, low, high = pixels.astype(float), 0, 2.0**data.BitsStored - 1
        if data.PixelRepresentation:
            low, high = -(2.0 ** (data.BitsStored - 1)), 2.0 ** (data.BitsStored - 1) - 1
    else:
        levels = pixels.astype(float)
        held = pixels[pixels != data.PixelPaddingValue] if "PixelPaddingValue" in data else pixels
        low, high = held.min(), held.max()
    levels = ((levels - low) / max(high - low, 1)).clip(0, 1)[..., None]
    return 1 - levels if data.PhotometricInterpretation == "MONOCHROME1" else levels


def ours(program, path):
    output = subprocess.run([program, path], capture_output=True, timeout=60, check=True).stdout
    head, _, pixels = output.partition(b"\n")
    name, *words = head.decode().split("\t")
    if words[0] == "error":
        return None, words[1].removeprefix(f"{name}: ")
    frames, channels, height, width = map(int, words[:4])
    pixels = np.frombuffer(pixels, "<f4").reshape(frames, channels, height, width)
    return pixels.transpose(0, 2, 3, 1), words[4]


def compare(program, path):
    """Verdict, largest and mean difference, remark."""
    frames, words = ours(program, path)
    try:
        wanted = shown(path)
    except Exception as error:  # noqa: BLE001, whatever keeps pydicom from showing it
        return ("refused by both" if frames is None else "read by us alone"), None, words or str(error)
    if wanted is None:
        return ("no picture" if frames is None else "read by us alone"), None, words
    if frames is None:
        return "not read", None, words
    if frames.shape[:3] != wanted.shape[:3]:
        return "DIFFERS", None, f"{frames.shape} against {wanted.shape} {words}"
    difference = np.abs(frames - wanted) * 255
    largest, mean = difference.max(), difference.mean()
    # Half a level is rounding; lossy decoders differ by a few levels in colour.
    verdict = "same" if largest <= 0.51 else "near" if mean <= 1 else "DIFFERS"
    return verdict, (largest, mean), words


def main():
    program, *places = sys.argv[1:]
    places = places or [pathlib.Path(pydicom.__file__).parent / "data" / "test_files"]
    files = sorted(f for p in map(pathlib.Path, places) for f in ([p] if p.is_file() else p.rglob("*")) if f.is_file())
    counts = {}
    for file in files:
        if file.suffix in (".py", ".txt", ".json", ".md", ".npy", ".png", ".zip", ".gz"):
            continue
        verdict, difference, words = compare(program, file)
        counts[verdict] = counts.get(verdict, 0) + 1
        numbers = f"{difference[0]:7.2f} {difference[1]:7.4f}" if difference else " " * 15
        print(f"{file.name:44.44} {verdict:16} {numbers} {words[:150]}")
    print(", ".join(f"{verdict}: {count}" for verdict, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
