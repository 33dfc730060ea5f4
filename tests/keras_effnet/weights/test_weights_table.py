"""The table of published weights, against the packages that publish them."""

import ast
import collections
import importlib.util
import itertools
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import shared_file
from keras.src.applications import efficientnet
from keras.src.applications import efficientnet_v2
from PIL import Image

from keras_effnet.data.photos import read_photo
from keras_effnet.data.photos import resize_and_crop
from keras_effnet.errors import InputError
from keras_effnet.preprocessing import Preprocessing
from keras_effnet.rule import AUTOML_CROPS
from keras_effnet.rule import NORMALIZATIONS
from keras_effnet.rule import at_size
from keras_effnet.specs import SPECS
from keras_effnet.weights import hub
from keras_effnet.weights.table import SOURCES
from keras_effnet.weights.table import find
from keras_effnet.weights.table import published
from keras_effnet.weights.table import sets_of

# The files of PyTorch's trainings.
OWN = [
    row
    for row in published()
    if row.padding == "symmetric" and row.source in ("timm", "torchvision")
]
MODELS = {name.lower(): name for name in SPECS}
TIMM_SETS = {
    "ns_jft_in1k": "noisy-student",
    "ns_jft_in1k_475": "noisy-student-475",
    "ap_in1k": "advprop",
    "ra_in1k": "randaugment",
    "aa_in1k": "autoaugment",
    "in21k": "imagenet21k",
    "in21k_ft_in1k": "imagenet21k-ft1k",
}
KECAM_SETS = {
    "21k": "imagenet21k",
    "21k-ft1k": "imagenet21k-ft1k",
    "noisy_student": "noisy-student",
    "imagenet": "imagenet",
}
# Of timm's networks the 26 of Google that it has weights of, its own trainings too.
TIMM = (
    r"tf_efficientnet(?!_cc)|efficientnet_(b\d|e[sml](_pruned)?|lite\d)\.(?!untrained)"
)
TIMM_OWN_SETS = {
    "ra4_e3600_r224_in1k": "ra4",
    "ra4_e3600_r240_in1k": "ra4",
    "ra_in1k": "ra",
    "ra2_in1k": "ra2",
    "ft_in1k": "ft",
    "in1k": "pruned",
    "sw_in12k": "in12k",
    "sw_in12k_ft_in1k": "in12k-ft1k",
}
RELEASES = "https://github.com/rwightman/pytorch-image-models/releases/download/"
GOOGLE = "https://storage.googleapis.com/cloud-tpu-checkpoints/efficientnet/"


def _model(foreign):
    """`"tf_efficientnetv2_b0"`, `"v1-b0"`, `"edgetpu-large"` to our names."""
    name = re.sub("^tf_|_pruned|[-_]", "", foreign.lower())
    name = re.sub("^v1", "", name.removeprefix("efficientnet"))
    edge_tpu = re.fullmatch("e([sml])|edgetpu([sml])(mall|edium|arge)?", name)
    if edge_tpu:
        name = f"edgetpu{edge_tpu[1] or edge_tpu[2]}"
    return MODELS["efficientnet" + re.sub("^liteb", "lite", name)]


def _kecam_set(kind, name):
    """The set that kecam's file of a kind ("v1-b0") and a set of its is."""
    if kind == "v1-l2":
        return "noisy-student-475"
    if name == "imagenet" and kind.startswith("v1"):
        return "advprop"
    if kind.startswith("edgetpu"):
        return "ra2" if kind == "edgetpu-medium" else "ra"
    return KECAM_SETS[name]


def _timm_set(architecture, tag):
    if not architecture.startswith("tf_"):
        return TIMM_OWN_SETS[tag]
    if tag == "in1k":
        return "baseline" if SPECS[_model(architecture)].family == "v1" else "imagenet"
    return TIMM_SETS[tag]


def _published(source):
    """`{(model, set, include_top): (url, hash)}` of the table."""
    return {
        (row.model, row.name, row.include_top): (row.url, row.hash)
        for row in published()
        if row.source == source
    }


def _syntax(package, file):
    """The syntax tree of an installed module; it is not imported, which is slow."""
    found = importlib.util.find_spec(package)
    if found is None:
        pytest.skip(f"{package} is not installed")
    path = pathlib.Path(found.submodule_search_locations[0], file)
    return ast.parse(path.read_text(encoding="utf-8"))


