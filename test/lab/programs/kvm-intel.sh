#!/bin/sh
# kvm-intel.sh: all that the Bochs lab is asked in one start, each answer below a line `=== NAME`.
# Arguments: the folder of vtkit's dist, that of the programs, and each guest's image with its number of processors. Where kvm-tpr or
# rdmsr did not come along, it asks nothing of them.
dist=$1 programs=$2
shift 2
section() { echo "=== $1"; }

section probe
node "$dist/cli/main.js" probe --json

section parameters
for file in /sys/module/kvm_intel/parameters/*; do echo "$(basename "$file") $(cat "$file")"; done

if command -v rdmsr >/dev/null; then
  section rdmsr
  for index in 0x3a $(seq $((0x480)) $((0x491))); do printf '0x%x %s\n' "$index" "$(rdmsr -p 0 "$index")"; done
fi

while [ $# -gt 0 ]; do
  section "$(basename "${1%.*}")"
  timeout 20 "$programs/kvm-run" "$1" "$2"
  shift 2
done

# Last, since kvm_intel is loaded again.
if [ -e "$programs/kvm-tpr" ]; then
  for flexpriority in 0 1; do
    section "flexpriority=$flexpriority"
    rmmod kvm_intel
    insmod /run/modules/kvm_intel.ko "flexpriority=$flexpriority"
    "$programs/kvm-tpr"
  done
fi
section end
