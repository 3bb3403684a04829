# Millrace.  `make help` lists what there is to make.

BUILD     ?= build
CACHE     := .cache
CC        ?= gcc
WARNINGS  := -Wall -Wextra -Wshadow -Wconversion -Werror
OPTIMISE  ?= -O2
CPPFLAGS  += -D_GNU_SOURCE -Iinclude
CFLAGS    += -std=gnu11 -g -fPIC -pthread $(OPTIMISE) $(WARNINGS)
LDFLAGS   += -pthread

# make BUILD=build-asan SANITIZE=1 ...
ifdef SANITIZE
OPTIMISE  := -O1
CFLAGS    += -fsanitize=address,undefined -fno-sanitize-recover=undefined \
             -fno-omit-frame-pointer
LDFLAGS   += -fsanitize=address,undefined
endif

PACKAGES  := rdkafka libmongoc-1.0 jansson libmicrohttpd inih libxxhash zlib \
             libzstd
DEP_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
DEP_LIBS   := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lm
CPPFLAGS  += $(patsubst -I%,-isystem %,$(filter -I%,$(DEP_CFLAGS))) \
             $(filter -D%,$(DEP_CFLAGS))

# yyjson: the system's where there is one, else upstream's source.
YYJSON_LIBS := $(shell pkg-config --libs yyjson 2>/dev/null)
ifeq ($(YYJSON_LIBS),)
CPPFLAGS  += -isystem $(CACHE)/yyjson
YYJSON_OBJ := $(BUILD)/yyjson.o
endif

DAEMONS   := setup writer stats query
BINARIES  := $(DAEMONS:%=$(BUILD)/millrace-%)

core_obj   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard core/*.c))
common_obj := $(patsubst %.c,$(BUILD)/%.o,$(wildcard workers/common/*.c))
obj_of      = $(patsubst %.c,$(BUILD)/%.o,$(wildcard workers/$(1)/*.c))
main_of     = $(BUILD)/workers/$(1)/main.o


.PHONY: all daemons module check units
all: daemons module
daemons: $(BINARIES)

$(BUILD)/libmrcore.a: $(core_obj) $(YYJSON_OBJ)
	$(AR) rcs $@ $^

$(BUILD)/libmrcommon.a: $(common_obj)
	$(AR) rcs $@ $^

define daemon_rule
$(BUILD)/millrace-$(1): $(call obj_of,$(1)) $(BUILD)/libmrcommon.a \
    $(BUILD)/libmrcore.a
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(DEP_LIBS) $$(YYJSON_LIBS)
endef
$(foreach d,$(DAEMONS),$(eval $(call daemon_rule,$(d))))

$(BUILD)/%.o: %.c
	@mkdir -p $(dir $@)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/yyjson.o: $(CACHE)/yyjson/yyjson.c
	@mkdir -p $(dir $@)
	$(CC) -std=gnu11 -g -O3 -fPIC -c -o $@ $<

# Unit tests: tests/unit/<part>/*.c become one Check program a part, linked
# with that part without its main().
UNIT_PARTS := $(notdir $(patsubst %/,%,$(wildcard tests/unit/*/)))
UNITS      := $(UNIT_PARTS:%=$(BUILD)/check_%)
CHECK_LIBS := $(shell pkg-config --libs check 2>/dev/null)

define unit_rule
$(BUILD)/check_$(1): $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/unit/$(1)/*.c)) \
    $(filter-out $(call main_of,$(1)),$(call obj_of,$(1))) \
    $(BUILD)/libmrcommon.a $(BUILD)/libmrcore.a
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(DEP_LIBS) $$(YYJSON_LIBS) $$(CHECK_LIBS)
endef
$(foreach p,$(UNIT_PARTS),$(eval $(call unit_rule,$(p))))

$(BUILD)/tests/%.o: CPPFLAGS += -Iworkers

units: $(UNITS)
	@set -e; for u in $(UNITS); do $$u; done

# The nginx module, against the installed nginx's own source and flags.
NGINX_SRC ?= /usr/share/nginx/src
module:
	scripts/build-module $(BUILD)

.PHONY: clean
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