def _assigned(tree, name):
    """What a module assigns to a name, as syntax."""
    return next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    )


def _strings(tree):
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return {node.value for node in nodes if isinstance(node.value, str)}


# The whole table.


def test_every_published_file_is_in_the_table():
    assert collections.Counter(row.source for row in published()) == {
        "keras": 30,
        "kecam": 43,
        "qubvel": 32,
        "lite-keras": 10,
        "timm": 76,
        "torchvision": 12,
        "google": 66,
    }


def test_every_network_has_weights():
    assert {row.model for row in published()} == set(SPECS)
    assert all(sets_of(name) for name in SPECS)


def test_the_rows_are_sorted_and_none_stands_twice():
    rows = published()
    keys = [(row.model, row.name, row.source, row.include_top) for row in rows]
    assert len(set(keys)) == len({row.url for row in rows}) == len(rows)
    models, sources = list(SPECS), list(SOURCES)
    for earlier, later in itertools.pairwise(rows):
        assert models.index(earlier.model) <= models.index(later.model)
        if (earlier.model, earlier.name) == (later.model, later.name):
            assert sources.index(earlier.source) <= sources.index(later.source)


def test_the_sets_of_each_family():
    v1 = ("imagenet", "autoaugment", "baseline", "randaugment", "advprop")
    own = ("noisy-student", "in12k", "in12k-ft1k", "imagenet1k-v1")
    assert sets_of("EfficientNetB5") == (*v1, *own)
    own = ("noisy-student", "ra4", "ft", "imagenet1k-v1", "imagenet1k-v2")
    assert sets_of("EfficientNetB1")[-5:] == own
    assert sets_of("EfficientNetB8") == ("randaugment", "advprop")
    assert sets_of("EfficientNetL2") == ("noisy-student", "noisy-student-475")
    v2 = ("imagenet", "imagenet21k", "imagenet21k-ft1k")
    assert sets_of("efficientnetv2-b0") == v2
    assert sets_of("EfficientNetV2XL") == v2[1:]
    assert sets_of("EfficientNetLite0") == ("imagenet", "ra")
    assert sets_of("EfficientNetEdgeTPUL") == ("imagenet", "ra", "pruned")
    assert sets_of("my_own") == ()


def test_the_values_of_a_row():
    (row,) = find("EfficientNetV2S", "imagenet21k-ft1k@timm")
    assert row.url == (
        f"{RELEASES}v0.1-effv2-weights/tf_efficientnetv2_s_21ft1k-d7dafa41.pth"
    )
    assert row.file == "tf_efficientnetv2_s_21ft1k-d7dafa41.pth"
    assert (row.model, row.name, row.source, row.include_top) == (
        *("EfficientNetV2S", "imagenet21k-ft1k", "timm", True),
    )
    assert (row.format, row.hash) == ("pytorch", "sha256:d7dafa41")
    assert (row.classes, row.image_size, row.top1) == (1000, 384, 84.9)
    assert row.preprocessing == Preprocessing(
        (128.0,), (128.0,), "bilinear", None, crops=AUTOML_CROPS
    )
    assert row.licence == "Apache-2.0"
    assert row.page == "https://github.com/huggingface/pytorch-image-models"
    (row,) = find("EfficientNetV2S", "imagenet21k@google")
    assert row.page == "https://github.com/google/automl/tree/master/efficientnetv2"
    (row,) = find("EfficientNetLite0", "imagenet@google")
    assert row.page.startswith("https://github.com/tensorflow/tpu/")


def test_the_rows_are_whole():
    suffixes = {
        "h5": (".h5",),
        "tf-checkpoint": (".tar.gz", ".tgz"),
        "pytorch": (".pth",),
        "safetensors": (".safetensors",),
    }
    hashes = "(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}|sha256:[0-9a-f]{8})?"
    for row in published():
        assert re.fullmatch(r"https://[\w.-]+(/[\w.-]+)+", row.url)
        assert row.url.endswith(suffixes[row.format]), row.url
        assert re.fullmatch(hashes, row.hash), row.url
        unhashed = row.source == "google" or row.format == "safetensors"
        assert bool(row.hash) is not unhashed, row.url
        assert row.include_top is ("_notop" not in row.url), row.url
        at_475 = row.name == "noisy-student-475"
        size = 475 if at_475 else SPECS[row.model].image_size
        assert row.image_size == size or row.padding == "symmetric", row.url
        assert row.page.startswith("https://")
        assert row.licence


