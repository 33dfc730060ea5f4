#include "litert.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

// The types below are those of LiteRT 2.3, litert/c/*.h.
enum { kOk = 0, kAcceleratorCpu = 1, kLockRead = 0, kLockWrite = 1, kMaxRank = 8 };

typedef struct {
  unsigned int rank : 7;
  bool has_strides : 1;
  int32_t dimensions[kMaxRank];
  uint32_t strides[kMaxRank];
} Layout;

typedef struct {
  int element_type;
  Layout layout;
} TensorType;

typedef int Status;

// Every function that is used: its result, its name without "LiteRt", its arguments.
#define FUNCTIONS(X)                                                                   \
  X(Status, CreateEnvironment, (int, const void *, void **))                           \
  X(Status, CreateModelFromFile, (void *, const char *, void **))                      \
  X(Status, GetMainModelSubgraphIndex, (void *, size_t *))                             \
  X(Status, GetModelSubgraph, (void *, size_t, void **))                               \
  X(Status, GetNumModelSignatures, (void *, size_t *))                                 \
  X(Status, GetModelSignature, (void *, size_t, void **))                              \
  X(Status, GetSignatureSubgraph, (void *, void **))                                   \
  X(Status, GetNumSignatureInputs, (void *, size_t *))                                 \
  X(Status, GetNumSignatureOutputs, (void *, size_t *))                                \
  X(Status, GetSignatureInputTensorByIndex, (void *, size_t, void **))                 \
  X(Status, GetSignatureOutputTensorByIndex, (void *, size_t, void **))                \
  X(Status, GetNumSubgraphInputs, (void *, size_t *))                                  \
  X(Status, GetNumSubgraphOutputs, (void *, size_t *))                                 \
  X(Status, GetSubgraphInput, (void *, size_t, void **))                               \
  X(Status, GetSubgraphOutput, (void *, size_t, void **))                              \
  X(Status, GetRankedTensorType, (void *, TensorType *))                               \
  X(Status, CreateOptions, (void **))                                                  \
  X(Status, SetOptionsHardwareAccelerators, (void *, int))                             \
  X(Status, CreateOpaqueOptions, (const char *, void *, void (*)(void *), void **))    \
  X(Status, AddOpaqueOptions, (void *, void *))                                        \
  X(Status, CreateCompiledModel, (void *, void *, void *, void **))                    \
  X(Status, CompiledModelResizeInputTensor,                                            \
    (void *, size_t, size_t, const int *, size_t))                                     \
  X(Status, GetCompiledModelOutputTensorLayouts,                                       \
    (void *, size_t, size_t, Layout *, bool))                                          \
  X(Status, GetCompiledModelInputBufferRequirements,                                   \
    (void *, size_t, size_t, void **))                                                 \
  X(Status, GetCompiledModelOutputBufferRequirements,                                  \
    (void *, size_t, size_t, void **))                                                 \
  X(Status, CreateManagedTensorBufferFromRequirements,                                 \
    (void *, const TensorType *, void *, void **))                                     \
  X(Status, GetTensorBufferPackedSize, (void *, size_t *))                             \
  X(Status, LockTensorBuffer, (void *, void **, int))                                  \
  X(Status, UnlockTensorBuffer, (void *))                                              \
  X(Status, RunCompiledModel, (void *, size_t, size_t, void **, size_t, void **))      \
  X(void, DestroyTensorBuffer, (void *))                                               \
  X(void, DestroyCompiledModel, (void *))                                              \
  X(void, DestroyOptions, (void *))                                                    \
  X(void, DestroyModel, (void *))

#define DECLARE(result, name, arguments) static result(*name) arguments;
FUNCTIONS(DECLARE)

static void *environment, *library;

#define CHECK(what, call) check(call, what, #call)

static void check(Status status, const char *what, const char *call) {
  if (status == kOk) return;
  int name = (int)strcspn(call, "(");
  fail("%s (LiteRt%.*s: status %d)", what, name, call, status);
}

