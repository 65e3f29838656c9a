/* os_windows.c: os.h for Windows (MinGW-w64, zig cc). Paths come in as UTF-8 and go to the system
 * as UTF-16. What other systems call errno is set here, too, from GetLastError(). */
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0601 /* Windows 7 */
#endif
#include "core/os.h"
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
/* after windows.h: shellapi.h needs it */
#include <windows.h>
#include <shellapi.h>
#include <share.h>

#define OS_PIECE ((size_t)1 << 26)
#define OS_SHORTER(n) ((unsigned)((n) < OS_PIECE ? (n) : OS_PIECE))

static int error_number(DWORD code) {
  switch (code) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME:
    case ERROR_BAD_PATHNAME: return ENOENT;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION:
    case ERROR_LOCK_VIOLATION: return EACCES;
    case ERROR_ALREADY_EXISTS:
    case ERROR_FILE_EXISTS: return EEXIST;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY: return ENOMEM;
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL: return ENOSPC;
    case ERROR_DIR_NOT_EMPTY: return ENOTEMPTY;
    case ERROR_NOT_SAME_DEVICE: return EXDEV;
    case ERROR_TOO_MANY_OPEN_FILES: return EMFILE;
    case ERROR_DIRECTORY: return ENOTDIR;
    case ERROR_INVALID_FUNCTION:
    case ERROR_NOT_SUPPORTED: return ENOSYS;
    default: return EIO;
  }
}

static int system_failed(void) {
  errno = error_number(GetLastError());
  return -1;
}

typedef wchar_t WidePath[OS_PATH];

static bool path_wide(const char *path, WidePath out) {
  if (MultiByteToWideChar(CP_UTF8, 0, path, -1, out, OS_PATH) <= 0) {
    errno = ENAMETOOLONG;
    return false;
  }
  for (wchar_t *p = out; *p; p++)
    if (*p == L'/') *p = L'\\';
  return true;
}

/* With '/', as the rest of the program writes paths. */
static bool path_narrow(const wchar_t *path, char out[OS_PATH]) {
  if (WideCharToMultiByte(CP_UTF8, 0, path, -1, out, OS_PATH, NULL, NULL) <= 0) return false;
  for (char *p = out; *p; p++)
    if (*p == '\\') *p = '/';
  return true;
}

/* ---- what is there ---- */

static int info_of(HANDLE h, OsInfo *out) {
  BY_HANDLE_FILE_INFORMATION i;
  if (GetFileType(h) != FILE_TYPE_DISK) {
    *out = (OsInfo){.kind = OS_OTHER};
    return 0;
  }
  if (!GetFileInformationByHandle(h, &i)) return system_failed();
  const uint64_t written =
      (uint64_t)i.ftLastWriteTime.dwHighDateTime << 32 | i.ftLastWriteTime.dwLowDateTime;
  *out = (OsInfo){.kind = i.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY ? OS_FOLDER : OS_FILE,
                  .bytes = (int64_t)((uint64_t)i.nFileSizeHigh << 32 | i.nFileSizeLow),
                  .device = i.dwVolumeSerialNumber,
                  .number = (uint64_t)i.nFileIndexHigh << 32 | i.nFileIndexLow,
                  .changed = (int64_t)(written / 10000000),
                  .changed_ns = (int)(written % 10000000) * 100};
  return 0;
}

static int info_path(const char *path, DWORD flags, OsInfo *out) {
  WidePath w;
  if (!path_wide(path, w)) return -1;
  const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
  HANDLE h = CreateFileW(w, FILE_READ_ATTRIBUTES, share, NULL, OPEN_EXISTING,
                         FILE_FLAG_BACKUP_SEMANTICS | flags, NULL);
  if (h == INVALID_HANDLE_VALUE) return system_failed();
  const int result = info_of(h, out);
  CloseHandle(h);
  return result;
}

int os_info(const char *path, OsInfo *out) { return info_path(path, 0, out); }

