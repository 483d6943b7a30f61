# labos.mk - the kernel and its user programs, part of images/Makefile.
LABOS_S = start table miss entry switch crypto_insn programs note
LABOS_C = main boot firmware memory lock thread timer trap errors interrupt cross cpu mdesc softstate console vm process \
  syscall suspend panic debugger shell commands calendar isainfo psrinfo prtconf dirty tally crypto crypto_soft crypto_units dr_memory dr_devices \
  drivers \
  link ldc vio vdisk disk_commands scribe label vnet network net_commands streams talk ds ds_services eeprom \
  $(addprefix net/,ether arp ipv4 icmp udp tcp tcp_input tcp_output tcp_receive ntp)
LABOS_USER = check clock crash hello hold spin
LABOS_OUT = $(OUT)/labos
LABOS_HEADERS = $(wildcard labos/*.h labos/*.def labos/net/*.h) lib/types.h lib/hcall.h
# No floating point in the kernel: the registers belong to user programs.
LABOS_FLAGS = $(filter-out -Ilib -Iprograms/bench,$(FLAGS)) -Ilib -Ilabos
# -g, for a debugger: the code is the same; the file with symbols is labos.elf.full.
LABOS_DEBUG =
LABOS_CFLAGS = $(LABOS_DEBUG) -O2 -mno-vis -mno-fpu -DFORMAT_INTEGERS_ONLY -std=gnu11 -Wall -Wextra -Wconversion -Wshadow -Werror $(LABOS_FLAGS)
LABOS_ASFLAGS = $(LABOS_DEBUG) -mcpu=niagara4 -Wa,-Av9m8 $(filter-out -mcpu=%,$(LABOS_FLAGS))
LABOS_O = $(LABOS_S:%=$(LABOS_OUT)/%.o) $(LABOS_C:%=$(LABOS_OUT)/%.o) $(LABOS_OUT)/lib/format.o $(LABOS_OUT)/lib/string.o

$(LABOS_OUT)/%.o: labos/%.S $(LABOS_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(LABOS_ASFLAGS) -c $< -o $@
$(LABOS_OUT)/%.o: labos/%.c $(LABOS_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(LABOS_CFLAGS) -c $< -o $@
$(LABOS_OUT)/lib/%.o: lib/%.c lib/types.h lib/runtime.h
	@mkdir -p $(@D)
	$(CC) $(LABOS_CFLAGS) -c $< -o $@
$(LABOS_OUT)/programs.o: $(LABOS_USER:%=$(LABOS_OUT)/user/%.bin)
$(LABOS_OUT)/programs.o: LABOS_ASFLAGS += -Wa,-I$(LABOS_OUT)/user

$(LABOS_OUT)/user/%.o: labos/user/%.c labos/user/user.h labos/syscalls.def lib/types.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Ilabos -Ilabos/user -c $< -o $@
$(LABOS_OUT)/user/start.o: labos/user/start.S
	@mkdir -p $(@D)
	$(CC) $(ASFLAGS) -c $< -o $@
$(LABOS_OUT)/user/%.elf: $(LABOS_OUT)/user/%.o $(LABOS_OUT)/user/start.o $(OUT)/lib/format.o $(OUT)/lib/string.o labos/user/user.ld
	$(CC) -static -nostdlib -no-pie -Wl,-T,labos/user/user.ld -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments $(filter %.o,$^) -o $@
$(LABOS_OUT)/user/%.bin: $(LABOS_OUT)/user/%.elf
	$(CROSS)objcopy -O binary $< $@

# Linked twice: the second time with the names of the functions of the first.
LABOS_LINK = $(CC) $(subst lib/link.ld,labos/labos.ld,$(LDFLAGS)) $(LABOS_O)
$(LABOS_OUT)/no_symbols.S: labos/symbols.awk
	@mkdir -p $(@D)
	awk -f labos/symbols.awk /dev/null > $@
$(LABOS_OUT)/first.elf: $(LABOS_O) $(LABOS_OUT)/no_symbols.S labos/labos.ld
	$(LABOS_LINK) $(LABOS_OUT)/no_symbols.S -o $@
$(LABOS_OUT)/symbols.S: $(LABOS_OUT)/first.elf
	$(CROSS)nm -n $< | awk -f labos/symbols.awk > $@
$(OUT)/labos.elf: $(LABOS_O) $(LABOS_OUT)/symbols.S labos/labos.ld
	$(LABOS_LINK) $(LABOS_OUT)/symbols.S -o $@.full && $(CROSS)strip -s $@.full -o $@

# For `sun4v gdb`: a folder of its own, since what is compiled differs by its debugging information.
labos-debug:
	$(MAKE) OUT=$(OUT)-debug LABOS_DEBUG=-g $(OUT)-debug/labos.elf
.PHONY: labos-debug
