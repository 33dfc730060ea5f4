"""The generated samples: run, and compared with what the package computes."""

import ast
import importlib.util
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import warnings
from xml.etree import ElementTree

import ai_edge_litert
import conftest
import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from device_servers import require
from PIL import Image
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from keras_effnet import saving
from keras_effnet.data import photos
from keras_effnet.errors import InputError
from keras_effnet.export._sample_literals import LITERALS
from keras_effnet.export.samples import KINDS as SAMPLES
from keras_effnet.export.samples import samples
from keras_effnet.export.samples import write_samples
from keras_effnet.preprocessing import Preprocessing
from keras_effnet.tflite import TFLiteModel

HEIGHT, WIDTH = 24, 40  # not square: a swap shows
NAMES = ["tench", 'a "quoted" \\name', "två\nrader", "$shell ${x}", "名前", "f%d{{}}"]
RULES = {
    "crop": Preprocessing((127.0,), (128.0,), "bicubic", 32),
    "bilinear": Preprocessing((127.0,), (128.0,), "bilinear", 8),
    "whole": Preprocessing((127.0,), (128.0,), "bicubic", None),
    "resized": Preprocessing((127.0,), (128.0,), "bicubic", crop_fraction=0.9),
    "normalized": Preprocessing(
        (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), included=False
    ),
}
# The name of the file tries every language's literals and comments.
MODEL = 'an "odd" $name\nof \\ ünusual {{NAME}} 名.tflite'


def network(channels=3, activation="softmax"):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((HEIGHT, WIDTH, channels))
    x = keras.layers.Rescaling(1 / 128, -1)(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(len(NAMES), activation=activation)(x)
    return keras.Model(inputs, x)


def convert(channels=3, batch=1, dtype="float32", scale=1.0, activation="softmax"):
    """A file of the stock converter, whose input and output are `dtype`."""
    model = network(channels, activation)
    shape = (batch, HEIGHT, WIDTH, channels)
    function = tf.function(lambda x: model(x)).get_concrete_function(
        tf.TensorSpec(shape, tf.float32)
    )
    # The stock calibrator can't read variables.
    function = convert_variables_to_constants_v2(function)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if dtype != "float32":
        images = np.random.default_rng(0).uniform(0, 255 * scale, (8, *shape[1:]))
        images[0].flat[:2] = 0, 255 * scale
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [np.float32(image[None])] for image in images
        )
        operators = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        if dtype == "int16":
            operators = tf.lite.OpsSet[
                "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
            ]
        converter.target_spec.supported_ops = [operators]
        converter.inference_input_type = getattr(tf, dtype)
        converter.inference_output_type = getattr(tf, dtype)
    with warnings.catch_warnings():
        # TensorFlow's own converter uses what it deprecates, and asks for what
        # calibration replaces.
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is")
        warnings.filterwarnings("ignore", "Statistics for quantized inputs were")
        return converter.convert()


KINDS = {
    "float32": {},
    "uint8": {"dtype": "uint8"},
    "int8": {"dtype": "int8"},
    "int16": {"dtype": "int16"},
    "uint8 of a narrow range": {"dtype": "uint8", "scale": 0.37},
    "batch of 2": {"batch": 2},
    "open batch": {"batch": None},
    "grey": {"channels": 1, "dtype": "int8"},
    "logits": {"activation": None},
}


@pytest.fixture(scope="module")
def contents():
    return {kind: convert(**options) for kind, options in KINDS.items()}


