# Millrace.  `make help` lists what there is to make.

BUILD     ?= build

# make V=1 shows the commands
Q         := $(if $(V),,@)

CACHE     := .cache
ifeq ($(origin CC),default)
CC        := gcc
endif
WARNINGS  := -Wall -Wextra -Wshadow -Wconversion -Werror
OPTIMISE  ?= -O2
CPPFLAGS  += -D_GNU_SOURCE -Iinclude
CFLAGS    += -std=gnu11 -g -fPIC -pthread $(OPTIMISE) $(WARNINGS)
LDFLAGS   += -pthread

# make BUILD=build-asan SANITIZE=1 ..., or in short: make asan
ifdef SANITIZE
OPTIMISE  := -O1
CFLAGS    += -fsanitize=address,undefined -fno-sanitize-recover=undefined \
             -fno-omit-frame-pointer
LDFLAGS   += -fsanitize=address,undefined
export SANITIZE
endif

# make BUILD=build-tsan TSAN=1 ...: for the daemons alone.  make tsan tests them.
ifdef TSAN
CFLAGS    += -fsanitize=thread -fno-omit-frame-pointer
LDFLAGS   += -fsanitize=thread
TSAN_OBJ  := $(BUILD)/tests/tsan/c11threads.o
endif

# make BUILD=build-analyzer ANALYZER=1 ...: gcc follows the paths of a function.
# It loses sight of what is stored in an element of an array, and calls it a
# leak; LeakSanitizer looks for those in every test.
ifdef ANALYZER
CFLAGS    += -fanalyzer -Wno-analyzer-malloc-leak
endif

# Negative controls: make fault-NAME builds programs that lack one safeguard,
# MR_FAULT_<NAME>, into build-fault-NAME/.  A test that watches over the
# safeguard must fail on them; nothing else may ever run them.  (no-windows is
# none: bench-stats measures with it what the windows cost.)
ifdef FAULT
ifneq ($(BUILD),build-fault-$(FAULT))
$(error FAULT=$(FAULT) is for tests alone: make fault-$(FAULT))
endif
fault_define := -DMR_FAULT_$(shell echo $(FAULT) | tr a-z- A-Z_)
CPPFLAGS  += $(fault_define)
export fault_define
endif

PACKAGES  := rdkafka libmongoc-1.0 jansson libmicrohttpd inih libxxhash zlib \
             libzstd
DEP_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
DEP_LIBS   := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lm
CPPFLAGS  += $(patsubst -I%,-isystem %,$(filter -I%,$(DEP_CFLAGS))) \
             $(filter -D%,$(DEP_CFLAGS))

# yyjson: upstream's source in YYJSON_DIR where that is set, else the system's
# library where there is one, else upstream's source in .cache.
ifeq ($(YYJSON_DIR),)
YYJSON_LIBS := $(shell pkg-config --libs yyjson 2>/dev/null)
endif
ifeq ($(YYJSON_LIBS),)
YYJSON_SRC := $(or $(YYJSON_DIR),$(CACHE)/yyjson)
CPPFLAGS  += -isystem $(YYJSON_SRC)
YYJSON_OBJ := $(BUILD)/yyjson.o
endif

DAEMONS   := setup writer stats query audit erase
BINARIES  := $(DAEMONS:%=$(BUILD)/millrace-%)

