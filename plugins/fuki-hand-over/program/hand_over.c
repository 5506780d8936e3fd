/* Gives the selected firmware to QEMU's vm-launch-update (docs/specs/vmlaunchupdate.rst, and the device's source where
 * that says more), and resets into it. */

#include "hand_over.h"

#include "firmware.h"
#include "fw_cfg.h"
#include "machine.h"
#include "selection.h"
#include "sha1.h"

#define DEVICE_VERSION 1
#define FORMAT_IGVM (1ull << 32)
#define CONTROL_DISABLE 1
#define CONTROL_HOST_IGVM 2

#define STATUS_DONE 0
#define STATUS_LOAD_FAILED 1
#define STATUS_NOT_STARTED_FROM_IGVM 2

struct __attribute__((packed)) launch_update {
	u16 version, status;
	u32 padding;
	u64 capabilities, control;
	u64 image_address, image_size;
	u64 opaque_address, opaque_size;
};

/* The mark that a firmware has been given to the host: bits of its digest, as place and size of a piece of memory that
 * is to survive the reset. The device keeps both; what is in that memory does not matter. */
#define MARK_BLOCK 0x10000
struct mark {
	u16 offset, size;
};

struct attempt {
	struct system_table *system;
	struct loaded_image *image;
	u32 options;
	struct outcome_record record;
	struct selection selection;
	struct fw_cfg device;
	struct mark mark;
};

static void read_machine(struct system_table *system, struct identity *identity)
{
	const guid wide = {0xF2FD1544, 0x9794, 0x4A2C, {0x99, 0x2E, 0xE5, 0xBB, 0xCF, 0x20, 0xE3, 0x94}};
	const guid narrow = {0xEB9D2D31, 0x2D88, 0x11D3, {0x9A, 0x16, 0, 0x90, 0x27, 0x3F, 0xC1, 0x4D}};
	struct span table = {0, 0};

	for (int is_64_bit = 1; is_64_bit >= 0 && !table.data; is_64_bit--)
		for (u64 i = 0; i < system->table_count; i++)
			if (equal(&system->tables[i].vendor, is_64_bit ? &wide : &narrow, sizeof(guid))) {
				table = smbios_table(system->tables[i].table, is_64_bit);
				break;
			}
	smbios_identity(table, identity);
}

static u32 find_profile(struct attempt *attempt, void *handle)
{
	const guid protocol = {0x752F3136, 0x4E16, 0x4FDC, {0xA2, 0x2A, 0xE5, 0xF4, 0x68, 0x12, 0xF4, 0xCA}};
	struct shell_parameters *shell;

	if (attempt->system->boot->handle_protocol(handle, &protocol, &shell))
		return profile_of_options((struct span){attempt->image->options, attempt->image->options_size});
	return shell->count > 1 ? profile_of_argument(shell->arguments[1]) : 0;
}

static enum reason select_for_machine(struct attempt *attempt, void *handle)
{
	struct outcome_record *record = &attempt->record;
	struct selection *selection = &attempt->selection;
	struct identity identity;
	enum reason reason;
	u64 size;

	record->profile = find_profile(attempt, handle);
	read_machine(attempt->system, &identity);
	reason = select_firmware((struct span){attempt->image->base, attempt->image->size}, record->profile, &identity,
				 selection);
	if (reason != SELECTED)
		return reason;

	record->firmware_size = selection->payload.size;
	record->chid_type = selection->chid_type;
	__builtin_memcpy(record->chid, selection->chid, sizeof record->chid);
	size = selection->fwid.size < OUTCOME_FWID_SIZE ? selection->fwid.size : OUTCOME_FWID_SIZE - 1;
	__builtin_memcpy(record->fwid, selection->fwid.data, size);
	record->size += size;
	return SELECTED;
}

static int is_selected_running(struct attempt *attempt)
{
	struct boot_services *boot = attempt->system->boot;
	const u64 pages = ROM_PAGES * sizeof(u32) / PAGE_SIZE;
	u64 memory;
	int running;

	if (boot->allocate_pages(ALLOCATE_ANY_PAGES, BOOT_SERVICES_DATA, pages, &memory))
		return 0;
	running = is_running(attempt->selection.payload, (u32 *)memory);
	boot->free_pages(memory, pages);
	return running;
}

static struct mark mark_of(struct span payload)
{
	u8 digest[SHA1_SIZE];
	struct sha1 hash;