@pytest.fixture
def make(contents, tmp_path):
    """Writes a file of a kind, its sheet, and its samples; the paths of both."""

    def write(kind, rule="crop"):
        path = tmp_path / "models" / MODEL
        path.parent.mkdir()
        path.write_bytes(contents[kind])
        sheet = {"preprocessing": saving.as_json(RULES[rule]), "class_names": NAMES}
        if "narrow" in kind or rule == "normalized":
            sheet["input"] = {"pixels": False}  # its scale counts
        path.with_suffix(".json").write_text(json.dumps(sheet))
        write_samples(path, tmp_path / "samples")
        return path, tmp_path / "samples"

    return write


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Generated ones, of every shape and colour mode that makes a difference."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (67, 101, 3), "uint8")
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "turned.jpg", exif=exif)
    image.save(folder / "plain.png")
    image.resize((5, 3)).save(folder / "tiny.png")
    image.resize((400, 9)).save(folder / "wide.png")
    image.resize((9, 400)).save(folder / "tall.png")
    image.resize((WIDTH, HEIGHT)).save(folder / "same.png")
    image.convert("P").save(folder / "palette.gif")
    image.convert("CMYK").save(folder / "print.jpg")
    image.convert("LA").save(folder / "alpha.png")
    deep = random.integers(0, 65536, (30, 50), "uint16")
    Image.fromarray(deep).save(folder / "deep.png")
    return sorted(folder.iterdir())


def expected_pixels(path, picture):
    model = TFLiteModel(path)
    height, width, channels = model.input_shape
    photo = photos.read_photo(picture, channels)
    return photos.resize_and_crop(photo, (height, width), model.preprocessing)


def expected_lines(path, picture, model=None):
    model = model or TFLiteModel(path)
    pixels, rule = expected_pixels(path, picture)[None], model.preprocessing
    rule = rule.for_channels(pixels.shape[-1])
    found = model.predict(pixels if rule.included else rule.normalized(pixels))
    (found,) = model.probabilities(found)
    labels = [name.replace("\n", " ") for name in NAMES]
    order = np.argsort(-found, kind="stable")[:5]
    return [f"{found[index]:.6f}  {labels[index]}" for index in order]


def as_module(folder):
    spec = importlib.util.spec_from_file_location("classify", folder / "classify.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*command, cwd, **options):
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        timeout=240,
        **options,
    )


def run_python(folder, *arguments):
    # Isolated: the sample may use nothing of this package or its folder.
    return run(sys.executable, "-I", folder / "classify.py", *arguments, cwd="/")


@pytest.mark.parametrize("kind", KINDS)
def test_python_prints_what_the_package_computes(kind, make, pictures, capsys):
    path, folder = make(kind)
    classify = as_module(folder)
    for picture in pictures:
        assert classify.main([str(picture)]) == 0
        assert capsys.readouterr().out.splitlines() == expected_lines(path, picture)


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_python_normalises_where_the_file_does_not(kind, make, pictures, capsys):
    path, folder = make(kind, "normalized")
    assert as_module(folder).main([str(pictures[0])]) == 0
    assert capsys.readouterr().out.splitlines() == expected_lines(path, pictures[0])


@pytest.mark.parametrize("rule", RULES)
def test_python_crops_and_resizes_to_the_same_pixels(rule, make, pictures):
    path, folder = make("float32", rule)
    classify = as_module(folder)
    for picture in pictures:
        found = classify.crop_and_resize(classify.read(picture))
        np.testing.assert_array_equal(found, expected_pixels(path, picture))


def test_python_runs_alone_on_a_real_photograph(tiny_files, tmp_path):
    photo = conftest.shared_file("data/imagenet_sample/n01440764_tench.JPEG")
    path = tiny_files["int8"]
    write_samples(path, tmp_path)
    done = run_python(tmp_path, photo)
    assert done.returncode == 0, done.stderr.decode()
    (found,) = TFLiteModel(path).predict(expected_pixels(path, photo)[None])
    order = np.argsort(-found, kind="stable")
    expected = [f"{found[index]:.6f}  class {index}" for index in order]
    assert done.stdout.decode().splitlines() == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jpg"], "There is no such photograph. Received: 'nowhere.jpg'"),
        (["labels.txt"], "This is no photograph, or it is damaged. Received: "),
        ([], "Usage: python classify.py photo.jpg"),
    ],
)
def test_python_says_in_one_line_what_is_wrong(arguments, message, make):
    _, folder = make("float32")
    arguments = [str(folder / x) if x == "labels.txt" else x for x in arguments]
    done = run_python(folder, *arguments)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(message)


