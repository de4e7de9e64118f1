/** The types of the addon, as native/napi exports it. Nothing but src/native, src/kvm and src/emulator sees them. */
export interface NativeAddon {
  /** CPUID executed on one processor: EAX, EBX, ECX, EDX for each pair of leaf and subleaf. */
  cpuid(cpu: number, pairs: Uint32Array): Uint32Array;
  kvmProbe(path: string): KvmProbe;
  /** KVM_GET_SUPPORTED_CPUID: an array of kvm_cpuid_entry2. */
  kvmSupportedCpuid(path: string): Uint8Array;
  readonly Machine: new (options: NativeMachineOptions, onWake: () => void) => NativeMachine;
  readonly EventFd: new (onSignal: () => void) => NativeEventFd;
  /** NVME_IOCTL_ADMIN_CMD on /dev/nvmeN; `data` receives what the controller sends. Gives the completion's status. */
  nvmeAdmin(path: string, opcode: number, cdw10: number, cdw11: number, data: Uint8Array): number;
  readonly NetlinkSocket: new (protocol: number) => NativeNetlinkSocket;
  readonly vfio: NativeVfio;
  readonly layout: Layout;
}

/** eventfd(2): `onSignal` is called on the event loop while it is watched. */
export interface NativeEventFd {
  fd(): number;
  signal(count: Address): void;
  /** What was signalled since the last time. */
  take(): bigint;
  watch(on: boolean): void;
  /** Whether watching keeps the event loop alive: yes, unless told otherwise. */
  keepAlive(on: boolean): void;
  close(): void;
}

/** netlink(7): datagrams to and from the kernel, without a meaning. */
export interface NativeNetlinkSocket {
  send(message: Uint8Array): void;
  /** Waits, at most 10 seconds (ETIMEDOUT). */
  receive(): Uint8Array;
  close(): void;
}

export interface NativeVfio {
  readonly Container: new (path: string) => NativeContainer;
  readonly Group: new (path: string) => NativeGroup;
  readonly Iommufd: new (path: string) => NativeIommufd;
}

/** What devices reach: a container, or the address space of an Iommufd. */
export interface NativeAddressSpace {
  /** Zeroed memory, pinned and mapped. */
  allocate(bytes: number, iova: Address, writable: boolean): void;
  /** What allocate() mapped there; it stays memory of this process for as long as somebody has it. */
  view(iova: Address): ArrayBuffer;
  unmap(iova: Address, bytes: Address): bigint;
  ranges(): [first: bigint, last: bigint][];
  close(): void;
}

export interface NativeContainer extends NativeAddressSpace {
  apiVersion(): number;
  checkExtension(extension: number): boolean;
  setIommu(type: number): void;
}

export interface NativeIommufd extends NativeAddressSpace {
  /** Binds /dev/vfio/devices/vfioN and attaches it. */
  device(path: string): NativeVfioDevice;
  vtd(device: number): { readonly cap: bigint; readonly ecap: bigint } | null;
}

export interface NativeGroup {
  viable(): boolean;
  setContainer(container: NativeContainer): void;
  unsetContainer(): void;
  device(address: string): NativeVfioDevice;
  fd(): number;
  close(): void;
}

export interface NativeVfioDevice {
  info(): { readonly canReset: boolean; readonly regions: number; readonly interrupts: number };
  region(index: number): {
    readonly bytes: bigint;
    readonly readable: boolean;
    readonly writable: boolean;
    readonly mappable: boolean;
  };
  interrupt(index: number): { readonly count: number; readonly maskable: boolean; readonly automasked: boolean };
  /** A bigint where `width` is 8. */
  read(region: number, offset: Address, width: number): number | bigint;
  write(region: number, offset: Address, width: number, value: Address): void;
  /** The number of the first offset that no word of the region lies at, and then nothing was accessed; else of offsets. */
  read32s(region: number, offsets: Uint32Array, values: Uint32Array): number;
  write32s(region: number, pairs: Uint32Array): number;
  setEventfds(index: number, eventfds: Int32Array): void;
  setUnmaskEventfd(index: number, eventfd: number): void;
  mask(index: number, masked: boolean): void;
  reset(): void;
  dependents(): { readonly group: number; readonly segment: number; readonly bus: number; readonly devfn: number }[];
  /** On the proof of these group descriptors; none of a device that an Iommufd has. */
  hotReset(groups: Int32Array): void;
  /** Null where the device cannot migrate. `flags` are VFIO_MIGRATION_*, `state` is an enum vfio_device_mig_state. */
  migration(): { readonly flags: bigint; readonly state: number } | null;
  /** Whether it keeps a log of the pages that it writes. */
  logsDma(): boolean;
  /** Of a physical function: 16 bytes that whoever opens one of its virtual functions has to know. */
  setVfToken(token: Uint8Array): void;
  id(): number;
  fd(): number;
  close(): void;
}