int os_link_info(const char *path, OsInfo *out) {
  WidePath w;
  if (!path_wide(path, w)) return -1;
  const DWORD a = GetFileAttributesW(w);
  const int result = info_path(path, FILE_FLAG_OPEN_REPARSE_POINT, out);
  if (result == 0 && a != INVALID_FILE_ATTRIBUTES && a & FILE_ATTRIBUTE_REPARSE_POINT)
    out->kind = OS_OTHER;
  return result;
}

int os_file_info(int fd, OsInfo *out) { return info_of((HANDLE)_get_osfhandle(fd), out); }

bool os_is_folder(const char *path) {
  OsInfo st;
  return os_info(path, &st) == 0 && st.kind == OS_FOLDER;
}

bool os_can_read(const char *path) {
  WidePath w;
  return path_wide(path, w) && _waccess(w, 4) == 0;
}

bool os_can_write_folder(const char *path) {
  WidePath w;
  return path_wide(path, w) && _waccess(w, 2) == 0;
}

bool os_real_path(const char *path, char out[OS_PATH]) {
  WidePath w, full;
  OsInfo st;
  if (os_info(path, &st) != 0 || !path_wide(path, w)) return false;
  return GetFullPathNameW(w, OS_PATH, full, NULL) > 0 && path_narrow(full, out);
}

bool os_path_absolute(const char *path) {
  const char drive = (char)(path[0] | 32);
  return path[0] == '/' || path[0] == '\\' || (drive >= 'a' && drive <= 'z' && path[1] == ':');
}

/* ---- files by descriptor ---- */

int os_open(const char *path, OsOpen how) {
  static const DWORD access[] = {[OS_READ] = GENERIC_READ,
                                 [OS_CREATE] = GENERIC_WRITE,
                                 [OS_WRITE] = GENERIC_WRITE,
                                 [OS_TRUNCATE] = GENERIC_WRITE,
                                 [OS_APPEND] = GENERIC_READ | GENERIC_WRITE};
  static const DWORD make[] = {[OS_READ] = OPEN_EXISTING,
                               [OS_CREATE] = CREATE_NEW,
                               [OS_WRITE] = OPEN_EXISTING,
                               [OS_TRUNCATE] = CREATE_ALWAYS,
                               [OS_APPEND] = OPEN_ALWAYS};
  WidePath w;
  if (!path_wide(path, w)) return -1;
  /* others may replace and remove the file meanwhile, as they may elsewhere */
  const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
  HANDLE h = CreateFileW(w, access[how], share, NULL, make[how], FILE_ATTRIBUTE_NORMAL, NULL);
  if (h == INVALID_HANDLE_VALUE) return system_failed();
  const int fd = _open_osfhandle((intptr_t)h, _O_BINARY | (how == OS_APPEND ? _O_APPEND : 0));
  if (fd < 0) CloseHandle(h);
  return fd;
}

int os_close(int fd) { return _close(fd); }
int64_t os_read(int fd, void *p, size_t n) { return _read(fd, p, OS_SHORTER(n)); }
int64_t os_write(int fd, const void *p, size_t n) { return _write(fd, p, OS_SHORTER(n)); }

int64_t os_read_at(int fd, void *p, size_t n, int64_t at) {
  OVERLAPPED where = {.Offset = (DWORD)(uint64_t)at, .OffsetHigh = (DWORD)((uint64_t)at >> 32)};
  DWORD got = 0;
  if (ReadFile((HANDLE)_get_osfhandle(fd), p, OS_SHORTER(n), &got, &where)) return got;
  return GetLastError() == ERROR_HANDLE_EOF ? 0 : system_failed();
}

int os_sync(int fd) { return _commit(fd); }
void os_sync_folder(const char *dir) {}
int os_set_size(int fd, int64_t bytes) {
  const int why = _chsize_s(fd, bytes);
  if (why) errno = why;
  return why ? -1 : 0;
}
void os_set_mode(int fd, unsigned mode) {}

FILE *os_fopen(const char *path, const char *mode) {
  WidePath w;
  wchar_t how[8] = {0};
  if (!path_wide(path, w)) return NULL;
  for (size_t i = 0; i < 5 && mode[i]; i++) how[i] = (wchar_t)mode[i];
  if (!strchr(mode, 'b')) wcscat(how, L"b");
  return _wfopen(w, how);
}

