/* pickle_names.c: which classes and functions a pickle may name. None is ever called. */
#include <string.h>
#include "io/formats/pickle_impl.h"

/* ---- the allow-list: nothing outside it gets past the opcode that names it ---- */
static const char *const allowed[] = {
    "collections.OrderedDict",
    "collections.defaultdict",
    "builtins.dict",
    "builtins.list",
    "builtins.tuple",
    "builtins.set",
    "builtins.frozenset",
    "builtins.bytes",
    "builtins.bytearray",
    "builtins.object",
    "builtins.int",
    "builtins.float",
    "builtins.bool",
    "builtins.str",
    "_codecs.encode",
    "copyreg._reconstructor",
    "dnnlib.util.EasyDict",
    "dnnlib.EasyDict",
    "torch_utils.persistence._reconstruct_persistent_obj",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._tensor._rebuild_from_type_v2",
    "torch.nn.parameter.Parameter",
    "torch.nn.parameter.Buffer",
    "torch.Tensor",
    "torch.Size",
    "torch.device",
    "torch.storage._load_from_bytes",
    "torch.serialization._get_layout",
    "torch.FloatStorage",
    "torch.DoubleStorage",
    "torch.HalfStorage",
    "torch.BFloat16Storage",
    "torch.LongStorage",
    "torch.IntStorage",
    "torch.ShortStorage",
    "torch.CharStorage",
    "torch.ByteStorage",
    "torch.BoolStorage",
    "torch.cuda.FloatStorage",
    "torch.cuda.DoubleStorage",
    "torch.cuda.HalfStorage",
    "torch.cuda.BFloat16Storage",
    "torch.cuda.LongStorage",
    "torch.cuda.IntStorage",
    "torch.cuda.ShortStorage",
    "torch.cuda.CharStorage",
    "torch.cuda.ByteStorage",
    "torch.cuda.BoolStorage",
    "torch.float32",
    "torch.float64",
    "torch.float16",
    "torch.bfloat16",
    "torch.int64",
    "torch.int32",
    "torch.int16",
    "torch.int8",
    "torch.uint8",
    "torch.bool",
    "torch.float",
    "torch.double",
    "torch.half",
    "torch.long",
    "torch.int",
    "torch.short",
    "torch.jit._pickle.build_intlist",
    "torch.jit._pickle.build_tensorlist",
    "torch.jit._pickle.build_doublelist",
    "torch.jit._pickle.build_boollist",
    "torch.jit._pickle.restore_type_tag",
    /* what stands beside the tensors of a checkpoint: kept as it is, never called */
    "argparse.Namespace",
    "types.SimpleNamespace",
    "torch.torch_version.TorchVersion",
    /* tensors of types that are not read: known by name, so that they can be skipped */
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_sparse_tensor",
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_nested_tensor",
    "torch._utils._rebuild_meta_tensor_no_storage",
    "torch.storage.UntypedStorage",
    "torch.ComplexFloatStorage",
    "torch.ComplexDoubleStorage",
    "torch.QInt8Storage",
    "torch.QUInt8Storage",
    "torch.QInt32Storage",
    "torch.per_tensor_affine",
    "torch.per_tensor_symmetric",
    "torch.per_channel_affine",
    "torch.per_channel_symmetric",
    "torch.complex32",
    "torch.complex64",
    "torch.complex128",
    "torch.uint16",
    "torch.uint32",
    "torch.uint64",
    "torch.qint8",
    "torch.quint8",
    "torch.qint32",
    "torch.float8_e4m3fn",
    "torch.float8_e4m3fnuz",
    "torch.float8_e5m2",
    "torch.float8_e5m2fnuz",
    "torch.float8_e8m0fnu",
    "torch.float4_e2m1fn_x2",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib._local.PosixPath",
    "datetime.datetime",
    "datetime.timedelta",
    "builtins.slice",
    "builtins.range",
    "builtins.xrange",
    "builtins.complex",
    "builtins.long",
    "functools.partial",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.numeric._frombuffer",
    "numpy._core.numeric._frombuffer",
};
/* Modules whose names in a file of weights mean an attack, or a torch file of a kind that is not
 * read: refused by name, although nothing is ever run. */
static bool is_suspect(PkText module) {
  static const char *const top[] = {"os",         "posix",       "nt",        "sys",
                                    "subprocess", "builtins",    "importlib", "runpy",
                                    "shutil",     "socket",      "ctypes",    "pickle",
                                    "marshal",    "code",        "codeop",    "pty",
                                    "webbrowser", "operator",    "functools", "itertools",
                                    "platform",   "pip",         "pydoc",     "timeit",
                                    "cProfile",   "profile",     "bdb",       "multiprocessing",
                                    "torch",      "commands",    "asyncio",   "requests",
                                    "urllib",     "http",        "tempfile",  "_io",
                                    "io",         "dill",        "joblib",    "cloudpickle",
                                    "inspect",    "types",       "copyreg",   "_codecs",
                                    "numpy",      "torch_utils", "dnnlib",    "shelve",
                                    "nturl2path", "__torch__"};
  for (int i = 0; i < COUNT_OF(top); i++) {
    const size_t n = strlen(top[i]);
    if (module.len >= n && !memcmp(module.start, top[i], n) &&
        (module.len == n || module.start[n] == '.'))
      return true;
  }
  return false;
}

/* The name of a class, as programs have them: letters, digits, _ and, in modules, dots. */
static bool is_identifier(PkText t, bool dots) {
  for (size_t i = 0; i < t.len; i++) {
    const char c = t.start[i];
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && !(i && c >= '0' && c <= '9') && !(dots && i && c == '.')) return false;
  }
  return t.len > 0 && t.len < 150;
}

/* What stands beside the tensors of a checkpoint, dates, settings, classes of the program that
 * saved it: kept as the data that it is, never called, and skipped by whoever looks for tensors. */
static bool is_inert(PkText module, PkText name) {
  return is_identifier(module, true) && is_identifier(name, false) && !is_suspect(module);
}

static bool is_allowed(PkText m, PkText t, bool script) {
  char full[160];
  static const char torchscript[] = "__torch__";
  if (script && m.len >= sizeof torchscript - 1 &&
      !memcmp(m.start, torchscript, sizeof torchscript - 1) && (m.len == 9 || m.start[9] == '.'))
    return true;
  if (m.len + t.len + 2 > sizeof full) return false;
  memcpy(full, m.start, m.len);
  full[m.len] = '.';
  memcpy(full + m.len + 1, t.start, t.len);
  full[m.len + 1 + t.len] = 0;
  if (strlen(full) != m.len + 1 + t.len) return false;
  for (int i = 0; i < COUNT_OF(allowed); i++)
    if (!strcmp(full, allowed[i])) return true;
  return false;
}

bool pk_global_allowed(PkText module, PkText name, bool script) {
  return is_allowed(module, name, script) || is_inert(module, name);
}
