/* Which firmware the stub selects on this machine (pe.c, chid.c, efi-firmware.c and stub.c, 262). */

#include "selection.h"

#define RECORD_SIZE 28
#define FIRMWARE_RECORD 2
#define EFIFW_MAGIC 0xFEEDDEAD
#define SECTION_SIZE 40

/* A slice of the image: section headers of the base, or of one profile. */
struct slice {
	const u8 *headers;
	u32 count;
};

static int is_named(const u8 *header, const char *name)
{
	for (int i = 0; i < 8; i++) {
		if (header[i] != (u8)name[i])
			return 0;
		if (!name[i])
			break;
	}
	return 1;
}

/* A section as it was loaded; empty where it lies outside the image. */
static struct span section_content(struct span image, const u8 *header)
{
	u64 size = read32(header + 8), address = read32(header + 12);

	if (address > image.size || size > image.size - address)
		return (struct span){0, 0};
	return (struct span){image.data + address, size};
}

static struct slice section_table(struct span image)
{
	const struct slice nothing = {0, 0};
	u64 offset, table;
	u32 count;

	if (image.size < 64 || !equal(image.data, "MZ", 2))
		return nothing;
	offset = read32(image.data + 60);
	if (offset > image.size || image.size - offset < 24 || !equal(image.data + offset, "PE\0", 4))
		return nothing;
	count = read16(image.data + offset + 6);
	table = offset + 24 + read16(image.data + offset + 20);
	if (table > image.size || image.size - table < (u64)count * SECTION_SIZE)
		return nothing;
	return (struct slice){image.data + table, count};
}

/* The sections of a profile, which start with its .profile, or those of the base. */
static struct slice cut(struct slice all, int is_base, u32 profile)
{
	struct slice slice = {all.headers, 0};
	u64 seen = 0; /* .profile sections */

	for (u32 i = 0; i < all.count; i++) {
		const u8 *header = all.headers + i * SECTION_SIZE;

		if (is_named(header, ".profile") && seen++ == profile && !is_base)
			slice.headers = header;
		if (is_base ? !seen : seen == (u64)profile + 1)
			slice.count++;
	}
	return slice;
}

static int is_text_inside(struct span table, u64 text_end, u32 offset)
{
	return offset < table.size && (!offset || offset < text_end);
}

/* The records of a table that the stub takes as a whole; none where it refuses it. */
static enum reason count_records(struct span table, u32 *count)
{
	u64 text_end = table.size; /* behind the last NUL: a string that starts before it has an end */

	while (text_end && table.data[text_end - 1])
		text_end--;
	for (*count = 0; (*count + 1ull) * RECORD_SIZE < table.size; ++*count) {
		const u8 *record = table.data + *count * (u64)RECORD_SIZE;
		u32 type = read32(record) >> 28;

		if (!read32(record))
			break;
		if ((type != 1 && type != FIRMWARE_RECORD) || !is_text_inside(table, text_end, read32(record + 20)) ||
		    !is_text_inside(table, text_end, read32(record + 24)))
			return BAD_TABLE;
	}
	return *count ? SELECTED : NO_MATCH;
}

static const u8 *find_record(struct span table, u32 count, const u8 id[CHID_SIZE])
{
	for (u32 i = 0; i < count; i++) {
		const u8 *record = table.data + i * (u64)RECORD_SIZE;

		if (read32(record) >> 28 == FIRMWARE_RECORD && equal(record + 4, id, CHID_SIZE))
			return record;
	}
	return 0;
}

/* The fwid for the machine. An id of zeros is what the stub compares with where there is no display panel. */
static enum reason find_fwid(struct span table, const struct identity *identity, struct selection *selection)
{
	const u8 *record;
	u32 count, offset;
	enum reason reason = count_records(table, &count);

	if (reason != SELECTED)
		return reason;

	__builtin_memset(selection->chid, 0, CHID_SIZE);
	selection->chid_type = 17;
	record = find_record(table, count, selection->chid);
	for (u32 rank = 0; !record && rank < CHID_TYPES; rank++) {
		chid(identity, rank, selection->chid);
		selection->chid_type = chid_type(rank);
		record = find_record(table, count, selection->chid);
	}
	if (!record)
		return NO_MATCH;

