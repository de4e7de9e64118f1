{
  "variables": {
    "warnings": ["-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers"]
  },
  "target_defaults": {
    "include_dirs": ["native"],
    "cflags_cc!": ["-fno-exceptions", "-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": ["-std=c++17", "-fvisibility=hidden", "<@(warnings)"],
    "ldflags": ["-static-libstdc++", "-static-libgcc"]
  },
  "targets": [
    {
      "target_name": "core",
      "type": "static_library",
      "standalone_static_library": 0,
      "cflags_cc": ["-fno-exceptions", "-fno-rtti"],
      "sources": [
        "native/bus/bus.cc",
        "native/bus/outbox.cc",
        "native/devices/clock.cc",
        "native/devices/io-apic.cc",
        "native/devices/pic.cc",
        "native/devices/pit.cc",
        "native/devices/uart.cc",
        "native/emulator/apic.cc",
        "native/emulator/apic-registers.cc",
        "native/emulator/blocks.cc",
        "native/emulator/breakpoints.cc",
        "native/emulator/control.cc",
        "native/emulator/cpu-model.cc",
        "native/emulator/decode.cc",
        "native/emulator/emulator.cc",
        "native/emulator/execute-alu.cc",
        "native/emulator/execute-bits.cc",
        "native/emulator/execute-branch.cc",
        "native/emulator/execute-move.cc",
        "native/emulator/execute-protection.cc",
        "native/emulator/execute-string.cc",
        "native/emulator/execute-system.cc",
        "native/emulator/interrupts.cc",
        "native/emulator/msrs.cc",
        "native/emulator/opcode-table.cc",
        "native/emulator/paging.cc",
        "native/emulator/rounds.cc",
        "native/emulator/segments.cc",
        "native/emulator/state.cc",
        "native/emulator/task.cc",
        "native/emulator/tlb.cc",
        "native/emulator/transfer.cc",
        "native/memory/guest-memory.cc"
      ]
    },
    {
      "target_name": "vtkit",
      "dependencies": ["core"],
      "include_dirs": ["<!@(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "sources": [
        "native/addon.cc",
        "native/cpu/cpuid.cc",
        "native/emulator/engine.cc",
        "native/kvm/system.cc",
        "native/kvm/vcpu-state.cc",
        "native/kvm/vcpu.cc",
        "native/kvm/vm.cc",
        "native/machine/board.cc",
        "native/machine/machine.cc",
        "native/napi/convert.cc",
        "native/napi/engines.cc",
        "native/napi/eventfd.cc",
        "native/napi/host.cc",
        "native/napi/layout.cc",
        "native/napi/machine-board.cc",
        "native/napi/machine-vcpu.cc",
        "native/napi/machine.cc",
        "native/napi/vfio.cc",
        "native/vcpu/thread.cc",
        "native/vfio/container.cc",
        "native/vfio/device.cc",
        "native/vfio/guarded-access.cc",
        "native/vfio/iommufd.cc"
      ]
    }
  ]
}