def test_the_classes():
    for row in published():
        family = SPECS[row.model].family
        if not row.include_top:
            expected = 0
        elif row.name == "imagenet21k":
            expected = 21843
        elif row.name == "in12k":
            expected = 11821
        elif family == "edgetpu" and row.source == "google":
            expected = 1001
        else:
            expected = 1000
        assert row.classes == expected, row.url


# Against google/automl and tensorflow/tpu: their preprocessing and READMEs.


def test_the_preprocessing():
    imagenet = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    for row in published():
        if row.padding == "symmetric":
            continue
        family, small = SPECS[row.model].family, row.image_size < 320
        if row.name == "advprop":
            expected = Preprocessing((127.5,), (127.5,), "bicubic", 32)
        elif family == "lite":
            expected = Preprocessing((127.0,), (128.0,), "bilinear", 32)
        elif family == "edgetpu":
            expected = Preprocessing((127.0,), (128.0,), "bicubic", 32)
        elif family == "v2" and not (small and row.name == "imagenet"):
            crop_padding = 32 if small else None
            expected = Preprocessing(
                (128.0,), (128.0,), "bilinear", crop_padding, crops=AUTOML_CROPS
            )
        else:
            expected = Preprocessing(*imagenet, "bicubic", 32)
        assert row.preprocessing == expected, row.url


