# lab.mk: the inversion lab as one web page. Included by the Makefile.
#   make wasm               docs/lab.html (WASM_PAGE): the same C compiled to WebAssembly, with the
#                           bundled networks and lesions in it; opens from disk, needs no network
#   make test-wasm          its results against the command line's, bit for bit (node), and every
#                           control pressed in headless Chromium
# Needs clang with the wasm32 target and wasm-ld (Debian: apt install clang lld); nothing at run
# time but a browser.
WASM_CC    ?= clang
WASM_PAGE  ?= docs/lab.html
WASM       ?= $(BUILD)/wasm
WASM_FLAGS  = --target=wasm32 -std=gnu11 -O3 -msimd128 -mbulk-memory -nostdlibinc \
              -isystem docs/lab/libc/include -I. $(WARN) $(FPMATH) -ffreestanding \
              -D_Thread_local= -Wno-unknown-pragmas \
              -ffunction-sections -fdata-sections -DISA=portable -MMD -MP
WASM_LINK   = --no-entry --gc-sections --stack-first -z stack-size=4194304 \
              --export=__heap_base --strip-all -O2
WASM_SRC   := $(wildcard core/*.c core/kernels/*.c io/*/*.c models/gan/*.c models/math/*.c \
                models/store/*.c docs/lab/*.c docs/lab/libc/*.c)
WASM_OBJ    = $(WASM_SRC:%.c=$(WASM)/%.o)
WASM_PARTS  = $(wildcard docs/lab/page/*) docs/lab/build_page.sh
$(WASM)/%.o: %.c
	@mkdir -p $(@D)
	$(WASM_CC) $(WASM_FLAGS) -c -o $@ $<
$(WASM)/lab.wasm: $(WASM_OBJ)
	wasm-ld $(WASM_LINK) -o $@ $^
-include $(shell find $(WASM) -name '*.d' 2>/dev/null)
wasm:
	@for c in $(WASM_CC) wasm-ld; do command -v $$c >/dev/null 2>&1 || { \
	  echo "make wasm: no $$c; it needs clang with the wasm32 target and lld" \
	    "(Debian: apt install clang lld)"; exit 1; }; done
	@$(MAKE) --no-print-directory $(WASM_PAGE)
$(WASM_PAGE): $(WASM)/lab.wasm $(WASM_PARTS) docs/learn/phantom_rims.safetensors
	@sh docs/lab/build_page.sh $(WASM)/lab.wasm $@
.PHONY: wasm
test-wasm: $(BUILD)/prlx wasm
	@sh test/wasm.sh $(BUILD)/prlx $(WASM_PAGE) $(if $(TEST_LONG),,--quick)
.PHONY: test-wasm