core_obj   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard core/*.c))
common_obj := $(patsubst %.c,$(BUILD)/%.o,$(wildcard workers/common/*.c))
obj_of      = $(patsubst %.c,$(BUILD)/%.o,$(wildcard workers/$(1)/*.c))
main_of     = $(BUILD)/workers/$(1)/main.o

# Objects depend on the flags, programs on the list of their sources: a file
# that holds them, written only when they have changed.
FLAGS := $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(DEP_LIBS)
define remember
$(shell mkdir -p $(BUILD); printf '%s\n' '$(2)' | cmp -s - $(BUILD)/$(1) || \
    printf '%s\n' '$(2)' > $(BUILD)/$(1))
endef
ifneq ($(filter clean help run up down deps test test-all,$(MAKECMDGOALS)),)
else
$(call remember,flags,$(FLAGS))
$(call remember,sources,$(sort $(wildcard core/*.c workers/*/*.c \
    tests/unit/*/*.c)))
endif


.PHONY: all daemons module units asan tsan
all: daemons module
daemons: $(BINARIES)

$(BUILD)/libmrcore.a: $(core_obj) $(YYJSON_OBJ) $(BUILD)/sources
	@rm -f $@
	$(Q)$(AR) rcs $@ $(filter %.o,$^)

$(BUILD)/libmrcommon.a: $(common_obj) $(BUILD)/sources
	@rm -f $@
	$(Q)$(AR) rcs $@ $(filter %.o,$^)

define daemon_rule
$(BUILD)/millrace-$(1): $(call obj_of,$(1)) $(BUILD)/libmrcommon.a \
    $(BUILD)/libmrcore.a $(TSAN_OBJ) $(BUILD)/sources
	@echo '  LINK $$@'
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$(filter %.o %.a,$$^) $$(DEP_LIBS) \
	    $$(YYJSON_LIBS)
endef
$(foreach d,$(DAEMONS),$(eval $(call daemon_rule,$(d))))

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(dir $@)
	@echo '  CC   $@'
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Loops over 16,384 bytes, which -O2 does a byte at a time.
ifndef SANITIZE
$(BUILD)/core/hll.o $(BUILD)/core/hll_bytes.o: CFLAGS += -O3
endif

$(BUILD)/yyjson.o: $(YYJSON_SRC)/yyjson.c
	@mkdir -p $(dir $@)
	@echo '  CC   $@'
	$(Q)$(CC) -std=gnu11 -g -O3 -fPIC -c -o $@ $<

# Unit tests: tests/unit/<part>/*.c become one Check program a part, linked
# with that part without its main().
UNIT_PARTS := $(notdir $(patsubst %/,%,$(wildcard tests/unit/*/)))
UNITS      := $(UNIT_PARTS:%=$(BUILD)/check_%)
CHECK_LIBS := $(shell pkg-config --libs check 2>/dev/null)

define unit_rule
$(BUILD)/check_$(1): $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/unit/$(1)/*.c)) \
    $(filter-out $(call main_of,$(1)),$(call obj_of,$(1))) \
    $(BUILD)/libmrcommon.a $(BUILD)/libmrcore.a $(TSAN_OBJ) $(BUILD)/sources
	@echo '  LINK $$@'
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$(filter %.o %.a,$$^) $$(DEP_LIBS) \
	    $$(YYJSON_LIBS) $$(CHECK_LIBS)
endef
$(foreach p,$(UNIT_PARTS),$(eval $(call unit_rule,$(p))))

$(BUILD)/tests/%.o: CPPFLAGS += -Iworkers

# What a test of the integration runs beside the daemons.
$(BUILD)/restarts: $(BUILD)/tests/integration/harness/restarts.o \
    $(BUILD)/libmrcommon.a $(BUILD)/libmrcore.a $(TSAN_OBJ)
	@echo '  LINK $@'
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(DEP_LIBS) $(YYJSON_LIBS)

.PHONY: units-built
units-built: $(UNITS) $(BUILD)/restarts

# Check ends a test after four seconds, which one that takes a tenth of a
# second can need on a machine that is busy with other things.
#
# With sanitizers a program's tests run in one process: looking for leaks at
# the end of a process takes longer than most tests.  A crash ends the program
# then, and says where.  What is tested of getopt() and signals is state of a
# process, and needs one a test.
units: export CK_DEFAULT_TIMEOUT = 60
units: $(UNITS)
	@set -e; for u in $(UNITS); do \
	    case $(SANITIZE)$$u in \
	    1*/check_common) $$u ;; \
	    1*) CK_FORK=no $$u ;; \
	    *) $$u ;; \
	    esac; \
	done

include loadtest/loadtest.mk

# The core by itself: how fast it is, and what it makes of random bytes.
.PHONY: bench-core fuzz fuzz-short
bench-core: $(BUILD)/bench_core
	@$<

$(BUILD)/bench_core: $(BUILD)/loadtest/bench_core.o $(BUILD)/libmrcore.a
	$(CC) $(LDFLAGS) -o $@ $^ $(DEP_LIBS) $(YYJSON_LIBS)

