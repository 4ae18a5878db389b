// Android's libc, as far as its libraries of ONNX Runtime and ExecuTorch ask for it, over glibc.
//
// Most functions mean the same in both and are forwarded (forward.s). Here are those that do not: what
// bionic lays out, numbers or calls otherwise (bionic's libc/include and libc/bionic, upstream's main).
// Their maths, memory and files are thus glibc's: a run shows the library's code, not Android's libc.
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <wchar.h>

#include <atomic>

extern "C" int __xpg_strerror_r(int, char*, size_t);  // POSIX's strerror_r, which g++ hides

// Defines a function of bionic, whose name glibc's headers declare otherwise.
#define BIONIC(result, name, ...)                       \
  __asm__(".symver bionic_" #name ", " #name "@LIBC"); \
  extern "C" __attribute__((visibility("default"), used)) result bionic_##name(__VA_ARGS__)

namespace {

// Code for Android finds the stack's guard 40 bytes behind the thread's pointer (bionic_tls.h), where
// glibc has the first thread-local variables: these, since the shim is preloaded. They never change.
constexpr size_t kGuard = 40;
__attribute__((tls_model("initial-exec"), used)) thread_local char slots[64];

__attribute__((constructor)) void check_slots() {
  const char* guard = static_cast<const char*>(__builtin_thread_pointer()) + kGuard;
  if (guard >= slots && guard + 8 <= slots + sizeof slots) return;
  fputs("error: the shim for Android's libraries must be preloaded into a program without thread-locals\n", stderr);
  _exit(1);
}

// bionic's locks are smaller than glibc's (a mutex is 40 bytes, not 48) and aligned to 4 bytes, not 8:
// they hold a pointer to glibc's own, made when first used, since all zeros is an unlocked one. Their
// first word is left: a static initializer has the mutex's kind in it, from bit 14 on.
template <class Real>
std::atomic<Real*>& place(void* lock) {
  return *reinterpret_cast<std::atomic<Real*>*>((reinterpret_cast<uintptr_t>(lock) + 11) & ~uintptr_t(7));
}

template <class Real, class Make>
Real* real(void* lock, Make make) {
  std::atomic<Real*>& held = place<Real>(lock);
  if (Real* found = held.load(std::memory_order_acquire)) return found;
  Real *made = new Real, *before = nullptr;
  make(made);
  if (held.compare_exchange_strong(before, made)) return made;
  delete made;
  return before;
}

pthread_mutex_t* mutex(void* lock) {
  return real<pthread_mutex_t>(lock, [lock](pthread_mutex_t* made) {
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, *static_cast<uint32_t*>(lock) >> 14 & 3);  // numbered as glibc does
    pthread_mutex_init(made, &kind);
  });
}

pthread_cond_t* condition(void* lock) {
  return real<pthread_cond_t>(lock, [](pthread_cond_t* made) { pthread_cond_init(made, nullptr); });
}

template <class Real>
void drop(void* lock, int (*destroy)(Real*)) {
  Real* made = place<Real>(lock).exchange(nullptr);
  if (made) destroy(made);
  delete made;
}

}  // namespace

BIONIC(int, pthread_mutex_init, void* lock, const pthread_mutexattr_t* kind) {
  memset(lock, 0, 40);
  place<pthread_mutex_t>(lock) = new pthread_mutex_t;
  return pthread_mutex_init(place<pthread_mutex_t>(lock), kind);
}
BIONIC(int, pthread_mutex_lock, void* lock) { return pthread_mutex_lock(mutex(lock)); }
BIONIC(int, pthread_mutex_trylock, void* lock) { return pthread_mutex_trylock(mutex(lock)); }
BIONIC(int, pthread_mutex_unlock, void* lock) { return pthread_mutex_unlock(mutex(lock)); }
BIONIC(int, pthread_mutex_destroy, void* lock) { return drop(lock, pthread_mutex_destroy), 0; }