/* A temporary file that never needs to reach the disk and is gone when it is closed. */
FILE *os_stream_open(char **text, size_t *bytes) {
  wchar_t dir[OS_PATH], path[OS_PATH + 32];
  *text = NULL;
  *bytes = 0;
  if (!GetTempPathW(OS_PATH - 32, dir) || !GetTempFileNameW(dir, L"prl", 0, path)) return NULL;
  HANDLE h = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                         FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, NULL);
  if (h == INVALID_HANDLE_VALUE) return NULL;
  const int fd = _open_osfhandle((intptr_t)h, _O_BINARY);
  FILE *f = fd < 0 ? NULL : _fdopen(fd, "w+b");
  if (!f && fd >= 0) _close(fd);
  if (fd < 0) CloseHandle(h);
  return f;
}

int os_stream_close(FILE *f, char **text, size_t *bytes) {
  const int64_t n = fflush(f) == 0 && _fseeki64(f, 0, SEEK_END) == 0 ? _ftelli64(f) : -1;
  char *p = n >= 0 ? malloc((size_t)n + 1) : NULL;
  rewind(f);
  const bool whole = p && fread(p, 1, (size_t)n, f) == (size_t)n;
  fclose(f);
  if (!whole) {
    free(p);
    return -1;
  }
  p[n] = 0;
  *text = p;
  *bytes = (size_t)n;
  return 0;
}

/* ---- folders and names ---- */

int os_replace(const char *from, const char *to) {
  WidePath a, b;
  if (!path_wide(from, a) || !path_wide(to, b)) return -1;
  /* a virus scanner may have the old file open for a moment */
  for (int k = 0; k < 20; k++) {
    if (MoveFileExW(a, b, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)) return 0;
    if (GetLastError() != ERROR_SHARING_VIOLATION && GetLastError() != ERROR_ACCESS_DENIED) break;
    Sleep(10);
  }
  return system_failed();
}

int os_link(const char *from, const char *to) {
  WidePath a, b;
  if (!path_wide(from, a) || !path_wide(to, b)) return -1;
  return CreateHardLinkW(b, a, NULL) ? 0 : system_failed();
}

int os_remove(const char *path) {
  WidePath w;
  return path_wide(path, w) && DeleteFileW(w) ? 0 : system_failed();
}

int os_remove_folder(const char *path) {
  WidePath w;
  return path_wide(path, w) && RemoveDirectoryW(w) ? 0 : system_failed();
}

int os_make_folder(const char *path) {
  WidePath w;
  return path_wide(path, w) && CreateDirectoryW(w, NULL) ? 0 : system_failed();
}

bool os_no_links(int error) { return error == ENOSYS; }

struct OsFolder {
  HANDLE find;
  WIN32_FIND_DATAW data;
  bool fresh; /* data holds a name that was not given out yet */
  char name[4 * MAX_PATH];
};

OsFolder *os_folder_open(const char *path) {
  wchar_t pattern[OS_PATH + 2];
  WidePath w;
  if (!path_wide(path, w)) return NULL;
  wcscpy(pattern, w);
  wcscat(pattern, L"\\*");
  OsFolder *f = calloc(1, sizeof *f);
  if (!f) return NULL;
  f->find = FindFirstFileW(pattern, &f->data);
  f->fresh = true;
  if (f->find != INVALID_HANDLE_VALUE) return f;
  system_failed();
  free(f);
  return NULL;
}

const char *os_folder_next(OsFolder *f) {
  while (f->fresh || FindNextFileW(f->find, &f->data)) {
    f->fresh = false;
    WideCharToMultiByte(CP_UTF8, 0, f->data.cFileName, -1, f->name, sizeof f->name, NULL, NULL);
    if (strcmp(f->name, ".") && strcmp(f->name, "..")) return f->name;
  }
  return NULL;
}

void os_folder_close(OsFolder *f) {
  FindClose(f->find);
  free(f);
}