def test_python_says_where_it_looked_for_the_model(make, pictures):
    path, folder = make("float32")
    path.unlink()
    message = as_module(folder).main([str(pictures[0])])
    assert message.startswith("There is no such model")
    assert "models" in message


def test_python_imports_only_what_it_names(make):
    tree = ast.parse((make("uint8")[1] / "classify.py").read_text("utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
    assert found == {"pathlib", "sys", "numpy", "ai_edge_litert", "PIL"}


# Of LiteRT 2.3's headers, which no package here holds, what the sample uses.
LITERT_HEADER = """
#pragma once
#include <cstddef>
#include <cstdint>
extern "C" {
typedef enum { kLiteRtStatusOk = 0 } LiteRtStatus;
typedef enum { kLiteRtHwAcceleratorCpu = 1 } LiteRtHwAccelerators;
typedef int LiteRtHwAcceleratorSet;
typedef enum {
  kLiteRtTensorBufferLockModeRead = 0,
  kLiteRtTensorBufferLockModeWrite = 1
} LiteRtTensorBufferLockMode;
typedef size_t LiteRtParamIndex;
#define HANDLE(name) typedef struct name##T* name
HANDLE(LiteRtCompiledModel);
HANDLE(LiteRtEnvironment);
HANDLE(LiteRtTensor);
HANDLE(LiteRtSignature);
HANDLE(LiteRtModel);
HANDLE(LiteRtOptions);
HANDLE(LiteRtTensorBuffer);
HANDLE(LiteRtTensorBufferRequirements);
typedef struct {
  unsigned int rank : 7;
  unsigned int has_strides : 1;
  int32_t dimensions[8];
  uint32_t strides[8];
} LiteRtLayout;
typedef struct {
  int element_type;
  LiteRtLayout layout;
} LiteRtRankedTensorType;
static_assert(sizeof(LiteRtRankedTensorType) == 72, "as LiteRT asserts");
LiteRtStatus LiteRtCreateEnvironment(int, const void*, LiteRtEnvironment*);
void LiteRtDestroyEnvironment(LiteRtEnvironment);
LiteRtStatus LiteRtCreateModelFromFile(LiteRtEnvironment, const char*, LiteRtModel*);
LiteRtStatus LiteRtGetModelSignature(LiteRtModel, LiteRtParamIndex, LiteRtSignature*);
void LiteRtDestroyModel(LiteRtModel);
LiteRtStatus LiteRtGetSignatureInputTensorByIndex(LiteRtSignature, LiteRtParamIndex,
                                                  LiteRtTensor*);
LiteRtStatus LiteRtGetSignatureOutputTensorByIndex(LiteRtSignature, LiteRtParamIndex,
                                                   LiteRtTensor*);
LiteRtStatus LiteRtGetRankedTensorType(LiteRtTensor, LiteRtRankedTensorType*);
LiteRtStatus LiteRtCreateOptions(LiteRtOptions*);
LiteRtStatus LiteRtSetOptionsHardwareAccelerators(LiteRtOptions,
                                                  LiteRtHwAcceleratorSet);
void LiteRtDestroyOptions(LiteRtOptions);
LiteRtStatus LiteRtCreateCompiledModel(LiteRtEnvironment, LiteRtModel, LiteRtOptions,
                                       LiteRtCompiledModel*);
LiteRtStatus LiteRtGetCompiledModelInputBufferRequirements(
    LiteRtCompiledModel, LiteRtParamIndex, LiteRtParamIndex,
    LiteRtTensorBufferRequirements*);
LiteRtStatus LiteRtGetCompiledModelOutputBufferRequirements(
    LiteRtCompiledModel, LiteRtParamIndex, LiteRtParamIndex,
    LiteRtTensorBufferRequirements*);
LiteRtStatus LiteRtCompiledModelResizeInputTensor(
    LiteRtCompiledModel, LiteRtParamIndex, LiteRtParamIndex, const int*, size_t);
LiteRtStatus LiteRtRunCompiledModel(LiteRtCompiledModel, LiteRtParamIndex, size_t,
                                    LiteRtTensorBuffer*, size_t, LiteRtTensorBuffer*);
void LiteRtDestroyCompiledModel(LiteRtCompiledModel);
LiteRtStatus LiteRtCreateManagedTensorBufferFromRequirements(
    LiteRtEnvironment, const LiteRtRankedTensorType*, LiteRtTensorBufferRequirements,
    LiteRtTensorBuffer*);
LiteRtStatus LiteRtLockTensorBuffer(LiteRtTensorBuffer, void**,
                                    LiteRtTensorBufferLockMode);
LiteRtStatus LiteRtUnlockTensorBuffer(LiteRtTensorBuffer);
void LiteRtDestroyTensorBuffer(LiteRtTensorBuffer);
}
"""
# The sample's own functions, so that its pixels are seen too: `test PICTURE` runs
# the sample, `test PICTURE pixels` writes what it cropped and resized.
CPP_HARNESS = """
#define main sample
#include "classify.cc"
#undef main
int main(int argc, char** argv) {
  if (argc == 2) return sample(argc, argv);
  const auto pixels = CropAndResize(ReadPhoto(argv[1]));
  std::fwrite(pixels.data(), 1, pixels.size(), stdout);
}
"""


def compile_cpp(folder, *options):
    compiler = shutil.which("c++")
    library = pathlib.Path(ai_edge_litert.__file__).parent / "libLiteRt.so"
    if compiler is None or not library.exists():
        pytest.skip(f"needs a C++ compiler and {library}")
    text = (folder / "classify.cc").read_text("utf-8")
    for line in text.splitlines():
        if line.startswith('#include "litert/'):
            header = folder / line.split('"')[1]
            header.parent.mkdir(parents=True, exist_ok=True)
            header.write_text('#include "litert/c/all.h"\n')
    (folder / "litert/c/all.h").write_text(LITERT_HEADER)
    (folder / "test.cc").write_text(CPP_HARNESS)
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror"]
    link = [str(library), f"-Wl,-rpath,{library.parent}"]
    command = [compiler, *flags, *options, "-I.", "test.cc", *link, "-o", "test"]
    done = run(*command, cwd=folder)
    assert done.returncode == 0, done.stderr.decode()


def as_pnm(picture, target, channels):
    pixels = photos.read_photo(picture, channels)
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    image.save(target, format="PPM")


SLOW = pytest.mark.slow
CPP_CASES = [
    ("float32", "crop"),
    ("uint8", "bilinear"),
    ("int8", "resized"),
    *(
        pytest.param(kind, rule, marks=SLOW)
        for kind, rule in [
            ("int8", "whole"),
            ("int16", "crop"),
            ("uint8 of a narrow range", "crop"),
            ("batch of 2", "bilinear"),
            ("open batch", "crop"),
            ("grey", "crop"),
            ("float32", "normalized"),
            ("int8", "normalized"),
        ]
    ),
]


@pytest.mark.parametrize(("kind", "rule"), CPP_CASES)
def test_cpp_computes_the_same(kind, rule, make, pictures):
    path, folder = make(kind, rule)
    compile_cpp(folder)
    channels = TFLiteModel(path).input_shape[2]
    for picture in pictures:
        as_pnm(picture, folder / "photo", channels)
        pixels = run("./test", "photo", "pixels", cwd=folder).stdout
        assert_pixels(
            np.frombuffer(pixels, "uint8"), expected_pixels(path, picture), picture
        )
    done = run("./test", "photo", cwd=folder)
    assert done.returncode == 0, done.stderr.decode()
    assert_lines_close(done.stdout.decode(), expected_lines(path, picture))


def assert_pixels(found, expected, picture):
    """Bit for bit, unless Pillow 13 takes a tall photograph down before across."""
    difference = np.abs(found.astype(int) - expected.reshape(-1))
    if is_tall(picture):
        assert difference.mean() < 1
    else:
        assert difference.max() == 0, picture.name


def is_tall(picture):
    height, width, _ = photos.read_photo(picture).shape
    return height > width


def assert_lines_close(text, expected):
    """The same classes; the runtimes may sum floats in another order."""
    found = [line.partition("  ") for line in text.splitlines()]
    expected = [line.partition("  ") for line in expected]
    assert [label for *_, label in found] == [label for *_, label in expected]
    values = [[float(value) for value, *_ in lines] for lines in (found, expected)]
    np.testing.assert_allclose(*values, atol=2e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, b"There is no such photograph. Received: photo\n"),
        (b"", b"This is no binary PPM (P6) file of 8 bits, which is all that is read "),
        (b"P6 99999999 99999999 255\n", b"This is no binary PPM"),
        (b"P6 -3 2 255\n123456", b"This is no binary PPM"),
        (b"P6\n# made by hand\n3 2 255\n123", b"The photograph is cut off."),
    ],
)
def test_cpp_says_in_one_line_what_is_wrong(content, message, compiled):
    photo = compiled / "photo"
    photo.unlink(missing_ok=True)
    if content is not None:
        photo.write_bytes(content)
    done = run("./test", "photo", cwd=compiled)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count(b"\n") == 1


