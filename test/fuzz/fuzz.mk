# fuzz.mk: libFuzzer over everything that reads files and arguments (needs clang).
#   make fuzz               every target for FUZZ_SECONDS (60), FUZZ_JOBS (2) at a time; what it
#                           finds lies in $(BUILD)/fuzz/. FUZZ="inflate png": these only
#   make fuzz-minimise      the corpora that grew in $(BUILD)/fuzz/corpus, as few and short inputs
#                           as reach the same, into test/fuzz/seeds
FUZZ_CC      ?= clang
FUZZ_SECONDS ?= 60
FUZZ_JOBS    ?= 2
FUZZ_FLAGS    = -O2 -g1 -fno-omit-frame-pointer -fno-sanitize-recover=undefined
FUZZERS      := $(patsubst test/fuzz/fuzz_%.c,%,$(wildcard test/fuzz/fuzz_*.c))
FUZZ         ?= $(FUZZERS)
# Of the command line the option parser and the snapshots of training, with the pages they need.
FUZZSRC       = $(LIBSRC) $(KERN) $(wildcard tools/view/*.c) tools/cli/opts.c tools/cli/cli.c \
                tools/cli/progress.c tools/gan/train_run.c
FUZZOBJ       = $(FUZZSRC:%.c=$(BUILD)/fuzz/%.o) \
                $(patsubst %,$(BUILD)/%.asset.o,$(wildcard tools/view/assets/*))
$(BUILD)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(BASE) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -DISA=portable \
	  -c -o $@ $<
$(BUILD)/fuzz/librooms.a: $(FUZZOBJ)
	@rm -f $@; $(AR) rcs $@ $^
$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/test/fuzz/fuzz_%.o $(BUILD)/fuzz/librooms.a
	$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LDLIBS)
fuzzers:
	@command -v $(firstword $(FUZZ_CC)) >/dev/null 2>&1 || { \
	  echo "make fuzz: no $(FUZZ_CC); it needs clang with libFuzzer" \
	    "(Debian: apt install clang libclang-rt-14-dev libfuzzer-14-dev)"; exit 1; }
	@$(MAKE) --no-print-directory $(FUZZ:%=$(BUILD)/fuzz/fuzz_%)
fuzz: fuzzers
	@BUILD=$(BUILD) FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_JOBS=$(FUZZ_JOBS) sh test/fuzz/run.sh $(FUZZ)
fuzz-minimise: fuzzers
	@BUILD=$(BUILD) sh test/fuzz/run.sh minimise $(FUZZ)
.PHONY: fuzz fuzzers fuzz-minimise