/* A file in the folder that nobody else may open; the system removes it with its handle. */
int os_folder_lock(const char *path) {
  WidePath w;
  wchar_t name[OS_PATH + 8];
  if (!path_wide(path, w)) return -1;
  wcscpy(name, w);
  wcscat(name, L"\\.lock");
  HANDLE h = CreateFileW(name, GENERIC_WRITE, 0, NULL, OPEN_ALWAYS,
                         FILE_ATTRIBUTE_HIDDEN | FILE_FLAG_DELETE_ON_CLOSE, NULL);
  if (h == INVALID_HANDLE_VALUE) {
    const bool taken = GetLastError() == ERROR_SHARING_VIOLATION;
    system_failed();
    if (taken) errno = EWOULDBLOCK;
    return -1;
  }
  return _open_osfhandle((intptr_t)h, _O_BINARY);
}

/* ---- memory ---- */

const void *os_map(int fd, int64_t bytes) {
  if (bytes <= 0 || (uint64_t)bytes > SIZE_MAX / 2) {
    errno = bytes <= 0 ? EINVAL : EFBIG;
    return NULL;
  }
  uint8_t *p = VirtualAlloc(NULL, (size_t)bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  if (!p) errno = ENOMEM;
  for (int64_t at = 0; p && at < bytes;) {
    const int64_t k = os_read_at(fd, p + at, (size_t)(bytes - at), at);
    at += k;
    if (k > 0) continue;
    VirtualFree(p, 0, MEM_RELEASE);
    errno = EIO;
    return NULL;
  }
  return p;
}

void os_unmap(const void *p, int64_t bytes) { VirtualFree((void *)(uintptr_t)p, 0, MEM_RELEASE); }
void *os_aligned_alloc(size_t bytes) { return _aligned_malloc(bytes, 64); }
void os_aligned_free(void *p) { _aligned_free(p); }

uint64_t os_disk_free(const char *path) {
  WidePath w;
  ULARGE_INTEGER mine;
  return path_wide(path, w) && GetDiskFreeSpaceExW(w, &mine, NULL, NULL) ? mine.QuadPart : 0;
}

uint64_t os_memory_total(void) {
  MEMORYSTATUSEX m = {.dwLength = sizeof m};
  return GlobalMemoryStatusEx(&m) ? m.ullTotalPhys : 0;
}

uint64_t os_memory_available(void) {
  MEMORYSTATUSEX m = {.dwLength = sizeof m};
  if (!GlobalMemoryStatusEx(&m)) return 0;
  return m.ullAvailPhys < m.ullAvailVirtual ? m.ullAvailPhys : m.ullAvailVirtual;
}

/* ---- time, terminal, machine ---- */

double os_clock(void) {
  LARGE_INTEGER now, rate;
  QueryPerformanceCounter(&now);
  QueryPerformanceFrequency(&rate);
  return (double)now.QuadPart / (double)rate.QuadPart;
}

void os_sleep(double seconds) { Sleep((DWORD)(seconds * 1000 + 0.5)); }
bool os_is_terminal(int fd) { return _isatty(fd) != 0; }

bool os_allow_tiles(void) { return false; } /* no kernels for it in this build */

int os_cores(void) {
  SYSTEM_INFO s;
  GetSystemInfo(&s);
  return s.dwNumberOfProcessors > 0 ? (int)s.dwNumberOfProcessors : 1;
}

bool os_program(char out[OS_PATH]) {
  WidePath w;
  const DWORD n = GetModuleFileNameW(NULL, w, OS_PATH);
  out[0] = 0;
  return n > 0 && n < OS_PATH && path_narrow(w, out);
}

void os_host(char out[256]) {
  DWORD n = 255;
  memset(out, 0, 256);
  if (!GetComputerNameA(out, &n)) out[0] = 0;
}

/* ---- threads ---- */

typedef struct ThreadStart {
  void *(*fn)(void *);
  void *arg;
} ThreadStart;

static DWORD WINAPI thread_main(void *p) {
  const ThreadStart s = *(ThreadStart *)p;
  free(p);
  s.fn(s.arg);
  return 0;
}

int os_thread_start(OsThread *t, void *(*fn)(void *), void *arg) {
  ThreadStart *s = malloc(sizeof *s);
  if (!s) return ENOMEM;
  *s = (ThreadStart){fn, arg};
  *t = CreateThread(NULL, OS_STACK, thread_main, s, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
  if (!*t) free(s);
  return *t ? 0 : EAGAIN;
}

void os_thread_join(OsThread t) {
  WaitForSingleObject(t, INFINITE);
  CloseHandle(t);
}

void os_yield(void) { SwitchToThread(); }
void os_mutex_lock(OsMutex *m) { AcquireSRWLockExclusive((SRWLOCK *)&m->state); }
bool os_mutex_try(OsMutex *m) { return TryAcquireSRWLockExclusive((SRWLOCK *)&m->state) != 0; }
void os_mutex_unlock(OsMutex *m) { ReleaseSRWLockExclusive((SRWLOCK *)&m->state); }
void os_cond_wait(OsCond *c, OsMutex *m) {
  SleepConditionVariableSRW((CONDITION_VARIABLE *)&c->state, (SRWLOCK *)&m->state, INFINITE, 0);
}
void os_cond_wake_all(OsCond *c) { WakeAllConditionVariable((CONDITION_VARIABLE *)&c->state); }

/* ---- processes ---- */

int64_t os_process_id(void) { return (int64_t)GetCurrentProcessId(); }

bool os_process_gone(int64_t id) {
  DWORD code = 0;
  HANDLE h = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, (DWORD)id);
  if (!h) return GetLastError() == ERROR_INVALID_PARAMETER;
  const bool gone = GetExitCodeProcess(h, &code) && code != STILL_ACTIVE;
  CloseHandle(h);
  return gone;
}

void os_main(int *argc, char ***argv) {
  int n = 0;
  wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &n);
  for (int fd = 0; fd < 3; fd++) _setmode(fd, _O_BINARY);
  SetConsoleOutputCP(CP_UTF8);
  char **list = wide ? calloc((size_t)n + 1, sizeof *list) : NULL;
  for (int i = 0; list && i < n; i++) {
    const int bytes = WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, NULL, 0, NULL, NULL);
    list[i] = malloc(bytes > 0 ? (size_t)bytes : 1);
    if (!list[i]) return; /* the arguments stay as they came */
    list[i][0] = 0;
    WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, list[i], bytes, NULL, NULL);
    for (char *p = list[i]; *p; p++)
      if (*p == '\\') *p = '/';
  }
  if (list) {
    *argc = n;
    *argv = list;
  }
}

