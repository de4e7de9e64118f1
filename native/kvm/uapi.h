// <linux/kvm.h> as C++ can use it. Everything in this tree includes the header through here.
#pragma once

#include <linux/stddef.h>

// The header's flexible arrays begin with an empty structure, which in C++ takes a byte: that moves the arrays and
// makes the sizes in the ioctl numbers wrong (EINVAL from KVM_SET_SIGNAL_MASK, KVM_GET_SUPPORTED_CPUID, KVM_GET_MSRS).
#undef __DECLARE_FLEX_ARRAY
#define __DECLARE_FLEX_ARRAY(TYPE, NAME) TYPE NAME[0]

#include <linux/kvm.h>

static_assert(sizeof(kvm_signal_mask) == 4 && sizeof(kvm_cpuid2) == 8 && sizeof(kvm_msrs) == 8 &&
              sizeof(kvm_msr_list) == 4);