@pytest.fixture(scope="module")
def compiled(contents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "a.tflite").write_bytes(contents["float32"])
    write_samples(folder / "a.tflite", folder)
    compile_cpp(folder)
    return folder


@pytest.fixture(scope="module")
def stb():
    """The option with which the sample finds stb_image.h, of Debian's libstb-dev."""
    folder = pathlib.Path("/usr/include/stb")
    require((folder / "stb_image.h").exists(), "Debian's libstb-dev")
    return f"-isystem{folder}"


@pytest.mark.parametrize("kind", ["float32", pytest.param("grey", marks=SLOW)])
def test_cpp_reads_jpeg_and_png(kind, stb, make, pictures):
    path, folder = make(kind)
    compile_cpp(folder, stb)
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        image = Image.open(next(p for p in pictures if p.name == "plain.png"))
        pictures = [*pictures, folder / f"turned {turn}.jpg"]
        image.resize((60, 41)).save(pictures[-1], exif=exif, quality=95, subsampling=0)
    for picture in pictures:
        done = run("./test", picture, "pixels", cwd=folder)
        assert done.returncode == 0, done.stderr.decode()
        found = np.frombuffer(done.stdout, "uint8")
        expected = expected_pixels(path, picture)
        if picture.suffix == ".jpg":  # another decoder
            difference = np.abs(found.astype(int) - expected.reshape(-1))
            assert difference.mean() < 2, picture.name
        else:
            assert_pixels(found, expected, picture)
    (folder / "damaged.jpg").write_bytes(pictures[-1].read_bytes()[:300])
    done = run("./test", "damaged.jpg", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.startswith(b"This is no photograph, or it is damaged: ")
    assert done.stderr.count(b"\n") == 1


# What the sample uses of Android and LiteRT. The interpreter computes nothing: it
# writes the input that it is given, and gives the output that stands in a file.
KOTLIN_STUBS = {
    "android.content": """
open class Context(folder: java.io.File) {
    val assets = AssetManager(folder)
    val contentResolver = ContentResolver()
}
class ContentResolver
class Intent(action: String) {
    var data: android.net.Uri? = null
    fun setType(type: String) = this
    companion object { const val ACTION_GET_CONTENT = "" }
}
class AssetManager(private val folder: java.io.File) {
    fun open(name: String) = java.io.File(folder, name).inputStream()
}
""",
    "android.graphics": """
import android.content.ContentResolver
import android.net.Uri
class ImageDecoder {
    var allocator = 0
    fun setTargetSampleSize(size: Int) {}
    class Size(val width: Int, val height: Int)
    class ImageInfo(val size: Size)
    class Source
    companion object {
        const val ALLOCATOR_SOFTWARE = 1
        fun createSource(resolver: ContentResolver, uri: Uri) = Source()
        fun decodeBitmap(
            source: Source, listener: (ImageDecoder, ImageInfo, Source) -> Unit
        ): Bitmap = TODO()
    }
}
class Bitmap(val width: Int, val height: Int, private val rgb: ByteArray) {
    fun getPixels(
        pixels: IntArray, offset: Int, stride: Int,
        x: Int, y: Int, width: Int, height: Int
    ) {
        for (row in 0 until height) for (column in 0 until width) {
            val at = 3 * ((y + row) * this.width + x + column)
            fun byte(i: Int) = rgb[at + i].toInt() and 255
            pixels[offset + row * stride + column] =
                (255 shl 24) or (byte(0) shl 16) or (byte(1) shl 8) or byte(2)
        }
    }
}
""",
    "android.net": "class Uri",
    "android.os": "class Bundle",
    "android.app": """
import android.content.Intent
open class Activity : android.content.Context(java.io.File("")) {
    open fun onCreate(state: android.os.Bundle?) {}
    open fun onActivityResult(request: Int, result: Int, data: Intent?) {}
    open fun onDestroy() {}
    fun setContentView(view: android.widget.View) {}
    fun startActivityForResult(intent: Intent, request: Int) {}
    fun runOnUiThread(action: () -> Unit) = action()
    companion object { const val RESULT_OK = -1 }
}
""",
    "android.widget": """
import android.content.Context
open class View(context: Context) {
    var fitsSystemWindows = false
    fun addView(view: View) {}
    fun setOnClickListener(listener: (View) -> Unit) {}
}
open class TextView(context: Context) : View(context) {
    var text: CharSequence = ""
    var textSize = 0f
}
class Button(context: Context) : TextView(context)
class ScrollView(context: Context) : View(context)
class LinearLayout(context: Context) : View(context) {
    var orientation = 0
    companion object { const val VERTICAL = 1 }
}
class ImageView(context: Context) : View(context) {
    var adjustViewBounds = false
    fun setImageBitmap(bitmap: android.graphics.Bitmap) {}
}
""",
    "org.tensorflow.lite": """
import java.io.File
import java.nio.ByteBuffer
class Interpreter(model: ByteBuffer, options: Options) : AutoCloseable {
    class Options { fun setNumThreads(count: Int): Options = this }
    init { require(model.isDirect && model.remaining() > 8) }
    fun run(input: Any, output: Any) {
        val given = input as ByteBuffer
        val bytes = ByteArray(given.remaining())
        given.get(bytes)
        File("input").writeBytes(bytes)
        val answer = File("output").readBytes()
        require(given.isDirect && (output as ByteBuffer).remaining() == answer.size)
        output.put(answer)
    }
    override fun close() {}
}
""",
    "harness": """
import com.example.classifier.Classifier
import java.io.File
fun main(arguments: Array<String>) {
    val (width, height) = arguments.map { it.toInt() }
    val photo = android.graphics.Bitmap(width, height, File("photo").readBytes())
    Classifier(android.content.Context(File("assets"))).use {
        val out = java.io.PrintStream(System.out, true, "UTF-8")
        for ((label, probability) in it.classify(photo)) {
            out.print(String.format("%.6f", probability) + "  " + label + "\\n")
        }
    }
}
""",
}


def kotlin_compiler():
    """`kotlinc`, or the one inside the Jupyter kernel that PyPI has."""
    if shutil.which("kotlinc") and shutil.which("kotlin"):
        return ["kotlinc"], None
    kernel = importlib.util.find_spec("run_kotlin_kernel")
    if kernel is None or shutil.which("java") is None:
        pytest.skip("needs kotlinc, or java and the package kotlin-jupyter-kernel")
    jars = pathlib.Path(kernel.submodule_search_locations[0]) / "jars"
    (compiler,) = jars.glob("kotlin-jupyter-kernel-*-all.jar")
    (library,) = jars.glob("kotlin-stdlib-*.jar")
    name = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"
    command = ["java", "-cp", f"{compiler}:{library}", name, "-no-stdlib"]
    return [*command, "-no-reflect", "-cp", str(library)], library


def compile_kotlin(folder, *sources):
    """Compiles them with the stubs; the command that runs the harness."""
    compiler, library = kotlin_compiler()
    sources = list(sources)
    for package, text in KOTLIN_STUBS.items():
        header = "" if package == "harness" else f"package {package}\n"
        sources.append(folder / f"{package}.kt")
        sources[-1].write_text(header + text)
    done = run(*compiler, *sources, "-Werror", "-d", "classes", cwd=folder)
    assert done.returncode == 0, done.stderr.decode()
    if library:
        return ["java", "-cp", f"classes:{library}", "HarnessKt"]
    return ["kotlin", "-cp", "classes", "HarnessKt"]


@pytest.mark.slow
def test_the_android_app_compiles(make):
    path, folder = make("uint8")
    write_samples(path, folder, "android-app")
    compile_kotlin(folder, *(folder / "android-app").rglob("*.kt"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("float32", "normalized"),
        ("uint8", "crop"),
        ("int16", "whole"),
        ("grey", "bilinear"),
        ("batch of 2", "crop"),
        ("int8", "resized"),
    ],
)
def test_kotlin_gives_the_interpreter_the_same_input(kind, rule, make, pictures):
    path, folder = make(kind, rule)
    command = compile_kotlin(folder, folder / "Classifier.kt")
    (folder / "assets").mkdir()
    shutil.copy(path, folder / "assets")
    shutil.copy(folder / "labels.txt", folder / "assets")
    model = TFLiteModel(path)
    for picture in pictures:
        expected = expected_lines(path, picture, model)
        tensor = model.interpreter.get_tensor(model.output["index"])
        (folder / "output").write_bytes(tensor.tobytes())
        photo = photos.read_photo(picture)
        (folder / "photo").write_bytes(photo.tobytes())
        height, width = photo.shape[:2]
        done = run(*command, str(width), str(height), cwd=folder)
        assert done.returncode == 0, done.stderr.decode()
        given = model.interpreter.get_tensor(model.input["index"])
        same = (folder / "input").read_bytes() == given.tobytes()
        assert same or is_tall(picture), picture.name
        # Java rounds a half up where C rounds it to even.
        assert_lines_close(done.stdout.decode(), expected)


APPS = ("android-app", "ios-app")


@pytest.mark.parametrize("kind", ["float32", "uint8", "int8"])
def test_apps_have_all_that_they_name(kind, make):
    path, folder = make(kind)
    write_samples(path, folder, APPS)
    android, ios = (folder / name for name in APPS)
    assets = android / "app/src/main/assets"
    source = android / "app/src/main/kotlin/com/example/classifier"
    for model in (assets / "model.tflite", ios / "Resources/model.tflite"):
        assert model.read_bytes() == path.read_bytes()
        labels = (model.with_name("labels.txt")).read_text("utf-8")
        assert labels == (folder / "labels.txt").read_text("utf-8")
    # The same as the program's, but for the file's name.
    for code, app in (("Classifier.kt", source), ("Classifier.swift", ios / "Sources")):
        alone, own = ((at / code).read_text("utf-8") for at in (folder, app))
        literal = LITERALS[pathlib.Path(code).suffix]
        assert own == alone.replace(literal(MODEL), '"model.tflite"')
        assert '"model.tflite"' in own

    name = "{http://schemas.android.com/apk/res/android}name"
    manifest = ElementTree.parse(android / "app/src/main/AndroidManifest.xml")
    (activity,) = manifest.iter("activity")
    package = (source / "MainActivity.kt").read_text().splitlines()[0].split()[1]
    build = (android / "app/build.gradle.kts").read_text()
    assert f'namespace = "{package}"' in build
    assert "minSdk = 28 " in build
    assert (source / f"{activity.get(name)[1:]}.kt").exists()
    assert 'include(":app")' in (android / "settings.gradle.kts").read_text()

    project = yaml.safe_load((ios / "project.yml").read_text("utf-8"))
    (target,) = project["targets"].items()
    assert all((ios / each["path"]).is_dir() for each in target[1]["sources"])
    podfile = (ios / "Podfile").read_text()
    assert f"target '{target[0]}' do" in podfile
    assert (
        f"platform :ios, '{project['options']['deploymentTarget']['iOS']}'" in podfile
    )
    (pod,) = re.findall(r"pod '(\w+)'", podfile)
    assert f"import {pod}\n" in (ios / "Sources/Classifier.swift").read_text("utf-8")


def test_a_kind_of_samples_that_is_none(make):
    path, folder = make("float32")
    with pytest.raises(InputError, match="one of code, android-app, ios-app"):
        write_samples(path, folder / "new", "android")
    assert not (folder / "new").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_templates_is_left(kind, make):
    path, _ = make(kind)
    every = (samples(path, kind=kind).items() for kind in SAMPLES)
    for name, text in itertools.chain(*every):
        # The name of the file looks like a placeholder, and is none.
        text = text.replace("{{NAME}}", "")
        assert not re.search(r"\{\{[#/A-Z]", text), name
        assert text.endswith("\n")
        assert "  \n" not in text


def test_samples_carry_the_numbers_of_the_file(make):
    path, _ = make("uint8 of a narrow range", "bilinear")
    model = TFLiteModel(path)
    scale, _ = model.input["quantization"]
    assert 0.3 < scale < 0.4
    for name, text in samples(path).items():
        if name == "labels.txt":
            continue
        assert repr(scale) in text, name
        assert repr(model.output["quantization"][0]) in text, name
        assert f"(1, {HEIGHT}, {WIDTH}, 3) uint8 in" in text
        assert repr(WIDTH / (WIDTH + 8)) in text


def test_a_label_stays_on_its_line(make):
    _, folder = make("float32")
    text = (folder / "labels.txt").read_text("utf-8")
    assert text.split("\n") == [name.replace("\n", " ") for name in NAMES] + [""]


def test_classes_without_names_are_numbered(tiny_files):
    assert samples(tiny_files["float32"])["labels.txt"].split("\n")[4] == "class 4"


def test_a_name_in_which_a_literal_could_end(make):
    path, folder = make("float32")
    text = samples(path)
    assert '"an \\"odd\\" \\$name\\u000aof \\\\ \\u00fc' in text["Classifier.kt"]
    assert '"an \\"odd\\" $name\\u{a}of \\\\ \\u{fc}' in text["Classifier.swift"]
    assert '"an \\"odd\\" $name\\012of \\\\ \\303\\274' in text["classify.cc"]
    assert as_module(folder).MODEL.resolve() == path.resolve()
    for name in ("Classifier.kt", "Classifier.swift", "classify.cc"):
        comments = [x for x in text[name].splitlines() if "odd" in x and "//" in x[:3]]
        assert comments == [
            f"// Tells what is in a photograph, with {MODEL}:".replace("\n", " ")
        ]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([keras.Input((8, 8, 4)), keras.layers.GlobalAveragePooling2D()], "4 channels"),
        ([keras.Input((8, 8, 3)), keras.layers.ReLU()], "(batch, classes)"),
    ],
)
def test_files_that_are_no_classifier_of_photographs(layers, message, tmp_path):
    model = keras.Sequential(layers)
    path = tmp_path / "odd.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    with pytest.raises(InputError) as caught:
        write_samples(path, tmp_path / "samples")
    assert message in str(caught.value)
    assert not (tmp_path / "samples").exists()


def test_no_file_and_no_folder_to_write_to(tiny_files, tmp_path):
    with pytest.raises(InputError, match="no such"):
        write_samples(tmp_path / "absent.tflite", tmp_path / "samples")
    (tmp_path / "taken").write_text("kept")
    with pytest.raises(InputError, match="can't be written"):
        write_samples(tiny_files["int8"], tmp_path / "taken")