	sha1_begin(&hash);
	sha1_feed(&hash, payload.data, payload.size);
	sha1_end(&hash, digest);
	return (struct mark){read16(digest) & 0x7FFF, 1 + (read16(digest + 2) & 0x7FFF)};
}

static struct launch_update *update_of(struct attempt *attempt)
{
	return (struct launch_update *)attempt->device.content;
}

/* The device's state, which is noted. Reading makes the device forget `control`. */
static enum reason read_device(struct attempt *attempt)
{
	struct launch_update *update = update_of(attempt);

	if (!fw_cfg_read(&attempt->device, sizeof *update))
		return TRANSFER_FAILED;
	attempt->record.device_version = update->version;
	attempt->record.device_status = update->status;
	attempt->record.device_capabilities = update->capabilities;
	attempt->record.device_control = update->control;
	return update->version == DEVICE_VERSION ? NO_REASON : UNKNOWN_VERSION;
}

/* Sends a whole structure. Without an image, the mark is taken away unless `keep_mark`. */
static enum reason write_device(struct attempt *attempt, u64 control, struct span image, u64 address, int keep_mark)
{
	struct launch_update *update = update_of(attempt);
	u64 block = (address + MARK_BLOCK - 1) & ~(MARK_BLOCK - 1ull);

	__builtin_memset(update, 0, sizeof *update);
	update->version = DEVICE_VERSION;
	update->control = control;
	if (image.size) {
		update->image_address = address;
		update->image_size = image.size;
	}
	if (keep_mark) {
		update->opaque_address = block + attempt->mark.offset;
		update->opaque_size = attempt->mark.size;
	}
	return fw_cfg_write(&attempt->device, sizeof *update) ? NO_REASON : TRANSFER_FAILED;
}

/* Whether the device took the image: a write that it refuses or ignores can leave status 0, but not zeros for both. */
static enum reason check_answer(struct attempt *attempt)
{
	struct launch_update *update = update_of(attempt);
	enum reason reason = read_device(attempt);

	if (reason)
		return reason;
	switch (update->status) {
	case STATUS_DONE:
		return update->image_address || update->image_size ? NOT_TAKEN : NO_REASON;
	case STATUS_LOAD_FAILED:
		return LOAD_FAILED;
	case STATUS_NOT_STARTED_FROM_IGVM:
		return NOT_STARTED_FROM_IGVM;
	default:
		return UNKNOWN_STATUS;
	}
}

/* Gives the image at `address` to the device. A check re-selects the file, which drops `control`, so what `control` is
 * to say at the reset comes in a write of its own: for one reset the image again, to lock nothing but the lock, with
 * which an image would not be loaded. */
static enum reason give(struct attempt *attempt, u64 address)
{
	const struct span nothing = {0, 0}, image = attempt->selection.payload;
	u64 back = attempt->options & LASTING ? 0 : CONTROL_HOST_IGVM;
	enum reason reason = write_device(attempt, FORMAT_IGVM, image, address, 1);

	if (!reason)
		reason = check_answer(attempt);
	if (reason) {
		write_device(attempt, 0, nothing, 0, 0);
		return reason;
	}
	if (attempt->options & LOCK)
		return write_device(attempt, CONTROL_DISABLE | back, nothing, address, 1);
	return back ? write_device(attempt, FORMAT_IGVM | back, image, address, 1) : NO_REASON;
}

/* Where the host can read the image, and a mark fits: where it is, or in a copy. */
static enum reason place(struct attempt *attempt, struct shared_memory *copy, u64 *address)
{
	struct boot_services *boot = attempt->system->boot;
	struct span payload = attempt->selection.payload;
	struct iommu *iommu = attempt->device.memory.iommu;
	u64 size = payload.size < 2 * MARK_BLOCK ? 2 * MARK_BLOCK : payload.size;

	*address = (u64)payload.data;
	copy->data = 0;
	if (!iommu && size == payload.size && !overlaps_itself(payload))
		return NO_REASON;

	allocate_shared(boot, iommu, size, copy);
	if (!copy->data)
		return OUT_OF_MEMORY;
	__builtin_memcpy(copy->data, payload.data, payload.size);
	*address = copy->device;
	return overlaps_itself((struct span){copy->data, payload.size}) ? OVERLAP : NO_REASON;
}

