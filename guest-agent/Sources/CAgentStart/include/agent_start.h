// Nothing to call: linking this target in is what matters. See early_proc.c.
#pragma once
