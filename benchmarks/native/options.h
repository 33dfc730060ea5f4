// What lrbench is asked to do; lrbench.c says what each option means.
#ifndef KERAS_EFFNET_OPTIONS_H_
#define KERAS_EFFNET_OPTIONS_H_

#include <stdbool.h>

typedef struct {
  const char *library, *model, *input, *output, *cores, *weight_cache;
  bool each, mark, profile, xnnpack;
  long threads, min_runs, warmup_runs;
  double min_seconds, warmup_seconds, max_seconds;
} Options;

Options parse_options(int count, char **arguments);

#endif
