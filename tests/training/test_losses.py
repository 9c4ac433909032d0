import pytest
import torch

from training.losses import (
    KINDS,
    Loss,
    dc_loss,
    esr,
    esr_loss,
    mel_error_db,
    mel_filters,
    mel_loss,
    mse_loss,
    pre_emphasised,
)


def test_esr_by_hand() -> None:
    target, output = torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 4.0]])
    assert esr(output, target).item() == pytest.approx(1 / 25)
    assert esr(target, target).item() == 0 and esr(torch.zeros(1, 2), target).item() == 1


def test_pre_emphasis_by_hand() -> None:
    torch.testing.assert_close(
        pre_emphasised(torch.tensor([[1.0, 2.0, -1.0]])), torch.tensor([[2 - 0.85, -1 - 0.85 * 2]])
    )


def test_esr_loss_by_hand() -> None:
    target, output = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.5, 0.0]])
    # Error [0, .5, 0] becomes [.5, -.425], target [1, -.85]: a quarter of the energy, but for the floor of 1e-5.
    energy = (1 + 0.85**2) / 2
    assert esr_loss(output, target).item() == pytest.approx(0.25 * energy / (energy + 1e-5))


def test_dc_loss_by_hand() -> None:
    target = torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    output = torch.tensor([[0.5, -1.5], [1.0, 2.0]])
    # Means of the error are .5 and -.5, the target's energy is 1. Over both streams at once they would cancel.
    assert dc_loss(output, target).item() == pytest.approx(0.25 / (1 + 1e-5))


def test_loss_weighs_the_parts() -> None:
    torch.manual_seed(0)
    target = torch.randn(4, 1024)
    output = target + 0.1 * torch.randn(4, 1024)
    plain = 0.75 * esr_loss(output, target) + 0.25 * dc_loss(output, target)
    torch.testing.assert_close(Loss()(output, target), plain)
    with_stft = Loss(2.0)
    assert with_stft.stft is not None
    torch.testing.assert_close(
        with_stft(output, target), plain + 2.0 * with_stft.stft(output[:, None], target[:, None])
    )
    assert with_stft(output, target) > plain


def test_stft_loss_ignores_polarity_and_has_a_gradient() -> None:
    torch.manual_seed(0)
    target = torch.randn(2, 1024)
    output = (-target).requires_grad_()
    loss = Loss(1.0)
    assert loss.stft is not None and loss.stft(output[:, None], target[:, None]).item() < 1e-3
    loss(output, target).backward()
    assert output.grad is not None and torch.isfinite(output.grad).all()


def test_silence_is_finite() -> None:
    silence = torch.zeros(2, 1024, requires_grad=True)
    loss = Loss()(silence, torch.zeros(2, 1024))
    loss.backward()
    assert loss.item() == 0 and torch.isfinite(silence.grad).all()  # type: ignore[arg-type]


def test_mse_by_hand() -> None:
    target, output = torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0, 0.0]])
    assert mse_loss(output, target).item() == pytest.approx(0.5 / (1 + 1e-5))


def test_mel_filters_are_triangles_from_centre_to_centre() -> None:
    filters = mel_filters(2048, 80)
    assert filters.shape == (80, 1025) and filters.min() == 0 and 0.5 < filters[40:].max() <= 1
    frequencies = torch.arange(1025) * 48000 / 2048
    inside = (frequencies > 2000) & (frequencies < 18000)
    torch.testing.assert_close(filters.sum(0)[inside], torch.ones(int(inside.sum())), atol=1e-5, rtol=0)
    centres = frequencies[filters[40:].argmax(1)]
    assert (centres.diff() > 0).all()


def test_mel_loss_ignores_phase_and_hears_level() -> None:
    time = torch.arange(8192) / 48000
    tone, late = torch.sin(2 * torch.pi * 1000 * time)[None], torch.sin(2 * torch.pi * 1000 * time + 1)[None]
    assert mel_loss(late, tone) < 1e-3 and mse_loss(late, tone) > 0.5
    assert mel_loss(0.5 * tone, tone).item() == pytest.approx(0.25, abs=0.01)
    assert mel_loss(tone[:, :300], tone[:, :300]) == 0  # shorter than a window


def test_mel_error_counts_decibels() -> None:
    noise = torch.randn(48000, generator=torch.Generator().manual_seed(0))
    assert mel_error_db(2 * noise, noise) == pytest.approx(6.02, abs=0.01) and mel_error_db(noise, noise) == 0


def test_kinds_are_sums_of_their_parts() -> None:
    torch.manual_seed(0)
    target = torch.randn(2, 2048)
    output = target + 0.1 * torch.randn(2, 2048)
    values = {kind: Loss(kind=kind)(output, target) for kind in KINDS}
    torch.testing.assert_close(values["mse+mel"], values["mse"] + values["mel"])
    torch.testing.assert_close(values["mel"], mel_loss(output, target))
