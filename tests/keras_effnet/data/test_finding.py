"""What folders and label files mean, and what in them is left out."""

import json
import os
import unicodedata

import pytest
from PIL import Image

from keras_effnet import notes
from keras_effnet.data import finding
from keras_effnet.data.formats import open_source
from keras_effnet.data.split import train_and_validation
from keras_effnet.errors import InputError
from keras_effnet.evaluation import labelled_photos


def write(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (200, 10, 10)).save(root / path, "PNG")
    return root


def splits(root, *names):
    places = [f"{name}/{c}" for name in names for c in ("daisy", "roses")]
    return write(root, *(f"{place}/{i}.jpg" for place in places for i in range(3)))


class _Classifier:
    class_names = ("daisy", "roses")
    classes = 2


@pytest.mark.parametrize(
    ("training", "held_out"),
    [
        ("Train", "Test"),
        ("training", "testing"),
        ("seg_train", "seg_test"),
        ("TRAIN", "Val"),
        ("trn", "valid"),
        ("train_set", "Validation"),
        ("seg_train/seg_train", "seg_test/seg_test"),
    ],
)
def test_usual_names_of_splits_are_splits(tmp_path, training, held_out):
    splits(tmp_path, training, held_out)
    write(tmp_path, "seg_pred/seg_pred/1.jpg")
    train, validation = train_and_validation(tmp_path)
    assert train.class_names == validation.class_names == ("daisy", "roses")
    assert (train.name, validation.name) == (
        str(tmp_path / training),
        str(tmp_path / held_out),
    )
    assert open_source(tmp_path, "train").name == train.name
    with notes.strict(), pytest.raises(InputError, match="holds the splits"):
        labelled_photos(tmp_path, _Classifier)
    paths, labels = labelled_photos(tmp_path, _Classifier)
    assert {path.parents[1] for path in paths} == {tmp_path / held_out}
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    paths, _ = labelled_photos(tmp_path, _Classifier, split="train")
    assert {path.parents[1] for path in paths} == {tmp_path / training}


def test_class_folders_hold_photographs(tmp_path):
    splits(tmp_path / "folds", "fold1", "fold2")
    with pytest.raises(InputError, match=r"fold1 \(daisy, roses\), fold2 \(dai.*Recei"):
        open_source(tmp_path / "folds")
    write(tmp_path / "flat", "train/1.jpg", "test/1.jpg")
    with pytest.raises(InputError, match="splits without class folders: test, train"):
        open_source(tmp_path / "flat")
    assert not finding.has_classes(tmp_path / "flat")
    write(tmp_path / "deep", "a/images/1.jpg", "b/images/1.jpg", "b/images/2.jpg")
    assert open_source(tmp_path / "deep").class_counts.tolist() == [1, 2]


def test_photographs_of_one_name_are_told_so(tmp_path):
    write(tmp_path, "a/image.jpg", "a/x/image.jpg", "b/image.jpg", "b/x/image.jpg")
    with pytest.raises(InputError, match=r"must differ.*4 images called 'image\.jpg'"):
        train_and_validation(tmp_path)


def test_composed_and_decomposed_names_are_one_class(tmp_path):
    names = [unicodedata.normalize(form, "Gänseblümchen") for form in ("NFC", "NFD")]
    write(tmp_path, *(f"{name}/{i}.jpg" for i, name in enumerate(names)), "b/1.jpg")
    source = open_source(tmp_path)
    assert source.class_names == (names[0], "b")
    assert source.class_counts.tolist() == [2, 1]

    class Decomposed:
        class_names = ("b", names[1])
        classes = 2

    assert labelled_photos(tmp_path, Decomposed)[1].tolist() == [1, 1, 0]


def test_a_class_that_no_file_can_name_is_refused(tmp_path):
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    write(tmp_path, "b/1.jpg", "caf\udce9/1.jpg")
    with pytest.raises(InputError, match=r"must be Unicode text.*'caf\\udce9'"):
        open_source(tmp_path)


def test_links_out_of_a_class_do_not_bring_it_back(tmp_path):
    write(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to("self")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "b")
    found = finding.class_folders(tmp_path)
    assert {name: len(paths) for name, paths in found.items()} == {
        "a": 1,
        "b": 1,
        "elsewhere": 1,
    }


