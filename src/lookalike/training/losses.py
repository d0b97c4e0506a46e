"""What learning makes small. Imports torch; import it where it is needed.

Both compare unit vectors with one vector for each label, its proxy, so that labels with few pictures need no luck to meet in
a batch, and a picture may have several labels.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["LOSSES", "ProxyAnchor", "Softmax"]


class _Proxies(nn.Module):
    def __init__(self, start: torch.Tensor) -> None:
        super().__init__()
        self.proxies = nn.Parameter(functional.normalize(start.clone().float(), dim=1))

    def cosines(self, x: torch.Tensor) -> torch.Tensor:
        return functional.normalize(x, dim=1) @ functional.normalize(self.proxies, dim=1).T


class Softmax(_Proxies):
    """Cross-entropy of the cosines to all proxies, divided by a temperature: normalised softmax.

    Zhai and Wu, "Classification is a strong baseline for deep metric learning", BMVC 2019. Of a picture with several labels each
    is as right as the others.
    """

    TEMPERATURE = 0.05

    def forward(self, x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """`targets` is (n, labels), 1 where a picture has a label."""
        shares = targets / targets.sum(dim=1, keepdim=True)
        return functional.cross_entropy(self.cosines(x) / self.TEMPERATURE, shares)


class ProxyAnchor(_Proxies):
    """Each proxy draws its pictures near and pushes all others away, hard ones most.

    Kim, Kim, Cho and Kwak, "Proxy Anchor Loss for Deep Metric Learning", CVPR 2020, equation 4, with their α = 32 and δ = 0.1.
    """

    ALPHA, MARGIN = 32.0, 0.1

    def forward(self, x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """`targets` is (n, labels), 1 where a picture has a label."""
        cosines, is_label = self.cosines(x), targets > 0
        never = torch.full_like(cosines, -torch.inf)
        near = torch.where(is_label, -self.ALPHA * (cosines - self.MARGIN), never)
        far = torch.where(is_label, never, self.ALPHA * (cosines + self.MARGIN))
        present = is_label.any(dim=0).sum().clamp(min=1)
        # the 1 + … is a row of zeros among what is summed
        return _log1p_sum_exp(near).sum() / present + _log1p_sum_exp(far).mean()


def _log1p_sum_exp(x: torch.Tensor) -> torch.Tensor:
    """log(1 + Σ exp x) over the rows of x."""
    zero = torch.zeros_like(x[:1])
    return torch.logsumexp(torch.cat([zero, x]), dim=0)


LOSSES = {"softmax": Softmax, "metric": ProxyAnchor}
"""By the names that the command takes."""
