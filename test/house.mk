# house.mk: targets that keep the house in order (test/house/). Included by the Makefile.
#   make check-style     shape of the sources: width, statements, comments, includes, names
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

CLANG_FORMAT ?= clang-format
format:
	$(CLANG_FORMAT) -i $(HOUSE_C)
.PHONY: check-style format
