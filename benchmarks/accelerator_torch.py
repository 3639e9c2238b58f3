"""The DiT and the GPT of `accelerator.py` in PyTorch, compiled, in bfloat16: steps a second.

    python benchmarks/accelerator_torch.py --case=dit_b2 [--tiny]

The same parameters, batches, losses and optimizers, written as PyTorch users write them: fused
attention, autocast, fused AdamW, and for DiT an average of the parameters; float32 products may
use TF32, as JAX's do. Prints a line of JSON. Needs PyTorch alone.
"""

import argparse
import copy
import json
import math
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CASES = {
    'dit_b2': {'width': 768, 'layers': 12, 'heads': 12, 'side': 32, 'batch': 256},
    'gpt2': {'width': 768, 'layers': 12, 'heads': 12, 'length': 1024, 'vocab': 50304, 'batch': 16},
}
TINY = {
    'dit_b2': {'width': 32, 'layers': 2, 'heads': 2, 'side': 8, 'batch': 4},
    'gpt2': {'width': 16, 'layers': 2, 'heads': 2, 'length': 16, 'vocab': 65, 'batch': 4},
}
CHANNELS, PATCH, CLASSES, WAVES, STEPS = 4, 2, 1000, 256, 1000
DROPOUT = 0.2  # of the GPT
BLOCKS = 5


class Attention(nn.Module):
    """Self-attention by the fused kernel."""

    def __init__(self, width: int, heads: int, causal: bool):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, T, D] to the same shape."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(h.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Two layers, with GELU."""

    def __init__(self, width: int):
        super().__init__()
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, T, D] to the same shape."""
        return self.outer(F.gelu(self.inner(x), approximate='tanh'))


class GPT(nn.Module):
    """GPT-2, with tied embeddings; mean negative log-likelihood of the tokens."""

    def __init__(self, width: int, layers: int, heads: int, length: int, vocab: int):
        super().__init__()
        self.vocab = vocab
        self.tokens = nn.Embedding(vocab + 1, width)  # one begins a sequence
        self.positions = nn.Parameter(torch.empty(length, width))
        self.blocks = nn.ModuleList(
            nn.ModuleList([nn.LayerNorm(width), Attention(width, heads, True),
                           nn.LayerNorm(width), MLP(width)]) for _ in range(layers)
        )  # fmt: skip
        self.norm = nn.LayerNorm(width)
        for part in (self.tokens.weight, self.positions):
            nn.init.normal_(part, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Maps tokens [B, T] to the loss []."""
        before = F.pad(x[:, :-1], (1, 0), value=self.vocab)
        h = F.dropout(self.tokens(before) + self.positions, DROPOUT)
        for norm, attention, other, mlp in self.blocks:
            h = h + F.dropout(attention(norm(h)), DROPOUT)
            h = h + F.dropout(mlp(other(h)), DROPOUT)
        logits = self.norm(h) @ self.tokens.weight[:-1].T
        return F.cross_entropy(logits.float().flatten(0, 1), x.flatten())


class DiTBlock(nn.Module):
    """Attention and an MLP, modulated by the conditioning (adaLN-zero)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.modulation = nn.Linear(width, 6 * width)
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.attention, self.mlp = Attention(width, heads, False), MLP(width)
        for part in self.modulation.parameters():
            nn.init.zeros_(part)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Maps x [B, T, D] and the activated condition [B, D] to [B, T, D]."""
        shift, scale, gate, shift_2, scale_2, gate_2 = self.modulation(condition)[:, None].chunk(
            6, dim=-1
        )
        x = x + gate * self.attention(self.norm(x) * (1 + scale) + shift)
        return x + gate_2 * self.mlp(self.norm(x) * (1 + scale_2) + shift_2)


