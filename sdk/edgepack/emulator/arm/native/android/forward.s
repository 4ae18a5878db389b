// What means the same in bionic and in glibc: a call by Android's name is a jump to glibc's function.
// These are what the pinned libraries ask for; one that is missing here is named when they are opened.
.macro forward names:vararg
.irp name, \names
.globl forward_\name
.type forward_\name, %function
.symver forward_\name, \name@LIBC, remove
forward_\name: b \name
.endr
.endm

.text
forward __ctype_get_mb_cur_max, __cxa_atexit, __cxa_finalize, __cxa_thread_atexit_impl, __memcpy_chk
forward __memset_chk, __open_2, __register_atfork, __stack_chk_fail, __vsnprintf_chk, __vsprintf_chk, _exit
forward abort, access, acos, acosf, acosh, acoshf, asin, asinf, asinh, asinhf, atan, atan2, atan2f, atanf
forward atanh, atanhf, atoi, btowc, calloc, cbrt, clock_gettime, close, closedir, closelog, cos, cosf, cosh
forward coshf, difftime, dl_iterate_phdr, dladdr, dlclose, dlerror, dlopen, dlsym, dup, erff, exp, exp2
forward exp2f, expf, fchmod, fchown, fcntl, fmod, fmodf, fopen, free, freelocale, frexp, fstat, fsync
forward ftruncate, getauxval, getcwd, getenv, geteuid, getpid, getrusage, gettimeofday, gmtime_r, ioctl
forward isatty, iswalpha_l, iswblank_l, iswcntrl_l, iswdigit_l, iswlower_l, iswprint_l, iswpunct_l
forward iswspace_l, iswupper_l, iswxdigit_l, ldexp, ldexpf, llroundl, localeconv, localtime, localtime_r
forward log, log10, log1pf, log2, log2f, logf, lseek, lstat, malloc, mbrlen, mbrtowc, mbsnrtowcs, mbsrtowcs
forward mbtowc, memalign, memchr, memcmp, memcpy, memmove, memset, mkdir, mktime, mmap, modf, modff, mremap
forward munmap, nan, nanosleep, newlocale, open, opendir, openlog, posix_memalign, pow, powf, prctl, pread
forward pthread_detach, pthread_getschedparam, pthread_getspecific, pthread_join, pthread_key_create
forward pthread_key_delete, pthread_mutexattr_destroy, pthread_mutexattr_init, pthread_mutexattr_settype
forward pthread_once, pthread_rwlock_rdlock, pthread_rwlock_unlock, pthread_rwlock_wrlock, pthread_self
forward pthread_setspecific, pwrite, qsort, rand, read, readdir, readlink, realloc, realpath, remainderf
forward remove, rmdir, sched_getcpu, sched_yield, select, setenv, sin, sincos, sincosf, sinf, sinh, sinhf
forward snprintf, srand, sscanf, stat, strchr, strcmp, strcoll_l, strcspn, strerror, strftime, strftime_l
forward strlen, strncmp, strncpy, strnlen, strrchr, strspn, strstr, strtod, strtof, strtol, strtold_l
forward strtoll, strtoll_l, strtoull, strtoull_l, strxfrm_l, syscall, syslog, tan, tanf, tanh, tanhf, time
forward towlower_l, towupper_l, unlink, unsetenv, uselocale, usleep, utimes, vasprintf, vsnprintf, vsscanf
forward wcrtomb, wcscoll_l, wcslen, wcsnrtombs, wcsxfrm_l, wctob, wmemchr, wmemcmp, write

.section .note.GNU-stack, "", %progbits
