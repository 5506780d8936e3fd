#define _GNU_SOURCE
#include "bench.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "../../../program/hand_over.h"
#include "../../../program/machine.h"

/* What the host is told of shared memory is not where the guest has it. */
#define DEVICE_OFFSET 0x100000000000ull
#define BUFFERS 64
#define DIRECTORY_KEY 0x19
#define FILE_KEY 0x2A

struct __attribute__((packed)) update {
	u16 version, status;
	u32 padding;
	u64 capabilities, control, address, size, opaque_address, opaque_size;
};

static struct {
	struct bench *bench;
	jmp_buf end;
	u16 selected;
	u64 offset, high, at_nonsense;
	struct {
		u8 *data;
		u64 pages;
		int mapped;
	} buffers[BUFFERS];
} now;

static u8 nonsense(void)
{
	return now.at_nonsense < now.bench->nonsense_size ? now.bench->nonsense[now.at_nonsense++] : 0xFF;
}

/* Memory */

static u8 *take_pages(u64 pages)
{
	for (int i = 0; i < BUFFERS && !now.bench->is_out_of_memory; i++) {
		if (now.buffers[i].data)
			continue;
		now.buffers[i].data = aligned_alloc(4096, pages * 4096);
		now.buffers[i].pages = pages;
		now.buffers[i].mapped = 0;
		memset(now.buffers[i].data, 0xA5, pages * 4096);
		now.bench->pages_left += pages;
		return now.buffers[i].data;
	}
	return 0;
}

static int find_buffer(const void *data)
{
	for (int i = 0; i < BUFFERS; i++)
		if (now.buffers[i].data && now.buffers[i].data == data)
			return i;
	return -1;
}

static status give_back(void *data, u64 pages)
{
	int i = find_buffer(data);

	if (i < 0 || now.buffers[i].pages != pages || now.buffers[i].mapped)
		abort();
	now.bench->pages_left -= pages;
	free(data);
	now.buffers[i].data = 0;
	return 0;
}

/* The guest's memory at an address that the host was told; 0 where it cannot see it. */
static u8 *host_view(u64 address, u64 size)
{
	if (!now.bench->has_iommu)
		return (u8 *)address;
	for (int i = 0; i < BUFFERS; i++) {
		u64 start = (u64)now.buffers[i].data + DEVICE_OFFSET;

		if (now.buffers[i].mapped && address >= start && address - start + size <= now.buffers[i].pages * 4096)
			return now.buffers[i].data + (address - start);
	}
	now.bench->strayed++;
	return 0;
}

const u8 *physical(u64 address)
{
	static const u8 empty[4096];
	u64 end = 0x100000000ull;

	if (address < end && end - address <= now.bench->rom_size)
		return now.bench->rom + now.bench->rom_size - (end - address);
	now.bench->beyond_rom++;
	return empty;
}

/* EFI */

static EFIAPI status allocate_pages(u32 type, u32 memory, u64 pages, u64 *address)
{
	(void)type, (void)memory;
	*address = (u64)take_pages(pages);
	return *address ? 0 : 1;
}

static EFIAPI status free_pages(u64 address, u64 pages)
{
	return give_back((void *)address, pages);
}

static EFIAPI status iommu_allocate(struct iommu *iommu, u32 type, u32 memory, u64 pages, void **buffer, u64 attributes)
{
	(void)iommu, (void)type, (void)memory, (void)attributes;
	*buffer = take_pages(pages);
	return *buffer ? 0 : 1;
}

static EFIAPI status iommu_map(struct iommu *iommu, u32 operation, const void *memory, u64 *size, u64 *device,
			       void **mapping)
{
	int i = find_buffer(memory);

	(void)iommu;
	if (i < 0 || operation != IOMMU_COMMON_BUFFER_64 || *size > now.buffers[i].pages * 4096)
		abort();
	now.buffers[i].mapped = 1;
	*device = (u64)memory + DEVICE_OFFSET;
	*mapping = now.buffers[i].data;
	return 0;
}

static EFIAPI status iommu_unmap(struct iommu *iommu, void *mapping)
{
	int i = find_buffer(mapping);

	(void)iommu;
	if (i < 0 || !now.buffers[i].mapped)
		abort();
	now.buffers[i].mapped = 0;
	return 0;
}

static EFIAPI status iommu_free(struct iommu *iommu, u64 pages, void *buffer)
{
	(void)iommu;
	return give_back(buffer, pages);
}

