/* What the program found and did: the EFI variable that it leaves. fuki_build/formats/hand_over_outcome.py reads it. */

#ifndef OUTCOME_H
#define OUTCOME_H

#include "types.h"

enum outcome {
	HANDED_OVER = 1, /* the firmware runs, and before the reset this program gave it to the host */
	ALREADY_RUNNING = 2,
	NO_DEVICE = 3,
	REFUSED = 4,
	GUARD = 5, /* the host has had this firmware before the reset, and started another */
	NOTHING_SELECTED = 6,
	PENDING = 7, /* given to the host; seen only where the reset did not come */
};

enum reason {
	NO_REASON = 0,
	SELECTED = 0,
	/* nothing selected */
	NO_TABLE = 1,
	BAD_TABLE = 2,
	NO_MATCH = 3,
	NO_FIRMWARE = 4,
	NO_PROFILE = 5,
	/* no device */
	NO_HYPERVISOR = 16,
	NO_FW_CFG = 17,
	NO_DMA = 18,
	NO_FILE = 19,
	/* refused */
	NOT_IGVM = 32,
	OUT_OF_MEMORY = 33,
	OVERLAP = 34,
	UNKNOWN_VERSION = 35,
	NO_IGVM_SUPPORT = 36,
	LOCKED = 37,
	LOAD_FAILED = 38,
	NOT_STARTED_FROM_IGVM = 39,
	UNKNOWN_STATUS = 40,
	NOT_TAKEN = 41,
	TRANSFER_FAILED = 42,
	NO_RESET = 43,
};

#define OUTCOME_VERSION 1
#define OUTCOME_FWID_SIZE 200

struct __attribute__((packed)) outcome_record {
	u16 version, size; /* of the record, with the fwid */
	u16 outcome, reason;
	u32 options;
	u32 profile;
	u64 firmware_size;
	u16 device_version, device_status;
	u32 chid_type;
	u64 device_capabilities, device_control;
	u8 chid[16]; /* as an EFI GUID */
	u8 fwid[OUTCOME_FWID_SIZE]; /* ends with a NUL */
};

#endif