BIONIC(int, pthread_cond_wait, void* lock, void* with) { return pthread_cond_wait(condition(lock), mutex(with)); }
BIONIC(int, pthread_cond_timedwait, void* lock, void* with, const timespec* until) {
  return pthread_cond_timedwait(condition(lock), mutex(with), until);
}
BIONIC(int, pthread_cond_signal, void* lock) { return pthread_cond_signal(condition(lock)); }
BIONIC(int, pthread_cond_broadcast, void* lock) { return pthread_cond_broadcast(condition(lock)); }
BIONIC(int, pthread_cond_destroy, void* lock) { return drop(lock, pthread_cond_destroy), 0; }

// A thread's attributes are 56 bytes, not 64; of them only the stack's size is ever set.
struct Attributes {
  uint32_t flags;
  void* stack;
  size_t stack_size, rest[4];
};
static_assert(sizeof(Attributes) == 56);

BIONIC(int, pthread_attr_init, Attributes* given) { return *given = {}, 0; }
BIONIC(int, pthread_attr_setstacksize, Attributes* given, size_t size) { return given->stack_size = size, 0; }
BIONIC(int, pthread_create, pthread_t* thread, const Attributes* given, void* (*work)(void*), void* argument) {
  pthread_attr_t own;
  pthread_attr_init(&own);
  if (given && given->stack_size) pthread_attr_setstacksize(&own, given->stack_size);
  int error = pthread_create(thread, &own, work, argument);
  pthread_attr_destroy(&own);
  return error;
}

// A set of signals is the kernel's 8 bytes, not 128.
BIONIC(int, sigfillset, uint64_t* set) { return *set = ~uint64_t(0), 0; }
BIONIC(int, pthread_sigmask, int how, const uint64_t* set, uint64_t* before) {
  return syscall(SYS_rt_sigprocmask, how, set, before, sizeof *set) ? errno : 0;
}

// Streams: `stdin` and its like are variables, in older code places in an array of 152 bytes each.
using Stream = char[152];
__asm__(".symver bionic_streams, __sF@LIBC");
extern "C" {
__attribute__((visibility("default"), used)) Stream bionic_streams[3];
}

static FILE* stream(void* given) {
  for (int n = 0; n < 3; ++n)
    if (given == bionic_streams[n]) return n == 0 ? stdin : n == 1 ? stdout : stderr;
  return static_cast<FILE*>(given);
}

__asm__(".symver bionic_stdin, stdin@LIBC; .symver bionic_stdout, stdout@LIBC; .symver bionic_stderr, stderr@LIBC");
extern "C" {
__attribute__((visibility("default"), used)) void *bionic_stdin = bionic_streams[0], *bionic_stdout = bionic_streams[1],
                           *bionic_stderr = bionic_streams[2];
}

BIONIC(int, vfprintf, void* to, const char* form, va_list rest) { return vfprintf(stream(to), form, rest); }
BIONIC(int, fprintf, void* to, const char* form, ...) {
  va_list rest;
  va_start(rest, form);
  int count = vfprintf(stream(to), form, rest);
  va_end(rest);
  return count;
}
BIONIC(int, fputc, int one, void* to) { return fputc(one, stream(to)); }
BIONIC(int, fputs, const char* text, void* to) { return fputs(text, stream(to)); }
BIONIC(wint_t, fputwc, wchar_t one, void* to) { return fputwc(one, stream(to)); }
BIONIC(size_t, fwrite, const void* from, size_t size, size_t count, void* to) {
  return fwrite(from, size, count, stream(to));
}
BIONIC(int, fflush, void* to) { return fflush(stream(to)); }
BIONIC(int, fileno, void* of) { return fileno(stream(of)); }
BIONIC(int, fclose, void* which) { return fclose(stream(which)); }
BIONIC(int, ferror, void* of) { return ferror(stream(of)); }
BIONIC(size_t, fread, void* to, size_t size, size_t count, void* from) {
  return fread(to, size, count, stream(from));
}
BIONIC(int, getc, void* from) { return getc(stream(from)); }
BIONIC(wint_t, getwc, void* from) { return getwc(stream(from)); }
BIONIC(int, ungetc, int one, void* to) { return ungetc(one, stream(to)); }
BIONIC(wint_t, ungetwc, wint_t one, void* to) { return ungetwc(one, stream(to)); }
BIONIC(int, fseek, void* in, long to, int from) { return fseek(stream(in), to, from); }
BIONIC(int, fseeko, void* in, off_t to, int from) { return fseeko(stream(in), to, from); }
BIONIC(off_t, ftello, void* in) { return ftello(stream(in)); }