static struct iommu iommu = {0, 0, iommu_map, iommu_unmap, iommu_allocate, iommu_free};
static struct loaded_image loaded;
static struct shell_parameters shell;
static const u16 *arguments[2];

static EFIAPI status handle_protocol(void *handle, const guid *protocol, void *interface)
{
	(void)handle;
	if (protocol->a == 0x5B1B31A1 && now.bench->has_loaded_image) {
		*(void **)interface = &loaded;
		return 0;
	}
	if (protocol->a == 0x752F3136 && now.bench->shell_argument) {
		*(void **)interface = &shell;
		return 0;
	}
	return 3;
}

static EFIAPI status locate_protocol(const guid *protocol, void *registration, void *interface)
{
	(void)registration;
	if (protocol->a != 0x4E939DE9 || !now.bench->has_iommu)
		return 14;
	*(void **)interface = &iommu;
	return 0;
}

static EFIAPI status set_variable(const u16 *name, const guid *vendor, u32 attributes, u64 size, const void *data)
{
	if (memcmp(name, u"FukiHandOver", 26) || vendor->a != 0x84314341 || attributes != 6 ||
	    size > sizeof now.bench->variable)
		abort();
	now.bench->variables++;
	now.bench->variable_size = size;
	memcpy(now.bench->variable, data, size);
	return 0;
}

static EFIAPI void reset_system(u32 type, status status, u64 size, const void *data)
{
	(void)status, (void)size, (void)data;
	now.bench->resets++;
	now.bench->reset_type = type;
	if (!now.bench->reset_returns)
		longjmp(now.end, 1);
}

void stop(void)
{
	now.bench->stopped = 1;
	longjmp(now.end, 1);
}

/* The device (QEMU's hw/misc/vmlaunchupdate.c, read in its main branch in September 2026). */

static void select_device(struct bench *bench)
{
	struct update *update = (struct update *)bench->device;

	update->capabilities = 1ull << 32;
	update->control = bench->is_locked ? 1 : 0;
	update->version = 1;
}

static void take_image(struct bench *bench, struct update *update)
{
	u8 *image;

	if (!bench->started_from_igvm) {
		update->status = 2;
		return;
	}
	image = update->address && update->size ? host_view(update->address, update->size) : 0;
	if (!image || bench->refuses_images || update->size < 4 || memcmp(image, "IGVM", 4)) {
		update->status = 1;
		return;
	}
	free(bench->given);
	bench->given = malloc(update->size);
	bench->given_size = update->size;
	memcpy(bench->given, image, update->size);
	bench->has_guest_igvm = 1;
	update->address = update->size = 0;
}

static void written(struct bench *bench)
{
	struct update *update = (struct update *)bench->device;

	update->status = 0;
	if (bench->is_locked)
		return;
	if (update->control & 1) {
		bench->is_locked = 1;
		return;
	}
	if (!update->address && !update->size && update->control & 2) {
		bench->host_is_next = 1;
		return;
	}
	if (!(update->control >> 32 & 1) && (update->address || update->size))
		update->status = 1;
	else if (update->control >> 32 & 1)
		take_image(bench, update);
	else
		update->address = update->size = 0;
}

int bench_reset(struct bench *bench)
{
	struct update *update = (struct update *)bench->device;

	if (bench->host_is_next) {
		bench->has_guest_igvm = bench->host_is_next = bench->is_locked = 0;
		update->control &= ~2ull;
	}
	if (update->control & 2 && !update->status)
		bench->host_is_next = 1;
	return bench->has_guest_igvm;
}

/* fw_cfg (docs/specs/fw_cfg.rst) */

int is_hypervisor_present(void)
{
	return now.bench->has_hypervisor;
}

void port_out16(u16 port, u16 value)
{
	if (port != 0x510)
		abort();
	now.selected = value;
	now.offset = 0;
}

u8 port_in8(u16 port)
{
	if (port != 0x511)
		abort();
	return now.bench->has_fw_cfg && !now.selected && now.offset < 4 ? "QEMU"[now.offset++] : 0xFF;
}

u32 port_in32(u16 port)
{
	return now.bench->has_dma ? (port == 0x514 ? 0x554D4551 : 0x47464320) : 0xFFFFFFFF;
}