FUZZ       := event batch inflate sketch query cursor config block
FUZZ_TIME  ?= 30
FUZZ_FLAGS := -std=gnu11 -g -O1 -fno-omit-frame-pointer \
              -fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZ_CORE  := $(patsubst $(BUILD)/%,$(BUILD)/fuzz/%,$(core_obj) $(YYJSON_OBJ))
FUZZ_OBJ   := $(FUZZ_CORE) $(patsubst %,$(BUILD)/fuzz/workers/query/%.o, \
                  accept cursor key params plan)
FUZZ_WRITER := $(patsubst %.c,$(BUILD)/fuzz/%.o, \
                   $(wildcard workers/common/options*.c) \
                   $(addprefix workers/common/, \
                       layout.c listen.c times.c window.c) \
                   $(addprefix workers/writer/,accounts.c arena.c block.c \
                       bson_write.c cells.c dedup.c encode.c flush.c ledger.c \
                       partials.c partition.c plan.c span.c types.c))
$(BUILD)/fuzz/tests/%.o: CPPFLAGS += -Iworkers

$(BUILD)/fuzz/%.o: %.c $(BUILD)/flags
	@mkdir -p $(dir $@)
	clang $(CPPFLAGS) $(FUZZ_FLAGS) $(WARNINGS) -fsanitize=fuzzer-no-link \
	    -MMD -MP -c -o $@ $<

# yyjson without UBSan, which takes minutes to compile.
$(BUILD)/fuzz/yyjson.o: $(YYJSON_SRC)/yyjson.c
	@mkdir -p $(dir $@)
	clang -std=gnu11 -g -O1 -fsanitize=address,fuzzer-no-link -c -o $@ $<

.SECONDARY: $(FUZZ_OBJ) $(FUZZ_WRITER) $(FUZZ:%=$(BUILD)/fuzz/tests/fuzz/fuzz_%.o)

$(BUILD)/fuzz_config $(BUILD)/fuzz_block: $(BUILD)/fuzz_%: \
    $(BUILD)/fuzz/tests/fuzz/fuzz_%.o $(FUZZ_CORE) $(FUZZ_WRITER)
	clang $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(DEP_LIBS) $(YYJSON_LIBS)

$(BUILD)/fuzz_%: $(BUILD)/fuzz/tests/fuzz/fuzz_%.o $(FUZZ_OBJ)
	clang $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(DEP_LIBS) $(YYJSON_LIBS)

# FUZZ_TIME seconds each; a corpus that grew stays in $(BUILD)/corpus.
fuzz:
	@$(MAKE) --no-print-directory fuzz-short FUZZ_TIME=600

fuzz-short: $(FUZZ:%=$(BUILD)/fuzz_%)
	@set -e; for f in $(FUZZ); do \
	    mkdir -p $(BUILD)/corpus/$$f; \
	    echo "fuzz: $$f"; \
	    $(BUILD)/fuzz_$$f -max_total_time=$(FUZZ_TIME) -max_len=4096 \
	        -timeout=10 -verbosity=0 -print_final_stats=1 \
	        -artifact_prefix=$(BUILD)/ \
	        $(BUILD)/corpus/$$f tests/fuzz/corpus/$$f; \
	done

# Long runs with faults, on one server of each kind and on three.
.PHONY: chaos
chaos: all loadtest
	@.cache/venv/bin/python tests/chaos/suite.py

# Ten times the load that the machine takes, for OVERLOAD_SECONDS.
.PHONY: overload
OVERLOAD_SECONDS ?= 300
overload: all loadtest
	@.cache/venv/bin/python tests/chaos/overload.py -b $(BUILD) \
	    --seconds $(OVERLOAD_SECONDS) $(OVERLOAD_FLAGS)

# The nginx module, against the installed nginx's own source and flags.
module:
	@scripts/build-module $(BUILD)

asan:
	$(MAKE) BUILD=build-asan SANITIZE=1 all

tsan:
	@scripts/test-tsan

.PHONY: valgrind
valgrind: module
	@scripts/test-valgrind

