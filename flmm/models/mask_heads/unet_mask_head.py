"""The U-Net that turns a phrase's attention maps into a coarse mask."""

from __future__ import annotations

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.models.backbones import UNet
from torch import Tensor, nn

from flmm.registry import MODELS


class Float32InterpConv(nn.Module):
    """Enlarge bilinearly by two in float32, then convolve: mmseg's ``InterpConv`` for bf16.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        with_cp: Taken because mmseg's UNet passes it; has no effect.
        norm_cfg: Norm layer of the convolution.
        act_cfg: Activation of the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        with_cp: bool = False,
        *,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        # The nesting (upsample and convolution in one Sequential) is that of mmseg's InterpConv,
        # so that official weights keep their names.
        self.interp_upsample = nn.Sequential(
            nn.Identity(),
            ConvModule(in_channels, out_channels, 1, norm_cfg=norm_cfg, act_cfg=act_cfg),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge ``(B, C_in, h, w)`` to ``(B, C_out, 2h, 2w)``."""
        larger = F.interpolate(x.float(), scale_factor=2, mode='bilinear', align_corners=False)
        return self.interp_upsample(larger.to(x.dtype))


@MODELS.register_module()
class UNetMaskHead(nn.Module):
    """Predict one coarse mask per phrase from its attention maps.

    F-LMM (arXiv 2406.05821), section 3.2.

    Shapes: P phrases, K = grids * layers * heads maps, h w cells, s = max(1, upsample_to /
    max(h, w)).

    Args:
        in_channels: K of the LMM it reads.
        base_channels: Channels of the first stage; each further stage doubles them.
        num_stages: Stages of encoder and decoder.
        upsample_to: Longer side, in cells, to which maps are enlarged first.
    """

    def __init__(
        self,
        in_channels: int,
        base_channels: int = 64,
        num_stages: int = 4,
        upsample_to: int = 64,
    ) -> None:
        super().__init__()
        self.in_channels, self.upsample_to = in_channels, upsample_to
        self.divisor = 2 ** (num_stages - 1)
        self.unet = UNet(
            in_channels=in_channels,
            base_channels=base_channels,
            num_stages=num_stages,
            strides=(1,) * num_stages,
            enc_num_convs=(2,) * num_stages,
            dec_num_convs=(2,) * (num_stages - 1),
            downsamples=(True,) * (num_stages - 1),
            enc_dilations=(1,) * num_stages,
            dec_dilations=(1,) * (num_stages - 1),
            # One group: every phrase is normalised by itself, whatever else is in the batch.
            norm_cfg=dict(type='GN', num_groups=1),
            upsample_cfg=dict(type=Float32InterpConv),
        )
        self.conv_seg = nn.Conv2d(base_channels, 1, kernel_size=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Predict masks.

        Args:
            maps: ``(P, K, h, w)`` attention of each phrase.

        Returns:
            ``(P, h * s, w * s)`` logits.

        Raises:
            ValueError: K is not ``in_channels``.
        """
        if maps.shape[1] != self.in_channels:
            raise ValueError(
                f'UNetMaskHead expects {self.in_channels} maps per phrase (grids x layers x '
                f'heads), got {maps.shape[1]}. Does the config name the same LMM for both?'
            )
        prepared, (height, width) = self.prepare(maps)
        features = self.unet(prepared.to(self.conv_seg.weight.dtype))[-1]
        return self.conv_seg(features)[:, 0, :height, :width]

    def prepare(self, maps: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Normalise, enlarge and pad maps to what the U-Net reads.

        Args:
            maps: ``(P, K, h, w)``.

        Returns:
            ``(P, K, h', w')`` with h' and w' divisible by the U-Net's stride, and the size
            before padding.
        """
        # Attention over thousands of cells is tiny; scale each map to sum to 1 so that the
        # first convolution sees values of one magnitude.
        maps = maps.float()
        maps = maps / maps.sum(dim=(-2, -1), keepdim=True).clamp(min=1e-12)
        factor = max(1.0, self.upsample_to / max(maps.shape[-2:]))
        # The factor, not the size, as officially: they sample differently when it is fractional.
        maps = F.interpolate(maps, scale_factor=factor, mode='bilinear', align_corners=False)
        height, width = maps.shape[-2:]
        pad = (-width % self.divisor, -height % self.divisor)
        return F.pad(maps, (0, pad[0], 0, pad[1])), (height, width)