class DiT(nn.Module):
    """DiT with labels; mean squared error of the predicted noise."""

    def __init__(self, width: int, layers: int, heads: int, side: int):
        super().__init__()
        self.side, self.width = side, width
        self.patches = nn.Linear(PATCH**2 * CHANNELS, width)
        self.time = nn.Sequential(nn.Linear(WAVES, width), nn.SiLU(), nn.Linear(width, width))
        self.labels = nn.Embedding(CLASSES + 1, width)
        self.blocks = nn.ModuleList(DiTBlock(width, heads) for _ in range(layers))
        self.modulation = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.output = nn.Linear(width, PATCH**2 * CHANNELS)
        for part in (*self.modulation.parameters(), *self.output.parameters()):
            nn.init.zeros_(part)
        row, column = torch.ones(side // PATCH, side // PATCH).nonzero().T
        places = torch.cat([waves(each, width // 2) for each in (row, column)], dim=-1)
        self.register_buffer('places', places, persistent=False)
        beta = torch.linspace(1e-4, 0.02, STEPS)
        self.register_buffer('signal', torch.cumprod(1 - beta, 0), persistent=False)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Maps images [B, H, W, C] and labels [B] to the loss []."""
        time = torch.randint(STEPS, (len(x),), device=x.device)
        label = torch.where(torch.rand(len(x), device=x.device) < 0.1, CLASSES, label)
        signal, noise = self.signal[time][:, None, None, None], torch.randn_like(x)
        noisy = signal.sqrt() * x + (1 - signal).sqrt() * noise
        return F.mse_loss(self.predict(noisy, time, label), noise)

    def predict(self, x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """Predicts the noise [B, H, W, C]."""
        condition = F.silu(self.time(waves(time, WAVES)) + self.labels(label))
        n = self.side // PATCH
        h = x.reshape(-1, n, PATCH, n, PATCH, CHANNELS).transpose(2, 3).reshape(len(x), n * n, -1)
        h = self.patches(h) + self.places
        for block in self.blocks:
            h = block(h, condition)
        shift, scale = self.modulation(condition)[:, None].chunk(2, dim=-1)
        h = self.output(self.norm(h) * (1 + scale) + shift).float()
        return h.reshape(-1, n, n, PATCH, PATCH, CHANNELS).transpose(2, 3).reshape(x.shape)


def waves(time: Tensor, width: int) -> Tensor:
    """Sinusoids [..., width] of a time."""
    rate = torch.exp(-math.log(1e4) * torch.arange(width // 2, device=time.device) / (width // 2))
    angle = time.float()[..., None] * rate
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def step_of(case: str, tiny: bool, device: str) -> tuple[nn.Module, Callable[[], Tensor]]:
    """Returns a model, and a function that trains it for a step and returns the loss."""
    sizes = dict((TINY if tiny else CASES)[case])
    batch = sizes.pop('batch')
    model = (DiT if case == 'dit_b2' else GPT)(**sizes).to(device)
    if case == 'dit_b2':
        side = sizes['side']
        inputs = (torch.randn(batch, side, side, CHANNELS), torch.randint(CLASSES, (batch,)))
        options, decay = {'lr': 1e-4, 'weight_decay': 0.0}, 0.9999
    else:
        inputs = (torch.randint(sizes['vocab'], (batch, sizes['length'])),)
        options, decay = {'lr': 1e-3, 'betas': (0.9, 0.99), 'weight_decay': 0.1}, None
    inputs = tuple(each.to(device) for each in inputs)
    compiled = model if tiny else torch.compile(model)
    optimizer = torch.optim.AdamW(model.parameters(), fused=device == 'cuda', **options)
    average = None if decay is None else list(copy.deepcopy(model).parameters())

    def step() -> Tensor:
        with torch.autocast(device, torch.bfloat16):
            loss = compiled(*inputs)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if average is not None:
            with torch.no_grad():
                torch._foreach_lerp_(average, list(model.parameters()), 1 - decay)
        return loss.detach()

    return model, step


def main() -> None:
    """Prints the figures of a case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--case', choices=CASES, required=True)
    parser.add_argument('--tiny', action='store_true')
    args = parser.parse_args()
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.set_float32_matmul_precision('high')
    torch.manual_seed(0)
    model, step = step_of(args.case, args.tiny, device)
    start = time.perf_counter()
    losses = [step().item() for _ in range(3)]
    compiled = time.perf_counter() - start
    start = time.perf_counter()
    step().item()
    each = time.perf_counter() - start
    block, times = max(1, round((0.05 if args.tiny else 1.0) / each)), []
    for _ in range(BLOCKS):
        start = time.perf_counter()
        for _ in range(block):
            loss = step()
        losses.append(loss.item())  # waits for the device
        times.append((time.perf_counter() - start) / block)
    seconds = statistics.median(times)
    sizes = (TINY if args.tiny else CASES)[args.case]
    unit = 'images_per_s' if args.case == 'dit_b2' else 'tokens_per_s'
    print(json.dumps({
        'torch': torch.__version__,
        'device': torch.cuda.get_device_name() if device == 'cuda' else 'cpu',
        'dtype': 'bfloat16',
        'parameters': sum(p.numel() for p in model.parameters()),
        'batch_size': sizes['batch'],
        'steps_per_s': 1 / seconds,
        'steps_per_s_min': 1 / max(times),
        'steps_per_s_max': 1 / min(times),
        unit: sizes['batch'] * sizes.get('length', 1) / seconds,
        'losses': losses,
        'compiled_s': compiled,
        **({'peak_gib': torch.cuda.max_memory_allocated() / 2**30} if device == 'cuda' else {}),
    }))  # fmt: skip


if __name__ == '__main__':
    main()
