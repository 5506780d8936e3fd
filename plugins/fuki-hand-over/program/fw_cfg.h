/* QEMU's fw_cfg (docs/specs/fw_cfg.rst), through DMA alone: port by port would be slow in confidential guests. */

#ifndef FW_CFG_H
#define FW_CFG_H

#include "outcome.h"
#include "shared_memory.h"

/* A buffer of the channel: one DMA structure, one file's content, the directory. */
#define FW_CFG_BUFFER 0x8000

struct fw_cfg {
	struct shared_memory memory; /* of FW_CFG_BUFFER */
	u8 *content; /* what is sent and received */
	u16 file; /* its selector */
};

/* NO_REASON, or why there is none. */
enum reason fw_cfg_probe(void);

/* Finds a file of exactly that size. Its content is sent and received at `content`. NO_FILE, TRANSFER_FAILED, or
 * UNKNOWN_VERSION for a file of another size. */
enum reason fw_cfg_open(struct fw_cfg *channel, const char *name, u32 size);

/* Receives the file's first bytes; the host sees that it is selected. 0 where that fails. */
int fw_cfg_read(struct fw_cfg *channel, u32 size);

/* Sends the whole file at once. 0 where that fails. */
int fw_cfg_write(struct fw_cfg *channel, u32 size);

#endif
