# lib.mk: the library and everything that leaves this folder. Included by the Makefile.
#   make lib             $(BUILD)/libprlx.a and $(BUILD)/libprlx.so: prlx.h, nothing else is visible
#   make install         program, library, header, prlx.pc, man pages and data below PREFIX
#                        (/usr/local); DESTDIR goes before it, for packagers
#   make uninstall       removes what install wrote
#   make amalgamation    $(BUILD)/prlx-amalgamation/: prlx.c (all of the library), prlx.h, shell.c
#   make dist            $(BUILD)/prlx-VERSION.tar.gz of the commit: the same bytes for everybody
#   make distcheck       unpacks it where no git is, builds it and runs its tests
PREFIX     ?= /usr/local
BINDIR      = $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR  = $(PREFIX)/include
DATADIR     = $(PREFIX)/share/prlx
DOCDIR      = $(PREFIX)/share/doc/prlx
MANDIR      = $(PREFIX)/share/man/man1
VERSION    := $(shell sed -n 's/^.define PRLX_VERSION "\(.*\)"/\1/p' prlx.h)
SONAME      = libprlx.so.$(firstword $(subst ., ,$(VERSION)))
OBJCOPY    ?= objcopy

# ---- the library. Two objects of it are its own: one knows where it will be installed
# (PRLX_DATADIR; it alone is compiled again for another PREFIX), one whether it has CUDA. ----
LIB_DATA   = $(BUILD)/models/store/datapath.lib.o
LIB_DEVICE = $(BUILD)/models/api/api_device.lib.o
LIB_OBJ    = $(filter-out $(LIB_DATA:.lib.o=.o) $(LIB_DEVICE:.lib.o=.o),$(LIBOBJ)) \
             $(LIB_DATA) $(LIB_DEVICE) $(CUDAOBJ)
PREFIX_OF  = $(BUILD)/prefix
$(PREFIX_OF): FORCE
	@mkdir -p $(@D); echo '$(PREFIX)' | cmp -s - $@ || echo '$(PREFIX)' >$@
$(LIB_DATA): models/store/datapath.c $(PREFIX_OF) $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CFLAGS) $(ISADEF) -DPRLX_DATADIR='"$(DATADIR)"' -c -o $@ $<
$(LIB_DEVICE): EXTRA += $(if $(filter-out 0,$(CUDA)),-DPRLX_HAVE_CUDA)
$(LIB_DEVICE): models/api/api_device.c $(BUILD)/flags \
               $(BUILD)/cuda.$(if $(filter-out 0,$(CUDA)),on,off)
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CFLAGS) $(ISADEF) -c -o $@ $<

# One relocatable object in which all names but prlx_* are local: nothing of ours can clash with a
# name of the program that links it.
$(BUILD)/libprlx.a: $(LIB_OBJ)
	@rm -f $@; echo "$(CC) -r: $@"
	@$(CC) -r -nostdlib -o $(BUILD)/prlx-all.o $(LIB_OBJ)
	@$(OBJCOPY) --wildcard --keep-global-symbol='prlx_*' $(BUILD)/prlx-all.o
	@$(AR) rcs $@ $(BUILD)/prlx-all.o
