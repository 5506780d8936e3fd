/* A kernel's stand-in: an EFI program that measures what a kernel would, tells what was measured, and ends the machine.
 *
 * It has no relocations and no variables outside functions, so that any loader can place it. Structures are declared as
 * far as they are used; sources: UEFI 2.10, 4.3 to 4.6, 9.1 and 13.2; TCG, "EFI Protocol Specification", 6. */

#include "report.h"

#define EFIAPI __attribute__((ms_abi))
#define DEBUG_PORT 0xE9

typedef u64 status;
typedef struct {
	u32 a;
	u16 b, c;
	u8 d[8];
} guid;

struct boot_services {
	u8 header[24];
	void *before_allocate_pool[5];
	status(EFIAPI *allocate_pool)(u32 type, u64 size, void **buffer);
	void *before_handle_protocol[10];
	status(EFIAPI *handle_protocol)(void *handle, const guid *protocol, void **interface);
	void *before_locate_device_path[3];
	status(EFIAPI *locate_device_path)(const guid *protocol, const void **path, void **handle);
	void *before_locate_protocol[16];
	status(EFIAPI *locate_protocol)(const guid *protocol, void *registration, void **interface);
};

struct runtime_services {
	u8 header[24];
	void *before_get_variable[6];
	status(EFIAPI *get_variable)(u16 *name, const guid *vendor, u32 *attributes, u64 *size, void *data);
	status(EFIAPI *get_next_variable_name)(u64 *size, u16 *name, guid *vendor);
	void *before_reset_system[2];
	void(EFIAPI *reset_system)(u32 type, status status, u64 size, void *data);
};

struct system_table {
	u8 header[24];
	u16 *vendor;
	u64 revision;
	void *consoles[6];
	struct runtime_services *runtime;
	struct boot_services *boot;
	u64 table_count;
	struct {
		guid vendor;
		u8 *table;
	} *tables;
};

struct loaded_image {
	u32 revision;
	void *parent, *system, *device, *path, *reserved;
	u32 options_size;
	void *options;
};

struct load_file {
	status(EFIAPI *load)(struct load_file *, const void *path, u8 boot_policy, u64 *size, void *buffer);
};

struct tcg2_event {
	u32 size, header_size;
	u16 header_version;
	u32 pcr, type, tag, data_size;
	char data[32];
} __attribute__((packed));

struct tcg2 {
	void *get_capability;
	status(EFIAPI *get_event_log)(struct tcg2 *, u32 format, u64 *first, u64 *last, u8 *truncated);
	status(EFIAPI *hash_log_extend_event)(struct tcg2 *, u64 flags, u64 data, u64 size, struct tcg2_event *);
	status(EFIAPI *submit_command)(struct tcg2 *, u32 size, const u8 *command, u32 answer_size, u8 *answer);
};

static void emit(struct report *report, const u8 *data, u64 size)
{
	(void)report;
	for (u64 i = 0; i < size; i++)
		__asm__ volatile("outb %0, %1" : : "a"(data[i]), "Nd"((u16)DEBUG_PORT));
}

static int equal(const guid *one, const guid *other)
{
	const u8 *a = (const u8 *)one, *b = (const u8 *)other;

	for (u64 i = 0; i < sizeof *one; i++)
		if (a[i] != b[i])
			return 0;
	return 1;
}

static u32 number(const u8 *bytes, int size)
{
	u32 value = 0;

	while (size--)
		value = value << 8 | bytes[size];
	return value;
}

/* Size of the last event of a crypto-agile log (TCG, "PC Client Platform Firmware Profile", 10.2.2). */
static u64 event_size(const u8 *event)
{
	u32 count = number(event + 8, 4);
	u64 at = 12;

	while (count--)
		switch (number(event + at, 2)) {
		case 0x4: at += 2 + 20; break;
		case 0xB:
		case 0x12: at += 2 + 32; break;
		case 0xC: at += 2 + 48; break;
		case 0xD: at += 2 + 64; break;
		default: return 0;
		}
	return at + 4 + number(event + at, 4);
}