typedef struct StackCall {
  int (*fn)(int argc, char **argv);
  int argc;
  char **argv;
  int result;
} StackCall;

static void *stack_call(void *arg) {
  StackCall *c = arg;
  c->result = c->fn(c->argc, c->argv);
  return NULL;
}

/* The main thread has what the linker wrote into the program: always on one of our own. */
int os_on_stack(int (*fn)(int argc, char **argv), int argc, char **argv) {
  StackCall c = {fn, argc, argv, 0};
  OsThread t;
  if (os_thread_start(&t, stack_call, &c) != 0) return fn(argc, argv);
  os_thread_join(t);
  return c.result;
}

static void (*stop_fn)(int sig);

static BOOL WINAPI stop_handler(DWORD event) {
  if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT && event != CTRL_CLOSE_EVENT) return FALSE;
  stop_fn(event == CTRL_C_EVENT ? SIGINT : SIGTERM);
  return TRUE;
}

void os_on_stop(void (*fn)(int sig)) {
  stop_fn = fn;
  SetConsoleCtrlHandler(stop_handler, TRUE);
}

static void (*later_fn)(void);

static DWORD WINAPI later_run(LPVOID seconds) {
  Sleep((DWORD)(uintptr_t)seconds * 1000);
  later_fn();
  return 0;
}

void os_later(unsigned seconds, void (*fn)(void)) {
  later_fn = fn;
  HANDLE t = CreateThread(NULL, 0, later_run, (LPVOID)(uintptr_t)seconds, 0, NULL);
  if (t) CloseHandle(t);
}

