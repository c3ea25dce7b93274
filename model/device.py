"""What the machine can do: device, arithmetic, peak speed."""

import torch

# Dense bfloat16 peak in FLOP/s, from the makers' data sheets.
# A name not here gives "unknown": nanoGPT divides everything by the A100's.
PEAK_FLOPS = {
    "V100": 125e12,
    "T4": 65e12,
    "A100": 312e12,
    "A10": 125e12,
    "L4": 121e12,
    "L40": 181e12,
    "RTX 3090": 71e12,
    "RTX 4090": 165e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H200": 989e12,
    "GH200": 989e12,
    "B200": 2250e12,
}

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def pick_device() -> torch.device:
    """A CUDA device if there is one, else the processor."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def precision_here(device: torch.device) -> str:
    """`bf16` where the device multiplies it in hardware, else `fp32`.  Emulated it is slower than float32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    known = torch.cpu.get_capabilities()
    return "bf16" if known.get("avx512_bf16") or known.get("amx_bf16") or known.get("bf16") else "fp32"


def peak_flops(device: torch.device) -> float | None:
    """Peak of this device by its name; None if it is not in the table."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    known = sorted((key for key in PEAK_FLOPS if key in name), key=len)
    return PEAK_FLOPS[known[-1]] if known else None
