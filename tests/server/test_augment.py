"""What the augmentation does to pictures, and when its probability rises."""

from __future__ import annotations

import math

import pytest
import torch

from inference_server.training.adaptive import MOST, adapt
from inference_server.training.augment import KINDS, Augmentation
from inference_server.training.augment.colour import draw_colour, recolour
from inference_server.training.augment.geometry import Placement, draw_blit, draw_general, joined
from inference_server.training.augment.warp import warp

MANY = 20_000


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int, channels: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(n, channels, height, width, generator=chance(9)) * 2 - 1


def smooth(n: int, height: int, width: int) -> torch.Tensor:
    """Waves longer than five pixels, in one channel."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = [torch.sin(x * 0.9 + i) * torch.cos(y * 0.7 - i) for i in range(n)]
    return torch.stack(waves)[:, None]


def placed(linear: list[list[float]], offset: tuple[float, float] = (0, 0)) -> Placement:
    return Placement(torch.tensor(linear)[:, :, None], torch.tensor(offset)[:, None], torch.tensor([True]))


def test_no_probability_returns_the_very_pictures():
    images = pictures(2, 3, 8, 8)
    assert Augmentation((8, 8), 3)(images, 0.0, chance()) is images
    assert Augmentation((8, 8), 3, "")(images, 1.0, chance()) is images


@pytest.mark.parametrize("kinds", [*KINDS, "blit colour", "blit geometry colour"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 4, 4), (3, 16, 24), (4, 13, 9)])
def test_every_kind_changes_pictures_of_any_shape(kinds, shape):
    images = pictures(8, *shape)
    changed = Augmentation(shape[1:], shape[0], kinds)(images, 1.0, chance())
    assert changed.shape == images.shape and changed.dtype == torch.float32
    assert changed.isfinite().all()
    assert (changed - images).abs().amax(dim=(1, 2, 3)).gt(1e-3).sum() >= 6


def test_the_same_chance_makes_the_same_pictures():
    augment, images = Augmentation((16, 16), 3), pictures(4, 3, 16, 16)
    first, again, other = (augment(images, 0.7, chance(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_small_probability_changes_few_pictures():
    images = pictures(2000, 3, 8, 8)
    changed = Augmentation((8, 8), 3)(images, 0.02, chance())
    same = (changed - images).abs().amax(dim=(1, 2, 3)) < 1e-5
    # Thirteen changes. Half of the flips and a quarter of the turns (those by 0 degrees) have no effect.
    expected = 0.98**10 * 0.99**2 * 0.985
    assert same.float().mean().item() == pytest.approx(expected, abs=0.04)


def test_half_precision_is_computed_in_single():
    augment, images = Augmentation((16, 16), 3), pictures(4, 3, 16, 16).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        changed = augment(images, 1.0, chance())
    assert changed.dtype == torch.bfloat16
    assert torch.equal(changed, augment(images.float(), 1.0, chance()).bfloat16())


def test_any_layout_in_memory_gives_the_same():
    augment, images = Augmentation((16, 16), 3), pictures(4, 3, 16, 16)
    laid = images.to(memory_format=torch.channels_last)
    assert torch.equal(augment(laid, 0.6, chance()), augment(images, 0.6, chance()))


@pytest.mark.parametrize("kinds", [*KINDS, "blit geometry colour"])
def test_gradients_are_those_of_differences(kinds):
    augment = Augmentation((6, 7), 3, kinds)
    images = pictures(5, 3, 6, 7).requires_grad_()
    weights = torch.randn(images.shape, generator=chance(3))
    (augment(images, 0.6, chance()) * weights).sum().backward()
    # The augmentation is linear in the pictures, so a difference may be of any size.
    for seed in range(8):
        step = torch.randn(images.shape, generator=chance(seed))
        with torch.no_grad():
            difference = augment(images + step, 0.6, chance()) - augment(images, 0.6, chance())
        assert (difference * weights).sum().item() == pytest.approx((images.grad * step).sum().item(), abs=2e-3)


def test_each_picture_is_changed_alone():
    augment, images = Augmentation((8, 8), 3), pictures(6, 3, 8, 8)
    other = images.clone()
    other[2] = 0
    one, two = augment(images, 0.5, chance()), augment(other, 0.5, chance())
    same = (one == two).flatten(1).all(dim=1)
    assert same.tolist() == [True, True, False, True, True, True]


def test_blits_move_whole_pixels():
    images = pictures(300, 1, 8, 8)
    moved = Augmentation((8, 8), 1, "blit")(images, 1.0, chance())
    for image, result in zip(images[:, 0], moved[:, 0], strict=True):
        assert set(result.flatten().tolist()) <= set(image.flatten().tolist())
    oblong = pictures(300, 1, 8, 16)
    # Rows stay rows: pictures that are not square are not turned by 90 degrees.
    moved = Augmentation((8, 16), 1, "blit")(oblong, 1.0, chance())
    for image, result in zip(oblong[:, 0], moved[:, 0], strict=True):
        assert any(set(result[3].tolist()) <= set(row.tolist()) for row in image)


def test_blits_are_those_of_torch():
    image = pictures(1, 2, 16, 16)
    blit = draw_blit(400, (16, 16), 0.9, chance())
    found = set()
    for index in range(400):
        if blit.offset[:, index].any():
            continue
        one = Placement(blit.linear[..., [index]], blit.offset[:, [index]], blit.between[[index]])
        result = warp(image, one)
        turns = [torch.rot90(flipped, k, (2, 3)) for flipped in (image, image.flip(3)) for k in range(4)]
        found |= {match for match, turn in enumerate(turns) if torch.equal(turn, result)}
    assert found == set(range(8))


def test_the_slow_way_agrees_with_the_fast_one_on_whole_pixels():
    images = pictures(50, 3, 16, 16)
    blit = draw_blit(50, (16, 16), 1.0, chance())
    slow = Placement(blit.linear, blit.offset, torch.ones_like(blit.between))
    assert (warp(images, slow) - warp(images, blit)).abs().max() < 1e-4


def test_no_value_is_asked_of_another_device():
    # A tensor of this device has no values: code that waits for one fails.
    images = torch.empty(5, 3, 16, 24, device="meta")
    place = draw_general(5, (16, 24), 0.5, chance())
    place = Placement(*(value.to("meta") for value in (place.linear, place.offset, place.between)))
    colour = [value.to("meta") for value in draw_colour(5, 3, 0.5, chance())]
    assert recolour(warp(images, joined(place, place)), colour).shape == images.shape


def test_pictures_of_both_ways_stay_in_order():
    images = pictures(40, 3, 16, 16)
    place = joined(draw_blit(40, (16, 16), 0.3, chance()), draw_general(40, (16, 16), 0.1, chance(1)))
    assert 0 < place.between.sum() < 40
    slow = Placement(place.linear, place.offset, torch.ones_like(place.between))
    assert (warp(images, place) - warp(images, slow)).abs().max() < 1e-4


def test_a_shift_by_half_a_pixel_keeps_waves():
    images = smooth(3, 32, 32)
    shift = Placement(
        torch.eye(2)[..., None].expand(2, 2, 3), torch.tensor([[0.5], [0.0]]).expand(2, 3), torch.ones(3) > 0
    )
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    truth = torch.stack([torch.sin((x + 0.5) * 0.9 + i) * torch.cos(y * 0.7 - i) for i in range(3)])[:, None]
    assert (warp(images, shift) - truth)[..., 4:-4].abs().max() < 0.03


def test_turning_forth_and_back_keeps_a_picture():
    images = smooth(1, 48, 48)
    cos, sin = math.cos(0.4), math.sin(0.4)
    there = warp(images, placed([[cos, -sin], [sin, cos]]))
    back = warp(there, placed([[cos, sin], [-sin, cos]]))
    assert (there - images)[..., 16:-16, 16:-16].abs().max() > 0.3
    assert (back - images)[..., 16:-16, 16:-16].abs().max() < 0.12


def test_what_shrinks_is_filtered():
    checks = (torch.arange(32)[:, None] + torch.arange(32)).remainder(2).mul(2.0).sub(1)[None, None]
    assert warp(checks, placed([[2.0, 0], [0, 2.0]])).abs().max() < 0.05
    assert warp(checks, placed([[1.0, 0], [0, 1.0]])).sub(checks).abs().max() < 1e-4


def test_what_shrinks_one_way_is_filtered_that_way():
    stripes = torch.arange(32).remainder(2).mul(2.0).sub(1).expand(1, 1, 32, 32)
    assert warp(stripes, placed([[2.0, 0], [0, 1.0]])).abs().max() < 0.05
    assert warp(stripes, placed([[1.0, 0], [0, 2.0]])).sub(stripes).abs().max() < 1e-4


def test_outside_a_picture_is_its_reflection():
    row = torch.arange(8.0).expand(1, 1, 8, 8)
    shifted = warp(row, placed([[1.0, 0], [0, 1.0]], (3.0, 0.0)))
    assert shifted[0, 0, 0].tolist() == pytest.approx([3, 4, 5, 6, 7, 6, 5, 4], abs=1e-4)


def test_blits_are_as_frequent_as_in_the_paper():
    blit = draw_blit(MANY, (64, 32), 0.5, chance())
    assert not blit.between.any()
    assert set(blit.linear.flatten().tolist()) == {-1.0, 0.0, 1.0}
    mirrored = blit.linear[0, 0] * blit.linear[1, 1] < 0
    assert mirrored.float().mean().item() == pytest.approx(0.25, abs=0.015)
    turned = blit.linear[1, 1] < 0
    assert turned.float().mean().item() == pytest.approx(0.25, abs=0.015)
    assert blit.offset[0].abs().max() == 4 and blit.offset[1].abs().max() == 8
    assert (blit.offset == 0).all(dim=0).float().mean().item() == pytest.approx(0.5, abs=0.03)
    square = draw_blit(MANY, (32, 32), 0.8, chance())
    sideways = (square.linear[0, 0] == 0).float().mean().item()
    assert sideways == pytest.approx(0.4, abs=0.015)


def test_geometry_is_as_strong_as_in_the_paper():
    place = draw_general(MANY, (64, 32), 1.0, chance())
    a, b, c, d = place.linear.flatten(0, 1)
    scale = (a * d - b * c).log2() / -2
    assert scale.mean().item() == pytest.approx(0, abs=0.01)
    assert scale.std().item() == pytest.approx(0.2, rel=0.03)
    stretch = torch.linalg.svdvals(place.linear.permute(2, 0, 1))
    ratio = (stretch[:, 0] / stretch[:, 1]).log2() / 2
    assert ratio.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.03)
    moved = torch.linalg.solve(place.linear.permute(2, 0, 1), -place.offset.T)
    assert moved.std(dim=0).tolist() == pytest.approx([4.0, 8.0], rel=0.03)
    assert place.between.all()


@pytest.mark.parametrize("probability", [0.2, 0.7])
def test_geometry_is_as_frequent_as_in_the_paper(probability):
    place = draw_general(MANY, (64, 32), probability, chance())
    a, b, c, d = place.linear.flatten(0, 1)
    scaled = ((a * d - b * c) - 1).abs() > 1e-4
    shifted = place.offset.abs().sum(dim=0) > 0
    assert scaled.float().mean().item() == pytest.approx(probability, abs=0.015)
    assert shifted.float().mean().item() == pytest.approx(probability, abs=0.015)
    # Neither of the two rotations, and no stretching.
    upright = (b.abs() + c.abs()) < 1e-6
    assert upright.float().mean().item() == pytest.approx(1 - probability, abs=0.015)
    assert place.between.float().mean().item() == pytest.approx(1 - (1 - probability) ** 4, abs=0.015)


def test_colours_are_as_strong_as_in_the_paper():
    matrix, offset = draw_colour(MANY, 3, 1.0, chance())
    grey = matrix.sum(dim=(1, 2)) / 3
    assert (grey < 0).float().mean().item() == pytest.approx(0.5, abs=0.015)
    assert grey.abs().log2().std().item() == pytest.approx(0.5, rel=0.03)
    assert (offset[:, 0, 0] / grey).std().item() == pytest.approx(0.2, rel=0.03)
    chroma = (torch.linalg.det(matrix) / grey**3).abs().log2() / 2
    assert chroma.std().item() == pytest.approx(1.0, rel=0.03)
    # The trace of a rotation by an angle in the plane across the grey axis is twice its cosine.
    cos = (matrix.diagonal(dim1=1, dim2=2).sum(dim=1) - grey) / (2 * (torch.linalg.det(matrix) / grey).sqrt())
    assert cos.mean().item() == pytest.approx(0, abs=0.02)
    assert cos.square().mean().item() == pytest.approx(0.5, abs=0.02)
    assert (matrix[:, 0, 1] > matrix[:, 1, 0]).float().mean().item() == pytest.approx(0.5, abs=0.015)


@pytest.mark.parametrize("probability", [0.2, 0.7])
def test_colours_are_as_frequent_as_in_the_paper(probability):
    matrix, offset = draw_colour(MANY, 3, probability, chance())
    grey = matrix.sum(dim=(1, 2)) / 3
    share = {
        "brightness": (offset != 0).any(dim=1).float().mean(),
        "contrast": ((grey.abs() - 1).abs() > 1e-4).float().mean(),
        "luma flip": (grey < 0).float().mean() * 2,
        "saturation": ((torch.linalg.det(matrix) / grey**3 - 1).abs() > 1e-3).float().mean(),
        "hue": ((matrix - matrix.mT).abs().amax(dim=(1, 2)) > 1e-4).float().mean(),
    }
    assert {name: value.item() for name, value in share.items()} == pytest.approx(
        dict.fromkeys(share, probability), abs=0.03
    )


def test_grey_stays_grey_and_alpha_stays():
    images = pictures(50, 4, 6, 6)
    images[:, :3] = images[:, :1]
    changed = recolour(images, draw_colour(50, 4, 1.0, chance()))
    assert torch.allclose(changed[:, :1].expand(-1, 3, -1, -1), changed[:, :3], atol=1e-5)
    assert torch.equal(changed[:, 3], images[:, 3])
    pair = pictures(50, 2, 6, 6)
    assert torch.equal(recolour(pair, draw_colour(50, 2, 1.0, chance()))[:, 1], pair[:, 1])


def test_hue_and_saturation_keep_the_grey_value():
    images = pictures(50, 3, 6, 6)
    matrix, offset = draw_colour(50, 3, 1.0, chance())
    changed = recolour(images, (matrix, offset))
    grey = matrix.sum(dim=(1, 2))[:, None, None] / 3
    assert torch.allclose(changed.mean(dim=1), images.mean(dim=1) * grey + offset[:, 0, :, None], atol=1e-5)


def test_one_channel_is_changed_as_a_grey_picture_is():
    grey = pictures(20, 1, 6, 6)
    one = recolour(grey, draw_colour(20, 1, 1.0, chance()))
    three = recolour(grey.expand(-1, 3, -1, -1), draw_colour(20, 3, 1.0, chance()))
    assert torch.allclose(one, three[:, :1], atol=1e-5)


def test_says_what_cannot_be_augmented():
    with pytest.raises(ValueError, match="no augmentation blur"):
        Augmentation((8, 8), 3, "blit blur")
    with pytest.raises(ValueError, match="1 to 4 channels, not 5"):
        Augmentation((8, 8), 5)
    with pytest.raises(ValueError, match="16 x 2 are too small"):
        Augmentation((2, 16), 3)
    with pytest.raises(ValueError, match=r"not \(3, 8, 9\)"):
        Augmentation((8, 8), 3)(pictures(1, 3, 8, 9), 1.0, chance())


def test_adapts_towards_the_target_at_the_pace_of_the_ramp():
    assert adapt(0.0, 0.9, 64) == pytest.approx(64 / 500_000)
    assert adapt(0.3, 0.2, 5000) == pytest.approx(0.29)
    assert adapt(0.3, 0.5, 5000, target=0.4, ramp=50_000) == pytest.approx(0.4)
    assert adapt(0.3, 0.6, 5000) == 0.3


def test_the_probability_stays_in_its_bounds():
    assert adapt(0.0, -1.0, 10**6) == 0.0
    assert adapt(0.79, 1.0, 10**6) == MOST
    assert adapt(0.1, 1.0, 0) == 0.1