void *runtime_function(const char *name) {
  char symbol[80];
  snprintf(symbol, sizeof(symbol), "LiteRt%s", name);
  void *found = dlsym(library, symbol);
  if (!found) fail("LiteRT's library is of another version: it has no %s", symbol);
  return found;
}

void runtime_open(const char *path) {
  library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) fail("LiteRT's library can't be opened: %s", dlerror());
#define RESOLVE(result, name, arguments) *(void **)&name = runtime_function(#name);
  FUNCTIONS(RESOLVE)
  CHECK("LiteRT does not start", CreateEnvironment(0, NULL, &environment));
}

// Some options of LiteRT's are a text under a name.
static void add_text(void *options, const char *name, const char *text) {
  void *opaque;
  char *copy = had(strdup(text));  // LiteRT frees it
  CHECK("The options can't be set", CreateOpaqueOptions(name, copy, free, &opaque));
  CHECK("The options can't be set", AddOpaqueOptions(options, opaque));
}

static void *options_of(const Settings *settings) {
  void *options;
  char text[1024];
  int length = snprintf(text, sizeof(text), "num_threads = %d\nkernel_mode = \"%s\"\n",
                        settings->threads, settings->xnnpack ? "xnnpack" : "builtin");
  if (settings->weight_cache)
    length += snprintf(text + length, sizeof(text) - (size_t)length,
                       "weight_cache_file_path = \"%s\"\n", settings->weight_cache);
  if (length >= (int)sizeof(text)) fail("The path of the weight cache is too long");
  CHECK("The options can't be set", CreateOptions(&options));
  CHECK("The options can't be set",
        SetOptionsHardwareAccelerators(options, kAcceleratorCpu));
  add_text(options, "xnnpack", text);
  if (settings->profile)
    add_text(options, "runtime_options_string", "enable_profiling = true\n");
  return options;
}

// The main graph is what LiteRT's Interpreter runs; a CompiledModel runs signatures.
static void *find_signature(Model *model, void **graph) {
  size_t index, count;
  const char *what = "The file has no graph";
  CHECK(what, GetMainModelSubgraphIndex(model->model, &index));
  CHECK(what, GetModelSubgraph(model->model, index, graph));
  CHECK(what, GetNumModelSignatures(model->model, &count));
  for (model->signature = 0; model->signature < count; model->signature++) {
    void *signature, *of_signature;
    CHECK(what, GetModelSignature(model->model, model->signature, &signature));
    CHECK(what, GetSignatureSubgraph(signature, &of_signature));
    if (of_signature == *graph) return signature;
  }
  fail("No signature of the file names its main graph");
}

static void *zeros(size_t count, size_t size) { return had(calloc(count + 1, size)); }

// The tensors of one side in the order of the signature; fills in `order`.
static void **tensors_of(Tensors *side, void *signature, void *graph, bool inputs) {
  size_t in_graph;
  const char *what = "The file's tensors can't be read";
  CHECK(what, (inputs ? GetNumSignatureInputs : GetNumSignatureOutputs)(
                  signature, &side->count));
  CHECK(what,
        (inputs ? GetNumSubgraphInputs : GetNumSubgraphOutputs)(graph, &in_graph));
  if (in_graph != side->count) fail("The file's signature leaves tensors out");
  side->buffers = zeros(side->count, sizeof(void *));
  side->bytes = zeros(side->count, sizeof(size_t));
  side->order = zeros(side->count, sizeof(size_t));
  void **found = zeros(side->count, sizeof(void *));
  for (size_t i = 0; i < side->count; i++)
    CHECK(what, (inputs ? GetSignatureInputTensorByIndex
                        : GetSignatureOutputTensorByIndex)(signature, i, &found[i]));
  for (size_t place = 0; place < side->count; place++) {
    void *tensor;
    size_t i = 0;
    CHECK(what, (inputs ? GetSubgraphInput : GetSubgraphOutput)(graph, place, &tensor));
    while (i < side->count && found[i] != tensor) i++;
    if (i == side->count) fail("The file's signature leaves tensors out");
    side->order[place] = i;
  }
  return found;
}

