#include "fw_cfg.h"

#include "machine.h"

#define SELECTOR_PORT 0x510
#define DATA_PORT 0x511
#define DMA_PORT 0x514

#define SIGNATURE 0x0000
#define DIRECTORY 0x0019

#define DMA_ERROR 1
#define DMA_READ 2
#define DMA_SELECT 8
#define DMA_WRITE 16

#define CONTENT_OFFSET 64
#define ENTRY_SIZE 64
#define NAME_SIZE 56
#define ENTRIES ((FW_CFG_BUFFER - CONTENT_OFFSET - 4) / ENTRY_SIZE)
/* The host is done when the write to the port returns; whoever is not has failed. */
#define PATIENCE 1000

enum reason fw_cfg_probe(void)
{
	static const u8 signature[4] = {'Q', 'E', 'M', 'U'};

	if (!is_hypervisor_present())
		return NO_HYPERVISOR;
	port_out16(SELECTOR_PORT, SIGNATURE);
	for (int i = 0; i < 4; i++)
		if (port_in8(DATA_PORT) != signature[i])
			return NO_FW_CFG;
	/* "QEMU CFG", the first half first, big endian. */
	if (port_in32(DMA_PORT) != 0x554D4551 || port_in32(DMA_PORT + 4) != 0x47464320)
		return NO_DMA;
	return NO_REASON;
}

static int transfer(struct fw_cfg *channel, u16 selector, u32 command, u32 size)
{
	volatile u32 *request = (volatile u32 *)channel->memory.data;
	u64 content = channel->memory.device + CONTENT_OFFSET;

	request[1] = __builtin_bswap32(size);
	request[2] = __builtin_bswap32(content >> 32);
	request[3] = __builtin_bswap32(content);
	request[0] = __builtin_bswap32((u32)selector << 16 | DMA_SELECT | command);
	port_out32(DMA_PORT, __builtin_bswap32(channel->memory.device >> 32));
	port_out32(DMA_PORT + 4, __builtin_bswap32(channel->memory.device));

	for (int i = 0; i < PATIENCE && (request[0] & ~__builtin_bswap32(DMA_ERROR)); i++)
		;
	return !request[0];
}

enum reason fw_cfg_open(struct fw_cfg *channel, const char *name, u32 size)
{
	u32 count;

	channel->content = channel->memory.data + CONTENT_OFFSET;
	if (!transfer(channel, DIRECTORY, DMA_READ, 4 + ENTRIES * ENTRY_SIZE))
		return TRANSFER_FAILED;
	count = __builtin_bswap32(read32(channel->content));
	if (count > ENTRIES)
		count = ENTRIES;

	for (u32 i = 0; i < count; i++) {
		const u8 *entry = channel->content + 4 + i * ENTRY_SIZE;

		if (!equal(entry + 8, name, text_size((const u8 *)name, NAME_SIZE) + 1))
			continue;
		channel->file = entry[4] << 8 | entry[5];
		return __builtin_bswap32(read32(entry)) == size ? NO_REASON : UNKNOWN_VERSION;
	}
	return NO_FILE;
}

int fw_cfg_read(struct fw_cfg *channel, u32 size)
{
	return transfer(channel, channel->file, DMA_READ, size);
}

int fw_cfg_write(struct fw_cfg *channel, u32 size)
{
	return transfer(channel, channel->file, DMA_WRITE, size);
}