.PHONY: analyze flags
analyze:
	@scripts/analyze

# What a compiler has to know, for other programs that read C.
flags:
	@echo '$(CPPFLAGS)'

# What a fault concerns, where that is less than everything.
fault_makes_no-ledger-guard := daemons
fault_makes_no-dedup := daemons
fault_makes_no-ack-wait := module
fault_makes_no-windows := daemons

fault-%:
	$(MAKE) BUILD=build-fault-$* FAULT=$* $(or $(fault_makes_$*),all)


# Two commands: `make run` to see it, `make test` to trust it.
.PHONY: run up down status test test-all deps
run:
	@scripts/install run
	@$(MAKE) --no-print-directory all
	@scripts/run.py -b $(BUILD)

up:
	@scripts/install run
	@$(MAKE) --no-print-directory all
	@scripts/stack.py -b $(BUILD) up

down status:
	@scripts/stack.py -b $(BUILD) $@

deps:
	@scripts/install test

test:
	@scripts/install test
	@scripts/test

test-all:
	@scripts/install all
	@scripts/test all

# The module with the nginx of Debian 13 (1.26) and of sid (1.30).
.PHONY: test-nginx
test-nginx:
	@scripts/install all
	@$(MAKE) --no-print-directory daemons
	@scripts/test-nginx trixie sid


# The part of docs/configuration.md that the code itself tells.
.PHONY: docs
docs: $(BUILD)/millrace-writer
	@{ sed '/^<!-- generated -->$$/q' docs/configuration.md; echo; \
	    $< --document; } > $(BUILD)/configuration.md
	@mv $(BUILD)/configuration.md docs/configuration.md


# Debian packages, into $(BUILD)/packages.
.PHONY: packages
packages:
	@scripts/install packages
	@scripts/packages $(BUILD)/packages


.PHONY: lint format clean help
lint:
	@scripts/lint.py

format:
	clang-format -i $(wildcard include/millrace/*.h core/*.[ch] \
	    ngx_module/*.[ch] workers/*/*.[ch] tests/unit/*/*.[ch])

clean:
	@if [ -d run ]; then scripts/stack.py down; fi
	rm -rf run build build-*

help:
	@echo 'make run       install, build, start all, feed real data, then'
	@echo '               a minute of live events; up until Ctrl-C'
	@echo 'make up        start all in the background; make down, make status'
	@echo 'make test      units, lint, sanitizers, integration on real servers'
	@echo 'make test-all  the same and what takes longer'
	@echo 'make test-nginx  the module with other versions of nginx'
	@echo 'make           build the module and the daemons into $(BUILD)/'
	@echo 'make asan      the same with ASan and UBSan into build-asan/'
	@echo 'make tsan      the daemons under ThreadSanitizer, built and tested'
	@echo 'make valgrind  nginx with the module under valgrind'
	@echo 'make analyze   cppcheck, gcc -fanalyzer and clang-tidy'
	@echo 'make units     build and run the unit tests'
	@echo 'make bench-core  how fast the core is; make fuzz-short  fuzz it'
	@echo 'make bench     every benchmark, then a table of what they found'
	@echo 'make bench-ingest  POST /events beside librdkafka, Go and return 204'
	@echo 'make bench-stats  what the windows cost, and how fresh they are'
	@echo 'make bench-pipeline  the highest rate that all parts together hold'
	@echo 'make bench-storage  the writer beside its limit and MongoDB'"'"'s'
	@echo '               connector, then queries; make bench-query  these alone'
	@echo 'make chaos     break things under load for half an hour, and audit'
	@echo 'make overload  ten times too much load for five minutes, and audit'
	@echo 'make docs      write docs/configuration.md from the code'
	@echo 'make packages  Debian packages into $(BUILD)/packages'
	@echo 'make lint      format, banned functions, include rules, sizes'
	@echo 'make format    clang-format over all of it'
	@echo 'make deps      install all that building and testing needs'
	@echo 'make clean     stop what make up started, forget builds and data'

-include $(shell find $(BUILD) -path $(BUILD)/packages -prune -o \
    -type f -name '*.d' -print 2>/dev/null)
