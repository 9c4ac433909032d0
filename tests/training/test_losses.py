import pytest
import torch

from training.losses import Loss, dc_loss, esr, esr_loss, pre_emphasised


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
