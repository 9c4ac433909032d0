"""What training makes small. All take output and target [batch, frames] and give one number."""

import torch

KINDS = ("esr", "mse", "mel", "mse+mel")
PRE_EMPHASIS = 0.85
ENERGY_FLOOR = 1e-5
"""Added to a mean energy that divides, so that silence (below -50 dBFS) counts for little and divides by no zero."""
MAGNITUDE_FLOOR = 1e-9
MEL_RANGE_HZ = (30.0, 20_000.0)
SAMPLE_RATE_HZ = 48_000
"""Of what mel bands are asked for."""


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


def mse_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error over the target's mean energy, from 0."""
    return (target - output).square().mean() / (target.square().mean() + ENERGY_FLOOR)


def mel_filters(fft_frames: int, bands: int) -> torch.Tensor:
    """Triangles [bands, fft_frames / 2 + 1], evenly spaced on the mel scale (m = 2595 log10(1 + f / 700)) from 30 Hz to
    20 kHz at 48 kHz, each from its lower neighbour's centre to its upper one's."""
    limits = 2595 * torch.log10(1 + torch.tensor(MEL_RANGE_HZ, dtype=torch.float64) / 700)
    corners = 700 * (10 ** (torch.linspace(float(limits[0]), float(limits[1]), bands + 2).double() / 2595) - 1)
    frequencies = torch.arange(fft_frames // 2 + 1).double() * SAMPLE_RATE_HZ / fft_frames
    rising = (frequencies - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - frequencies) / (corners[2:] - corners[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0).float()


def mel_spectrogram(samples: torch.Tensor, fft_frames: int, hop_frames: int, bands: int) -> torch.Tensor:
    """Magnitudes [batch, bands, windows] of `samples` [batch, frames] at 48 kHz, in Hann windows of `fft_frames`."""
    window = torch.hann_window(fft_frames, device=samples.device)
    spectrum = torch.stft(samples, fft_frames, hop_frames, window=window, center=False, return_complex=True)
    magnitude = (spectrum.real.square() + spectrum.imag.square() + MAGNITUDE_FLOOR).sqrt()  # |0| has no slope
    return mel_filters(fft_frames, bands).to(samples.device) @ magnitude


def mel_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error of the mel spectrograms (64 bands, windows of 1024 frames, or shorter where there are fewer)
    over the target's mean square, from 0. What the phase is does not matter to it."""
    fft_frames = min(1024, target.shape[1])
    played, wanted = (mel_spectrogram(each, fft_frames, fft_frames // 4, 64) for each in (output, target))
    return (wanted - played).square().mean() / (wanted.square().mean() + ENERGY_FLOOR)


def mel_error_db(output: torch.Tensor, target: torch.Tensor) -> float:
    """How far apart two sounds [frames] at 48 kHz are, in dB: the mean difference of their levels in 80 mel bands and
    windows of 2048 frames, levels below -80 dB counting as that."""
    levels = [20 * torch.log10(mel_spectrogram(each[None], 2048, 512, 80) + 1e-4) for each in (output, target)]
    return float((levels[0] - levels[1]).abs().mean())


class Loss(torch.nn.Module):
    """What `kind` names, + stft_weight * multi-resolution STFT.

    esr: 0.75 ESR (pre-emphasised) + 0.25 DC, as of Wright et al., "Real-Time Guitar Amplifier Emulation with Deep
    Learning", Applied Sciences 10(3), 2020.
    mse, mel, mse+mel: the three that "Latent Space Oddity" (DAFx 2020) compares: in the time domain, of mel
    spectrograms, both.

    The multi-resolution STFT loss compares magnitude spectra whatever their phase (Yamamoto et al., "Parallel WaveGAN",
    ICASSP 2020, as in auraloss); it needs segments longer than 512 frames and is off by default.
    """

    def __init__(self, stft_weight: float = 0.0, kind: str = "esr") -> None:
        super().__init__()
        self.stft_weight, self.kind = stft_weight, kind
        self.stft: torch.nn.Module | None = None
        if stft_weight:
            from auraloss.freq import MultiResolutionSTFTLoss  # slow to import, and few ask for it

            # Half of auraloss's default sizes: its longest window would not fit in a segment of 1024.
            self.stft = MultiResolutionSTFTLoss(
                fft_sizes=[512, 1024, 256], hop_sizes=[60, 120, 25], win_lengths=[300, 600, 120]
            )

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """output, target: [batch, frames], full scale +-1. Returns a scalar, from 0."""
        if self.kind == "esr":
            loss = 0.75 * esr_loss(output, target) + 0.25 * dc_loss(output, target)
        else:
            terms = {"mse": mse_loss, "mel": mel_loss}
            loss = sum((terms[name](output, target) for name in self.kind.split("+")), start=output.new_zeros(()))
        if self.stft is not None:
            loss = loss + self.stft_weight * self.stft(output[:, None], target[:, None])
        return loss
