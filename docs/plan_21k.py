"""A plan on paper: EfficientNetV2 on ImageNet-21k with many accelerators.

    python docs/plan_21k.py
    python docs/plan_21k.py --model EfficientNetV2M --rate 4000

What input, checkpoints and the sum of the gradients ask of a cluster, from the recipe
`pretrain_21k`, the networks' own counts and the CPU time of an image that
results/input_pipeline.json has. Nothing is trained. How fast one accelerator trains
is an assumption, a share of its peak, until `--rate` gives a measured figure. It
prints one plan; the tables of docs/plan-21k.md are made of `report()`.
"""

import argparse
import functools
import json
import math
import sys

from table_data import measured

from keras_effnet.costs import spec_costs
from keras_effnet.errors import InputError
from keras_effnet.specs import get_spec
from keras_effnet.training.recipes import pretrain_21k

MODELS = ("EfficientNetV2S", "EfficientNetV2M", "EfficientNetV2L")
ACCELERATORS = 64

# Of the data: google/automl's `ImageNet21k`; the archive of fall 2011 has 1.31 TB.
IMAGES, CLASSES = 12_720_275, 21_843
BYTES_OF_AN_IMAGE = 1.31e12 / 14_197_122

# Assumed of the machines. FLOP/s of an H200 in bfloat16, without sparsity, and the
# shares of it that a training step may reach; bytes/s in one direction.
PEAK = 989e12
SHARES = (0.1, 0.3)
NODE = 8
CORES_OF_A_NODE = 128
NETWORK_OF_A_NODE = 400e9 / 8
NVLINK = 450e9
HOST_TO_DEVICE = 55e9
CHECKPOINT_WRITING = 1e9
DOLLARS_OF_AN_HOUR = 4.0

# Published: EfficientNetV2 paper, Table 7, hours on 32 TPUv3 cores with fine-tuning;
# a TPUv3 chip of two cores has 123 TFLOP/s.
PUBLISHED_HOURS = dict(zip(MODELS, (9.0, 15.0, 26.0), strict=True))
PUBLISHED_CORES, PUBLISHED_PEAK = 32, 123e12 / 2

_FLOAT = 4
_PIXELS = "imagenet_sample at 224 px"


def ring_bytes(size, accelerators):
    """Bytes that each accelerator sends when all add up an array in a ring: a share of
    the array in each of `2 * (accelerators - 1)` rounds."""
    return 2 * (accelerators - 1) / accelerators * size


def checkpoint_bytes(spec, classes=CLASSES):
    """Bytes of a checkpoint's arrays, of RMSProp with momentum and a moving average,
    without some scalars and the file's own kilobyte for each array."""
    costs = spec_costs(spec, classes=classes)
    optimizer = 2 * costs.trainable_parameters
    return _FLOAT * (2 * costs.total_parameters + optimizer)


def operations(model):
    """Floating-point operations of a training step, for one image: forward once,
    backward twice, two for each multiply-add."""
    return 3 * 2 * _costs(model).multiply_adds


def _costs(model):
    size = pretrain_21k.recipe(model).image_size[-1]
    return spec_costs(get_spec(model), size, CLASSES)


def cpu_seconds():
    """CPU time of an image: `(decoding alone, with RandAugment and mixup)`."""
    found = measured("input_pipeline")["comparisons"][_PIXELS]["cpu_ms_per_image"]
    return found["tf.io.decode_jpeg"] / 1e3, found["keras_effnet"] / 1e3


def all_reduce(model, accelerators=ACCELERATORS):
    """The sum of the gradients, and of BatchNormalization's statistics, of a step:
    `bytes` of the arrays, `sent_bytes` by each accelerator, `seconds`."""
    size = _FLOAT * _costs(model).total_parameters
    sent = ring_bytes(size, accelerators)
    # The ring enters and leaves each machine once.
    link = NVLINK if accelerators <= NODE else NETWORK_OF_A_NODE
    return {"bytes": size, "sent_bytes": sent, "seconds": sent / link}


