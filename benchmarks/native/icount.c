// A plugin of QEMU's user-mode emulation that counts instructions between two marks.
//
//     qemu-aarch64 -plugin icount.so,out=FILE ...
//
// `lrbench --mark` marks the beginning and the end of each run by a system call that
// means nothing; for each pair FILE gets a line with the number of instructions.
//
// Debian ships no qemu-plugin.h: what is used of it is declared here. Those functions
// are the same in every version of the interface, which QEMU checks by number.
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { kGetPriorityOnArm64 = 141, kMark = 77, kBegin = 1, kNoRegisters = 0 };

typedef struct Block Block;  // of instructions that always run one after the other

size_t qemu_plugin_tb_n_insns(const Block *block);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
                                           void (*function)(uint64_t id, Block *block));
void qemu_plugin_register_vcpu_tb_exec_cb(Block *block,
                                          void (*function)(unsigned cpu, void *data),
                                          int registers, void *data);
void qemu_plugin_register_vcpu_syscall_cb(
    uint64_t id, void (*function)(uint64_t id, unsigned cpu, int64_t number, uint64_t a,
                                  uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                                  uint64_t f, uint64_t g, uint64_t h));

EXPORT int qemu_plugin_version = PLUGIN_API;

static uint64_t count, begin;
static FILE *out;

static void on_run(unsigned cpu, void *instructions) {
  (void)cpu;
  count += (uintptr_t)instructions;
}

static void on_translation(uint64_t id, Block *block) {
  (void)id;
  void *instructions = (void *)(uintptr_t)qemu_plugin_tb_n_insns(block);
  qemu_plugin_register_vcpu_tb_exec_cb(block, on_run, kNoRegisters, instructions);
}

static void on_system_call(uint64_t id, unsigned cpu, int64_t number, uint64_t a,
                           uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f,
                           uint64_t g, uint64_t h) {
  (void)id, (void)cpu, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
  if (number != kGetPriorityOnArm64 || a != kMark) return;
  if (b == kBegin) {
    begin = count;
  } else {
    fprintf(out, "%" PRIu64 "\n", count - begin);
    fflush(out);
  }
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int arguments,
                               char **values) {
  (void)info;
  for (int i = 0; i < arguments; i++)
    if (!strncmp(values[i], "out=", 4)) out = fopen(values[i] + 4, "w");
  if (!out) {
    fputs("icount: out=FILE is missing or can't be written\n", stderr);
    return -1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
  return 0;
}
