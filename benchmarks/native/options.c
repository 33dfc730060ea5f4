#include "options.h"

#include <getopt.h>
#include <stdlib.h>

#include "fail.h"

static double number(const char *option, const char *text, double least, bool whole) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end || !(value >= least && value < 1e9) ||
      (whole && value != (double)(long)value))
    fail("--%s must be %s number from %g up. Received: %s", option,
         whole ? "a whole" : "a", least, text);
  return value;
}

Options parse_options(int count, char **arguments) {
  static const struct option names[] = {
      {"input", 1, NULL, 'i'},       {"output", 1, NULL, 'o'},
      {"each", 0, NULL, 'e'},        {"threads", 1, NULL, 't'},
      {"no-xnnpack", 0, NULL, 'n'},  {"min-runs", 1, NULL, 'r'},
      {"min-seconds", 1, NULL, 's'}, {"warmup-runs", 1, NULL, 'w'},
      {"warmup-seconds", 1, NULL, 'v'}, {"max-seconds", 1, NULL, 'm'},
      {"cores", 1, NULL, 'c'},       {"mark", 0, NULL, 'k'},
      {"profile", 0, NULL, 'p'},     {"weight-cache", 1, NULL, 'a'},
      {NULL, 0, NULL, 0}};
  Options found = {.xnnpack = true, .threads = 1, .min_runs = 50, .min_seconds = 1,
                   .warmup_runs = 5, .warmup_seconds = 0.5, .max_seconds = 150};
  int index, letter;
  opterr = 0;
  while ((letter = getopt_long(count, arguments, "", names, &index)) != -1) {
    switch (letter) {
      case 'i': found.input = optarg; break;
      case 'o': found.output = optarg; break;
      case 'e': found.each = true; break;
      case 'n': found.xnnpack = false; break;
      case 'k': found.mark = true; break;
      case 'p': found.profile = true; break;
      case 'a': found.weight_cache = optarg; break;
      case 'c': found.cores = optarg; break;
      case 't': found.threads = (long)number("threads", optarg, 1, true); break;
      case 'r': found.min_runs = (long)number("min-runs", optarg, 1, true); break;
      case 'w': found.warmup_runs = (long)number("warmup-runs", optarg, 0, true); break;
      case 's': found.min_seconds = number("min-seconds", optarg, 0, false); break;
      case 'v': found.warmup_seconds = number("warmup-seconds", optarg, 0, false); break;
      case 'm': found.max_seconds = number("max-seconds", optarg, 0, false); break;
      default: fail("Unknown option. Received: %s", arguments[optind - 1]);
    }
  }
  if (count - optind != 2 || !found.input || !found.output)
    fail("Needed: LIBLITERT MODEL --input FILE --output FILE");
  found.library = arguments[optind];
  found.model = arguments[optind + 1];
  return found;
}