def test_the_published_accuracy():
    b0_to_b8 = [f"EfficientNetB{number}" for number in range(9)]
    autoaugment = (77.1, 79.1, 80.1, 81.6, 82.9, 83.6, 84.0, 84.3)
    advprop = (77.6, 79.6, 80.5, 81.9, 83.3, 84.3, 84.8, 85.2, 85.5)
    noisy_student = (78.8, 81.5, 82.4, 84.1, 85.3, 86.1, 86.4, 86.9)
    expected = {
        **_accuracies("baseline", b0_to_b8, (76.7, 78.7, 79.8, 81.1, 82.5, 83.1)),
        **_accuracies("autoaugment", b0_to_b8, autoaugment),
        **_accuracies("imagenet", b0_to_b8, autoaugment),
        **_accuracies("randaugment", b0_to_b8[5:8:2], (83.7, 84.7)),
        **_accuracies("advprop", b0_to_b8, advprop),
        **_accuracies("noisy-student", b0_to_b8, noisy_student),
        ("EfficientNetL2", "noisy-student"): 88.4,
        ("EfficientNetL2", "noisy-student-475"): 88.2,
        **_accuracies(
            "imagenet",
            [f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", *"SML")],
            (78.7, 79.8, 80.5, 82.1, 83.9, 85.2, 85.7),
        ),
        **_accuracies(
            "imagenet21k-ft1k",
            [f"EfficientNetV2{size}" for size in ("S", "M", "L", "XL")],
            (84.9, 86.2, 86.9, 87.2),
        ),
        **_accuracies(
            "imagenet",
            [f"EfficientNetLite{number}" for number in range(5)],
            # The README's 81.5 of Lite4 is not reached at its 300 pixels.
            (75.1, 76.7, 77.6, 79.8, 80.8),
        ),
        **_accuracies(
            "imagenet",
            [f"EfficientNetEdgeTPU{size}" for size in "SML"],
            (77.23, 78.69, 80.62),
        ),
    }
    for row in published():
        if row.padding == "symmetric":
            continue
        accuracy = expected.get((row.model, row.name)) if row.include_top else None
        assert row.top1 == accuracy, row.url


def _accuracies(name, models, values):
    pairs = zip(models, values, strict=False)
    return {(model, name): value for model, value in pairs}


# Against the packages that publish the files.


def test_the_files_of_keras():
    expected = {}
    for module, prefix in ((efficientnet, ""), (efficientnet_v2, "v2-")):
        for size, hashes in module.WEIGHTS_HASHES.items():
            name = f"efficientnet{prefix}{size.removeprefix('-')}"
            for top, end, digits in zip((1, 0), ("", "_notop"), hashes, strict=True):
                url = f"{module.BASE_WEIGHTS_PATH}{name}{end}.h5"
                expected[_model(name), "imagenet", bool(top)] = url, f"md5:{digits}"
    assert _published("keras") == expected


@pytest.mark.parametrize(
    ("package", "file", "left_out"),
    [
        ("keras_efficientnet_v2", "efficientnet_v2.py", {"edgetpu"}),
        ("keras_cv_attention_models", "efficientnet/efficientnet_v2.py", set()),
    ],
)
def test_the_files_of_kecam(package, file, left_out):
    tree = _syntax(package, file)
    addresses = [text for text in _strings(tree) if "releases/download" in text]
    expected = {}
    for kind, hashes in ast.literal_eval(_assigned(tree, "FILE_HASH_DICT")).items():
        version = "1" if kind.startswith(("v1", "edgetpu")) else "2"
        (address,) = [a for a in addresses if f"effnetv{version}_pretrained" in a]
        kind_here = kind if "-" in kind else f"v2-{kind}"
        if kind_here in ("v2-t", "v2-t-gc"):  # of timm, no network of Google's
            continue
        for name, digits in hashes.items():
            key = _model(kind_here), _kecam_set(kind_here, name), True
            expected[key] = address.format(kind, name), f"md5:{digits}"
    table = {
        key: value
        for key, value in _published("kecam").items()
        if SPECS[key[0]].family not in left_out
    }
    assert table == expected


def test_the_files_of_qubvel():
    hashes = _syntax("efficientnet", "weights.py")
    names = _strings(_syntax("efficientnet", "model.py"))
    autoaugment = "_weights_tf_dim_ordering_tf_kernels_autoaugment"
    assert {f"{autoaugment}.h5", f"{autoaugment}_notop.h5"} <= names
    assert {"{}_{}.h5", "{}_{}_notop.h5"} <= names
    expected = {}
    for name, prefix, kind, stem in (
        ("autoaugment", "IMAGENET_WEIGHTS", "sha256", autoaugment),
        ("noisy-student", "NS_WEIGHTS", "md5", "_noisy-student"),
    ):
        base = ast.literal_eval(_assigned(hashes, f"{prefix}_PATH"))
        files = ast.literal_eval(_assigned(hashes, f"{prefix}_HASHES"))
        for model, (top, notop) in files.items():
            url = f"{base}{model}{stem}"
            expected[_model(model), name, True] = f"{url}.h5", f"{kind}:{top}"
            expected[_model(model), name, False] = f"{url}_notop.h5", f"{kind}:{notop}"
    assert _published("qubvel") == expected


def test_the_files_of_timm():
    expected = {}
    for key, arguments in _timm_configs():
        architecture, _, tag = key.partition(".")
        if "url" in arguments:
            url = arguments["url"]
            digits = "sha256:" + re.search(r"-([0-9a-f]{8})\.pth$", url)[1]
        else:
            assert arguments["hf_hub_id"] == "timm/"
            url = f"https://huggingface.co/timm/{key}/resolve/main/model.safetensors"
            digits = ""
        name = _timm_set(architecture, tag)
        classes = arguments.get("num_classes", 1000)
        padding, epsilon = "same", 1e-3
        if not key.startswith("tf_"):
            # `_gen_efficientnet` leaves both to PyTorch.
            padding, epsilon = "symmetric", 1e-5
        values = url, digits, classes, padding, epsilon
        expected[_model(architecture), name] = values
    assert {
        (row.model, row.name): (
            *(row.url, row.hash, row.classes, row.padding, row.bn_epsilon),
        )
        for row in published()
        if row.source == "timm"
    } == expected


def _timm_configs():
    """`(key, arguments)` of the networks that timm has weights of."""
    tree = _syntax("timm", "models/efficientnet.py")
    (configs,) = _assigned(tree, "default_cfgs").args
    for key, value in zip(configs.keys, configs.values, strict=True):
        if re.match(TIMM, key.value):
            yield key.value, _arguments(value)


def _arguments(call):
    """A call's keyword arguments; names and other calls as their text."""
    values = {}
    for each in call.keywords:
        try:
            values[each.arg] = ast.literal_eval(each.value)
        except ValueError:
            values[each.arg] = ast.unparse(each.value)
    return values


def test_timms_own_preprocessing_at_both_sizes():
    rows = {row.url.replace("resolve/main/model.safetensors", ""): row for row in OWN}
    seen = 0
    for key, config in _timm_configs():
        if key.startswith("tf_"):
            continue
        row = rows[config.get("url", f"https://huggingface.co/timm/{key}/")]
        _, trained, _ = config.get("input_size", (3, 224, 224))
        _, evaluated, _ = config.get("test_input_size", (3, trained, trained))
        crop = config.get("crop_pct", 0.875)
        crops = {trained: crop, evaluated: config.get("test_crop_pct", crop)}
        assert row.image_size == evaluated
        values = NORMALIZATIONS["127.5" if "mean" in config else "imagenet"]
        for size, fraction in crops.items():
            rule = at_size(row.preprocessing, size)
            assert (rule.mean, rule.std, rule.interpolation) == (*values, "bicubic")
            assert rule.whole is (config.get("crop_mode") == "squash")
            assert rule.resized((size, size)) == (int(size / fraction),) * 2
        assert at_size(row.preprocessing, row.image_size) == row.preprocessing
        # Below the size that it was trained at as there, above as evaluated.
        assert at_size(row.preprocessing, 64) == at_size(row.preprocessing, trained)
        assert at_size(row.preprocessing, 1000) == row.preprocessing
        seen += 1
    assert seen == 15


def test_a_repository_of_the_hub_is_cropped_as_its_row():
    rows = {row.url: row for row in OWN}
    for key, config in _timm_configs():
        url = f"https://huggingface.co/timm/{key}/resolve/main/model.safetensors"
        row = rows.get(config.get("url", url))
        if row is None:
            continue
        values = {"input_size": (3, 224, 224), **config}
        values["mean"] = values["std"] = (0.5, 0.5, 0.5)
        rule, size = hub._rule(values)
        assert size == row.image_size
        for each in (64, size, 1000):
            found, expected = (at_size(x, each) for x in (rule, row.preprocessing))
            assert found.box(300, 400, (each, each)) == expected.box(
                300, 400, (each, each)
            )


def test_the_files_of_torchvision():
    tree = _syntax("torchvision", "models/efficientnet.py")
    nodes = {node.name: node for node in tree.body if hasattr(node, "name")}
    expected, found = {}, {}
    for name, node in nodes.items():
        if not name.endswith("_Weights"):
            continue
        (builder,) = (
            each
            for each in ast.walk(nodes[name.removesuffix("_Weights").lower()])
            if isinstance(each, ast.Call) and ast.unparse(each.func) == "_efficientnet"
        )
        eps = re.search("eps=([0-9.e-]+)", _arguments(builder).get("norm_layer", ""))
        for each in node.body:
            version = ast.unparse(each.targets[0]) if hasattr(each, "targets") else ""
            if not version.startswith("IMAGENET"):
                continue
            arguments = _arguments(each.value)
            text = re.sub(r"\s+", " ", ast.unparse(each.value))
            number = {
                key: float(re.search(rf"{key}'?[=:] ?([0-9.]+)", text)[1])
                for key in ("crop_size", "resize_size", "acc@1")
            }
            expected[_model(name.removesuffix("_Weights")), version] = (
                arguments["url"],
                number["crop_size"],
                number["resize_size"],
                number["acc@1"],
                re.search(r"InterpolationMode\.(\w+)", text)[1].lower(),
                127.5 if "mean=(0.5" in text else 123.675,
                float(eps[1]) if eps else 1e-5,
            )
    for row in published():
        if row.source == "torchvision":
            rule = row.preprocessing
            found[row.model, row.name.upper().replace("-", "_")] = (
                row.url,
                row.image_size,
                rule.resized((row.image_size,) * 2)[0],
                row.top1,
                rule.interpolation,
                rule.mean[0],
                row.bn_epsilon,
            )
            assert row.hash == "sha256:" + re.search(r"-([0-9a-f]{8})\.pth", row.url)[1]
            assert row.licence == "BSD-3-Clause"
            # Torchvision's own name of the weights is enough.
            version = row.name.upper().replace("-", "_")
            assert row in find(row.model, version)
    assert found == expected


def _transforms():
    """Of every file of timm's and torchvision's training, at each of its sizes:
    `(row, size, transform)`, a Pillow image to its pixels."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    import test_weights_torch

    models = test_weights_torch._import_torchvision()
    data = pytest.importorskip("timm.data", reason="timm is not installed")
    from timm.models import get_pretrained_cfg
    from torchvision import transforms

    rows = {row.url: row for row in OWN}
    for key, config in _timm_configs():
        hub = f"https://huggingface.co/timm/{key}/resolve/main/model.safetensors"
        if (row := rows.get(config.get("url", hub))) is None:
            continue
        for use_test_size in (False, True):
            config = data.resolve_data_config(
                pretrained_cfg=get_pretrained_cfg(key).to_dict(),
                use_test_size=use_test_size,
            )
            transform = data.create_transform(**config, normalize=False)
            yield row, config["input_size"][1], transform
    for weights in itertools.chain(
        *(getattr(models, name) for name in dir(models) if "fficientNet_" in name)
    ):
        made = weights.transforms()
        (size,) = made.crop_size
        # Of pixels it would make floats, normalised.
        yield (
            rows[weights.url],
            size,
            transforms.Compose(
                [
                    transforms.Resize(
                        made.resize_size, made.interpolation, antialias=made.antialias
                    ),
                    transforms.CenterCrop(made.crop_size),
                    transforms.PILToTensor(),
                ]
            ),
        )


def _differences(photos, largest=1000):
    """The mean absolute difference, in levels, of the pixels of the packages that
    publish the weights and of this one, over the photographs, of each different way at
    image sizes up to a largest."""
    found = {}
    for row, size, transform in _transforms():
        rule = at_size(row.preprocessing, size)
        key = (size, rule.interpolation, rule.crop_fraction)
        if key in found or size > largest:
            continue
        differences = []
        for photo in photos:
            theirs = np.asarray(transform(Image.fromarray(photo))).transpose(1, 2, 0)
            ours = resize_and_crop(photo, (size, size), rule).astype(int)
            differences.append(np.abs(theirs - ours).mean())
        found[key] = np.mean(differences)
    return found


def test_made_photographs_are_prepared_as_their_publishers_do():
    random = np.random.default_rng(0)
    shapes = [(301, 427), (500, 333), (97, 803), (225, 224)]
    photos = [random.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    found = _differences(photos)
    assert len(found) > 15
    assert max(found.values()) < 0.2


def test_real_photographs_are_prepared_as_their_publishers_do():
    paths = sorted(shared_file("data/imagenet_sample").glob("*.JPEG"))[::25]
    photos = [read_photo(path) for path in paths]
    assert len(photos) == 20
    found = _differences(photos, largest=256)
    assert len(found) > 5
    assert max(found.values()) < 0.1


# Against the list that the table was made from.


def _reference():
    """Every file of the reference: `{(source, model, set, top): (url, hash)}`."""
    text = shared_file("reference/weights.md").read_text(encoding="utf-8")
    keras, _, rest = text.partition("## A.1.3")
    kecam, _, rest = rest.partition("## A.1.4")
    lite_keras, _, rest = rest.partition("## A.1.5")
    qubvel, _, rest = rest.partition("## A.1.6")
    google, _, timm = rest.partition("## A.1.7")
    return {
        **_h5_files("keras", keras),
        **_kecam_files(kecam),
        **_h5_files("lite-keras", lite_keras),
        **_qubvel_files(qubvel),
        **_google_files(google),
        **_timm_files(timm),
        **_pytorch_files(),
    }


def _pytorch_files():
    """Those of the second list, of PyTorch's trainings."""
    text = shared_file("reference/weights-torch.md").read_text(encoding="utf-8")
    files = {}
    for key, file in re.findall(
        r"^\| (efficientnet_\S+) \| (\S+|hub.*?) \|", text, re.M
    ):
        architecture, _, tag = key.partition(".")
        url = RELEASES + file
        if file.startswith("hub"):
            url = f"https://huggingface.co/timm/{key}/resolve/main/model.safetensors"
        digits = re.search(r"-([0-9a-f]{8})\.pth$", url)
        files["timm", _model(architecture), TIMM_OWN_SETS[tag], True] = (
            url,
            f"sha256:{digits[1]}" if digits else "",
        )
    for network, version, url in re.findall(
        r"^\| EfficientNet (\S+) \| (IMAGENET1K_V.) \| (\S+) \|", text, re.M
    ):
        name = version.lower().replace("_", "-")
        digits = re.search(r"-([0-9a-f]{8})\.pth$", url)[1]
        model = _model(f"efficientnet_{network}")
        files["torchvision", model, name, True] = url, f"sha256:{digits}"
    return files


def _h5_files(source, text):
    files = {}
    for section in re.split("^## ", text, flags=re.M):
        for file, digits in re.findall(r"\| (\S+\.h5) \| `([0-9a-f]+)`", section):
            base = re.search(r"base `(https://[^`]+)`", section)[1]
            top = "_notop" not in file
            model = _model(re.sub(r"(_notop)?\.h5", "", file))
            files[source, model, "imagenet", top] = base + file, f"md5:{digits}"
    return files


def _kecam_files(text):
    base = "https://github.com/leondgarse/keras_efficientnet_v2/releases/download/"
    files = {}
    for kind, row in re.findall(r"^\| ([\w-]+) \| (.*) \|$", text, re.M):
        if kind in ("TYPE", "v2-t", "v2-t-gc"):
            continue
        folder = f"effnet{'v2' if kind.startswith('v2') else 'v1'}_pretrained"
        for name, digits in re.findall(r"([\w-]+): `([0-9a-f]{32})`", row):
            url = f"{base}{folder}/efficientnet{kind}-{name}.h5"
            key = "kecam", _model(kind), _kecam_set(kind, name), True
            files[key] = url, f"md5:{digits}"
    return files


def _qubvel_files(text):
    bases = re.findall("base `(https://[^`]+)`", text)
    names = "_weights_tf_dim_ordering_tf_kernels_autoaugment", "_noisy-student"
    kinds = ("autoaugment", "sha256"), ("noisy-student", "md5")
    files = {}
    for model, *cells in re.findall(
        r"\| (efficientnet-b\d) \| `(\w+)` / `(\w+)` \| `(\w+)` / `(\w+)` \|", text
    ):
        for index, digits in enumerate(cells):
            (name, kind), end = kinds[index // 2], ("", "_notop")[index % 2]
            url = f"{bases[index // 2]}{model}{names[index // 2]}{end}.h5"
            key = "qubvel", _model(model), name, not end
            files[key] = url, f"{kind}:{digits}"
    return files


def _google_files(text):
    sets = {
        "ckpts": "baseline",
        "ckptsaug": "autoaugment",
        "randaug": "randaugment",
        "advprop": "advprop",
        "noisystudent": "noisy-student",
    }
    base = re.search("Base `(https://[^`]+)`", text)[1]
    assert base == GOOGLE
    files = {}
    for cell in re.findall(r"`([^`\s]+\.(?:tar\.gz|tgz))`", text):
        # The second file of the noisy students leaves out what is the same.
        pattern = cell.replace("...", "noisystudent/noisy_student")
        for path in _expanded(pattern):
            folder, _, file = path.rpartition("/")
            stem = re.sub(r"noisy_student_|-randaug|\.tar\.gz|\.tgz", "", file)
            if folder == "v2":
                stem, suffix = re.fullmatch(r"(.*?)(-21k(?:-ft1k)?)?", stem).groups()
                name = "imagenet" + (suffix or "").replace("-21k", "21k")
            else:
                stem, at_475 = re.fullmatch(r"(.*?)(_475)?", stem).groups()
                name = sets.get(folder, "imagenet") + ("-475" if at_475 else "")
            files["google", _model(stem), name, True] = base + path, ""
    return files


def _expanded(pattern):
    """The shell's brace expansion: `{a,b}` and `{0..7}`."""
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if not braces:
        return [pattern]
    numbers = re.fullmatch(r"(\d)\.\.(\d)", braces[1])
    if numbers:
        choices = [str(n) for n in range(int(numbers[1]), int(numbers[2]) + 1)]
    else:
        choices = braces[1].split(",")
    start, end = pattern[: braces.start()], pattern[braces.end() :]
    return [x for choice in choices for x in _expanded(start + choice + end)]


def _timm_files(text):
    files = {}
    for name, file in re.findall(r"^\| (tf_\S+) \| (.*) \|$", text, re.M):
        if "_cc_" in name:
            continue
        architecture, _, tag = name.partition(".")
        model = _model(architecture)
        if file == "(hub only)":
            url = f"https://huggingface.co/timm/{name}/resolve/main/model.safetensors"
            digits = ""
        else:
            url = file if file.startswith("https://") else RELEASES + file
            digits = "sha256:" + re.search(r"-([0-9a-f]{8})\.pth$", file)[1]
        files["timm", model, _timm_set(architecture, tag), True] = url, digits
    return files


def test_the_table_holds_every_file_of_the_reference_and_no_other():
    table = {
        (row.source, row.model, row.name, row.include_top): (row.url, row.hash)
        for row in published()
    }
    assert table == _reference()


def test_no_hash_of_the_reference_is_left_out():
    text = shared_file("reference/weights.md").read_text(encoding="utf-8")
    foreign = r"^\| (v2-t|v2-t-gc|tf_efficientnet_cc_\w+\.in1k) .*$"
    text = re.sub(foreign, "", text, flags=re.M)
    text += shared_file("reference/weights-torch.md").read_text(encoding="utf-8")
    hashes = re.findall(r"`([0-9a-f]{64}|[0-9a-f]{32})`|-([0-9a-f]{8})\.pth", text)
    expected = collections.Counter(whole or part for whole, part in hashes)
    rows = (row.hash.partition(":")[2] for row in published() if row.hash)
    assert collections.Counter(rows) == expected
    assert set(expected.values()) == {1}


# Looking a set up.


def test_find_gives_the_preferred_source_first():
    rows = find("EfficientNetB0", "noisy-student")
    assert [row.source for row in rows] == ["kecam", "qubvel", "timm", "google"]
    assert all(row.include_top and row.classes == 1000 for row in rows)
    rows = find("EfficientNetLite0", "imagenet")
    assert [row.source for row in rows] == ["lite-keras", "timm", "google"]
    rows = find("EfficientNetV2S", "imagenet")
    assert [row.source for row in rows] == ["keras", "kecam", "timm", "google"]


def test_find_prefers_files_without_the_classifier_where_it_is_not_wanted():
    rows = find("EfficientNetB0", "noisy-student", include_top=False)
    assert [(row.source, row.include_top) for row in rows] == [
        ("kecam", True),
        ("qubvel", False),
        ("qubvel", True),
        ("timm", True),
        ("google", True),
    ]


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        ("EfficientNetL2", "Noisy_Student_475@GOOGLE"),
        ("efficientnet-l2", "noisy-student-475@google"),
    ],
)
def test_find_reads_names_in_any_case(model, weights):
    (row,) = find(model, weights)
    assert row.url == f"{GOOGLE}noisystudent/noisy_student_efficientnet-l2_475.tar.gz"


