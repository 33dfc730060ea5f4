// Which operators the time of a run goes to, by LiteRT's own profiler.
#ifndef KERAS_EFFNET_PROFILE_H_
#define KERAS_EFFNET_PROFILE_H_

#include <stdint.h>

#include "litert.h"

// Prints {"runs", "run_ns", "operators": [{"operator", "us", "count"}]}, in the order of
// a run, sums over at least so many runs and seconds. The model must be loaded for
// profiling.
void profile_print(Model *model, long runs, double seconds, int64_t (*timed)(Model *));

#endif