static u64 directory(u8 *content)
{
	static const char *names[] = {"etc/e820", "etc/vmlaunchupdate"};
	u32 count = now.bench->has_file ? 2 : 1;

	memset(content, 0, 4 + 2 * 64);
	content[3] = count;
	for (u32 i = 0; i < count; i++) {
		u8 *entry = content + 4 + 64 * i;
		u32 size = __builtin_bswap32(i ? now.bench->file_size : 20);

		memcpy(entry, &size, 4);
		entry[5] = i ? FILE_KEY : FILE_KEY - 1;
		strcpy((char *)entry + 8, names[i]);
	}
	return 4 + 64 * count;
}

static int transfer(u32 control, u32 length, u64 address)
{
	u8 content[4 + 2 * 64], *memory = host_view(address, length);
	u64 size = 0;

	if (!memory)
		return 0;
	if (control & 8) {
		now.selected = control >> 16;
		if (now.selected == FILE_KEY)
			select_device(now.bench);
	}
	if (control & 16) {
		if (now.selected != FILE_KEY || length != sizeof now.bench->device)
			return 0;
		memcpy(now.bench->device, memory, length);
		now.bench->writes++;
		written(now.bench);
		return 1;
	}
	now.bench->reads++;
	memset(memory, 0, length);
	if (now.selected == DIRECTORY_KEY)
		size = directory(content);
	else if (now.selected == FILE_KEY)
		memcpy(content, now.bench->device, size = sizeof now.bench->device);
	memcpy(memory, content, size < length ? size : length);
	return 1;
}

void port_out32(u16 port, u32 value)
{
	u32 *request;

	if (port == 0x514) {
		now.high = __builtin_bswap32(value);
		return;
	}
	if (port != 0x518)
		abort();
	request = (u32 *)host_view(now.high << 32 | __builtin_bswap32(value), 16);
	if (!request)
		return;

	u32 control = __builtin_bswap32(request[0]), length = __builtin_bswap32(request[1]);
	u64 address = (u64)__builtin_bswap32(request[2]) << 32 | __builtin_bswap32(request[3]);

	if (now.bench->nonsense) {
		u8 *memory = host_view(address, length), answer = nonsense();

		for (u32 i = 0; memory && i < length && now.at_nonsense < now.bench->nonsense_size; i++)
			memory[i] = nonsense();
		request[0] = answer % 4 ? 0 : answer;
		return;
	}
	request[0] = transfer(control, length, address) ? 0 : __builtin_bswap32(1);
}

void bench_run(struct bench *bench)
{
	static const guid wide = {0xF2FD1544, 0x9794, 0x4A2C, {0x99, 0x2E, 0xE5, 0xBB, 0xCF, 0x20, 0xE3, 0x94}};
	struct boot_services boot = {
		.allocate_pages = allocate_pages,
		.free_pages = free_pages,
		.handle_protocol = handle_protocol,
		.locate_protocol = locate_protocol,
	};
	struct runtime_services runtime = {.set_variable = set_variable, .reset_system = reset_system};
	struct system_table system = {.runtime = &runtime, .boot = &boot, .table_count = bench->smbios ? 1 : 0};
	u8 entry[24] = "_SM3_\0\30\3";
	u32 claimed = bench->smbios_size;
	struct {
		guid vendor;
		const u8 *table;
	} tables = {wide, entry};

	memset(&now, 0, sizeof now);
	now.bench = bench;
	memcpy(entry + 12, &claimed, sizeof claimed);
	memcpy(entry + 16, &bench->smbios, sizeof bench->smbios);
	system.tables = (void *)&tables;
	loaded = (struct loaded_image){.options = bench->options,
				       .options_size = bench->options_size,
				       .base = bench->image,
				       .size = bench->image_size};
	arguments[1] = bench->shell_argument;
	shell = (struct shell_parameters){arguments, 2};

	bench->returned = bench->stopped = bench->resets = bench->variables = bench->variable_size = 0;
	bench->writes = bench->reads = bench->strayed = bench->beyond_rom = bench->pages_left = 0;
	if (!setjmp(now.end))
		bench->returned = hand_over(0, &system, bench->program_options) == bench->image;

	/* A reset leaves nothing allocated. */
	for (int i = 0; i < BUFFERS; i++)
		free(now.buffers[i].data);
}

void bench_free(struct bench *bench)
{
	free(bench->given);
	bench->given = 0;
}