/** What one question gave: a value, or the kernel's refusal in the shape of Node's SystemError. */
export type Answer<T> =
  | { readonly value: T; readonly error?: undefined }
  | { readonly error: Error; readonly value?: undefined };

/** The answers of /dev/kvm. `vm` is true when a machine was really created. */
export interface KvmProbe {
  readonly apiVersion: Answer<number>;
  readonly vcpuMmapSize: Answer<number>;
  /** KVM_CHECK_EXTENSION by the capability's name in <linux/kvm.h>. */
  readonly capabilities: Answer<Readonly<Record<string, number>>>;
  readonly vm: Answer<boolean>;
  readonly featureMsrs: Answer<readonly (readonly [number, bigint])[]>;
}

export type NativeMachineOptions =
  | { readonly engine: 'kvm'; readonly path: string; readonly kernelIrqchip: boolean }
  | { readonly engine: 'emulated'; readonly staleTranslations: boolean; readonly seed: bigint };

/** Byte offsets in the shared structures of native/vcpu/cell.h and native/bus/outbox.h. */
export interface Layout {
  readonly phase: number;
  readonly threadSleeps: number;
  readonly command: number;
  readonly readerSleeps: number;
  readonly stopRequested: number;
  readonly regsDirty: number;
  readonly exitCounts: number;
  readonly instructions: number;
  readonly regs: number;
  readonly sregs: number;
  readonly exitKind: number;
  readonly exitSize: number;
  readonly exitCount: number;
  readonly exitReason: number;
  readonly exitAddress: number;
  readonly exitRip: number;
  readonly exitDetail: number;
  readonly exitData: number;
  readonly cellBytes: number;
  readonly ringHead: number;
  readonly ringTail: number;
  readonly ringProducerWaits: number;
  readonly ringRecords: number;
  readonly ringCapacity: number;
  readonly recordBytes: number;
}

export type Space = 'ports' | 'memory';
export type Address = number | bigint;

/** One machine of either engine. vCPUs are named by index. System calls that fail throw; src/errors.ts gives them their class. */
export interface NativeMachine {
  close(): void;
  ref(): void;
  unref(): void;
  ring(): ArrayBuffer;
  drained(): void;
  /** True while something waits on the event loop: a signal, a message, I/O. */
  eventsPending(): boolean;

  addMemory(slot: number, guestPhysical: Address, bytes: Address, readOnly: boolean, logDirty: boolean): void;
  removeMemory(slot: number): void;
  /** False, and nothing copied, if a byte of the range has no slot. */
  readMemory(address: Address, to: Uint8Array): boolean;
  writeMemory(address: Address, data: Uint8Array): boolean;
  viewMemory(address: Address, bytes: number): ArrayBuffer;
  dirtyLog(slot: number): BigUint64Array;

