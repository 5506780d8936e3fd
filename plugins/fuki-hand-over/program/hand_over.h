#ifndef HAND_OVER_H
#define HAND_OVER_H

#include "efi.h"

/* Options, of the program's table and of the outcome. */
enum { LASTING = 1, LOCK = 2, POWER_OFF = 4 };

/* Starts the firmware that the image brings for this machine, if it can. Where it returns, that was not to be: with the
 * address that the image was loaded at, or 0 where firmware does not tell. */
const u8 *hand_over(void *handle, struct system_table *system, u32 options);

#endif