def test_find_has_every_row():
    for row in published():
        assert row in find(row.model, f"{row.name}@{row.source}", include_top=False)


@pytest.mark.parametrize(
    ("model", "weights", "parts"),
    [
        (
            "EfficientNetEdgeTPUS",
            "imagnet",
            [
                "Did you mean 'imagenet'?",
                "imagenet (timm | google), ra (kecam | timm), pruned (timm)",
            ],
        ),
        (
            "EfficientNetB8",
            "imagenet",
            ["EfficientNetB8 has", "randaugment (timm), advprop (timm | google)."],
        ),
        ("EfficientNetLite0", "imagenet@keras", ["Did you mean 'lite-keras'?"]),
        ("EfficientNetB0", "noisy-student@tim", ["Did you mean 'timm'?"]),
        ("EfficientNetB0", "imagenet@", ["imagenet (keras), autoaugment (qubvel |"]),
        (
            "EfficientNetB0",
            "",
            ["noisy-student (kecam | qubvel | timm | google), ra4 (timm), "],
        ),
        ("my_scaled_net", "imagenet", ["the network 'my_scaled_net'"]),
    ],
)
def test_what_is_not_published(model, weights, parts):
    with pytest.raises(InputError) as caught:
        find(model, weights)
    message = str(caught.value)
    for part in parts:
        assert part in message
    assert message.endswith(f"Received: weights={weights!r}")
    assert "\n" not in message


def test_the_table_needs_no_keras():
    code = (
        "import sys, keras_effnet.weights.table as table; table.published(); "
        "sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