  setDefault(space: Space, openBus: boolean): void;
  setTracing(on: boolean): void;
  /** Accesses of the range come to JavaScript: as exits, or writes through the outbox if posted. */
  mapOutside(space: Space, from: Address, count: number, posted: boolean): void;
  unmap(space: Space, from: Address): void;
  /** The 8259s and the 8254, in the processors' own time where they have one and it is asked for. */
  addPc(virtualTime: boolean): void;
  /** Since the machine was created, on the clock of its devices. */
  nanoseconds(): bigint;
  /** One access of the devices in C++, a write if there is a value; null if none of them answers. */
  access(space: Space, address: Address, size: number, value?: Address): bigint | null;
  /** Whether the board's controller asks for an interrupt; its vector, or -1: the INTA cycle. */
  interruptAsserted(): boolean;
  acknowledge(): number;
  /** Virtual time goes to a moment; and the moment of the next alarm, if there is one. */
  advance(moment: bigint): void;
  nextEvent(): bigint | null;
  /** The clock at port 0x70 with its memory's contents, and the power management at each of the bases. */
  addFirmware(contents: Uint8Array, unixSeconds: number, powerManagementBases: readonly number[]): void;
  /** When a machine that sleeps now would wake up, or null if nothing is enabled that wakes it. */
  wakeMoment(): bigint | null;
  /** It wakes up at that moment: virtual time jumps there. */
  wakeUp(moment: bigint): void;
  addUart(from: number, line: number): void;
  receive(from: number, data: Uint8Array): void;
  setIrqLine(line: number, level: boolean): void;
  connectIrqfd(gsi: number, eventfd: number, connect: boolean, resample?: number): void;
  setMsiRoute(gsi: number, address: Address, data: number): void;
  signalMsi(address: Address, data: number): void;
  /** A VFIO group's descriptor, or a device's: KVM_DEV_VFIO_GROUP_ADD and _DEL. */
  attachVfio(fd: number, attach: boolean): void;
  /** A part of a device's region as memory of the guest; `slot` is free among all slots. */
  addDeviceMemory(
    slot: number,
    guestPhysical: Address,
    device: NativeVfioDevice,
    region: number,
    offset: Address,
    bytes: Address,
  ): void;
  removeDeviceMemory(slot: number): void;
  /** From here on the guest sees memory only through windows. */
  hideMemory(): void;
  /** Shows a range of one slot at another guest-physical address too; `slot` is free among all slots. */
  addWindow(slot: number, guestPhysical: Address, from: Address, bytes: Address, readOnly: boolean): void;
  removeWindow(slot: number): void;
  /** Lets the devices of an address space reach a memory slot at its guest-physical address. */
  mapForDma(space: NativeAddressSpace, slot: number): void;
  connectIoeventfd(
    space: Space,
    address: Address,
    bytes: number,
    value: Address | undefined,
    eventfd: number,
    connect: boolean,
  ): void;

  createVcpu(waitsInHalt: boolean): ArrayBuffer;
  wake(vcpu: number): void;
  stop(vcpu: number): void;
  waitForExit(vcpu: number, milliseconds: number): boolean;
  loadSregs(vcpu: number): void;
  storeSregs(vcpu: number): void;
  stateBytes(vcpu: number, kind: number): number;
  getState(vcpu: number, kind: number, state: Uint8Array): void;
  setState(vcpu: number, kind: number, state: Uint8Array): void;
  getMsrs(vcpu: number, entries: Uint8Array): number;
  setMsrs(vcpu: number, entries: Uint8Array): number;
  getCpuid(vcpu: number): Uint8Array;
  setCpuid(vcpu: number, entries: Uint8Array): void;
  interrupt(vcpu: number, vector: number): boolean;
  nmi(vcpu: number): void;
  setSingleStep(vcpu: number, on: boolean): void;
  setBreakpointExits(vcpu: number, on: boolean): void;

  /** The devices' state, or what the engine keeps beside KVM's structures; null if it keeps nothing. */
  saveState(of: StatePart): Uint8Array | null;
  /** Null, or where the bytes are wrong; the part is half loaded then. */
  loadState(of: StatePart, state: Uint8Array): StateFault | null;
  /** Pages of a memory slot that are not all zeros: numbers in order, and 4096 bytes of each. */
  usedPages(slot: number): { readonly numbers: Uint32Array; readonly contents: Uint8Array };
  /** Makes all other pages zeros. */
  setPages(slot: number, numbers: Uint32Array, contents: Uint8Array): void;
  /** Drops translations and decoded code. */
  forget(): void;
  storeRegs(vcpu: number): void;
  /** Stops all vCPUs at one moment, from which they go on as if they had not been stopped. False: KVM cannot. */
  pause(): boolean;
  /** Pauses once all vCPUs have retired so many instructions, or with undefined no more. False: KVM cannot. */
  pauseAt(instructions: bigint | undefined): boolean;
  traceInstructions(on: boolean): boolean;
  /** Gives bytes to the UART at a port when the tick has come at which they were taken before. */
  scheduleInput(tick: bigint, from: number, data: Uint8Array): void;
  clearInput(): void;
}

export type StatePart = 'devices' | 'engine';
export interface StateFault {
  readonly section: string;
  readonly offset: number;
  readonly why: string;
}
