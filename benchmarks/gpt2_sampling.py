"""New tokens with the cache and without: CPU seconds, and the largest difference between their logits.

    python benchmarks/gpt2_sampling.py [--layers 6 --width 384] [--tokens 1000] [--threads 1]

Without a cache every token reads the whole text anew, which is how nanoGPT's `generate` works.
"""

import argparse
import time

import torch

from model import GPT2, GPT2Config
from model.network import Cache
from model.sample import Sampling, generated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("layers", 6), ("width", 384), ("tokens", 1000), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = GPT2Config(n_embd=options.width, n_layer=options.layers, n_head=options.width // 64)
    network = GPT2(config)
    network.initialise(seed=0)
    network.eval()
    settings = Sampling(tokens=options.tokens, temperature=1.0, top_k=40)
    spent, texts = {}, {}
    for cached in (True, False):
        started = time.process_time()
        steps = generated(network, [[50256, 464]], sampling=settings, eot=50256, cached=cached)
        texts[cached] = [row[0] for row in steps]
        spent[cached] = time.process_time() - started
    ids = torch.tensor([[50256, 464, *texts[True]]])[:, : config.n_ctx]
    with torch.no_grad():
        whole = network(ids)[0]
        cache = Cache(config, batch=1, device=ids.device, dtype=torch.float32)
        parts = [network(ids[:, place : place + 1], cache=cache)[0, 0] for place in range(ids.shape[1])]
    difference = (torch.stack(parts) - whole).abs().max().item()
    print(f"{options.layers}x{options.width}, {len(texts[True]):,} new tokens, {options.threads} thread(s)")
    print(f"without the cache {spent[False]:>9.1f} CPU s; torch {torch.__version__}")
    print(f"with the cache    {spent[True]:>9.1f} CPU s   {spent[False] / spent[True]:.1f}x")
    same = texts[True] == texts[False]
    print(f"the same text: {same}; largest difference of a logit {difference:.1e}, logits up to {whole.abs().max():.1f}")


if __name__ == "__main__":
    main()
