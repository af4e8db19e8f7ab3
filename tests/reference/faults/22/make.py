"""Checkpoints as training programs write them, all of one small MAE, and what PyTorch makes of it.

The names are those of facebookresearch/mae, of which USF-MAE saves a bare state dict with encoder and decoder; the network is
written anew here with torch.nn. Run with PyTorch 2: python make.py. `mae.safetensors` is a case as tests/both/case.rs says.
"""

import json
import struct
from collections import OrderedDict

import torch
from torch import nn

SIZE, PATCH, WIDTH, DEPTH, HEADS, DECODER = 8, 4, 8, 2, 2, 8
GRID = SIZE // PATCH


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = torch.softmax(q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5, dim=-1) @ v
        return self.proj(y.transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps=1e-6), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps=1e-6), Mlp(width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Conv2d(3, WIDTH, PATCH, PATCH)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class Mae(nn.Module):
    def __init__(self):
        super().__init__()
        table = lambda width: nn.Parameter(0.5 * torch.randn(1, GRID * GRID + 1, width), requires_grad=False)
        self.cls_token, self.pos_embed = nn.Parameter(torch.randn(1, 1, WIDTH)), table(WIDTH)
        self.patch_embed = PatchEmbed()
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.decoder_embed = nn.Linear(WIDTH, DECODER)
        self.mask_token, self.decoder_pos_embed = nn.Parameter(torch.randn(1, 1, DECODER)), table(DECODER)
        self.decoder_blocks = nn.ModuleList([Block(DECODER, HEADS)])
        self.decoder_norm = nn.LayerNorm(DECODER, eps=1e-6)
        self.decoder_pred = nn.Linear(DECODER, PATCH * PATCH * 3)

    def forward(self, images, noise):
        x = self.patch_embed(images) + self.pos_embed[:, 1:]
        batch, patches, _ = x.shape
        kept = patches // 4
        shuffle = torch.argsort(noise, dim=1)
        restore = torch.argsort(shuffle, dim=1)
        at = lambda index, width: index.unsqueeze(-1).repeat(1, 1, width)
        x = torch.gather(x, 1, at(shuffle[:, :kept], WIDTH))
        x = torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(batch, -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        latent = self.norm(x)
        y = self.decoder_embed(latent)
        hidden = self.mask_token.expand(batch, patches - kept, -1)
        y = torch.cat([y[:, :1], torch.gather(torch.cat([y[:, 1:], hidden], 1), 1, at(restore, DECODER))], 1)
        y = y + self.decoder_pos_embed
        for block in self.decoder_blocks:
            y = block(y)
        return latent, self.decoder_pred(self.decoder_norm(y))[:, 1:]


def safetensors(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        raw = tensor.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)


def main():
    torch.manual_seed(7)
    mae = Mae().eval()
    with torch.no_grad():
        for parameter in mae.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    state = OrderedDict((name, tensor.detach().clone()) for name, tensor in mae.state_dict().items())
    other = OrderedDict((name, tensor + 1) for name, tensor in state.items())
    front = lambda text, weights=state: OrderedDict((text + name, tensor) for name, tensor in weights.items())

    images, noise = torch.rand(2, 3, SIZE, SIZE), torch.rand(2, GRID * GRID)
    with torch.no_grad():
        latent, prediction = mae(images, noise)
    safetensors("mae.safetensors", {"in.imgs": images, "in.noise": noise, "out.latent": latent, "out.pred": prediction})

    torch.save(state, "bare.pth")
    torch.save(front("_orig_mod.module."), "compiled_ddp.pth")
    torch.save({"net": {"state_dict": front("module._orig_mod.")}}, "nested.pth")
    lightning = front("net._orig_mod.")
    torch.save({"epoch": 3, "pytorch-lightning_version": "2.4.0", "state_dict": lightning, "loops": {"fit_loop": {}},
                "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}}], "hyper_parameters": {"lr": 1e-3}},
               "lightning.ckpt")
    torch.save({"n_averaged": torch.tensor(5), **front("module.")}, "averaged.pth")
    torch.save({"model": state, "model_ema": other, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}}, "two.pth")
    torch.save({**front("model."), **front("ema_model.", other)}, "two_fronts.pth")
    torch.save(front("backbone."), "unknown_front.pth")
    torch.save({"model": front("backbone.")}, "unknown_within.pth")
    torch.save({"student": front("backbone."), "teacher": front("backbone.", other)}, "dino.pth")
    torch.save(OrderedDict((name, tensor.double()) for name, tensor in state.items()), "f64.pth")


main()
