"""The UNETR of core/src/models in PyTorch, with the same tensor names, so that each side loads the other's weights.

Written as one would write it for speed with stock PyTorch: fused attention, convolutions and norms of the library.
"""

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = (
            self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        )
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    def __init__(self, width, ratio):
        super().__init__()
        self.fc1 = nn.Linear(width, ratio * width)
        self.fc2 = nn.Linear(ratio * width, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width, heads, ratio, epsilon):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=epsilon)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=epsilon)
        self.mlp = Mlp(width, ratio)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, channels, width, patch):
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class Vit(nn.Module):
    def __init__(self, image_size, patch_size, channels, width, depth, heads, mlp_ratio, norm_epsilon):
        super().__init__()
        self.grid = image_size // patch_size
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + self.grid**2, width) * 0.5)
        self.patch_embed = PatchEmbed(channels, width, patch_size)
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio, norm_epsilon) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=norm_epsilon)

    def as_map(self, tokens):
        return tokens[:, 1:].transpose(1, 2).reshape(tokens.shape[0], -1, self.grid, self.grid)

    def forward(self, images, taps):
        x = self.patch_embed(images)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.pos_embed
        maps = []
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number in taps:
                maps.append(self.as_map(x))
        return [*maps, self.as_map(self.norm(x))]


class ConvBlock(nn.Module):
    def __init__(self, inputs, outputs, groups, epsilon):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(groups, outputs, eps=epsilon)

    def forward(self, x):
        return F.gelu(self.norm(self.conv(x)))


class UpBlock(nn.Module):
    def __init__(self, inputs, outputs, groups, epsilon):
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, 2)
        self.cb = ConvBlock(outputs, outputs, groups, epsilon)

    def forward(self, x):
        return self.cb(self.up(x))


class Decoder(nn.Module):
    def __init__(self, width, f, groups, epsilon, out):
        super().__init__()

        def cb(inputs, outputs):
            return ConvBlock(inputs, outputs, groups, epsilon)

        def up(inputs, outputs):
            return UpBlock(inputs, outputs, groups, epsilon)

        def double(inputs, outputs):
            return nn.ConvTranspose2d(inputs, outputs, 2, 2)

        self.skip3 = nn.Sequential(up(width, 2 * f), up(2 * f, 2 * f), up(2 * f, 2 * f))
        self.skip6 = nn.Sequential(up(width, 4 * f), up(4 * f, 4 * f))
        self.skip9 = nn.Sequential(up(width, 8 * f))
        self.up12 = double(width, 8 * f)
        self.dec9 = nn.Sequential(cb(16 * f, 8 * f), cb(8 * f, 8 * f))
        self.up9 = double(8 * f, 4 * f)
        self.dec6 = nn.Sequential(cb(8 * f, 4 * f), cb(4 * f, 4 * f))
        self.up6 = double(4 * f, 2 * f)
        self.dec3 = nn.Sequential(cb(4 * f, 2 * f), cb(2 * f, 2 * f))
        self.up3 = double(2 * f, f)
        self.head = nn.Sequential(cb(f, f), cb(f, f))
        self.out = nn.Conv2d(f, out, 1)


class Unetr(nn.Module):
    """`config` is the JSON of core's `UnetrConfig`."""

    def __init__(self, config):
        super().__init__()
        self.taps = config["taps"]
        self.encoder = Vit(**config["encoder"])
        f, groups, epsilon = config["feature_size"], config["groups"], config["group_norm_epsilon"]
        self.decoder = Decoder(config["encoder"]["width"], f, groups, epsilon, config["out_channels"])

    def forward(self, images):
        d = self.decoder
        tap3, tap6, tap9, last = self.encoder(images, self.taps)
        x = d.dec9(torch.cat([d.up12(last), d.skip9(tap9)], 1))
        x = d.dec6(torch.cat([d.up9(x), d.skip6(tap6)], 1))
        x = d.dec3(torch.cat([d.up6(x), d.skip3(tap3)], 1))
        return d.out(d.head(d.up3(x)))


class Part(nn.Module):
    """A part of a network as a module of its own: a function of tensors over some of its modules."""

    def __init__(self, modules, function):
        super().__init__()
        self.held = nn.ModuleList(modules)
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


@torch.inference_mode()
def parts(network, images):
    """Every part by name, with its inputs for these images; the names are those of bench/parts.rs."""
    d = network.decoder
    maps = network.encoder(images, network.taps)
    tap3, tap6, tap9, last = maps

    def joined(up, blocks):
        return Part([up, blocks], lambda below, skip: blocks(torch.cat([up(below), skip], 1)))

    encoder = Part([network.encoder], lambda x: torch.cat(network.encoder(x, network.taps), 1))
    result = {"whole": (network, [images]), "encoder": (encoder, [images])}
    result["skip9"] = (d.skip9, [tap9])
    result["skip6"] = (d.skip6, [tap6])
    result["skip3"] = (d.skip3, [tap3])
    result["dec9"] = (joined(d.up12, d.dec9), [last, d.skip9(tap9)])
    result["dec6"] = (joined(d.up9, d.dec6), [result["dec9"][0](*result["dec9"][1]), d.skip6(tap6)])
    result["dec3"] = (joined(d.up6, d.dec3), [result["dec6"][0](*result["dec6"][1]), d.skip3(tap3)])
    below = result["dec3"][0](*result["dec3"][1])
    result["head"] = (Part([d.up3, d.head, d.out], lambda x: d.out(d.head(d.up3(x)))), [below])
    return result
