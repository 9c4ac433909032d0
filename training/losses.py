"""What training makes small. All take output and target [batch, frames] and give one number."""

import torch

PRE_EMPHASIS = 0.85
ENERGY_FLOOR = 1e-5
"""Added to a mean energy that divides, so that silence (below -50 dBFS) counts for little and divides by no zero."""


def esr(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Error-to-signal ratio, the figure that reports give: 0 is perfect, 1 is as bad as silence.

        ESR = sum (target - output)^2 / sum target^2

    output, target: [...] of the same shape; the sums run over everything. A silent target gives infinity or NaN.
    """
    return (target - output).square().sum() / target.square().sum()


def pre_emphasised(samples: torch.Tensor) -> torch.Tensor:
    """First-order high-pass y[n] = x[n] - 0.85 x[n-1]: [batch, frames] to [batch, frames - 1].

    Hearing is keener at high frequencies than a guitar is loud. Source: Damskagg et al., "Deep Learning for Tube
    Amplifier Emulation", ICASSP 2019; coefficient of Wright and Valimaki, "Perceptual Loss Function for Neural
    Modelling of Audio Systems", ICASSP 2020.
    """
    return samples[:, 1:] - PRE_EMPHASIS * samples[:, :-1]


def esr_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """ESR after pre-emphasis over the whole batch: mean(p(target - output)^2) / (mean(p(target)^2) + 1e-5), from 0."""
    error = pre_emphasised(target - output)
    return error.square().mean() / (pre_emphasised(target).square().mean() + ENERGY_FLOOR)


def dc_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Error of the mean, which pre-emphasis hides: mean over streams of mean_n(target - output)^2, over the target's
    energy: mean_b(mean_n(target - output)^2) / (mean(target^2) + 1e-5), from 0. Source: as `Loss`."""
    offsets = (target - output).mean(dim=1)
    return offsets.square().mean() / (target.square().mean() + ENERGY_FLOOR)


class Loss(torch.nn.Module):
    """0.75 ESR (pre-emphasised) + 0.25 DC + stft_weight * multi-resolution STFT.

    The first two and their weights are of Wright et al., "Real-Time Guitar Amplifier Emulation with Deep Learning",
    Applied Sciences 10(3), 2020. The third compares magnitude spectra whatever their phase (Yamamoto et al., "Parallel
    WaveGAN", ICASSP 2020, as in auraloss); it needs segments longer than 512 frames and is off by default.
    """

    def __init__(self, stft_weight: float = 0.0) -> None:
        super().__init__()
        self.stft_weight = stft_weight
        self.stft: torch.nn.Module | None = None
        if stft_weight:
            from auraloss.freq import MultiResolutionSTFTLoss  # slow to import, and few ask for it

            # Half of auraloss's default sizes: its longest window would not fit in a segment of 1024.
            self.stft = MultiResolutionSTFTLoss(
                fft_sizes=[512, 1024, 256], hop_sizes=[60, 120, 25], win_lengths=[300, 600, 120]
            )

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """output, target: [batch, frames], full scale +-1. Returns a scalar, from 0."""
        loss = 0.75 * esr_loss(output, target) + 0.25 * dc_loss(output, target)
        if self.stft is not None:
            loss = loss + self.stft_weight * self.stft(output[:, None], target[:, None])
        return loss
