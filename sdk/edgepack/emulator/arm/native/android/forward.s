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
forward __memmove_chk, __memset_chk, __open_2, __pread_chk, __read_chk, __register_atfork
forward __stack_chk_fail, __vsnprintf_chk, __vsprintf_chk, _exit, abort, access, acos, acosf, acosh
forward acoshf, asin, asinf, asinh, asinhf, atan, atan2, atan2f, atanf, atanh, atanhf, atoi, bsearch
forward btowc, calloc, cbrt, cbrtf, ceil, chdir, clock_gettime, close, closedir, closelog, cos, cosf
forward cosh, coshf, difftime, dl_iterate_phdr, dladdr, dlclose, dlerror, dlopen, dlsym, dup, erf, erff
forward exit, exp, exp2, exp2f, expf, expm1, expm1f, fchmod, fchmodat, fchown, fcntl, fdopendir, floor
forward fmod, fmodf, fopen, free, freelocale, frexp, frexpl, fstat, fsync, ftruncate, getauxval, getcwd
forward getenv, geteuid, getpid, getrusage, gettimeofday, gmtime_r, hypot, hypotf, ioctl, isatty
forward iswalpha_l, iswblank_l, iswcntrl_l, iswdigit_l, iswlower_l, iswprint_l, iswpunct_l, iswspace_l
forward iswupper_l, iswxdigit_l, ldexp, ldexpf, ldexpl, link, llroundl, localeconv, localtime
forward localtime_r, log, log10, log10f, log1p, log1pf, log2, log2f, logb, logf, lseek, lstat, malloc
forward mbrlen, mbrtowc, mbsnrtowcs, mbsrtowcs, mbtowc, memalign, memchr, memcmp, memcpy, memmove, memset
forward mkdir, mktime, mlock, mmap, modf, modff, mprotect, mremap, munmap, nan, nanf, nanosleep
forward newlocale, open, openat, opendir, openlog, posix_memalign, pow, powf, prctl, pread, printf
forward pthread_detach, pthread_getschedparam, pthread_getspecific, pthread_join, pthread_key_create
forward pthread_key_delete, pthread_mutexattr_destroy, pthread_mutexattr_init, pthread_mutexattr_settype
forward pthread_once, pthread_rwlock_rdlock, pthread_rwlock_unlock, pthread_rwlock_wrlock, pthread_self
forward pthread_setspecific, putchar, pwrite, qsort, rand, read, readdir, readlink, realloc, realpath
forward remainderf, remove, rename, rmdir, scalbn, sched_getcpu, sched_yield, select, sendfile, setenv
forward setlocale, sin, sincos, sincosf, sinf, sinh, sinhf, snprintf, sqrt, srand, sscanf, stat, statvfs
forward strchr, strcmp, strcoll_l, strcpy, strcspn, strdup, strerror, strftime, strftime_l, strlen
forward strncmp, strncpy, strnlen, strpbrk, strrchr, strspn, strstr, strtod, strtof, strtol, strtold
forward strtold_l, strtoll, strtoll_l, strtoul, strtoull, strtoull_l, strxfrm_l, swprintf, symlink
forward syscall, syslog, tan, tanf, tanh, tanhf, time, towlower_l, towupper_l, trunc, truncate, unlink
forward unlinkat, unsetenv, uselocale, usleep, utimensat, utimes, vasprintf, vsnprintf, vsscanf, wcrtomb
forward wcscoll_l, wcslen, wcsnrtombs, wcstod, wcstof, wcstol, wcstold, wcstoll, wcstoul, wcstoull
forward wcsxfrm_l, wctob, wmemchr, wmemcmp, write

.section .note.GNU-stack, "", %progbits