def plan(model, rate, accelerators=ACCELERATORS):
    """What a training takes with accelerators of so many images/s when nothing holds
    them up.

    Times have three values: where the sum of the gradients hides behind the backward
    pass, where it doesn't, and where it does but the images come from the machines' own
    cores. The others leave input aside."""
    recipe = pretrain_21k.recipe(model)
    if not 0 < rate < math.inf:
        raise InputError(f"A rate is a number above 0. Received: {rate}")
    if accelerators < 1 or recipe.batch_size % accelerators:
        raise InputError(
            f"The number of accelerators must divide the batch of {recipe.batch_size}. "
            f"Received: {accelerators}"
        )
    compute = recipe.batch_size / accelerators / rate
    summing = all_reduce(model, accelerators)["seconds"] if accelerators > 1 else 0.0
    steps = recipe.epochs * (IMAGES // recipe.batch_size)
    decoding, augmenting = cpu_seconds()
    preparing = recipe.batch_size / accelerators * augmenting * NODE / CORES_OF_A_NODE
    step = {
        "hidden": max(compute, summing),
        "not hidden": compute + summing,
        "own cores": max(compute, summing, preparing),
    }
    images = recipe.batch_size / step["hidden"]
    hours = {name: steps * each / 3600 for name, each in step.items()}
    accelerator_hours = {name: each * accelerators for name, each in hours.items()}
    return {
        "model": model,
        "accelerators": accelerators,
        "images_per_second_of_one": rate,
        "images_per_second": images,
        "input_bytes_per_second": images * BYTES_OF_AN_IMAGE,
        "cores": {"decoding": images * decoding, "augmenting": images * augmenting},
        "compute_seconds": compute,
        "all_reduce_seconds": summing,
        "step_seconds": step,
        "steps": steps,
        "hours": hours,
        "accelerator_hours": accelerator_hours,
        "dollars": {
            name: each * DOLLARS_OF_AN_HOUR for name, each in accelerator_hours.items()
        },
    }


def limits(model, accelerators=ACCELERATORS):
    """Images/s of one accelerator at which each part of the cluster is full."""
    recipe = pretrain_21k.recipe(model)
    decoding, augmenting = cpu_seconds()
    cores, network = CORES_OF_A_NODE / NODE, NETWORK_OF_A_NODE / NODE
    pixels = 3 * recipe.image_size[-1] ** 2
    summing = all_reduce(model, accelerators)["seconds"]
    return {
        "cores, with RandAugment": cores / augmenting,
        "cores, decoding alone": cores / decoding,
        "sum of the gradients": recipe.batch_size / accelerators / summing,
        "network, JPEG files": network / BYTES_OF_AN_IMAGE,
        "network, a data service's pixels": network / pixels,
        "host to device": HOST_TO_DEVICE / (_FLOAT * (pixels + CLASSES)),
    }


def checkpoints(model):
    """Size of a checkpoint and what it costs to write."""
    size = checkpoint_bytes(get_spec(model))
    seconds = size / CHECKPOINT_WRITING
    every = 60 * pretrain_21k.recipe(model).checkpoint_minutes
    return {"bytes": size, "seconds": seconds, "share_of_time": seconds / every}


def published(model):
    """The rate that the paper's hours mean at least."""
    images = pretrain_21k.recipe(model).epochs * IMAGES
    rate = images / (3600 * PUBLISHED_HOURS[model]) / PUBLISHED_CORES
    return {
        "hours": PUBLISHED_HOURS[model],
        "images_per_second_of_one": rate,
        "share_of_peak": rate * operations(model) / PUBLISHED_PEAK,
    }


@functools.cache
def report():
    """All that the page says of `MODELS` on `ACCELERATORS`."""
    networks = {}
    for model in MODELS:
        costs = _costs(model)
        networks[model] = {
            "trainable_parameters": costs.trainable_parameters,
            "multiply_adds": costs.multiply_adds,
            "operations_of_a_training_image": operations(model),
            "checkpoint": checkpoints(model),
            "all_reduce": all_reduce(model),
            "limits": limits(model),
            "published": published(model),
            "plans": {
                str(share): plan(model, share * PEAK / operations(model))
                for share in SHARES
            },
        }
    return {
        "measured": {"cpu_seconds_of_an_image": cpu_seconds()},
        "assumed": {
            "accelerators": ACCELERATORS,
            "peak_flops": PEAK,
            "shares_of_peak": SHARES,
            "accelerators_of_a_node": NODE,
            "cores_of_a_node": CORES_OF_A_NODE,
            "network_bytes_per_second_of_a_node": NETWORK_OF_A_NODE,
            "nvlink_bytes_per_second": NVLINK,
            "host_to_device_bytes_per_second": HOST_TO_DEVICE,
            "checkpoint_bytes_per_second": CHECKPOINT_WRITING,
            "dollars_of_an_accelerator_hour": DOLLARS_OF_AN_HOUR,
            "bytes_of_an_image": BYTES_OF_AN_IMAGE,
        },
        "networks": networks,
    }


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=MODELS[0], help="an EfficientNetV2")
    parser.add_argument("--rate", type=float, help="images/s of one accelerator")
    parser.add_argument("--accelerators", type=int, default=ACCELERATORS)
    args = parser.parse_args(argv)
    try:
        model = get_spec(args.model).name
        rate = SHARES[0] * PEAK / operations(model) if args.rate is None else args.rate
        found = plan(model, rate, args.accelerators)
    except InputError as error:
        print(f"plan_21k: error: {error}", file=sys.stderr)
        return 1
    print(json.dumps({**found, "checkpoint": checkpoints(model)}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
