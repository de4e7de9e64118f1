#!/bin/sh
# kvm-intel.sh: all that the Bochs lab is asked in one start, each answer below a line `=== NAME`.
# Arguments: the folder of vtkit's dist, that of the programs, and the guests' images.
dist=$1 programs=$2
shift 2
section() { echo "=== $1"; }
load() {
  rmmod kvm_intel 2>/dev/null
  insmod /run/modules/kvm_intel.ko "$@"
}

section probe
node "$dist/cli/main.js" probe --json

section rdmsr
for index in 0x3a $(seq $((0x480)) $((0x491))); do printf '0x%x %s\n' "$index" "$(rdmsr -p 0 "$index")"; done

section parameters
for file in /sys/module/kvm_intel/parameters/*; do echo "$(basename "$file") $(cat "$file")"; done

for flexpriority in 0 1; do
  section "flexpriority=$flexpriority"
  load "flexpriority=$flexpriority"
  "$programs/kvm-tpr"
done

for image; do
  section "$(basename "${image%.*}")"
  timeout 20 "$programs/kvm-run" "$image"
done
section end
