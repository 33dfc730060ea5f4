// Runs a .tflite file again and again and prints one line of JSON:
//
//     lrbench LIBLITERT MODEL --input FILE --output FILE [--each] [--threads N]
//         [--no-xnnpack] [--min-runs N] [--min-seconds S] [--warmup-runs N]
//         [--warmup-seconds S] [--max-seconds S] [--cores LIST] [--mark]
//         [--weight-cache FILE] [--profile]
//
// --input holds the bytes of all inputs and --output gets those of all outputs after
// the last run. With --each, --input holds n of them one after the other; the file is
// run once for each, and --output gets n. --mark tells an emulator where every run
// begins and ends (icount.c). --weight-cache names a file in which XNNPACK keeps the
// weights as it packs them. --profile prints which operators the time goes to. The exit
// code is 0; what went wrong stands in the JSON.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "litert.h"
#include "options.h"
#include "profile.h"

typedef struct {
  int64_t *nanoseconds;
  size_t count, room;
} Times;

typedef struct {
  unsigned char *bytes;
  size_t size;
} Data;

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

// A field of /proc/self/status in KiB, -1 where there is no such file.
static long memory_kb(const char *field) {
  char line[256];
  long found = -1;
  FILE *file = fopen("/proc/self/status", "r");
  while (file && found < 0 && fgets(line, sizeof(line), file))
    if (!strncmp(line, field, strlen(field))) found = atol(line + strlen(field));
  if (file) fclose(file);
  return found;
}

// Makes VmHWM start again from the present size (proc(5), clear_refs).
static bool reset_peak_memory(void) {
  int file = open("/proc/self/clear_refs", O_WRONLY);
  if (file < 0) return false;
  bool done = write(file, "5", 1) == 1;
  close(file);
  return done;
}

static Data read_file(const char *path) {
  Data data = {0};
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END)) fail("%s: %s", path, strerror(errno));
  data.size = (size_t)ftell(file);
  rewind(file);
  data.bytes = had(malloc(data.size + 1));
  if (fread(data.bytes, 1, data.size, file) != data.size) fail("%s: not read", path);
  fclose(file);
  return data;
}

static FILE *create(const char *path) {
  FILE *file = fopen(path, "wb");
  if (!file) fail("%s: %s", path, strerror(errno));
  return file;
}

static void append_outputs(Model *model, FILE *file) {
  size_t size = model->outputs.total_bytes;
  unsigned char *bytes = had(malloc(size + 1));
  model_get_outputs(model, bytes);
  if (fwrite(bytes, 1, size, file) != size)
    fail("The output can't be written: %s", strerror(errno));
  free(bytes);
}

static void finish(FILE *file) {
  if (fclose(file)) fail("The output can't be written: %s", strerror(errno));
}

static void pin(const char *list) {
  cpu_set_t wanted, got;
  CPU_ZERO(&wanted);
  for (const char *rest = list; rest;) {
    char *end;
    long core = strtol(rest, &end, 10);
    if (end == rest || core < 0 || core >= CPU_SETSIZE || (*end && *end != ','))
      fail("--cores takes numbers with commas between them. Received: %s", list);
    CPU_SET(core, &wanted);
    rest = *end ? end + 1 : NULL;
  }
  if (sched_setaffinity(0, sizeof(wanted), &wanted) ||
      sched_getaffinity(0, sizeof(got), &got) || !CPU_EQUAL(&wanted, &got))
    fail("This process may not run on these cores. Received: %s", list);
}

static int64_t timed_run(Model *model, bool mark) {
  int64_t start = now();
  // No such kind of priority: the kernel refuses it, an emulator's plugin sees it.
  if (mark) syscall(SYS_getpriority, 77, 1);
  model_run(model);
  if (mark) syscall(SYS_getpriority, 77, 2);
  return now() - start;
}

static int64_t plain_run(Model *model) { return timed_run(model, false); }

static void append(Times *times, int64_t nanoseconds) {
  if (times->count == times->room) {
    times->room = times->room ? 2 * times->room : 1024;
    times->nanoseconds = had(realloc(times->nanoseconds, times->room * sizeof(int64_t)));
  }
  times->nanoseconds[times->count++] = nanoseconds;
}

