// What every part of the runner says where it can't go on. It includes no other part.
#ifndef KERAS_EFFNET_FAIL_H_
#define KERAS_EFFNET_FAIL_H_

// Prints {"error": ...} and ends the process with exit code 0.
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Memory as malloc and its like gave it; fails where they gave none.
void *had(void *memory);

// Prints a text as JSON does.
void print_quoted(const char *text);

#endif