@pytest.mark.skipif(os.getuid() == 0, reason="root reads every folder")
def test_a_folder_that_may_not_be_read(tmp_path):
    write(tmp_path, "a/1.jpg").joinpath("a").chmod(0)
    with pytest.raises(InputError, match="can't be read: Permission denied"):
        finding.find_photos([tmp_path])


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbffile,class_index\r\na.jpg,3\r\nb.jpg,0\r\n",
        b"file;class_index\na.jpg;3.0\n;\n\nb.jpg;0.0\n",
        b"class_index\tfile\tname\n3\ta.jpg\tx\n0\tb.jpg\t\n\t\t\n",
        b"file, class_index\na.jpg, 3\nb.jpg,0\n",
    ],
)
def test_label_files_of_spreadsheets(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    listed = finding.read_list(path)
    assert listed.paths == [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    assert listed.indices.tolist() == [3, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't be read: No such file"),
        (b"name,label\na.jpg,3\n", "it has: 'name', 'label'"),
        (b"file,label,split\na.jpg,x,train\nb.jpg,,train\n", "its 'label'.*line 3"),
        (b"file,label,split\na.jpg,x,train\nb.jpg,y,\n", "its 'split'.*line 3"),
        (b"", "it has: nothing"),
        (b"file,class_index\na.jpg,tench\n", r"an integer.*'tench' in line 2"),
        (b"file,class_index\na.jpg,0\nb.jpg,0.5\n", r"'0\.5' in line 3"),
        (b"file,class_index\na.jpg,inf\n", "'inf'"),
        (b"file,class_index\na.jpg," + b"9" * 400 + b"\n", "integer"),
        (b"file,class_index\na.jpg,-1\n", "'-1'"),
        (b"file,class_index\na.jpg\n", "an integer"),
        (b"file,class_index\n\n,\n", "no photograph"),
        (b"file,class_index\na.jpg," + b"x" * 140_000 + b"\n", "field larger"),
        (b"file,class_index\n\xff.jpg,0\n", "utf-8"),
    ],
)
def test_labels_that_are_none(tmp_path, content, message):
    path = tmp_path / "labels.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        finding.read_list(path)
    assert len(str(caught.value)) < 600
    assert "labels.csv" in str(caught.value)


def test_labels_are_of_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(InputError, match="no regular file"):
        finding.read_list(tmp_path / "labels.csv")


# Lists of photographs as training data.


def _list(folder, rows, name="labels.csv"):
    path = folder / name
    if name.endswith("jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [";".join(rows[0]), *(";".join(map(str, r.values())) for r in rows)]
        path.write_text("\n".join(lines), encoding="utf-8-sig")
    return path


@pytest.mark.parametrize("name", ["labels.csv", "labels.jsonl"])
@pytest.mark.parametrize("absolute", [False, True])
def test_a_list_means_what_the_folder_means(tmp_path, name, absolute):
    names = ("Gänseblümchen", "roses")
    paths = [f"{each}/{each}{number}.jpg" for each in names for number in range(9)]
    write(tmp_path / "photos", *paths)
    expected = train_and_validation(tmp_path / "photos")
    start = tmp_path / "photos" if absolute else "photos"
    rows = [{"file": f"{start}/{p}", "label": p.partition("/")[0]} for p in paths]
    found = train_and_validation(_list(tmp_path, rows, name))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.class_names == theirs.class_names
        assert ours.labels.tolist() == theirs.labels.tolist()
        assert ours.digests.tolist() == theirs.digests.tolist()
        assert [k.rpartition("/")[2] for k in ours.keys] == [
            k.rpartition("/")[2] for k in theirs.keys
        ]


def test_a_list_with_splits_and_numbers(tmp_path):
    write(tmp_path, *(f"{number}.png" for number in range(6)))
    rows = [
        {"file": f"{n}.png", "class_index": n % 2, "label": "zb"[n % 2], "split": split}
        for n, split in enumerate(["val", "val", "train", "train", "train", "train"])
    ]
    path = _list(tmp_path, rows)
    train, held_out = train_and_validation(path)
    assert train.class_names == held_out.class_names == ("z", "b")
    assert train.labels.tolist() == [0, 1, 0, 1]
    assert held_out.labels.tolist() == [0, 1]
    with notes.strict(), pytest.raises(InputError, match="holds the splits val, train"):
        labelled_photos(path, _Classifier)
    paths, labels = labelled_photos(path, _Classifier)
    assert [p.name for p in paths] == ["0.png", "1.png"]
    assert labels.tolist() == [0, 1]


def test_labels_by_name_are_the_classifiers(tmp_path):
    rows = [{"file": "a.jpg", "label": "roses"}, {"file": "b.jpg", "label": "daisy"}]
    assert labelled_photos(_list(tmp_path, rows), _Classifier)[1].tolist() == [1, 0]
    rows[1]["label"] = "dasy"
    with pytest.raises(InputError, match="Did you mean 'daisy'"):
        labelled_photos(_list(tmp_path, rows), _Classifier)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a.jpg", "x"), ("c.jpg", "y")], "1 are not there, the first '.*c.jpg'"),
        ([("a.jpg", "x"), ("./a.jpg", "y"), ("b.jpg", "y")], "1 named again"),
        ([("a.jpg", "x"), ("b.jpg", "x")], "at least two classes"),
    ],
)
def test_lists_that_are_refused(tmp_path, rows, message):
    write(tmp_path, "a.jpg", "b.jpg")
    path = _list(tmp_path, [dict(zip(("file", "label"), r, strict=True)) for r in rows])
    with pytest.raises(InputError, match=message):
        train_and_validation(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"file": "a.jpg", "label": ["x", "y"]}', "one of each.*line 1"),
        ('{"file": "a.jpg"}', "one of each"),
        ("[1]", "line 1"),
        ("{", "line 1"),
        ('{"file": "a.jpg", "class_index": -1}', "an integer from 0"),
    ],
)
def test_lines_of_json_that_are_refused(tmp_path, line, message):
    path = tmp_path / "labels.jsonl"
    path.write_text(line)
    with pytest.raises(InputError, match=message):
        finding.read_list(path)


def test_numbers_of_classes_that_leave_gaps(tmp_path):
    path = _list(tmp_path, [{"file": "a.jpg", "class_index": 2}])
    with pytest.raises(InputError, match=r"from 0 up.*Received: 2 \(2\)"):
        assert finding.read_list(path).class_names