static void tell_log(struct report *report, struct tcg2 *tpm)
{
	u64 first = 0, last = 0, size;
	u8 truncated = 0;

	if (tpm->get_event_log(tpm, 2, &first, &last, &truncated) || !first || last <= first)
		return;
	size = event_size((const u8 *)last);
	if (size)
		record(report, truncated ? "truncated-log" : "log", (const void *)first, last - first + size);
}

/* TPM2_PCR_Read of one register: its digest stands at the end of the answer, of known size. */
static void tell_register(struct report *report, struct tcg2 *tpm, const char *bank, u16 algorithm, u32 size, u32 pcr)
{
	u8 command[20] = {0x80, 1, 0, 0, 0, 20, 0, 0, 1, 0x7E, 0, 0, 0, 1, 0, algorithm, 3};
	u8 answer[128] = {0};
	char name[32] = "pcr/";
	const u32 head = 30; /* 10 of the answer, 4 of the counter, 10 of the selection, 4 of the list, 2 of the digest */

	command[17 + pcr / 8] = 1 << pcr % 8;
	if (tpm->submit_command(tpm, sizeof command, command, sizeof answer, answer) || number(answer + 6, 4))
		return;
	if (answer[5] != head + size || answer[4])
		return;
	append(name, bank, sizeof name);
	append(name, "/", sizeof name);
	append_number(name, pcr, sizeof name);
	record(report, name, answer + head, size);
}

static void tell_registers(struct report *report, struct tcg2 *tpm)
{
	for (u32 pcr = 0; pcr < 24; pcr++) {
		tell_register(report, tpm, "sha1", 0x4, 20, pcr);
		tell_register(report, tpm, "sha256", 0xB, 32, pcr);
		tell_register(report, tpm, "sha384", 0xC, 48, pcr);
		tell_register(report, tpm, "sha512", 0xD, 64, pcr);
	}
}

/* The SMBIOS table, through either of its entry points (DMTF DSP0134, 5.2). */
static void tell_smbios(struct report *report, struct system_table *system)
{
	const guid wide = {0xF2FD1544, 0x9794, 0x4A2C, {0x99, 0x2E, 0xE5, 0xBB, 0xCF, 0x20, 0xE3, 0x94}};
	const guid narrow = {0xEB9D2D31, 0x2D88, 0x11D3, {0x9A, 0x16, 0, 0x90, 0x27, 0x3F, 0xC1, 0x4D}};

	for (u64 i = 0; i < system->table_count; i++) {
		const u8 *entry = system->tables[i].table;

		if (equal(&system->tables[i].vendor, &wide))
			record(report, "smbios", *(u8 *const *)(entry + 16), number(entry + 12, 4));
		else if (equal(&system->tables[i].vendor, &narrow))
			record(report, "smbios", (const u8 *)(u64)number(entry + 24, 4), number(entry + 22, 2));
	}
}

/* The boot loader's variables, the stub's among them, and the hand-over program's; names and values are short. */
static void tell_variables(struct report *report, struct runtime_services *runtime)
{
	const guid loader = {0x4A67B082, 0x0A4C, 0x41CF, {0xB6, 0xC7, 0x44, 0x0B, 0x29, 0xBB, 0x8C, 0x4F}};
	const guid hand_over = {0x84314341, 0x6ACA, 0x468A, {0xA1, 0x75, 0x93, 0x6A, 0x76, 0x3E, 0x13, 0x4B}};
	u16 variable[512];
	u8 value[2048];
	guid vendor;

	variable[0] = 0;
	for (;;) {
		u64 size = sizeof variable, value_size = sizeof value;
		char name[256] = "variable/";
		u64 at = length(name);

		if (runtime->get_next_variable_name(&size, variable, &vendor))
			return;
		if (!equal(&vendor, &loader) && !equal(&vendor, &hand_over))
			continue;
		if (runtime->get_variable(variable, &vendor, 0, &value_size, value))
			continue;
		for (u64 i = 0; variable[i] && at < sizeof name - 1; i++)
			name[at++] = variable[i];
		name[at] = 0;
		record(report, name, value, value_size);
	}
}

