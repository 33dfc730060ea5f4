// A .tflite file on LiteRT's CompiledModel, through libLiteRt.so opened at run time.
// What is called of its C interface is declared in litert.c, so no headers are needed.
#ifndef KERAS_EFFNET_LITERT_H_
#define KERAS_EFFNET_LITERT_H_

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  size_t count;
  void **buffers;  // in the order of the signature, as LiteRT takes them
  size_t *bytes;   // of each buffer
  size_t *order;   // which buffer holds the graph's first tensor, its second, ...
  size_t total_bytes;
} Tensors;

typedef struct {
  void *model, *options, *compiled;
  size_t signature;
  Tensors inputs, outputs;
} Model;

typedef struct {
  int threads;
  bool xnnpack, profile;
  const char *weight_cache;  // a path, or NULL
} Settings;

// Opens the library and makes its environment. Call it once, ahead of all else.
void runtime_open(const char *path);

// A function of the library by its name without "LiteRt".
void *runtime_function(const char *name);

// Reads a file and prepares it to run: delegate, weights, buffers of its tensors. An
// open batch becomes 1.
void model_load(Model *model, const char *path, const Settings *settings);

// Copies all inputs in, or all outputs out, in the order of the graph.
void model_set_inputs(Model *model, unsigned char *data);
void model_get_outputs(Model *model, unsigned char *data);

void model_run(Model *model);
void model_close(Model *model);

#endif
