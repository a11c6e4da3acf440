"""The papers' network: sizes, costs, padding, pooling and what is clipped."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gsos.cnn import Dropout, build_cnn, conv_layers, is_clipped, multiply_adds
from gsos.space import DEFAULTS, SPACES, sample

HIA, GSOS, HGD = DEFAULTS["hia"], DEFAULTS["gsos"], DEFAULTS["hgd-cifar10"]
NAMES = st.sampled_from(["hia", "gsos"])
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.sampled_from([8, 16, 28, 32])

# configuration, image, classes, feature maps, parameters, multiply-adds, clipped
BY_HAND = {
    # HIA default. 28 -> conv 27 -> pool 13; 13 -> 12 -> 6; 16 x 6 x 6 = 576 features.
    # Parameters: 1*16*4+16 = 80, 16*16*4+16 = 1040, 576*32+32 = 18464, 32*10+10 = 330.
    # Multiply-adds: 64*27*27 = 46656, 1024*12*12 = 147456, 576*32 = 18432, 320.
    "hia": (HIA, (1, 28, 28), 10, [(13, 13), (6, 6)], 19_914, 212_864, False),
    # Padding 1, kernel 3, stride 2. 16 -> (16+2-3)//2+1 = 8 -> 4; 4 -> (4+2-3)//2+1 = 2 -> 1; 1 -> 1, no pool.
    # Parameters: 3*4*9+4 = 112, 4*8*9+8 = 296, 8*64*9+64 = 4672, 64*8+8 = 520, 8*10+10 = 90.
    # Multiply-adds: 108*8*8 = 6912, 288*2*2 = 1152, 4608, 512, 80.
    "hia padded, stride 2": (
        HIA
        | {"num_conv_layers": 3, "kernel": 3, "stride": 2, "padding": 1, "num_fc_units": 8}
        | {"num_filters_1": 4, "num_filters_2": 8, "num_filters_3": 64},
        (3, 16, 16),
        10,
        [(4, 4), (1, 1), (1, 1)],
        5_690,
        13_264,
        True,
    ),
    # Same, kernel 5, stride 2. 64 -> 32 -> pool 16 -> 8 -> 4 -> 2 -> 1.
    # Parameters: 3*16*25+16 = 1216, twice 16*16*25+16 = 6416, 16*128+128 = 2176, 128*6+6 = 774.
    # Multiply-adds: 1200*32*32 = 1228800, 6400*8*8 = 409600, 6400*2*2 = 25600, 2048, 768.
    "gsos same, stride 2": (
        GSOS | {"kernel": 5, "stride": 2, "num_fc_units": 128},
        (3, 64, 64),
        6,
        [(16, 16), (4, 4), (1, 1)],
        16_998,
        1_666_816,
        False,
    ),
    # Valid, kernel 5. 8 -> 4 -> 2; the second kernel is clipped to 2x2: 2 -> 1, no pool.
    # Parameters: 16*25+16 = 416, 16*16*4+16 = 1040, 16*64+64 = 1088, 64*10+10 = 650.
    # Multiply-adds: 400*4*4 = 6400, 1024, 1024, 640.
    "gsos valid, clipped": (
        GSOS | {"num_conv_layers": 2, "kernel": 5, "padding": "valid"},
        (1, 8, 8),
        10,
        [(2, 2), (1, 1)],
        3_194,
        9_088,
        True,
    ),
    # 32 -> 16 -> 8 -> 4; 128 x 4 x 4 = 2048 features; two hidden fully connected layers.
    # Parameters: 3*32*9+32 = 896, 32*64*9+64 = 18496, 64*128*9+128 = 73856, 2048*256+256 = 524544,
    # 256*64+64 = 16448, 64*10+10 = 650.
    # Multiply-adds: 864*1024 = 884736, 18432*256 = 4718592, 73728*64 = 4718592, 524288, 16384, 640.
    "hgd": (
        HGD
        | {"num_filters_1": 32, "num_filters_2": 64, "num_filters_3": 128}
        | {"num_fc_units_1": 256, "num_fc_units_2": 64},
        (3, 32, 32),
        10,
        [(16, 16), (8, 8), (4, 4)],
        634_890,
        10_863_232,
        False,
    ),
    # HIA default on a map that is not square. 9 x 5 -> 8 x 4 -> 4 x 2 -> 3 x 1 -> pool only vertically: 1 x 1.
    # Parameters: 80, 1040, 16*32+32 = 544, 32*2+2 = 66. Multiply-adds: 64*8*4 = 2048, 1024*3 = 3072, 512, 64.
    "hia, not square": (HIA, (1, 9, 5), 2, [(4, 2), (1, 1)], 1_730, 5_696, True),
}


def random_config(name, seed):
    return DEFAULTS[name] | sample(SPACES[name], np.random.default_rng(seed))


def outputs(model, x, kinds):
    """(module, output) of each module of these kinds in one forward pass."""
    seen = []
    hooks = [
        module.register_forward_hook(lambda module, _, out: seen.append((module, out)))
        for module in model
        if isinstance(module, kinds)
    ]
    with torch.no_grad():
        model.eval()(x)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("case", BY_HAND)
def test_sizes_and_costs_by_hand(case):
    config, image_shape, n_classes, maps, parameters, cost, clipped = BY_HAND[case]
    model = build_cnn(config, image_shape, n_classes)
    assert [layer.size for layer in conv_layers(config, image_shape)] == maps
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert multiply_adds(config, image_shape, n_classes) == cost
    assert is_clipped(config, image_shape) is clipped
    x = torch.zeros(3, *image_shape)
    assert model(x).shape == (3, n_classes)
    relu = [out.shape[2:] for _, out in outputs(model, x, nn.ReLU) if out.ndim == 4]
    assert relu == maps


@given(name=NAMES, seed=SEEDS, channels=st.sampled_from([1, 3]), size=SIZES, n_classes=st.integers(2, 12))
@settings(max_examples=40, deadline=None)
def test_random_networks_run_and_cost_what_is_counted(name, seed, channels, size, n_classes):
    config, image_shape = random_config(name, seed), (channels, size, size)
    model = build_cnn(config, image_shape, n_classes)
    counted = 0
    for module, out in outputs(model, torch.randn(2, *image_shape), (nn.Conv2d, nn.Linear)):
        assert torch.isfinite(out).all() and len(out) == 2
        per_output = module.weight[0].numel()  # each output is one dot product with a filter or a row of weights
        counted += out[0].numel() * per_output
    assert out.shape == (2, n_classes)
    assert multiply_adds(config, image_shape, n_classes) == counted


def textbook_maps(config, pixels):
    """Sizes (after convolution, after pooling) of PyTorch's own layers on a square image; None if one does not fit."""
    x, maps = torch.zeros(1, 1, pixels, pixels), []
    kernel, stride = config["kernel"], config["stride"]
    try:
        for _ in range(config["num_conv_layers"]):
            total = 0
            if config["padding"] == "same":
                total = max(kernel - (x.shape[-1] % stride or stride), 0)
                x = F.pad(x, 2 * (total // 2, total - total // 2))
            x = nn.Conv2d(1, 1, kernel, stride, config["padding"] if isinstance(config["padding"], int) else 0)(x)
            convolved = x.shape[2:]
            x = nn.MaxPool2d(2)(x)
            maps.append((convolved, x.shape[2:]))
    except RuntimeError as error:  # "Kernel size can't be greater than actual input size", "Output size is too small"
        assert "size" in str(error)
        return None
    return maps


@given(name=NAMES, seed=SEEDS, size=SIZES)
@settings(max_examples=60, deadline=None)
def test_clipped_is_what_the_textbook_network_cannot_do(name, seed, size):
    config, image_shape = random_config(name, seed), (1, size, size)
    textbook = textbook_maps(config, size)
    assert is_clipped(config, image_shape) == (textbook is None)
    if textbook is not None:
        assert [(layer.conv_size, layer.size) for layer in conv_layers(config, image_shape)] == textbook


def test_clipping_by_hand():
    four = GSOS | {"num_conv_layers": 4, "stride": 2}
    # 28 -> 14 -> 7 -> 4 -> 2 -> 1 and nothing left to pool -> 1
    assert [layer.pool for layer in conv_layers(four, (1, 28, 28))] == [(2, 2), (2, 2), (1, 1), (1, 1)]
    assert is_clipped(four, (1, 28, 28))
    # stride 1: 28 -> 14 -> 7 -> 3 -> 1, each by pooling alone
    assert not is_clipped(four | {"stride": 1}, (1, 28, 28))
    # 8 -> 4 -> 2 -> 1, and a fourth layer finds 1 pixel
    assert not is_clipped(GSOS, (1, 8, 8)) and is_clipped(GSOS | {"num_conv_layers": 4}, (1, 8, 8))
    # stride 2: 129 -> (65) 32 -> (16) 8 -> (4) 2 -> (1): no; 192 -> (96) 48 -> (24) 12 -> (6) 3 -> (2) 1
    assert is_clipped(four, (1, 129, 129)) and not is_clipped(four, (1, 192, 192))
    # one layer, valid: the kernel itself is what does not fit, on one axis only
    wide = GSOS | {"num_conv_layers": 1, "kernel": 5, "padding": "valid", "num_filters_1": 2}
    (layer,) = conv_layers(wide, (1, 4, 9))
    assert layer.kernel == (4, 5) and layer.conv_size == (1, 5) and layer.pool == (1, 2) and layer.clipped
    assert not is_clipped(wide, (1, 6, 6))


def convolve_same(x, weight, bias, stride):
    """TensorFlow's SAME convolution, as its documentation defines it, one output at a time. x (C, H, W)."""
    filters, _, k, _ = weight.shape
    size = x.shape[1:]
    out = [int(np.ceil(pixels / stride)) for pixels in size]
    before = []
    for pixels in size:
        total = max(k - stride, 0) if pixels % stride == 0 else max(k - pixels % stride, 0)
        before.append(total // 2)
    y = np.zeros((filters, *out))
    for f in range(filters):
        for i in range(out[0]):
            for j in range(out[1]):
                y[f, i, j] = bias[f]
                for a in range(k):
                    for b in range(k):
                        row, column = i * stride + a - before[0], j * stride + b - before[1]
                        if 0 <= row < size[0] and 0 <= column < size[1]:
                            y[f, i, j] += x[:, row, column] @ weight[f, :, a, b]
    return y


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("size", [(6, 6), (7, 7), (5, 8), (1, 2)])
def test_same_padding_is_that_of_tensorflow(kernel, stride, size):
    config = GSOS | {"num_conv_layers": 1, "kernel": kernel, "stride": stride, "num_filters_1": 3}
    torch.manual_seed(0)
    model = build_cnn(config, (2, *size), 4).double()
    conv = next(module for module in model if isinstance(module, nn.Conv2d))
    x = torch.randn(1, 2, *size, dtype=torch.float64)
    ((_, y),) = outputs(model, x, nn.Conv2d)
    by_definition = convolve_same(x[0].numpy(), conv.weight.detach().numpy(), conv.bias.detach().numpy(), stride)
    np.testing.assert_allclose(y[0].numpy(), by_definition, rtol=1e-12, atol=1e-12)
    if stride == 1 and kernel % 2:  # as PyTorch's own
        torch.testing.assert_close(y, F.conv2d(x, conv.weight, conv.bias, padding="same"), rtol=1e-12, atol=1e-12)


@given(pixels=st.integers(1, 60), kernel=st.integers(1, 7), stride=st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_same_padding_gives_a_pixel_for_every_stride(pixels, kernel, stride):
    config = GSOS | {"num_conv_layers": 1, "kernel": kernel, "stride": stride}
    (layer,) = conv_layers(config, (1, pixels, pixels))
    before, after = layer.padding[0]
    assert layer.conv_size == (int(np.ceil(pixels / stride)),) * 2
    assert 0 <= after - before <= 1  # the odd pixel is behind
    assert layer.conv_size[0] == (pixels + before + after - kernel) // stride + 1 or kernel < stride


@pytest.mark.parametrize("case", ["hia", "gsos same, stride 2", "hgd", "hia, not square"])
def test_pooling_before_relu_is_relu_before_pooling(case):
    config, image_shape, n_classes, *_ = BY_HAND[case]
    torch.manual_seed(1)
    model = build_cnn(config, image_shape, n_classes).eval()  # without dropout
    textbook = list(model)
    pools = [i for i, module in enumerate(model) if isinstance(module, nn.MaxPool2d)]
    for i in pools:
        textbook[i], textbook[i + 1] = textbook[i + 1], textbook[i]
    assert len(pools) == config["num_conv_layers"] and all(isinstance(textbook[i], nn.ReLU) for i in pools)
    results = []
    for network in (model, nn.Sequential(*textbook)):
        x = torch.randn(4, *image_shape, generator=torch.Generator().manual_seed(2), requires_grad=True)
        y = network(x)
        gradients = torch.autograd.grad(F.cross_entropy(y, torch.arange(4) % n_classes), [x, *network.parameters()])
        results.append([y, *gradients])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*results, strict=True))
    assert all(gradient.abs().max() > 0 for gradient in results[0][1:])


def test_modules_stand_in_the_papers_order():
    model = build_cnn(HIA | {"dropout_rate": 0.3}, (1, 28, 28), 10)
    convolution = [nn.Conv2d, nn.MaxPool2d, nn.ReLU]
    head = [nn.Flatten, Dropout, nn.Linear, nn.ReLU, Dropout, nn.Linear]
    assert [type(module) for module in model] == 2 * convolution + head
    assert [module.rate for module in model if isinstance(module, Dropout)] == [0.3, 0.3]
    hgd = build_cnn(HGD, (3, 32, 32), 10)
    assert [type(module) for module in hgd] == 3 * convolution + head[:4] + head[1:]


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    x = torch.randn(8, 1, 28, 28)
    dropping, keeping = (build_cnn(HIA | {"dropout_rate": rate}, (1, 28, 28), 10) for rate in (0.9, 0.0))
    assert not torch.equal(dropping(x), dropping(x)) and torch.equal(keeping(x), keeping(x))
    assert torch.equal(dropping.eval()(x), dropping(x))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_zeroes_its_share_and_scales_the_rest(rate):
    torch.manual_seed(3)
    x = torch.ones(201, 499, requires_grad=True)
    y = Dropout(rate)(x)
    dropped = y == 0
    n = x.numel()
    assert abs(dropped.sum().item() - n * rate) < 4 * np.sqrt(n * rate * (1 - rate))
    assert torch.all(dropped | torch.isclose(y, torch.tensor(1 / (1 - rate))))
    # whether a unit is dropped says nothing about the next seven (four units share a random word)
    flat = dropped.flatten().double() - rate
    for lag in range(1, 8):
        assert abs((flat[:-lag] * flat[lag:]).mean()) < 4 * rate * (1 - rate) / np.sqrt(n)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, y)


def test_dropout_follows_the_seed_and_keeps_shape_and_type():
    x = torch.randn(3, 7, dtype=torch.float64)
    torch.manual_seed(4)
    first = Dropout(0.5)(x)
    torch.manual_seed(4)
    assert torch.equal(first, Dropout(0.5)(x)) and not torch.equal(first, Dropout(0.5)(x))
    assert first.shape == x.shape and first.dtype == torch.float64
    assert Dropout(0.5)(torch.zeros(0, 4)).shape == (0, 4)


def test_only_asymmetric_padding_takes_a_module():
    def padded(**changes):
        model = build_cnn(GSOS | {"num_conv_layers": 1} | changes, (1, 8, 8), 10)
        return [module.padding for module in model if isinstance(module, nn.ZeroPad2d)]

    assert padded(kernel=3, stride=1) == padded(kernel=5, stride=1) == padded(padding="valid", stride=2) == []
    assert padded(kernel=3, stride=2) == [(0, 1, 0, 1)]  # an even map needs one pixel, behind
    assert padded(kernel=2, stride=1) == [(0, 1, 0, 1)] and padded(kernel=5, stride=2) == [(1, 2, 1, 2)]


def test_filters_of_layers_that_do_not_exist_are_no_matter():
    one = HIA | {"num_conv_layers": 1}
    assert conv_layers(one, (1, 28, 28)) == conv_layers(one | {"num_filters_2": 64}, (1, 28, 28))


@pytest.mark.parametrize("padding", ["full", "SAME", -1, 0.5, None])
def test_a_wrong_padding_is_refused(padding):
    with pytest.raises(ValueError, match=f"padding must be 'same', 'valid' or a number of pixels, not {padding!r}"):
        build_cnn(HIA | {"padding": padding}, (1, 28, 28), 10)


def test_missing_filters_are_refused():
    lacking = {name: value for name, value in HIA.items() if name not in ("num_filters_2", "num_filters_3")}
    with pytest.raises(ValueError, match=r"num_conv_layers = 3 but lacks \['num_filters_2', 'num_filters_3'\]"):
        build_cnn(lacking | {"num_conv_layers": 3}, (1, 28, 28), 10)