/* Measures into PCR 9 as Linux does (drivers/firmware/efi/libstub/efi-stub-helper.c). */
static void measure(struct tcg2 *tpm, const void *data, u64 size, u32 tag, const char *words)
{
	struct tcg2_event event = {0};

	append(event.data, words, sizeof event.data);
	event.header_size = 14;
	event.header_version = 1;
	event.pcr = 9;
	event.type = 6; /* EV_EVENT_TAG */
	event.tag = tag;
	event.data_size = length(words) + 1;
	event.size = 4 + event.header_size + 8 + event.data_size;
	tpm->hash_log_extend_event(tpm, 0, (u64)data, size, &event);
}

/* The initrd that the stub offers (Linux, Documentation/arch/x86/boot.rst, and LINUX_EFI_INITRD_MEDIA_GUID). */
static void measure_initrd(struct boot_services *boot, struct tcg2 *tpm)
{
	const guid load_file2 = {0x4006C0C1, 0xFCB3, 0x403E, {0x99, 0x6D, 0x4A, 0x6C, 0x87, 0x24, 0xE0, 0x6D}};
	const struct {
		u8 type, subtype, size, high;
		guid vendor;
		u8 end[4];
	} path = {4, 3, 20, 0, {0x5568E427, 0x68FC, 0x4F3D, {0xAC, 0x74, 0xCA, 0x55, 0x52, 0x31, 0xCC, 0x68}},
		  {0x7F, 0xFF, 4, 0}};
	const void *rest = &path;
	struct load_file *file;
	void *handle, *initrd;
	u64 size = 0;

	if (boot->locate_device_path(&load_file2, &rest, &handle) ||
	    boot->handle_protocol(handle, &load_file2, (void **)&file))
		return;
	file->load(file, rest, 0, &size, 0);
	if (!size || boot->allocate_pool(2, size, &initrd) || file->load(file, rest, 0, &size, initrd))
		return;
	measure(tpm, initrd, size, 0x8F3B22EC, "Linux initrd");
}

status EFIAPI efi_main(void *handle, struct system_table *system)
{
	const guid image_protocol = {0x5B1B31A1, 0x9562, 0x11D2, {0x8E, 0x3F, 0, 0xA0, 0xC9, 0x69, 0x72, 0x3B}};
	const guid tcg2_protocol = {0x607F766C, 0x7455, 0x42BE, {0x93, 0x0B, 0xE4, 0xD7, 0x6D, 0xB2, 0x72, 0x0F}};
	struct report report = {0};
	struct loaded_image *image = 0;
	struct tcg2 *tpm = 0;

	if (system->boot->locate_protocol(&tcg2_protocol, 0, (void **)&tpm))
		tpm = 0;
	begin(&report);
	record(&report, "program", "efi", 3);
	if (!system->boot->handle_protocol(handle, &image_protocol, (void **)&image)) {
		record(&report, "options", image->options, image->options_size);
		if (tpm && image->options_size)
			measure(tpm, image->options, image->options_size, 0x8F3B22ED, "LOADED_IMAGE::LoadOptions");
	}
	if (tpm)
		measure_initrd(system->boot, tpm);
	tell_smbios(&report, system);
	tell_variables(&report, system->runtime);
	if (tpm) {
		tell_log(&report, tpm);
		tell_registers(&report, tpm);
	}
	finish(&report);
	system->runtime->reset_system(2, 0, 0, 0); /* shut down */
	for (;;)
		;
}
