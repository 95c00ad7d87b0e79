// <linux/kvm.h> as Swift can see it: ioctl numbers are macros with casts, which Swift does not import.
#pragma once
#include "clinux_files.h"
#include <linux/kvm.h>
#include <stddef.h>
#include <string.h>

#define CLINUX_KVM(name) static const unsigned long clinux_##name = name;
CLINUX_KVM(KVM_GET_API_VERSION)
CLINUX_KVM(KVM_CREATE_VM)
CLINUX_KVM(KVM_CHECK_EXTENSION)
CLINUX_KVM(KVM_GET_VCPU_MMAP_SIZE)
CLINUX_KVM(KVM_GET_SUPPORTED_CPUID)
CLINUX_KVM(KVM_SET_USER_MEMORY_REGION)
CLINUX_KVM(KVM_SET_TSS_ADDR)
CLINUX_KVM(KVM_SET_IDENTITY_MAP_ADDR)
CLINUX_KVM(KVM_CREATE_VCPU)
CLINUX_KVM(KVM_ENABLE_CAP)
CLINUX_KVM(KVM_SET_GSI_ROUTING)
CLINUX_KVM(KVM_IRQFD)
CLINUX_KVM(KVM_IOEVENTFD)
CLINUX_KVM(KVM_SIGNAL_MSI)
CLINUX_KVM(KVM_RUN)
CLINUX_KVM(KVM_GET_REGS)
CLINUX_KVM(KVM_SET_REGS)
CLINUX_KVM(KVM_GET_SREGS)
CLINUX_KVM(KVM_SET_SREGS)
CLINUX_KVM(KVM_SET_CPUID2)
CLINUX_KVM(KVM_SET_MSRS)
CLINUX_KVM(KVM_GET_LAPIC)
CLINUX_KVM(KVM_SET_LAPIC)
CLINUX_KVM(KVM_SET_MP_STATE)
CLINUX_KVM(KVM_GET_TSC_KHZ)
#undef CLINUX_KVM

#define CLINUX_MAXIMUM_CPUID_ENTRIES 256
// struct kvm_cpuid2, kvm_irq_routing and kvm_msrs with room for their entries.
struct clinux_cpuid { uint32_t nent, padding; struct kvm_cpuid_entry2 entries[CLINUX_MAXIMUM_CPUID_ENTRIES]; };
_Static_assert(offsetof(struct clinux_cpuid, entries) == sizeof(struct kvm_cpuid2), "layout of kvm_cpuid2");
static inline struct kvm_cpuid_entry2 *clinux_cpuid_entries(struct clinux_cpuid *table) { return table->entries; }

static inline long clinux_kvm_set_routes(int vm, const struct kvm_irq_routing_entry *entries, unsigned count) {
  struct { uint32_t nr, flags; struct kvm_irq_routing_entry entries[64]; } table = {.nr = count};
  if (count > 64) return -EINVAL;
  for (unsigned i = 0; i < count; i++) table.entries[i] = entries[i];
  return clinux_result(ioctl(vm, KVM_SET_GSI_ROUTING, &table));
}
static inline long clinux_kvm_set_msr(int vcpu, uint32_t index, uint64_t value) {
  struct { uint32_t nmsrs, padding; struct kvm_msr_entry entry; } table = {.nmsrs = 1, .entry = {.index = index, .data = value}};
  int result = ioctl(vcpu, KVM_SET_MSRS, &table);
  return result < 0 ? -(long)errno : result == 1 ? 0 : -EINVAL;
}

// The parts of struct kvm_run that lie in its unnamed union.
struct clinux_kvm_io { uint8_t direction, size; uint16_t port; uint32_t count; uint64_t data_offset; };
static inline struct clinux_kvm_io clinux_kvm_io(const struct kvm_run *run) {
  return (struct clinux_kvm_io){run->io.direction, run->io.size, run->io.port, run->io.count, run->io.data_offset};
}
struct clinux_kvm_mmio { uint64_t address; uint64_t value; uint32_t length; uint8_t is_write; };
static inline struct clinux_kvm_mmio clinux_kvm_mmio(const struct kvm_run *run) {
  struct clinux_kvm_mmio result = {.address = run->mmio.phys_addr, .length = run->mmio.len, .is_write = run->mmio.is_write};
  memcpy(&result.value, run->mmio.data, 8);
  return result;
}
static inline void clinux_kvm_set_mmio(struct kvm_run *run, uint64_t value) { memcpy(run->mmio.data, &value, 8); }
static inline uint8_t clinux_kvm_eoi_vector(const struct kvm_run *run) { return run->eoi.vector; }
static inline uint64_t clinux_kvm_entry_failure(const struct kvm_run *run) { return run->fail_entry.hardware_entry_failure_reason; }
static inline uint32_t clinux_kvm_internal_suberror(const struct kvm_run *run) { return run->internal.suberror; }
static inline uint32_t clinux_kvm_system_event(const struct kvm_run *run) { return run->system_event.type; }
static inline struct kvm_irq_routing_entry clinux_kvm_msi_route(uint32_t gsi, uint64_t address, uint32_t data) {
  struct kvm_irq_routing_entry entry = {.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI};
  entry.u.msi.address_lo = (uint32_t)address;
  entry.u.msi.address_hi = (uint32_t)(address >> 32);
  entry.u.msi.data = data;
  return entry;
}
static inline struct kvm_enable_cap clinux_kvm_capability(uint32_t capability, uint64_t argument) {
  return (struct kvm_enable_cap){.cap = capability, .args = {argument}};
}
static inline struct kvm_ioeventfd clinux_kvm_ioeventfd(uint64_t address, uint32_t length, uint64_t match, int fd) {
  return (struct kvm_ioeventfd){.datamatch = match, .addr = address, .len = length, .fd = fd, .flags = KVM_IOEVENTFD_FLAG_DATAMATCH};
}