/* Nothing is written: a pipe without a reader refuses even that. */
bool os_unread(int fd) {
  const HANDLE h = (HANDLE)_get_osfhandle(fd);
  DWORD n = 0;
  if (h == INVALID_HANDLE_VALUE || GetFileType(h) != FILE_TYPE_PIPE) return false;
  if (WriteFile(h, "", 0, &n, NULL)) return false;
  return GetLastError() == ERROR_BROKEN_PIPE || GetLastError() == ERROR_NO_DATA;
}

/* One argument, quoted as CommandLineToArgvW reads it; returns its end. */
static wchar_t *quote_argument(wchar_t *at, const wchar_t *end, const char *arg) {
  WidePath w;
  if (MultiByteToWideChar(CP_UTF8, 0, arg, -1, w, OS_PATH) <= 0 || end - at < 4) return NULL;
  *at++ = L'"';
  size_t slashes = 0;
  for (const wchar_t *p = w;; p++) {
    if (end - at < (ptrdiff_t)(2 * slashes) + 8) return NULL;
    if (*p == L'"' || !*p)
      for (; slashes; slashes--) *at++ = L'\\';
    if (!*p) break;
    if (*p == L'"') *at++ = L'\\';
    slashes = *p == L'\\' ? slashes + 1 : 0;
    *at++ = *p;
  }
  *at++ = L'"';
  *at++ = L' ';
  *at = 0;
  return at;
}

static HANDLE child_file(const char *path, bool append) {
  SECURITY_ATTRIBUTES inherit = {sizeof inherit, NULL, TRUE};
  WidePath w;
  if (!path_wide(path, w)) return INVALID_HANDLE_VALUE;
  return CreateFileW(w, append ? FILE_APPEND_DATA : GENERIC_WRITE, FILE_SHARE_READ, &inherit,
                     append ? OPEN_ALWAYS : CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
}

/* A child ends with its parent, whatever ends that. */
static void child_tie(HANDLE process) {
  static HANDLE job;
  if (!job) {
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limit = {0};
    job = CreateJobObjectW(NULL, NULL);
    limit.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    if (job) SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limit, sizeof limit);
  }
  if (job) AssignProcessToJobObject(job, process);
}

int os_child_start(OsChild *c, char *const argv[], const OsChildFiles *f) {
  static wchar_t line[32768];
  WidePath program;
  wchar_t *at = line;
  for (int i = 0; argv[i] && at; i++)
    at = quote_argument(at, line + sizeof line / sizeof *line, argv[i]);
  const bool found =
      f->program ? path_wide(f->program, program) : GetModuleFileNameW(NULL, program, OS_PATH) > 0;
  if (!at || !found) {
    errno = E2BIG;
    return -1;
  }
  PROCESS_INFORMATION p = {0};
  STARTUPINFOW s = {.cb = sizeof s,
                    .dwFlags = STARTF_USESTDHANDLES,
                    .hStdInput = INVALID_HANDLE_VALUE,
                    .hStdOutput = child_file(f->out, f->append_out),
                    .hStdError = child_file(f->err, f->append_err)};
  const BOOL started =
      CreateProcessW(program, line, NULL, NULL, TRUE, CREATE_NEW_PROCESS_GROUP, NULL, NULL, &s, &p);
  if (!started) system_failed();
  CloseHandle(s.hStdOutput);
  CloseHandle(s.hStdError);
  if (!started) return -1;
  child_tie(p.hProcess);
  CloseHandle(p.hThread);
  *c = (OsChild){(int64_t)p.dwProcessId, p.hProcess};
  return 0;
}

int os_child_ended(OsChild *c, int *code) {
  DWORD status = 0;
  if (WaitForSingleObject(c->handle, 0) == WAIT_TIMEOUT) return 0;
  if (!GetExitCodeProcess(c->handle, &status)) return -1;
  *code = status > 255 ? 128 : (int)status;
  CloseHandle(c->handle);
  c->handle = NULL;
  return 1;
}

void os_child_interrupt(const OsChild *c) {
  GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, (DWORD)c->id);
}
#endif
