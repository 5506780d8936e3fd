/* A first program that tells what was measured before the kernel started, and ends the machine.
 *
 * It needs nothing from the initrd that it stands in, and no C library. */

#include "report.h"

#define DEBUG_PORT 0xE9
#define PORT_NAME "fuki.probe"
#define LOADER "-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f" /* of the boot loader's variables */
#define HAND_OVER "-84314341-6aca-468a-a175-936a763e134b" /* of the hand-over program's */

enum {
	READ = 0,
	WRITE = 1,
	OPEN = 2,
	CLOSE = 3,
	NANOSLEEP = 35,
	MKDIR = 83,
	MOUNT = 165,
	REBOOT = 169,
	IOPERM = 173,
	GETDENTS64 = 217,
};

enum { READ_ONLY = 0, WRITE_ONLY = 1, DIRECTORY = 0200000 };

static long call(long number, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
}

static int open_file(const char *path, int flags)
{
	return call(OPEN, (long)path, flags, 0, 0, 0);
}

/* Reads a whole file of at most `room` bytes; its size, or -1. */
static long read_file(const char *path, u8 *data, long room)
{
	int file = open_file(path, READ_ONLY);
	long size = 0, part;

	if (file < 0)
		return -1;
	while (size < room && (part = call(READ, file, (long)data + size, room - size, 0, 0)) > 0)
		size += part;
	call(CLOSE, file, 0, 0, 0, 0);
	return size;
}

/* To the virtual port, or where there is none to QEMU's debug port. */
static void emit(struct report *report, const u8 *data, u64 size)
{
	if (report->channel < 0) {
		for (u64 i = 0; i < size; i++)
			__asm__ volatile("outb %0, %1" : : "a"(data[i]), "Nd"((u16)DEBUG_PORT));
		return;
	}
	while (size) {
		long part = call(WRITE, report->channel, (long)data, size, 0, 0);

		if (part <= 0)
			return;
		data += part;
		size -= part;
	}
}

/* Calls `visit` with the name of each entry of a directory, until that returns non-zero. */
static int walk(const char *path, int (*visit)(struct report *, const char *), struct report *report)
{
	u8 entries[4096] __attribute__((aligned(8)));
	int directory = open_file(path, READ_ONLY | DIRECTORY);
	int found = 0;
	long size;

	while (directory >= 0 && !found && (size = call(GETDENTS64, directory, (long)entries, sizeof entries, 0, 0)) > 0)
		for (long at = 0; at < size && !found; at += *(u16 *)(entries + at + 16))
			found = visit(report, (char *)entries + at + 19);
	if (directory >= 0)
		call(CLOSE, directory, 0, 0, 0, 0);
	return found;
}

static int starts(const u8 *data, const char *text)
{
	while (*text)
		if (*data++ != (u8)*text++)
			return 0;
	return 1;
}

static int open_port(struct report *report, const char *name)
{
	char path[128] = "/sys/class/virtio-ports/", device[128] = "/dev/";
	u8 title[32] = {0};

	append(path, name, sizeof path);
	append(path, "/name", sizeof path);
	if (read_file(path, title, sizeof title - 1) <= 0 || !starts(title, PORT_NAME))
		return 0;
	append(device, name, sizeof device);
	report->channel = open_file(device, WRITE_ONLY);
	return report->channel >= 0;
}

static void tell_file(struct report *report, const char *name, const char *path)
{
	static u8 content[16 * 1024 * 1024];
	long size = read_file(path, content, sizeof content);

	if (size >= 0)
		record(report, name, content, size);
}

/* A variable's file has its attributes in front of the value (Documentation/filesystems/efivarfs.rst). */
static int tell_variable(struct report *report, const char *name)
{
	char path[512] = "/sys/firmware/efi/efivars/", title[512] = "variable/";
	u8 value[2048];
	long size, end = (long)length(name) - (long)sizeof LOADER + 1;

	if (end <= 0 || !(starts((const u8 *)name + end, LOADER) || starts((const u8 *)name + end, HAND_OVER)))
		return 0;
	append(path, name, sizeof path);
	append(title, name, length(title) + end + 1);
	size = read_file(path, value, sizeof value);
	if (size >= 4)
		record(report, title, value + 4, size - 4);
	return 0;
}

static int digit(u8 character)
{
	if (character >= 'A')
		return (character & ~0x20) - 'A' + 10;
	return character - '0';
}

/* A register as sysfs has it: hexadecimal digits and a line break (Documentation/ABI/testing/sysfs-class-tpm). */
static void tell_register(struct report *report, const char *bank, u32 pcr)
{
	char path[64] = "/sys/class/tpm/tpm0/pcr-", name[32] = "pcr/";
	u8 text[136], value[64];
	long size;

	append(path, bank, sizeof path);
	append(path, "/", sizeof path);
	append_number(path, pcr, sizeof path);
	append(name, bank, sizeof name);
	append(name, "/", sizeof name);
	append_number(name, pcr, sizeof name);
	size = read_file(path, text, sizeof text) / 2;
	if (size <= 0 || size > (long)sizeof value)
		return;
	for (long i = 0; i < size; i++)
		value[i] = digit(text[2 * i]) << 4 | digit(text[2 * i + 1]);
	record(report, name, value, size);
}

static void mount(const char *type, const char *path)
{
	call(MKDIR, (long)path, 0755, 0, 0, 0);
	call(MOUNT, (long)type, (long)path, (long)type, 0, 0);
}

/* Drivers may still be looking for the port: wait for it up to five seconds. */
static void find_channel(struct report *report)
{
	long tenth[2] = {0, 100 * 1000 * 1000};

	report->channel = -1;
	for (int i = 0; i < 50 && !walk("/sys/class/virtio-ports", open_port, report); i++)
		call(NANOSLEEP, (long)tenth, 0, 0, 0, 0);
	if (report->channel < 0)
		call(IOPERM, DEBUG_PORT, 1, 1, 0, 0);
}

__attribute__((used)) static void tell_all(void)
{
	static const char banks[][8] = {"sha1", "sha256", "sha384", "sha512"};
	struct report report;

	mount("sysfs", "/sys");
	mount("proc", "/proc");
	mount("devtmpfs", "/dev");
	mount("securityfs", "/sys/kernel/security");
	mount("efivarfs", "/sys/firmware/efi/efivars");
	find_channel(&report);
	begin(&report);
	record(&report, "program", "linux", 5);
	tell_file(&report, "cmdline", "/proc/cmdline");
	tell_file(&report, "smbios", "/sys/firmware/dmi/tables/DMI");
	walk("/sys/firmware/efi/efivars", tell_variable, &report);
	tell_file(&report, "log", "/sys/kernel/security/tpm0/binary_bios_measurements");
	for (u32 pcr = 0; pcr < 24; pcr++)
		for (u32 bank = 0; bank < sizeof banks / sizeof banks[0]; bank++)
			tell_register(&report, banks[bank], pcr);
	finish(&report);
	call(REBOOT, 0xFEE1DEAD, 0x28121969, 0x01234567, 0, 0);
	for (;;)
		;
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tand $-16, %rsp\n\tcall tell_all\n");
