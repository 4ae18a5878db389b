/* A plugin of QEMU 7 (tcg-plugins) that counts what the guest executes between two marks.
 *
 * The guest marks an inference by getpgid(0x5EED0001) and getpgid(0x5EED0000). For each, a line of
 * figures goes into the file given as out=. Data addresses are followed inside inferences only. Calls of
 * delegates, marked by getpgid(0x5EED0011) and getpgid(0x5EED0010, name in four registers), have lines of their own.
 * The prototypes are those of qemu-plugin.h, which Debian ships in no package.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t plugin_id;
typedef uint32_t mem_info;
typedef void (*tb_callback)(plugin_id, struct qemu_plugin_tb *);
typedef void (*mem_callback)(unsigned cpu, mem_info, uint64_t address, void *);
typedef void (*syscall_callback)(plugin_id, unsigned cpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t,
                                 uint64_t, uint64_t, uint64_t, uint64_t);

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, tb_callback);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *, uint64_t);
extern void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, mem_callback, int flags, int kinds, void *);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id, syscall_callback);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
extern unsigned qemu_plugin_mem_size_shift(mem_info);
extern _Bool qemu_plugin_mem_is_store(mem_info);

enum { ADD_U64 = 0, NO_REGISTERS = 0, READS_AND_WRITES = 3, GETPGID = 155, PAGE_BITS = 12 };

enum { ALL, SIMD, DOT, MEMORY, BRANCH, KINDS };
static const char *const NAMES[KINDS] = {"instructions", "simd", "dot", "memory", "branch"};

static uint64_t counts[KINDS], before[KINDS];
static uint64_t before_call, bytes_read, bytes_written, pages;
static int inside;
static FILE *out;

/* Pages touched in this inference: a table with open addressing; a slot holds a page number plus one. */
enum { SLOTS = 1 << 22 };
static uint64_t *slots;

static void touch(uint64_t page) {
  uint64_t slot = page * 0x9E3779B97F4A7C15u >> 42;
  while (slots[slot] && slots[slot] != page + 1) slot = (slot + 1) % SLOTS;
  if (slots[slot]) return;
  slots[slot] = page + 1;
  if (++pages == SLOTS / 2) {
    fputs("error: an inference touches more than 8 GB\n", stderr);
    exit(1);
  }
}

static void on_memory(unsigned cpu, mem_info info, uint64_t address, void *unused) {
  static uint64_t last;
  uint64_t size = 1u << qemu_plugin_mem_size_shift(info);
  (void)cpu;
  (void)unused;
  if (!inside) return;
  *(qemu_plugin_mem_is_store(info) ? &bytes_written : &bytes_read) += size;
  uint64_t first = address >> PAGE_BITS, end = (address + size - 1) >> PAGE_BITS;
  if (pages && first == last && end == last) return;
  touch(first);
  touch(end);
  last = end;
}

/* Arm Architecture Reference Manual, C4.1 "A64 instruction set encoding". */
static int is_memory(uint32_t word) { return (word & 0x0A000000) == 0x08000000; }
static int is_branch(uint32_t word) { return (word & 0x1C000000) == 0x14000000; }
/* Advanced SIMD on vectors; scalar floats, in the same group, have bit 28 set. */
static int is_simd(uint32_t word) { return (word & 0x9E000000) == 0x0E000000; }
/* SDOT, UDOT, USDOT, SUDOT and the int8 matrix products SMMLA, UMMLA, USMMLA. */
static int is_dot(uint32_t word) {
  return (word & 0x9FE0FC00) == 0x0E809400 || (word & 0xBFE0FC00) == 0x0E809C00 ||
         (word & 0x9FC0F400) == 0x0F80E000 || (word & 0xBF40F400) == 0x0F00F000 ||
         (word & 0xDFE0F400) == 0x4E80A400;
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *block) {
  uint64_t found[KINDS] = {0};
  (void)id;
  found[ALL] = qemu_plugin_tb_n_insns(block);
  for (size_t n = 0; n < found[ALL]; ++n) {
    struct qemu_plugin_insn *each = qemu_plugin_tb_get_insn(block, n);
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(each), sizeof word);
    found[SIMD] += is_simd(word);
    found[DOT] += is_dot(word);
    found[MEMORY] += is_memory(word);
    found[BRANCH] += is_branch(word);
    if (is_memory(word))
      qemu_plugin_register_vcpu_mem_cb(each, on_memory, NO_REGISTERS, READS_AND_WRITES, 0);
  }
  for (int kind = 0; kind < KINDS; ++kind)
    if (found[kind]) qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &counts[kind], found[kind]);
}

static void begin(void) {
  memcpy(before, counts, sizeof counts);
  memset(slots, 0, SLOTS * sizeof *slots);
  bytes_read = bytes_written = pages = 0;
  inside = 1;
}

static void end(void) {
  inside = 0;
  for (int kind = 0; kind < KINDS; ++kind) fprintf(out, "%s=%lu ", NAMES[kind], counts[kind] - before[kind]);
  fprintf(out, "pages=%lu bytes_read=%lu bytes_written=%lu\n", pages, bytes_read, bytes_written);
  fflush(out);
}

static void end_call(const uint64_t *letters) {
  fprintf(out, "delegate=%.32s instructions=%lu\n", (const char *)letters, counts[ALL] - before_call);
  fflush(out);
}

static void on_syscall(plugin_id id, unsigned cpu, int64_t number, uint64_t first, uint64_t b, uint64_t c, uint64_t d,
                       uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
  (void)id, (void)cpu, (void)f, (void)g, (void)h;
  if (number != GETPGID) return;
  if (first == 0x5EED0001) begin();
  if (first == 0x5EED0000) end();
  if (first == 0x5EED0011) before_call = counts[ALL];
  if (first == 0x5EED0010) end_call((uint64_t[]){b, c, d, e});
}

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
  (void)info;
  for (int n = 0; n < argc; ++n)
    if (!strncmp(argv[n], "out=", 4)) out = fopen(argv[n] + 4, "w");
  slots = calloc(SLOTS, sizeof *slots);
  if (!out || !slots) return 1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
  return 0;
}