	offset = read32(record + 24);
	if (!offset)
		return NO_FIRMWARE;
	selection->fwid.data = table.data + offset;
	selection->fwid.size = text_size(selection->fwid.data, table.size - offset);
	return SELECTED;
}

/* The payload of a section that has the fwid; empty where it is another's, or damaged. */
static int has_fwid(struct span section, struct span fwid, struct span *payload)
{
	u64 header_size, fwid_size, payload_size;

	if (section.size < 16 || (u64)section.data % 8 || read32(section.data) != EFIFW_MAGIC)
		return 0;
	header_size = read32(section.data + 4);
	fwid_size = read32(section.data + 8);
	payload_size = read32(section.data + 12);
	if (header_size < 16 || header_size + fwid_size + payload_size > section.size)
		return 0;
	if (text_size(section.data + header_size, fwid_size) + 1 != fwid_size)
		return 0;
	if (fwid_size != fwid.size + 1 || !equal(section.data + header_size, fwid.data, fwid.size))
		return 0;
	*payload = (struct span){section.data + header_size + fwid_size, payload_size};
	return 1;
}

static enum reason select_in(struct span image, struct slice slice, const struct identity *identity,
			     struct selection *selection)
{
	struct span table = {0, 0};
	enum reason reason;

	for (u32 i = 0; i < slice.count; i++)
		if (is_named(slice.headers + i * SECTION_SIZE, ".hwids")) {
			table = section_content(image, slice.headers + i * SECTION_SIZE);
			break;
		}
	if (!table.size)
		return NO_TABLE;
	reason = find_fwid(table, identity, selection);
	if (reason != SELECTED)
		return reason;

	for (u32 i = 0; i < slice.count; i++) {
		const u8 *header = slice.headers + i * SECTION_SIZE;

		if (is_named(header, ".efifw") &&
		    has_fwid(section_content(image, header), selection->fwid, &selection->payload))
			return SELECTED;
	}
	return NO_FIRMWARE;
}

enum reason select_firmware(struct span image, u32 profile, const struct identity *identity,
			    struct selection *selection)
{
	struct slice all = section_table(image), own = cut(all, 0, profile);
	enum reason base;
	struct selection other;

	/* The stub does not start with a profile that the image lacks; 0 is asked for where nothing is. */
	if (!own.count && profile && profile != 0xFFFFFFFF)
		return NO_PROFILE;
	base = select_in(image, cut(all, 1, 0), identity, selection);
	if (own.count && select_in(image, own, identity, &other) == SELECTED) {
		*selection = other;
		return SELECTED;
	}
	return base;
}

/* The number behind an '@', and what follows it in `end`; 0 and no end where there is none. */
static u32 profile_number(const u16 *text, u64 size, const u16 **end)
{
	u64 number = 0, at = 1;

	*end = 0;
	if (size < 2 || text[0] != '@' || text[1] < '0' || text[1] > '9')
		return 0;
	for (; at < size && text[at] >= '0' && text[at] <= '9'; at++) {
		number = number * 10 + text[at] - '0';
		if (number > 0xFFFFFFFF)
			return 0;
	}
	*end = text + at;
	return number;
}

u32 profile_of_options(struct span options)
{
	const u16 *text = (const u16 *)options.data, *end;
	u64 size = options.size / 2, length = 0;
	u32 profile;

	/* What holds control characters is taken for no text at all. */
	for (; length < size && text[length]; length++)
		if (text[length] <= 0x1F)
			return 0;
	profile = profile_number(text, length, &end);
	return end && (end == text + length || *end == ' ') ? profile : 0;
}

u32 profile_of_argument(const u16 *argument)
{
	const u16 *end;
	u64 length = 0;
	u32 profile;

	while (length < 16 && argument[length])
		length++;
	profile = profile_number(argument, length, &end);
	return end == argument + length ? profile : 0;
}
