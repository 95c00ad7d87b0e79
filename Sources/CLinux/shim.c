// The shims are static inline functions of the headers; a C target needs one source file.
#include "clinux_files.h"
#include "clinux_events.h"
#include "clinux_sockets.h"
#include "clinux_processes.h"
#include "clinux_jail.h"
#include "clinux_kvm.h"
#include "clinux_memory.h"
