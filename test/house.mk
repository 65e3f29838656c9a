# house.mk: targets that keep the house in order (test/house/). Included by the Makefile.
#   make check-style     shape of the sources: width, statements, comments, includes, names
#   make lint            every warning below on the sources of the program: none
#   make analyze         gcc -fanalyzer, cppcheck, clang-tidy where they are; each finding explained
#   make tsan            tests with three threads under the thread sanitizer
#   make coverage        how many lines of the sources the fast tests run (needs gcov)
#   make compile_commands.json   for clangd and others that want to know how a file is compiled
#   make format          clang-format over every C and CUDA source (needs clang-format)
HOUSE_DIRS  = core cuda io models tools paper/engine docs test
HOUSE_C    := $(wildcard prlx.h) $(shell find $(HOUSE_DIRS) -name '*.[ch]' -o -name '*.cu' \
                -o -name '*.cuh' -o -name '*.cpp')
HOUSE_TEXT := $(wildcard Makefile .ci/run test/*.inc) $(shell find $(HOUSE_DIRS) -name '*.sh' \
                -o -name '*.mk' -o -name '*.awk')

$(BUILD)/check_style: test/house/style.c test/house/style_c.c test/house/source.c \
                      test/house/style.h test/house/source.h
	@mkdir -p $(@D)
	@$(CC) -std=gnu11 $(WARN) -O1 -g -I. -o $@ $(filter %.c,$^)
check-style: $(BUILD)/check_style
	@$(BUILD)/check_style $(HOUSE_C) $(HOUSE_TEXT)

# Warnings beyond those of every build. third_party is not ours: png_write.c silences them for it.
LINT_WARN  = -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes \
             -Wmissing-declarations -Wold-style-definition -Wredundant-decls -Wnested-externs \
             -Wundef -Wwrite-strings -Wimplicit-fallthrough -Wpointer-arith -Wformat=2 \
             -Wno-format-nonliteral
LINT_GCC   = -Wlogical-op -Wduplicated-cond -Wduplicated-branches
LINT_FLAGS = $(BASE) $(LINT_WARN) \
             $(if $(findstring clang,$(shell $(CC) --version)),,$(LINT_GCC)) -Werror -fsyntax-only
LINT_SRC   = $(LIBSRC) $(KERN) $(TOOLS)
lint: $(LINT_SRC:%.c=$(BUILD)/lint/%.ok)
	@echo "lint: $(words $(LINT_SRC)) files without a warning"
$(BUILD)/lint/%.ok: %.c
	@mkdir -p $(@D)
	@$(CC) $(LINT_FLAGS) $(ISADEF) -DISA=portable -MF $(@:.ok=.d) -MT $@ $<
	@touch $@

ANALYZE_FLAGS = -std=gnu11 $(FPMATH) $(ISADEF) -DISA=portable -I.
ANALYZE       = $(BUILD)/analyze
ANALYZE_ONE   = FLAGS="$(ANALYZE_FLAGS)" sh test/house/analyze.sh
analyze: $(LINT_SRC:%.c=$(ANALYZE)/gcc/%.txt) $(LINT_SRC:%.c=$(ANALYZE)/tidy/%.txt) \
         $(ANALYZE)/cppcheck/all.txt
	@sh test/house/analyze.sh judge $(ANALYZE)
$(ANALYZE)/gcc/%.txt: %.c $(BUILD)/lint/%.ok
	@mkdir -p $(@D)
	@$(ANALYZE_ONE) gcc $< >$@
$(ANALYZE)/tidy/%.txt: %.c $(BUILD)/lint/%.ok
	@mkdir -p $(@D)
	@$(ANALYZE_ONE) tidy $< >$@
$(ANALYZE)/cppcheck/all.txt: $(LINT_SRC)
	@mkdir -p $(@D)
	@$(ANALYZE_ONE) cppcheck $(LINT_SRC) >$@

# The tests that use threads most and end within minutes under the sanitizer.
TSAN_FLAGS = -O1 -g -fsanitize=thread
TSAN_TESTS = test_core test_io test_gzip test_pack test_unet test_agreement test_evidence test_prlx
tsan:
	@$(MAKE) --no-print-directory CUDA=0 BUILD=$(BUILD)/tsan CFLAGS="$(TSAN_FLAGS)" \
	  $(TSAN_TESTS:%=$(BUILD)/tsan/%)
	@BUILD=$(BUILD)/tsan sh test/house/tsan.sh $(TSAN_TESTS)

COVERAGE_FLAGS = -O1 -g --coverage
coverage:
	@command -v gcov >/dev/null || { echo "make coverage: no gcov (it comes with gcc)"; exit 1; }
	@$(MAKE) --no-print-directory CUDA=0 BUILD=$(BUILD)/coverage CFLAGS="$(COVERAGE_FLAGS)" \
	  coverage-programs
	@BUILD=$(BUILD)/coverage sh test/house/coverage.sh
coverage-programs: $(BUILD)/prlx $(TESTS) $(BUILD)/golden

# How each file of the program and of the tests is compiled.
CC_FILES = $(LIBSRC) $(KERN) $(TOOLS) $(wildcard test/*.c test/house/*.c)
CC_FLAGS = $(BASE) $(CFLAGS) $(ISADEF) -DISA=portable
compile_commands.json: Makefile test/house.mk
	@printf '%s\n' $(CC_FILES) | awk -v dir='$(CURDIR)' -v cc='$(CC) $(CC_FLAGS)' ' \
	  function entry(f) { \
	    return "{\"directory\":\"" dir "\",\"file\":\"" f "\",\"command\":\"" cc " -c " f "\"}" \
	  } \
	  {printf "%s%s", NR == 1 ? "[\n" : ",\n", entry($$1)} \
	  END {print "\n]"}' >$@

CLANG_FORMAT ?= clang-format
format:
	$(CLANG_FORMAT) -i $(HOUSE_C)
.PHONY: check-style lint analyze tsan coverage coverage-programs format
