/* A fw_cfg file that a guest can write by DMA, for a QEMU without the device vm-launch-update.
 *
 * Preloaded into QEMU, this registers the file through functions that QEMU exports for its modules, and asks whoever
 * holds the other end of a socket what happens to it. It is part of a test bench: a model, no device for production.
 *
 * SPDX-License-Identifier: MIT
 *
 * Each message starts with a letter. From here: 'S', the guest selects the file; 'W' and the file's content, it has
 * written. The answers: 'R', an address and a size (u64 each): read the guest's memory, to which a byte that is 0 and
 * the data are the reply, or one that is not; 'D' and the file's content: done.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define FILE_NAME "etc/vmlaunchupdate"
#define FILE_SIZE 56
#define CHUNK 65536

struct notifier {
	void (*notify)(struct notifier *self, void *data);
	struct notifier *next, **previous;
};

typedef void add_notifier(struct notifier *notifier);
typedef void *find_fw_cfg(void);
typedef void add_file(void *fw_cfg, const char *name, void (*select)(void *opaque),
		      void (*write)(void *opaque, off_t offset, size_t size), void *opaque, void *data, size_t size,
		      _Bool is_read_only);
typedef uint32_t read_write(void *space, uint64_t address, uint64_t attributes, void *buffer, uint64_t size,
			    _Bool is_write);

static uint8_t content[FILE_SIZE];
static int channel;
static read_write *access_memory;
static void *memory;

static void fail(const char *what)
{
	fprintf(stderr, "fuki: the model of vm-launch-update: %s\n", what);
	_exit(1);
}

static void *symbol(const char *name)
{
	void *address = dlsym(RTLD_DEFAULT, name);

	if (!address) {
		fprintf(stderr, "fuki: this QEMU does not export %s\n", name);
		_exit(1);
	}
	return address;
}

static void send_all(const void *data, size_t size)
{
	for (ssize_t done; size; data = (const char *)data + done, size -= done)
		if ((done = write(channel, data, size)) <= 0)
			fail("nobody is at the other end");
}

static void receive(void *data, size_t size)
{
	for (ssize_t done; size; data = (char *)data + done, size -= done)
		if ((done = read(channel, data, size)) <= 0)
			fail("nobody is at the other end");
}

/* Nothing is sent of memory that is not there: it is read twice. */
static void send_memory(uint64_t address, uint64_t size)
{
	static uint8_t chunk[CHUNK];
	uint8_t is_missing = 0;

	for (int is_sent = 0; is_sent < 2; is_sent++) {
		if (is_sent)
			send_all(&is_missing, 1);
		for (uint64_t at = 0, part; at < size && !is_missing; at += part) {
			part = size - at < CHUNK ? size - at : CHUNK;
			if (access_memory(memory, address + at, 0, chunk, part, 0))
				is_missing = 1;
			else if (is_sent)
				send_all(chunk, part);
		}
	}
}

static void ask(char event)
{
	struct {
		uint64_t address, size;
	} range;
	char answer;

	send_all(&event, 1);
	if (event == 'W')
		send_all(content, sizeof content);
	for (;;) {
		receive(&answer, 1);
		if (answer == 'D')
			break;
		receive(&range, sizeof range);
		send_memory(range.address, range.size);
	}
	receive(content, sizeof content);
}

static void on_select(void *opaque)
{
	(void)opaque;
	ask('S');
}

static void on_write(void *opaque, off_t offset, size_t size)
{
	(void)opaque;
	(void)offset;
	(void)size;
	ask('W');
}

static void register_file(struct notifier *self, void *data)
{
	void *fw_cfg = ((find_fw_cfg *)symbol("fw_cfg_find"))();

	(void)self;
	(void)data;
	if (!fw_cfg)
		fail("the machine has no fw_cfg");
	((add_file *)symbol("fw_cfg_add_file_callback"))(fw_cfg, FILE_NAME, on_select, on_write, 0, content,
							  sizeof content, 0);
	ask('S');
}

/* QEMU's own tools load this, too, where they are started with the same environment: they have no machine. */
__attribute__((constructor)) static void start(void)
{
	static struct notifier notifier = {.notify = register_file};
	const char *number = getenv("FUKI_LAUNCH_UPDATE");
	add_notifier *add = (add_notifier *)dlsym(RTLD_DEFAULT, "qemu_add_machine_init_done_notifier");

	if (!number || !add)
		return;
	channel = atoi(number);
	unsetenv("LD_PRELOAD");
	unsetenv("FUKI_LAUNCH_UPDATE");
	access_memory = (read_write *)symbol("address_space_rw");
	memory = symbol("address_space_memory");
	add(&notifier);
}
