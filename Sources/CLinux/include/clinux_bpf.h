// bpf(2), as far as cgroup device filters need it.
#pragma once
#include "clinux_files.h"
#include <linux/bpf.h>
#include <string.h>

// Loads a device filter of `count` instructions (8 bytes each); the result is its descriptor. `log` gets the verifier's words.
static inline long clinux_bpf_load_device_filter(const uint64_t *instructions, unsigned count, char *log, unsigned log_size) {
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insns = (uintptr_t)instructions;
  attributes.insn_cnt = count;
  attributes.license = (uintptr_t) "Apache-2.0";
  if (log_size > 0) {
    attributes.log_buf = (uintptr_t)log;
    attributes.log_size = log_size;
    attributes.log_level = 1;
  }
  return clinux_result(syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes));
}
static inline long clinux_bpf_attach_device_filter(int cgroup, int program) {
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.target_fd = cgroup;
  attributes.attach_bpf_fd = program;
  attributes.attach_type = BPF_CGROUP_DEVICE;
  // An ancestor's filter stays in force: access needs the consent of all.
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  return clinux_result(syscall(SYS_bpf, BPF_PROG_ATTACH, &attributes, sizeof attributes));
}
