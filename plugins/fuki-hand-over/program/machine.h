/* What no C can say: ports, CPUID, addresses of the machine. Tests bring a machine of their own. */

#ifndef MACHINE_H
#define MACHINE_H

#include "types.h"

#ifdef FUKI_TEST_MACHINE

u8 port_in8(u16 port);
u32 port_in32(u16 port);
void port_out16(u16 port, u16 value);
void port_out32(u16 port, u32 value);
int is_hypervisor_present(void);
const u8 *physical(u64 address);
void stop(void);

#else

static inline u8 port_in8(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u32 port_in32(u16 port)
{
	u32 value;

	__asm__ volatile("inl %w1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void port_out16(u16 port, u16 value)
{
	__asm__ volatile("outw %0, %w1" : : "a"(value), "Nd"(port));
}

static inline void port_out32(u16 port, u32 value)
{
	__asm__ volatile("outl %0, %w1" : : "a"(value), "Nd"(port) : "memory");
}

/* Bit 31 of CPUID 1's ECX, which processors leave clear for hypervisors to set. */
static inline int is_hypervisor_present(void)
{
	u32 a = 1, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return c >> 31;
}

/* EFI maps memory one to one (UEFI 2.10, 2.3.4). */
static inline const u8 *physical(u64 address)
{
	return (const u8 *)address;
}

static inline void stop(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

#endif
#endif
