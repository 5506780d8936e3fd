#ifndef FIRMWARE_H
#define FIRMWARE_H

#include "types.h"

/* Firmware lies below 4 GiB, in at most this much. */
#define ROM_SIZE 0x1000000
#define PAGE_SIZE 0x1000
#define ROM_PAGES (ROM_SIZE / PAGE_SIZE)

int is_igvm(struct span file);

/* Whether the payload, an IGVM file or a plain image, is what the machine has below 4 GiB, its EFI variables aside.
 * `pages` is for ROM_PAGES numbers. */
int is_running(struct span payload, u32 *pages);

/* Whether deploying the file would write to where it stands. */
int overlaps_itself(struct span file);

#endif
