"""The masked auto-encoder of core/src/models in PyTorch, with the same tensor names."""

import torch
import unetr
from torch import nn


class Decoder(nn.Module):
    def __init__(self, width, inner, depth, heads, ratio, epsilon, tokens, numbers):
        super().__init__()
        self.embed = nn.Linear(width, inner)
        self.mask_token = nn.Parameter(torch.randn(1, 1, inner) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, tokens, inner) * 0.5, requires_grad=False)
        self.blocks = nn.ModuleList(unetr.Block(inner, heads, ratio, epsilon) for _ in range(depth))
        self.norm = nn.LayerNorm(inner, eps=epsilon)
        self.pred = nn.Linear(inner, numbers)


class Mae(nn.Module):
    """`config` is the JSON of core's `MaeConfig`; the loss is that of normalised patches."""

    def __init__(self, config):
        super().__init__()
        vit = config["encoder"]
        self.patch, self.kept_share = vit["patch_size"], 1 - config["mask_ratio"]
        self.encoder = unetr.Vit(**vit)
        self.encoder.pos_embed.requires_grad_(False)
        self.tokens = self.encoder.grid**2
        self.decoder = Decoder(vit["width"], config["decoder_width"], config["decoder_depth"], config["decoder_heads"],
                               vit["mlp_ratio"], vit["norm_epsilon"], 1 + self.tokens,
                               self.patch**2 * vit["channels"])  # fmt: skip

    def patches(self, images):
        batch, channels, height, width = images.shape
        p = self.patch
        x = images.reshape(batch, channels, height // p, p, width // p, p)
        return x.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, p * p * channels)

    def forward(self, images, noise):
        batch = images.shape[0]
        kept = int(self.tokens * self.kept_share)
        order = noise.argsort(1)
        restore = order.argsort(1)
        e, d = self.encoder, self.decoder
        x = e.patch_embed(images) + e.pos_embed[:, 1:]
        x = x.gather(1, order[:, :kept, None].expand(-1, -1, x.shape[2]))
        x = torch.cat([(e.cls_token + e.pos_embed[:, :1]).expand(batch, -1, -1), x], 1)
        for block in e.blocks:
            x = block(x)
        x = d.embed(e.norm(x))
        full = torch.cat([x[:, 1:], d.mask_token.expand(batch, self.tokens - kept, -1)], 1)
        full = full.gather(1, restore[:, :, None].expand(-1, -1, full.shape[2]))
        x = torch.cat([x[:, :1], full], 1) + d.pos_embed
        for block in d.blocks:
            x = block(x)
        prediction = d.pred(d.norm(x))[:, 1:]
        target = self.patches(images)
        target = (target - target.mean(2, True)) / (target.var(2, keepdim=True) + 1e-6).sqrt()
        mask = (restore >= kept).float()
        return ((prediction - target).square().mean(2) * mask).sum() / mask.sum()