$(BUILD)/libprlx.so: $(LIB_OBJ)
	@printf '{ global: prlx_*; local: *; };\n' >$(BUILD)/prlx.map; echo "$(CC) -shared: $@"
	@$(CC) $(CFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=$(BUILD)/prlx.map \
	  -o $@ $(LIB_OBJ) $(CUDA_LIBS) $(LDLIBS)
	@ln -sf libprlx.so $(BUILD)/$(SONAME)
lib: $(BUILD)/libprlx.a $(BUILD)/libprlx.so

# ---- installation ----
# The program that is installed finds its data there, too.
$(BUILD)/installed/prlx: $(if $(filter-out 0,$(MPI)),$(MPIOBJ),$(TOOLOBJ)) $(CUDAOBJ) $(LIB_DATA) \
                         $(BUILD)/librooms.a
	@mkdir -p $(@D); echo "$(CC): $@"
	@$(if $(filter-out 0,$(MPI)),$(MPICC),$(CC)) $(CFLAGS) -o $@ $^ $(CUDA_LIBS) $(LDLIBS)
$(BUILD)/installed/prlx.pc: tools/make/prlx.pc.in prlx.h $(PREFIX_OF)
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	  -e 's|@PRIVATE@|$(CUDA_LIBS) $(LDLIBS)|' $< >$@

INSTALL_DATA := $(wildcard data/*)
INSTALL_DOCS := LICENSE NOTICE README.md $(wildcard CHANGELOG.md)
INSTALL_EX   := $(wildcard docs/examples/*)
INSTALL_PAPER = $(wildcard paper/*.tsv paper/*.txt)
D             = $(DESTDIR)
install: lib $(BUILD)/installed/prlx $(BUILD)/installed/prlx.pc man
	@mkdir -p "$D$(BINDIR)" "$D$(LIBDIR)/pkgconfig" "$D$(INCLUDEDIR)" "$D$(DATADIR)/data" \
	  "$D$(DATADIR)/paper" "$D$(DOCDIR)/examples" "$D$(MANDIR)"
	install -m 755 $(BUILD)/installed/prlx "$D$(BINDIR)/prlx"
	install -m 644 prlx.h "$D$(INCLUDEDIR)/prlx.h"
	install -m 644 $(BUILD)/libprlx.a "$D$(LIBDIR)/libprlx.a"
	install -m 755 $(BUILD)/libprlx.so "$D$(LIBDIR)/libprlx.so.$(VERSION)"
	ln -sf libprlx.so.$(VERSION) "$D$(LIBDIR)/$(SONAME)"
	ln -sf $(SONAME) "$D$(LIBDIR)/libprlx.so"
	install -m 644 $(BUILD)/installed/prlx.pc "$D$(LIBDIR)/pkgconfig/prlx.pc"
	install -m 644 $(INSTALL_DATA) "$D$(DATADIR)/data"
	install -m 644 $(INSTALL_PAPER) "$D$(DATADIR)/paper"
	install -m 644 $(INSTALL_DOCS) "$D$(DOCDIR)"
	$(if $(INSTALL_EX),install -m 644 $(INSTALL_EX) "$D$(DOCDIR)/examples")
	install -m 644 $(BUILD)/man/*.1 "$D$(MANDIR)"
uninstall:
	rm -f "$D$(BINDIR)/prlx" "$D$(INCLUDEDIR)/prlx.h" "$D$(LIBDIR)/libprlx.a" \
	  "$D$(LIBDIR)/libprlx.so" "$D$(LIBDIR)/$(SONAME)" "$D$(LIBDIR)/libprlx.so.$(VERSION)" \
	  "$D$(LIBDIR)/pkgconfig/prlx.pc" "$D$(MANDIR)/prlx.1" "$D$(MANDIR)"/prlx-*.1
	rm -rf "$D$(DATADIR)" "$D$(DOCDIR)"

# ---- man pages, from the help texts ----
man: $(BUILD)/man/prlx.1
$(BUILD)/man/prlx.1: $(BUILD)/prlx tools/make/man.awk tools/make/man.sh prlx.h
	@sh tools/make/man.sh $(BUILD)/prlx $(VERSION) $(@D)

# ---- one file for everybody ----
ONE = $(BUILD)/prlx-amalgamation
amalgamation: $(ONE)/prlx.c
$(ONE)/prlx.c: $(LIBOBJ) prlx.h LICENSE docs/examples/shell.c tools/make/amalgamation.sh \
               tools/make/amalgamation.awk
	@sh tools/make/amalgamation.sh $(BUILD) $(VERSION) $(@D)
	@echo "$(@D): $$(wc -l <$@) lines; cc -O3 prlx.c shell.c -lm -lpthread"
# For the test: its three files alone in an empty folder, and that command.
# By its one command; under sanitizers as the program, whose bits it must give: they depend on -O.
ONE_FLAGS = $(if $(findstring -fsanitize,$(CFLAGS)),$(CFLAGS),-O3)
$(BUILD)/one/prlx-shell: $(ONE)/prlx.c
	@rm -rf $(@D); mkdir -p $(@D); cp $(ONE)/prlx.c $(ONE)/prlx.h $(ONE)/shell.c $(@D)
	cd $(@D) && $(CC) $(ONE_FLAGS) prlx.c shell.c -lm -lpthread -o prlx-shell

# ---- the tarball: from the commit, so that order, owners, modes and times are its own ----
DIST = prlx-$(VERSION)
dist:
	@git rev-parse -q --verify HEAD >/dev/null 2>&1 || { \
	  echo "make dist: not in a git checkout; the tarball is made from a commit"; exit 1; }
	@mkdir -p $(BUILD)
	@git -c tar.umask=0022 archive --format=tar --prefix=$(DIST)/ HEAD | gzip -9n \
	  >$(BUILD)/$(DIST).tar.gz
	@echo "$(BUILD)/$(DIST).tar.gz: $$(git rev-parse --short HEAD)," \
	  "$$(wc -c <$(BUILD)/$(DIST).tar.gz) bytes"
distcheck: dist
	rm -rf $(BUILD)/dist && mkdir -p $(BUILD)/dist
	tar -xzf $(BUILD)/$(DIST).tar.gz -C $(BUILD)/dist
	cd $(BUILD)/dist/$(DIST) && GIT_DIR=/nowhere $(MAKE) BUILD=build test
	rm -rf $(BUILD)/dist

test test-long: lib $(BUILD)/one/prlx-shell
.PHONY: lib install uninstall man amalgamation dist distcheck
