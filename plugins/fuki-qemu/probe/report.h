/* What a probe tells: a frame of named records, the same from EFI and from Linux. fuki_qemu/report.py reads it.
 *
 * "FUKIPRB1", then for each record: u16 size of its name, u32 size of its content, name, content. The last one has
 * neither, and its u32 is the CRC-32 of all before it. Little endian. */

#ifndef REPORT_H
#define REPORT_H

#define REPORT_MAGIC "FUKIPRB1"

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct report {
	u32 crc;
	int channel; /* for emit() */
};

/* Sends bytes to the host. */
static void emit(struct report *report, const u8 *data, u64 size);

static u64 length(const char *text)
{
	u64 size = 0;

	while (text[size])
		size++;
	return size;
}

static void send(struct report *report, const void *data, u64 size)
{
	const u8 *bytes = data;

	for (u64 i = 0; i < size; i++) {
		report->crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			report->crc = report->crc >> 1 ^ (report->crc & 1 ? 0xEDB88320 : 0);
	}
	emit(report, bytes, size);
}

static void send_number(struct report *report, u32 value, int size)
{
	u8 bytes[4];

	for (int i = 0; i < size; i++)
		bytes[i] = value >> 8 * i;
	send(report, bytes, size);
}

static void begin(struct report *report)
{
	report->crc = 0xFFFFFFFF;
	send(report, REPORT_MAGIC, 8);
}

/* The record's head; its content is what is sent next. */
static void begin_record(struct report *report, const char *name, u32 size)
{
	u16 name_size = length(name);

	send_number(report, name_size, 2);
	send_number(report, size, 4);
	send(report, name, name_size);
}

static void record(struct report *report, const char *name, const void *data, u32 size)
{
	begin_record(report, name, size);
	send(report, data, size);
}

static void finish(struct report *report)
{
	u32 crc;

	send_number(report, 0, 2);
	crc = ~report->crc;
	send_number(report, crc, 4);
}

/* Appends text to a name of at most `room` characters. */
static void append(char *name, const char *text, u64 room)
{
	u64 at = length(name);

	while (*text && at + 1 < room)
		name[at++] = *text++;
	name[at] = 0;
}

static void append_number(char *name, u32 value, u64 room)
{
	char digits[11] = "";
	int at = 10;

	do
		digits[--at] = '0' + value % 10;
	while (value /= 10);
	append(name, digits + at, room);
}

#endif
