/* The machine's strings, read as systemd-stub reads them (smbios.c, 262): the first structure of a type counts, one
 * that is too short counts as missing, and what its length claims is skipped without a look. */

#include "smbios.h"

/* Of a longer table only this much is read: firmware's have some KiB, and a size may be a lie. */
#define SIZE_LIMIT 0x100000

#define END_OF_TABLE 127
#define HEADER_SIZE 4

struct span smbios_table(const u8 *entry, int is_64_bit)
{
	struct span table = {0, 0};

	/* Anchor, length of the entry point, and where size and address stand (DSP0134, 5.2). */
	if (is_64_bit && equal(entry, "_SM3_", 5) && entry[6] <= 24) {
		table.data = (const u8 *)read64(entry + 16);
		table.size = read32(entry + 12);
	} else if (!is_64_bit && equal(entry, "_SM_", 4) && entry[5] <= 31) {
		table.data = (const u8 *)(u64)read32(entry + 24);
		table.size = read16(entry + 22);
	}

	if (!table.data)
		table.size = 0;
	if (table.size > SIZE_LIMIT)
		table.size = SIZE_LIMIT;
	return table;
}

/* Skips the strings behind a structure. Nothing is left where they have no end. */
static struct span skip_strings(struct span rest)
{
	int first = 1;

	if (rest.size >= 2 && !rest.data[0] && !rest.data[1])
		return (struct span){rest.data + 2, rest.size - 2};

	for (;;) {
		u64 size = text_size(rest.data, rest.size);

		if (size == rest.size)
			return (struct span){0, 0};
		rest.data += size + 1;
		rest.size -= size + 1;
		if (!first && !size)
			return rest;
		first = 0;
	}
}

/* The first structure of a type, with all that follows it; empty where there is none of that size. */
static struct span find_structure(struct span table, u8 type, u64 least_size)
{
	const struct span nothing = {0, 0};

	while (table.size >= HEADER_SIZE) {
		u8 size = table.data[1];

		if (table.data[0] == END_OF_TABLE || table.size < size)
			return nothing;
		if (table.data[0] == type)
			return size < least_size ? nothing : table;
		table = skip_strings((struct span){table.data + size, table.size - size});
	}
	return nothing;
}

/* The string whose number stands at `offset` of a structure. */
static struct span string_at(struct span structure, u64 offset)
{
	const struct span nothing = {0, 0};
	struct span rest;
	u8 number;

	if (!structure.size)
		return nothing;
	number = structure.data[offset];
	rest.data = structure.data + structure.data[1];
	rest.size = structure.size - structure.data[1];

	while (number) {
		u64 size = text_size(rest.data, rest.size);

		if (!size || size == rest.size)
			return nothing;
		if (!--number)
			return (struct span){rest.data, size};
		rest.data += size + 1;
		rest.size -= size + 1;
	}
	return nothing;
}

void smbios_identity(struct span table, struct identity *identity)
{
	struct span machine = find_structure(table, 1, 27), board = find_structure(table, 2, 8);

	identity->fields[MANUFACTURER] = string_at(machine, 4);
	identity->fields[PRODUCT] = string_at(machine, 5);
	identity->fields[SKU] = string_at(machine, 25);
	identity->fields[FAMILY] = string_at(machine, 26);
	identity->fields[BOARD_MANUFACTURER] = string_at(board, 4);
	identity->fields[BOARD_PRODUCT] = string_at(board, 5);
}