// Until both minimums are met, or the seconds are over.
static Times timed_runs(Model *model, long min_runs, double min_seconds,
                        double max_seconds, bool mark) {
  Times times = {0};
  int64_t begin = now();
  while ((long)times.count < min_runs || now() - begin < min_seconds * 1e9) {
    append(&times, timed_run(model, mark));
    if (now() - begin > max_seconds * 1e9) break;
  }
  return times;
}

static void print_times(const char *name, Times times) {
  printf(", \"%s\": [", name);
  for (size_t i = 0; i < times.count; i++)
    printf("%s%lld", i ? ", " : "", (long long)times.nanoseconds[i]);
  putchar(']');
}

static void print_memory(const char *name, long after, long before) {
  printf("\"%s\": ", name);
  if (after < 0 || before < 0) {
    fputs("null, ", stdout);
  } else {
    printf("%ld, ", after - before);
  }
}

static void print_cores(void) {
  cpu_set_t cores;
  const char *comma = "";
  fputs(", \"cores\": [", stdout);
  if (!sched_getaffinity(0, sizeof(cores), &cores))
    for (int core = 0; core < CPU_SETSIZE; core++)
      if (CPU_ISSET(core, &cores)) {
        printf("%s%d", comma, core);
        comma = ", ";
      }
  putchar(']');
}

static void run_each(Model *model, Data input, const char *path) {
  size_t size = model->inputs.total_bytes;
  if (!size || input.size % size)
    fail("--input must hold a multiple of %zu bytes. Received: %zu", size, input.size);
  FILE *file = create(path);
  for (size_t start = 0; start < input.size; start += size) {
    model_set_inputs(model, input.bytes + start);
    model_run(model);
    append_outputs(model, file);
  }
  finish(file);
  printf("{\"count\": %zu}\n", input.size / size);
}

static void measure(const Options *options) {
  Data input = read_file(options->input);
  bool peak_is_measured = reset_peak_memory();
  long base = memory_kb("VmRSS:");
  Model model = {0};
  int64_t start = now();
  Settings settings = {.threads = (int)options->threads,
                       .xnnpack = options->xnnpack,
                       .profile = options->profile,
                       .weight_cache = options->weight_cache};
  model_load(&model, options->model, &settings);
  int64_t init = now() - start;
  if (options->each) {
    run_each(&model, input, options->output);
    model_close(&model);
    return;
  }
  long init_kb = memory_kb("VmRSS:"), init_peak = memory_kb("VmHWM:");
  if (input.size != model.inputs.total_bytes)
    fail("--input must hold %zu bytes. Received: %zu", model.inputs.total_bytes,
         input.size);
  model_set_inputs(&model, input.bytes);
  reset_peak_memory();
  int64_t first = timed_run(&model, options->mark);
  Times warmup = timed_runs(&model, options->warmup_runs, options->warmup_seconds,
                            options->max_seconds, options->mark);
  if (options->profile) {
    profile_print(&model, options->min_runs, options->min_seconds, plain_run);
    model_close(&model);
    return;
  }
  Times latency = timed_runs(&model, options->min_runs, options->min_seconds,
                             options->max_seconds, options->mark);
  long overall = memory_kb("VmRSS:"), peak = memory_kb("VmHWM:");
  if (init_peak > peak) peak = init_peak;

  FILE *file = create(options->output);
  append_outputs(&model, file);
  finish(file);
  printf("{\"init_ns\": %lld, \"first_ns\": %lld", (long long)init, (long long)first);
  print_times("warmup_ns", warmup);
  print_times("latency_ns", latency);
  fputs(", \"memory\": {", stdout);
  print_memory("init_footprint_kb", init_kb, base);
  print_memory("overall_footprint_kb", overall, base);
  print_memory("peak_footprint_kb", peak_is_measured ? peak : -1, base);
  if (peak < 0) {
    fputs("\"peak_mem_mb\": null}", stdout);
  } else {
    printf("\"peak_mem_mb\": %.3f}", (double)peak / 1024);
  }
  print_cores();
  puts("}");
  model_close(&model);
}

int main(int count, char **arguments) {
  Options options = parse_options(count, arguments);
  if (options.cores) pin(options.cores);
  runtime_open(options.library);
  measure(&options);
  return 0;
}
