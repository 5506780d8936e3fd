/* Payloads: IGVM files (Microsoft's igvm_defs, 0.3) and plain images that end at 4 GiB. */

#include "firmware.h"
#include "machine.h"

#define IGVM_HEADER_SIZE 24
#define PARAMETER_INSERT 0x303
#define PAGE_DATA 0x302
#define PAGE_DATA_SIZE 24
#define IS_2MB_PAGE 1
#define NORMAL_PAGE 0
#define ROM_START (0x100000000ull - ROM_SIZE)

/* What a page holds: its offset in the payload, above these. */
enum { NOT_COMPARED = 0, ZEROS = 1, CONTENT = 2 };

/* One variable header after the other. */
struct walk {
	struct span rest;
	u32 type;
	const u8 *content;
};

static int next(struct walk *walk, u32 least_size)
{
	while (walk->rest.size >= 8) {
		u64 size = read32(walk->rest.data + 4), padded = (size + 7) & ~7ull;

		walk->type = read32(walk->rest.data);
		walk->content = walk->rest.data + 8;
		if (size > walk->rest.size - 8)
			return 0;
		if (padded > walk->rest.size - 8)
			padded = walk->rest.size - 8;
		walk->rest.data += 8 + padded;
		walk->rest.size -= 8 + padded;
		if (size >= least_size)
			return 1;
	}
	return 0;
}

int is_igvm(struct span file)
{
	u32 offset, size;

	if (file.size < IGVM_HEADER_SIZE || !equal(file.data, "IGVM", 4))
		return 0;
	offset = read32(file.data + 8);
	size = read32(file.data + 12);
	return offset >= IGVM_HEADER_SIZE && offset <= file.size && size <= file.size - offset;
}

static struct walk headers(struct span file)
{
	return (struct walk){{file.data + read32(file.data + 8), read32(file.data + 12)}, 0, 0};
}

static u64 page_size(const u8 *page)
{
	return read32(page + 16) & IS_2MB_PAGE ? 0x200000 : PAGE_SIZE;
}

/* What an IGVM file deploys into the window on platforms of one bit. */
static void list_igvm_pages(struct span file, u32 platform, u32 *pages)
{
	struct walk walk = headers(file);

	while (next(&walk, PAGE_DATA_SIZE)) {
		const u8 *page = walk.content;
		u64 address = read64(page), offset = read32(page + 12), size = page_size(page);

		if (walk.type != PAGE_DATA || !(read32(page + 8) & platform) || read16(page + 20) != NORMAL_PAGE)
			continue;
		if (address % size || address < ROM_START || address >= ROM_START + ROM_SIZE)
			continue;
		for (u64 at = 0; at < size; at += PAGE_SIZE) {
			u32 *entry = pages + (address + at - ROM_START) / PAGE_SIZE;

			*entry = ZEROS;
			if (offset && offset + at <= file.size && file.size - offset - at >= PAGE_SIZE)
				*entry = CONTENT + offset + at;
		}
	}
}

static void list_plain_pages(struct span image, u32 *pages)
{
	u64 count = image.size / PAGE_SIZE;

	if (image.size % PAGE_SIZE || count > ROM_PAGES)
		return;
	for (u64 i = 0; i < count; i++)
		pages[ROM_PAGES - count + i] = CONTENT + i * PAGE_SIZE;
}

/* Leaves out volumes with EFI variables, which change (EFI_SYSTEM_NV_DATA_FV_GUID; UEFI PI 1.8, volume 3, 3.2.1). */
static void leave_variables_out(struct span payload, u32 *pages)
{
	static const u8 variables[16] = {0x8D, 0x2B, 0xF1, 0xFF, 0x96, 0x76, 0x8B, 0x4C,
					 0xA9, 0x85, 0x27, 0x47, 0x07, 0x5B, 0x4F, 0x50};

	u64 left = 0; /* of the volume that a page before started */

	for (u64 i = 0; i < ROM_PAGES; i++) {
		const u8 *page = payload.data + pages[i] - CONTENT;

		if (!left && pages[i] >= CONTENT && equal(page + 16, variables, 16) && equal(page + 40, "_FVH", 4))
			left = read64(page + 32);
		if (!left)
			continue;
		pages[i] = NOT_COMPARED;
		left = left > PAGE_SIZE ? left - PAGE_SIZE : 0;
	}
}

/* Compares from 4 GiB down, and stops at what differs: memory that the running firmware does not fill may not be there,
 * and confidential guests that touch it end. */
static int are_in_memory(struct span payload, const u32 *pages)
{
	int compared = 0;

	for (u64 i = ROM_PAGES; i--;) {
		const u8 *memory;

		if (pages[i] == NOT_COMPARED)
			continue;
		memory = physical(ROM_START + i * PAGE_SIZE);
		if (pages[i] >= CONTENT) {
			if (!equal(memory, payload.data + pages[i] - CONTENT, PAGE_SIZE))
				return 0;
		} else {
			for (u64 at = 0; at < PAGE_SIZE; at++)
				if (memory[at])
					return 0;
		}
		compared = 1;
	}
	return compared;
}

int is_running(struct span payload, u32 *pages)
{
	int igvm = is_igvm(payload);

	/* An IGVM file may bring several platforms' pages; a plain image stands for one. */
	for (u32 platform = 1; platform; platform = igvm ? platform << 1 : 0) {
		__builtin_memset(pages, 0, ROM_PAGES * sizeof *pages);
		if (igvm)
			list_igvm_pages(payload, platform, pages);
		else
			list_plain_pages(payload, pages);
		leave_variables_out(payload, pages);
		if (are_in_memory(payload, pages))
			return 1;
	}
	return 0;
}

int overlaps_itself(struct span file)
{
	struct walk walk = headers(file);
	u64 start = (u64)file.data, end = start + file.size;

	while (next(&walk, 16)) {
		u64 address = read64(walk.content), size = PAGE_SIZE;

		if (walk.type == PAGE_DATA && walk.rest.data - walk.content >= PAGE_DATA_SIZE)
			size = page_size(walk.content);
		else if (walk.type != PARAMETER_INSERT)
			continue;
		if (address < end && start < address + size)
			return 1;
	}
	return 0;
}