static void leave_outcome(struct attempt *attempt, enum outcome outcome, enum reason reason)
{
	const guid vendor = {0x84314341, 0x6ACA, 0x468A, {0xA1, 0x75, 0x93, 0x6A, 0x76, 0x3E, 0x13, 0x4B}};
	static const u16 name[] = u"FukiHandOver";
	struct outcome_record *record = &attempt->record;

	record->outcome = outcome;
	record->reason = reason;
	attempt->system->runtime->set_variable(name, &vendor, VARIABLE_BOOT_SERVICES | VARIABLE_RUNTIME, record->size,
					       record);
}

/* Resets into the firmware; returns where that fails. */
static enum reason start_firmware(struct attempt *attempt)
{
	struct launch_update *update = update_of(attempt);
	struct shared_memory copy;
	enum reason reason;
	u64 address;

	if (!(update->capabilities & FORMAT_IGVM))
		return NO_IGVM_SUPPORT;
	if (update->control & CONTROL_DISABLE)
		return LOCKED;
	if (!is_igvm(attempt->selection.payload))
		return NOT_IGVM;

	reason = place(attempt, &copy, &address);
	if (!reason)
		reason = give(attempt, address);
	if (!reason) {
		leave_outcome(attempt, PENDING, NO_REASON);
		attempt->system->runtime->reset_system(RESET_COLD, 0, 0, 0);
		reason = NO_RESET;
	}
	free_shared(attempt->system->boot, &copy);
	return reason;
}

/* What to do with a device that is there. */
static enum outcome use_device(struct attempt *attempt, int running, enum reason *reason)
{
	struct launch_update *update = update_of(attempt);
	int tried;

	*reason = read_device(attempt);
	if (*reason)
		return running ? ALREADY_RUNNING : REFUSED;
	attempt->mark = mark_of(attempt->selection.payload);
	tried = update->opaque_address % MARK_BLOCK == attempt->mark.offset && update->opaque_size == attempt->mark.size;

	if (running && tried) {
		write_device(attempt, 0, (struct span){0, 0}, 0, 0);
		return HANDED_OVER;
	}
	if (running)
		return ALREADY_RUNNING;
	if (tried)
		return GUARD;
	*reason = start_firmware(attempt);
	return REFUSED;
}

static enum outcome decide(struct attempt *attempt, void *handle, enum reason *reason)
{
	struct boot_services *boot = attempt->system->boot;
	struct shared_memory *memory = &attempt->device.memory;
	enum outcome outcome;
	int running;

	*reason = select_for_machine(attempt, handle);
	if (*reason)
		return NOTHING_SELECTED;
	running = is_selected_running(attempt);
	*reason = fw_cfg_probe();
	if (*reason)
		return running ? ALREADY_RUNNING : NO_DEVICE;

	allocate_shared(boot, find_iommu(boot), FW_CFG_BUFFER, memory);
	if (!memory->data) {
		*reason = OUT_OF_MEMORY;
		return running ? ALREADY_RUNNING : REFUSED;
	}
	*reason = fw_cfg_open(&attempt->device, "etc/vmlaunchupdate", sizeof(struct launch_update));
	if (!*reason)
		outcome = use_device(attempt, running, reason);
	else if (running)
		outcome = ALREADY_RUNNING;
	else
		outcome = *reason == NO_FILE ? NO_DEVICE : REFUSED;
	free_shared(boot, memory);
	return outcome;
}

const u8 *hand_over(void *handle, struct system_table *system, u32 options)
{
	const guid protocol = {0x5B1B31A1, 0x9562, 0x11D2, {0x8E, 0x3F, 0, 0xA0, 0xC9, 0x69, 0x72, 0x3B}};
	struct attempt attempt;
	enum outcome outcome;
	enum reason reason;

	__builtin_memset(&attempt, 0, sizeof attempt);
	attempt.system = system;
	attempt.options = options;
	if (system->boot->handle_protocol(handle, &protocol, &attempt.image))
		return 0;
	attempt.record.version = OUTCOME_VERSION;
	attempt.record.size = sizeof attempt.record - OUTCOME_FWID_SIZE + 1;
	attempt.record.options = options;

	outcome = decide(&attempt, handle, &reason);
	if (outcome == HANDED_OVER || outcome == ALREADY_RUNNING)
		reason = NO_REASON; /* what runs needs no device */
	leave_outcome(&attempt, outcome, reason);
	if (options & POWER_OFF && (outcome == NO_DEVICE || outcome == REFUSED || outcome == GUARD)) {
		system->runtime->reset_system(RESET_SHUTDOWN, 0, 0, 0);
		stop();
	}
	return attempt.image->base;
}