static void add_buffer(Tensors *side, size_t i, const TensorType *type, void *needs) {
  const char *what = "The tensors' memory can't be had";
  CHECK(what, CreateManagedTensorBufferFromRequirements(environment, type, needs,
                                                        &side->buffers[i]));
  CHECK(what, GetTensorBufferPackedSize(side->buffers[i], &side->bytes[i]));
  side->total_bytes += side->bytes[i];
}

static void add_buffers(Model *model, void **inputs, void **outputs) {
  const char *what = "The file's tensors can't be prepared";
  TensorType type;
  void *needs;
  bool open = false;
  for (size_t i = 0; i < model->inputs.count; i++) {
    CHECK(what, GetRankedTensorType(inputs[i], &type));
    int32_t *sizes = type.layout.dimensions;
    for (unsigned axis = 1; axis < type.layout.rank; axis++)
      if (sizes[axis] < 0) fail("An input's size is open; only the batch may be");
    if (type.layout.rank && sizes[0] < 0) {
      open = true;
      sizes[0] = 1;
      CHECK(what, CompiledModelResizeInputTensor(model->compiled, model->signature, i,
                                                 sizes, type.layout.rank));
    }
    CHECK(what, GetCompiledModelInputBufferRequirements(model->compiled,
                                                        model->signature, i, &needs));
    add_buffer(&model->inputs, i, &type, needs);
  }
  Layout *layouts = zeros(model->outputs.count, sizeof(Layout));
  CHECK(what, GetCompiledModelOutputTensorLayouts(model->compiled, model->signature,
                                                  model->outputs.count, layouts, open));
  for (size_t i = 0; i < model->outputs.count; i++) {
    CHECK(what, GetRankedTensorType(outputs[i], &type));
    type.layout = layouts[i];
    CHECK(what, GetCompiledModelOutputBufferRequirements(model->compiled,
                                                         model->signature, i, &needs));
    add_buffer(&model->outputs, i, &type, needs);
  }
  free(layouts);
}

void model_load(Model *model, const char *path, const Settings *settings) {
  void *graph;
  CHECK("The file can't be read, or is no model",
        CreateModelFromFile(environment, path, &model->model));
  void *signature = find_signature(model, &graph);
  void **inputs = tensors_of(&model->inputs, signature, graph, true);
  void **outputs = tensors_of(&model->outputs, signature, graph, false);
  model->options = options_of(settings);
  CHECK("The file can't be prepared; it may hold unknown operators",
        CreateCompiledModel(environment, model->model, model->options,
                            &model->compiled));
  add_buffers(model, inputs, outputs);
  free(inputs);
  free(outputs);
}

// Between the tensors of a side, in the order of the graph, and one block of memory.
static void copy(Tensors *side, unsigned char *data, bool in) {
  for (size_t place = 0; place < side->count; place++) {
    size_t i = side->order[place];
    void *address;
    CHECK(in ? "The input can't be set" : "The output can't be read",
          LockTensorBuffer(side->buffers[i], &address, in ? kLockWrite : kLockRead));
    memcpy(in ? address : data, in ? data : address, side->bytes[i]);
    UnlockTensorBuffer(side->buffers[i]);
    data += side->bytes[i];
  }
}

void model_set_inputs(Model *model, unsigned char *data) {
  copy(&model->inputs, data, true);
}

void model_get_outputs(Model *model, unsigned char *data) {
  copy(&model->outputs, data, false);
}

void model_run(Model *model) {
  CHECK("The run failed",
        RunCompiledModel(model->compiled, model->signature, model->inputs.count,
                         model->inputs.buffers, model->outputs.count,
                         model->outputs.buffers));
}

static void close_side(Tensors *side) {
  for (size_t i = 0; i < side->count; i++) DestroyTensorBuffer(side->buffers[i]);
  free(side->buffers);
  free(side->bytes);
  free(side->order);
}

void model_close(Model *model) {
  close_side(&model->inputs);
  close_side(&model->outputs);
  DestroyCompiledModel(model->compiled);
  DestroyOptions(model->options);
  DestroyModel(model->model);
}