// Errors: another name for where the number is, and POSIX's strerror_r besides GNU's.
BIONIC(int*, __errno) { return &errno; }
BIONIC(int, strerror_r, int number, char* text, size_t size) { return __xpg_strerror_r(number, text, size); }
BIONIC(char*, __gnu_strerror_r, int number, char* text, size_t size) { return strerror_r(number, text, size); }

// What the system has is asked for by other numbers (bits/sysconf.h, bits/posix_limits.h); -1: not known.
BIONIC(long, sysconf, int what) {
  switch (what) {
    case 0x27: case 0x28: return sysconf(_SC_PAGESIZE);
    case 0x60: return sysconf(_SC_NPROCESSORS_CONF);
    case 0x61: return sysconf(_SC_NPROCESSORS_ONLN);
    case 0x62: return sysconf(_SC_PHYS_PAGES);
    case 0x63: return sysconf(_SC_AVPHYS_PAGES);
  }
  return errno = EINVAL, -1;
}
BIONIC(long, pathconf, const char*, int what) {
  return what == 4 ? NAME_MAX : what == 5 ? PATH_MAX : (errno = EINVAL, -1);
}
BIONIC(int, __system_property_get, const char*, char* value) { return *value = 0, 0; }  // a phone's settings

// glibc's writes into what it is given; the copy is not freed, as a loader asks but a few times.
BIONIC(char*, dirname, const char* path) { return dirname(strdup(path)); }

// Checked calls that glibc has not, or by other names.
BIONIC(size_t, __strlen_chk, const char* text, size_t) { return strlen(text); }
BIONIC(const char*, __strchr_chk, const char* text, int one, size_t) { return strchr(text, one); }
BIONIC(const char*, __strrchr_chk, const char* text, int one, size_t) { return strrchr(text, one); }
BIONIC(void, __FD_SET_chk, int file, fd_set* set, size_t) { FD_SET(file, set); }
BIONIC(int, __FD_ISSET_chk, int file, const fd_set* set, size_t) { return FD_ISSET(file, set); }

__asm__(".symver bionic_write_chk, __write_chk@LIBC_N");  // newer than the others
extern "C" __attribute__((visibility("default"), used)) ssize_t bionic_write_chk(int file, const void* from, size_t size,
                                                                                 size_t) {
  return write(file, from, size);
}

// Java's side (jni.s).
extern "C" __attribute__((used)) void absent_jni() {
  fputs("error: Java is not in the shim for Android's libraries\n", stderr);
  abort();
}

// Android's log goes where errors go.
BIONIC(int, __android_log_write, int, const char* tag, const char* text) {
  return fprintf(stderr, "%s: %s\n", tag ? tag : "", text);
}
BIONIC(int, __android_log_vprint, int, const char* tag, const char* form, va_list rest) {
  fprintf(stderr, "%s: ", tag ? tag : "");
  int count = vfprintf(stderr, form, rest);
  return fputc('\n', stderr), count;
}
BIONIC(int, __android_log_print, int, const char* tag, const char* form, ...) {
  va_list rest;
  va_start(rest, form);
  int count = bionic___android_log_vprint(0, tag, form, rest);
  va_end(rest);
  return count;
}
BIONIC(void, android_set_abort_message, const char* text) { fprintf(stderr, "error: %s\n", text); }

// Its kinds and flags are numbered otherwise; it is asked for only to delete folders.
BIONIC(int, nftw, const char*, void*, int, int) {
  fputs("error: nftw is not in the shim for Android's libraries\n", stderr);
  abort();
}
