#include "profile.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

// The types are those of LiteRT 2.3, litert/c/litert_profiler_event.h.
enum { kOperatorInvoke = 2, kDelegateOperatorInvoke = 8 };

typedef struct {
  const char *tag;
  int type;
  uint64_t start_us, elapsed_us;
  int64_t memory_before[3], memory_after[3];
  uint64_t metadata[2];
  int source;
} Event;

typedef struct {
  char *name;
  uint64_t microseconds, count;
} Operator;

typedef struct {
  Operator *operators;
  size_t count;
} Operators;

#define FUNCTIONS(X)                                                                   \
  X(CompiledModelGetProfiler, (void *, void **))                                       \
  X(StartProfiler, (void *))                                                           \
  X(StopProfiler, (void *))                                                            \
  X(ResetProfiler, (void *))                                                           \
  X(GetNumProfilerEvents, (void *, int *))                                             \
  X(GetProfilerEvents, (void *, int, Event *))

#define DECLARE(name, arguments) static int(*name) arguments;
FUNCTIONS(DECLARE)

static void check(int status, const char *call) {
  if (status) fail("The profile failed (LiteRt%s: status %d)", call, status);
}
#define CHECK(name, ...) check(name(__VA_ARGS__), #name)

// `place` is that of the operator in a run: in each run the same follow each other.
static void add(Operators *found, size_t place, const Event *event) {
  if (place == found->count) {
    found->operators =
        had(realloc(found->operators, ++found->count * sizeof(Operator)));
    found->operators[place] = (Operator){.name = had(strdup(event->tag))};
  } else if (strcmp(found->operators[place].name, event->tag)) {
    fail("The profile failed (the operators of two runs differ)");
  }
  found->operators[place].microseconds += event->elapsed_us;
  found->operators[place].count++;
}

// An operator that a delegate took over tells of itself; that it was inside the
// delegate's own operator would count it twice.
static bool is_kernel(const Event *event) {
  if (event->type == kDelegateOperatorInvoke) return true;
  return event->type == kOperatorInvoke && !strstr(event->tag, "elegate");
}

static void collect(void *profiler, Operators *found) {
  int count;
  CHECK(GetNumProfilerEvents, profiler, &count);
  Event *events = had(calloc((size_t)count + 1, sizeof(Event)));
  if (count) CHECK(GetProfilerEvents, profiler, count, events);
  size_t place = 0;
  for (int i = 0; i < count; i++)
    if (events[i].tag && is_kernel(&events[i])) add(found, place++, &events[i]);
  free(events);
}

void profile_print(Model *model, long runs, double seconds, int64_t (*timed)(Model *)) {
#define RESOLVE(name, arguments) *(void **)&name = runtime_function(#name);
  FUNCTIONS(RESOLVE)
  void *profiler;
  Operators found = {0};
  int64_t nanoseconds = 0;
  long done = 0;
  CHECK(CompiledModelGetProfiler, model->compiled, &profiler);
  while (done < runs || nanoseconds < seconds * 1e9) {
    // Its room is for so many events: each run begins with an empty one.
    CHECK(ResetProfiler, profiler);
    CHECK(StartProfiler, profiler);
    nanoseconds += timed(model);
    CHECK(StopProfiler, profiler);
    collect(profiler, &found);
    done++;
  }
  printf("{\"runs\": %ld, \"run_ns\": %lld, \"operators\": [", done,
         (long long)(nanoseconds / done));
  for (size_t i = 0; i < found.count; i++) {
    printf("%s{\"operator\": ", i ? ", " : "");
    print_quoted(found.operators[i].name);
    printf(", \"us\": %llu, \"count\": %llu}",
           (unsigned long long)found.operators[i].microseconds,
           (unsigned long long)found.operators[i].count);
    free(found.operators[i].name);
  }
  puts("]}");
  free(found.operators);
}
