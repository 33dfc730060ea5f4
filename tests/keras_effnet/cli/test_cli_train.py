"""keras-effnet train and preview, as a user types them."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

COLOURS = {"red": (200, 30, 40), "green": (30, 190, 60), "blue": (30, 60, 210)}


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """Photographs of three colours, 24 of each, one of them in greyscale mode."""
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("colours")
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for index in range(24):
            pixels = random.normal(colour, 25, (40, 48, 3)).clip(0, 255)
            image = Image.fromarray(pixels.astype("uint8"))
            image.save(folder / name / f"{name}{index}.jpg")
    Image.fromarray(np.zeros((9, 9), "uint8")).save(folder / "blue" / "grey.png")
    (folder / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photograph")
    return folder


SETTINGS = [
    *("--set", "width=0.25", "--set", "depth=0.25", "--set", "weights=none"),
    *("--set", "channels=3", "--set", "image_size=32", "--set", "eval_image_size=32"),
    *("--set", "batch_size=8", "--set", "epochs=14", "--set", "warmup_epochs=1"),
    *("--set", "learning_rate_batch=8"),
]


@pytest.fixture(scope="module")
def trained(colours, two_stages, tmp_path_factory):
    from keras_effnet import cli

    folder = tmp_path_factory.mktemp("run") / "colours"
    arguments = ["train", colours, "--recipe", "digits", "--output", folder, *SETTINGS]
    assert cli.main([str(argument) for argument in arguments]) == 0
    return folder


def test_the_colours_are_learned(command, trained, colours):
    evaluation = json.loads((trained / "evaluation.json").read_text())
    assert evaluation["top1"] >= 0.9
    with open(trained / "history.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 14
    (colours / "red" / "broken.jpg").rename(colours / "broken")
    code, out, _ = command("evaluate", trained / "model.keras", colours, "--json")
    (colours / "broken").rename(colours / "red" / "broken.jpg")
    assert code == 0
    assert json.loads(out)["top1"] >= 0.9
    red = colours / "red" / "red3.jpg"
    model = trained / "model.keras"
    _, out, _ = command("predict", red, "--model", model, "--json")
    assert json.loads(out)[0]["predictions"][0]["name"] == "red"


def test_a_broken_photograph_is_named(trained):
    data = json.loads((trained / "data.json").read_text())
    assert data["class_names"] == ["blue", "green", "red"]
    assert any("broken.jpg" in name for name in data["training"]["broken"])
    counts = data["training"]["images"] + data["validation"]["images"]
    assert counts == 73


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--recipe", "flower"], "Did you mean 'flowers'"),
        (["--set", "epoch=3"], "Did you mean 'epochs'"),
        (["--set", "epochs"], "field=value"),
        (["--set", "epochs=-1"], "epochs"),
        (["--model", "B9"], "No network has this name"),
        (["--set", "model=B9"], "No network has this name"),
        (["--set", "name=mine"], "no such field"),
        (["--weights", "imagnet"], "imagenet"),
        (["--on-broken", "fail"], "broken.jpg"),
        (["--on-broken", "maybe"], "skip"),
    ],
)
def test_train_refuses(command, colours, arguments, match, tmp_path):
    folder = tmp_path / "run"
    code, _, errors = command("train", colours, "--output", folder, *arguments)
    assert code == 1
    assert match in errors[-1]
    assert not folder.exists()


def test_no_data(command, tmp_path):
    for data, match in (
        (tmp_path / "absent", "There is no such data"),
        (tmp_path, "class"),
    ):
        code, _, errors = command("train", data, "--output", tmp_path / "run")
        assert (code, len(errors)) == (1, 1)
        assert match in errors[0]


def test_a_recipe_of_whole_images_says_so_in_its_model(trained):
    from keras_effnet.preprocessing import for_weights

    assert for_weights(trained / "model.keras").crop_padding is None


def test_preview(command, colours, tmp_path):
    picture = tmp_path / "preview.png"
    photos = [colours / "red" / "red1.jpg", colours / "blue" / "blue1.jpg"]
    arguments = ["--recipe", "flowers", "--draws", "2", "--output", picture]
    code, _, errors = command("preview", *photos, *arguments)
    assert (code, errors) == (0, [])
    with Image.open(picture) as image:
        assert image.width > 200
    two_stages = picture.stat().st_size
    code, _, errors = command("preview", *photos, *arguments, "--set", "stages=1")
    assert (code, errors) == (0, [])
    assert picture.stat().st_size < 0.7 * two_stages
    code, _, errors = command("preview", *photos, *arguments, "--stage", "9")
    assert (code, len(errors)) == (1, 1)
    code, _, errors = command("preview", tmp_path / "no.jpg", *arguments)
    assert (code, len(errors)) == (1, 1)
